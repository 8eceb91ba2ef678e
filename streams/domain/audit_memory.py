"""Which orders have donated, and what they gave: the audit's own memory of ids, within the dedupe horizon.

The newest ids are in a dictionary; when it is full they are sorted into columns of plain numbers, 28 bytes an order in
place of 300. An id is known by two 64-bit hashes of it, keyed anew in each process. Nothing survives a crash: whoever
audits begins again.
"""

from bisect import bisect_left
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

RECENT_MAX = 131_072  # ids in the dictionary: some 30 MB; to sort them in costs a copy of the columns

Column: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
_MASK = (1 << 64) - 1


class GivenOrders:
    """What each order gave, 64 bits, by its id, which counts while its slice is at most `slices` behind the newest."""

    def __init__(self, slices: int, recent_max: int = RECENT_MAX) -> None:
        self._slices = slices
        self._recent_max = recent_max
        self._newest = 0
        self._recent: dict[str, tuple[int, int]] = {}  # id -> what it gave, slice
        hashes = np.zeros(0, np.uint64)
        self._set_columns(hashes, hashes, hashes, np.zeros(0, np.uint32))

    def __len__(self) -> int:
        """How many are held; some of them may be forgotten already."""
        return len(self._recent) + len(self._first)

    def get(self, order_id: str) -> int | None:
        """What the order gave, None if it isn't remembered."""
        found = self._recent.get(order_id)
        if found is not None and self._counts(found[1]):
            return found[0]
        return self._find(order_id) if len(self._first) else None

    def put(self, order_id: str, given: int, slice_: int) -> None:
        """Remember what the order gave, 64 bits without a sign. `slice_` never falls; a new one forgets old ones."""
        self._newest = slice_
        self._recent[order_id] = (given, slice_)
        if len(self._recent) >= self._recent_max:
            self._sort_in()

    def _counts(self, slice_: int) -> bool:
        return self._newest - slice_ <= self._slices

    def _find(self, order_id: str) -> int | None:
        first, second = _hashes(order_id)
        firsts = self._first
        at = bisect_left(firsts, first)
        while at < len(firsts) and firsts[at] == first:
            if self._second[at] == second and self._counts(self._slice[at]):
                return self._given[at]
            at += 1
        return None

    def _sort_in(self) -> None:
        """Merge the recent ids into the columns, without those that are forgotten."""
        hashes = [_hashes(order_id) for order_id in self._recent]
        recent: tuple[Column, ...] = (
            np.array([first for first, _ in hashes], dtype=np.uint64),
            np.array([second for _, second in hashes], dtype=np.uint64),
            np.array([given for given, _ in self._recent.values()], dtype=np.uint64),
            np.array([slice_ for _, slice_ in self._recent.values()], dtype=np.uint32),
        )
        self._recent.clear()
        known: list[Column] = [np.asarray(each) for each in (self._first, self._second, self._given, self._slice)]
        oldest = max(self._newest - self._slices, 0)
        still = known[3] >= oldest
        fresh = recent[3] >= oldest
        order = np.argsort(recent[0][fresh])
        known = [column[still] for column in known]
        places = np.searchsorted(known[0], recent[0][fresh][order])
        self._set_columns(*(np.insert(old, places, new[fresh][order]) for old, new in zip(known, recent, strict=True)))

    def _set_columns(self, first: Column, second: Column, given: Column, slice_: Column) -> None:
        # One number of a memory view costs a third of one of an array.
        self._first = _view(first)
        self._second = _view(second)
        self._given = _view(given)
        self._slice = _view(slice_)


def _view(column: Column) -> "memoryview[int]":
    view: memoryview[int] = memoryview(column)  # type: ignore[arg-type]
    return view


def _hashes(order_id: str) -> tuple[int, int]:
    return hash(order_id) & _MASK, hash((order_id, 1)) & _MASK
