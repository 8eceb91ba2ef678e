"""How much one commit holds at most."""

import asyncio

import pytest
from aiokafka import TopicPartition

from streams.engine import limits
from streams.engine.batches import RecordBatch
from streams.engine.stage import Stage
from streams.engine.task import PartitionTask, Services
from streams.settings import Settings
from tests.engine.parts import NoState, nothing, open_log

ORDERS_0 = TopicPartition("orders", 0)
COMMITS = 4


class Record:
    def __init__(self, offset: int, value: bytes | None) -> None:
        self.offset, self.timestamp, self.key, self.value = offset, 0, None, value


class Notes:
    """A writer that notes the position of each commit."""

    def __init__(self) -> None:
        self.positions: list[int] = []

    async def start(self) -> None: ...

    async def commit(self, _output: object, position: int) -> None:
        self.positions.append(position)

    async def stop(self) -> None: ...


@pytest.mark.parametrize(
    ("value", "records"),
    [
        (b"x" * 1_048_576, limits.COMMIT_MAX_BYTES // 1_048_576),
        (b"x" * 16_384, limits.COMMIT_MAX_BYTES // 16_384),
        (b"x" * 220, NoState.commit_max_records),
        (None, NoState.commit_max_records),
    ],
    ids=["of 1 MiB", "of 200 lines", "as they mostly are", "tombstones"],
)
async def test_a_commit_is_due_at_its_most_bytes_or_records_however_long_its_interval(
    value: bytes | None, records: int
) -> None:
    notes = Notes()
    task = PartitionTask(
        Settings(commit_interval_ms=60_000),
        Stage("x", "orders", lambda _: NoState()),
        0,
        Services(lambda _: notes, open_log, nothing, nothing, has_backlog=lambda: True),
    )
    running = asyncio.create_task(task.run())
    size = records // 4
    offset = 0
    while len(notes.positions) < COMMITS:
        if task.wants_records():
            batch = [Record(at, value) for at in range(offset, offset + size)]
            task.accept(RecordBatch(ORDERS_0, offset, offset + size, batch))
            offset += size
        await asyncio.sleep(0)
    task.stop()
    await running
    assert notes.positions[:COMMITS] == [records * (number + 1) for number in range(COMMITS)]
