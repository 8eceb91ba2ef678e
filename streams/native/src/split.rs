//! Split: orders become donations, refusals and partial sums. `domain/split.py` has the rule, and is the reference.

use indexmap::IndexMap;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustc_hash::FxHashMap;

use crate::compact::compact_order;
use crate::fault::Fault;
use crate::judged::{OwnedOrder, owned_order};
use crate::ledger::{PendingOrder, remember_pending, restore_donation, say_donation, say_order, write_donation};
use crate::memory::{OrderMemory, fingerprint, hash_id};
use crate::order::{Line, Order, Pledge, plain_order};
use crate::partitioner::partition_of;
use crate::reader::{Aborted, Reader, Record};
use crate::text;
use crate::writer::{Finished, NO_HEADERS, Packer, Writer};

const FUTURE_TOLERANCE_MS: i128 = 86_400_000;
const MINUTE_MS: i64 = 60_000;
const BPS_PER_WHOLE: u64 = 10_000;
const MINIMUM_RATE_DONATION_FEN: u64 = 2;
const PROJECTS_CACHED_MAX: usize = 1_000_000; // projects whose partition is remembered; tens of thousands exist

/// A refused record as Python takes it: offset, timestamp, key, value, refusal.
type Refused = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Py<PyAny>);

/// What Python is asked: all of it rare.
struct Ask {
    judge: Py<PyAny>,    // (key, value) -> OrderCompleted | Refusal, for orders that aren't plain
    too_far: Py<PyAny>,  // (ms ahead) -> Refusal
    conflict: Py<PyAny>, // (order id) -> Refusal
}

/// What one commit's orders came to, counted.
#[derive(Clone, Copy, Default)]
struct Counts {
    accepted: u64,
    no_pledge: u64,
    repeats: u64,
    donations: u64,
    fen: u64,
    oldest_ms: Option<i64>, // when the first of those that donated was appended
}

/// What one project received in one minute within one commit.
struct Cell {
    minute_ms: i64,
    fen: u64,
    donations: u64,
    next: u32, // the project's next cell of this commit, or NONE
}

/// A project's partition of `project-deltas`, and its cells of this commit: tens of thousands, so they are small.
struct Project {
    partition: u32,
    first_cell: u32,
    last_cell: u32,
}

const NONE: u32 = u32::MAX;

/// Everything of one partition but what reads it: apart, so that a record may be borrowed while it is folded.
struct State {
    memory: OrderMemory,
    next_seq: u64,
    packer: Packer,
    donations: Writer,
    projects: IndexMap<Box<[u8]>, Project>,
    touched: Vec<u32>, // projects with cells, in the order in which they came
    cells: Vec<Cell>,
    cell_of: FxHashMap<(u32, i64), u32>,
    refused: Vec<Refused>,
    counts: Counts,
    lines: Vec<Line<'static>>, // none: only the memory, for the next order's
    said: Vec<u8>,
    value: Vec<u8>,
}

/// One partition of `orders`.
#[pyclass(module = "streams.native")]
pub struct Splitter {
    reader: Reader,
    state: State,
    ask: Ask,
    pending: Option<PendingOrder>,
}

#[pymethods]
impl Splitter {
    /// `judge`, `too_far` and `conflict` are asked about orders that aren't plain, and for refusals.
    #[new]
    fn new(
        horizon_ms: i64,
        batch_bytes: usize,
        level: i32,
        judge: Py<PyAny>,
        too_far: Py<PyAny>,
        conflict: Py<PyAny>,
    ) -> PyResult<Self> {
        let state = State {
            memory: OrderMemory::new(horizon_ms),
            next_seq: 0,
            packer: Packer::new(batch_bytes, level)?,
            donations: Writer::default(),
            projects: IndexMap::new(),
            touched: Vec::new(),
            cells: Vec::new(),
            cell_of: FxHashMap::default(),
            refused: Vec::new(),
            counts: Counts::default(),
            lines: Vec::new(),
            said: Vec::new(),
            value: Vec::new(),
        };
        Ok(Self { reader: Reader::new()?, state, ask: Ask { judge, too_far, conflict }, pending: None })
    }

