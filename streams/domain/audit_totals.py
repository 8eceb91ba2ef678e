"""What the donations add up to, and whether `project-totals` says the same.

The ledger keeps one sum for each project and minute and rolls it up at the end: memory is bounded by the projects and
minutes that there are donations in, not by donations. Nothing is written; a crash means that the audit starts again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeAlias

import msgspec

from schemas.totals import ProjectTotal, TotalKey, WindowKind, decode_total
from schemas.units import MINUTE_MS
from streams.domain.audit_findings import Findings, Kind
from streams.domain.audit_rule import AuditRecord
from streams.domain.audit_windows import AuditCalendar, AuditWindow

Sum: TypeAlias = list[int]  # [fen, donations]


class Ledger:
    """The donations' sums by project and minute of event time."""

    def __init__(self) -> None:
        self._projects: dict[str, dict[int, Sum]] = {}
        self._sums = 0

    def __len__(self) -> int:
        """How many sums it holds."""
        return self._sums

    def add(self, project_id: str, donated_at: int, fen: int) -> None:
        minutes = self._projects.get(project_id)
        if minutes is None:
            minutes = self._projects[project_id] = {}
        minute = donated_at // MINUTE_MS
        found = minutes.get(minute)
        if found is None:
            minutes[minute] = [fen, 1]
            self._sums += 1
        else:
            found[0] += fen
            found[1] += 1

    def projects(self) -> Iterator[str]:
        return iter(self._projects)

    def clear(self) -> None:
        self._projects.clear()
        self._sums = 0

    def windows(self, project_id: str, calendar: AuditCalendar) -> Iterator[tuple[AuditWindow, int, int]]:
        """Each window in which the project has donations, with their fen and their number."""
        longer: dict[AuditWindow, Sum] = {}
        for minute, (fen, donations) in self._projects[project_id].items():
            windows = calendar.windows(minute)
            yield windows[0], fen, donations
            for window in windows[1:]:
                found = longer.get(window)
                if found is None:
                    longer[window] = [fen, donations]
                else:
                    found[0] += fen
                    found[1] += donations
        for window, (fen, donations) in longer.items():
            yield window, fen, donations


