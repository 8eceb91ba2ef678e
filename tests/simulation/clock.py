"""Virtual time, and processes that can be frozen or killed between any two steps of the event loop.

The loop never sleeps: when nothing is ready it jumps to the next timer. What belongs to a process runs in a context of
its own; while the process is frozen its callbacks and timers are put by, and run late when it wakes. A killed process
is one that never wakes.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

NOWHERE = contextvars.Context()  # the context of what belongs to no process: the cluster and the world's own events


class Killed(BaseException):  # not an Exception: nothing of the engine may take it for an error that passes
    """The process was killed inside a callback; whatever it still does is seen by nobody."""


class Process:
    """What can be frozen and killed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.runs = True
        self.dead = False
        self.parked: deque[asyncio.Handle] = deque()
        self.context = contextvars.copy_context()
        self.context.run(_process.set, self)


_process: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def current_process() -> Process:
    """The process that the caller belongs to."""
    process = _process.get()
    assert process is not None, "called from outside of any process"
    return process


class NothingHappensError(Exception):
    """Everybody waits and no timer is set: the run can never go on."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time is a number."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._timers = 0
        self.set_exception_handler(lambda _loop, _context: None)  # killed tasks leave exceptions that nobody reads

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """Timers of the same moment run in the order in which they were set: each is a picosecond later."""
        self._timers += 1
        return super().call_at(when + self._timers * 1e-12, callback, *args, context=context)

    def _run_once(self) -> None:
        """Run one callback; in `asyncio`'s order, so a run is decided by its seed alone."""
        if self._ready:
            handle = self._ready.popleft()
        elif self._scheduled:
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            if handle._cancelled:
                return
            self._now = max(self._now, handle._when)
        else:
            raise NothingHappensError
        if handle._cancelled:
            return
        process = handle._context.get(_process)
        if process is None or process.runs:
            handle._run()
        else:
            process.parked.append(handle)

    def _write_to_self(self) -> None:
        """No thread to wake."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def freeze(self, process: Process) -> None:
        process.runs = False

    def thaw(self, process: Process) -> None:
        """Go on where it stood; its timers that are overdue run now."""
        process.runs = True
        self._ready.extend(process.parked)
        process.parked.clear()

    def after(self, delay_s: float, act: Callable[..., Any], *args: Any) -> None:
        """Call outside of any process."""
        self.call_at(self._now + delay_s, act, *args, context=NOWHERE)
