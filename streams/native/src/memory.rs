//! The memory of order ids by which repeats are told: `domain/dedupe.py` has the rule, and is the reference.
//!
//! In place of an id 80 bits of a keyed hash are compared, all of them at each look-up; with it go the low 8 bits of the
//! slice of time in which it was remembered, and 32 bits of the fingerprint of its donations. The odds that one of ten
//! billion look-ups takes an id for another one of ten million remembered are 1 in 12 million; that a conflict is taken for
//! a repeat, which donates as little, 1 in 4 * 10^9. The hash is SipHash, keyed anew in each process, so nobody can choose
//! ids that collide.
//!
//! A shard has a small table of recent ids, in open addressing at 16 bytes a place, and all others packed to 13 bytes,
//! without a gap (`packed.rs`). When the small table is full, a 32nd of them, it is merged into those, and what is
//! forgotten is dropped. So an id is copied some 32 times while its shard turns over, at a nanosecond each.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;
use std::sync::OnceLock;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::packed::{Kept, Packed};

pub const SHARD_BITS: u32 = 6;
const SLICES: i64 = 24;
const RECENT_PART: usize = 32; // of a shard's ids so many are packed for each that is recent
const RECENT_MIN: usize = 256; // ids that are left recent, however few are packed
const PLACES_MIN: usize = 16;
// An entry knows its slice modulo 256: none may become that old. The clock moves by SLICES at most (further, and all is
// forgotten), so sweeping when this many slices have passed leaves room.
const SWEEP_AFTER_SLICES: i64 = 192;
const LOW_BITS: u32 = 16;

/// 80 bits of an id's hash.
#[derive(Clone, Copy)]
pub struct IdHash {
    pub high: u64, // never 0, which marks an empty place
    pub low: u32,  // 16 bits
}

/// The order ids of one partition within the horizon, each with the fingerprint of its donations.
pub struct OrderMemory {
    /// The highest time of the orders remembered, ms.
    pub clock_ms: i64,
    slice_ms: i64,
    slice: i64,
    swept_slice: i64,
    next_slice_ms: i64,
    shards: Vec<Shard>,
}

/// An id is in one of the two.
#[derive(Default)]
struct Shard {
    recent: Recent,
    packed: Packed,
}

#[derive(Default)]
struct Recent {
    high: Vec<u64>,
    low: Vec<u64>, // 16 bits of the hash, 32 of the fingerprint, 8 of the slice
    held: usize,
}

impl OrderMemory {
    pub fn new(horizon_ms: i64) -> Self {
        let slice_ms = horizon_ms / SLICES;
        let shards = (0..1 << SHARD_BITS).map(|_| Shard::default()).collect();
        Self { clock_ms: 0, slice_ms, slice: 0, swept_slice: 0, next_slice_ms: slice_ms, shards }
    }

    /// How many ids are held, those forgotten but not yet dropped among them.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.recent.held + shard.packed.len()).sum()
    }

    /// The fingerprint of an order whose id is remembered now.
    pub fn known(&self, id: IdHash) -> Option<u32> {
        let (stamp, said) = self.shards[shard_of(id)].get(id)?;
        is_remembered(stamp, self.slice).then_some(said)
    }

    /// Read what looking up these ids will read first. Each look-up decides by what it finds, so one by one each would wait
    /// for memory; here nothing is decided, so the waits overlap, and the look-ups find it at hand.
    pub fn fetch(&self, ids: impl Iterator<Item = IdHash>) {
        for id in ids {
            let shard = &self.shards[shard_of(id)];
            black_box((shard.recent.peek(id), shard.packed.peek(id)));
        }
    }

    /// Remember an accepted order that donated and isn't known. Advances the clock.
    pub fn remember(&mut self, id: IdHash, fingerprint: u32, completed_at: i64) {
        if completed_at > self.clock_ms {
            self.clock_ms = completed_at;
            if completed_at >= self.next_slice_ms {
                self.enter_slice(completed_at / self.slice_ms);
            }
        }
        self.shards[shard_of(id)].put(id, fingerprint, self.slice);
    }

    fn enter_slice(&mut self, entered: i64) {
        if entered - self.slice > SLICES {
            self.shards.iter_mut().for_each(|shard| *shard = Shard::default());
            self.swept_slice = entered;
        } else if entered - self.swept_slice > SWEEP_AFTER_SLICES {
            self.shards.iter_mut().for_each(|shard| shard.sweep(entered));
            self.swept_slice = entered;
        }
        self.slice = entered;
        self.next_slice_ms = (entered + 1) * self.slice_ms;
    }
}

impl Shard {
    /// The stamp and the fingerprint of an id that is held.
    fn get(&self, id: IdHash) -> Option<(u8, u32)> {
        if let Some(at) = self.recent.find(id) {
            let low = self.recent.low[at];
            return Some((low as u8, (low >> 8) as u32));
        }
        let kept = self.packed.at(self.packed.find(id)?);
        Some((kept.stamp, kept.said))
    }

