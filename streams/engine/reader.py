"""Plain, committed reads of a partition from one offset to another: restore, totals, audit and tests read through this.

Nothing here belongs to a consumer group and nothing is written; a crash loses nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from streams.engine.connection import open_consumer
from streams.engine.packed import PackedRecords, keep_fetched_bytes, take_packed
from streams.engine.refusals import refuse_hidden
from streams.errors import BrokerUnavailableError, UserError
from streams.native import is_used
from streams.settings import Settings

FETCH_MAX_BYTES = 2 * 1_048_576  # a partition's share of one answer; a restore of many partitions has one each
READ_MAX_RECORDS = 10_000  # in one list: what is packed 15 to 1 must not all stand in memory at once
FETCH_MAX_WAIT_MS = 5  # a read ends at a known offset; a fetch past it would only hold up the next partition's first
READ_TIMEOUT_MS = 20  # one wait for records; it also lasts so long where only a marker of a transaction comes
STALLED_READS_MAX = 3_000  # so many waits in a row (a minute) without progress and the read is given up
METADATA_TRIES = 10
METADATA_PAUSE_S = 0.5
TAIL_STEP_RECORDS = 64  # how far `last_record` looks back at first; markers of transactions take offsets too

Record: TypeAlias = ConsumerRecord


class LogReader:
    """Reads partitions of any topic, one at a time, committed records only.

    `packed`: `read` yields what it fetches as `PackedRecords`, for the extension to read. `unpacked`: in plain lists,
    which the extension makes.
    """

    def __init__(self, consumer: AIOKafkaConsumer, *, packed: bool = False, unpacked: bool = False) -> None:
        self._consumer = consumer
        self._packed = packed or unpacked
        self._unpacked = unpacked

    def unpacked(self) -> "LogReader":
        """The same, yielding single records: for a few of them here and there."""
        return LogReader(self._consumer)

    async def partitions(self, topic: str) -> list[int]:
        """The partition numbers of `topic`, ascending. Raises UserError: no such topic, KafkaError: it's denied."""
        client = self._consumer._client  # noqa: SLF001 - the public way gives names only
        found = (await _all_metadata(client)).partitions_for_topic(topic)
        if not found:
            await refuse_hidden(client, [topic])
            raise UserError(f"topic {topic!r} doesn't exist. Make the topics with `everycent topics create`.")
        return sorted(found)

    async def start_offset(self, topic: str, partition: int) -> int:
        """The oldest offset that the partition still holds."""
        tp = TopicPartition(topic, partition)
        return int((await self._consumer.beginning_offsets([tp]))[tp])

    async def end_offset(self, topic: str, partition: int) -> int:
        """The offset after the last committed record (the last stable offset)."""
        tp = TopicPartition(topic, partition)
        return int((await self._consumer.end_offsets([tp]))[tp])

    async def offset_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        """An offset with no record of `timestamp_ms` or later before it; None if the partition holds none at all.

        It may be too early: a transaction's marker bears the time of day, not of the events, and counts as a record.
        Where events lie in the past it is the first marker of the partition, or the first record if that is sooner.
        """
        tp = TopicPartition(topic, partition)
        found = (await self._consumer.offsets_for_times({tp: max(timestamp_ms, 0)}))[tp]
        return None if found is None else int(found.offset)

    async def read(
        self, topic: str, partition: int, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[Record]]:
        """Yield the committed records of [start, end) in lists; by default all that there are now.

        Raises UserError if the broker gives nothing for a minute, or no longer holds the records at `start`.
        """
        tp = TopicPartition(topic, partition)
        position = await self.start_offset(topic, partition) if start is None else start
        limit = await self.end_offset(topic, partition) if end is None else end
        if position >= limit:
            return
        self._consumer.assign([tp])
        self._consumer.seek(tp, position)
        stalled = 0
        while position < limit:
            try:
                batch: Sequence[Record] = await (self._fetch_packed(tp) if self._packed else self._fetch(tp))
            except OffsetOutOfRangeError as error:
                raise UserError(f"the broker no longer holds {topic}-{partition} from offset {position} on") from error
            reached = await self._consumer.position(tp)  # also moves past markers and aborted records
            stalled = stalled + 1 if reached == position else 0
            if stalled > STALLED_READS_MAX:
                raise BrokerUnavailableError(
                    f"the broker gives no records of {topic}-{partition} from offset {position}"
                )
            position = reached
            if position > limit:
                batch = [record for record in batch if record.offset < limit]
            if batch:
                yield batch

    async def _fetch(self, tp: TopicPartition) -> Sequence[Record]:
        fetched: dict[TopicPartition, list[Record]]
        fetched = await self._consumer.getmany(tp, timeout_ms=READ_TIMEOUT_MS, max_records=READ_MAX_RECORDS)
        return fetched.get(tp, [])

    async def _fetch_packed(self, tp: TopicPartition) -> Sequence[Record]:
        fetcher = self._consumer._fetcher  # noqa: SLF001 - the seam that streams.engine.packed is about
        if tp not in fetcher._records:  # noqa: SLF001
            waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
            await asyncio.wait([waiter], timeout=READ_TIMEOUT_MS / 1_000)
            waiter.cancel()
        fetched = fetcher._records.get(tp)  # noqa: SLF001
        if fetched is None:
            return []
        if type(fetched) is not FetchResult:
            return await self._fetch(tp)  # an error, which it raises
        records = take_packed(tp, fetched)
        del fetcher._records[tp]  # noqa: SLF001
        fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001 - ask for more
        if records is None:
            return []
        return records.unpacked() if self._unpacked else records

    async def last_record(self, topic: str, partition: int) -> Record | None:
        """The newest committed record of the partition; None if it holds none."""
        start = await self.start_offset(topic, partition)
        end = await self.end_offset(topic, partition)
        step = TAIL_STEP_RECORDS
        limit = end
        while limit > start:
            position = max(start, limit - step)
            last = None
            async for batch in self.read(topic, partition, position, limit):
                last = batch[-1]
            if last is not None:
                return last
            limit, step = position, step * 8
        return None


