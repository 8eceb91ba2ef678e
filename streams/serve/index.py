"""The index of all totals: what is known of each project and window, their sums over all projects, and the names.

Kept in SQLite in a temporary folder, with a bounded cache, so memory doesn't grow with projects and years; the sums,
one for each window, are in memory as Python's integers, since over all projects they may pass 64 bits. Nothing survives
the process: the topics are the truth, and the next one reads them again.

A figure never falls: of a key only a greater revision replaces what is there. A window that has been released (by a
tombstone, or by its retention and the greatest watermark that was seen) leaves as a whole and isn't taken back, so that
no sum over those projects that happen to be left is ever shown.

`apply` may run in a thread of its own while the others are called: it has its own connection, and what it finds out
takes effect with `publish`.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schemas.limits import FUTURE_TOLERANCE_MS
from schemas.totals import ProjectTotal, WindowKind
from schemas.units import HOUR_MS
from streams.domain.windows import Calendar, Window
from streams.serve import limits
from streams.serve.names import Ranked, fold_text
from streams.serve.records import RecordReader, Unreadable, read_project, read_project_id
from streams.settings import Settings

KINDS = tuple(WindowKind)
_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
_SCHEMA = """
CREATE TABLE totals (project TEXT, kind INTEGER, start_ms INTEGER, fen INTEGER, donations INTEGER, late_fen INTEGER,
  watermark_ms INTEGER, final INTEGER, revision INTEGER, PRIMARY KEY (project, kind, start_ms)) WITHOUT ROWID;
CREATE INDEX by_amount ON totals (kind, start_ms, fen DESC, project);
CREATE TABLE projects (project TEXT PRIMARY KEY, name TEXT, charity TEXT NOT NULL DEFAULT '', goal_fen INTEGER,
  description TEXT NOT NULL DEFAULT '', folded TEXT NOT NULL) WITHOUT ROWID;
"""
_INCOMING = """
CREATE TEMP TABLE incoming (project TEXT, kind INTEGER, start_ms INTEGER, fen INTEGER, donations INTEGER,
  late_fen INTEGER, watermark_ms INTEGER, final INTEGER, revision INTEGER,
  PRIMARY KEY (project, kind, start_ms)) WITHOUT ROWID
"""
# Halves, as a sum within SQLite ends at 64 bits.
_GROWN = """
SELECT i.kind, i.start_ms, SUM((i.fen >> 32) - (COALESCE(t.fen, 0) >> 32)),
  SUM((i.fen & 4294967295) - (COALESCE(t.fen, 0) & 4294967295)),
  SUM((i.donations >> 32) - (COALESCE(t.donations, 0) >> 32)),
  SUM((i.donations & 4294967295) - (COALESCE(t.donations, 0) & 4294967295))
FROM incoming i LEFT JOIN totals t USING (project, kind, start_ms)
WHERE i.revision > COALESCE(t.revision, -1) GROUP BY i.kind, i.start_ms
"""
_UPSERT = """
INSERT INTO totals SELECT * FROM incoming WHERE true ON CONFLICT DO UPDATE SET fen = excluded.fen,
  donations = excluded.donations, late_fen = excluded.late_fen, watermark_ms = excluded.watermark_ms,
  final = excluded.final, revision = excluded.revision
