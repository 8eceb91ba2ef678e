"""Watermarks: how far event time has surely come, from split's partitions to totals' windows.

The watermark of a source partition is the highest event time seen there less the allowed lateness. A totals partition
goes by the least watermark of the sources that aren't idle, and never falls back.
"""

from collections.abc import Sequence

IDLE_MARK = "-"  # stands for an idle source in the text form


class Watermarks:
    """What one totals partition knows of its sources. A source that wasn't heard yet holds the watermark at `floor`."""

    __slots__ = ("_idle", "_marks_ms", "current_ms")

    def __init__(self, sources: int, floor_ms: int = 0) -> None:
        self._marks_ms = [floor_ms] * sources
        self._idle = [False] * sources
        self.current_ms = floor_ms

    def advance(self, source: int, watermark_ms: int, *, idle: bool) -> bool:
        """Take in what `source` said; True if the common watermark rose."""
        self._marks_ms[source] = max(self._marks_ms[source], watermark_ms)
        self._idle[source] = idle
        busy = [mark for mark, is_idle in zip(self._marks_ms, self._idle, strict=True) if not is_idle]
        if not busy or min(busy) <= self.current_ms:  # all idle: nobody says that time goes on
            return False
        self.current_ms = min(busy)
        return True

    def raise_to(self, floor_ms: int) -> None:
        """Start again from a watermark that was reached before a restart."""
        self._marks_ms = [max(mark, floor_ms) for mark in self._marks_ms]
        self.current_ms = max(self.current_ms, floor_ms)

    def encode(self) -> str:
        """Text for the metadata of a committed offset: the least mark, then each source's distance from it, ms."""
        base = min(self._marks_ms)
        parts = [
            f"{mark - base}{IDLE_MARK if is_idle else ''}"
            for mark, is_idle in zip(self._marks_ms, self._idle, strict=True)
        ]
        return f"{base}:{','.join(parts)}"

    def restore(self, text: str) -> None:
        """Take back what `encode` wrote. Text of another number of sources, or none, is passed over: sources speak."""
        base, _, rest = text.partition(":")
        parts: Sequence[str] = rest.split(",") if rest else ()
        if len(parts) != len(self._marks_ms):
            return
        for source, part in enumerate(parts):
            mark_ms = int(base) + int(part.removesuffix(IDLE_MARK))
            self.advance(source, mark_ms, idle=part.endswith(IDLE_MARK))
