"""Stand-ins for what speaks to Kafka: the transactional producer below `Committer`, and the reader of committed logs.

They do what aiokafka does and no more: `SimulatedProducer.commit_transaction` doesn't even wait for the records in
flight, so it is the order of the steps in `Committer` that must keep a commit whole.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from schemas.topics import Topic
from streams.engine import connection
from streams.engine.packed import FinishedBatch
from streams.engine.stage import Outgoing
from tests.native.batches import records_of
from tests.simulation.clock import current_process
from tests.simulation.kafka import Cluster
from tests.simulation.network import Line


class SimulatedBatch:
    """A batch for one partition; `append` gives None when it is full."""

    def __init__(self, records_max: int) -> None:
        self.records: list[Outgoing] = []
        self._records_max = records_max
        self._closed = False

    def append(self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Any) -> object | None:
        if self._closed or len(self.records) >= self._records_max:
            return None
        self.records.append((key, value, timestamp, headers))
        return self

    def close(self) -> None:
        self._closed = True


def _with_virtual_time(topic: str, key: bytes | None, value: bytes | None, timestamp: int, headers: Any) -> Outgoing:
    """Donations bear their event's time; all else the time of writing, which is the wall clock's in the extension."""
    return key, value, timestamp if topic.endswith(Topic.DONATIONS) else None, headers


class SimulatedProducer:
    """An `AIOKafkaProducer` with a transactional id."""

    def __init__(self, cluster: Cluster, line: Line, chance: random.Random, transactional_id: str) -> None:
        self._cluster = cluster
        self._line = line
        self._chance = chance
        self._name = transactional_id
        self._epoch = -1
        self._serial = -1
        self._in_transaction = False
        self._sent = False
        self._fatal = False
        self._arrivals_s: dict[TopicPartition, float] = {}
        self._in_flight: set[asyncio.Future[Any]] = set()
        self._txn_manager = self  # asked by `Committer` whether it can still abort

    def is_fatal_error(self) -> bool:
        return self._fatal

    async def start(self) -> None:
        self._epoch = await self._line.ask(lambda: self._cluster.init_producer(self._name))

    async def stop(self) -> None:
        """An open transaction stays open."""

    async def begin_transaction(self) -> None:
        assert not self._in_transaction, "a transaction within a transaction"
        self._in_transaction = True
        self._sent = False
        self._serial += 1

    def create_batch(self) -> SimulatedBatch:
        return SimulatedBatch(self._chance.randint(1, 12))

    async def send_batch(
        self, batch: SimulatedBatch | FinishedBatch, topic: str, *, partition: int
    ) -> "asyncio.Future[Any]":
        assert self._in_transaction
        if isinstance(batch, FinishedBatch):
            records = [_with_virtual_time(topic, *record) for record in records_of(batch)]
        else:
            assert batch._closed
            records = batch.records
        if not records:
            done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        tp = TopicPartition(topic, partition)
        epoch, serial = self._epoch, self._serial
        self._sent = True
        answer, arrives_s = self._line.send(
            lambda: self._cluster.produce(self._name, epoch, serial, tp, records),
            self._arrivals_s.get(tp, 0.0),
        )
        self._arrivals_s[tp] = arrives_s
        self._in_flight.add(answer)
        answer.add_done_callback(self._on_answer)
        if self._chance.random() < 0.2:
            await asyncio.sleep(self._chance.uniform(0, 0.05))  # the accumulator is full
        return answer

    async def send_offsets_to_transaction(
        self,
        offsets: dict[TopicPartition, OffsetAndMetadata],
        group_id: str,  # noqa: ARG002 - there is one group
    ) -> None:
        self._sent = True
        epoch, serial = self._epoch, self._serial
        await self._ask(lambda: self._cluster.add_offsets(self._name, epoch, serial, offsets))

    async def commit_transaction(self) -> None:
        await self._end(commit=True)

    async def abort_transaction(self) -> None:
        """Waits for what is in flight, as aiokafka does."""
        while self._in_flight:
            await asyncio.wait(self._in_flight)
        await self._end(commit=False)

    async def _end(self, *, commit: bool) -> None:
        if not self._sent:  # the cluster knows of no transaction
            self._in_transaction = False
            return
        epoch, serial = self._epoch, self._serial
        await self._ask(lambda: self._cluster.end(self._name, epoch, serial, commit=commit))
        self._in_transaction = False

    async def _ask(self, effect: Any) -> None:
        try:
            await self._line.ask(effect)
        except (ProducerFenced, InvalidProducerEpoch):
            self._fatal = True
            raise

    def _on_answer(self, answer: "asyncio.Future[Any]") -> None:
        self._in_flight.discard(answer)
        if not answer.cancelled() and isinstance(answer.exception(), ProducerFenced | InvalidProducerEpoch):
            self._fatal = True


class SimulatedLog:
    """`streams.engine.stage.Log` on the fake cluster."""

    committed = True  # reads committed records only

    def __init__(self, cluster: Cluster, line: Line, chance: random.Random) -> None:
        self._cluster = cluster
        self._line = line
        self._chance = chance

    async def start_offset(self, topic: str, partition: int) -> int:  # noqa: ARG002 - nothing is ever deleted
        return await self._line.ask(lambda: 0)

    async def end_offset(self, topic: str, partition: int) -> int:
        log = self._cluster.logs[TopicPartition(topic, partition)]
        return await self._line.ask(lambda: log.stable)

    async def offset_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        log = self._cluster.logs[TopicPartition(topic, partition)]
        return await self._line.ask(lambda: log.offset_for_time(max(timestamp_ms, 0)))

    async def last_record(self, topic: str, partition: int) -> ConsumerRecord | None:
        log = self._cluster.logs[TopicPartition(topic, partition)]
        return await self._line.ask(lambda: next(reversed(log.read(0, log.stable, committed=self.committed)), None))

    def read(
        self, topic: str, partition: int, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        return SimulatedRead(self, TopicPartition(topic, partition), start or 0, end)

    async def fetch(self, tp: TopicPartition, start: int, end: int | None) -> tuple[int, list[ConsumerRecord]]:
        """Some records from `start` on, and where the next fetch begins."""
        log = self._cluster.logs[tp]

        def take() -> tuple[int, list[ConsumerRecord]]:
            limit = log.stable if end is None else end
            reached = min(limit, start + self._chance.choice((1, 3, 10, 40, 1_000)))
            return reached, log.read(start, reached, committed=self.committed)

        return await self._line.ask(take)


class SimulatedRead:
    """An iteration over lists of records. Not a generator: abandoned, it leaves nothing for the loop to close."""

    def __init__(self, log: SimulatedLog, tp: TopicPartition, start: int, end: int | None) -> None:
        self._log = log
        self._tp = tp
        self._position = start
        self._end = end

    def __aiter__(self) -> "SimulatedRead":
        return self

    async def __anext__(self) -> Sequence[ConsumerRecord]:
        if self._end is None:
            self._end = await self._log.end_offset(*self._tp)
        while self._position < self._end:
            self._position, records = await self._log.fetch(self._tp, self._position, self._end)
            if records:
                return records
        raise StopAsyncIteration


@asynccontextmanager
async def opened(log: SimulatedLog) -> AsyncIterator[SimulatedLog]:
    yield log


@contextmanager
def simulated_producers() -> Iterator[None]:
    """Within, every `Committer` writes through the producer that the process which opens it makes."""
    real = connection.transactional_producer
    connection.transactional_producer = lambda _settings, name: current_process().new_producer(name)
    try:
        yield
    finally:
        connection.transactional_producer = real
