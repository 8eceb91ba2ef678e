"""One partition of `orders`: what `split` restores, folds and writes. In Python, and the reference for the extension.

Its state stands in `donations`: the number of the next one, and the order ids within the dedupe horizon.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence

from aiokafka import ConsumerRecord
from aiokafka.partitioner import murmur2

from schemas.delta import MinuteSum, ProjectDelta, SourceWatermark, encode_delta, encode_watermark
from schemas.donation import Donation, decode_donation, encode_donation
from schemas.limits import EVENT_TIME_MAX_MS
from schemas.records import LogRecord
from schemas.rejection import Refusal, Rejection, decode_rejection, encode_rejection
from schemas.units import HOUR_MS, MINUTE_MS
from streams.domain.dedupe import OrderMemory, restore_from_ms
from streams.domain.split import SplitCounts, SplitOutcome, SplitState, restore_orders, split_orders
from streams.engine import limits
from streams.engine.stage import NO_HEADERS, Log, Outgoing, Output
from streams.metrics import DEDUPE_IDS, DONATED_FEN, DONATIONS, ORDERS, REJECTED_ORDERS, Figures
from streams.settings import Settings

PROJECTS_CACHED_MAX = 1_000_000  # projects whose partition is remembered; tens of thousands exist
FOLD_RECORDS = 1_024  # orders in work at once: as many as stay in a core's cache (a fifth less CPU than 4,096)


class SplitPartition:
    """What both ways to fold have in common: where the state stands, refused orders, and what is told of time."""

    def __init__(self, settings: Settings, partition: int, totals_partitions: int) -> None:
        self._topics = settings.topics
        self._partition = partition
        self._totals_partitions = totals_partitions
        self._horizon_ms = settings.dedupe_horizon_hours * HOUR_MS
        self._lateness_ms = settings.allowed_lateness_ms
        self._told_minute = -1  # the watermark's minute that every totals partition has been told
        self._idle = False

    async def restore(self, log: Log, metadata: str) -> int | None:  # noqa: ARG002 - all of it is in `donations`
        """Read the tail of `donations` that the dedupe horizon covers, and the last refused order."""
        last = await log.last_record(self._topics.donations, self._partition)
        positions = []
        if last is not None:
            donation = decode_donation(last.value)
            positions.append(donation.source_offset + 1)
            await self._restore_state(donation.seq + 1, self._tail(log, last))
        refused = await log.last_record(self._topics.rejected_orders, self._partition)
        if refused is not None:
            positions.append(decode_rejection(refused.headers).source_offset + 1)
        return max(positions, default=None)

    async def _restore_state(self, next_seq: int, tail: AsyncIterator[Sequence[ConsumerRecord]]) -> None:
        raise NotImplementedError

    async def _tail(self, log: Log, last: ConsumerRecord) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """The donations that the memory of order ids is made of."""
        topic, partition = self._topics.donations, self._partition
        # A millisecond early: Kafka's time index may pass over earlier records of exactly the time that is asked for.
        start = await log.offset_for_time(topic, partition, restore_from_ms(self._horizon_ms, last.timestamp) - 1)
        async for batch in log.read(topic, partition, start, last.offset + 1):
            yield batch

    def fold_idle(self) -> bool:
        self._idle = True
        return True

    def _rejected(
        self, offset: int, arrived_ms: int, key: bytes | None, value: bytes | None, refusal: Refusal
    ) -> Outgoing:
        rejection = Rejection(refusal.reason, refusal.detail, self._topics.orders, self._partition, offset, arrived_ms)
        return key, value, None, encode_rejection(rejection)

    def _mark(self, clock_ms: int, oldest_ms: int | None) -> tuple[bytes, bytes | None]:
        """The watermark's record behind sums, and that for totals partitions that got none; None: they aren't told.

        They are when the watermark's minute changes, for only then can a window become final, and when this source
        falls idle. It goes behind the sums, so that a donation is judged by what was known before it.
        """
        watermark_ms = max(clock_ms - self._lateness_ms, 0)
        minute = watermark_ms // MINUTE_MS
        tell_all = self._idle or minute != self._told_minute
        if tell_all:
            self._told_minute = -1 if self._idle else minute  # all are told again when orders come back
        mark = SourceWatermark(self._partition, watermark_ms, self._idle)
        lone_mark = encode_watermark(mark) if tell_all else None
        if oldest_ms is not None and 0 <= oldest_ms <= EVENT_TIME_MAX_MS:  # any producer's, where they stamp
            mark = SourceWatermark(self._partition, watermark_ms, self._idle, oldest_ms)
        return encode_watermark(mark), lone_mark

    @staticmethod
    def _figures(counts: SplitCounts, refusals: Iterable[Refusal]) -> Figures:
        """What a commit's orders came to, as the metrics have it."""
        reasons = Counter(refusal.reason for refusal in refusals)
        return {
            (ORDERS, "accepted"): counts.accepted,
            (ORDERS, "no_pledge"): counts.no_pledge,
            (ORDERS, "repeat"): counts.repeats,
            (ORDERS, "rejected"): reasons.total(),
            **{(REJECTED_ORDERS, reason): count for reason, count in reasons.items()},
            (DONATIONS,): counts.donations,
            (DONATED_FEN,): counts.fen,
        }

    def _find_partition(self, key: bytes) -> int:
        """The partition of `project-deltas` that has this project: as every Kafka client chooses it by default."""
        return int(murmur2(key) & 0x7FFF_FFFF) % self._totals_partitions


