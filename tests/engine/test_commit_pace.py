"""When a commit begins: soon where there is time, seldom where commits are slow or many orders wait.

In virtual time, where a moment is exact and a busy machine adds nothing.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

from aiokafka import TopicPartition

from streams.engine import limits
from streams.engine.batches import RecordBatch
from streams.engine.stage import Stage
from streams.engine.task import PartitionTask, Services
from streams.settings import Settings
from tests.engine.parts import NoState, nothing, open_log
from tests.simulation.clock import VirtualLoop

ORDERS_0 = TopicPartition("orders", 0)
TRICKLE_S = 0.002  # between two orders
LATE_S = 2 * TRICKLE_S  # a commit begins with the first order after the rest


def in_virtual_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    @functools.wraps(test)
    def run() -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test())

    return run


class Record:
    timestamp, key, value = 0, None, b"{}"

    def __init__(self, offset: int) -> None:
        self.offset = offset


class SlowWriter:
    """Its commits take so long each; it notes when each began and ended, and its position."""

    def __init__(self, took_s: float) -> None:
        self.took_s = took_s
        self.commits: list[tuple[float, float, int]] = []

    async def start(self) -> None: ...

    async def commit(self, _output: object, position: int) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        await asyncio.sleep(self.took_s)
        self.commits.append((began, clock(), position))

    async def stop(self) -> None: ...


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(TRICKLE_S)


@asynccontextmanager
async def running(
    writer: SlowWriter, interval_ms: int, has_backlog: Callable[[], bool] = lambda: False
) -> AsyncIterator[PartitionTask]:
    services = Services(lambda _: writer, open_log, nothing, nothing, has_backlog=has_backlog)
    stage = Stage("x", "orders", lambda _: NoState())
    task = PartitionTask(Settings(commit_interval_ms=interval_ms), stage, 0, services)
    life = asyncio.create_task(task.run())
    await until(task.wants_records)
    yield task
    task.stop()
    await life


async def give(task: PartitionTask, offset: int) -> None:
    await until(task.wants_records)
    task.accept(RecordBatch(ORDERS_0, offset, offset + 1, [Record(offset)]))


async def trickle(task: PartitionTask, writer: SlowWriter, commits: int) -> list[float]:
    """Orders, one after the other, until there were so many commits; how long each but the first rested before."""
    offset = 0
    while len(writer.commits) < commits:
        await give(task, offset)
        offset += 1
        await asyncio.sleep(TRICKLE_S)
    return [after[0] - before[1] for before, after in pairwise(writer.commits)]


@in_virtual_time
async def test_a_lone_order_is_committed_at_once_however_long_the_interval() -> None:
    writer = SlowWriter(0)
    async with running(writer, interval_ms=60_000) as task:
        for offset in range(3):
            await give(task, offset)
            await until(lambda known=offset: len(writer.commits) > known)
    assert [position for *_, position in writer.commits] == [1, 2, 3]


@in_virtual_time
async def test_a_partition_rests_after_a_commit_for_some_times_as_long_as_it_took() -> None:
    writer = SlowWriter(0.05)
    async with running(writer, interval_ms=60_000) as task:
        rests = await trickle(task, writer, 4)
    assert all(limits.COMMIT_REST * 0.05 <= rest < limits.COMMIT_REST * 0.05 + LATE_S for rest in rests), rests


@in_virtual_time
async def test_no_order_waits_longer_than_the_interval_for_its_commit_to_begin_however_slow_commits_are() -> None:
    writer = SlowWriter(0.5)
    async with running(writer, interval_ms=100) as task:
        rests = await trickle(task, writer, 3)
    assert all(0.1 <= rest < 0.1 + LATE_S for rest in rests), rests


@in_virtual_time
async def test_under_a_backlog_a_commit_waits_many_intervals_though_commits_are_quick() -> None:
    writer = SlowWriter(0)
    async with running(writer, interval_ms=50, has_backlog=lambda: True) as task:
        pauses = await trickle(task, writer, 3)
    assert all(pause >= limits.COMMIT_STRETCH * 0.05 for pause in pauses), pauses
