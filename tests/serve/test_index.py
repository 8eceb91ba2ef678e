import random
from itertools import chain

import pytest
from msgspec.structs import replace

from schemas.limits import EVENT_TIME_MAX_MS, INT64_MAX
from schemas.project import encode_project
from schemas.totals import ProjectTotal, WindowKind, encode_total, key_of
from schemas.units import DAY_MS, HOUR_MS, MINUTE_MS
from streams.domain.windows import ALL_TIME, Calendar
from streams.errors import UserError
from streams.serve.index import TotalsIndex
from tests.serve.parts import LUNCH, NOON_MS, SETTINGS, WATER, ZONE, Log, live_state, open_index, take

CALENDAR = Calendar(ZONE)


def sum_of(state, kind, at_ms=NOON_MS):
    window = ALL_TIME if kind is WindowKind.ALL else CALENDAR.window_at(kind, at_ms)
    found = state.index.sums.get((window.kind, window.start_ms))
    return (found.fen, found.donations) if found else None


def all_time(project, fen, revision):
    total = ProjectTotal(project, WindowKind.ALL, 0, None, None, fen, 1, 0, 0, False, revision)
    return key_of(total).encode(), encode_total(total)


def test_sums_over_all_projects_grow_by_what_each_project_grew(tmp_path):
    log = Log()
    state = live_state(tmp_path, log.commit(("P1", NOON_MS, 5), ("P2", NOON_MS, 7), ("P1", NOON_MS, 1)))
    assert {kind: sum_of(state, kind) for kind in WindowKind} == dict.fromkeys(WindowKind, (13, 3))
    take(state, log.commit(("P2", NOON_MS + HOUR_MS, 2)))
    assert sum_of(state, WindowKind.HOUR) == (13, 3)
    assert sum_of(state, WindowKind.DAY) == (15, 4)


def test_records_that_come_again_or_late_change_nothing(tmp_path):
    log = Log()
    first = log.commit(("P1", NOON_MS, 5))
    state = live_state(tmp_path, first + log.commit(("P1", NOON_MS, 3)))
    take(state, first)
    take(state, log.records)
    assert sum_of(state, WindowKind.YEAR) == (8, 2)


def test_a_sum_over_projects_beyond_64_bits_is_exact(tmp_path):
    state = live_state(tmp_path, [all_time(f"P{n}", INT64_MAX, 1) for n in range(5)])
    take(state, [all_time("P9", 3, 1)])
    assert sum_of(state, WindowKind.ALL) == (5 * INT64_MAX + 3, 6)
    assert state.index.top(ALL_TIME, 1)[0].fen == INT64_MAX


def test_the_top_is_by_amount_then_by_id_with_names_where_they_are_known(tmp_path):
    records = Log().commit(*((f"P{n}", NOON_MS, fen) for n, fen in ((1, 5), (2, 9), (3, 5), (4, 1))))
    state = live_state(tmp_path, records, [LUNCH])
    found = state.index.top(CALENDAR.window_at(WindowKind.DAY, NOON_MS), 3)
    assert [(each.project_id, each.name, each.fen) for each in found] == [
        ("P2", None, 9),
        ("P1", LUNCH.name, 5),
        ("P3", None, 5),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("午餐", ["P1"]),
        ("LUNCH free", ["P1"]),
        ("ｆｒｅｅ", ["P1"]),  # noqa: RUF001 - full width, as some keyboards write it
        ("well &", ["P2"]),
        ("p", ["P1", "P3", "P2"]),
        ("p3", ["P3"]),
        ("lunch water", []),
        ("%", []),
        ("'; DROP TABLE totals; --", []),
    ],
)
def test_a_search_wants_every_word_in_name_charity_or_id(tmp_path, text, found):
    state = live_state(tmp_path, Log().commit(("P3", NOON_MS, 1), ("P1", NOON_MS, 2)), [LUNCH, WATER])
    assert [each.project_id for each in state.index.search(text, 10, 0)] == found


def test_a_project_whose_reference_is_taken_away_goes_on_under_its_id(tmp_path):
    state = live_state(tmp_path, Log().commit(("P1", NOON_MS, 1)), [LUNCH])
    state.index.publish(state.index.apply([], {b"P1": None}))
    assert state.index.project("P1") == (None, "", None, "")
    assert [each.name for each in state.index.search("p1", 5, 0)] == [None]


