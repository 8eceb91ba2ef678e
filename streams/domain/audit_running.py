"""Totals that go on changing, held against donations that go on coming: the totals' side of the following audit.

The two logs are never seen at the same point, so a total isn't compared with one sum but held between two. A *look*
begins with what a window's donations came to then, and what its total said then. It ends when surely

- all donations that were in those totals have been counted: no total may have said more than is counted by now;
- all donations that were counted then are in the totals: no total may say less by now.

Where nothing came for a window meanwhile, which is soon so for every minute, both together say: equal to the fen.
Months, years and all time are at any end of the log also held against each other, where donations never cease.

Windows are forgotten some event time after their end (`KEPT_MS`), so memory is bounded by projects, not by time; months
and longer stay. Pure and in memory: nothing survives a crash, whoever audits begins again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from schemas.limits import EVENT_TIME_MAX_MS
from schemas.totals import ProjectTotal, WindowKind
from schemas.units import DAY_MS, HOUR_MS, MINUTE_MS
from streams.domain.audit_findings import Findings, Kind
from streams.domain.audit_rule import AuditRecord
from streams.domain.audit_totals import Ledger, TotalsLog
from streams.domain.audit_windows import AuditCalendar, AuditWindow

# How long after its end, in event time, a window is still looked at. What comes later counts in the longer ones.
KEPT_MS = {WindowKind.MINUTE: HOUR_MS, WindowKind.HOUR: 6 * HOUR_MS, WindowKind.DAY: 8 * DAY_MS}
PLACES = {kind: place for place, kind in enumerate(WindowKind)}
LASTING = (WindowKind.MONTH, WindowKind.YEAR, WindowKind.ALL)  # each donation is in one of each kind, for ever


class Cell:
    """One project's window: what its donations come to, and what its newest total says (revision 0: there is none)."""

    __slots__ = (
        "donations", "fen", "is_released", "is_reported", "offset", "project_id", "revision", "total_donations",
        "total_fen", "window",
    )  # fmt: skip

    def __init__(self, project_id: str, window: AuditWindow) -> None:
        self.project_id = project_id
        self.window = window
        self.fen = 0
        self.donations = 0
        self.total_fen = 0
        self.total_donations = 0
        self.revision = 0
        self.offset = 0
        self.is_released = False
        self.is_reported = False  # a total that is wrong stays wrong: it is told once


class Seen(NamedTuple):
    """A cell as a look found it at its beginning."""

    fen: int
    donations: int
    total_fen: int
    total_donations: int
    offset: int


