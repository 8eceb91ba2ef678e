//! Partial sums: what each project received in each minute within one commit.

use std::hash::BuildHasher;
use std::hint::black_box;

use indexmap::IndexMap;
use indexmap::map::raw_entry_v1::{RawEntryApiV1, RawEntryMut};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::fault::Fault;
use crate::partitioner::partition_of;
use crate::text;
use crate::writer::{Finished, NO_HEADERS, Packer, Writer};

const MINUTE_MS: i64 = 60_000;
const PROJECTS_CACHED_MAX: usize = 1_000_000; // projects whose partition is remembered; tens of thousands exist
const NONE: u32 = u32::MAX;

type Name = SmallVec<[u8; 16]>; // short ones stand in the table itself: to compare them waits for nothing more

/// The partial sums of one partition of `orders`.
#[derive(Default)]
pub struct Sums {
    projects: IndexMap<Name, Project>,
    touched: Vec<u32>, // projects with cells, in the order in which they came
    cells: Vec<Cell>,
    earlier: FxHashMap<(u32, i64), u32>, // cells by project and minute, but for each project's last one
    value: Vec<u8>,
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

impl Sums {
    /// How many projects' places are remembered.
    pub fn projects(&self) -> usize {
        self.projects.len()
    }

    /// The hash of a project's id, for `project`: made beforehand, so that look-ups one behind the other are short enough to
    /// overlap.
    pub fn hash(&self, project_id: &[u8]) -> u64 {
        self.projects.hasher().hash_one(project_id)
    }

    /// A project's number, until the sums are written.
    pub fn project(&mut self, project_id: &[u8], hash: u64) -> u32 {
        let number = match self.projects.raw_entry_mut_v1().from_hash(hash, |name| **name == *project_id) {
            RawEntryMut::Occupied(found) => found.index(),
            RawEntryMut::Vacant(place) => {
                let number = place.index();
                let project = Project { partition: NONE, first_cell: NONE, last_cell: NONE };
                place.insert_hashed_nocheck(hash, project_id.into(), project);
                number
            }
        };
        number as u32
    }

    /// Read what adding to these projects' sums will read first, so that the waits for it overlap.
    pub fn fetch(&self, projects: impl Iterator<Item = u32>) {
        for project in projects {
            let last_cell = self.projects[project as usize].last_cell;
            black_box(self.cells.get(last_cell as usize).map(|cell| cell.minute_ms));
        }
    }

    /// Add a donation.
    pub fn add(&mut self, project_number: u32, completed_at: i64, fen: u64) {
        let minute_ms = completed_at - completed_at % MINUTE_MS;
        let new = self.cells.len() as u32;
        let project = &mut self.projects[project_number as usize];
        // Time goes on: mostly it is the minute of the project's last cell, or its first one; no table is looked into then.
        let found = match self.cells.get(project.last_cell as usize) {
            Some(cell) if cell.minute_ms == minute_ms => Some(project.last_cell),
            _ if project.first_cell == project.last_cell => None,
            _ => self.earlier.get(&(project_number, minute_ms)).copied(),
        };
        if let Some(cell) = found {
            let cell = &mut self.cells[cell as usize];
            cell.fen += fen;
            cell.donations += 1;
            return;
        }
        self.cells.push(Cell { minute_ms, fen, donations: 1, next: NONE });
        if project.first_cell == NONE {
            project.first_cell = new;
            self.touched.push(project_number);
        } else {
            let last = &mut self.cells[project.last_cell as usize];
            last.next = new;
            self.earlier.insert((project_number, last.minute_ms), project.last_cell);
        }
        project.last_cell = new;
    }

    /// All sums as finished batches by partition of `project-deltas`; there are none any more then.
    ///
    /// `mark` goes behind the sums of each partition that has some, `lone_mark` to the others, if there is one.
    pub fn write(
        &mut self,
        packer: &mut Packer,
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
            writers[partition].append(packer, now_ms, Some(name), Some(&self.value), NO_HEADERS)?;
            marks[partition] = Some(mark);
            (project.first_cell, project.last_cell) = (NONE, NONE);
        }
        self.cells.clear();
        self.earlier.clear();
        if self.projects.len() >= PROJECTS_CACHED_MAX {
            self.projects.clear();
        }
        let mut written = Vec::new();
        for (partition, mut writer) in writers.into_iter().enumerate() {
            if let Some(mark) = marks[partition] {
                writer.append(packer, now_ms, None, Some(mark), NO_HEADERS)?;
                written.push((partition, writer.take(packer)?));
            }
        }
        Ok(written)
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
