"""The calendar windows, written a second time, with plain local dates.

The rules are those of `streams.domain.windows`: a minute is UTC's; an hour is what the local clock shows as one hour at
one offset; a day begins at the first instant that shows its date or a later one; months and years begin with their
first day; all is cut to the time line from 0 to the end of the year 9999 in UTC. Times in here are whole minutes since
the epoch; offsets from UTC are rounded down to the minute.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from schemas.limits import EVENT_TIME_MAX_MS
from schemas.totals import WindowKind
from schemas.units import MINUTE_MS

HOUR = 60
DAY = 24 * HOUR
END = (EVENT_TIME_MAX_MS + 1) // MINUTE_MS
LAST_LOOKED_UP = END - 3 * DAY  # `datetime` ends with the year 9999, local time too: later offsets are those of here
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
LAST_ORDINAL = date.max.toordinal()
CYCLE = 400 * 365 + 97  # days after which the calendar repeats

MINUTES_KEPT = 65_536  # minutes whose windows are at hand: 45 days; longer windows are kept as long as the calendar

Bounds = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class AuditWindow:
    """One window of the calendar. `key_end` is what follows the project in the keys of its totals."""

    kind: WindowKind
    start_ms: int
    end_ms: int | None
    start: str | None
    key_end: bytes


class AuditCalendar:
    """Windows of one zone, made once each. Memory grows with the hours that the audit meets."""

    def __init__(self, zone_name: str) -> None:
        self._zone = ZoneInfo(zone_name)
        self._minutes: dict[int, tuple[AuditWindow, ...]] = {}
        self._windows: dict[tuple[WindowKind, int], AuditWindow] = {}
        self._hours: dict[int, Bounds] = {}
        self._midnights: dict[int, int] = {}
        self._all = _window(WindowKind.ALL, 0, None, None)

    def windows(self, minute: int) -> tuple[AuditWindow, ...]:
        """The windows that hold `minute`, shortest first, `all` last."""
        found = self._minutes.get(minute)
        if found is None:
            if len(self._minutes) >= MINUTES_KEPT:
                self._minutes.clear()
            found = self._minutes[minute] = self._make_windows(minute)
        return found

    def _make_windows(self, minute: int) -> tuple[AuditWindow, ...]:
        ordinal = self._date(minute)
        month, next_month = _month(ordinal)
        year, next_year = _year(ordinal)
        return (
            _window(WindowKind.MINUTE, minute, minute + 1, self._text(minute)),
            self._longer(WindowKind.HOUR, *self._hour(minute)),
            self._longer(WindowKind.DAY, self._midnight(ordinal), self._next_midnight(minute, ordinal + 1)),
            self._longer(WindowKind.MONTH, self._midnight(month), self._midnight(next_month)),
            self._longer(WindowKind.YEAR, self._midnight(year), self._midnight(next_year)),
            self._all,
        )

    def _longer(self, kind: WindowKind, start: int, end: int) -> AuditWindow:
        window = self._windows.get((kind, start))
        if window is None:
            window = self._windows[kind, start] = _window(kind, start, end, self._text(start))
        return window

    def _offset(self, minute: int) -> int:
        known = max(0, min(minute, LAST_LOOKED_UP))
        offset = datetime.fromtimestamp(known * 60, self._zone).utcoffset()
        return (offset or timedelta()) // timedelta(minutes=1)

    def _hour(self, minute: int) -> Bounds:
        offset = self._offset(minute)
        start = minute - (minute + offset) % HOUR
        bounds = self._hours.get(start)
        if bounds is None or not bounds[0] <= minute < bounds[1]:
            end = start + HOUR
            while start < minute and self._offset(start) != offset:
                start += 1
            while end > minute + 1 and self._offset(end - 1) != offset:
                end -= 1
            bounds = (max(start, 0), min(end, END))
            self._hours[start] = bounds
        return bounds

    def _date(self, minute: int) -> int:
        """The ordinal of the day that `minute` belongs to: the last that has begun."""
        local = minute + self._offset(minute)
        ordinal = EPOCH_ORDINAL + local // DAY
        # Where clocks went back over midnight, they show the day before for the second time.
        while self._midnight(ordinal + 1) <= minute < END - 1:
            ordinal += 1
        return ordinal

    def _next_midnight(self, minute: int, ordinal: int) -> int:
        """The first midnight after `minute`, from that of `ordinal` on: a day that was skipped has no length."""
        while (midnight := self._midnight(ordinal)) <= minute:
            ordinal += 1
        return midnight

    def _midnight(self, ordinal: int) -> int:
        """The first minute whose local date is that of `ordinal` or later, cut to the time line."""
        minute = self._midnights.get(ordinal)
        if minute is None:
            shown = (ordinal - EPOCH_ORDINAL) * DAY
            if shown > LAST_LOOKED_UP:
                minute = shown - self._offset(shown)
            else:
                local = datetime.combine(date.fromordinal(ordinal), datetime.min.time(), self._zone)
                minute = -(-int(local.timestamp()) // 60)  # up, as offsets are rounded down
                # Where a change of offset skipped midnight, the day began with the change.
                while minute > 0 and minute - 1 + self._offset(minute - 1) >= shown:
                    minute -= 1
            minute = self._midnights[ordinal] = max(0, min(minute, END))
        return minute

    def _text(self, minute: int) -> str:
        offset = self._offset(minute)
        zone = timezone(timedelta(minutes=offset))
        if minute + offset < END:
            return datetime.fromtimestamp(minute * 60, UTC).astimezone(zone).isoformat()
        earlier = datetime.fromtimestamp((minute - CYCLE * DAY) * 60, UTC).astimezone(zone).isoformat()
        return f"+0{int(earlier[:4]) + 400}{earlier[4:]}"


def _window(kind: WindowKind, start: int, end: int | None, text: str | None) -> AuditWindow:
    start_ms = start * MINUTE_MS
    end_ms = None if end is None else end * MINUTE_MS
    return AuditWindow(kind, start_ms, end_ms, text, f"|{kind}|{start_ms}".encode())


def _month(ordinal: int) -> Bounds:
    """The ordinals of the first days of the month that holds the day, and of the next one."""
    first = _first_of_month(ordinal)
    return first, _first_of_month(first + 31) if ordinal <= LAST_ORDINAL else first + 31


def _first_of_month(ordinal: int) -> int:
    if ordinal > LAST_ORDINAL:  # only the first of January 10000 is within reach
        return LAST_ORDINAL + 1
    return date.fromordinal(ordinal).replace(day=1).toordinal()


def _year(ordinal: int) -> Bounds:
    """The ordinals of the first days of the year that holds the day, and of the next one."""
    if ordinal > LAST_ORDINAL:
        return LAST_ORDINAL + 1, ordinal + 366
    year = date.fromordinal(ordinal).year
    following = LAST_ORDINAL + 1 if year == date.max.year else date(year + 1, 1, 1).toordinal()
    return date(year, 1, 1).toordinal(), following
