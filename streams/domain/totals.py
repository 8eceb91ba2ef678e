"""Totals: partial sums become running totals of each project in each calendar window.

Pure: windows are judged by the watermark that the deltas themselves bring, never by a clock. No donation is dropped for
being late: it counts, it shows as `late_fen`, and the total gets a further revision. Final minutes and hours leave
memory after their retention, with a tombstone; what comes for one of those still counts in the longer windows.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from schemas.delta import MinuteSum, ProjectDelta, SourceWatermark
from schemas.limits import INT64_MAX
from schemas.totals import ProjectTotal, TotalKey, WindowKind
from streams.domain.watermark import Watermarks
from streams.domain.windows import Calendar, Window

MINUTES_CACHED_MAX = 4_096  # minutes whose six tables are found with one look-up; a day has 1,440


class Entry:
    """One project's total in one window."""

    __slots__ = ("changed", "donations", "fen", "late_fen", "revision")

    def __init__(self, fen: int = 0, donations: int = 0, late_fen: int = 0, revision: int = 0) -> None:
        self.fen = fen
        self.donations = donations
        self.late_fen = late_fen
        self.revision = revision
        self.changed = False


@dataclass(slots=True)
class WindowTable:
    """All projects' totals in one window."""

    window: Window
    final: bool
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(slots=True)
class TotalsOutcome:
    """What a commit publishes: totals first, then tombstones, for a total may be released as it becomes final."""

    totals: Iterable[ProjectTotal] = ()  # to be gone through once: as objects they'd take more memory than as bytes
    tombstones: list[TotalKey] = field(default_factory=list)
    late_donations: int = 0  # came when their minute was final, or had left memory
    released_donations: int = 0  # came for a window that had left memory, once for each; counted in the longer ones