class SplitProcessor(SplitPartition):
    """The reference."""

    commit_max_records = limits.COMMIT_MAX_RECORDS

    def __init__(self, settings: Settings, partition: int, totals_partitions: int) -> None:
        super().__init__(settings, partition, totals_partitions)
        self._state = SplitState(OrderMemory(self._horizon_ms))
        self._outcome = SplitOutcome()
        self._donations: list[Outgoing] = []
        self._partition_of: dict[str, int] = {}

    async def _restore_state(self, next_seq: int, tail: AsyncIterator[Sequence[ConsumerRecord]]) -> None:
        self._state.next_seq = next_seq
        memory = self._state.memory
        donations: list[Donation] = []
        async for batch in tail:
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

    def take_output(self, position: int) -> Output:  # noqa: ARG002 - each donation carries its own source offset
        outcome, self._outcome = self._outcome, SplitOutcome()
        output = Output()
        if self._donations:
            output.records[self._topics.donations, self._partition] = self._donations
            self._donations = []
        if outcome.refused:
            output.records[self._topics.rejected_orders, self._partition] = [
                self._rejected(record.offset, record.timestamp, record.key, record.value, refusal)
                for record, refusal in outcome.refused
            ]
        self._add_deltas(output, outcome)
        output.counts = self._figures(outcome.counts, [refusal for _, refusal in outcome.refused])
        return output

    def levels(self) -> Figures:
        return {(DEDUPE_IDS,): len(self._state.memory)}

    def _add_deltas(self, output: Output, outcome: SplitOutcome) -> None:
        topic = self._topics.project_deltas
        told = set()
        for project_id, minutes in outcome.sums.items():
            key = project_id.encode()
            partition = self._partition_of.get(project_id)
            if partition is None:
                partition = self._remember_partition(project_id, key)
            told.add(partition)
            sums = tuple(MinuteSum(start_ms, cell.fen, cell.donations) for start_ms, cell in minutes.items())
            output.add(topic, partition, (key, encode_delta(ProjectDelta(sums)), None, NO_HEADERS))
        mark, lone_mark = self._mark(self._state.memory.clock_ms, outcome.oldest_ms)
        for partition in range(self._totals_partitions):
            value = mark if partition in told else lone_mark
            if value is not None:
                output.add(topic, partition, (None, value, None, NO_HEADERS))

    def _remember_partition(self, project_id: str, key: bytes) -> int:
        if len(self._partition_of) >= PROJECTS_CACHED_MAX:
            self._partition_of.clear()
        partition = self._partition_of[project_id] = self._find_partition(key)
        return partition
