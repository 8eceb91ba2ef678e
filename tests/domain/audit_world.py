"""Faultless topics in memory, written by hand: a test says what each order is and what it must become.

It decides nothing: which order is a repeat or a conflict, and how many fen a line gives, stands in the test.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from schemas.donation import Donation, encode_donation
from schemas.rejection import Reason, Rejection, encode_rejection
from schemas.totals import ProjectTotal, TotalKey, WindowKind, encode_total
from streams.domain.audit import AuditCounts, Need, PartitionAudit, Scope
from streams.domain.audit_findings import Findings, Kind
from streams.domain.audit_totals import Ledger, TotalsAudit
from streams.domain.audit_windows import AuditCalendar

NOON_MS = 1_605_067_200_000  # 2020-11-11T04:00:00Z
HOUR_MS = 3_600_000
APPENDED_AT = NOON_MS + 6 * HOUR_MS  # when the broker took the orders


class Rec(NamedTuple):
    """A record as the audit sees it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Line(NamedTuple):
    """A line with a fixed pledge that gives all of `fen`."""

    project_id: str
    fen: int


@dataclass
class World:
    """One partition's topics."""

    partition: int = 0
    orders: list[Rec] = field(default_factory=list)
    donations: list[Rec] = field(default_factory=list)
    rejected: list[Rec] = field(default_factory=list)

    def order_value(self, order_id: str, lines: Sequence[Line | None], at_ms: int) -> bytes:
        return msgspec.json.encode(
            {
                "order_id": order_id,
                "buyer_id": "b1",
                "merchant_id": "m1",
                "completed_at": at_ms,
                "lines": [
                    {
                        "line": number,
                        "item_id": f"i{number}",
                        "paid_fen": 5_000,
                        "pledge": line and {"kind": "fixed", "project_id": line.project_id, "fen": line.fen},
                    }
                    for number, line in enumerate(lines)
                ],
            }
        )

    def send(self, value: bytes | None, key: bytes | None = b"b1", appended_at: int = APPENDED_AT) -> Rec:
        """An order that becomes nothing, by itself."""
        offset = self.orders[-1].offset + 1 if self.orders else 0
        record = Rec(offset, appended_at, key, value)
        self.orders.append(record)
        return record

    def accept(self, order_id: str, *lines: Line | None, at_ms: int = NOON_MS, value: bytes | None = None) -> None:
        """An order that must be accepted and give these lines' donations."""
        record = self.send(value or self.order_value(order_id, lines, at_ms))
        for number, line in enumerate(lines):
            if line is not None:
                self.donate(order_id, number, line, at_ms, record.offset)

    def donate(self, order_id: str, number: int, line: Line, at_ms: int, source_offset: int) -> None:
        donation = Donation(
            f"{order_id}:{number}", len(self.donations), order_id, number, "b1", "m1", f"i{number}",
            line.project_id, line.fen, at_ms, source_offset,
        )  # fmt: skip
        self.donations.append(Rec(len(self.donations), at_ms, b"b1", encode_donation(donation)))

    def refuse(self, reason: Reason, value: bytes | None, key: bytes | None = b"b1") -> None:
        """An order that must be refused for `reason`."""
        record = self.send(value, key)
        self.rejected.append(self.rejection(record, reason))

    def rejection(self, record: Rec, reason: Reason) -> Rec:
        rejection = Rejection(reason, "why", "orders", self.partition, record.offset, record.timestamp)
        return Rec(len(self.rejected), APPENDED_AT + 1, record.key, record.value, encode_rejection(rejection))

    def donation(self, index: int) -> Donation:
        return msgspec.json.decode(self.donations[index].value or b"", type=Donation)

    def alter_donation(self, index: int, **fields: Any) -> None:
        donation = msgspec.structs.replace(self.donation(index), **fields)
        self.donations[index] = self.donations[index]._replace(value=encode_donation(donation))


def audit(
    world: World, cut: int | None = None, batch: int = 3, horizon_ms: int = 24 * HOUR_MS, **scope: Any
) -> tuple[Findings, AuditCounts, Ledger]:
    """Audit one partition, its logs handed over in batches of `batch` records."""
    end = world.orders[-1].offset + 1 if world.orders else 0
    cut = end if cut is None else cut
    found = Findings()
    ledger = Ledger()
    first = world.orders[0].offset if world.orders else 0
    run = PartitionAudit(Scope(world.partition, first, cut, end, **scope), horizon_ms, found, ledger)
    orders = [record for record in world.orders if record.offset < cut]
    logs = {Need.ORDERS: orders, Need.DONATIONS: list(world.donations), Need.REJECTED: list(world.rejected)}
    steps = run.run()
    need = next(steps)
    while True:
        records, logs[need] = logs[need][:batch], logs[need][batch:]
        try:
            need = steps.send(records or None)
        except StopIteration:
            return found, run.counts, ledger


def kinds(findings: Findings) -> dict[str, int]:
    return {kind.value: number for kind, number in findings.counts.items()}


# --- totals, in UTC


def write_totals(donations: Iterable[Donation], watermark_ms: int = 0) -> list[ProjectTotal]:
    """The totals that these donations must have, in the calendar of UTC."""
    sums: dict[tuple[str, WindowKind, int, int | None], list[int]] = {}
    for donation in donations:
        for kind in WindowKind:
            start_ms, end_ms = utc_window(kind, donation.donated_at)
            found = sums.setdefault((donation.project_id, kind, start_ms, end_ms), [0, 0])
            found[0] += donation.fen
            found[1] += 1
    return [
        ProjectTotal(
            project_id, kind, start_ms, end_ms,
            None if end_ms is None else datetime.fromtimestamp(start_ms / 1000, UTC).isoformat(),
            fen, count, 0, watermark_ms, False, 1,
        )
        for (project_id, kind, start_ms, end_ms), (fen, count) in sums.items()
    ]  # fmt: skip


def utc_window(kind: WindowKind, time_ms: int) -> tuple[int, int | None]:
    for size, each in ((60_000, WindowKind.MINUTE), (HOUR_MS, WindowKind.HOUR), (24 * HOUR_MS, WindowKind.DAY)):
        if kind is each:
            return time_ms - time_ms % size, time_ms - time_ms % size + size
    if kind is WindowKind.ALL:
        return 0, None
    day = datetime.fromtimestamp(time_ms / 1000, UTC)
    if kind is WindowKind.YEAR:
        bounds = datetime(day.year, 1, 1, tzinfo=UTC), datetime(day.year + 1, 1, 1, tzinfo=UTC)
    else:
        following = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
        bounds = datetime(day.year, day.month, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC)
    return int(bounds[0].timestamp()) * 1000, int(bounds[1].timestamp()) * 1000


def total_record(offset: int, total: ProjectTotal) -> Rec:
    key = TotalKey(total.project_id, total.window, total.start_ms).encode()
    return Rec(offset, APPENDED_AT, key, encode_total(total))


def audit_totals(
    ledger: Ledger,
    records: Sequence[Rec],
    partition_of: Any = lambda _project_id: 0,
    changed: frozenset[bytes] = frozenset(),
) -> tuple[Findings, TotalsAudit]:
    findings = Findings()
    retention_ms = {WindowKind.MINUTE: 48 * HOUR_MS, WindowKind.HOUR: 960 * HOUR_MS}
    run = TotalsAudit("project-totals", 0, findings, partition_of, retention_ms)
    run.take(records)
    run.finish(ledger, AuditCalendar("UTC"), changed)
    return findings, run


__all__ = ["Kind", "Line", "Rec", "World", "audit", "audit_totals", "kinds", "total_record", "write_totals"]
