"""Up to which moment everything that had been ordered is in the figures, told by offsets alone.

Each look notes where `orders` ends at a moment: a mark. The mark's moment is reached once the workers have processed
all orders before it, then all partial sums that had been written by then, and the reader of `project-totals` has come
to where that topic ended by then. So "as of 12:03:10" is never said of figures that lack an order from before 12:03:10.
Pure, and bounded: `MARKS_MAX` marks at most are under way. Offsets are by partition, exclusive; times are ms.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

MARKS_MAX = 64  # the oldest come first anyway; what is noted later only makes the answer finer

Offsets = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw, in this order: how far the workers are, where the topics end, and at last `orders`.

    `orders_done` and `deltas_done` must have been asked for before `deltas_end` and `totals_end`, `at_ms` read before
    `orders_end`.
    """

    orders_done: Offsets
    deltas_done: Offsets
    deltas_end: Offsets
    totals_end: Offsets
    at_ms: int
    orders_end: Offsets


@dataclass(slots=True)
class _Mark:
    at_ms: int
    orders: Offsets
    deltas: Offsets | None = None  # known once the orders are done
    totals: Offsets | None = None  # known once the deltas are done


class Freshness:
    """Follows marks through the pipeline; `as_of_ms` is the moment of the newest that has come through."""

    def __init__(self) -> None:
        self.as_of_ms: int | None = None
        self._marks: deque[_Mark] = deque()

    def look(self, look: Look, totals_read: Offsets) -> None:
        """Take in one look. `totals_read` is how far `project-totals` has been read by now."""
        for mark in self._marks:
            if mark.deltas is None and covers(look.orders_done, mark.orders):
                mark.deltas = look.deltas_end
            elif mark.deltas is not None and mark.totals is None and covers(look.deltas_done, mark.deltas):
                mark.totals = look.totals_end
        if len(self._marks) < MARKS_MAX:
            self._marks.append(_Mark(look.at_ms, look.orders_end))
        self.read(totals_read)

    def read(self, totals_read: Offsets) -> None:
        """`project-totals` has been read up to here."""
        while self._marks and (totals := self._marks[0].totals) is not None and covers(totals_read, totals):
            self.as_of_ms = self._marks.popleft().at_ms


def covers(done: Offsets, wanted: Offsets) -> bool:
    """True if every partition of `wanted` is done up to there."""
    return all(done.get(partition, 0) >= offset for partition, offset in wanted.items())