class TotalsState:
    """The tables of one partition of `project-deltas`; all of it stands in the same partition of `project-totals`.

    `retention_ms` says how long a window of a kind stays after its end, in event time; kinds not named stay for ever.
    """

    def __init__(self, calendar: Calendar, sources: int, retention_ms: Mapping[WindowKind, int]) -> None:
        self.watermarks = Watermarks(sources)
        self._calendar = calendar
        self._retention_ms = retention_ms
        self._tables: dict[tuple[WindowKind, int], WindowTable] = {}
        self._by_minute: dict[int, tuple[WindowTable | None, ...]] = {}
        self._names: dict[str, str] = {}  # one string object for a project, however many windows hold it
        self._changed: list[tuple[WindowTable, str, Entry]] = []
        self._open_ends: list[tuple[int, WindowKind, int]] = []  # heap: tables that aren't final, by end
        self._release_at: list[tuple[int, WindowKind, int]] = []  # heap: final tables with a retention, by its end
        self._released: set[tuple[WindowKind, int]] = set()  # by tombstones, beyond what the restored watermark says
        self._outcome = TotalsOutcome()

    def __len__(self) -> int:
        return sum(len(table.entries) for table in self._tables.values())

    def table_sizes(self) -> dict[WindowKind, int]:
        """How many totals of each kind are in memory."""
        sizes = dict.fromkeys(WindowKind, 0)
        for (kind, _), table in self._tables.items():
            sizes[kind] += len(table.entries)
        return sizes

    # Folding

    def add_delta(self, project_id: str, delta: ProjectDelta) -> None:
        """Add one project's partial sums of one commit."""
        name = self._names.setdefault(project_id, project_id)
        for minute in delta.minutes:
            tables = self._by_minute.get(minute.start_ms)
            if tables is None:
                tables = self._find_tables(minute.start_ms)
            if tables[0] is None:  # its minute is past and gone
                self._outcome.late_donations += minute.donations
            for table in tables:
                if table is None:
                    self._outcome.released_donations += minute.donations
                else:
                    self._add(table, name, minute)

    def _add(self, table: WindowTable, name: str, minute: MinuteSum) -> None:
        entry = table.entries.get(name)
        if entry is None:
            entry = table.entries[name] = Entry()
        entry.fen += minute.fen
        entry.donations += minute.donations
        if table.final:
            entry.late_fen += minute.fen
            if table.window.kind is WindowKind.MINUTE:
                self._outcome.late_donations += minute.donations
        if not entry.changed:
            entry.changed = True
            self._changed.append((table, name, entry))

    def advance(self, mark: SourceWatermark) -> None:
        """Take in a source's watermark; windows that it has passed become final, and old ones are released."""
        if not self.watermarks.advance(mark.source, mark.watermark_ms, idle=mark.idle):
            return
        self._close_windows(self.watermarks.current_ms)
        self._release_windows(self.watermarks.current_ms)

    def _close_windows(self, watermark_ms: int) -> None:
        while self._open_ends and self._open_ends[0][0] <= watermark_ms:
            _, kind, start_ms = heapq.heappop(self._open_ends)
            table = self._tables[kind, start_ms]
            table.final = True
            self._schedule(table)
            for name, entry in table.entries.items():
                if not entry.changed:
                    entry.changed = True
                    self._changed.append((table, name, entry))

    def _release_windows(self, watermark_ms: int) -> None:
        while self._release_at and self._release_at[0][0] <= watermark_ms:
            _, kind, start_ms = heapq.heappop(self._release_at)
            table = self._tables.pop((kind, start_ms))
            self._outcome.tombstones.extend(TotalKey(name, kind, start_ms) for name in table.entries)
            self._by_minute.clear()

    def _find_tables(self, minute_ms: int) -> tuple[WindowTable | None, ...]:
        if len(self._by_minute) >= MINUTES_CACHED_MAX:
            self._by_minute.clear()
        tables = tuple(self._table(window) for window in self._calendar.windows_at(minute_ms))
        self._by_minute[minute_ms] = tables
        return tables

    def _table(self, window: Window) -> WindowTable | None:
        """The table of `window`, made if it is new; None if it has been released."""
        table = self._tables.get((window.kind, window.start_ms))
        if table is not None:
            return table
        watermark_ms = self.watermarks.current_ms
        retention_ms = self._retention_ms.get(window.kind)
        end_ms = window.end_ms
        if end_ms is not None and retention_ms is not None and end_ms + retention_ms <= watermark_ms:
            return None
        if (window.kind, window.start_ms) in self._released:
            return None
        table = WindowTable(window, final=end_ms is not None and end_ms <= watermark_ms)
        self._tables[window.kind, window.start_ms] = table
        self._schedule(table)
        return table

    def _schedule(self, table: WindowTable) -> None:
        window = table.window
        if window.end_ms is None:
            return
        if not table.final:
            heapq.heappush(self._open_ends, (window.end_ms, window.kind, window.start_ms))
        elif (retention_ms := self._retention_ms.get(window.kind)) is not None:
            heapq.heappush(self._release_at, (window.end_ms + retention_ms, window.kind, window.start_ms))

    # Publishing

    def take_outcome(self) -> TotalsOutcome:
        """What has changed since the last call, each with its next revision. Raises OverflowError beyond 64 bits."""
        outcome, self._outcome = self._outcome, TotalsOutcome()
        changed, self._changed = self._changed, []
        outcome.totals = self._publish(changed)
        return outcome

    def _publish(self, changed: list[tuple[WindowTable, str, Entry]]) -> Iterator[ProjectTotal]:
        watermark_ms = self.watermarks.current_ms
        for table, name, entry in changed:
            entry.changed = False
            entry.revision += 1
            if entry.fen > INT64_MAX:
                raise OverflowError(beyond_64_bits(name, table.window, entry.fen))
            window = table.window
            yield ProjectTotal(
                name,
                window.kind,
                window.start_ms,
                window.end_ms,
                window.start,
                entry.fen,
                entry.donations,
                entry.late_fen,
                watermark_ms,
                table.final,
                entry.revision,
            )

    # Restoring: call `restore` and `forget` for each record of the topic in order, then `finish_restore` once.

    def restore(self, total: ProjectTotal) -> None:
        """Take back a published total; a later record of the same key replaces it."""
        key = (total.window, total.start_ms)
        table = self._tables.get(key)
        if table is None:
            window = self._calendar.window_from_start(total.window, total.start_ms)
            table = self._tables[key] = WindowTable(window, final=False)
            self._released.discard(key)
        name = self._names.setdefault(total.project_id, total.project_id)
        table.entries[name] = Entry(total.fen, total.donations, total.late_fen, total.revision)
        if total.watermark_ms > self.watermarks.current_ms:
            self.watermarks.raise_to(total.watermark_ms)

    def forget(self, key: TotalKey) -> None:
        """Take back a tombstone.

        Its window stays released, though the watermark that released it may be lost with the offset's metadata: a
        commit of nothing but tombstones leaves no total that would tell it.
        """
        place = (key.window, key.start_ms)
        table = self._tables.get(place)
        if table is not None:
            table.entries.pop(key.project_id, None)
            if table.entries:
                return
            del self._tables[place]
        self._released.add(place)

    def finish_restore(self) -> None:
        """Judge every window by the restored watermark: what had passed was published as final by the same commit."""
        for table in self._tables.values():
            end_ms = table.window.end_ms
            table.final = end_ms is not None and end_ms <= self.watermarks.current_ms
            self._schedule(table)
        self._released = {place for place in self._released if not self._is_past(*place)}

    def _is_past(self, kind: WindowKind, start_ms: int) -> bool:
        """True if the watermark alone says that the window is released."""
        end_ms = self._calendar.window_from_start(kind, start_ms).end_ms
        retention_ms = self._retention_ms.get(kind)
        return end_ms is not None and retention_ms is not None and end_ms + retention_ms <= self.watermarks.current_ms


def beyond_64_bits(project_id: str, window: Window, fen: int) -> str:
    """What a person is told of a sum that can't be kept."""
    place = "all time" if window.start is None else f"the {window.kind} from {window.start}"
    return f"the total of project {project_id!r} in {place} is {fen} fen, more than 64 bits hold"
