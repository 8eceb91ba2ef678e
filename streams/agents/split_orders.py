"""The agent `split`: orders in; donations, refused orders, and partial sums for `totals` out, in one commit.

Its state stands in `donations`: the number of the next one, and the order ids within the dedupe horizon.
"""

from collections.abc import Sequence
from typing import Any

import faust
from aiokafka import ConsumerRecord
from aiokafka.partitioner import murmur2

from schemas.delta import MinuteSum, ProjectDelta, SourceWatermark, encode_delta, encode_watermark
from schemas.donation import Donation, decode_donation, encode_donation
from schemas.records import LogRecord
from schemas.rejection import Refusal, Rejection, decode_rejection, encode_rejection
from schemas.units import HOUR_MS, MINUTE_MS
from streams.domain.dedupe import OrderMemory
from streams.domain.split import SplitOutcome, SplitState, restore_orders, split_orders
from streams.engine.app import batches_of
from streams.engine.runtime import Runtime
from streams.engine.stage import NO_HEADERS, Log, Outgoing, Output, Stage
from streams.settings import Settings

PROJECTS_CACHED_MAX = 1_000_000  # projects whose partition is remembered; tens of thousands exist
FOLD_RECORDS = 1_024  # orders in work at once: as many as stay in a core's cache (a fifth less CPU than 4,096)


class SplitProcessor:
    """One partition of `orders`."""

    def __init__(self, settings: Settings, partition: int, totals_partitions: int) -> None:
        self._topics = settings.topics
        self._partition = partition
        self._totals_partitions = totals_partitions
        self._lateness_ms = settings.allowed_lateness_ms
        self._state = SplitState(OrderMemory(settings.dedupe_horizon_hours * HOUR_MS))
        self._outcome = SplitOutcome()
        self._donations: list[Outgoing] = []
        self._partition_of: dict[str, int] = {}
        self._told_minute = -1  # the watermark's minute that every totals partition has been told
        self._idle = False

    async def restore(self, log: Log, metadata: str) -> int | None:  # noqa: ARG002 - all of it is in `donations`
        """Read the tail of `donations` that the dedupe horizon covers, and the last refused order."""
        last = await log.last_record(self._topics.donations, self._partition)
        positions = []
        if last is not None:
            donation = decode_donation(last.value)
            self._state.next_seq = donation.seq + 1
            positions.append(donation.source_offset + 1)
            await self._restore_memory(log, last)
        refused = await log.last_record(self._topics.rejected_orders, self._partition)
        if refused is not None:
            positions.append(decode_rejection(refused.headers).source_offset + 1)
        return max(positions, default=None)

    async def _restore_memory(self, log: Log, last: ConsumerRecord) -> None:
        topic, partition, memory = self._topics.donations, self._partition, self._state.memory
        # A millisecond early: Kafka's time index may pass over earlier records of exactly the time that is asked for.
        start = await log.offset_for_time(topic, partition, memory.restore_from_ms(last.timestamp) - 1)
        donations: list[Donation] = []
        async for batch in log.read(topic, partition, start, last.offset + 1):
            donations += [decode_donation(record.value) for record in batch]
            # The last order may go on in the next batch.
            whole = len(donations)
            while whole and donations[whole - 1].source_offset == donations[-1].source_offset:
                whole -= 1
            restore_orders(memory, donations[:whole])
            del donations[:whole]
        restore_orders(memory, donations)

    def fold(self, records: Sequence[LogRecord]) -> None:
        self._idle = False
        for start in range(0, len(records), FOLD_RECORDS):
            split_orders(self._state, records[start : start + FOLD_RECORDS], self._outcome)
            # Written down at once, as bytes: a commit's donations as objects would take four times the memory.
            donations, self._outcome.donations = self._outcome.donations, []
            self._donations += [
                (donation.buyer_id.encode(), encode_donation(donation), donation.donated_at, NO_HEADERS)
                for donation in donations
            ]

    def fold_idle(self) -> bool:
        self._idle = True
        return True

    def take_output(self, position: int) -> Output:  # noqa: ARG002 - each donation carries its own source offset
        outcome, self._outcome = self._outcome, SplitOutcome()
        output = Output()
        if self._donations:
            output.records[self._topics.donations, self._partition] = self._donations
            self._donations = []
        if outcome.refused:
            output.records[self._topics.rejected_orders, self._partition] = [
                self._rejected(record, refusal) for record, refusal in outcome.refused
            ]
        self._add_deltas(output, outcome)
        return output

    def _rejected(self, record: LogRecord, refusal: Refusal) -> Outgoing:
        rejection = Rejection(
            refusal.reason,
            refusal.detail,
            self._topics.orders,
            self._partition,
            record.offset,
            record.timestamp,
        )
        return record.key, record.value, None, encode_rejection(rejection)

    def _add_deltas(self, output: Output, outcome: SplitOutcome) -> None:
        topic = self._topics.project_deltas
        told = set()
        for project_id, minutes in outcome.sums.items():
            key = project_id.encode()
            partition = self._partition_of.get(project_id)
            if partition is None:
                partition = self._find_partition(project_id, key)
            told.add(partition)
            sums = tuple(MinuteSum(start_ms, cell.fen, cell.donations) for start_ms, cell in minutes.items())
            output.add(topic, partition, (key, encode_delta(ProjectDelta(sums)), None, NO_HEADERS))
        self._add_watermark(output, told)

    def _add_watermark(self, output: Output, told: set[int]) -> None:
        """After the deltas, so that a donation is judged by what was known before it.

        Every partition that got deltas is told. The others are told when the watermark's minute changes, for only then
        can a window become final, and when this source falls idle.
        """
        watermark_ms = max(self._state.memory.clock_ms - self._lateness_ms, 0)
        minute = watermark_ms // MINUTE_MS
        if self._idle or minute != self._told_minute:
            told = set(range(self._totals_partitions))
            self._told_minute = -1 if self._idle else minute  # all are told again when orders come back
        mark = encode_watermark(SourceWatermark(self._partition, watermark_ms, self._idle))
        for partition in sorted(told):
            output.add(self._topics.project_deltas, partition, (None, mark, None, NO_HEADERS))

    def _find_partition(self, project_id: str, key: bytes) -> int:
        if len(self._partition_of) >= PROJECTS_CACHED_MAX:
            self._partition_of.clear()
        partition = int(murmur2(key) & 0x7FFF_FFFF) % self._totals_partitions  # as every Kafka client does by default
        self._partition_of[project_id] = partition
        return partition


def split_stage(settings: Settings, totals_partitions: int) -> Stage:
    """The stage that splits orders."""
    return Stage(
        "split",
        settings.topics.orders,
        lambda partition: SplitProcessor(settings, partition, totals_partitions),
    )


def add_split_agent(app: faust.App, runtime: Runtime, settings: Settings) -> None:
    """The agent: batches of orders in, each handed to its partition's task."""

    @app.agent(batches_of(app, settings.topics.orders), name="split")
    async def split(batches: Any) -> None:
        async for batch in batches:
            runtime.accept(batch)