def test_totals_come_back_as_they_stood_on_the_topic(tmp_path):
    log = Log()
    records = log.commit(("P1", NOON_MS, 5), ("P1", NOON_MS + DAY_MS, 6)) + log.commit(
        ("P1", NOON_MS, 1), watermark_ms=NOON_MS + 2 * MINUTE_MS
    )
    state = live_state(tmp_path, records)
    newest = {key: value for key, value in records if value is not None}
    kinds = (WindowKind.MINUTE, WindowKind.HOUR, WindowKind.DAY, WindowKind.MONTH, WindowKind.YEAR, WindowKind.ALL)
    found = chain.from_iterable(state.index.totals("P1", kind, 0, 2**60, 99) for kind in kinds)
    assert {key_of(total).encode(): encode_total(total) for total in found} == newest


def test_a_project_that_never_had_a_donation_goes_with_its_reference(tmp_path):
    state = live_state(tmp_path, projects=[WATER])
    state.index.publish(state.index.apply([], {b"P2": None}))
    assert state.index.project("P2") is None


def altered(**fields):
    """A record of a good total with other fields, under the key that goes with them."""
    total = ProjectTotal("P1", WindowKind.DAY, DAY.start_ms, DAY.end_ms, DAY.start, 5, 1, 0, 0, False, 1)
    total = replace(total, **fields)
    return key_of(total).encode(), encode_total(total)


DAY = CALENDAR.window_at(WindowKind.DAY, NOON_MS)
NONSENSE = [
    (b"x", b"y"),
    (None, b"{}"),
    (None, altered()[1]),
    (b"P2|day|%d" % DAY.start_ms, altered()[1]),
    (altered()[0], altered()[1].replace(b'"fen":5', b'"fen":"5"')),
    (altered()[0], altered()[1].replace(b'"fen":5', b'"fen":-5')),
    altered(project_id="a|b"),
    altered(project_id="a\nb"),
    altered(window=WindowKind.MINUTE, start_ms=1),
    altered(window=WindowKind.MINUTE, start_ms=60_000, end_ms=1),
    altered(window=WindowKind.ALL, start_ms=5, end_ms=None, start=None),
    altered(window=WindowKind.ALL, start_ms=0, start=None),
    altered(start_ms=12_345),
    altered(start_ms=12_345, start="1970-01-01T08:00:12.345+08:00"),
    altered(start_ms=EVENT_TIME_MAX_MS + 1),
    altered(start_ms=3_600_000, start="1970-01-01T09:00:00+08:00", end_ms=7_200_000),
    (altered()[0], b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    (b"x", None),
    (None, None),
    (b"P1|minute|5", None),
    (b"P1|hour|%d" % 10**30, None),
    (altered()[0], None),  # days stay for ever
]


@pytest.mark.parametrize("record", NONSENSE, ids=lambda record: str(record)[:80])
def test_what_is_no_total_is_counted_and_left_out_and_its_neighbours_count(tmp_path, record):
    state = live_state(tmp_path, [altered(), record, *Log().commit(("P2", NOON_MS, 7))])
    assert state.index.unreadable == 1
    assert sum_of(state, WindowKind.DAY) == (12, 2)
    state.index.search("", 10, 0)
    take(state, Log().commit(("P3", NOON_MS, 1), watermark_ms=NOON_MS + 30 * DAY_MS))
    assert sum_of(state, WindowKind.DAY) == (13, 3)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"P1", b"{"),
        (b"P1", encode_project(WATER)),
        (b"P1", b'{"project_id":"P1"}'),
        (b"P1", b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        (b"P1", b'{"project_id":"P1","name":"\\ud800"}'),
        (None, encode_project(LUNCH)),
        (None, None),
        (b"", b"{}"),
        (b"\xff", None),
        (b"a|b", None),
    ],
)
def test_what_is_no_project_is_counted_and_left_out(tmp_path, key, value):
    state = live_state(tmp_path, projects=[LUNCH])
    state.index.publish(state.index.apply([], {key: value}))
    assert state.index.unreadable == 1
    assert [each.name for each in state.index.search("", 5, 0)] == [LUNCH.name]


def test_sums_of_numbers_of_donations_may_pass_64_bits_as_well(tmp_path):
    records = [altered(project_id=f"P{number}", donations=INT64_MAX) for number in range(3)]
    assert sum_of(live_state(tmp_path, records), WindowKind.DAY) == (15, 3 * INT64_MAX)


def test_totals_of_another_zone_end_it_with_a_line_that_names_the_setting(tmp_path):
    records = Log("Europe/Berlin").commit(("P1", NOON_MS, 5))
    with pytest.raises(UserError, match="EVERYCENT_TIMEZONE"):
        open_index(tmp_path).apply(records, {})


