"""The server's state: the index, how far it has been read, how fresh it is; and the answers that are made of it.

Knows neither HTTP nor Kafka; the clock is an argument. Figures are given only once all has been read back that stood on
the topics when the server started, so they're never behind what an earlier server has shown.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from schemas.limits import EVENT_TIME_MAX_MS
from schemas.totals import ProjectTotal, WindowKind
from schemas.units import DAY_MS, MINUTE_MS
from streams.domain.freshness import Freshness
from streams.domain.windows import ALL_TIME, Window
from streams.serve import limits
from streams.serve.answers import (
    AskDay,
    AskProjects,
    AskSums,
    AskTop,
    AskTotals,
    Day,
    Overview,
    Point,
    Progress,
    ProjectAnswer,
    Projects,
    Status,
    Sums,
    Top,
    Totals,
    WindowSum,
)
from streams.serve.index import TotalsIndex


class NotFoundError(Exception):
    """There is no such thing; the message is for people."""


class State:
    """All that answers are made of."""

    def __init__(self, index: TotalsIndex) -> None:
        self.index = index
        self.freshness = Freshness()
        self.position = 0
        self.broker_answers = True
        self.rebuilding: Progress | None = Progress(0, 0)
        self._calendar = index.calendar

    @property
    def is_live(self) -> bool:
        return self.rebuilding is None

    def status(self, now_ms: int) -> Status:
        as_of_ms = self.freshness.as_of_ms if self.is_live else None
        return Status(
            state="live" if self.is_live else "rebuilding",
            as_of_ms=as_of_ms,
            behind_ms=None if as_of_ms is None else max(0, now_ms - as_of_ms),
            now_ms=now_ms,
            watermark_ms=self.index.watermark_ms,
            broker_answers=self.broker_answers,
            position=self.position,
            rebuilding=self.rebuilding,
            unreadable=self.index.unreadable,
            time_zone=self._calendar.timezone,
        )

    def at_ms(self, now_ms: int) -> int:
        """The present where today has donations, or else the start of the newest day that has."""
        today = self._calendar.window_at(WindowKind.DAY, now_ms)
        latest = self.index.latest_day_ms
        return now_ms if latest is None or (today.kind, today.start_ms) in self.index.sums else latest

    def overview(self, now_ms: int, *, recent: bool = False) -> Overview:
        """`recent`: with the last minutes only."""
        at_ms = self.at_ms(now_ms)
        windows = {kind: self._calendar.window_at(kind, at_ms) for kind in WindowKind}
        day = windows[WindowKind.DAY]
        minutes = self._minutes(day, now_ms - limits.RECENT_MINUTES * MINUTE_MS if recent and at_ms == now_ms else 0)
        if recent:
            minutes = minutes[-2 * limits.RECENT_MINUTES :]
        return Overview(
            status=self.status(now_ms),
            at_ms=at_ms,
            is_present=at_ms == now_ms,
            year=self._sum(windows[WindowKind.YEAR]),
            month=self._sum(windows[WindowKind.MONTH]),
            day=self._sum(day),
            all=self._sum(ALL_TIME),
            minutes=minutes,
            top_day=self.index.top(day, limits.TOP_IN_EVENT),
            top_year=self.index.top(windows[WindowKind.YEAR], limits.TOP_IN_EVENT),
        )

    def _sum(self, window: Window) -> WindowSum:
        found = self.index.sums.get((window.kind, window.start_ms))
        bounds = (window.kind, window.start_ms, window.end_ms, window.start)
        if self.index.is_released(window):
            return WindowSum(*bounds, None, None)
        return WindowSum(*bounds, found.fen if found else 0, found.donations if found else 0)

    def _points(self, windows: Iterable[Window | tuple[WindowKind, int]]) -> list[Point]:
        sums = self.index.sums
        places = ((each.kind, each.start_ms) if isinstance(each, Window) else each for each in windows)
        return [Point(place[1], found.fen, found.donations) for place in places if (found := sums.get(place))]

    def _minutes(self, day: Window, from_ms: int = 0) -> list[Point]:
        """A day's minutes that have donations and haven't been released."""
        first = max(day.start_ms, from_ms - from_ms % MINUTE_MS)
        return self._points((WindowKind.MINUTE, start) for start in range(first, day.end_ms or first, MINUTE_MS))

    def _hours(self, day: Window) -> Iterator[Window]:
        at_ms, end_ms = day.start_ms, day.end_ms or day.start_ms
        while at_ms < end_ms:
            hour = self._calendar.window_at(WindowKind.HOUR, at_ms)
            yield hour
            at_ms = hour.end_ms or end_ms

    def day(self, ask: AskDay, now_ms: int) -> Day:
        """Raises NotFoundError for a date that doesn't exist in this zone."""
        window = self._day_of(ask.date, now_ms)
        hours = list(self._hours(window))
        minute = self._calendar.window_at(WindowKind.MINUTE, window.start_ms)
        return Day(
            date=_date_of(window),
            day=self._sum(window),
            hours=None if self.index.is_released(hours[0]) else self._points(hours),
            minutes=None if self.index.is_released(minute) else self._minutes(window),
            top=self.index.top(window, limits.TOP_IN_EVENT),
            previous=self._neighbour(window.start_ms - 1),
            next=self._neighbour(window.end_ms or EVENT_TIME_MAX_MS + 1),
        )

    def _day_of(self, text: str | None, now_ms: int) -> Window:
        if text is None:
            return self._calendar.window_at(WindowKind.DAY, self.at_ms(now_ms))
        try:
            wanted = date.fromisoformat(text)
            noon_ms = (wanted - date(1970, 1, 1)) // timedelta(days=1) * DAY_MS + DAY_MS // 2
            for at_ms in (noon_ms, noon_ms - DAY_MS // 2, noon_ms + DAY_MS // 2):  # no zone is further off
                window = self._calendar.window_at(WindowKind.DAY, at_ms)
                if _date_of(window) == text:
                    return window
        except ValueError:
            pass
        raise NotFoundError(f"there is no day {text} in {self._calendar.timezone}")

    def _neighbour(self, at_ms: int) -> str | None:
        return _date_of(self._calendar.window_at(WindowKind.DAY, at_ms)) if 0 <= at_ms <= EVENT_TIME_MAX_MS else None

    def sums(self, ask: AskSums) -> Sums:
        starts = sorted(start for kind, start in self.index.sums if kind is ask.window)
        first, last = bisect_left(starts, ask.from_ms), bisect_left(starts, ask.to_ms)
        chosen = starts[first : min(last, first + ask.limit)]
        windows = (
            ALL_TIME if ask.window is WindowKind.ALL else self._calendar.window_from_start(ask.window, start)
            for start in chosen
        )
        more = last - first > ask.limit
        return Sums([self._sum(window) for window in windows], starts[first + ask.limit] if more else None)

    def top(self, ask: AskTop, now_ms: int) -> Top:
        window = self._calendar.window_at(ask.window, now_ms if ask.at_ms is None else ask.at_ms)
        return Top(self._sum(window), [] if self.index.is_released(window) else self.index.top(window, ask.limit))

    def projects(self, ask: AskProjects) -> Projects:
        found = self.index.search(ask.search, ask.limit + 1, ask.offset)
        more = len(found) > ask.limit and ask.offset + ask.limit <= limits.SEARCH_OFFSET_MAX
        return Projects(found[: ask.limit], ask.offset + ask.limit if more else None)

    def project(self, project_id: str, now_ms: int) -> ProjectAnswer:
        """Raises NotFoundError."""
        found = self.index.project(project_id)
        if found is None:
            raise NotFoundError(f"no project {project_id!r}")
        name, charity, goal_fen, description = found
        at_ms = self.at_ms(now_ms)
        windows = (self._calendar.window_at(kind, at_ms) for kind in WindowKind)
        totals = (self.index.total(project_id, window) for window in windows)
        return ProjectAnswer(
            status=self.status(now_ms),
            project_id=project_id,
            name=name,
            charity=charity,
            goal_fen=goal_fen,
            description=description,
            totals=[total for total in totals if total is not None],
        )

    def totals(self, ask: AskTotals) -> Totals:
        """Raises NotFoundError."""
        if self.index.project(ask.id) is None:
            raise NotFoundError(f"no project {ask.id!r}")
        found: list[ProjectTotal] = self.index.totals(ask.id, ask.window, ask.from_ms, ask.to_ms, ask.limit + 1)
        more = found[ask.limit].start_ms if len(found) > ask.limit else None
        return Totals(found[: ask.limit], more)


def _date_of(day: Window) -> str:
    assert day.start is not None  # only `all` has none
    return day.start.partition("T")[0]
