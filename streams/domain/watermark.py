"""Watermarks: how far event time has surely come, from split's partitions to totals' windows.

The watermark of a source partition is the highest event time seen there less the allowed lateness. A totals partition
goes by the least watermark of the sources that aren't idle, and never falls back.
"""

import re

IDLE_MARK = "i"  # stands behind an idle source in the text form
_NUMBER = r"\d{1,15}"
_ENCODED = re.compile(rf"(?P<common>{_NUMBER}):(?P<parts>-?{_NUMBER}{IDLE_MARK}?(,-?{_NUMBER}{IDLE_MARK}?)*)", re.ASCII)


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
        """Text for an offset's metadata: the common watermark, then each source's distance from it, ms."""
        parts = [
            f"{mark - self.current_ms}{IDLE_MARK if is_idle else ''}"
            for mark, is_idle in zip(self._marks_ms, self._idle, strict=True)
        ]
        return f"{self.current_ms}:{','.join(parts)}"

    def restore(self, text: str) -> None:
        """Take back what `encode` wrote. Any other text is passed over: the sources will speak for themselves."""
        match = _ENCODED.fullmatch(text)
        parts = match["parts"].split(",") if match else []
        if match is None or len(parts) != len(self._marks_ms):
            return
        common_ms = int(match["common"])
        self.current_ms = max(self.current_ms, common_ms)
        self._marks_ms = [common_ms + int(part.removesuffix(IDLE_MARK)) for part in parts]
        self._idle = [part.endswith(IDLE_MARK) for part in parts]