WHERE excluded.revision > revision
"""
_NAMELESS = (
    "UPDATE projects SET name = NULL, charity = '', goal_fen = NULL, description = '', folded = ? WHERE project = ?"
)
_UNKNOWN = "DELETE FROM projects WHERE project = ? AND NOT EXISTS (SELECT 1 FROM totals WHERE project = ?)"
_SEARCH = """
SELECT p.project, p.name, p.charity, COALESCE(t.fen, 0), COALESCE(t.donations, 0) FROM projects p
LEFT JOIN totals t ON t.project = p.project AND t.kind = ? AND t.start_ms = 0
WHERE {words} ORDER BY COALESCE(t.fen, 0) DESC, p.project LIMIT ? OFFSET ?
"""

Place = tuple[WindowKind, int]
Record = tuple[bytes | None, bytes | None]  # key and value


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Sum:
    """What all projects together received in one window."""

    fen: int = 0
    donations: int = 0


@dataclass(slots=True)
class Applied:
    """What a batch of records changes outside of SQLite."""

    grown: list[tuple[Place, int, int]] = field(default_factory=list)  # place, fen, donations
    released: set[Place] = field(default_factory=set)
    projects: set[str] = field(default_factory=set)
    watermark_ms: int = 0
    unreadable_totals: list[int] = field(default_factory=list)  # which of those that were given
    unreadable_projects: list[bytes | None] = field(default_factory=list)  # their keys


class TotalsIndex:
    """See the module. Raises UserError if the totals are of another zone's calendar."""

    def __init__(
        self, folder: Path, calendar: Calendar, settings: Settings, clock_ms: Callable[[], int] = wall_clock_ms
    ) -> None:
        self.calendar = calendar
        self._clock_ms = clock_ms
        self.sums: dict[Place, Sum] = {}
        self.watermark_ms = 0
        self.latest_day_ms: int | None = None
        self.unreadable = 0
        self._retention_ms = {
            WindowKind.MINUTE: settings.minute_retention_hours * HOUR_MS,
            WindowKind.HOUR: settings.hour_retention_hours * HOUR_MS,
        }
        self._released: set[Place] = set()  # by tombstones, beyond what the watermark says
        self._records = RecordReader(calendar)
        self._path = folder / "totals.sqlite"
        self._writer = self._connect()
        self._writer.executescript(_SCHEMA)
        self._writer.execute(_INCOMING)
        self._reader = self._connect()
        self._searcher = self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # after a crash it is built anew
        connection.execute("PRAGMA temp_store = MEMORY")  # a batch, or a page of a search; SQLite picks folders itself
        connection.execute(f"PRAGMA cache_size = -{limits.INDEX_CACHE_KIB // 3}")
        return connection

    def close(self) -> None:
        self._searcher.close()
        self._reader.close()
        self._writer.close()

    # Taking in

    def apply(self, totals: Iterable[Record], projects: Mapping[bytes | None, bytes | None]) -> Applied:
        """Take records of `project-totals`, in their order, and the newest of each key of `projects`."""
        applied = Applied(watermark_ms=self.watermark_ms)
        newest: dict[tuple[str, WindowKind, int], ProjectTotal] = {}
        for number, record in enumerate(totals):
            try:
                self._read_total(record, newest, applied)
            except Unreadable:  # the audit reports it
                applied.unreadable_totals.append(number)
        applied.released |= self._newly_released(applied.watermark_ms)
        rows = [
            _row(total) for (_, kind, start_ms), total in newest.items() if not self._is_gone((kind, start_ms), applied)
        ]
        self._writer.execute("BEGIN")
        try:
            self._write_totals(rows, applied)
            self._write_projects(projects, applied)
            self._writer.execute("COMMIT")
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        return applied

    def publish(self, applied: Applied) -> None:
        """Let it take effect on the sums."""
        self.watermark_ms = max(self.watermark_ms, applied.watermark_ms)
        self.unreadable += len(applied.unreadable_totals) + len(applied.unreadable_projects)
        for place, fen, donations in applied.grown:
            total = self.sums.get(place)
            if total is None:
                total = self.sums[place] = Sum()
                if place[0] is WindowKind.DAY and (self.latest_day_ms is None or place[1] > self.latest_day_ms):
                    self.latest_day_ms = place[1]
            total.fen += fen
            total.donations += donations
        for place in applied.released:
            self.sums.pop(place, None)
            self._records.forget(place)
        self._released = {
            place for place in self._released | applied.released if not self._is_past(place, self.watermark_ms)
        }

    def _read_total(
        self, record: Record, newest: dict[tuple[str, WindowKind, int], ProjectTotal], applied: Applied
    ) -> None:
        key, value = record
        if value is None:
            gone = self._records.released(key)
            applied.released.add((gone.window, gone.start_ms))
            return
        total = self._records.total(key, value)
        # Workers refuse orders from further ahead: a stranger's record must not release everybody's minutes.
        if total.watermark_ms <= self._clock_ms() + FUTURE_TOLERANCE_MS:
            applied.watermark_ms = max(applied.watermark_ms, total.watermark_ms)
        place = (total.project_id, total.window, total.start_ms)
        before = newest.get(place)
        if before is None or total.revision > before.revision:
            newest[place] = total

    def _write_totals(self, rows: Sequence[tuple[object, ...]], applied: Applied) -> None:
        writer = self._writer
        writer.executemany("INSERT INTO incoming VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        for kind, start_ms, high, low, more, less in writer.execute(_GROWN):
            applied.grown.append(((KINDS[kind], start_ms), (high << 32) + low, (more << 32) + less))
        writer.execute(_UPSERT)
        writer.execute("DELETE FROM incoming")
        for kind, start_ms in applied.released:
            writer.execute("DELETE FROM totals WHERE kind = ? AND start_ms = ?", (_NUMBER[kind], start_ms))
        applied.projects = {str(row[0]) for row in rows}
        writer.executemany(
            "INSERT INTO projects (project, folded) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(project, fold_text(project)) for project in applied.projects],
        )

    def _write_projects(self, projects: Mapping[bytes | None, bytes | None], applied: Applied) -> None:
        for key, value in projects.items():
            try:
                project_id = read_project_id(key)
                project = None if value is None else read_project(project_id, value)
            except Unreadable:
                applied.unreadable_projects.append(key)
                continue
            applied.projects.add(project_id)
            if project is None:
                self._writer.execute(_NAMELESS, (fold_text(project_id), project_id))
                self._writer.execute(_UNKNOWN, (project_id, project_id))
                continue
            fields = (project.name, project.charity, project.goal_fen, project.description)
            folded = fold_text(project_id, project.name, project.charity)
            self._writer.execute(
                "INSERT OR REPLACE INTO projects VALUES (?, ?, ?, ?, ?, ?)", (project_id, *fields, folded)
            )

    # Released windows

    def is_released(self, window: Window) -> bool:
        """True if the window's figures have left: nothing may be shown for it, for it would be a part."""
        place = (window.kind, window.start_ms)
        return place in self._released or self._is_past(place, self.watermark_ms)

    def _is_gone(self, place: Place, applied: Applied) -> bool:
        return place in applied.released or place in self._released or self._is_past(place, applied.watermark_ms)

    def _is_past(self, place: Place, watermark_ms: int) -> bool:
        retention_ms = self._retention_ms.get(place[0])
        # No hour or minute is longer than an hour; most are found out without asking the calendar.
        if retention_ms is None or place[1] + retention_ms > watermark_ms:
            return False
        end_ms = self.calendar.window_from_start(*place).end_ms
        return end_ms is not None and end_ms + retention_ms <= watermark_ms

    def _newly_released(self, watermark_ms: int) -> set[Place]:
        if watermark_ms == self.watermark_ms:
            return set()
        return {place for place in self.sums if self._is_past(place, watermark_ms)}

    # Asking

    def total(self, project_id: str, window: Window) -> ProjectTotal | None:
        """One total; None if there is none, or it has been released."""
        found = self.totals(project_id, window.kind, window.start_ms, window.start_ms + 1, 1)
        return found[0] if found else None

    def totals(self, project_id: str, kind: WindowKind, from_ms: int, to_ms: int, count: int) -> list[ProjectTotal]:
        """A project's totals of one kind whose windows start in [from, to), in their order; the first `count`."""
        rows = self._reader.execute(
            "SELECT start_ms, fen, donations, late_fen, watermark_ms, final, revision FROM totals"
            " WHERE project = ? AND kind = ? AND start_ms >= ? AND start_ms < ? ORDER BY start_ms LIMIT ?",
            (project_id, _NUMBER[kind], from_ms, to_ms, count),
        )
        found = []
        for start_ms, fen, donations, late_fen, watermark_ms, final, revision in rows:
            window = self.calendar.window_from_start(kind, start_ms) if kind is not WindowKind.ALL else None
            end_ms, start = (window.end_ms, window.start) if window else (None, None)
            found.append(
                ProjectTotal(
                    *(project_id, kind, start_ms, end_ms, start, fen, donations, late_fen, watermark_ms),
                    bool(final),
                    revision,
                )
            )
        return found

    def top(self, window: Window, count: int) -> list[Ranked]:
        """The projects that received most in a window, greatest first; of equals in the order of their ids."""
        rows = self._reader.execute(
            "SELECT t.project, p.name, p.charity, t.fen, t.donations FROM totals t LEFT JOIN projects p USING (project)"
            " WHERE t.kind = ? AND t.start_ms = ? ORDER BY t.fen DESC, t.project LIMIT ?",
            (_NUMBER[window.kind], window.start_ms, count),
        )
        return [Ranked(*row) for row in rows]

    def search(self, text: str, count: int, offset: int) -> list[Ranked]:
        """Projects whose name, charity or id holds every word of `text`, by what they received in all.

        It goes through all of them, so it may run in a thread of its own, one at a time.
        """
        words = fold_text(text).split()
        query = _SEARCH.format(words=" AND ".join(["instr(p.folded, ?) > 0"] * len(words)) or "true")
        rows = self._searcher.execute(query, (_NUMBER[WindowKind.ALL], *words, count, offset))
        return [Ranked(*row) for row in rows]

    def project(self, project_id: str) -> tuple[str | None, str, int | None, str] | None:
        """Name, charity, goal in fen and description; None if neither a total nor a reference names it."""
        found: tuple[str | None, str, int | None, str] | None
        found = self._reader.execute(
            "SELECT name, charity, goal_fen, description FROM projects WHERE project = ?", (project_id,)
        ).fetchone()
        return found


def _row(total: ProjectTotal) -> tuple[object, ...]:
    return (
        *(total.project_id, _NUMBER[total.window], total.start_ms, total.fen, total.donations, total.late_fen),
        *(total.watermark_ms, total.final, total.revision),
    )
