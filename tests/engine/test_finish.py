"""The end of a worker's tasks: what is folded is committed, and what only starts ends at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from streams.engine.batches import RecordBatch
from streams.engine.runtime import Runtime
from streams.engine.stage import Stage
from streams.engine.task import Phase, Services
from streams.settings import Settings
from tests.engine.parts import EmptyLog, NoState, nothing, open_log
from tests.engine.test_dropped_task import Record

FOR_EVER_S = 3_600
AT_ONCE_S = 5  # a hundred times what it takes, a fourth of the time that a running commit is given


class Writer:
    """Says what was committed; takes for ever to start if told so."""

    def __init__(self, committed: list[int], start_s: float = 0) -> None:
        self._committed = committed
        self._start_s = start_s

    async def start(self) -> None:
        await asyncio.sleep(self._start_s)

    async def commit(self, _output: object, position: int) -> None:
        await asyncio.sleep(0.1)
        self._committed.append(position)

    async def stop(self) -> None: ...


class UnreadableLog(EmptyLog):
    async def start_offset(self, *_: object) -> int:
        await asyncio.sleep(FOR_EVER_S)
        return 0


@asynccontextmanager
async def open_unreadable_log() -> AsyncIterator[EmptyLog]:
    yield UnreadableLog()


def a_runtime(services: Services) -> Runtime:
    runtime = Runtime(Settings(commit_interval_ms=60_000), [Stage("x", "orders", lambda _: NoState())])
    runtime._services = services
    return runtime


async def until_phase(runtime: Runtime, phase: Phase) -> None:
    async with asyncio.timeout(30):
        while any(task.phase is not phase for task in runtime.tasks):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RESTORING])
async def test_a_task_that_only_starts_or_restores_ends_at_once(phase: Phase) -> None:
    start_s = FOR_EVER_S if phase is Phase.STARTING else 0
    runtime = a_runtime(Services(lambda _: Writer([], start_s), open_unreadable_log, nothing, nothing))
    await runtime.assign(None, {TP("orders", 0)}, 1)
    await asyncio.sleep(0.01)  # it runs
    await until_phase(runtime, phase)
    async with asyncio.timeout(AT_ONCE_S):
        await runtime.finish()
    assert runtime.tasks == []


async def test_what_is_folded_is_committed_first() -> None:
    committed: list[int] = []
    runtime = a_runtime(Services(lambda _: Writer(committed), open_log, nothing, nothing))
    await runtime.assign(None, {TP("orders", 0), TP("orders", 1)}, 1)
    await until_phase(runtime, Phase.RUNNING)
    runtime.accept(RecordBatch(TopicPartition("orders", 1), 0, 1, [Record()]))
    async with asyncio.timeout(30):
        while all(task.position == 0 for task in runtime.tasks):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert committed == [], "the interval is a minute"
    await runtime.finish()
    assert committed == [1]


async def test_partitions_that_come_while_the_worker_leaves_are_not_begun() -> None:
    runtime = a_runtime(Services(lambda _: Writer([]), open_log, nothing, nothing))
    await runtime.finish()
    await runtime.assign(None, {TP("orders", 0)}, 1)
    assert runtime.tasks == []