    /// Fold the committed records of `data` from `position` on. Raises CorruptRecordsError.
    fn fold(&mut self, py: Python, data: &[u8], aborted: Aborted, position: i64) -> PyResult<()> {
        let Self { reader, state, ask, .. } = self;
        py.detach(|| reader.read(data, aborted, position, |record| state.fold(ask, record)))?;
        Ok(())
    }

    /// Fold one record that Python has read.
    fn fold_record(&mut self, offset: i64, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> PyResult<()> {
        Ok(self.state.fold(&self.ask, &Record::bare(offset, timestamp, key, value))?)
    }

    /// The donations since the last call, as finished batches with their numbers of records.
    fn take_donations<'py>(&mut self, py: Python<'py>) -> PyResult<FinishedInPython<'py>> {
        let state = &mut self.state;
        let batches = py.detach(|| state.donations.take(&mut state.packer))?;
        Ok(to_python(py, batches))
    }

    /// The refused orders since the last call: offset, timestamp, key, value, refusal.
    fn take_refused<'py>(&mut self, py: Python<'py>) -> Vec<RefusedInPython<'py>> {
        let bytes = |field: Option<Vec<u8>>| field.map(|field| PyBytes::new(py, &field));
        let refused = std::mem::take(&mut self.state.refused);
        refused
            .into_iter()
            .map(|(offset, timestamp, key, value, refusal)| (offset, timestamp, bytes(key), bytes(value), refusal))
            .collect()
    }

    /// The partial sums since the last call, as finished batches by partition of `project-deltas`.
    ///
    /// `mark` goes behind the sums of each partition that has some, `lone_mark` to the others, if there is one.
    fn take_deltas<'py>(
        &mut self,
        py: Python<'py>,
        partitions: usize,
        now_ms: i64,
        mark: &[u8],
        lone_mark: Option<&[u8]>,
    ) -> PyResult<Vec<(usize, FinishedInPython<'py>)>> {
        let state = &mut self.state;
        let written = py.detach(|| state.write_deltas(partitions, now_ms, mark, lone_mark))?;
        Ok(written.into_iter().map(|(partition, batches)| (partition, to_python(py, batches))).collect())
    }

    /// Accepted orders, those without a pledge, repeats, donations, fen, and when the first order that donated was
    /// appended; since the last call.
    fn take_counts(&mut self) -> (u64, u64, u64, u64, u64, Option<i64>) {
        let counts = std::mem::take(&mut self.state.counts);
        (counts.accepted, counts.no_pledge, counts.repeats, counts.donations, counts.fen, counts.oldest_ms)
    }

    /// Remember again the orders that gave the donations in `data`, a run of the partition's log.
    fn restore(&mut self, py: Python, data: &[u8], aborted: Aborted, position: i64) -> PyResult<()> {
        let Self { reader, state, pending, .. } = self;
        py.detach(|| {
            reader.read(data, aborted, position, |record| {
                restore_donation(&mut state.memory, pending, record.value.unwrap_or_default())
            })
        })?;
        Ok(())
    }

    /// Remember again the order that gave this donation; those of one order come one behind the other.
    fn restore_record(&mut self, _key: Option<&[u8]>, value: Option<&[u8]>) -> PyResult<()> {
        Ok(restore_donation(&mut self.state.memory, &mut self.pending, value.unwrap_or_default())?)
    }

    /// To be called behind the last donation; `next_seq` is what the next one gets.
    fn finish_restore(&mut self, next_seq: u64) {
        remember_pending(&mut self.state.memory, &mut self.pending);
        self.state.next_seq = next_seq;
    }

    #[getter]
    fn clock_ms(&self) -> i64 {
        self.state.memory.clock_ms
    }

    /// How many projects' places are remembered.
    #[getter]
    fn projects(&self) -> usize {
        self.state.projects.len()
    }

    /// How many order ids are held.
    #[getter]
    fn ids(&self) -> usize {
        self.state.memory.len()
    }
}

type RefusedInPython<'py> = (i64, i64, Option<Bound<'py, PyBytes>>, Option<Bound<'py, PyBytes>>, Py<PyAny>);

/// Finished batches as Python takes them: bytes, and how many records they hold.
pub type FinishedInPython<'py> = Vec<(Bound<'py, PyBytes>, u32)>;

