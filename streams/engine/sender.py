"""Sends ready-made records to one topic fast: whole record batches, so many in flight and no more.

The producer is idempotent: a send that is tried again after a lost answer is stored once. A record counts as sent when
every in-sync replica has it; if this process dies, what was in flight may or may not have arrived.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ClusterAuthorizationFailedError, KafkaError, KafkaTimeoutError

from streams.domain.murmur2 import partitions_of
from streams.engine.connection import REQUEST_TIMEOUT_MS, client_options, start_client
from streams.engine.reader import open_reader
from streams.engine.refusals import denied, explain, is_denial
from streams.errors import AccessError, UserError
from streams.settings import Settings

BATCH_MAX_BYTES = 512 * 1_024  # before compression; half of what the broker takes by default, as it may not compress
CHUNKS_IN_FLIGHT_MAX = 4  # enough to keep the broker busy while the next chunk is made
DELIVERY_TIMEOUT_SECONDS = 60  # aiokafka's idempotent producer would try for ever
STOP_TIMEOUT_SECONDS = 5


class RecordSender:
    """Sends chunks of records, each to the partition that Kafka's default partitioner gives its key."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, topic: str, partition_count: int) -> None:
        self._producer = producer
        self._settings = settings
        self._topic = topic
        self._partition_count = partition_count
        self._in_flight: deque[tuple[int, list[asyncio.Future[Any]]]] = deque()
        self._acknowledged = 0

    async def send(self, keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> None:
        """Hand over a chunk; waits while too much is in flight. Raises UserError if the broker doesn't take it."""
        while len(self._in_flight) >= CHUNKS_IN_FLIGHT_MAX:
            await self._wait_oldest()
        partitions = partitions_of([key or b"" for key in keys], self._partition_count)
        rows_by_partition = [(partitions == partition).nonzero()[0] for partition in range(self._partition_count)]
        sends = [
            self._send_partition(partition, keys, values, rows.tolist())
            for partition, rows in enumerate(rows_by_partition)
            if len(rows)
        ]
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_SECONDS):
                futures = await asyncio.gather(*sends)
        except (KafkaError, TimeoutError) as error:
            raise self._undelivered(error) from error
        self._in_flight.append((len(keys), [future for batch in futures for future in batch]))

    async def flush(self) -> None:
        """Wait until the broker has everything. Raises UserError if it doesn't take it."""
        while self._in_flight:
            await self._wait_oldest()

    async def _send_partition(
        self, partition: int, keys: Sequence[bytes | None], values: Sequence[bytes | None], rows: list[int]
    ) -> list[asyncio.Future[Any]]:
        futures = []
        # The topic's own clock is the broker's (LogAppendTime); this one stands where an operator chose otherwise.
        now_ms = time.time_ns() // 1_000_000
        batch = self._producer.create_batch()
        for row in rows:
            if batch.append(timestamp=now_ms, key=keys[row], value=values[row]) is None:  # full
                futures.append(await self._hand_over(batch, partition))
                batch = self._producer.create_batch()
                batch.append(timestamp=now_ms, key=keys[row], value=values[row])  # the first one always fits
        batch.close()
        futures.append(await self._hand_over(batch, partition))
        return futures

    async def _hand_over(self, batch: Any, partition: int) -> asyncio.Future[Any]:
        while True:
            with suppress(KafkaTimeoutError):  # no room for a request's time: how long to wait, `send` decides
                return cast(
                    "asyncio.Future[Any]", await self._producer.send_batch(batch, self._topic, partition=partition)
                )

    async def _wait_oldest(self) -> None:
        records, futures = self._in_flight.popleft()
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_SECONDS):
                await asyncio.gather(*futures)
        except (KafkaError, TimeoutError) as error:
            raise self._undelivered(error) from error
        self._acknowledged += records

    def _undelivered(self, error: BaseException) -> UserError:
        if isinstance(
            error, ClusterAuthorizationFailedError
        ):  # what Kafka says to whoever may write to no topic at all
            return denied(self._settings, "topic", [self._topic], "Write")
        if is_denial(error):
            return explain(self._settings, error)
        reached = f"It has {self._acknowledged:,} records of this run, perhaps some more"
        if isinstance(error, TimeoutError | KafkaTimeoutError):
            return UserError(f"the broker stopped taking records for topic {self._topic!r}. {reached}. Is it running?")
        return UserError(f"the broker refused records for topic {self._topic!r}: {error!r}. {reached}.")


@asynccontextmanager
async def open_sender(settings: Settings, topic: str) -> AsyncIterator[RecordSender]:
    """A sender with a connection of its own. Raises UserError if no broker answers or the topic doesn't exist."""
    async with open_reader(settings) as reader:  # a producer that asks for a missing topic may have it created
        partition_count = len(await reader.partitions(topic))
    producer = AIOKafkaProducer(
        enable_idempotence=True,
        compression_type="zstd",
        max_batch_size=BATCH_MAX_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        **client_options(settings),
    )
    try:
        try:
            await start_client(producer, settings)
        except AccessError as error:
            if isinstance(error.__cause__, ClusterAuthorizationFailedError):  # said to whoever may write to no topic
                raise denied(settings, "topic", [topic], "Write") from error
            raise
        yield RecordSender(settings, producer, topic, partition_count)
    finally:
        await _stop(producer)


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop, but not wait for ever for a broker that has gone."""
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
            await producer.stop()
