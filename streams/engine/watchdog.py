"""The watchdog: a worker never hangs. It ends the process, loudly, so that its supervisor starts it again.

It runs in a thread of its own, so it also sees an event loop that doesn't turn. It counts its own ticks instead of
reading a clock: a worker that was frozen together with its watchdog isn't taken for one that hung.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Mapping

from aiokafka import TopicPartition

from streams.errors import ExitStatus

TICK_S = 1.0

Unfinished = Callable[[], Mapping[TopicPartition, object]]
End = Callable[[str], None]


def end_process(message: str) -> None:
    """Say why and be gone: whatever hangs may hang an orderly end too, and nothing is lost by a sudden one."""
    print(f"everycent: {message}", file=sys.stderr, flush=True)
    os._exit(ExitStatus.FAILED)


class Watchdog:
    """Ends the process when a partition with something to do, or the event loop, stood still for `limit_ticks`."""

    def __init__(self, unfinished: Unfinished, limit_ticks: int, end: End = end_process) -> None:
        self._unfinished = unfinished
        self._limit_ticks = limit_ticks
        self._end = end
        self._marks: dict[TopicPartition, tuple[object, int]] = {}  # what was seen last, and for how many ticks
        self._quiet_ticks = 0  # since the loop last turned
        self._stopped = threading.Event()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        threading.Thread(target=self._watch, args=(loop,), name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopped.wait(TICK_S):
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(self.loop_turned)
            self.tick()

    def loop_turned(self) -> None:
        self._quiet_ticks = 0

    def tick(self) -> None:
        """Look once."""
        self._quiet_ticks += 1
        if self._quiet_ticks > self._limit_ticks:
            self._end(f"the event loop has not turned for {self._limit_ticks} s: ending, to be started again")
        seen = self._unfinished()
        self._marks = {tp: (mark, self._ticks_at(tp, mark)) for tp, mark in seen.items()}
        for tp, (mark, ticks) in self._marks.items():
            if ticks > self._limit_ticks:
                self._end(
                    f"{tp.topic}-{tp.partition} has work and made no progress for {self._limit_ticks} s ({mark}): "
                    "ending, to be started again. If it comes back, look at the broker first."
                )

    def _ticks_at(self, tp: TopicPartition, mark: object) -> int:
        before, ticks = self._marks.get(tp, (None, 0))
        return ticks + 1 if before == mark else 0
