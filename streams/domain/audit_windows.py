"""The calendar windows, written a second time, with plain local dates.

The rules are those of `streams.domain.windows`: a minute is UTC's; an hour is what the local clock shows as one hour at
one offset; a day begins at the first instant that shows its date or a later one; months and years begin with their
first day; all is cut to the time line from 0 to the end of the year 9999 in UTC. Times in here are whole minutes since
the epoch; offsets from UTC are rounded down to the minute.
"""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from schemas.limits import EVENT_TIME_MAX_MS
from schemas.totals import WindowKind

MINUTE_MS = 60_000
HOUR = 60
DAY = 24 * HOUR
END = (EVENT_TIME_MAX_MS + 1) // MINUTE_MS
LAST_LOOKED_UP = END - 3 * DAY  # `datetime` ends with the year 9999, local time too: later offsets are those of here
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
LAST_ORDINAL = date.max.toordinal()
CYCLE = 400 * 365 + 97  # days after which the calendar repeats

Bounds = tuple[int, int]


class AuditCalendar:
    """Windows of one zone. What was looked up is kept: memory grows with the windows that the audit meets."""

    def __init__(self, zone_name: str) -> None:
        self._zone = ZoneInfo(zone_name)
        self._hours: dict[int, Bounds] = {}
        self._dates: dict[int, int] = {}
        self._midnights: dict[int, int] = {}

    def starts(self, minute: int) -> tuple[int, int, int, int]:
        """Where the hour, day, month and year that hold `minute` start, in minutes."""
        ordinal = self._date(minute)
        return (
            self._hour(minute)[0],
            self._midnight(ordinal),
            self._midnight(_first_of_month(ordinal)),
            self._midnight(_first_of_year(ordinal)),
        )

    def describe(self, kind: WindowKind, start_ms: int) -> tuple[int | None, str | None]:
        """`end_ms` and the text `start` of the window of `kind` that starts at `start_ms`."""
        if kind is WindowKind.ALL:
            return None, None
        minute = start_ms // MINUTE_MS
        if kind is WindowKind.MINUTE:
            end = minute + 1
        elif kind is WindowKind.HOUR:
            end = self._hour(minute)[1]
        else:
            ordinal = self._date(minute)
            if kind is WindowKind.DAY:
                end = self._next_midnight(minute, ordinal + 1)
            elif ordinal > LAST_ORDINAL:
                end = END
            elif kind is WindowKind.MONTH:
                end = self._midnight(_first_of_month(_first_of_month(ordinal) + 31))
            else:
                end = self._midnight(_first_of_year(_first_of_year(ordinal) + 366))
        return end * MINUTE_MS, self._text(minute)

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


def _first_of_month(ordinal: int) -> int:
    if ordinal > LAST_ORDINAL:  # only the first of January 10000 is within reach
        return LAST_ORDINAL + 1
    return date.fromordinal(ordinal).replace(day=1).toordinal()


def _first_of_year(ordinal: int) -> int:
    if ordinal > LAST_ORDINAL:
        return LAST_ORDINAL + 1
    return date.fromordinal(ordinal).replace(month=1, day=1).toordinal()
