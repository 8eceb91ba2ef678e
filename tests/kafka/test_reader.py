"""What LogReader promises, on a real broker: committed records only, and an end to every read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete

from schemas.topics import Topic
from streams.engine.connection import client_options, open_admin
from streams.engine.reader import TAIL_STEP_RECORDS, open_reader
from streams.engine.topic_admin import existing_topics
from streams.errors import UserError


@pytest.fixture
def topic(topics):
    return topics.topics.donations


@asynccontextmanager
async def transactions(settings, name: str = "writer") -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**client_options(settings), transactional_id=f"{settings.app_id}-{name}")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def write(producer: AIOKafkaProducer, topic: str, *values: str, commit: bool = True) -> None:
    await producer.begin_transaction()
    for value in values:
        await producer.send_and_wait(topic, value.encode(), key=value.encode(), partition=0)
    if commit:
        await producer.commit_transaction()
    else:
        await producer.abort_transaction()


async def settled(reader, topic: str, end: int) -> None:
    """A commit is acknowledged before its markers are written: wait until readers may see it."""
    async with asyncio.timeout(10):
        while await reader.end_offset(topic, 0) < end:  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.02)


async def values(reader, topic: str, start: int | None = None, end: int | None = None) -> list[str]:
    return [record.value.decode() async for batch in reader.read(topic, 0, start, end) for record in batch]


async def test_only_committed_records_are_read_whatever_lies_between_them(topics, topic):
    async with transactions(topics) as producer, open_reader(topics) as reader:
        assert await values(reader, topic) == []
        await write(producer, topic, "a", "b")
        await write(producer, topic, "lost-1", "lost-2", commit=False)
        await write(producer, topic, "c")
        await settled(reader, topic, 8)  # a, b, marker, two lost ones, marker, c, marker
        assert await values(reader, topic) == ["a", "b", "c"]
        assert await values(reader, topic, 1) == ["b", "c"]
        assert await values(reader, topic, 3, 6) == []
        assert await values(reader, topic, 0, 1) == ["a"]
        assert await values(reader, topic, 8) == []


async def test_a_partition_that_ends_in_aborted_records_is_read_to_its_end(topics, topic):
    async with transactions(topics) as producer, open_reader(topics) as reader:
        await write(producer, topic, "a")
        await write(producer, topic, *(f"lost-{n}" for n in range(TAIL_STEP_RECORDS * 3)), commit=False)
        await settled(reader, topic, 2 + TAIL_STEP_RECORDS * 3 + 1)
        async with asyncio.timeout(5):
            assert await values(reader, topic) == ["a"]
            assert (await reader.last_record(topic, 0)).value == b"a"


async def test_a_partition_of_nothing_but_aborted_records_has_no_last_record(topics, topic):
    async with transactions(topics) as producer, open_reader(topics) as reader:
        assert await reader.last_record(topic, 0) is None
        await write(producer, topic, "lost", commit=False)
        await settled(reader, topic, 2)
        async with asyncio.timeout(5):
            assert await values(reader, topic) == []
            assert await reader.last_record(topic, 0) is None


async def test_reading_ends_before_a_transaction_that_is_still_open(topics, topic):
    async with (
        transactions(topics, "first") as first,
        transactions(topics, "second") as second,
        open_reader(topics) as reader,
    ):
        await write(first, topic, "a")
        await second.begin_transaction()
        await second.send_and_wait(topic, b"open", partition=0)
        await write(first, topic, "behind-the-open-one")
        async with asyncio.timeout(5):
            assert await reader.end_offset(topic, 0) == 2
            assert await values(reader, topic) == ["a"]
            assert (await reader.last_record(topic, 0)).value == b"a"
        await second.commit_transaction()
        await settled(reader, topic, 6)
        assert await values(reader, topic) == ["a", "open", "behind-the-open-one"]


async def test_a_read_that_was_given_up_leaves_nothing_behind_for_the_next(topics, topic):
    async with transactions(topics) as producer, open_reader(topics) as reader:
        for n in range(3):
            await write(producer, topic, *(f"{n}-{m}" for m in range(50)))
        await settled(reader, topic, 3 * 51)
        everything = await values(reader, topic)
        async for batch in reader.read(topic, 0):
            assert batch
            break
        assert await values(reader, topic) == everything
        assert await values(reader, topic, 100) == everything[99:]  # one marker before it


async def test_a_compacted_partition_is_read_over_its_gaps(settings):
    """Compaction leaves offsets with no record and, between transactions, batches with no record in them."""
    topic = settings.topics.project_totals
    configs = {"cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.001"}
    async with open_admin(settings) as admin:
        await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=configs)])
    async with asyncio.timeout(30):
        while await existing_topics(settings) != {Topic.PROJECT_TOTALS: 1}:  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.05)
    async with transactions(settings) as producer, open_reader(settings) as reader:
        for _ in range(20):
            await write(producer, topic, "a", "b")
        async with asyncio.timeout(90):
            while len(found := await values(reader, topic)) > 10:
                await asyncio.sleep(0.5)
                await write(producer, topic, "tick")  # the segment in use is closed only by a later record
        start, end = await reader.start_offset(topic, 0), await reader.end_offset(topic, 0)
        assert end - start > 60
        assert set(found) == {"a", "b", "tick"}
        for limit in (10, 30, 59):
            async with asyncio.timeout(5):
                assert set(await values(reader, topic, start, limit)) <= {"a", "b"}
        async with asyncio.timeout(5):
            assert (await reader.last_record(topic, 0)).value == b"tick"


async def test_reading_from_an_offset_that_is_gone_is_told_and_not_skipped(topics, topic):
    async with transactions(topics) as producer, open_reader(topics) as reader, open_admin(topics) as admin:
        await write(producer, topic, "a", "b", "c")
        await settled(reader, topic, 4)
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=2)})
        assert await reader.start_offset(topic, 0) == 2
        assert await values(reader, topic) == ["c"]
        async with asyncio.timeout(10):
            with pytest.raises(UserError, match=rf"{topic}-0 .* offset 0"):
                await values(reader, topic, 0)


async def test_the_first_offset_at_or_after_a_time_is_found(topics, topic):
    async with transactions(topics) as producer, open_reader(topics) as reader:
        await producer.begin_transaction()
        for timestamp_ms in (1_000, 2_000, 3_000):
            await producer.send_and_wait(topic, b"x", partition=0, timestamp_ms=timestamp_ms)
        await producer.commit_transaction()
        await settled(reader, topic, 4)
        assert await reader.offset_for_time(topic, 0, 0) == 0
        assert await reader.offset_for_time(topic, 0, 2_000) == 1
        assert await reader.offset_for_time(topic, 0, 2_001) == 2


async def test_the_offset_for_a_time_in_the_past_is_never_behind_a_marker(topics, topic):
    """Markers bear the time of day. So the answer for old events is early: safe to read from, but not near."""
    async with transactions(topics) as producer, open_reader(topics) as reader:
        for timestamp_ms in (1_000, 2_000, 3_000):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"x", partition=0, timestamp_ms=timestamp_ms)
            await producer.commit_transaction()
        await settled(reader, topic, 6)
        assert await reader.offset_for_time(topic, 0, 1_000) == 0
        assert await reader.offset_for_time(topic, 0, 3_000) == 1  # the first marker; the record itself is at 4


async def test_there_is_no_offset_for_a_time_after_everything(topics, topic):
    async with transactions(topics) as producer, open_reader(topics) as reader:
        assert await reader.offset_for_time(topic, 0, 0) is None
        await write(producer, topic, "a")
        await settled(reader, topic, 2)
        assert await reader.offset_for_time(topic, 0, 253_402_300_799_999) is None


async def test_partitions_are_known_also_of_topics_that_are_younger_than_the_reader(settings):
    name = settings.topics.orders
    async with open_reader(settings) as reader:
        with pytest.raises(UserError, match="doesn't exist"):
            await reader.partitions(name)
        async with open_admin(settings) as admin:
            await admin.create_topics([NewTopic(name, 3, 1)])
        async with asyncio.timeout(30):
            while Topic.ORDERS not in await existing_topics(settings):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await reader.partitions(name) == [0, 1, 2]
