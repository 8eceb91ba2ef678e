//! Split: orders become donations, refusals and partial sums. `domain/split.py` has the rule, and is the reference.

use std::ops::Range;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::compact::compact_order;
use crate::fault::Fault;
use crate::judged::{OwnedOrder, owned_order};
use crate::ledger::{Gift, PendingOrder, remember_pending, restore_donation, say_donation, say_order, write_donation};
use crate::memory::{IdHash, OrderMemory, fingerprint, hash_id};
use crate::order::{Line, Order, Pledge, plain_order};
use crate::reader::{Aborted, Reader, Record};
use crate::sums::Sums;
use crate::writer::{Finished, NO_HEADERS, Packer, Writer};

const FUTURE_TOLERANCE_MS: i128 = 86_400_000;
const BPS_PER_WHOLE: u64 = 10_000;
const NOT_YET: u32 = u32::MAX;
const MINIMUM_RATE_DONATION_FEN: u64 = 2;

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

/// An order that was read, without its lines, and what is to be looked up for it.
struct Ready<'a> {
    order: Order<'a>,
    gifts: Range<usize>, // of its block's
    id: IdHash,
    said: u32, // the fingerprint of its donations; 0 if there are none
}

/// Everything of one partition but what reads it: apart, so that a record may be borrowed while it is folded.
struct State {
    memory: OrderMemory,
    next_seq: u64,
    packer: Packer,
    donations: Writer,
    sums: Sums,
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
            sums: Sums::default(),
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
        py.detach(|| reader.read_blocks(data, aborted, position, |block| state.fold(ask, block)))?;
        Ok(())
    }

    /// Fold one record that Python has read.
    fn fold_record(&mut self, offset: i64, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> PyResult<()> {
        Ok(self.state.fold(&self.ask, &[Record::bare(offset, timestamp, key, value)])?)
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
        let written = py.detach(|| state.sums.write(&mut state.packer, partitions, now_ms, mark, lone_mark))?;
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
        self.state.sums.projects()
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
    /// Fold a block: first it is read as a whole, and all that it needs of memory is looked up at once.
    fn fold(&mut self, ask: &Ask, block: &[Record]) -> Result<(), Fault> {
        let mut gifts = Vec::with_capacity(2 * block.len());
        let orders: Vec<_> = block.iter().map(|record| self.read(record, &mut gifts)).collect();
        self.memory.fetch(orders.iter().flatten().map(|order| order.id));
        self.number(&mut gifts);
        for (record, order) in block.iter().zip(&orders) {
            match order {
                Some(order) => self.split(ask, record, order, &gifts[order.gifts.clone()])?,
                None => self.fold_odd(ask, record)?,
            }
        }
        Ok(())
    }

    /// The order of a record, if it is a plain one; what it gives goes behind `gifts`.
    fn read<'a>(&mut self, record: &Record<'a>, gifts: &mut Vec<Gift<'a>>) -> Option<Ready<'a>> {
        let mut lines = emptied(std::mem::take(&mut self.lines));
        let order =
            compact_order(record.key, record.value, &mut lines).or_else(|| plain_order(record.key, record.value))?;
        let mut ready = self.ready(order, gifts);
        self.lines = emptied(std::mem::take(&mut ready.order.lines));
        Some(ready)
    }

    /// An order without its lines; what it gives goes behind `gifts`.
    fn ready<'a>(&mut self, order: Order<'a>, gifts: &mut Vec<Gift<'a>>) -> Ready<'a> {
        let first = gifts.len();
        gifts.extend(order.lines.iter().filter_map(|line| self.gift(line)));
        let said = self.say(&order, &gifts[first..]);
        Ready { id: hash_id(order.order_id), order, gifts: first..gifts.len(), said }
    }

    /// What a line gives, if it does: `domain/programme.py` has the rule.
    fn gift<'a>(&self, line: &Line<'a>) -> Option<Gift<'a>> {
        let (project_id, fen) = match line.pledge? {
            Pledge::Fixed { project_id, fen } => (project_id, fen.min(line.paid_fen)),
            Pledge::Rate { project_id, bps } => {
                let share_fen = (line.paid_fen * bps + BPS_PER_WHOLE / 2) / BPS_PER_WHOLE;
                (project_id, share_fen.max(MINIMUM_RATE_DONATION_FEN).min(line.paid_fen))
            }
        };
        let hash = self.sums.hash(project_id);
        Some(Gift { line: line.line, item_id: line.item_id, project_id, hash, project: NOT_YET, fen })
    }

    /// Look up the gifts' projects.
    fn number(&mut self, gifts: &mut [Gift]) {
        for gift in &mut *gifts {
            gift.project = self.sums.project(gift.project_id, gift.hash);
        }
        self.sums.fetch(gifts.iter().map(|gift| gift.project));
    }

    /// A record that Python judges: mostly refused, sometimes right all the same.
    fn fold_odd(&mut self, ask: &Ask, record: &Record) -> Result<(), Fault> {
        let judged = Python::attach(|py| -> PyResult<Result<OwnedOrder, Py<PyAny>>> {
            let bytes = |field: Option<&[u8]>| field.map(|field| PyBytes::new(py, field));
            let judged = ask.judge.bind(py).call1((bytes(record.key), bytes(record.value)))?;
            if judged.hasattr("reason")? { Ok(Err(judged.unbind())) } else { Ok(Ok(owned_order(&judged)?)) }
        })?;
        match judged {
            Ok(order) => {
                let mut gifts = Vec::new();
                let ready = self.ready(order.borrowed(), &mut gifts);
                self.number(&mut gifts);
                self.split(ask, record, &ready, &gifts)
            }
            Err(refusal) => {
                self.refuse(record, refusal);
                Ok(())
            }
        }
    }

    fn split(&mut self, ask: &Ask, record: &Record, ready: &Ready, gifts: &[Gift]) -> Result<(), Fault> {
        let &Ready { ref order, id, said, .. } = ready;
        let ahead_ms = i128::from(order.completed_at) - i128::from(record.timestamp); // any producer's, where they stamp
        if ahead_ms > FUTURE_TOLERANCE_MS {
            let refusal = Python::attach(|py| ask.too_far.call1(py, (ahead_ms,)))?;
            self.refuse(record, refusal);
            return Ok(());
        }
        if let Some(known) = self.memory.known(id) {
            if known == said {
                self.counts.repeats += 1;
            } else {
                let refusal = Python::attach(|py| ask.conflict.call1(py, (String::from_utf8_lossy(order.order_id),)))?;
                self.refuse(record, refusal);
            }
            return Ok(());
        }
        if gifts.is_empty() {
            self.counts.no_pledge += 1;
            return Ok(());
        }
        // After this point the order must count.
        self.counts.accepted += 1;
        let oldest_ms = self.counts.oldest_ms.get_or_insert(record.timestamp);
        *oldest_ms = record.timestamp.min(*oldest_ms);
        self.memory.remember(id, said, order.completed_at);
        gifts.iter().try_for_each(|gift| self.donate(record, order, gift))
    }

    fn say(&mut self, order: &Order, gifts: &[Gift]) -> u32 {
        if gifts.is_empty() {
            return 0;
        }
        self.said.clear();
        say_order(&mut self.said, order.buyer_id, order.merchant_id, order.completed_at);
        for gift in gifts {
            say_donation(&mut self.said, gift.line, gift.item_id, gift.project_id, gift.fen);
        }
        fingerprint(&self.said)
    }

    fn donate(&mut self, record: &Record, order: &Order, gift: &Gift) -> Result<(), Fault> {
        self.value.clear();
        write_donation(&mut self.value, self.next_seq, record.offset, order, gift);
        let key = order.buyer_id;
        self.donations.append(&mut self.packer, order.completed_at, Some(key), Some(&self.value), NO_HEADERS)?;
        self.next_seq += 1;
        self.counts.donations += 1;
        self.counts.fen += gift.fen;
        self.sums.add(gift.project, order.completed_at, gift.fen);
        Ok(())
    }

    fn refuse(&mut self, record: &Record, refusal: Py<PyAny>) {
        let owned = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
        self.refused.push((record.offset, record.timestamp, owned(record.key), owned(record.value), refusal));
    }
}

/// `lines` without any of them, to borrow from something else: collecting a vector's own items keeps its memory.
fn emptied<'a>(mut lines: Vec<Line>) -> Vec<Line<'a>> {
    lines.clear();
    lines.into_iter().map(|_| unreachable!("it is empty")).collect()
}
