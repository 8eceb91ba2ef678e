//! The totals of one window, by project, in the order in which the projects came to it: tombstones go out in that order.
//!
//! While a window is open its totals lie in a table, at some 80 bytes each. Once it is final hardly anything comes for it:
//! then they are packed into bytes, 6 to 9 each, and are unpacked as a whole if something does come.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

/// One project's total in one window.
#[derive(Default)]
pub struct Entry {
    pub fen: u64,
    pub donations: u64,
    pub late_fen: u64,
    pub revision: u64,
    pub changed: bool,
}

type Table = IndexMap<u32, Entry, FxBuildHasher>;

pub enum Entries {
    Open(Table),
    Packed { bytes: Box<[u8]>, count: usize },
}

impl Entries {
    pub fn new() -> Self {
        Self::Open(Table::default())
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Open(table) => table.len(),
            Self::Packed { count, .. } => *count,
        }
    }

    pub fn is_packed(&self) -> bool {
        matches!(self, Self::Packed { .. })
    }

    /// The projects' numbers.
    pub fn projects(&self) -> Vec<u32> {
        match self {
            Self::Open(table) => table.keys().copied().collect(),
            Self::Packed { bytes, .. } => Unpacking(bytes).map(|(project, _)| project).collect(),
        }
    }

    /// The table, unpacked if need be.
    pub fn open(&mut self) -> &mut Table {
        if let Self::Packed { bytes, count } = self {
            let mut table = Table::with_capacity_and_hasher(*count, FxBuildHasher);
            table.extend(Unpacking(bytes));
            *self = Self::Open(table);
        }
        match self {
            Self::Open(table) => table,
            Self::Packed { .. } => unreachable!("it has just been unpacked"),
        }
    }

    /// Pack them. No change may be waiting to be published.
    pub fn pack(&mut self) {
        let Self::Open(table) = self else {
            return;
        };
        let mut bytes = Vec::new();
        for (&project, entry) in &*table {
            debug_assert!(!entry.changed);
            put(&mut bytes, u64::from(project) << 1 | u64::from(entry.late_fen > 0));
            put(&mut bytes, entry.fen);
            put(&mut bytes, entry.donations);
            put(&mut bytes, entry.revision);
            if entry.late_fen > 0 {
                put(&mut bytes, entry.late_fen);
            }
        }
        *self = Self::Packed { bytes: bytes.into_boxed_slice(), count: table.len() };
    }
}

/// What is left of packed bytes.
struct Unpacking<'a>(&'a [u8]);

impl Iterator for Unpacking<'_> {
    type Item = (u32, Entry);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (project, fen, donations, revision) = (self.take(), self.take(), self.take(), self.take());
        let late_fen = if project & 1 == 1 { self.take() } else { 0 };
        Some(((project >> 1) as u32, Entry { fen, donations, late_fen, revision, changed: false }))
    }
}

impl Unpacking<'_> {
    fn take(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.0[0];
            self.0 = &self.0[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
}

/// Seven bits a byte, the lowest first; in no byte but the last one the highest bit is 0.
fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [u64; 9] = [0, 1, 127, 128, 16_383, 16_384, i64::MAX as u64, 1 << 63, u64::MAX];

    fn rows(entries: &mut Entries) -> Vec<(u32, u64, u64, u64, u64, bool)> {
        let rows = entries.open().iter();
        rows.map(|(&project, e)| (project, e.fen, e.donations, e.late_fen, e.revision, e.changed)).collect()
    }

    #[test]
    fn what_is_packed_is_unpacked_in_its_order() {
        let mut entries = Entries::new();
        let mut number = 0;
        for &fen in &VALUES {
            for &late_fen in &VALUES {
                for &other in &VALUES {
                    number = u32::wrapping_add(number, 0x9e37_79b9);
                    let entry = Entry { fen, donations: other, late_fen, revision: other ^ fen, changed: false };
                    entries.open().insert(number, entry);
                }
            }
        }
        entries.open().insert(u32::MAX, Entry::default());
        let (before, projects) = (rows(&mut entries), entries.projects());
        entries.pack();
        assert!(entries.is_packed());
        assert_eq!((entries.len(), entries.projects()), (before.len(), projects));
        assert_eq!(rows(&mut entries), before);
        assert!(!entries.is_packed());
    }

    #[test]
    fn a_minutes_total_takes_seven_bytes() {
        let mut entries = Entries::new();
        for project in 0..3_750 {
            entries.open().insert(project, Entry { fen: 900, donations: 3, late_fen: 0, revision: 5, changed: false });
        }
        entries.pack();
        assert!(matches!(entries, Entries::Packed { bytes, .. } if bytes.len() <= 6 * 3_750));
    }

    #[test]
    fn a_window_without_totals_is_packed_too() {
        let mut entries = Entries::new();
        entries.pack();
        assert_eq!((entries.len(), entries.projects(), rows(&mut entries)), (0, vec![], vec![]));
    }
}
