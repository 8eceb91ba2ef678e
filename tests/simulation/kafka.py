"""A fake Kafka cluster: logs with transactions, a coordinator that fences, the group's offsets.

What it promises is what Kafka promises a client, taken at its worst: aborted records and markers take offsets, a
transaction's markers reach its partitions one by one, offsets by time are as early as Kafka's index may say.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, InvalidTxnState, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from streams.engine import limits
from streams.engine.stage import Outgoing
from tests.simulation.clock import VirtualLoop

MARKER_DELAY_MAX_S = 0.4


@dataclass(eq=False, slots=True)
class Transaction:
    """One transaction of one transactional id."""

    serial: int  # the client's own count
    logs: dict["PartitionLog", None] = field(default_factory=dict)
    offsets: dict[TopicPartition, OffsetAndMetadata] = field(default_factory=dict)
    ending: bool = False


@dataclass(eq=False, slots=True)
class Producer:
    """What the coordinator knows of a transactional id."""

    epoch: int = -1
    transaction: Transaction | None = None
    ended_serial: int = -1
    waiting: list[Callable[[], None]] = field(default_factory=list)  # for the end of the transaction


class PartitionLog:
    """One partition. `stable` is the last stable offset: nothing at or beyond it is seen by committed readers."""

    def __init__(self, topic: str, partition: int, *, append_time: bool, chance: random.Random) -> None:
        self.tp = TopicPartition(topic, partition)
        self.records: list[ConsumerRecord | None] = []  # by offset; None: a marker
        self.times_ms: list[int] = []
        self.stable = 0
        self.listeners: list[Callable[[PartitionLog, int], None]] = []
        self._append_time = append_time
        self._chance = chance
        self._open: dict[Transaction, int] = {}
        self._owner: dict[int, Transaction] = {}
        self.hidden: set[int] = set()  # aborted, or compacted away

    def append(self, outgoing: Outgoing, wall_ms: int, transaction: Transaction | None = None) -> int:
        offset = len(self.records)
        key, value, timestamp_ms, headers = outgoing
        time_ms = wall_ms if self._append_time or timestamp_ms is None else timestamp_ms
        self.records.append(ConsumerRecord(*self.tp, offset, time_ms, 0, key, value, None, 0, 0, headers))
        self.times_ms.append(time_ms)
        if transaction is not None:
            self._open.setdefault(transaction, offset)
            self._owner[offset] = transaction
        else:
            self._advance()
        return offset

    def end_transaction(self, transaction: Transaction, wall_ms: int, *, commit: bool) -> None:
        first = self._open.pop(transaction)
        if not commit:
            owner = self._owner
            self.hidden.update(at for at in range(first, len(self.records)) if owner.get(at) is transaction)
        self.records.append(None)
        self.times_ms.append(wall_ms)
        self._advance()

    def _advance(self) -> None:
        before = self.stable
        self.stable = min(self._open.values(), default=len(self.records))
        if self.stable > before:
            for listener in self.listeners:
                listener(self, before)

    def read(self, start: int, end: int, *, committed: bool = True) -> list[ConsumerRecord]:
        hidden = self.hidden if committed else ()
        return [record for record in self.records[start:end] if record is not None and record.offset not in hidden]

    def offset_for_time(self, timestamp_ms: int) -> int | None:
        """As Kafka looks it up: from some entry of its sparse index, which may lie behind records of that very time."""
        latest = 0
        while latest < self.stable and self.times_ms[latest] <= timestamp_ms:
            latest += 1
        start = self._chance.randint(0, latest)
        return next((at for at in range(start, self.stable) if self.times_ms[at] >= timestamp_ms), None)

    def compact(self) -> None:
        """Drop what a later record of the same key replaces. Tombstones stay for a day: longer than any run."""
        newest: dict[bytes | None, int] = {}
        for record in self.read(0, self._chance.randint(0, self.stable)):
            if record.key in newest:
                self.hidden.add(newest[record.key])
            newest[record.key] = record.offset


class Cluster:
    """All logs, and the coordinators of transactions and of the one group."""

    def __init__(self, loop: VirtualLoop, wall_start_ms: int, chance: random.Random) -> None:
        self.loop = loop
        self.logs: dict[TopicPartition, PartitionLog] = {}
        self.offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        self.past_offsets: dict[TopicPartition, list[OffsetAndMetadata]] = {}
        self._wall_start_ms = wall_start_ms
        self._chance = chance
        self._producers: dict[str, Producer] = {}

    def wall_ms(self) -> int:
        return self._wall_start_ms + int(self.loop.time() * 1_000)

    def add_topic(self, topic: str, partitions: int, *, append_time: bool) -> None:
        for partition in range(partitions):
            log = PartitionLog(topic, partition, append_time=append_time, chance=self._chance)
            self.logs[log.tp] = log

    def of_topic(self, topic: str) -> list[PartitionLog]:
        return [log for tp, log in self.logs.items() if tp.topic == topic]

    # Transactions. Each may answer with a future: the request is kept waiting while a transaction is being ended.

    def init_producer(self, name: str) -> "asyncio.Future[int]":
        """A new epoch. Whoever had the one before is fenced, its open transaction aborted."""
        producer = self._producers.setdefault(name, Producer())
        producer.epoch += 1
        epoch = producer.epoch
        if producer.transaction is not None and not producer.transaction.ending:
            self._end(producer, producer.transaction, commit=False)
        producer.ended_serial = -1  # clients of this epoch count from 0
        answer: asyncio.Future[int] = self.loop.create_future()
        self._when_ended(producer, lambda: answer.done() or answer.set_result(epoch))
        return answer

    def produce(
        self, name: str, epoch: int, serial: int, tp: TopicPartition, records: Sequence[Outgoing]
    ) -> "asyncio.Future[int]":
        def write(transaction: Transaction) -> int:
            log = self.logs[tp]
            transaction.logs[log] = None
            wall_ms = self.wall_ms()
            offsets = [log.append(record, wall_ms, transaction) for record in records]
            return offsets[0]

        return self._in_transaction(name, epoch, serial, write)

    def add_offsets(
        self, name: str, epoch: int, serial: int, offsets: dict[TopicPartition, OffsetAndMetadata]
    ) -> "asyncio.Future[None]":
        return self._in_transaction(name, epoch, serial, lambda transaction: transaction.offsets.update(offsets))

    def end(self, name: str, epoch: int, serial: int, *, commit: bool) -> None:
        """The decision. It stands from here on; what it decides on becomes visible bit by bit."""
        producer = self._producers[name]
        self._check(producer, epoch)
        transaction = producer.transaction
        if transaction is None or transaction.ending or transaction.serial != serial:
            raise InvalidTxnState
        self._end(producer, transaction, commit=commit)

    def _in_transaction(
        self, name: str, epoch: int, serial: int, act: Callable[[Transaction], Any]
    ) -> "asyncio.Future[Any]":
        producer = self._producers[name]
        answer: asyncio.Future[Any] = self.loop.create_future()

        def proceed() -> None:
            try:
                self._check(producer, epoch)
                if serial <= producer.ended_serial:
                    raise InvalidTxnState  # noqa: TRY301 - the answer to a request that came too late
                answer.set_result(act(self._open(producer, serial)))
            except (ProducerFenced, InvalidProducerEpoch, InvalidTxnState) as error:
                answer.set_exception(error)

        self._when_ended(producer, proceed)
        return answer

    def _check(self, producer: Producer, epoch: int) -> None:
        if epoch != producer.epoch:
            raise ProducerFenced if self._chance.random() < 0.5 else InvalidProducerEpoch

    def _open(self, producer: Producer, serial: int) -> Transaction:
        if producer.transaction is None:
            producer.transaction = Transaction(serial)
            self.loop.after(limits.TRANSACTION_TIMEOUT_MS / 1_000, self._time_out, producer, producer.transaction)
        return producer.transaction

    def _time_out(self, producer: Producer, transaction: Transaction) -> None:
        if producer.transaction is transaction and not transaction.ending:
            producer.epoch += 1
            self._end(producer, transaction, commit=False)

    def _when_ended(self, producer: Producer, act: Callable[[], Any]) -> None:
        if producer.transaction is not None and producer.transaction.ending:
            producer.waiting.append(act)
        else:
            act()

    def _end(self, producer: Producer, transaction: Transaction, *, commit: bool) -> None:
        transaction.ending = True
        producer.ended_serial = transaction.serial
        steps: list[Callable[[], None]] = [
            lambda log=log: log.end_transaction(transaction, self.wall_ms(), commit=commit) for log in transaction.logs
        ]
        if commit:
            steps.append(lambda: self._commit_offsets(transaction.offsets.items()))
        left = len(steps)

        def run(step: Callable[[], None]) -> None:
            nonlocal left
            step()
            left -= 1
            if left == 0:
                self._ended(producer)

        if not steps:
            self._ended(producer)
        for step in steps:
            if self._chance.random() < 0.7:
                run(step)
            else:
                self.loop.after(self._chance.uniform(0, MARKER_DELAY_MAX_S), run, step)

    def _ended(self, producer: Producer) -> None:
        producer.transaction = None
        waiting, producer.waiting = producer.waiting, []
        for act in waiting:
            self._when_ended(producer, act)

    def _commit_offsets(self, offsets: Iterable[tuple[TopicPartition, OffsetAndMetadata]]) -> None:
        for tp, offset in offsets:
            self.offsets[tp] = offset
            self.past_offsets.setdefault(tp, []).append(offset)
