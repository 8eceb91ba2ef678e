"""What both ways to fold a partition of `orders` share: where the state stands, refused orders, what is told of time.

The state stands in `donations`: the number of the next one, and the order ids within the dedupe horizon.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.partitioner import murmur2

from schemas.delta import SourceWatermark, encode_watermark
from schemas.donation import Donation, decode_donation
from schemas.limits import EVENT_TIME_MAX_MS
from schemas.records import LogRecord
from schemas.rejection import Refusal, Rejection, decode_rejection, encode_rejection
from schemas.units import HOUR_MS, MINUTE_MS
from streams.agents.foreign import only_ours
from streams.domain.horizon import restore_from_ms
from streams.domain.split import SplitCounts
from streams.engine.stage import Log, Outgoing
from streams.metrics import DONATED_FEN, DONATIONS, ORDERS, REJECTED_ORDERS, Figures
from streams.settings import Settings


def read_donation(record: LogRecord) -> Donation:
    """A record of `donations`. Raises an error of its decoding where it is none."""
    return decode_donation(record.value or b"")


def _read_rejection(record: Any) -> Rejection:
    return decode_rejection(record.headers)


class SplitPartition:
    """What both ways to fold have in common. `_restore_state` is theirs."""

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
            with only_ours(self._topics.donations, self._partition, [last], read_donation):
                donation = read_donation(last)
            positions.append(donation.source_offset + 1)
            await self._restore_state(donation.seq + 1, self._tail(log, last))
        refused = await log.last_record(self._topics.rejected_orders, self._partition)
        if refused is not None:
            with only_ours(self._topics.rejected_orders, self._partition, [refused], _read_rejection):
                positions.append(_read_rejection(refused).source_offset + 1)
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
