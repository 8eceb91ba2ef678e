"""Runs a load plan against the broker: makes the records, keeps the pace, counts what the broker has.

Nothing is remembered between runs. A run that was cut short is repeated by its seed: the workers drop what they know.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streams.domain.load import (
    CHUNK_ORDERS,
    REPEAT_LOOK_BACK_ORDERS,
    EventTimes,
    LoadPlan,
    make_chunk,
    planned_times,
)
from streams.domain.load_draws import IntArray
from streams.engine.sender import RecordSender, open_sender
from streams.settings import Settings

PACE_MS = 50  # how much is sent at once where a rate is set
CATCH_UP_MS = 100  # a sender that fell behind by more gives up the rest: no burst


@dataclass(slots=True)
class Progress:
    """What was sent so far. `orders`, `donations` and `fen` are the good orders', each counted once."""

    orders: int = 0
    repeats: int = 0
    malformed: int = 0
    donations: int = 0
    fen: int = 0
    value_bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def records(self) -> int:
        return self.orders + self.repeats + self.malformed


class LiveTimes:
    """Event times of a live run: the moment at which an order was made, remembered for those that may be repeated."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._made_ms = np.zeros(REPEAT_LOOK_BACK_ORDERS + CHUNK_ORDERS, dtype=np.int64)
        self._stamped = 0

    def __call__(self, indices: IntArray) -> IntArray:
        fresh = indices[indices >= self._stamped]
        if len(fresh):
            self._made_ms[fresh % len(self._made_ms)] = self._clock_ms()
            self._stamped = int(fresh[-1]) + 1
        return self._made_ms[indices % len(self._made_ms)]


class Pacer:
    """Spreads orders over wall time at `orders_per_second`."""

    def __init__(self, orders_per_second: float) -> None:
        self._orders_per_second = orders_per_second
        self._due = time.monotonic()
        self.chunk_orders = max(1, min(CHUNK_ORDERS, int(orders_per_second * PACE_MS / 1_000)))

    async def wait(self, orders: int, stop: asyncio.Event) -> None:
        """Wait until the next `orders` are due, or `stop` is set."""
        now = time.monotonic()
        self._due = max(self._due, now - CATCH_UP_MS / 1_000)
        if self._due > now:
            await _sleep_until_stop(self._due - now, stop)
        self._due += orders / self._orders_per_second


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


async def run_simulation(  # noqa: PLR0913 - a run's arguments, by name
    settings: Settings,
    plan: LoadPlan,
    *,
    orders_per_second: float | None = None,
    live: bool = False,
    clock_ms: Callable[[], int] = wall_clock_ms,
    stop: asyncio.Event | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Send the plan's records to `orders` and return what the broker has.

    `live`: event times are the present, as `clock_ms` has it, instead of the plan's. `stop`: set it to end early, in
    order. `on_progress` sees what was handed over so far; the result counts only what the broker acknowledged. Raises
    UserError if there is no broker, no topic, or the broker stops taking records.
    """
    async with open_sender(settings, settings.topics.orders) as sender:
        times = LiveTimes(clock_ms) if live else planned_times(plan)
        return await _send_plan(sender, plan, orders_per_second, times, stop or asyncio.Event(), on_progress)


async def _send_plan(  # noqa: PLR0913, PLR0917 - see run_simulation
    sender: RecordSender,
    plan: LoadPlan,
    orders_per_second: float | None,
    times: EventTimes,
    stop: asyncio.Event,
    on_progress: Callable[[Progress], None],
) -> Progress:
    pacer = None if orders_per_second is None else Pacer(orders_per_second)
    chunk_orders = CHUNK_ORDERS if pacer is None else pacer.chunk_orders
    progress = Progress()
    started, cpu_started = time.perf_counter(), time.process_time()
    while progress.orders < plan.orders:
        count = min(chunk_orders, plan.orders - progress.orders)
        if pacer is not None:
            await pacer.wait(count, stop)
        if stop.is_set():
            break
        chunk = make_chunk(plan, progress.orders, count, times)
        await sender.send(chunk.keys, chunk.values)
        progress.orders += chunk.orders
        progress.repeats += chunk.repeats
        progress.malformed += chunk.malformed
        progress.donations += chunk.donations
        progress.fen += chunk.fen
        progress.value_bytes += sum(map(len, filter(None, chunk.values)))
        progress.seconds = time.perf_counter() - started
        on_progress(progress)
    await sender.flush()
    progress.seconds = time.perf_counter() - started
    progress.cpu_seconds = time.process_time() - cpu_started
    return progress


async def _sleep_until_stop(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