/// Hand finished batches over.
pub fn to_python(py: Python, batches: Vec<Finished>) -> FinishedInPython {
    batches.into_iter().map(|(bytes, records)| (PyBytes::new(py, &bytes), records)).collect()
}

impl State {
    fn fold(&mut self, ask: &Ask, record: &Record) -> Result<(), Fault> {
        let mut lines = emptied(std::mem::take(&mut self.lines));
        let order =
            compact_order(record.key, record.value, &mut lines).or_else(|| plain_order(record.key, record.value));
        let Some(order) = order else {
            return self.fold_odd(ask, record);
        };
        self.split(ask, record, &order)?;
        self.lines = emptied(order.lines);
        Ok(())
    }

    /// A record that Python judges: mostly refused, sometimes right all the same.
    fn fold_odd(&mut self, ask: &Ask, record: &Record) -> Result<(), Fault> {
        let judged = Python::attach(|py| -> PyResult<Result<OwnedOrder, Py<PyAny>>> {
            let bytes = |field: Option<&[u8]>| field.map(|field| PyBytes::new(py, field));
            let judged = ask.judge.bind(py).call1((bytes(record.key), bytes(record.value)))?;
            if judged.hasattr("reason")? { Ok(Err(judged.unbind())) } else { Ok(Ok(owned_order(&judged)?)) }
        })?;
        match judged {
            Ok(order) => self.split(ask, record, &order.borrowed()),
            Err(refusal) => {
                self.refuse(record, refusal);
                Ok(())
            }
        }
    }

    fn split(&mut self, ask: &Ask, record: &Record, order: &Order) -> Result<(), Fault> {
        let ahead_ms = i128::from(order.completed_at) - i128::from(record.timestamp); // any producer's, where they stamp
        if ahead_ms > FUTURE_TOLERANCE_MS {
            let refusal = Python::attach(|py| ask.too_far.call1(py, (ahead_ms,)))?;
            self.refuse(record, refusal);
            return Ok(());
        }
        let said = self.say(order);
        let id = hash_id(order.order_id);
        if let Some(known) = self.memory.known(id) {
            if known == said {
                self.counts.repeats += 1;
            } else {
                let refusal = Python::attach(|py| ask.conflict.call1(py, (String::from_utf8_lossy(order.order_id),)))?;
                self.refuse(record, refusal);
            }
            return Ok(());
        }
        if said == 0 {
            self.counts.no_pledge += 1;
            return Ok(());
        }
        // After this point the order must count.
        self.counts.accepted += 1;
        let oldest_ms = self.counts.oldest_ms.get_or_insert(record.timestamp);
        *oldest_ms = record.timestamp.min(*oldest_ms);
        self.memory.remember(id, said, order.completed_at);
        for line in &order.lines {
            if let Some(pledge) = &line.pledge {
                self.donate(record, order, line, pledge)?;
            }
        }
        Ok(())
    }

    /// The fingerprint of the order's donations; 0 if there are none.
    fn say(&mut self, order: &Order) -> u32 {
        if order.lines.iter().all(|line| line.pledge.is_none()) {
            return 0;
        }
        self.said.clear();
        say_order(&mut self.said, order.buyer_id, order.merchant_id, order.completed_at);
        for line in &order.lines {
            if let Some(pledge) = &line.pledge {
                let (project_id, fen) = gift(pledge, line.paid_fen);
                say_donation(&mut self.said, line.line, line.item_id, project_id, fen);
            }
        }
        fingerprint(&self.said)
    }

    fn donate(&mut self, record: &Record, order: &Order, line: &Line, pledge: &Pledge) -> Result<(), Fault> {
        let (project_id, fen) = gift(pledge, line.paid_fen);
        self.value.clear();
        write_donation(&mut self.value, self.next_seq, record.offset, order, line, project_id, fen);
        let key = order.buyer_id;
        self.donations.append(&mut self.packer, order.completed_at, Some(key), Some(&self.value), NO_HEADERS)?;
        self.next_seq += 1;
        self.counts.donations += 1;
        self.counts.fen += fen;
        self.add_to_sums(project_id, order.completed_at, fen);
        Ok(())
    }

