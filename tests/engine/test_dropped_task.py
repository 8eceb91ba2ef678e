"""A task whose partition went elsewhere ends, whatever its cancellation meets."""

import asyncio

from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced
from faust.types import TP

from streams.engine.batches import RecordBatch
from streams.engine.runtime import Runtime
from streams.engine.stage import Stage
from streams.engine.task import Services
from streams.settings import Settings
from tests.engine.parts import NoState, nothing, open_log

ORDERS_0 = TopicPartition("orders", 0)


class Record:
    """One input record; what it holds doesn't matter here."""

    offset, timestamp, key, value = 0, 0, None, None


class FencedWriter:
    """Hangs in its commit; cancelled there, it answers as one whose partition has a new owner."""

    started = 0

    async def start(self) -> None:
        type(self).started += 1

    async def commit(self, *_: object) -> None:
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            raise ProducerFenced from None

    async def stop(self) -> None: ...


async def test_a_dropped_task_that_is_fenced_while_it_is_cancelled_does_not_start_again() -> None:
    FencedWriter.started = 0
    runtime = Runtime(
        Settings(commit_interval_ms=10, session_timeout_ms=1_000), [Stage("x", "orders", lambda _: NoState())]
    )
    runtime._services = Services(lambda _: FencedWriter(), open_log, nothing, nothing)
    await runtime.assign(None, {TP("orders", 0)}, 1)
    await asyncio.sleep(0.05)
    (running,) = runtime._running.values()
    runtime.accept(RecordBatch(ORDERS_0, 0, 1, [Record()]))
    await asyncio.sleep(0.1)  # it is in its commit
    await asyncio.wait_for(runtime.assign(None, set(), 2), 60)  # the partition goes elsewhere
    assert running.done()
    assert FencedWriter.started == 1, "it took the partition back from its new owner"
