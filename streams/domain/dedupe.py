"""The memory of order ids by which repeats are told: exact, packed, and rebuilt from `donations`.

One memory for each partition of `orders`. What it remembers:
- `clock_ms` is the highest `completed_at` of the orders that were accepted and donated, in the order of their offsets.
- The horizon is kept in 24 slices of `horizon_ms // 24`; a time's slice is `time // slice`. An order that is accepted
  and donates is remembered with a stamp: the slice of the clock after it. An order without donations leaves no trace.
- An id counts as remembered while the clock's slice is at most 24 above its stamp: for the horizon at least, for the
  horizon and one slice at most, of event time.
- With it goes a fingerprint of its donations, by which a repeat (the same again) is told from a conflict.

So what is remembered is a function of the partition's donations in their order and of nothing else. How the orders are
cut into batches doesn't change it, nor does a restart: nothing here survives a crash, and `remember_many` over the end
of `donations` gives the same memory again. That end begins at the first record whose time is at least
`restore_from_ms(time of the last record)`. It suffices: stamps never fall, since the clock doesn't, so an id that is
still remembered has its stamp, and the record that set it, within that end; and the record at which it begins is later
than all before it, so the clock is right from there on.

Recent ids are held in a dictionary. The others are packed to 24 bytes (see packed_ids), with 120 bits of two hashes in
place of the id: Python's own SipHash, keyed anew in each process, so that nobody can choose ids that collide. The odds
that one of ten billion look-ups takes an id for another one of ten million remembered are 1 in 10^19.

A fold over a batch:
    memory.recall([order.order_id for order in orders])
    for order in orders:
        before = memory.known(order.order_id)   # None, or the fingerprint
        ...
        memory.remember(order.order_id, fingerprint, order.completed_at)
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import numpy as np

from streams.domain import packed_ids
from streams.domain.horizon import SLICES
from streams.domain.packed_ids import Entries, Int64s, PackedIds

# Ids move from the dictionary to a small run, and from there to the large one, when they are a 40th of where they go:
# an id is rewritten some 40 times a level (6 ns each), and what waits outside the large run is little. The least sizes
# keep the fixed cost of a merge (0.3 ms) small against what it moves. The dictionary's limit is checked between batches
# only, so it holds a batch more.
_GROWTH = 40
_RECENT_MIN = 4_096
_SMALL_MIN = 65_536
_RESTORE_PIECE = 16_384  # ids that a restore packs at once
# An entry knows its stamp modulo 256, so it must be dropped before it is that old. The clock moves by SLICES at most
# (further, and all is forgotten), so that evicting when this many slices have passed leaves room.
_EVICT_AFTER_SLICES = 192

Hashes = Callable[[Iterable[str]], Iterable[int]]


def _first_hashes(order_ids: Iterable[str]) -> Iterable[int]:
    return map(hash, order_ids)


def _second_hashes(order_ids: Iterable[str]) -> Iterable[int]:
    # No id holds a control character, so no id's second hash is the first one of another.
    return map(hash, map("\0".__add__, order_ids))


class OrderMemory:
    """The order ids of one partition within the horizon, each with the fingerprint of its donations.

    A fingerprint is a signed 64-bit integer, as `hash` gives. The two hashes of ids are signed 64-bit integers,
    independent of each other; tests choose them to make ids collide, and small sizes to make them move.
    """

    def __init__(
        self,
        horizon_ms: int,
        *,
        first_hashes: Hashes = _first_hashes,
        second_hashes: Hashes = _second_hashes,
        recent_min: int = _RECENT_MIN,
        small_min: int = _SMALL_MIN,
    ) -> None:
        if horizon_ms < SLICES:
            raise ValueError(f"a horizon of {horizon_ms} ms can't be cut into {SLICES} slices")
        self.clock_ms = 0
        self._slice_ms = horizon_ms // SLICES
        self._slice = 0
        self._next_slice_ms = self._slice_ms
        self._first_hashes, self._second_hashes = first_hashes, second_hashes
        self._recent_min, self._small_min = recent_min, small_min
        # Both hold only what is remembered now: entering a slice takes out what is forgotten then.
        self._recent: dict[str, int] = {}
        self._recalled: dict[str, int] = {}
        self._recalled_stamps: dict[str, int] = {}
        # How many ids of `_recent` have which stamp, oldest first like the dictionary; the present slice's not yet.
        self._recent_stamps: deque[tuple[int, int]] = deque()
        self._recent_stamped = 0
        self._small, self._large = PackedIds(0), PackedIds(0)

    def __len__(self) -> int:
        """How many ids are held: those remembered, and those forgotten that are packed and not yet dropped."""
        return len(self._recent) + len(self._small) + len(self._large)

    def recall(self, order_ids: Sequence[str]) -> None:
        """Look up a batch: `known` is right for these ids until the next `recall` or `remember_many`."""
        self._pack_if_many()
        self._recalled, self._recalled_stamps = {}, {}
        first = _int64s(self._first_hashes(order_ids), len(order_ids))
        for run in (self._small, self._large):
            asked, held = run.find(first)
            if len(asked):
                self._recall_found(run, [order_ids[index] for index in asked.tolist()], held)

    def known(self, order_id: str) -> int | None:
        """The fingerprint of an order of this batch, if its id is remembered now."""
        fingerprint = self._recent.get(order_id)
        return self._recalled.get(order_id) if fingerprint is None else fingerprint

    def remember(self, order_id: str, fingerprint: int, completed_at: int) -> None:
        """Remember an accepted order that donated and isn't known. Advances the clock."""
        if completed_at > self.clock_ms:
            self._advance(completed_at)
        self._recent[order_id] = fingerprint

    def remember_many(
        self,
        order_ids: Sequence[str],
        fingerprints: Sequence[int] | Int64s,
        completed_ats: Sequence[int] | Int64s,
    ) -> None:
        """`remember` for each, in order, for a restore. As there, none of them may be known when its turn comes.

        Best called with ten thousand or more at a time.
        """
        if not len(order_ids) == len(fingerprints) == len(completed_ats):
            raise ValueError("as many fingerprints and times as order ids")
        self._recalled, self._recalled_stamps = {}, {}
        for start in range(0, len(order_ids), _RESTORE_PIECE):
            piece = slice(start, start + _RESTORE_PIECE)
            times = np.asarray(completed_ats[piece], np.int64)
            clocks = np.maximum.accumulate(np.maximum(times, self.clock_ms))
            self._advance(int(clocks[-1]))
            self._pack(order_ids[piece], np.asarray(fingerprints[piece], np.int64), clocks // self._slice_ms)

    def _advance(self, clock_ms: int) -> None:
        self.clock_ms = clock_ms
        if clock_ms >= self._next_slice_ms:
            self._enter_slice(clock_ms // self._slice_ms)

    def _enter_slice(self, entered: int) -> None:
        self._close_recent_slice()
        while self._recent_stamps and entered - self._recent_stamps[0][0] > SLICES:
            _, count = self._recent_stamps.popleft()
            self._recent_stamped -= count
            for order_id in list(islice(self._recent, count)):
                del self._recent[order_id]
        for order_id, stamp in list(self._recalled_stamps.items()):
            if entered - stamp > SLICES:
                del self._recalled[order_id], self._recalled_stamps[order_id]
        if entered - self._slice > SLICES:
            self._small, self._large = PackedIds(entered), PackedIds(entered)
        for run in (self._small, self._large):
            if entered - run.evicted_slice > _EVICT_AFTER_SLICES:
                run.evict(entered, SLICES)
        self._slice = entered
        self._next_slice_ms = (entered + 1) * self._slice_ms

    def _close_recent_slice(self) -> None:
        count = len(self._recent) - self._recent_stamped
        if count:
            self._recent_stamps.append((self._slice, count))
            self._recent_stamped += count

    def _recall_found(self, run: PackedIds, order_ids: list[str], held: packed_ids.Indexes) -> None:
        """Keep what is remembered among entries whose first hash is that of the order id beside them."""
        second = run.second_at(held)
        stamps = self._slice - packed_ids.ages(second, self._slice)
        same = packed_ids.same_second(second, _int64s(self._second_hashes(order_ids), len(order_ids)))
        right = np.flatnonzero(same & (stamps >= self._slice - SLICES))
        right_ids = [order_ids[index] for index in right.tolist()]
        self._recalled.update(zip(right_ids, run.fingerprint_at(held[right]).tolist(), strict=True))
        self._recalled_stamps.update(zip(right_ids, stamps[right].tolist(), strict=True))

    def _pack_if_many(self) -> None:
        """Pack the recent ids. Only between batches: within one, `known` has to find them."""
        count = len(self._recent)
        if count > max(self._recent_min, len(self._small) // _GROWTH):
            self._close_recent_slice()
            stamps, counts = zip(*self._recent_stamps, strict=True)
            self._pack(self._recent, _int64s(self._recent.values(), count), np.repeat(np.array(stamps), counts))
            self._recent.clear()
            self._recent_stamps.clear()
            self._recent_stamped = 0

    def _pack(self, order_ids: Sequence[str] | dict[str, int], fingerprints: Int64s, stamps: Int64s) -> None:
        first = _int64s(self._first_hashes(order_ids), len(order_ids))
        second = _int64s(self._second_hashes(order_ids), len(order_ids))
        young = stamps >= self._slice - SLICES  # stamps are whole here: packed, they are modulo 256
        self._merge(self._small, packed_ids.pack(first[young], second[young], stamps[young], fingerprints[young]))
        if len(self._small) > max(self._small_min, len(self._large) // _GROWTH):
            self._merge(self._large, self._small.entries)
            self._small = PackedIds(self._slice)

    def _merge(self, run: PackedIds, entries: Entries) -> None:
        if run.evicted_slice != self._slice:
            run.evict(self._slice, SLICES)
        run.merge(entries)


def _int64s(values: Iterable[int], count: int) -> Int64s:
    return np.fromiter(values, np.int64, count)
