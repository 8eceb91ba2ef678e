"""The audit that never ends: it follows the workers and says up to which point every cent is conserved.

Round after round it measures where everything stands, walks the orders that the workers are surely done with, reads the
totals, and holds the two against each other (`audit_places` says when what may be said). It begins at the oldest
records each time that it is started, as nothing of it survives; it writes nothing. A finding is final.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from types import TracebackType
from typing import Any, Self

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from schemas.totals import WindowKind
from schemas.units import HOUR_MS
from streams.domain.audit import AuditCounts, Need, PartitionAudit, Scope
from streams.domain.audit_findings import Finding, Findings, Kind
from streams.domain.audit_running import RunningTotals
from streams.domain.audit_totals import Ledger
from streams.domain.audit_windows import AuditCalendar
from streams.engine.connection import group_offsets, open_admin, open_consumer, start_client
from streams.engine.reader import FETCH_MAX_WAIT_MS, LogReader
from streams.engine.refusals import DENIALS
from streams.errors import BrokerUnavailableError
from streams.settings import Settings
from streams.views.audit import open_log
from streams.views.audit_places import Measure, OrdersPlace, TotalsPlace
from streams.views.audit_snapshot import RETRY_MS, fitting_partitions, open_uncommitted

logger = structlog.get_logger(__name__)

ROUND_S = 0.3  # a round of nothing new takes five requests
OUTAGE_PAUSE_S = 1.0
SUMS_MAX = 100_000  # by project and minute, some 200 bytes each; then they go into the windows
WINDOWS_MAX = 2_000_000  # held at once, some 420 bytes each: where totals stand still, the audit waits for them
PROJECTS_CACHED_MAX = 1_000_000  # projects whose partition is remembered; tens of thousands exist


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the audit has come. All that was committed at `as_of_s` (or at its start, if later) is checked."""

    conserved: bool
    counts: AuditCounts
    totals_checked: int
    windows_held: int
    as_of_s: float
    checked: dict[tuple[str, int], int]
    finding_counts: dict[Kind, int]

    def to_json(self, lag_s: float) -> dict[str, Any]:
        """For programs; integers but for the seconds."""
        checked: dict[str, dict[str, int]] = {}
        for (topic, partition), offset in self.checked.items():
            checked.setdefault(topic, {})[str(partition)] = offset
        return {
            "conserved": self.conserved,
            "lag_seconds": round(lag_s, 3),
            "counts": {
                "orders": self.counts.orders,
                "accepted": self.counts.accepted,
                "no_pledge": self.counts.no_pledge,
                "repeats": self.counts.repeats,
                "rejected": self.counts.rejected.total(),
                "donations": self.counts.donations,
                "fen": self.counts.fen,
                "totals_checked": self.totals_checked,
            },
            "checked_offsets": checked,
            "finding_counts": {kind.value: number for kind, number in sorted(self.finding_counts.items())},
        }