    fn add_to_sums(&mut self, project_id: &[u8], completed_at: i64, fen: u64) {
        let id = match self.projects.get_index_of(project_id) {
            Some(id) => id,
            None => {
                let project = Project { partition: NONE, first_cell: NONE, last_cell: NONE };
                self.projects.insert_full(project_id.into(), project).0
            }
        } as u32;
        let minute_ms = completed_at - completed_at % MINUTE_MS;
        let new = self.cells.len() as u32;
        let project = &mut self.projects[id as usize];
        // Time goes on: mostly it is the minute of the project's last cell, and no table is looked into.
        let cell = match self.cells.get(project.last_cell as usize) {
            Some(cell) if cell.minute_ms == minute_ms => project.last_cell,
            _ => *self.cell_of.entry((id, minute_ms)).or_insert(new),
        };
        if let Some(cell) = self.cells.get_mut(cell as usize) {
            cell.fen += fen;
            cell.donations += 1;
            return;
        }
        self.cells.push(Cell { minute_ms, fen, donations: 1, next: NONE });
        if project.first_cell == NONE {
            project.first_cell = new;
            self.touched.push(id);
        } else {
            self.cells[project.last_cell as usize].next = new;
        }
        project.last_cell = new;
    }

    fn refuse(&mut self, record: &Record, refusal: Py<PyAny>) {
        let owned = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
        self.refused.push((record.offset, record.timestamp, owned(record.key), owned(record.value), refusal));
    }

    fn write_deltas(
        &mut self,
        partitions: usize,
        now_ms: i64,
        mark: &[u8],
        lone_mark: Option<&[u8]>,
    ) -> Result<Vec<(usize, Vec<Finished>)>, Fault> {
        let mut writers: Vec<Writer> = (0..partitions).map(|_| Writer::default()).collect();
        let mut marks = vec![lone_mark; partitions];
        for project in self.touched.drain(..) {
            let Some((name, project)) = self.projects.get_index_mut(project as usize) else {
                continue;
            };
            if project.partition == NONE {
                project.partition = partition_of(name, partitions) as u32;
            }
            let partition = project.partition as usize;
            write_delta(&mut self.value, &self.cells, project.first_cell);
            writers[partition].append(&mut self.packer, now_ms, Some(name), Some(&self.value), NO_HEADERS)?;
            marks[partition] = Some(mark);
            (project.first_cell, project.last_cell) = (NONE, NONE);
        }
        self.cells.clear();
        self.cell_of.clear();
        if self.projects.len() >= PROJECTS_CACHED_MAX {
            self.projects.clear();
        }
        let mut written = Vec::new();
        for (partition, mut writer) in writers.into_iter().enumerate() {
            if let Some(mark) = marks[partition] {
                writer.append(&mut self.packer, now_ms, None, Some(mark), NO_HEADERS)?;
                written.push((partition, writer.take(&mut self.packer)?));
            }
        }
        Ok(written)
    }
}

/// `lines` without any of them, to borrow from something else: collecting a vector's own items keeps its memory.
fn emptied<'a>(mut lines: Vec<Line>) -> Vec<Line<'a>> {
    lines.clear();
    lines.into_iter().map(|_| unreachable!("it is empty")).collect()
}

/// What a line with a pledge donates, and to whom: `domain/programme.py` has the rule.
fn gift<'a>(pledge: &Pledge<'a>, paid_fen: u64) -> (&'a [u8], u64) {
    match *pledge {
        Pledge::Fixed { project_id, fen } => (project_id, fen.min(paid_fen)),
        Pledge::Rate { project_id, bps } => {
            let share_fen = (paid_fen * bps + BPS_PER_WHOLE / 2) / BPS_PER_WHOLE;
            (project_id, share_fen.max(MINIMUM_RATE_DONATION_FEN).min(paid_fen))
        }
    }
}

fn write_delta(out: &mut Vec<u8>, cells: &[Cell], first: u32) {
    out.clear();
    out.extend_from_slice(b"{\"minutes\":[");
    let mut at = first;
    while at != NONE {
        let cell = &cells[at as usize];
        out.extend_from_slice(if at == first { b"[" } else { b",[" });
        text::integer(out, cell.minute_ms);
        out.push(b',');
        text::integer(out, cell.fen);
        out.push(b',');
        text::integer(out, cell.donations);
        out.push(b']');
        at = cell.next;
    }
    out.extend_from_slice(b"]}");
}
