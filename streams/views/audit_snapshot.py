"""Up to where an audit reads, and whether the pipeline has come that far.

A worker commits the offset of its orders in one transaction with all that it made of them, but the parts of a
transaction become visible one after another. So that reading while workers run gives no false alarm, a snapshot is
taken in this order:
1. the committed offsets, and the newest donation and rejected order: what must be there. The cut of a partition is the
   greater of the two, as group offsets can be lost or reset;
2. the high watermarks of what the workers write, with the records of open transactions;
3. wait until no transaction is open below those: all that the cut promises can be seen from here on;
4. the ends of the workers' topics: how far the audit reads;
5. the ends of `orders`, last: if nothing lies between the cut and this end, then no later order can have touched what
   was read up to 4, and totals may be compared.
Reads only; a crash loses nothing.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.donation import decode_donation
from schemas.rejection import decode_rejection
from schemas.topics import Topics
from streams.engine.connection import client_options, group_offsets
from streams.engine.reader import LogReader
from streams.errors import UserError
from streams.settings import Settings

RETRY_MS = 10  # a client learns of a topic by failing once; its default pause of 100 ms is most of a short audit
STABLE_POLL_S = 0.05
STABLE_WAIT_S = 45.0  # longer than a killed worker's transaction stays open (15 s) and the broker's look for it (10 s)
COUNTED_MAX = 100_000  # offsets beyond a cut that are read one by one; of more than that the span is told


@dataclass(frozen=True, slots=True)
class PartitionCut:
    """The part of one partition that is audited. Offsets; ends are exclusive."""

    partition: int
    orders_start: int
    cut: int
    orders_end: int
    donations_end: int
    rejected_start: int
    rejected_end: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A consistent cut through all topics of a deployment."""

    partitions: tuple[PartitionCut, ...]
    totals_ends: tuple[int, ...]
    pending_orders: int
    pending_deltas: int
    """Records that are still on their way; at the least 1 stands for "some" in a snapshot that didn't count."""

    @property
    def drained(self) -> bool:
        return self.pending_orders == 0 and self.pending_deltas == 0


