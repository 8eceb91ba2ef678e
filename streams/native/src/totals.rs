//! Totals: partial sums become running totals. `domain/totals.py` has the rule, and is the reference.

use indexmap::IndexSet;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

use crate::delta::{Delta, MinuteSum};
use crate::entries::{Entries, Entry};
use crate::fault::Fault;
use crate::reader::{Aborted, Reader, Record};
use crate::split::to_python;
use crate::text;
use crate::windows::{KINDS, Kind, Schedule, Window, Windows};
use crate::writer::{Packer, Writer, header};

const MINUTES_CACHED_MAX: usize = 4_096; // minutes whose six tables are found with one look-up; a day has 1,440
const RESTORED_PER_LOOK: usize = 32_768; // totals that a restore takes back before it packs what they didn't touch
const POSITION_HEADER: &str = "source-position";
const INT64_MAX: u64 = i64::MAX as u64;

/// All projects' totals in one window.
struct Table {
    window: Window,
    is_final: bool,
    is_released: bool, // it is gone, but for what is still to be published
    is_touched: bool,  // something came for it since it was last looked at: it stays unpacked
    entries: Entries,
}

type SixTables = [Option<u32>; KINDS];

struct State {
    windows: Windows,
    watermark_ms: i64,
    tables: Vec<Option<Table>>,
    free: Vec<u32>,
    table_of: FxHashMap<(Kind, i64), u32>,
    by_minute: FxHashMap<i64, SixTables>,
    projects: IndexSet<Box<str>>,
    changed: Vec<(u32, u32)>, // table, and the place of the entry in it
    unpacked: Vec<u32>,       // tables that are final, and whose entries aren't packed yet
    restored: usize,          // totals, since a restore last looked for tables to pack
    schedule: Schedule,
    gone: Vec<u32>,                   // tables released since the last outcome
    released: FxHashSet<(Kind, i64)>, // by tombstones, beyond what the restored watermark says
    late_donations: u64,
    released_donations: u64,
}

/// One partition of `project-deltas`.
#[pyclass(module = "streams.native")]
pub struct Totals {
    reader: Reader,
    packer: Packer,
    state: State,
    advance: Py<PyAny>, // (value of a record without a key) -> the common watermark if it rose, else None
}

#[derive(Deserialize)]
struct RawTotal<'a> {
    #[serde(borrow)]
    project_id: std::borrow::Cow<'a, str>,
    window: &'a str,
    start_ms: i64,
    fen: u64,
    donations: u64,
    late_fen: u64,
    watermark_ms: i64,
    revision: u64,
}

#[pymethods]
impl Totals {
    /// `windows_at` gives the six windows of a minute, `window_from_start` one by kind and start, `advance` takes the
    /// value of a record without a key and gives the common watermark if it rose. `retention_ms` is by kind.
    #[new]
    fn new(
        batch_bytes: usize,
        level: i32,
        retention_ms: [Option<i64>; KINDS],
        windows_at: Py<PyAny>,
        window_from_start: Py<PyAny>,
        advance: Py<PyAny>,
    ) -> PyResult<Self> {
        let state = State {
            windows: Windows::new(windows_at, window_from_start),
            watermark_ms: 0,
            tables: Vec::new(),
            free: Vec::new(),
            table_of: FxHashMap::default(),
            by_minute: FxHashMap::default(),
            projects: IndexSet::new(),
            changed: Vec::new(),
            unpacked: Vec::new(),
            restored: 0,
            schedule: Schedule::new(retention_ms),
            gone: Vec::new(),
            released: FxHashSet::default(),
            late_donations: 0,
            released_donations: 0,
        };
        Ok(Self { reader: Reader::new()?, packer: Packer::new(batch_bytes, level)?, state, advance })
    }

    /// Fold the committed records of `data` from `position` on. Raises CorruptRecordsError, or OverflowError with the
    /// project, the number of the kind of window, its start and the fen that are too many.
    fn fold(&mut self, py: Python, data: &[u8], aborted: Aborted, position: i64) -> PyResult<()> {
        let Self { reader, state, advance, .. } = self;
        py.detach(|| reader.read(data, aborted, position, |record| state.fold(advance, record)))?;
        Ok(())
    }

