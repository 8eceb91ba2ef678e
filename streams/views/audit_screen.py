"""How an audit looks to a person: progress while it runs, a table and the first differences when it is done."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from streams.views.audit import AuditReport, Silent
from streams.views.audit_snapshot import Snapshot
from streams.views.money import format_yuan

FINDINGS_SHOWN = 20


class AuditProgress:
    """A progress bar on standard error; nothing at all where that is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("looking at the topics", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def waiting(self, snapshot: Snapshot) -> None:
        what = "orders" if snapshot.pending_orders else "totals"
        self._bar.update(self._task, description=f"waiting for the workers ({what} on their way)")

    def started(self, orders: int) -> None:
        self._bar.update(self._task, description="auditing orders", total=orders)

    def advanced(self, orders: int) -> None:
        self._bar.advance(self._task, orders)

    def totals(self) -> None:
        self._bar.update(self._task, description="auditing totals")


class AuditPhase(Silent):
    """The progress as a phase of something longer, the demo: `set_phase` is told each in words."""

    def __init__(self, set_phase: Callable[[str], None]) -> None:
        self._set_phase = set_phase
        self._orders = 0
        self._done = 0

    def waiting(self, snapshot: Snapshot) -> None:
        self._set_phase("the last orders" if snapshot.pending_orders else "the last totals")

    def started(self, orders: int) -> None:
        self._orders = orders

    def advanced(self, orders: int) -> None:
        self._done += orders
        self._set_phase(f"audit, {self._done:,} of {self._orders:,} orders")

    def totals(self) -> None:
        self._set_phase("audit of the totals")


def print_report(report: AuditReport, console: Console) -> None:
    """The counts, the first differences, and the verdict in one line."""
    console.print(_counts_table(report))
    if report.finding_counts:
        console.print(_findings_table(report))
        if len(report.findings) > FINDINGS_SHOWN:
            console.print(f"… {sum(report.finding_counts.values())} differences; --json has the first of each kind")
    console.print(verdict(report), soft_wrap=True)


def verdict(report: AuditReport) -> str:
    """The verdict in one line."""
    counts = report.counts
    if report.conserved is None:
        return f"COULD NOT TELL: {report.reason}."
    if not report.conserved:
        kinds = ", ".join(f"{number} {kind}" for kind, number in report.finding_counts.items())
        return f"NOT CONSERVED: {report.reason} ({kinds})."
    return (
        f"CONSERVED: {counts.orders:,} orders gave {counts.donations:,} donations, {format_yuan(counts.fen)} yuan; "
        f"{report.totals_checked:,} totals agree to the fen."
    )


def _counts_table(report: AuditReport) -> Table:
    counts = report.counts
    table = Table(title="Audit", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows = [
        ("orders", counts.orders),
        ("  accepted", counts.accepted),
        ("    without a pledge", counts.no_pledge),
        ("  repeats dropped", counts.repeats),
        *((f"  rejected: {reason}", number) for reason, number in sorted(counts.rejected.items())),
        ("donations", counts.donations),
        ("totals checked", report.totals_checked),
        ("totals released", report.totals_released),
        ("orders on their way", report.pending_orders),
        ("partial sums on their way", report.pending_deltas),
    ]
    for name, number in rows:
        table.add_row(name, f"{number:,}")
    table.add_row("donated, yuan", format_yuan(counts.fen))
    return table


def _findings_table(report: AuditReport) -> Table:
    table = Table(title="First differences")
    for name in ("kind", "place", "expected", "found", "what"):
        table.add_column(name, overflow="fold")
    for each in report.findings[:FINDINGS_SHOWN]:
        table.add_row(*(escape(cell) for cell in (each.kind, each.place, each.expected, each.found, each.text)))
    return table