class RunningTotals(TotalsLog):
    """One partition of `project-totals`, followed.

    `take` its records and `count` donations, in any order; `reach_end` whenever the log has been read to its end;
    `begin_look` and `end_look` by turns.
    """

    def __init__(  # noqa: PLR0913 - a partition, where findings go, and what the deployment's settings say
        self,
        topic: str,
        partition: int,
        findings: Findings,
        partition_of: Callable[[str], int],
        retention_ms: Mapping[WindowKind, int],
        *,
        calendar: AuditCalendar,
    ) -> None:
        super().__init__(topic, partition, findings, partition_of)
        self.checked = 0  # windows that were held against their donations, each time that they were
        self._retention_ms = retention_ms
        self._kept_ms = {kind: min(kept, retention_ms.get(kind, kept)) for kind, kept in KEPT_MS.items()}
        self._calendar = calendar
        self._cells: dict[bytes, Cell] = {}
        self._by_window: dict[AuditWindow, list[bytes]] = {}  # the keys of windows that will be forgotten
        self._touched: set[bytes] = set()
        self._look: dict[bytes, Seen] | None = None
        self._watermark_ms = 0
        self._lasting: dict[str, list[int]] = {}  # project: fen of its months, years and all time
        self._changed: set[str] = set()  # projects whose totals have changed since the log's end was reached
        self._suspects: set[str] = set()

    def __len__(self) -> int:
        return len(self._cells)

    # What has happened

    def count(self, project_id: str, ledger: Ledger) -> None:
        """Count the donations of a project that the ledger holds."""
        key_start = project_id.encode()
        for window, fen, donations in ledger.windows(project_id, self._calendar):
            key = key_start + window.key_end
            cell = self._cells.get(key)
            if cell is None:
                if self._is_forgotten(window):
                    continue
                cell = self._add(key, project_id, window)
            cell.fen += fen
            cell.donations += donations
            self._touched.add(key)

    def take(self, records: Sequence[AuditRecord]) -> None:
        """Take in the next records of the log."""
        cells = self._cells
        for record in records:
            key = record.key or b""
            if record.value is None:
                self._release(key, record)
                continue
            total = self._decode(record)
            if total is None:
                continue
            cell = cells.get(key)
            if cell is None or not _is_of(total, cell):
                cell = self._place_total(key, record, total)
                if cell is None:
                    continue
            elif total.revision <= cell.revision or total.fen < cell.total_fen:
                self._report_fall(record, cell.revision, cell.total_fen, total)
            if total.late_fen > total.fen:
                self._report(cell, record.offset, f"late_fen at most {total.fen}", f"late_fen={total.late_fen}")
            self._watermark_ms = max(self._watermark_ms, total.watermark_ms)
            if total.window in LASTING:
                self._add_lasting(total, total.fen - cell.total_fen)
            cell.total_fen = total.fen
            cell.total_donations = total.donations
            cell.revision = total.revision
            cell.offset = record.offset
            self._touched.add(key)

    def reach_end(self) -> None:
        """The log has been read to its end, so whole commits: months, years and all time must have the same sum.

        Compaction may have taken a total that we had to see because a newer one was written while we read: that one
        is read by the next time, so a difference is told when it is there twice.
        """
        wrong = set()
        for project_id in self._changed | self._suspects:
            months, years, all_time = self._lasting[project_id]
            if not months == years == all_time:
                wrong.add(project_id)
                if project_id in self._suspects:
                    self._report_lasting(project_id, months, years, all_time)
        self._suspects = wrong
        self._changed.clear()

    # Looks

    @property
    def is_looking(self) -> bool:
        return self._look is not None

    def begin_look(self) -> bool:
        """Note what stands now for all windows that have changed since the last look; False: none has."""
        assert self._look is None
        if not self._touched:
            return False
        cells = self._cells
        self._look = {}
        for key in self._touched:
            cell = cells[key]
            self._look[key] = Seen(cell.fen, cell.donations, cell.total_fen, cell.total_donations, cell.offset)
        self._touched = set()
        return True

    def end_look(self, newest_ms: int) -> None:
        """Judge, now that the two conditions of the module hold. `newest_ms`: the newest donation's time, at least."""
        assert self._look is not None
        for key, seen in self._look.items():
            cell = self._cells[key]
            if not cell.is_reported:
                self._judge(cell, seen, newest_ms)
        self.checked += len(self._look)
        self._look = None
        self._forget()

    def _judge(self, cell: Cell, seen: Seen, newest_ms: int) -> None:
        if seen.total_donations > cell.donations or seen.total_fen > cell.fen:
            kind = Kind.TOTAL_WRONG if cell.donations else Kind.TOTAL_UNDUE
            expected = f"at most {cell.fen} fen of {cell.donations}"
            self._report(cell, seen.offset, expected, f"{seen.total_fen} fen of {seen.total_donations}", kind)
        elif cell.is_released:
            if self._released_at(cell.window) > newest_ms:
                self._report(cell, cell.offset, "a total", "a tombstone, too early", Kind.TOTAL_MISSING)
        elif cell.total_donations < seen.donations or cell.total_fen < seen.fen:
            if self._released_at(cell.window) <= self._watermark_ms:
                return  # what comes for a window that was released counts in the longer ones alone
            kind = Kind.TOTAL_WRONG if cell.revision else Kind.TOTAL_MISSING
            found = f"{cell.total_fen} fen of {cell.total_donations}" if cell.revision else "nothing"
            self._report(cell, cell.offset, f"at least {seen.fen} fen of {seen.donations}", found, kind)

    def _forget(self) -> None:
        """Let go of windows that ended long ago, but for what the next look is about."""
        for window in [window for window in self._by_window if self._is_forgotten(window)]:
            left = []
            for key in self._by_window[window]:
                if key in self._touched:
                    left.append(key)
                else:
                    del self._cells[key]
            if left:
                self._by_window[window] = left
            else:
                del self._by_window[window]

    # One record

    def _place_total(self, key: bytes, record: AuditRecord, total: ProjectTotal) -> Cell | None:
        """The cell of a total that is the first of its key, or isn't of the last one's place; None: not followed."""
        if not self._check_place(record, total):
            return None
        window = self._window_of(total)
        if window is None or (total.end_ms, total.start) != (window.end_ms, window.start):
            expected = "a window of the calendar" if window is None else f"end_ms={window.end_ms}, start={window.start}"
            found = f"start_ms={total.start_ms}, end_ms={total.end_ms}, start={total.start}"
            text = f"the total of {record.key!r} isn't that of a window"
            kind = Kind.TOTAL_UNDUE if window is None else Kind.TOTAL_WRONG
            self._findings.add(kind, self._place(record.offset), expected, found, text)
        if window is None or self._is_forgotten(window):
            return None
        return self._cells.get(key) or self._add(key, total.project_id, window)

    def _window_of(self, total: ProjectTotal) -> AuditWindow | None:
        if total.start_ms > EVENT_TIME_MAX_MS:
            return None
        window = self._calendar.windows(total.start_ms // MINUTE_MS)[PLACES[total.window]]
        return window if window.start_ms == total.start_ms else None

    def _add(self, key: bytes, project_id: str, window: AuditWindow) -> Cell:
        cell = self._cells[key] = Cell(project_id, window)
        if window.kind in self._kept_ms:
            self._by_window.setdefault(window, []).append(key)
        return cell

    def _release(self, key: bytes, record: AuditRecord) -> None:
        cell = self._cells.get(key)
        if cell is None:
            return  # long forgotten, or never followed
        if cell.window.kind not in self._retention_ms:
            self._report(cell, record.offset, "a total", "a tombstone", Kind.TOTAL_MISSING)
            return
        cell.is_released = True
        cell.offset = record.offset
        self._touched.add(key)

    def _add_lasting(self, total: ProjectTotal, fen: int) -> None:
        sums = self._lasting.get(total.project_id)
        if sums is None:
            sums = self._lasting[total.project_id] = [0, 0, 0]
        sums[LASTING.index(total.window)] += fen
        self._changed.add(total.project_id)

    def _is_forgotten(self, window: AuditWindow) -> bool:
        kept_ms = self._kept_ms.get(window.kind)
        return kept_ms is not None and window.end_ms is not None and window.end_ms + kept_ms <= self._watermark_ms

    def _released_at(self, window: AuditWindow) -> int:
        """The watermark at which the window may be released, beyond any time if never."""
        retention_ms = self._retention_ms.get(window.kind)
        never = EVENT_TIME_MAX_MS * 2
        return never if retention_ms is None or window.end_ms is None else window.end_ms + retention_ms

    def _report(self, cell: Cell, offset: int, expected: str, found: str, kind: Kind = Kind.TOTAL_WRONG) -> None:
        if not cell.is_reported:
            cell.is_reported = True
            window = cell.window
            text = f"the total of {cell.project_id}|{window.kind}|{window.start_ms} isn't the sum of its donations"
            self._findings.add(kind, self._place(offset), expected, found, text)

    def _report_lasting(self, project_id: str, months: int, years: int, all_time: int) -> None:
        self._findings.add(
            Kind.TOTAL_WRONG,
            f"{self._topic}-{self._partition}",
            "one sum",
            f"months {months}, years {years}, all time {all_time} fen",
            f"the totals of {project_id} over months, years and all time differ",
        )


def _is_of(total: ProjectTotal, cell: Cell) -> bool:
    """True if the total says the place of the one before it under this key."""
    window = cell.window
    return (
        total.start_ms == window.start_ms
        and total.project_id == cell.project_id
        and total.window is window.kind
        and total.end_ms == window.end_ms
        and total.start == window.start
    )
