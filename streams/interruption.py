"""Signals for a command that holds processes: the first asks for an orderly end, the second ends it at once."""

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

INTERRUPTED_STATUS = 128  # plus the signal's number, as shells have it


class Interrupted(Exception):  # noqa: N818 - not an error
    """A signal asks for an orderly end."""


class Interruption:
    """The first signal asks for an orderly end, the second ends everything at once."""

    def __init__(self, at_once: Callable[[], None]) -> None:
        self.number = 0
        self.patient = False  # while False nobody looks at `number`, so the first signal interrupts what is going on
        self._at_once = at_once

    def __enter__(self) -> Self:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._on_signal) for number in numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        if self.number:
            raise Interrupted

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.number:
            self._at_once()
            os._exit(INTERRUPTED_STATUS + number)
        self.number = number
        if not self.patient:
            raise KeyboardInterrupt
