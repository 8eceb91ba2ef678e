//! The memory of order ids by which repeats are told: `domain/dedupe.py` has the rule, and is the reference.
//!
//! An entry takes 16 bytes: 88 bits of a keyed hash in place of the id, the low 8 bits of the slice of time in which it
//! was remembered, and 32 bits of the fingerprint of its donations. The odds that one of ten billion look-ups takes an
//! id for another one of ten million remembered are 1 in 3 * 10^9; that a conflict is taken for a repeat, which donates
//! as little, 1 in 4 * 10^9. The hash is SipHash, keyed anew in each process, so nobody can choose ids that collide.
//!
//! Entries lie in open addressing, in shards that grow by an eighth, so that a table of any size is 80% to 90% full and
//! never wants a second copy of itself. What is forgotten is dropped when its shard is full, before it grows.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use siphasher::sip128::{Hasher128, SipHasher13};

const SLICES: i64 = 24;
const SHARD_BITS: u32 = 8;
const SHARD_MIN: usize = 16;
// An entry knows its slice modulo 256: none may become that old. The clock moves by SLICES at most (further, and all is
// forgotten), so sweeping when this many slices have passed leaves room.
const SWEEP_AFTER_SLICES: i64 = 192;
const LOW_BITS: u32 = 24;

/// 88 bits of an id's hash.
#[derive(Clone, Copy)]
pub struct IdHash {
    high: u64, // never 0, which marks an empty place
    low: u32,  // 24 bits
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

#[derive(Default)]
struct Shard {
    high: Vec<u64>,
    low: Vec<u64>, // 24 bits of the hash, 32 of the fingerprint, 8 of the slice
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
        self.shards.iter().map(|shard| shard.held).sum()
    }

    /// The fingerprint of an order whose id is remembered now.
    pub fn known(&self, id: IdHash) -> Option<u32> {
        let shard = &self.shards[shard_of(id)];
        let at = shard.find(id)?;
        (age(shard.low[at], self.slice) <= SLICES).then_some((shard.low[at] >> 8) as u32)
    }

    /// Remember an accepted order that donated and isn't known. Advances the clock.
    pub fn remember(&mut self, id: IdHash, fingerprint: u32, completed_at: i64) {
        if completed_at > self.clock_ms {
            self.clock_ms = completed_at;
            if completed_at >= self.next_slice_ms {
                self.enter_slice(completed_at / self.slice_ms);
            }
        }
        let low = u64::from(id.low) << (64 - LOW_BITS) | u64::from(fingerprint) << 8 | (self.slice & 0xff) as u64;
        let slice = self.slice;
        let shard = &mut self.shards[shard_of(id)];
        if let Some(at) = shard.find(id) {
            shard.low[at] = low; // it was forgotten
            return;
        }
        if shard.is_full() {
            shard.make_room(slice);
        }
        shard.put(id.high, low);
    }

    fn enter_slice(&mut self, entered: i64) {
        if entered - self.slice > SLICES {
            self.shards.iter_mut().for_each(|shard| *shard = Shard::default());
            self.swept_slice = entered;
        } else if entered - self.swept_slice > SWEEP_AFTER_SLICES {
            self.shards.iter_mut().for_each(|shard| shard.rebuild(entered, shard.high.len()));
            self.swept_slice = entered;
        }
        self.slice = entered;
        self.next_slice_ms = (entered + 1) * self.slice_ms;
    }
}

impl Shard {
    fn is_full(&self) -> bool {
        (self.held + 1) * 10 > self.high.len() * 9
    }

    fn home(&self, high: u64) -> usize {
        ((u128::from(high << SHARD_BITS) * self.high.len() as u128) >> 64) as usize
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

    /// Drop what is forgotten; grow if that isn't enough, and give back what a rush has left behind.
    fn make_room(&mut self, slice: i64) {
        let live = (0..self.high.len()).filter(|&at| self.high[at] != 0 && age(self.low[at], slice) <= SLICES).count();
        let size = self.high.len();
        let wanted = if live * 10 > size * 8 {
            size + size / 8
        } else if live * 4 < size {
            live * 2
        } else {
            size
        };
        self.rebuild(slice, wanted.max(SHARD_MIN));
    }

    fn rebuild(&mut self, slice: i64, size: usize) {
        let old = std::mem::replace(self, Self { high: vec![0; size], low: vec![0; size], held: 0 });
        for at in 0..old.high.len() {
            if old.high[at] != 0 && age(old.low[at], slice) <= SLICES {
                self.put(old.high[at], old.low[at]);
            }
        }
    }
}

/// How many slices ago an entry was remembered.
fn age(low: u64, slice: i64) -> i64 {
    (slice - (low & 0xff) as i64) & 0xff
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

    #[test]
    fn what_a_rush_took_is_given_back() {
        let mut memory = OrderMemory::new(SLICES * 1_000);
        let places = |memory: &OrderMemory| memory.shards.iter().map(|shard| shard.high.len()).sum::<usize>();
        let mut take = |from: i64, count: i64, slice: i64| {
            for number in from..from + count {
                memory.remember(hash_id(number.to_string()), 1, slice * 1_000);
            }
            places(&memory)
        };
        assert!((110_000..140_000).contains(&take(0, 100_000, 1)));
        for slice in 2..200 {
            take(slice * 1_000_000, 400, slice); // ten thousand are remembered at a time
        }
        assert!(take(0, 1, 200) < 30_000);
        assert!((10_000..30_000).contains(&memory.len()));
    }
}
