"""The audit's calendar: what the contract says, and the same as the writers' in every zone at every time."""

from hypothesis import example, given
from hypothesis import strategies as st

from schemas.limits import EVENT_TIME_MAX_MS
from schemas.units import DAY_MS, MINUTE_MS
from streams.domain.audit_windows import AuditCalendar
from streams.domain.windows import Calendar

ZONES = (
    "UTC", "Asia/Shanghai", "America/St_Johns", "America/New_York", "America/Sao_Paulo", "Africa/Cairo",
    "Africa/Monrovia", "Asia/Gaza", "Asia/Kathmandu", "Asia/Tehran", "Australia/Lord_Howe", "Europe/London",
    "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Pago_Pago",
)  # fmt: skip
AUDITED = {zone: AuditCalendar(zone) for zone in ZONES}
WRITTEN = {zone: Calendar(zone) for zone in ZONES}
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
    audited = AUDITED[zone].windows(minute)
    assert [(each.kind, each.start_ms, each.end_ms, each.start) for each in audited] == [
        (each.kind, each.start_ms, each.end_ms, each.start) for each in windows
    ]


def test_the_festival_lies_in_these_windows():
    assert [
        (each.kind.value, each.start_ms, each.end_ms, each.start, each.key_end)
        for each in AUDITED["Asia/Shanghai"].windows(1_605_024_000_000 // MINUTE_MS)
    ] == [
        ("minute", 1605024000000, 1605024060000, "2020-11-11T00:00:00+08:00", b"|minute|1605024000000"),
        ("hour", 1605024000000, 1605027600000, "2020-11-11T00:00:00+08:00", b"|hour|1605024000000"),
        ("day", 1605024000000, 1605110400000, "2020-11-11T00:00:00+08:00", b"|day|1605024000000"),
        ("month", 1604160000000, 1606752000000, "2020-11-01T00:00:00+08:00", b"|month|1604160000000"),
        ("year", 1577808000000, 1609430400000, "2020-01-01T00:00:00+08:00", b"|year|1577808000000"),
        ("all", 0, None, None, b"|all|0"),
    ]