class Follower:
    """Follows one deployment: open it with `async with`, then `run`. Any thread may ask for `standing` and `lag_s`."""

    def __init__(self, settings: Settings, found: Callable[[Finding], None]) -> None:
        self._settings = settings
        self._found = found
        self._findings = Findings()
        self._told = 0
        self._ledger = Ledger()
        self._orders: list[OrdersPlace] = []
        self._totals: list[TotalsPlace] = []
        self._stack = AsyncExitStack()
        self._clock = asyncio.get_running_loop().time
        self._started_s = self._clock()
        self._tries = 0
        self.standing = Standing(True, AuditCounts(), 0, 0, self._started_s, {}, {})

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)  # a right that the broker denies becomes a line for a person

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        self._admin: AIOKafkaAdminClient = await stack.enter_async_context(open_admin(settings))
        self._committed: AIOKafkaConsumer = await stack.enter_async_context(
            open_consumer(settings, fetch_max_wait_ms=FETCH_MAX_WAIT_MS, retry_backoff_ms=RETRY_MS)
        )
        self._uncommitted = open_uncommitted(settings)
        stack.push_async_callback(self._uncommitted.stop)
        await start_client(self._uncommitted, settings)
        self._readers = {need: await stack.enter_async_context(open_log(settings)) for need in Need}
        orders, totals = await fitting_partitions(LogReader(self._committed), settings.topics)
        self._partition_of = _partitioner(len(totals))
        topics = settings.topics
        self._written = [
            *_pairs([topics.donations, topics.rejected_orders], orders),
            *_pairs([topics.project_deltas, topics.project_totals], totals),
        ]
        self._incoming = _pairs([topics.orders], orders)
        starts = await self._committed.beginning_offsets([*self._written, *self._incoming])
        self._orders = [self._open_orders(partition, starts) for partition in orders]
        calendar = AuditCalendar(settings.timezone)
        self._totals = [self._open_totals(partition, starts, calendar) for partition in totals]

    def _open_orders(self, partition: int, starts: dict[TopicPartition, int]) -> OrdersPlace:
        topics = self._settings.topics
        names = topics.orders, topics.donations, topics.rejected_orders
        first, donations, rejected = (starts[TopicPartition(topic, partition)] for topic in names)
        scope = Scope(partition, first, first, first, *names, rejected_trimmed=rejected > 0)
        horizon_ms = self._settings.dedupe_horizon_hours * HOUR_MS
        audit = PartitionAudit(scope, horizon_ms, self._findings, self._ledger)
        return OrdersPlace(topics, partition, audit, (first, donations, rejected))

    def _open_totals(self, partition: int, starts: dict[TopicPartition, int], calendar: AuditCalendar) -> TotalsPlace:
        settings = self._settings
        topic = settings.topics.project_totals
        retention_ms = {
            WindowKind.MINUTE: settings.minute_retention_hours * HOUR_MS,
            WindowKind.HOUR: settings.hour_retention_hours * HOUR_MS,
        }
        running = RunningTotals(topic, partition, self._findings, self._partition_of, retention_ms, calendar=calendar)
        return TotalsPlace(settings.topics, partition, running, starts[TopicPartition(topic, partition)])

    # Rounds

    async def run(self) -> None:
        """Follow until cancelled, through outages. Raises UserError for what waiting can't mend."""
        away = False
        while True:
            self._tries += 1
            try:
                more = await self.round()
            except DENIALS:
                raise
            except (KafkaError, OSError, BrokerUnavailableError) as error:
                if not away:
                    logger.warning("the broker doesn't answer: the audit waits for it", error=repr(error))
                away = True
                await asyncio.sleep(OUTAGE_PAUSE_S)
                continue
            if away:
                logger.info("the broker answers again: the audit goes on")
            away = False
            await asyncio.sleep(0 if more else ROUND_S)

    async def round(self) -> bool:
        """Look once at everything; True if there is more to check at once."""
        measure = await self._measure()
        donations = [place.donations for place in self._orders]
        for place in self._orders:
            place.promise(measure)
        for total in self._totals:
            total.promise(measure, donations)
        more = False
        try:
            for place in self._orders:
                if place.is_ripe(measure) and not self._is_full():
                    more = await place.go_on(self._readers) or more
                    if len(self._ledger) > SUMS_MAX:
                        self._count()
                    self._tell()
            self._count()  # of all partitions at once: they have most projects and minutes in common
            reader = self._readers[Need.ORDERS]
            checked = {place.donations: place.checked[place.donations] for place in self._orders}
            newest_ms = max((place.audit.clock_ms for place in self._orders), default=0)
            for total in self._totals:
                await total.read(reader, measure)
                await total.look(reader, measure, checked, newest_ms)
        finally:
            self._tell()
        return more

    async def _measure(self) -> Measure:
        at_s = self._clock()
        offsets = await group_offsets(self._admin, self._settings.app_id)
        committed = {place: found.offset for place, found in offsets.items()}
        written = await self._uncommitted.end_offsets(self._written)
        stable = await self._committed.end_offsets(self._written)
        orders = await self._committed.end_offsets(self._incoming)
        return Measure(at_s, committed, written, {**stable, **orders})

    def _is_full(self) -> bool:
        """True if there is no room for more windows and none can come before the totals get on."""
        held = sum(len(total.running) for total in self._totals)
        return held > WINDOWS_MAX and any(total.awaits_sums for total in self._totals)

    def _count(self) -> None:
        for project_id in self._ledger.projects():
            self._totals[self._partition_of(project_id)].running.count(project_id, self._ledger)
        self._ledger.clear()

    def _tell(self) -> None:
        kept = self._findings.kept
        for finding in kept[self._told :]:
            self._found(finding)
        self._told = len(kept)
        self._stand()

    # How far it is

    @property
    def turns(self) -> int:
        """Grows with each record that is read and each round that is tried. Called from any thread."""
        return self._tries + sum(place.read_to for place in self._orders) + sum(total.read_to for total in self._totals)

    @property
    def has_caught_up(self) -> bool:
        """True once all is checked that had been committed when it started. Called from any thread."""
        return self.standing.as_of_s > self._started_s

    @property
    def lag_s(self) -> float:
        """So long ago all that was committed then is checked by now."""
        return self._clock() - self.standing.as_of_s

    def _stand(self) -> None:
        counts = AuditCounts()
        checked: dict[tuple[str, int], int] = {}
        for place in self._orders:
            counts.add(place.audit.counts)
            checked |= {(topic, partition): offset for (topic, partition), offset in place.checked.items()}
        for total in self._totals:
            checked[total.totals.topic, total.totals.partition] = total.checked
        as_of = [place.as_of_s for place in self._orders] + [total.as_of_s for total in self._totals]
        self.standing = Standing(
            conserved=not self._findings.total,
            counts=counts,
            totals_checked=sum(total.running.checked for total in self._totals),
            windows_held=sum(len(total.running) for total in self._totals),
            as_of_s=min((self._started_s if at_s is None else at_s for at_s in as_of), default=self._started_s),
            checked=checked,
            finding_counts=dict(self._findings.counts),
        )


def _partitioner(partitions: int) -> Callable[[str], int]:
    @lru_cache(PROJECTS_CACHED_MAX)
    def partition_of(project_id: str) -> int:
        return int(murmur2(project_id.encode()) & 0x7FFF_FFFF) % partitions

    return partition_of


def _pairs(topics: Sequence[str], partitions: Sequence[int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for topic, partition in product(topics, partitions)]