    /// Fold one record that Python has read.
    fn fold_record(&mut self, offset: i64, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> PyResult<()> {
        Ok(self.state.fold(&self.advance, &Record::bare(offset, timestamp, key, value))?)
    }

    /// What has changed since the last call, as finished batches: totals, then tombstones. `position` goes into each
    /// record's header. Raises OverflowError.
    fn take_totals<'py>(
        &mut self,
        py: Python<'py>,
        now_ms: i64,
        position: i64,
    ) -> PyResult<Vec<(Bound<'py, PyBytes>, u32)>> {
        let Self { packer, state, .. } = self;
        let batches = py.detach(|| state.publish(packer, now_ms, position))?;
        Ok(to_python(py, batches))
    }

    /// Donations that came late, and those whose minute or hour had left memory, for each of the two; since the last
    /// call.
    fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.state.late_donations), std::mem::take(&mut self.state.released_donations))
    }

    /// Take back published totals and tombstones, a run of the topic's log.
    fn restore(&mut self, py: Python, data: &[u8], aborted: Aborted, position: i64) -> PyResult<()> {
        let Self { reader, state, .. } = self;
        py.detach(|| {
            reader.read(data, aborted, position, |record| state.restore(record.key.unwrap_or_default(), record.value))
        })?;
        Ok(())
    }

    /// Take back one record of the topic.
    fn restore_record(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> PyResult<()> {
        Ok(self.state.restore(key.unwrap_or_default(), value)?)
    }

    /// The watermark that the restored totals bear.
    #[getter]
    fn watermark_ms(&self) -> i64 {
        self.state.watermark_ms
    }

    /// To be called once, behind the last record: judge every window by the restored watermark.
    fn finish_restore(&mut self, watermark_ms: i64) -> PyResult<()> {
        Ok(self.state.finish_restore(watermark_ms)?)
    }

    /// How many totals of each kind of window are in memory.
    fn sizes(&self) -> [usize; KINDS] {
        let mut sizes = [0; KINDS];
        for table in self.state.tables.iter().flatten().filter(|table| !table.is_released) {
            sizes[table.window.kind as usize] += table.entries.len();
        }
        sizes
    }
}

