"""Up to which moment all donations of a partition are published, told by offsets alone. Nothing of it survives.

And whether the broker answers at all: a consumer waits for one that is away without a word.
"""

from collections.abc import Sequence

import structlog

logger = structlog.get_logger(__name__)

SILENCE_MAX_S = 10.0  # each fetch is answered within some 100 ms, though there is nothing


class Lag:
    """Follows one mark at a time: where the partition ended at a moment. That moment counts once all before is out."""

    def __init__(self, started_ms: int) -> None:
        self._started_ms = started_ms
        self._as_of_ms = started_ms
        self._mark: tuple[int, int] | None = None

    @property
    def has_caught_up(self) -> bool:
        """True once all is published that was there when it started."""
        return self._as_of_ms > self._started_ms

    def saw(self, at_ms: int, end: int) -> None:
        """The broker has said that at `at_ms` all committed records lay before the offset `end`."""
        if self._mark is None and at_ms > self._as_of_ms:
            self._mark = at_ms, end

    def published(self, position: int) -> None:
        """All donations before the offset `position` are published."""
        if self._mark is not None and position >= self._mark[1]:
            self._as_of_ms, self._mark = self._mark[0], None

    def seconds(self, now_ms: int) -> float:
        """All that was committed so long ago is published."""
        return max(0, now_ms - self._as_of_ms) / 1_000


class Silence:
    """Tells once that the broker doesn't answer, and once that it does again. The clock is monotonic."""

    def __init__(self, now_s: float) -> None:
        self._last: Sequence[int | None] = ()
        self._since_s = now_s
        self._told = False

    def heard(self, answers: Sequence[int | None], now_s: float) -> None:
        """`answers`: of each partition, when the broker last said something of it, ms. `now_s` is monotonic."""
        if answers != self._last:
            self._last, self._since_s = answers, now_s
            if self._told:
                logger.info("the broker answers again")
            self._told = False
        elif not self._told and now_s - self._since_s > SILENCE_MAX_S:
            logger.warning("the broker doesn't answer: the ledger waits for it")
            self._told = True