class SnapshotTaker:
    """Takes snapshots of one deployment's topics."""

    def __init__(
        self,
        settings: Settings,
        admin: AIOKafkaAdminClient,
        committed: AIOKafkaConsumer,
        uncommitted: AIOKafkaConsumer,
    ) -> None:
        self._group = settings.app_id
        self._topics: Topics = settings.topics
        self._admin = admin
        self._consumer = committed
        self._uncommitted = uncommitted
        self._reader = LogReader(committed)

    async def take(self, *, count: bool) -> Snapshot:
        """A snapshot. Where `count` is false, pending records are looked for but not counted."""
        topics = self._topics
        partitions, totals_partitions = await fitting_partitions(self._reader, topics)
        promised = await self._cuts(partitions)
        written = [
            *_pairs([topics.donations, topics.rejected_orders], partitions),
            *_pairs([topics.project_deltas, topics.project_totals], totals_partitions),
        ]
        ends = await self._stable_ends(written)
        rejected = _pairs([topics.rejected_orders], partitions)
        orders = _pairs([topics.orders], partitions)
        starts: dict[TopicPartition, int] = await self._consumer.beginning_offsets([*rejected, *orders])
        orders_ends: dict[TopicPartition, int] = await self._consumer.end_offsets(orders)
        cuts = tuple(
            PartitionCut(
                partition,
                orders_start=starts[TopicPartition(topics.orders, partition)],
                cut=_within(promised.get(partition), orders_ends[TopicPartition(topics.orders, partition)]),
                orders_end=orders_ends[TopicPartition(topics.orders, partition)],
                donations_end=ends[TopicPartition(topics.donations, partition)],
                rejected_start=starts[TopicPartition(topics.rejected_orders, partition)],
                rejected_end=ends[TopicPartition(topics.rejected_orders, partition)],
            )
            for partition in partitions
        )
        return Snapshot(
            cuts,
            tuple(ends[TopicPartition(topics.project_totals, partition)] for partition in totals_partitions),
            await self._pending_orders(cuts, count=count),
            await self._pending_deltas(totals_partitions, ends, count=count),
        )

    async def _cuts(self, partitions: Sequence[int]) -> dict[int, list[int]]:
        """For each partition the offsets that say how far it has been processed."""
        topics = self._topics
        self._deltas_done: dict[int, int] = {}
        promised: dict[int, list[int]] = {}
        for place, found in (await group_offsets(self._admin, self._group)).items():
            if place.topic == topics.orders and found.offset >= 0:
                promised.setdefault(place.partition, []).append(found.offset)
            elif place.topic == topics.project_deltas and found.offset >= 0:
                self._deltas_done[place.partition] = found.offset
        for partition in partitions:
            donation = await self._reader.last_record(topics.donations, partition)
            rejected = await self._reader.last_record(topics.rejected_orders, partition)
            seen = promised.setdefault(partition, [])
            try:
                if donation is not None:
                    seen.append(decode_donation(donation.value or b"").source_offset + 1)
                if rejected is not None:
                    seen.append(decode_rejection(rejected.headers).source_offset + 1)
            except ValueError:
                pass  # an unreadable record promises nothing; the audit itself will report it
        return promised

    async def _stable_ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The ends for committed reads, once all that is written now is committed or aborted."""
        written: dict[TopicPartition, int] = await self._uncommitted.end_offsets(places)
        deadline = asyncio.get_running_loop().time() + STABLE_WAIT_S
        while True:
            stable: dict[TopicPartition, int] = await self._consumer.end_offsets(places)
            held = [place for place in places if stable[place] < written[place]]
            if not held:
                return stable
            if asyncio.get_running_loop().time() > deadline:
                place = held[0]
                raise UserError(
                    f"a transaction on {place.topic}-{place.partition} has been open for {STABLE_WAIT_S:.0f} s: "
                    "could not tell; try again when the broker has ended it"
                )
            await asyncio.sleep(STABLE_POLL_S)

    async def _pending_orders(self, cuts: Iterable[PartitionCut], *, count: bool) -> int:
        pending = 0
        for each in cuts:
            start = max(each.cut, each.orders_start)
            pending += await self._count(self._topics.orders, each.partition, start, each.orders_end, count=count)
            if pending and not count:
                break
        return pending

    async def _pending_deltas(self, partitions: Iterable[int], ends: dict[TopicPartition, int], *, count: bool) -> int:
        """Records with a key: those without one are watermarks, which carry no money."""
        topic = self._topics.project_deltas
        pending = 0
        for partition in partitions:
            place = TopicPartition(topic, partition)
            start = max(self._deltas_done.get(partition, 0), await self._reader.start_offset(topic, partition))
            pending += await self._count(topic, partition, start, ends[place], count=count, keyed=True)
            if pending and not count:
                break
        return pending

    async def _count(  # noqa: PLR0913 - a place, a span and how to count
        self, topic: str, partition: int, start: int, end: int, *, count: bool, keyed: bool = False
    ) -> int:
        """How many records (not markers of transactions) lie in the span."""
        if count and end - start > COUNTED_MAX:
            return end - start
        found = 0
        async for records in self._reader.read(topic, partition, start, end):
            found += sum(record.key is not None for record in records) if keyed else len(records)
            if found and not count:
                break
        return found


async def fitting_partitions(reader: LogReader, topics: Topics) -> tuple[list[int], list[int]]:
    """The partitions of `orders` and of `project-totals`. Raises UserError if topics are missing or don't fit."""
    orders = await reader.partitions(topics.orders)
    totals = await reader.partitions(topics.project_totals)
    pairs = [(topics.donations, orders), (topics.rejected_orders, orders), (topics.project_deltas, totals)]
    for topic, must in pairs:
        found = await reader.partitions(topic)
        if found != must:
            other = topics.orders if must is orders else topics.project_totals
            raise UserError(f"{topic!r} has {len(found)} partitions, {other!r} has {len(must)}: they must be equal")
    return orders, totals


def open_uncommitted(settings: Settings) -> AIOKafkaConsumer:
    """A consumer, not yet started, that also sees the records of open transactions."""
    return AIOKafkaConsumer(
        isolation_level="read_uncommitted",
        enable_auto_commit=False,
        auto_offset_reset="none",
        retry_backoff_ms=RETRY_MS,
        **client_options(settings),
    )


def _pairs(topics: Iterable[str], partitions: Iterable[int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for topic, partition in product(topics, partitions)]


def _within(promised: Sequence[int] | None, end: int) -> int:
    """The greatest of the offsets that exist: a donation that names an order beyond the end is a fault, no promise."""
    return max((offset for offset in promised or () if offset <= end), default=0)
