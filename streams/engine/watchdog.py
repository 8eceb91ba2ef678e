"""The watchdog: no process hangs. It ends the process, loudly, so that its supervisor starts it again.

A worker's is told of its partitions, that of another service (`streams.supervision`) of its loops.

It runs in a thread of its own, so it also sees an event loop that doesn't turn. It counts its own ticks instead of
reading a clock: a worker that was frozen together with its watchdog isn't taken for one that hung. It watches until the
event loop is closed, so an end that hangs is seen too.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import TopicPartition

from streams.errors import ExitStatus

TICK_S = 1.0

Unfinished = Callable[[], Mapping[Any, object]]
"""What has something to do, by its name (a TopicPartition, or a word): a mark that differs once it has got on."""
End = Callable[[str, ExitStatus], None]


def end_process(message: str, status: ExitStatus) -> None:
    """Say why and be gone: whatever hangs may hang an orderly end too, and nothing is lost by a sudden one."""
    print(f"everycent: {message}", file=sys.stderr, flush=True)
    os._exit(status)


class Watchdog:
    """Ends the process when a partition or loop with something to do, or the event loop, stood still for `limit_ticks`.

    Once the worker is to end, it only sees to it that it does, in the time that `end_within` gives.
    """

    def __init__(self, unfinished: Unfinished, limit_ticks: int, end: End = end_process) -> None:
        self._unfinished = unfinished
        self._limit_ticks = limit_ticks
        self._end = end
        self._marks: dict[Any, tuple[object, int]] = {}  # what was seen last, and for how many ticks
        self._quiet_ticks = 0  # since the loop last turned
        self._ticks = 0
        self._deadlines: list[tuple[int, str, ExitStatus]] = []  # the tick by which the process must have ended

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch until `loop` is closed."""
        threading.Thread(target=self._watch, args=(loop,), name="watchdog", daemon=True).start()

    def end_within(self, limit_ticks: int, message: str, status: ExitStatus) -> None:
        """The worker is ending in order: unless it has ended in so many ticks, end it with that message and status."""
        self._deadlines.append((self._ticks + limit_ticks, message, status))

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            time.sleep(TICK_S)
            try:
                loop.call_soon_threadsafe(self.loop_turned)
            except RuntimeError:  # closed: the worker has ended
                return
            self.tick()

    def loop_turned(self) -> None:
        self._quiet_ticks = 0

    def tick(self) -> None:
        """Look once."""
        self._ticks += 1
        if self._deadlines:
            deadline, message, status = min(self._deadlines)
            if self._ticks > deadline:
                self._end(message, status)
            return
        self._quiet_ticks += 1
        seen = self._unfinished()
        self._marks = {what: (mark, self._ticks_at(what, mark)) for what, mark in seen.items()}
        for stall in self.stalls(self._limit_ticks):
            message = f"{stall}: ending, to be started again. If it comes back, look at the broker first."
            self._end(message, ExitStatus.FAILED)

    def stalls(self, limit_ticks: int) -> list[str]:
        """What has stood still for more than so many ticks, in words for a person. Called from any thread."""
        found = []
        if self._quiet_ticks > limit_ticks:
            found.append(f"the event loop has not turned for {self._quiet_ticks - 1} s")
        found += [
            f"{_name(what)} has work and made no progress for {ticks - 1} s ({mark})"
            for what, (mark, ticks) in self._marks.items()
            if ticks > limit_ticks
        ]
        return found

    def _ticks_at(self, what: object, mark: object) -> int:
        before, ticks = self._marks.get(what, (None, 0))
        return ticks + 1 if before == mark else 0


def _name(what: object) -> str:
    return f"{what.topic}-{what.partition}" if isinstance(what, TopicPartition) else str(what)