    /// Hold an id that isn't remembered; it may be held as one that was forgotten.
    fn put(&mut self, id: IdHash, said: u32, slice: i64) {
        let low = u64::from(id.low) << (64 - LOW_BITS) | u64::from(said) << 8 | u64::from(slice as u8);
        if let Some(at) = self.recent.find(id) {
            self.recent.low[at] = low;
        } else if let Some(at) = self.packed.find(id) {
            self.packed.renew(at, slice as u8, said);
        } else {
            if self.recent.is_full() {
                self.make_room(slice);
            }
            self.recent.put(id.high, low);
        }
    }

    fn make_room(&mut self, slice: i64) {
        let size = self.recent.high.len();
        if size >= self.places() {
            return self.pack(slice);
        }
        let live = self.recent.entries().filter(|&(_, low)| is_remembered(low as u8, slice)).count();
        let wanted =
            if live * 4 > size * 3 || size == 0 { (size + size / 2).clamp(PLACES_MIN, self.places()) } else { size };
        self.recent.rebuild(wanted, slice);
    }

    /// Drop what is forgotten.
    fn sweep(&mut self, slice: i64) {
        if self.packed.len() == 0 {
            self.recent.rebuild(self.recent.high.len(), slice);
        } else {
            self.pack(slice);
        }
    }

    /// Pack all ids; drop those that are forgotten, and give back what a rush has left behind.
    fn pack(&mut self, slice: i64) {
        let mut recent: Vec<_> = self.recent.entries().filter(|&(_, low)| is_remembered(low as u8, slice)).collect();
        recent.sort_unstable(); // by hash: the fingerprint and the slice stand behind it
        let added: Vec<_> = recent
            .iter()
            .map(|&(high, low)| {
                let id = IdHash { high, low: (low >> (64 - LOW_BITS)) as u32 };
                Kept::of(id, low as u8, (low >> 8) as u32)
            })
            .collect();
        self.packed.merge(&added, |stamp| is_remembered(stamp, slice));
        self.recent.clear(if self.packed.len() > 0 { self.places() } else { 0 });
    }

    /// How many places the table of recent ids may have. In steps of an eighth: each size leaves a hole of its own.
    fn places(&self) -> usize {
        let ids = (self.packed.len() / RECENT_PART).max(RECENT_MIN);
        ids.next_multiple_of(1 << (ids.ilog2() - 3)) / 7 * 8
    }
}

impl Recent {
    fn is_full(&self) -> bool {
        (self.held + 1) * 8 > self.high.len() * 7
    }

    fn home(&self, high: u64) -> usize {
        ((u128::from(high << SHARD_BITS) * self.high.len() as u128) >> 64) as usize
    }

    /// What `find` and `put` read first.
    fn peek(&self, id: IdHash) -> Option<(u64, u64)> {
        let at = self.home(id.high);
        Some((*self.high.get(at)?, *self.low.get(at)?))
    }

    fn find(&self, id: IdHash) -> Option<usize> {
        let size = self.high.len();
        if size == 0 {
            return None;
        }
        let mut at = self.home(id.high);
        loop {
            let held = self.high[at];
            if held == 0 {
                return None;
            }
            if held == id.high && (self.low[at] >> (64 - LOW_BITS)) as u32 == id.low {
                return Some(at);
            }
            at = if at + 1 == size { 0 } else { at + 1 };
        }
    }

    fn put(&mut self, high: u64, low: u64) {
        let size = self.high.len();
        let mut at = self.home(high);
        while self.high[at] != 0 {
            at = if at + 1 == size { 0 } else { at + 1 };
        }
        (self.high[at], self.low[at]) = (high, low);
        self.held += 1;
    }

    fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.high.iter().zip(&self.low).filter(|&(&high, _)| high != 0).map(|(&high, &low)| (high, low))
    }

    /// Empty it; from now on it has so many places.
    fn clear(&mut self, size: usize) {
        if size == self.high.len() {
            self.high.fill(0);
            self.held = 0;
        } else {
            *self = Self::default(); // first give back what it has
            *self = Self { high: vec![0; size], low: vec![0; size], held: 0 };
        }
    }

    /// Make it anew with so many places, without what is forgotten.
    fn rebuild(&mut self, size: usize, slice: i64) {
        let old = std::mem::replace(self, Self { high: vec![0; size], low: vec![0; size], held: 0 });
        for (high, low) in old.entries().filter(|&(_, low)| is_remembered(low as u8, slice)) {
            self.put(high, low);
        }
    }
}

/// True for the stamp of an entry that isn't forgotten yet.
fn is_remembered(stamp: u8, slice: i64) -> bool {
    (slice as u8).wrapping_sub(stamp) <= SLICES as u8
}

fn shard_of(id: IdHash) -> usize {
    (id.high >> (64 - SHARD_BITS)) as usize
}

