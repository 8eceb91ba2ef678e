"""Ids packed to 24 bytes each: a sorted run of hashes that is searched, merged and thinned out a batch at a time.

An entry is two hashes of an id, the number of the slice of time in which it was remembered, and its fingerprint:
    first        64 bits; the run is sorted by it
    second       56 bits of the other hash, then the low 8 bits of the slice
    fingerprint  64 bits, signed
Nothing here survives a crash or is meant to: the hashes are keyed by the process.

Merging and evicting work in place, some ten thousand entries at a time, so that a run of any size needs no second copy
of itself. 8 bits of the slice tell the age of an entry as long as no entry is 256 slices old: `evict` must be called
before that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Int64s: TypeAlias = npt.NDArray[np.int64]
Indexes: TypeAlias = npt.NDArray[np.intp]

AGE_BITS = 8
AGE_MASK = (1 << AGE_BITS) - 1
_CHUNK = 65_536  # entries that are moved at once: they fit the processor's cache, and bound what a merge needs
_BUCKET_BITS = 5  # a bucket of the index holds 16 to 32 entries on average, so the index takes 2 bits an entry


@dataclass(slots=True)
class Entries:
    """Columns of the same length, sorted by `first`."""

    first: Int64s
    second: Int64s
    fingerprint: Int64s

    def __len__(self) -> int:
        return len(self.first)

    def columns(self) -> tuple[Int64s, Int64s, Int64s]:
        return self.first, self.second, self.fingerprint


def no_entries() -> Entries:
    return Entries(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))


def pack(first: Int64s, second: Int64s, slices: Int64s, fingerprints: Int64s) -> Entries:
    """Entries of hashes, slice numbers and fingerprints that come in any order."""
    order = np.argsort(first)
    tagged = (second << AGE_BITS) | (slices & AGE_MASK)
    return Entries(first[order], tagged[order], fingerprints[order])


class PackedIds:
    """A sorted run, of fewer than 2^32 entries. `evicted_slice` is when old entries were last dropped from it."""

    def __init__(self, now_slice: int) -> None:
        self.evicted_slice = now_slice
        self._entries = no_entries()
        self._build_index()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> Entries:
        """The run's own columns, to be merged elsewhere: not to be changed, nor kept over the next change here."""
        return self._entries

    def find(self, first: Int64s) -> tuple[Indexes, Indexes]:
        """Where the run has these hashes: indexes into `first` and, beside each, an index into the run.

        A hash that several entries have comes as often.
        """
        held = self._entries.first
        if not len(held):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        # A binary search for all at once, so that the processor waits for many cells of memory at a time. `at` may
        # step over the run's end, where all is less than what is asked for and "clip" answers with the last entry.
        at = self._bucket_starts[(first >> self._shift) + self._half].astype(np.intp)
        for step in self._steps:
            at += step * (held.take(at + (step - 1), mode="clip") < first)
        asked = np.flatnonzero(held.take(at, mode="clip") == first)
        found = [(asked, at[asked])]
        while len(asked):  # the next entries may have the same hash
            asked, at = found[-1]
            more = held.take(at + 1, mode="clip") == first[asked]
            more &= at + 1 < len(held)
            asked = asked[more]
            found.append((asked, at[more] + 1))
        return np.concatenate([asked for asked, _ in found]), np.concatenate([at for _, at in found])

    def second_at(self, held: Indexes) -> Int64s:
        return self._entries.second[held]

    def fingerprint_at(self, held: Indexes) -> Int64s:
        return self._entries.fingerprint[held]

    def merge(self, new: Entries) -> None:
        """Add entries. From the end of the run to its start, so that each entry moves once and into free room."""
        held_end, new_end = len(self), len(new)
        self._resize(held_end + new_end)
        while new_end > 0:
            held_start = max(0, held_end - _CHUNK)
            new_start = (
                int(np.searchsorted(new.first[:new_end], self._entries.first[held_start])) if held_start > 0 else 0
            )
            self._merge_chunk(slice(held_start, held_end), new, slice(new_start, new_end))
            held_end, new_end = held_start, new_start
        self._build_index()

    def _merge_chunk(self, held: slice, new: Entries, added: slice) -> None:
        to = slice(held.start + added.start, held.stop + added.stop)
        new_places = np.searchsorted(self._entries.first[held], new.first[added])
        new_places += np.arange(len(new_places))
        held_places = np.ones(to.stop - to.start, np.bool_)
        held_places[new_places] = False
        for column, new_column in zip(self._entries.columns(), new.columns(), strict=True):
            moved = column[held].copy()  # its place and the place where it goes overlap
            target = column[to]
            target[held_places] = moved
            target[new_places] = new_column[added]

    def evict(self, now_slice: int, age_max: int) -> None:
        """Drop what is older than `age_max` slices."""
        self.evicted_slice = now_slice
        kept = 0
        for part in self._chunks():
            young = ages(self._entries.second[part], now_slice) <= age_max
            moved = int(np.count_nonzero(young))
            for column in self._entries.columns():
                column[kept : kept + moved] = column[part][young]
            kept += moved
        if kept < len(self):
            self._resize(kept)
            self._build_index()

    def _resize(self, size: int) -> None:
        # Grown in place by the allocator (mremap), where `np.concatenate` would need twice the memory for a moment.
        # No view of a column outlives the method that made it, which is what `refcheck` would check.
        for column in self._entries.columns():
            column.resize(size, refcheck=False)

    def _chunks(self) -> Iterator[slice]:
        size = len(self)
        return (slice(start, min(start + _CHUNK, size)) for start in range(0, size, _CHUNK))

    def _build_index(self) -> None:
        """Note where each bucket starts (the hashes with the same leading bits), and how wide the widest one is."""
        bits = max(1, len(self).bit_length() - _BUCKET_BITS)
        self._shift, self._half = 64 - bits, 1 << (bits - 1)
        ends = np.zeros((1 << bits) + 1, np.uint32)
        for part in self._chunks():
            buckets = (self._entries.first[part] >> self._shift) + self._half
            sizes = np.bincount(buckets - buckets[0])
            ends[int(buckets[0]) + 1 :][: len(sizes)] += sizes.astype(np.uint32)
        widest = int(ends.max())
        self._bucket_starts = np.cumsum(ends, out=ends)
        # Steps of a binary search in the widest bucket: powers of two, that together reach over it.
        self._steps = [1 << power for power in reversed(range(widest.bit_length()))]


def ages(second: Int64s, now_slice: int) -> Int64s:
    """How many slices ago these entries were remembered."""
    return ((now_slice & AGE_MASK) - (second & AGE_MASK)) & AGE_MASK


def same_second(second: Int64s, hashes: Int64s) -> npt.NDArray[np.bool_]:
    """Which entries have these second hashes."""
    same: npt.NDArray[np.bool_] = (second & ~AGE_MASK) == (hashes << AGE_BITS)
    return same