class TotalsLog:
    """What can be said of single records of one partition of `project-totals`."""

    def __init__(self, topic: str, partition: int, findings: Findings, partition_of: Callable[[str], int]) -> None:
        self._topic = topic
        self._partition = partition
        self._findings = findings
        self._partition_of = partition_of

    def _decode(self, record: AuditRecord) -> ProjectTotal | None:
        try:
            return decode_total(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            place = self._place(record.offset)
            self._findings.add(Kind.TOTAL_UNREADABLE, place, "a project's total", error, "this is no project's total")
            return None

    def _check_place(self, record: AuditRecord, total: ProjectTotal) -> bool:
        """True if the key is that of the value and the partition that of the project."""
        key = TotalKey(total.project_id, total.window, total.start_ms).encode()
        if key != record.key:
            place = self._place(record.offset)
            self._findings.add(Kind.TOTAL_MISPLACED, place, key, record.key, "the key isn't that of the value")
            return False
        partition = self._partition_of(total.project_id)
        if partition != self._partition:
            text = f"the totals of {total.project_id} belong in partition {partition}"
            place = self._place(record.offset)
            self._findings.add(Kind.TOTAL_MISPLACED, place, partition, self._partition, text)
            return False
        return True

    def _report_fall(self, record: AuditRecord, revision: int, fen: int, total: ProjectTotal) -> None:
        self._findings.add(
            Kind.TOTAL_WENT_BACK,
            self._place(record.offset),
            f"more than revision {revision}, at least {fen} fen",
            f"revision {total.revision}, {total.fen} fen",
            f"the total of {record.key!r} went back",
        )

    def _place(self, offset: int) -> str:
        return f"{self._topic}-{self._partition}@{offset}"


class TotalsAudit(TotalsLog):
    """One partition of `project-totals`: `take` its records in order, then `finish`.

    `partition_of` says which partition a project's totals belong in. `retention_ms` says after how much event time a
    window of that kind may have been released; kinds not named stay for ever.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        findings: Findings,
        partition_of: Callable[[str], int],
        retention_ms: Mapping[WindowKind, int],
    ) -> None:
        super().__init__(topic, partition, findings, partition_of)
        self.checked = 0
        self.released = 0
        self._retention_ms = retention_ms
        self._newest: dict[bytes, tuple[int, ProjectTotal]] = {}
        self._watermark_ms = 0

    def take(self, records: Sequence[AuditRecord]) -> None:
        """Keep the newest total of each key."""
        newest = self._newest
        watermark_ms = self._watermark_ms
        for record in records:
            key = record.key or b""
            if record.value is None:
                newest.pop(key, None)
                continue
            total = self._decode(record)
            if total is None:
                continue
            before = newest.get(key)
            # A total that says the same place as the one before it under this key lies where it should, as that one.
            if (
                before is None
                or before[1].start_ms != total.start_ms
                or before[1].project_id != total.project_id
                or before[1].window is not total.window
            ):
                if not self._check_place(record, total):
                    continue
            elif total.revision <= before[1].revision or total.fen < before[1].fen:
                self._report_fall(record, before[1].revision, before[1].fen, total)
            watermark_ms = max(watermark_ms, total.watermark_ms)
            newest[key] = (record.offset, total)
        self._watermark_ms = watermark_ms

    def finish(self, ledger: Ledger, calendar: AuditCalendar, changed: AbstractSet[bytes] = frozenset()) -> None:
        """Hold the totals against the ledger. Keys in `changed` have newer records than those taken: left out."""
        for project_id in ledger.projects():
            if self._partition_of(project_id) != self._partition:
                continue
            key_start = project_id.encode()
            for window, fen, donations in ledger.windows(project_id, calendar):
                key = key_start + window.key_end
                found = self._newest.pop(key, None)
                if found is not None:
                    self.checked += 1
                    self._compare(found[0], found[1], window, fen, donations)
                elif key not in changed:
                    self._check_released(key, window, fen, donations)
        for key, (offset, total) in self._newest.items():
            text = "no donation lies in this window of this project"
            self._findings.add(Kind.TOTAL_UNDUE, self._place(offset), "nothing", f"{total.fen} fen", f"{key!r}: {text}")
        self._newest.clear()

    def _compare(self, offset: int, total: ProjectTotal, window: AuditWindow, fen: int, donations: int) -> None:
        late_fen = total.late_fen if total.late_fen <= total.fen else f"at most {total.fen}"
        checks: tuple[tuple[str, object, object], ...] = (
            ("fen", fen, total.fen),
            ("donations", donations, total.donations),
            ("end_ms", window.end_ms, total.end_ms),
            ("start", window.start, total.start),
            ("late_fen", late_fen, total.late_fen),
        )
        wrong = [check for check in checks if check[1] != check[2]]
        if wrong:
            key = f"{total.project_id}|{total.window}|{total.start_ms}"
            self._findings.add(
                Kind.TOTAL_WRONG,
                self._place(offset),
                ", ".join(f"{name}={must}" for name, must, _ in wrong),
                ", ".join(f"{name}={is_}" for name, _, is_ in wrong),
                f"the total of {key} isn't the sum of its donations: {', '.join(name for name, _, _ in wrong)}",
            )

    def _check_released(self, key: bytes, window: AuditWindow, fen: int, donations: int) -> None:
        retention_ms = self._retention_ms.get(window.kind)
        if (
            retention_ms is not None
            and window.end_ms is not None
            and window.end_ms + retention_ms <= self._watermark_ms
        ):
            self.released += 1
            return
        self._findings.add(
            Kind.TOTAL_MISSING,
            f"{self._topic}-{self._partition}",
            f"{fen} fen of {donations}",
            "nothing",
            f"{key!r} has donations and no total",
        )