impl State {
    fn fold(&mut self, advance: &Py<PyAny>, record: &Record) -> Result<(), Fault> {
        let value = record.value.unwrap_or_default();
        let Some(key) = record.key else {
            let risen: Option<i64> =
                Python::attach(|py| advance.bind(py).call1((PyBytes::new(py, value),))?.extract())?;
            if let Some(watermark_ms) = risen {
                self.advance(watermark_ms);
            }
            return Ok(());
        };
        let broken = |what: String| Fault::Broken(format!("a partial sum that can't be read: {what}"));
        let name = std::str::from_utf8(key).map_err(|error| broken(error.to_string()))?;
        let delta: Delta = serde_json::from_slice(value).map_err(|error| broken(error.to_string()))?;
        let project = self.project(name);
        for MinuteSum(minute_ms, fen, donations) in delta.minutes {
            let tables = self.tables_of(minute_ms)?;
            if tables[Kind::Minute as usize].is_none() {
                self.late_donations += donations; // its minute is past and gone
            }
            for table in tables {
                match table {
                    None => self.released_donations += donations,
                    Some(table) => self.add(table, project, fen, donations)?,
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, table_id: u32, project: u32, fen: u64, donations: u64) -> Result<(), Fault> {
        let Some(table) = self.tables[table_id as usize].as_mut() else {
            return Err(Fault::Broken("a table that is gone".into()));
        };
        if table.is_final {
            if table.entries.is_packed() {
                self.unpacked.push(table_id);
            }
            table.is_touched = true;
        }
        let found = table.entries.open().entry(project);
        let place = found.index() as u32;
        let entry = found.or_default();
        let Some(sum) = entry.fen.checked_add(fen) else {
            let fen = u128::from(entry.fen) + u128::from(fen);
            let (name, window) = (self.projects[project as usize].to_string(), &table.window);
            return Err(Fault::Beyond(name, window.kind as u8, window.start_ms, fen));
        };
        entry.fen = sum;
        entry.donations += donations;
        if table.is_final {
            entry.late_fen += fen;
            if table.window.kind == Kind::Minute {
                self.late_donations += donations;
            }
        }
        if !entry.changed {
            entry.changed = true;
            self.changed.push((table_id, place));
        }
        Ok(())
    }

    fn project(&mut self, name: &str) -> u32 {
        let found = self.projects.get_index_of(name);
        found.unwrap_or_else(|| self.projects.insert_full(name.into()).0) as u32
    }

    fn tables_of(&mut self, minute_ms: i64) -> Result<SixTables, Fault> {
        if let Some(&tables) = self.by_minute.get(&minute_ms) {
            return Ok(tables);
        }
        if self.by_minute.len() >= MINUTES_CACHED_MAX {
            self.by_minute.clear();
        }
        let windows = self.windows.at(minute_ms)?;
        let tables = windows.map(|window| self.table(window));
        self.by_minute.insert(minute_ms, tables);
        Ok(tables)
    }

    /// The table of `window`, made if it is new; None if it has been released.
    fn table(&mut self, window: Window) -> Option<u32> {
        let place = (window.kind, window.start_ms);
        if let Some(&table) = self.table_of.get(&place) {
            return Some(table);
        }
        if self.schedule.is_past(&window, self.watermark_ms) || self.released.contains(&place) {
            return None;
        }
        let is_final = window.ends_by(self.watermark_ms);
        self.schedule.add(&window, is_final);
        let id = self.add_table(window, is_final);
        if is_final {
            self.unpacked.push(id);
        }
        Some(id)
    }

    fn add_table(&mut self, window: Window, is_final: bool) -> u32 {
        let place = (window.kind, window.start_ms);
        let table = Table { window, is_final, is_released: false, is_touched: false, entries: Entries::new() };
        let id = if let Some(id) = self.free.pop() {
            self.tables[id as usize] = Some(table);
            id
        } else {
            self.tables.push(Some(table));
            self.tables.len() as u32 - 1
        };
        self.table_of.insert(place, id);
        id
    }

    /// Windows that the watermark has passed become final, and old ones are released.
    fn advance(&mut self, watermark_ms: i64) {
        self.watermark_ms = watermark_ms;
        while let Some(place) = self.schedule.next_end(watermark_ms) {
            let id = self.table_of[&place];
            if let Some(table) = self.tables[id as usize].as_mut() {
                table.is_final = true;
                self.schedule.add(&table.window, true);
                for (index, entry) in table.entries.open().values_mut().enumerate() {
                    if !entry.changed {
                        entry.changed = true;
                        self.changed.push((id, index as u32));
                    }
                }
                self.unpacked.push(id);
            }
        }
        while let Some(place) = self.schedule.next_release(watermark_ms) {
            if let Some(id) = self.table_of.remove(&place) {
                if let Some(table) = self.tables[id as usize].as_mut() {
                    table.is_released = true;
                }
                self.gone.push(id);
                self.by_minute.clear();
            }
        }
    }

    fn publish(
        &mut self,
        packer: &mut Packer,
        now_ms: i64,
        position: i64,
    ) -> Result<Vec<crate::writer::Finished>, Fault> {
        let headers = header(POSITION_HEADER, position.to_string().as_bytes());
        let mut writer = Writer::default();
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for (table, index) in std::mem::take(&mut self.changed) {
            let Some(table) = self.tables[table as usize].as_mut() else {
                continue;
            };
            let Some((&project, entry)) = table.entries.open().get_index_mut(index as usize) else {
                continue;
            };
            let name = &self.projects[project as usize];
            entry.changed = false;
            entry.revision += 1;
            if entry.fen > INT64_MAX {
                let window = &table.window;
                return Err(Fault::Beyond(name.to_string(), window.kind as u8, window.start_ms, entry.fen.into()));
            }
            write_key(&mut key, name, &table.window);
            write_total(&mut value, name, &table.window, table.is_final, entry, self.watermark_ms);
            writer.append(packer, now_ms, Some(&key), Some(&value), &headers)?;
        }
        for id in std::mem::take(&mut self.gone) {
            if let Some(table) = self.tables[id as usize].take() {
                for project in table.entries.projects() {
                    write_key(&mut key, &self.projects[project as usize], &table.window);
                    writer.append(packer, now_ms, Some(&key), None, &headers)?;
                }
            }
            self.free.push(id);
        }
        self.pack_final();
        writer.take(packer)
    }

    /// Pack the final tables for which nothing came since the last outcome. No change may be waiting to be published.
    fn pack_final(&mut self) {
        let tables = &mut self.tables;
        self.unpacked.retain(|&id| {
            let Some(table) = tables[id as usize].as_mut().filter(|table| table.is_final) else {
                return false; // released, and its number is free or another's
            };
            if !table.is_touched {
                table.entries.pack();
            }
            std::mem::take(&mut table.is_touched)
        });
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Fault> {
        let Some(value) = value else {
            return self.forget(key);
        };
        let broken = |what: String| Fault::Broken(format!("a total that can't be read back: {what}"));
        let total: RawTotal = serde_json::from_slice(value).map_err(|error| broken(error.to_string()))?;
        let kind = Kind::of(total.window).ok_or_else(|| broken(format!("no kind of window {:?}", total.window)))?;
        let place = (kind, total.start_ms);
        let table = match self.table_of.get(&place) {
            Some(&table) => table,
            None => {
                let window = self.windows.starting_at(kind, total.start_ms)?;
                self.released.remove(&place);
                self.add_table(window, false)
            }
        };
        let project = self.project(&total.project_id);
        let entry = Entry {
            fen: total.fen,
            donations: total.donations,
            late_fen: total.late_fen,
            revision: total.revision,
            changed: false,
        };
        if let Some(table) = self.tables[table as usize].as_mut() {
            table.entries.open().insert(project, entry);
            table.is_touched = true;
        }
        self.watermark_ms = self.watermark_ms.max(total.watermark_ms);
        self.restored += 1;
        if self.restored == RESTORED_PER_LOOK {
            self.restored = 0;
            for table in self.tables.iter_mut().flatten() {
                if !std::mem::take(&mut table.is_touched) {
                    table.entries.pack();
                }
            }
        }
        Ok(())
    }

    fn forget(&mut self, key: &[u8]) -> Result<(), Fault> {
        let (name, kind, start_ms) =
            read_key(key).ok_or_else(|| Fault::Broken("a tombstone whose key can't be read back".into()))?;
        let place = (kind, start_ms);
        if let Some(&id) = self.table_of.get(&place) {
            if let Some(table) = self.tables[id as usize].as_mut() {
                if let Some(project) = self.projects.get_index_of(name) {
                    table.entries.open().swap_remove(&(project as u32));
                }
                if table.entries.len() > 0 {
                    return Ok(());
                }
            }
            self.table_of.remove(&place);
            self.tables[id as usize] = None;
            self.free.push(id);
        }
        self.released.insert(place);
        Ok(())
    }

    fn finish_restore(&mut self, watermark_ms: i64) -> Result<(), Fault> {
        self.watermark_ms = watermark_ms;
        for table in self.tables.iter_mut().flatten() {
            table.is_final = table.window.ends_by(watermark_ms);
            table.is_touched = false;
            if table.is_final {
                table.entries.pack();
            }
            self.schedule.add(&table.window, table.is_final);
        }
        let released = std::mem::take(&mut self.released);
        for (kind, start_ms) in released {
            let window = self.windows.starting_at(kind, start_ms)?;
            if !self.schedule.is_past(&window, watermark_ms) {
                self.released.insert((kind, start_ms));
            }
        }
        Ok(())
    }
}

fn write_key(out: &mut Vec<u8>, name: &str, window: &Window) {
    out.clear();
    out.extend_from_slice(name.as_bytes());
    out.push(b'|');
    out.extend_from_slice(window.kind.name().as_bytes());
    out.push(b'|');
    text::integer(out, window.start_ms);
}

fn read_key(key: &[u8]) -> Option<(&str, Kind, i64)> {
    let mut parts = std::str::from_utf8(key).ok()?.rsplitn(3, '|');
    let start_ms = parts.next()?.parse().ok()?;
    let kind = Kind::of(parts.next()?)?;
    Some((parts.next()?, kind, start_ms))
}

fn write_total(out: &mut Vec<u8>, name: &str, window: &Window, is_final: bool, entry: &Entry, watermark_ms: i64) {
    out.clear();
    out.extend_from_slice(b"{\"project_id\":");
    text::string(out, name, false);
    out.extend_from_slice(b",\"window\":\"");
    out.extend_from_slice(window.kind.name().as_bytes());
    out.extend_from_slice(b"\",\"start_ms\":");
    text::integer(out, window.start_ms);
    out.extend_from_slice(b",\"end_ms\":");
    match window.end_ms {
        Some(end_ms) => text::integer(out, end_ms),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"start\":");
    match &window.start {
        Some(start) => text::string(out, start, true),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"fen\":");
    text::integer(out, entry.fen);
    out.extend_from_slice(b",\"donations\":");
    text::integer(out, entry.donations);
    out.extend_from_slice(b",\"late_fen\":");
    text::integer(out, entry.late_fen);
    out.extend_from_slice(b",\"watermark_ms\":");
    text::integer(out, watermark_ms);
    out.extend_from_slice(if is_final { b",\"final\":true" } else { b",\"final\":false" });
    out.extend_from_slice(b",\"revision\":");
    text::integer(out, entry.revision);
    out.push(b'}');
}
