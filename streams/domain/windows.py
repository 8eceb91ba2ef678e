"""Calendar windows of one zone, by event time: from the minute to all time.

Everything here is computed from the zone's rules, nothing is kept: a process that dies loses a cache. What must agree
between two runs are `kind` and `start_ms`, which key the totals; they do as long as both have the same zone data.

The rules:
- A minute is a minute of UTC. Every zone's offset has been whole minutes since 1972, so it is a local minute as well.
  (Before, Africa/Monrovia's was not; offsets are rounded down to the minute there, so that windows nest.)
- An hour is the time in which the local clock shows one hour at one offset from UTC. Where the offset changes in the
  middle of an hour (Lord Howe Island moves by 30 minutes) the window is cut at the change; where clocks go back, the
  repeated hour is a window of its own.
- A day begins at the first instant at which the local clock shows its date or a later one: at the first of two
  midnights, or at the change of offset that skips midnight. Months and years begin with their first day. So windows
  of a kind are disjoint and cover the time line, and a day that a zone skipped (Apia, 2011-12-30) has no window.
- The time line is that of the contract: from 0 to the end of the year 9999 in UTC. Windows are cut there: a start
  before the epoch reads 0, an end beyond is the line's end. `start` is always the text of `start_ms`, so a year cut at
  the epoch starts at 1970-01-01T08:00:00+08:00. East of Greenwich the last hours are in the year 10000, which `start`
  shows as ISO 8601 wants: +010000-01-01T00:00:00+08:00.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.limits import EVENT_TIME_MAX_MS
from schemas.totals import WindowKind
from schemas.units import MINUTE_MS

_HOUR = 60  # From here on times are whole minutes since the epoch.
_DAY = 24 * _HOUR
_END = (EVENT_TIME_MAX_MS + 1) // MINUTE_MS
_OFFSET_MAX = 16 * _HOUR  # no zone was ever further from UTC
_OFFSET_LOOKUP_LAST = _END - 2 * _DAY  # datetime ends with the year 9999, in local time too
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = _EPOCH.toordinal()
# The calendar repeats every 400 years. Asked 400 years earlier, `date` also answers for the year 10000.
_CYCLE_YEARS = 400
_CYCLE_DAYS = 146_097

_MINUTES_CACHED = 8_192  # five days of minutes, some 5 MB; live, a few; in a backfill they follow each other
_WINDOWS_CACHED = 8_192  # the longer windows of those minutes, with room
_MIDNIGHTS_CACHED = 4_096
_KIND_INDEX = {kind: index for index, kind in enumerate(WindowKind)}


@dataclass(frozen=True, slots=True)
class Window:
    """From `start_ms` to `end_ms`, exclusive. `start` is `start_ms` as ISO 8601 text; `all` has 0, None and None."""

    kind: WindowKind
    start_ms: int
    end_ms: int | None
    start: str | None


ALL_TIME = Window(WindowKind.ALL, 0, None, None)


def minute_of(ms: int) -> int:
    """The start of the UTC minute that holds the instant, ms."""
    return ms - ms % MINUTE_MS


class Calendar:
    """The windows of one zone. Values only: two calendars of a zone answer alike."""

    windows_at: Callable[[int], tuple[Window, ...]]
    """The six windows, shortest first, that hold the UTC minute that begins at this time, ms.

    Raises ValueError for a time that begins no minute or lies outside the time line. A recent answer costs one look-up
    and is the same object again.
    """

    def __init__(self, timezone: str) -> None:
        self.timezone = timezone
        self._zone = ZoneInfo(timezone)
        self.windows_at = lru_cache(_MINUTES_CACHED)(self._windows_at)
        # Equal windows are one object, however many minutes they hold.
        self._shared_window = lru_cache(_WINDOWS_CACHED)(self._window)
        self._midnight = lru_cache(_MIDNIGHTS_CACHED)(self._first_instant_of)

    def window_at(self, kind: WindowKind, ms: int) -> Window:
        """The window of a kind that holds an instant. Raises ValueError outside the time line."""
        return self.windows_at(minute_of(ms))[_KIND_INDEX[kind]]

    def window_from_start(self, kind: WindowKind, start_ms: int) -> Window:
        """The window that starts then. Raises ValueError where no window of that kind and zone does."""
        window = self.window_at(kind, start_ms)
        if window.start_ms != start_ms:
            raise ValueError(f"no {kind} starts at {start_ms} in {self.timezone}")
        return window

    def _windows_at(self, minute_ms: int) -> tuple[Window, ...]:
        minute, rest = divmod(minute_ms, MINUTE_MS)
        if rest or not 0 <= minute < _END:
            raise ValueError(f"{minute_ms} is not the start of a minute between 1970 and 9999")
        day = (minute + self._offset(minute)) // _DAY
        # Where clocks went back over midnight, the local date is yesterday's again but the new day has begun.
        while self._midnight(day + 1) <= minute:
            day += 1
        year, month = _year_and_month(day)
        month_start, month_end = _first_day(year, month), _first_day(year + month // 12, month % 12 + 1)
        return (
            self._window(WindowKind.MINUTE, minute, minute + 1),
            self._shared_window(WindowKind.HOUR, *self._hour(minute)),
            self._shared_window(WindowKind.DAY, self._midnight(day), self._midnight(day + 1)),
            self._shared_window(WindowKind.MONTH, self._midnight(month_start), self._midnight(month_end)),
            self._shared_window(
                WindowKind.YEAR, self._midnight(_first_day(year, 1)), self._midnight(_first_day(year + 1, 1))
            ),
            ALL_TIME,
        )

    def _window(self, kind: WindowKind, start: int, end: int) -> Window:
        start, end = max(start, 0), min(end, _END)
        return Window(kind, start * MINUTE_MS, end * MINUTE_MS, self._text(start))

    def _hour(self, minute: int) -> tuple[int, int]:
        offset = self._offset(minute)
        start = minute - (minute + offset) % _HOUR
        end = start + _HOUR
        if self._offset(start) != offset:
            start = next(m for m in range(minute, start, -1) if self._offset(m - 1) != offset)
        if self._offset(end - 1) != offset:
            end = next(m for m in range(minute, end) if self._offset(m) != offset)
        return start, end

    def _first_instant_of(self, day: int) -> int:
        """The first minute at which the local clock shows this day (counted from the epoch's) or a later one."""
        midnight = day * _DAY  # on the local clock
        for step in range(midnight - _OFFSET_MAX, midnight + _OFFSET_MAX, _HOUR):
            for start, end, offset in self._pieces(step, step + _HOUR):
                first = max(start, midnight - offset)
                if first < end:
                    return first
        raise AssertionError(f"no offset within 16 hours of UTC in {self.timezone} on day {day}")

    def _pieces(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """The stretches `(start, end, offset)` of constant offset in an hour (no zone changes twice in one)."""
        offset, offset_after = self._offset(start), self._offset(end)
        if offset == offset_after:
            return [(start, end, offset)]
        change = next(m for m in range(start + 1, end + 1) if self._offset(m) != offset)
        return [(start, change, offset), (change, end, offset_after)]

    def _offset(self, minute: int) -> int:
        """Minutes that the local clock is ahead of UTC. Off the ends of the time line: as at the end."""
        moment = _EPOCH + timedelta(minutes=min(max(minute, 0), _OFFSET_LOOKUP_LAST))
        offset = moment.astimezone(self._zone).utcoffset()
        assert offset is not None  # a ZoneInfo always has one
        return offset // timedelta(minutes=1)

    def _text(self, minute: int) -> str:
        offset = self._offset(minute)
        day, minute_of_day = divmod(minute + offset, _DAY)
        earlier = _cycle_earlier(day)
        year = earlier.year + _CYCLE_YEARS
        year_text = str(year) if year <= 9999 else f"+{year:06}"  # what JavaScript's Date reads, too
        hours, minutes = divmod(abs(offset), _HOUR)
        sign = "-" if offset < 0 else "+"
        return (
            f"{year_text}-{earlier.month:02}-{earlier.day:02}"
            f"T{minute_of_day // _HOUR:02}:{minute_of_day % _HOUR:02}:00{sign}{hours:02}:{minutes:02}"
        )


def _cycle_earlier(day: int) -> date:
    return date.fromordinal(day + _EPOCH_ORDINAL - _CYCLE_DAYS)


def _year_and_month(day: int) -> tuple[int, int]:
    earlier = _cycle_earlier(day)
    return earlier.year + _CYCLE_YEARS, earlier.month


def _first_day(year: int, month: int) -> int:
    return date(year - _CYCLE_YEARS, month, 1).toordinal() - _EPOCH_ORDINAL + _CYCLE_DAYS