/// The hash of an order's id.
pub fn hash_id(order_id: impl AsRef<[u8]>) -> IdHash {
    let hash = keyed(order_id.as_ref());
    IdHash { high: hash.0.max(1), low: hash.1 as u32 >> (32 - LOW_BITS) }
}

/// 32 bits of all that the donations of an order say, never 0.
pub fn fingerprint(said: &[u8]) -> u32 {
    (keyed(said).0 as u32).max(1)
}

fn keyed(bytes: &[u8]) -> (u64, u64) {
    static KEYS: OnceLock<(u64, u64)> = OnceLock::new();
    let &(first, second) = KEYS.get_or_init(|| {
        let chance = RandomState::new(); // keyed by the system's randomness
        let key = |of: u64| {
            let mut hasher = chance.build_hasher();
            hasher.write_u64(of);
            hasher.finish()
        };
        (key(1), key(2))
    });
    let mut hasher = SipHasher13::new_with_keys(first, second);
    hasher.write(bytes);
    let hash = hasher.finish128();
    (hash.h1, hash.h2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remember(memory: &mut OrderMemory, numbers: std::ops::Range<i64>, slice: i64) {
        numbers.for_each(|number| memory.remember(hash_id(number.to_string()), number as u32, slice * 1_000));
    }

    fn packed(memory: &OrderMemory) -> usize {
        memory.shards.iter().map(|shard| shard.packed.len()).sum()
    }

    fn places(memory: &OrderMemory) -> usize {
        memory.shards.iter().map(|shard| shard.recent.high.len()).sum()
    }

    #[test]
    fn every_id_is_known_and_no_other_is() {
        let mut memory = OrderMemory::new(SLICES * 1_000);
        for until in [1, 10, 1_000, 16_000, 17_000, 50_000, 200_000, 300_000] {
            let held = memory.len() as i64;
            remember(&mut memory, held..until, 1);
            assert_eq!(memory.len() as i64, until);
            let known = |number: i64| memory.known(hash_id(number.to_string()));
            assert!((0..until).all(|number| known(number) == Some(number as u32)));
            assert!((until..until + 100_000).all(|number| known(number).is_none()));
        }
        assert!(packed(&memory) > 280_000);
    }

    #[test]
    fn an_id_is_told_from_another_one_by_each_of_80_bits() {
        let ids: Vec<_> = (0..20_000).map(|number: i64| hash_id(number.to_string())).collect();
        for is_packed in [false, true] {
            let mut memory = OrderMemory::new(SLICES * 1_000);
            for &id in &ids {
                memory.remember(id, 7, 1_000);
            }
            if is_packed {
                memory.shards.iter_mut().for_each(|shard| shard.pack(1));
                assert_eq!(packed(&memory), ids.len());
            }
            for &IdHash { high, low } in &ids {
                assert_eq!(memory.known(IdHash { high, low }), Some(7));
                assert!((0..64).all(|bit| memory.known(IdHash { high: high ^ 1 << bit, low }).is_none()));
                assert!((0..LOW_BITS).all(|bit| memory.known(IdHash { high, low: low ^ 1 << bit }).is_none()));
            }
        }
    }

    #[test]
    fn ids_that_differ_in_their_last_bit_alone_are_told_apart_in_any_order() {
        for flipped in [1, 0x80, 0x100, 0x8000] {
            let ids = [0, 1, 2].map(|number| IdHash {
                high: 0x1234_5678_9abc_def0,
                low: 0x3456 ^ (flipped * (number & 1)) ^ (number >> 1) << 4,
            });
            for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
                let mut memory = OrderMemory::new(SLICES * 1_000);
                for at in order {
                    memory.remember(ids[at], at as u32 + 1, 1_000);
                    memory.shards.iter_mut().for_each(|shard| shard.pack(1));
                }
                assert!((0..3).all(|at| memory.known(ids[at]) == Some(at as u32 + 1)));
            }
        }
    }

    #[test]
    fn what_a_rush_took_is_given_back() {
        let mut memory = OrderMemory::new(SLICES * 1_000);
        remember(&mut memory, 0..300_000, 1);
        assert!(places(&memory) < 30_000);
        for slice in 2..200 {
            let first = slice * 1_000_000;
            remember(&mut memory, first..first + 2_000, slice); // fifty thousand are remembered at a time
        }
        assert!((50_000..70_000).contains(&memory.len()));
        assert!(places(&memory) < 25_000);
    }

    #[test]
    fn a_forgotten_id_that_comes_again_is_held_once() {
        let mut memory = OrderMemory::new(SLICES * 1_000);
        remember(&mut memory, 0..50_000, 1);
        remember(&mut memory, 60_000..60_001, 20);
        remember(&mut memory, 60_001..60_002, 1 + SLICES + 1);
        assert!((0..50_000).all(|number| memory.known(hash_id(number.to_string())).is_none()));
        remember(&mut memory, 0..50_000, 1 + SLICES + 1);
        assert_eq!(memory.len(), 50_002);
        assert!((0..50_000).all(|number| memory.known(hash_id(number.to_string())) == Some(number as u32)));
    }
}