async def fetch_packed(consumer: AIOKafkaConsumer, timeout_s: float) -> dict[TopicPartition, PackedRecords]:
    """What has been fetched of any assigned partitions, each packed; empty after `timeout_s` without any.

    `keep_fetched_bytes` must have been called before. Raises KafkaError as `getmany` does.
    """
    fetcher = consumer._fetcher  # noqa: SLF001 - the seam that streams.engine.packed is about
    if not fetcher._records:  # noqa: SLF001
        waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
        await asyncio.wait([waiter], timeout=timeout_s)
        waiter.cancel()
    found: dict[TopicPartition, PackedRecords] = {}
    for tp, fetched in list(fetcher._records.items()):  # noqa: SLF001
        if type(fetched) is not FetchResult and found:
            break  # hand over what there is; the error is raised at the next call
        del fetcher._records[tp]  # noqa: SLF001
        fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001 - ask for more
        if type(fetched) is not FetchResult:
            fetched.check_raise()
        elif records := take_packed(tp, fetched):
            found[tp] = records
    return found


async def _all_metadata(client: AIOKafkaClient) -> Any:
    """All topics that we may see. Raises KafkaError where no broker says, for some seconds.

    A connection may just have ended, as it does where our token has expired; a broker that wakes from a freeze names no
    broker at all until its controller has heard of it again.
    """
    for _ in range(METADATA_TRIES - 1):
        with suppress(KafkaError):
            return await client.fetch_all_metadata()
        await asyncio.sleep(METADATA_PAUSE_S)
    return await client.fetch_all_metadata()


@asynccontextmanager
async def open_reader(settings: Settings, *, packed: bool = False) -> AsyncIterator[LogReader]:
    """A reader on its own connection, see `LogReader`. Raises UserError if no broker answers."""
    if packed:
        keep_fetched_bytes()
    async with open_consumer(
        settings, max_partition_fetch_bytes=FETCH_MAX_BYTES, fetch_max_wait_ms=FETCH_MAX_WAIT_MS
    ) as consumer:
        yield LogReader(consumer, packed=packed)


@asynccontextmanager
async def open_unpacked(settings: Settings, **options: Any) -> AsyncIterator[LogReader]:
    """A reader of single records on its own connection, unpacked by the extension where that is used.

    `options` are the consumer's. A fetch comes in one list: it bounds what stands in memory. Raises UserError if no
    broker answers.
    """
    unpacked = is_used(settings.native)
    if unpacked:
        keep_fetched_bytes()
    async with open_consumer(settings, **options) as consumer:
        yield LogReader(consumer, unpacked=unpacked)
