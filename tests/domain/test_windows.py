"""Calendar windows: what the calendar says at its edges, and what holds in every zone at every time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.limits import EVENT_TIME_MAX_MS
from schemas.totals import WindowKind
from schemas.units import DAY_MS, HOUR_MS, MINUTE_MS
from streams.domain.windows import Calendar, Window, minute_of

ZONES = (
    "UTC",
    "Asia/Shanghai",  # summer time from 1986 to 1991
    "America/St_Johns",  # UTC-3:30; from 1987 to 2011 its clocks changed at 00:01
    "America/New_York",
    "America/Sao_Paulo",  # summer time began at midnight, which was skipped, and ended at midnight, which came twice
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Monrovia",  # UTC-0:44:30 until 1972
    "Asia/Gaza",
    "Asia/Kathmandu",  # UTC+5:45
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",  # summer time is half an hour
    "Europe/London",
    "Pacific/Apia",  # no 2011-12-30
    "Pacific/Kiritimati",  # no 1994-12-31
)
CALENDARS = {zone: Calendar(zone) for zone in ZONES}
BOUNDED = [kind for kind in WindowKind if kind is not WindowKind.ALL]

zones = st.sampled_from(ZONES)
times_ms = st.one_of(
    st.integers(0, EVENT_TIME_MAX_MS),
    st.integers(0, 2_200_000_000_000),  # 1970 to 2039: where most of the changes are
    st.integers(0, 2 * DAY_MS),
    st.integers(EVENT_TIME_MAX_MS - 2 * DAY_MS, EVENT_TIME_MAX_MS),
)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


def at(zone: str, kind: str, text: str) -> Window:
    return CALENDARS[zone].window_at(WindowKind(kind), ms(text))


def bounds(window: Window) -> tuple[int, int]:
    assert window.end_ms is not None
    return window.start_ms, window.end_ms


# --- what holds always


@given(zones, times_ms)
def test_the_six_windows_hold_the_minute_and_each_lies_within_the_next(zone, time_ms):
    minute_ms = minute_of(time_ms)
    windows = CALENDARS[zone].windows_at(minute_ms)
    assert [window.kind for window in windows] == list(WindowKind)
    assert bounds(windows[0]) == (minute_ms, minute_ms + MINUTE_MS)
    assert windows[-1] == Window(WindowKind.ALL, 0, None, None)
    for inner, outer in pairwise(windows[:-1]):
        assert outer.start_ms <= inner.start_ms < bounds(inner)[1] <= bounds(outer)[1]


@given(zones, st.sampled_from(BOUNDED), times_ms)
def test_a_window_ends_where_the_next_one_starts(zone, kind, time_ms):
    calendar = CALENDARS[zone]
    window = calendar.window_at(kind, time_ms)
    start_ms, end_ms = bounds(window)
    assert start_ms <= time_ms < end_ms
    assert calendar.window_at(kind, start_ms) == calendar.window_at(kind, end_ms - 1) == window
    if end_ms <= EVENT_TIME_MAX_MS:
        assert calendar.window_at(kind, end_ms).start_ms == end_ms
    if start_ms > 0:
        assert calendar.window_at(kind, start_ms - 1).end_ms == start_ms


@given(zones, st.sampled_from(WindowKind), times_ms)
def test_a_window_is_found_again_by_its_start_and_by_no_other_time(zone, kind, time_ms):
    calendar = CALENDARS[zone]
    window = calendar.window_at(kind, time_ms)
    assert calendar.window_from_start(kind, window.start_ms) == window
    if time_ms != window.start_ms:
        with pytest.raises(ValueError, match=f"no {kind} starts at {time_ms}"):
            calendar.window_from_start(kind, time_ms)


def plain_window(zone: ZoneInfo, kind: WindowKind, time_ms: int) -> tuple[int, str]:
    """The start as plain datetime arithmetic on the local clock has it: right away from changes of offset."""
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)).astimezone(zone)
    fields = {
        "minute": {"second": 0},
        "hour": {"minute": 0, "second": 0},
        "day": {"hour": 0, "minute": 0, "second": 0},
        "month": {"day": 1, "hour": 0, "minute": 0, "second": 0},
        "year": {"month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0},
    }[kind]
    start = local.replace(microsecond=0, fold=0, **fields)  # type: ignore[arg-type]
    return int(start.timestamp()) * 1000, start.isoformat()


@given(
    st.sampled_from(["UTC", "Asia/Shanghai", "Asia/Kathmandu", "America/New_York", "Europe/London"]),
    st.sampled_from(["minute", "day", "month", "year"]),
    st.integers(ms("1987-01-01T00:00:00Z"), ms("2100-01-01T00:00:00Z")),  # Kathmandu skipped a midnight in 1986
)
def test_windows_start_where_plain_local_clock_arithmetic_puts_them(zone, kind, time_ms):
    window = CALENDARS[zone].window_at(WindowKind(kind), time_ms)
    if kind == "minute":
        assert window.start_ms == time_ms // 60_000 * 60_000
    else:
        assert (window.start_ms, window.start) == plain_window(ZoneInfo(zone), WindowKind(kind), time_ms)


@given(
    st.sampled_from(["UTC", "Asia/Kathmandu", "Asia/Tokyo"]),
    st.integers(ms("1987-01-01T00:00:00Z"), ms("2100-01-01T00:00:00Z")),
)
def test_hours_of_a_zone_whose_clock_stays_are_those_of_the_local_clock(zone, time_ms):
    window = Calendar(zone).window_at(WindowKind.HOUR, time_ms)
    assert (window.start_ms, window.start) == plain_window(ZoneInfo(zone), WindowKind.HOUR, time_ms)
    assert window.end_ms == window.start_ms + HOUR_MS


@given(zones, st.integers(ms("1972-02-01T00:00:00Z"), ms("2100-01-01T00:00:00Z")))
@example("Australia/Lord_Howe", ms("2024-04-06T15:10:00Z"))
@example("America/St_Johns", ms("2006-10-29T02:30:00Z"))  # the hour from 00:00 ends at 00:01
def test_an_hour_has_one_offset_and_one_hour_on_the_local_clock(zone, time_ms):
    start_ms, end_ms = bounds(CALENDARS[zone].window_at(WindowKind.HOUR, time_ms))

    def shown(minute_ms: int) -> tuple[timedelta | None, str]:
        local = datetime.fromtimestamp(minute_ms / 1000, ZoneInfo(zone))
        return local.utcoffset(), local.strftime("%Y-%m-%d %H")

    inside = {shown(minute_ms) for minute_ms in range(start_ms, end_ms, MINUTE_MS)}
    assert len(inside) == 1
    assert shown(start_ms - MINUTE_MS) not in inside
    assert shown(end_ms) not in inside


@given(zones, st.integers(ms("1972-02-01T00:00:00Z"), ms("2100-01-01T00:00:00Z")))
@example("America/St_Johns", ms("2006-10-29T02:31:00Z"))
@example("America/Sao_Paulo", ms("2018-02-18T02:30:00Z"))
@example("Pacific/Apia", ms("2011-12-30T10:00:00Z"))
def test_a_day_is_that_of_the_latest_local_date_shown_so_far(zone, time_ms):
    window = CALENDARS[zone].window_at(WindowKind.DAY, time_ms)
    minutes = range(minute_of(time_ms) - 30 * HOUR_MS, time_ms + 1, MINUTE_MS)
    latest = max(datetime.fromtimestamp(m / 1000, ZoneInfo(zone)).date() for m in minutes)
    assert window.start is not None
    assert window.start[:10] == latest.isoformat()


# --- edges of day, month and year


def test_a_day_in_shanghai_begins_at_four_in_the_afternoon_utc():
    window = at("Asia/Shanghai", "day", "2020-11-11T00:00:00+08:00")
    assert window == Window(WindowKind.DAY, 1_605_024_000_000, 1_605_024_000_000 + DAY_MS, "2020-11-11T00:00:00+08:00")
    assert CALENDARS["Asia/Shanghai"].window_at(WindowKind.DAY, 1_605_023_999_999).start == "2020-11-10T00:00:00+08:00"


@pytest.mark.parametrize(
    ("text", "month_days", "year_days"),
    [
        ("2020-02-29T12:00:00Z", 29, 366),
        ("2000-02-29T12:00:00Z", 29, 366),
        ("2100-02-28T23:59:59Z", 28, 365),
        ("2021-12-31T23:59:59Z", 31, 365),
        ("2022-01-01T00:00:00Z", 31, 365),
        ("2024-04-30T23:59:59Z", 30, 366),
    ],
)
def test_months_and_years_have_their_days(text, month_days, year_days):
    month, year = at("UTC", "month", text), at("UTC", "year", text)
    assert bounds(month)[1] - month.start_ms == month_days * DAY_MS
    assert bounds(year)[1] - year.start_ms == year_days * DAY_MS
    assert month.start == f"{text[:7]}-01T00:00:00+00:00"
    assert year.start == f"{text[:4]}-01-01T00:00:00+00:00"


def test_the_leap_day_is_a_day_and_the_missing_one_is_march():
    assert at("Asia/Shanghai", "day", "2020-02-29T23:59:59+08:00").start == "2020-02-29T00:00:00+08:00"
    assert (
        at("Asia/Shanghai", "day", "2100-03-01T00:00:00+08:00").start_ms
        == bounds(at("Asia/Shanghai", "day", "2100-02-28T12:00:00+08:00"))[1]
    )


# --- where clocks change


@pytest.mark.parametrize(
    ("zone", "noon", "start", "hours"),
    [
        ("America/New_York", "2024-03-10T12:00:00-04:00", "2024-03-10T00:00:00-05:00", 23),
        ("America/New_York", "2024-11-03T12:00:00-05:00", "2024-11-03T00:00:00-04:00", 25),
        ("Asia/Shanghai", "1986-05-04T12:00:00+09:00", "1986-05-04T00:00:00+08:00", 23),
        ("Asia/Shanghai", "1991-09-15T12:00:00+08:00", "1991-09-15T00:00:00+09:00", 25),
        # midnight skipped: the day begins with the change
        ("America/Sao_Paulo", "2018-11-04T12:00:00-02:00", "2018-11-04T01:00:00-02:00", 23),
        ("Africa/Cairo", "2024-04-26T12:00:00+03:00", "2024-04-26T01:00:00+03:00", 23),
        # clocks go back at midnight to 23:00: midnight is not shown before the second 23:59 is over
        ("America/Sao_Paulo", "2018-02-17T12:00:00-02:00", "2018-02-17T00:00:00-02:00", 25),
        ("America/Sao_Paulo", "2018-02-18T12:00:00-03:00", "2018-02-18T00:00:00-03:00", 24),
        # clocks go back at 00:01: midnight comes twice and the first counts, though yesterday's date shows again
        ("America/St_Johns", "2006-10-29T12:00:00-03:30", "2006-10-29T00:00:00-02:30", 25),
        ("America/St_Johns", "2006-10-28T12:00:00-02:30", "2006-10-28T00:00:00-02:30", 24),
        ("America/St_Johns", "2006-04-02T12:00:00-02:30", "2006-04-02T00:00:00-03:30", 23),
        ("Australia/Lord_Howe", "2024-04-07T12:00:00+10:30", "2024-04-07T00:00:00+11:00", 24.5),
        ("Asia/Kathmandu", "2024-04-07T12:00:00+05:45", "2024-04-07T00:00:00+05:45", 24),
    ],
)
def test_the_day_of_a_change_of_clocks_has_its_hours(zone, noon, start, hours):
    window = at(zone, "day", noon)
    assert window.start == start
    assert bounds(window)[1] - window.start_ms == hours * HOUR_MS


def test_an_hour_that_comes_twice_is_two_windows():
    first = at("America/New_York", "hour", "2024-11-03T01:30:00-04:00")
    second = at("America/New_York", "hour", "2024-11-03T01:30:00-05:00")
    assert (first.start, second.start) == ("2024-11-03T01:00:00-04:00", "2024-11-03T01:00:00-05:00")
    assert first.end_ms == second.start_ms


def test_an_hour_is_cut_where_the_offset_changes_in_its_middle():
    # Lord Howe, 2024-04-07: at 02:00 (+11:00) the clock goes back to 01:30 (+10:30).
    before = at("Australia/Lord_Howe", "hour", "2024-04-07T01:45:00+11:00")
    after = at("Australia/Lord_Howe", "hour", "2024-04-07T01:45:00+10:30")
    assert (before.start, after.start) == ("2024-04-07T01:00:00+11:00", "2024-04-07T01:30:00+10:30")
    assert bounds(before)[1] - before.start_ms == HOUR_MS
    assert bounds(after)[1] - after.start_ms == HOUR_MS // 2
    # The other way at 02:00 (+10:30), to 02:30: the hour from 02:00 is half an hour long.
    cut = at("Australia/Lord_Howe", "hour", "2024-10-06T02:45:00+11:00")
    assert (cut.start, bounds(cut)[1] - cut.start_ms) == ("2024-10-06T02:30:00+11:00", HOUR_MS // 2)


def test_a_day_that_the_zone_skipped_has_no_window():
    before = at("Pacific/Apia", "day", "2011-12-29T12:00:00-10:00")
    after = CALENDARS["Pacific/Apia"].window_from_start(WindowKind.DAY, bounds(before)[1])
    assert (before.start, after.start) == ("2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00")


def test_a_year_begins_at_the_change_that_skipped_its_eve():
    # Kiritimati went from UTC-10 to UTC+14 at the end of 1994-12-30: the last day of 1994 has no window.
    year = at("Pacific/Kiritimati", "year", "1995-06-01T00:00:00+14:00")
    assert year.start == "1995-01-01T00:00:00+14:00"
    assert at("Pacific/Kiritimati", "year", "1994-06-01T00:00:00-10:00").end_ms == year.start_ms
    assert at("Pacific/Kiritimati", "day", "1994-12-30T12:00:00-10:00").end_ms == year.start_ms


# --- the ends of the time line


@pytest.mark.parametrize("kind", BOUNDED)
@pytest.mark.parametrize("zone", ZONES)
def test_the_windows_at_the_epoch_start_at_0_and_those_at_the_end_end_there(zone, kind):
    calendar = CALENDARS[zone]
    assert calendar.window_at(kind, 0).start_ms == 0
    assert calendar.window_at(kind, 1).start_ms == 0
    assert calendar.window_at(kind, EVENT_TIME_MAX_MS).end_ms == EVENT_TIME_MAX_MS + 1


def test_a_window_cut_at_the_epoch_shows_the_epoch_in_its_zone():
    assert CALENDARS["Asia/Shanghai"].window_at(WindowKind.YEAR, 1) == Window(
        WindowKind.YEAR, 0, ms("1971-01-01T00:00:00+08:00"), "1970-01-01T08:00:00+08:00"
    )
    assert CALENDARS["America/New_York"].window_at(WindowKind.YEAR, 1) == Window(
        WindowKind.YEAR, 0, 5 * HOUR_MS, "1969-12-31T19:00:00-05:00"
    )
    assert CALENDARS["America/New_York"].window_from_start(WindowKind.YEAR, 5 * HOUR_MS).start == (
        "1970-01-01T00:00:00-05:00"
    )


def test_the_last_hours_east_of_greenwich_are_in_the_year_10000():
    for kind in ("day", "month", "year"):
        assert at("Asia/Shanghai", kind, "9999-12-31T16:00:00Z") == Window(
            WindowKind(kind), ms("9999-12-31T16:00:00Z"), EVENT_TIME_MAX_MS + 1, "+010000-01-01T00:00:00+08:00"
        )
    assert at("Asia/Shanghai", "year", "9999-12-31T15:59:59Z").start == "9999-01-01T00:00:00+08:00"
    assert at("America/New_York", "year", "9999-12-31T23:59:59Z").start == "9999-01-01T00:00:00-05:00"


@pytest.mark.parametrize("wrong_ms", [-MINUTE_MS, EVENT_TIME_MAX_MS + 1, 1, MINUTE_MS - 1])
def test_a_time_that_begins_no_minute_of_the_time_line_is_refused(wrong_ms):
    with pytest.raises(ValueError, match="not the start of a minute"):
        CALENDARS["UTC"].windows_at(wrong_ms)


# --- cost


def test_equal_windows_are_one_object():
    calendar = Calendar("Asia/Shanghai")
    one, other = calendar.windows_at(ms("2020-11-11T00:00:00Z")), calendar.windows_at(ms("2020-11-11T00:01:00Z"))
    assert calendar.windows_at(ms("2020-11-11T00:00:00Z")) is one
    assert one[0] != other[0]
    assert all(a is b for a, b in zip(one[1:], other[1:], strict=True))