def test_a_watermark_from_a_future_that_no_worker_lets_in_releases_nothing(tmp_path):
    """Whoever writes such a total would else take every minute and hour off the page."""
    log = Log()
    state = live_state(tmp_path, log.commit(("P1", NOON_MS, 5)))
    take(state, [altered(watermark_ms=EVENT_TIME_MAX_MS)])
    assert sum_of(state, WindowKind.MINUTE) == (5, 1)
    take(state, log.commit(("P2", NOON_MS, 2)))
    assert sum_of(state, WindowKind.MINUTE) == (7, 2)
    assert state.index.watermark_ms < EVENT_TIME_MAX_MS


def test_a_batch_that_fails_changes_nothing(tmp_path):
    state = live_state(tmp_path, Log().commit(("P1", NOON_MS, 5)))
    with pytest.raises(TypeError):
        state.index.apply(Log().commit(("P2", NOON_MS, 9)), {b"P7": 5})
    take(state, Log().commit(("P2", NOON_MS, 2)))
    assert sum_of(state, WindowKind.DAY) == (7, 2)


def test_a_released_window_leaves_as_a_whole_and_does_not_come_back(tmp_path):
    log, other = Log(), Log()
    state = live_state(tmp_path, log.commit(("P1", NOON_MS, 5)) + other.commit(("P2", NOON_MS, 7)))
    released = log.commit(("P1", NOON_MS + 4 * HOUR_MS, 1), watermark_ms=NOON_MS + 3 * HOUR_MS)
    assert any(value is None for _, value in released)
    take(state, released)
    minute = CALENDAR.window_at(WindowKind.MINUTE, NOON_MS)
    assert state.index.is_released(minute)
    assert sum_of(state, WindowKind.MINUTE) is None
    assert state.index.top(minute, 5) == []
    take(state, other.commit(("P2", NOON_MS, 1)))  # that partition's watermark isn't as far yet
    assert sum_of(state, WindowKind.MINUTE) is None
    assert sum_of(state, WindowKind.DAY) == (14, 4)


def compacted(log, chance):
    """What a compacted topic may hold of it: of each key the newest; a tombstone may have gone as well."""
    newest = {}
    for key, value in log:
        newest.pop(key, None)  # its place is that of the newest
        newest[key] = value
    return [(key, value) for key, value in newest.items() if value is not None or chance.random() < 0.5]


def shown(index):
    """What the server would show of every window: its sum; released ones aren't there."""
    return {place: found.fen for place, found in index.sums.items()}


@pytest.mark.parametrize("seed", range(12))
def test_no_figure_falls_while_records_come_nor_over_a_restart_from_a_compacted_topic(tmp_path, seed):
    """Two partitions whose watermarks differ, late donations, releases; each restart reads what compaction left."""
    chance = random.Random(seed)
    logs, now_ms = [Log(), Log()], NOON_MS
    state = live_state(tmp_path / "0")
    before: dict = {}
    for step in range(1, 120):
        now_ms += chance.randrange(20 * MINUTE_MS)
        number = chance.randrange(2)
        times = [now_ms - chance.randrange(6 * HOUR_MS) * (chance.random() < 0.2) for _ in range(4)]
        donations = [(f"P{number}{chance.randrange(3)}", at_ms, chance.randrange(1, 9)) for at_ms in times]
        take(state, logs[number].commit(*donations, watermark_ms=now_ms - chance.randrange(30 * MINUTE_MS)))
        if chance.random() < 0.1:
            state.index.close()
            state = live_state(
                tmp_path / str(step), compacted(logs[0].records, chance) + compacted(logs[1].records, chance)
            )
        after = shown(state.index)
        for place, fen in before.items():
            window = CALENDAR.window_from_start(*place) if place[0] is not WindowKind.ALL else ALL_TIME
            assert state.index.is_released(window) or after[place] >= fen, (step, place)
        before = {place: max(fen, before.get(place, 0)) for place, fen in after.items()}
    assert any(kind is WindowKind.MINUTE for kind, _ in before)
    assert len(before) < 100, "released windows stay in memory"


def test_memory_of_the_index_is_that_of_its_windows_not_of_its_projects(tmp_path):
    index = TotalsIndex(tmp_path, CALENDAR, SETTINGS)
    index.publish(index.apply([all_time(f"P{n}", 5, 1) for n in range(20_000)], {}))
    assert len(index.sums) == 1
    assert index.search("p19999", 5, 0)[0].fen == 5
