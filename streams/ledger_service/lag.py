"""Up to which moment all donations of a partition are published, told by offsets alone. Nothing of it survives."""


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
