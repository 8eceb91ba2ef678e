"""One commit: the numbered steps by which folded orders become visible, or didn't happen.

The transaction is the only writer and the only commit. A crash in any step before (6) leaves aborted records that no
reader of committed records sees, and the input offset where it was; a crash after (6) leaves everything in place.
ARCHITECTURE.md walks through each failure.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import zip_longest
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams.engine import connection
from streams.engine.stage import Outgoing, Output
from streams.settings import Settings


class Step(IntEnum):
    """The steps of a commit, in order. Each is reported when it is done."""

    FOLDED = 1  # (1) records folded into the state, synchronously
    BEGUN = 2  # (2) transaction begun
    SENT = 3  # (3) record batches handed to the producer
    OFFSETS_SENT = 4  # (4) input offset put into the transaction
    ACKNOWLEDGED = 5  # (5) every record batch acknowledged by the broker
    COMMITTED = 6  # (6) transaction committed
    COUNTED = 7  # (7) only now the new state counts


OnStep = Callable[[Step, TopicPartition], None]


@dataclass(frozen=True, slots=True)
class CommitWork:
    """What one commit is about: the input that was folded for it."""

    tp: TopicPartition
    first_offset: int
    """The position that the last commit was good up to."""
    next_offset: int
    """The position that this one is good up to."""
    records: int
    bytes: int
    """Of the input as it is held: packed, where the extension folds."""

    @property
    def fields(self) -> dict[str, int]:
        """For a log line that names the partition already."""
        return {
            "first_offset": self.first_offset,
            "position": self.next_offset,
            "records": self.records,
            "bytes": self.bytes,
        }


def ignore_step(step: Step, tp: TopicPartition) -> None:
    """What production does at each step: nothing. Fault tests put a crash here."""


class Committer:
    """Writes one input partition's output, under a transactional id of its own that fences whoever had it before."""

    def __init__(self, settings: Settings, tp: TopicPartition, on_step: OnStep = ignore_step) -> None:
        self._tp = tp
        self._group_id = settings.app_id
        self._on_step = on_step
        self._producer = connection.transactional_producer(settings, f"{settings.app_id}-{tp.topic}-{tp.partition}")

    async def start(self) -> None:
        """Take over the partition: an earlier owner's open transaction is aborted and it can't write any more."""
        await self._producer.start()

    async def stop(self) -> None:
        await connection.stop_producer(self._producer)

    async def commit(self, output: Output, position: int) -> None:
        """Steps (2) to (6) for all that was folded up to `position`. Raises KafkaError; then nothing counts."""
        with connection.telling_its_end(self._producer):
            await self._commit(output, position)

    async def _commit(self, output: Output, position: int) -> None:
        producer = self._producer
        await producer.begin_transaction()
        self._on_step(Step.BEGUN, self._tp)
        try:
            acknowledgements = await self._send(output)
            self._on_step(Step.SENT, self._tp)
            offset = OffsetAndMetadata(position, output.metadata)
            await producer.send_offsets_to_transaction({self._tp: offset}, self._group_id)
            self._on_step(Step.OFFSETS_SENT, self._tp)
            await asyncio.gather(*acknowledgements)
            self._on_step(Step.ACKNOWLEDGED, self._tp)
        except BaseException as error:
            await connection.give_up_transaction(producer, error)
            raise
        await producer.commit_transaction()
        self._on_step(Step.COMMITTED, self._tp)

    async def _send(self, output: Output) -> list[asyncio.Future[Any]]:
        outgoing = {destination: self._build_batches(records) for destination, records in output.records.items()}
        for destination, batches in output.batches.items():
            outgoing.setdefault(destination, []).extend(batches)
        acknowledgements = []
        # By turns, for a partition takes its next batch only when the last one is on its way.
        for turn in zip_longest(*outgoing.values()):
            for (topic, partition), batch in zip(outgoing, turn, strict=True):
                if batch is not None:
                    future = await self._producer.send_batch(batch, topic, partition=partition)
                    future.add_done_callback(connection.look_at)
                    acknowledgements.append(future)
        return acknowledgements

    def _build_batches(self, records: Sequence[Outgoing]) -> list[Any]:
        batch = self._producer.create_batch()
        batches = [batch]
        append = batch.append
        for key, value, timestamp_ms, headers in records:
            if append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
                batch = self._producer.create_batch()
                batches.append(batch)
                append = batch.append
                if append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
                    raise AssertionError(f"a record of {len(value or b'')} bytes doesn't fit an empty batch")
        for batch in batches:
            batch.close()
        return batches
