"""Re-derives every donation and total from `orders` and compares, to the fen: the reader behind `everycent audit`.

Takes a snapshot, walks each partition's logs up to it, then holds `project-totals` against what the donations add up
to. Reads only; a crash loses nothing but the audit's own time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from schemas.totals import WindowKind
from schemas.units import HOUR_MS
from streams.domain.audit import AuditCounts, Need, PartitionAudit, Scope
from streams.domain.audit_findings import Finding, Findings
from streams.domain.audit_totals import Ledger, TotalsAudit
from streams.domain.audit_windows import AuditCalendar
from streams.engine.connection import open_admin, open_consumer, start_client
from streams.engine.reader import FETCH_MAX_WAIT_MS, LogReader, open_unpacked
from streams.errors import ExitStatus, UserError
from streams.settings import Settings
from streams.views.audit_snapshot import RETRY_MS, PartitionCut, Snapshot, SnapshotTaker, open_uncommitted

POLL_S = 0.2
BATCH_RECORDS = 10_000  # of one log in memory at a time
FETCH_BYTES = 524_288  # of one log, compressed: what is fetched ahead while a batch is worked on


class Progress(Protocol):
    """Is told how the audit gets on."""

    def waiting(self, snapshot: Snapshot) -> None: ...
    def started(self, orders: int) -> None: ...
    def advanced(self, orders: int) -> None: ...
    def totals(self) -> None: ...


class Silent:
    """Tells nobody."""

    def waiting(self, snapshot: Snapshot) -> None: ...
    def started(self, orders: int) -> None: ...
    def advanced(self, orders: int) -> None: ...
    def totals(self) -> None: ...


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The verdict. `conserved` is None where the audit could not tell; `reason` then says why."""

    conserved: bool | None
    reason: str
    counts: AuditCounts
    totals_checked: int
    totals_released: int
    pending_orders: int
    pending_deltas: int
    findings: tuple[Finding, ...]
    finding_counts: dict[str, int] = field(default_factory=dict)

    @property
    def exit_status(self) -> ExitStatus:
        if self.conserved is None:
            return ExitStatus.UNUSABLE
        return ExitStatus.OK if self.conserved else ExitStatus.NOT_CONSERVED

    def to_json(self) -> dict[str, Any]:
        """The verdict for programs: counts, sums and findings; integers throughout."""
        counts = self.counts
        return {
            "conserved": self.conserved,
            "reason": self.reason,
            "counts": {
                "orders": counts.orders,
                "accepted": counts.accepted,
                "no_pledge": counts.no_pledge,
                "repeats": counts.repeats,
                "rejected": {reason.value: number for reason, number in sorted(counts.rejected.items())},
                "donations": counts.donations,
                "fen": counts.fen,
                "underived": counts.underived,
                "totals_checked": self.totals_checked,
                "totals_released": self.totals_released,
            },
            "pending": {"orders": self.pending_orders, "project_deltas": self.pending_deltas},
            "finding_counts": self.finding_counts,
            "findings": [finding.to_json() for finding in self.findings],
        }


async def run_audit(settings: Settings, *, wait_s: float = 0, progress: Progress | None = None) -> AuditReport:
    """Audit the deployment. Waits up to `wait_s` for the workers to be done with what has come.

    Raises UserError if no broker answers, topics are missing or don't fit each other, or the broker stops answering.
    """
    progress = progress or Silent()
    try:
        async with AsyncExitStack() as stack:
            snapshot = await _settle(settings, stack, wait_s, progress)
            return await _Audit(settings, snapshot, progress).run()
    except (KafkaError, OSError) as error:
        raise UserError(f"the broker stopped answering ({type(error).__name__}: {error}): could not tell") from error


async def _settle(settings: Settings, stack: AsyncExitStack, wait_s: float, progress: Progress) -> Snapshot:
    """A snapshot of a pipeline that has done its work, or, after `wait_s`, of one that hasn't."""
    admin = await stack.enter_async_context(open_admin(settings))
    committed = await stack.enter_async_context(
        open_consumer(settings, fetch_max_wait_ms=FETCH_MAX_WAIT_MS, retry_backoff_ms=RETRY_MS)
    )
    uncommitted = open_uncommitted(settings)
    stack.push_async_callback(uncommitted.stop)
    await start_client(uncommitted, settings)
    taker = SnapshotTaker(settings, admin, committed, uncommitted)
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait_s
    while clock() < deadline:
        snapshot = await taker.take(count=False)
        if snapshot.drained:
            return snapshot
        progress.waiting(snapshot)
        await asyncio.sleep(POLL_S)
    return await taker.take(count=True)


