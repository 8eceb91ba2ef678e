//! Order ids at rest: sorted by their hash, 13 bytes each, in pages of one size. `memory.rs` says what they are for.
//!
//! Of an id's 80 bits 6 are the shard's number, and 10 tell the group in which it stands; 64 are kept. The entries of a
//! group are sorted, and hashes lie evenly, so where one stands is guessed well and then walked to.
//!
//! What is added is merged in place, from the end: there is never a second copy. Pages are all of one size, so what grows
//! leaves no holes behind that are too small for it.

use crate::memory::{IdHash, SHARD_BITS};

const PAGE: usize = 256; // entries of a page: half of one is unused for each shard, and a block's header is 16 bytes
const GROUP_BITS: u32 = 10;
const GROUPS: usize = 1 << GROUP_BITS;

/// What is kept of an id: the bits behind the group's number, the slice in which it was remembered, its fingerprint.
#[derive(Clone, Copy)]
pub struct Kept {
    rest: u64,
    pub stamp: u8,
    pub said: u32,
}

/// A kept id, and the group that it belongs to.
pub type Placed = (usize, Kept);

// By columns: looking for an id reads the first one alone.
struct Page {
    rest: [u64; PAGE],
    said: [u32; PAGE],
    stamp: [u8; PAGE],
}

/// The ids of one shard that aren't recent.
#[derive(Default)]
pub struct Packed {
    starts: Vec<u32>, // where each group begins, and behind the last one where it ends; empty if no id is held
    #[allow(clippy::vec_box)] // each alone, so that one more moves none of the others
    pages: Vec<Box<Page>>,
    held: usize,
}

impl Kept {
    /// Where an id belongs, and what is kept of it.
    pub fn of(id: IdHash, stamp: u8, said: u32) -> Placed {
        let group = (id.high << SHARD_BITS >> (64 - GROUP_BITS)) as usize;
        let rest = id.high << (SHARD_BITS + GROUP_BITS) | u64::from(id.low);
        (group, Self { rest, stamp, said })
    }
}

impl Packed {
    pub fn len(&self) -> usize {
        self.held
    }

    pub fn find(&self, id: IdHash) -> Option<usize> {
        if self.held == 0 {
            return None;
        }
        let (group, wanted) = Kept::of(id, 0, 0);
        let at = self.first_from(group, self.held, &wanted);
        let is_held = at < self.starts[group + 1] as usize && self.rest(at) == wanted.rest;
        is_held.then_some(at)
    }

    /// What `find` reads first.
    pub fn peek(&self, id: IdHash) -> Option<u64> {
        let (group, wanted) = Kept::of(id, 0, 0);
        let at = guess(*self.starts.get(group)?, self.starts[group + 1], &wanted);
        Some(self.pages.get(at / PAGE)?.rest[at % PAGE])
    }

    pub fn at(&self, at: usize) -> Kept {
        let (page, at) = (&self.pages[at / PAGE], at % PAGE);
        Kept { rest: page.rest[at], stamp: page.stamp[at], said: page.said[at] }
    }

    /// Write down anew what an id that was forgotten says.
    pub fn renew(&mut self, at: usize, stamp: u8, said: u32) {
        let page = &mut self.pages[at / PAGE];
        (page.stamp[at % PAGE], page.said[at % PAGE]) = (stamp, said);
    }

    /// Drop what isn't `remembered` by its stamp any more, and take in `added`, sorted, none of which is held.
    pub fn merge(&mut self, added: &[Placed], remembered: impl Fn(u8) -> bool) {
        self.forget(remembered);
        if added.is_empty() {
            return;
        }
        self.starts.resize(GROUPS + 1, 0);
        let mut end = self.held;
        self.held += added.len();
        self.pages.resize_with(self.held.div_ceil(PAGE), Page::new);
        // What is before `end` stands where it stood.
        for (before, (group, new)) in added.iter().enumerate().rev() {
            let at = self.first_from(*group, end, new);
            self.shift(at, end, before + 1);
            self.set(at + before, *new);
            end = at;
        }
        let (mut before, mut groups) = (0, added.iter().map(|&(group, _)| group).peekable());
        for (group, start) in self.starts.iter_mut().enumerate() {
            *start += before;
            while groups.next_if_eq(&group).is_some() {
                before += 1;
            }
        }
    }

    fn forget(&mut self, remembered: impl Fn(u8) -> bool) {
        let held = |number: usize| (self.held - number * PAGE).min(PAGE);
        let mut pages = self.pages.iter().enumerate();
        if pages.all(|(number, page)| page.stamp[..held(number)].iter().all(|&stamp| remembered(stamp))) {
            return;
        }
        let (mut from, mut to) = (0, 0);
        for group in 0..GROUPS {
            let until = self.starts[group + 1] as usize;
            for at in from..until {
                let kept = self.at(at);
                if remembered(kept.stamp) {
                    self.set(to, kept);
                    to += 1;
                }
            }
            self.starts[group + 1] = to as u32;
            from = until;
        }
        self.held = to;
        self.pages.truncate(to.div_ceil(PAGE));
        if to == 0 {
            *self = Self::default();
        }
    }

    /// Where in the group, before `end`, the first entry stands that doesn't come before `wanted`.
    fn first_from(&self, group: usize, end: usize, wanted: &Kept) -> usize {
        let (start, end) = (self.starts[group] as usize, end.min(self.starts[group + 1] as usize));
        let comes_before = |at: usize| self.rest(at) < wanted.rest;
        let mut at = guess(start as u32, end as u32, wanted);
        while at < end && comes_before(at) {
            at += 1;
        }
        while at > start && !comes_before(at - 1) {
            at -= 1;
        }
        at
    }

    /// Move the entries of [from, end) behind by so many places.
    fn shift(&mut self, from: usize, mut end: usize, by: usize) {
        while end > from {
            let count = (end - from).min((end - 1) % PAGE + 1).min((end + by - 1) % PAGE + 1);
            end -= count;
            let (source, target) = (end / PAGE, (end + by) / PAGE);
            let (from, to) = (end % PAGE..end % PAGE + count, (end + by) % PAGE);
            if source == target {
                let page = &mut self.pages[source];
                page.rest.copy_within(from.clone(), to);
                page.said.copy_within(from.clone(), to);
                page.stamp.copy_within(from, to);
            } else {
                let (before, after) = self.pages.split_at_mut(target);
                let (source, target, to) = (&before[source], &mut after[0], to..to + count);
                target.rest[to.clone()].copy_from_slice(&source.rest[from.clone()]);
                target.said[to.clone()].copy_from_slice(&source.said[from.clone()]);
                target.stamp[to].copy_from_slice(&source.stamp[from]);
            }
        }
    }

    fn set(&mut self, at: usize, kept: Kept) {
        let (page, at) = (&mut self.pages[at / PAGE], at % PAGE);
        (page.rest[at], page.stamp[at], page.said[at]) = (kept.rest, kept.stamp, kept.said);
    }

    fn rest(&self, at: usize) -> u64 {
        self.pages[at / PAGE].rest[at % PAGE]
    }
}

/// Where in [start, end) an entry stands, more or less.
fn guess(start: u32, end: u32, wanted: &Kept) -> usize {
    start as usize + ((u128::from(wanted.rest) * u128::from(end - start)) >> 64) as usize
}

impl Page {
    fn new() -> Box<Self> {
        Box::new(Self { rest: [0; PAGE], said: [0; PAGE], stamp: [0; PAGE] })
    }
}
