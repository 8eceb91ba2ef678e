"""The audit's calendar: what the contract says, and the same as the writers' in every zone at every time."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.limits import EVENT_TIME_MAX_MS
from schemas.totals import WindowKind
from streams.domain.audit_windows import MINUTE_MS, AuditCalendar
from streams.domain.windows import Calendar

ZONES = (
    "UTC", "Asia/Shanghai", "America/St_Johns", "America/New_York", "America/Sao_Paulo", "Africa/Cairo",
    "Africa/Monrovia", "Asia/Gaza", "Asia/Kathmandu", "Asia/Tehran", "Australia/Lord_Howe", "Europe/London",
    "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Pago_Pago",
)  # fmt: skip
AUDITED = {zone: AuditCalendar(zone) for zone in ZONES}
WRITTEN = {zone: Calendar(zone) for zone in ZONES}
DAY_MS = 86_400_000
times_ms = st.one_of(
    st.integers(0, EVENT_TIME_MAX_MS),
    st.integers(0, 2_200_000_000_000),
    st.integers(0, 2 * DAY_MS),
    st.integers(EVENT_TIME_MAX_MS - 2 * DAY_MS, EVENT_TIME_MAX_MS),
)


@given(st.sampled_from(ZONES), times_ms)
@example("America/St_Johns", 1_162_088_999_000)
@example("Pacific/Apia", 1_325_239_200_000)
@example("Australia/Lord_Howe", 1_712_415_600_000)
@example("Asia/Shanghai", EVENT_TIME_MAX_MS)
def test_two_independent_calendars_agree(zone, time_ms):
    minute = time_ms // MINUTE_MS
    windows = WRITTEN[zone].windows_at(minute * MINUTE_MS)
    starts = AUDITED[zone].starts(minute)
    assert [start * MINUTE_MS for start in starts] == [window.start_ms for window in windows[1:5]]
    for window in windows:
        assert AUDITED[zone].describe(window.kind, window.start_ms) == (window.end_ms, window.start)


@pytest.mark.parametrize(
    ("kind", "start_ms", "end_ms", "start"),
    [
        ("minute", 1_605_024_000_000, 1_605_024_060_000, "2020-11-11T00:00:00+08:00"),
        ("day", 1_605_024_000_000, 1_605_110_400_000, "2020-11-11T00:00:00+08:00"),
        ("month", 1_604_160_000_000, 1_606_752_000_000, "2020-11-01T00:00:00+08:00"),
        ("year", 1_577_808_000_000, 1_609_430_400_000, "2020-01-01T00:00:00+08:00"),
        ("all", 0, None, None),
    ],
)
def test_the_festival_lies_in_these_windows(kind, start_ms, end_ms, start):
    assert AUDITED["Asia/Shanghai"].describe(WindowKind(kind), start_ms) == (end_ms, start)