class _Audit:
    """One audit of one snapshot."""

    def __init__(self, settings: Settings, snapshot: Snapshot, progress: Progress) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self._progress = progress
        self._findings = Findings()
        self._ledger = Ledger()
        self._counts = AuditCounts()
        self._checked = 0
        self._released = 0

    async def run(self) -> AuditReport:
        cuts = self._snapshot.partitions
        self._progress.started(sum(each.cut - each.orders_start for each in cuts))
        async with AsyncExitStack() as stack:
            readers = {need: await stack.enter_async_context(open_log(self._settings)) for need in Need}
            for each in cuts:
                await self._audit_partition(each, readers)
            if self._snapshot.drained:
                self._progress.totals()
                await self._audit_totals(readers[Need.ORDERS])
        return self._report()

    async def _audit_partition(self, each: PartitionCut, readers: dict[Need, LogReader]) -> None:
        topics = self._settings.topics
        scope = Scope(
            each.partition,
            each.orders_start,
            max(each.cut, each.orders_start),
            each.orders_end,
            topics.orders,
            topics.donations,
            topics.rejected_orders,
            rejected_trimmed=each.rejected_start > 0,
        )
        horizon_ms = self._settings.dedupe_horizon_hours * HOUR_MS
        audit = PartitionAudit(scope, horizon_ms, self._findings, self._ledger)
        logs = {
            Need.ORDERS: readers[Need.ORDERS].read(topics.orders, each.partition, each.orders_start, scope.cut),
            Need.DONATIONS: readers[Need.DONATIONS].read(topics.donations, each.partition, None, each.donations_end),
            Need.REJECTED: readers[Need.REJECTED].read(
                topics.rejected_orders, each.partition, each.rejected_start, each.rejected_end
            ),
        }
        steps = audit.run()
        need = next(steps)
        orders = 0
        while True:
            batch = await anext(logs[need], None)
            try:
                need = steps.send(batch)
            except StopIteration:
                break
            self._progress.advanced(audit.counts.orders - orders)
            orders = audit.counts.orders
        self._counts.add(audit.counts)

    async def _audit_totals(self, reader: LogReader) -> None:
        topic = self._settings.topics.project_totals
        ends = self._snapshot.totals_ends

        @cache
        def partition_of(project_id: str) -> int:
            return int(murmur2(project_id.encode()) & 0x7FFF_FFFF) % len(ends)

        calendar = AuditCalendar(self._settings.timezone)
        retention_ms = {
            WindowKind.MINUTE: self._settings.minute_retention_hours * HOUR_MS,
            WindowKind.HOUR: self._settings.hour_retention_hours * HOUR_MS,
        }
        for partition, end in enumerate(ends):
            audit = TotalsAudit(topic, partition, self._findings, partition_of, retention_ms)
            async for records in reader.read(topic, partition, None, end):
                audit.take(records)
            # Compaction may have taken a total that we had to see because a newer one was written meanwhile.
            changed = {
                record.key
                async for records in reader.read(
                    topic, partition, max(end, await reader.start_offset(topic, partition))
                )
                for record in records
                if record.key is not None
            }
            audit.finish(self._ledger, calendar, changed)
            self._checked += audit.checked
            self._released += audit.released

    def _report(self) -> AuditReport:
        snapshot = self._snapshot
        conserved, reason = self._judge()
        return AuditReport(
            conserved,
            reason,
            self._counts,
            self._checked,
            self._released,
            snapshot.pending_orders,
            snapshot.pending_deltas,
            self._findings.kept,
            {kind.value: number for kind, number in sorted(self._findings.counts.items())},
        )

    def _judge(self) -> tuple[bool | None, str]:
        snapshot = self._snapshot
        if self._findings.total:
            return False, f"{self._findings.total} differences"
        if not snapshot.drained:
            waiting = f"{snapshot.pending_orders} orders and {snapshot.pending_deltas} partial sums"
            return (
                None,
                f"{waiting} are still on their way: all that is done is right, but totals can't be compared yet",
            )
        gone = [each for each in snapshot.partitions if each.orders_start > 0]
        if gone or self._counts.underived:
            return None, "the oldest orders or rejected orders are gone (retention), so they can't be derived again"
        return True, "every donation and every total is what the orders give"


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[LogReader]:
    """A reader that holds little: three of them are read side by side."""
    async with open_unpacked(
        settings,
        max_partition_fetch_bytes=FETCH_BYTES,
        max_poll_records=BATCH_RECORDS,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        retry_backoff_ms=RETRY_MS,
    ) as reader:
        yield reader
