"""Totals in Rust are what totals in Python are, byte for byte, through watermarks, releases, commits and restarts."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.delta import MinuteSum, ProjectDelta, SourceWatermark, encode_delta, encode_watermark
from schemas.limits import EVENT_TIME_MAX_MS, INT64_MAX
from schemas.totals import POSITION_HEADER, ProjectTotal, TotalKey, WindowKind, encode_total, key_of
from schemas.units import DAY_MS, HOUR_MS, MINUTE_MS
from streams.errors import UserError
from streams.settings import Settings
from tests.domain.orders import SOME_DAY_MS, OrderRecord
from tests.native.drawn import CHANCE, random_deltas
from tests.native.folds import TotalsPair, any_form, fold_totals_anyhow

SOURCES = 3
ZONES = ["Asia/Shanghai", "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
SHORT = {"minute_retention_hours": 1, "hour_retention_hours": 3}

PROJECTS = st.sampled_from(["P1", "P2", "P3", '"4"', "订单5", "\\6"])
AGO = st.one_of(st.integers(0, 90), st.integers(0, 90), st.integers(0, 4_000), st.sampled_from([0, 60, 600_000]))


@st.composite
def delta_records(draw: st.DrawFn) -> list[OrderRecord]:
    """Sums and watermarks whose time goes on, mostly; some come late, some sources fall idle, wake or never speak."""
    records, now = [], draw(st.sampled_from([SOME_DAY_MS, 1_300_000_000_000, 1_325_150_000_000])) // MINUTE_MS
    kinds = st.sampled_from(["delta"] * 3 + ["mark"] * 2)
    for kind, step in draw(st.lists(st.tuples(kinds, st.sampled_from([0, 0, 1, 5, 60, 300, 50_000])), max_size=60)):
        now += step
        if kind == "mark":
            mark = SourceWatermark(draw(st.integers(0, SOURCES - 1)), now * MINUTE_MS, draw(st.integers(0, 3)) == 0)
            key, value = None, encode_watermark(mark)
        else:
            minutes = [now - ago for ago in draw(st.lists(AGO, min_size=1, max_size=4))]
            sums = [MinuteSum(minute * MINUTE_MS, draw(st.integers(1, 10**6)), minute % 5 + 1) for minute in minutes]
            key, value = draw(PROJECTS).encode(), encode_delta(ProjectDelta(tuple(sums)))
        records.append(OrderRecord(len(records), 1, key, value))
    return records


@settings(max_examples=250, deadline=None)
@given(delta_records(), CHANCE, st.sampled_from(ZONES), st.booleans())
def test_drawn_sums_and_watermarks_give_the_same_bytes_in_any_cut_and_over_any_restart(records, chance, zone, short):
    deployment = Settings(timezone=zone, **(SHORT if short else {}))
    asyncio.run(fold_totals_anyhow(records, random.Random(chance), TotalsPair(deployment, SOURCES)))


async def test_years_of_many_projects_give_the_same_bytes_through_releases_and_late_sums():
    rng = random.Random(7)
    pair = TotalsPair(Settings(**SHORT), SOURCES)
    records = random_deltas(rng, 6_000, SOURCES)
    for start in range(0, len(records), 100):
        piece = records[start : start + 100]
        pair.fold(piece, any_form(piece, rng))
        pair.commit(start + 100)
        if start % 700 == 0:
            await pair.restart(crossed=True, metadata=start % 1_400 == 0)
    assert min(pair.tombstones, pair.late_donations, pair.released_donations) > 500


async def test_windows_that_are_packed_while_much_is_read_back_go_on_alike():
    pair = TotalsPair(Settings(), 1)
    for minute in range(100):
        now_ms = SOME_DAY_MS + minute * MINUTE_MS
        late_ms = SOME_DAY_MS + minute // 2 * MINUTE_MS
        pair.fold([sums((now_ms, 5), project=b"P%d" % number) for number in range(120)])
        pair.fold(
            [
                sums((late_ms, 3), project=b"P%d" % minute),
                OrderRecord(1, 1, None, encode_watermark(SourceWatermark(0, now_ms))),
            ]
        )
        pair.commit(minute)
    await pair.restart(crossed=True, metadata=True)
    pair.fold([sums(*((SOME_DAY_MS + minute * MINUTE_MS, 7) for minute in range(200)), project=b"new")])
    pair.fold([sums((SOME_DAY_MS, 7), project=b"P%d" % number) for number in range(130)])
    assert len(pair.commit(101)) > 200
    assert pair.late_donations > 200


async def written_before(pair: TotalsPair, *records: ProjectTotal | TotalKey) -> None:
    """Have both read back a log that holds just these; a key is a tombstone."""
    headers = [(POSITION_HEADER, b"9")]
    lines = [
        (record.encode(), None, None, headers)
        if isinstance(record, TotalKey)
        else (key_of(record).encode(), encode_total(record), None, headers)
        for record in records
    ]
    for log in (pair.of_python, pair.of_native):
        log.write({(Settings().topics.project_totals, 0): lines})
    pair.tombstones = len(lines)
    assert await pair.restart(crossed=False, metadata=False) == 9


def an_hour(project_id: str, watermark_ms: int) -> ProjectTotal:
    start, end_ms = "2020-11-11T00:00:00+08:00", SOME_DAY_MS + HOUR_MS
    return ProjectTotal(project_id, WindowKind.HOUR, SOME_DAY_MS, end_ms, start, 5, 1, 0, watermark_ms, False, 3)


THE_HOUR = TotalKey("P1", WindowKind.HOUR, SOME_DAY_MS)


@pytest.mark.parametrize(
    ("held", "published"),
    [
        ([an_hour("P1", 7), THE_HOUR], 5),  # released, though nothing tells the watermark that did it
        ([THE_HOUR], 5),
        ([THE_HOUR, an_hour("P1", 7)], 6),
        ([an_hour("P1", 7), an_hour("P2", 7), THE_HOUR], 6),  # not all of it
        ([an_hour("P1", 7), an_hour("P2", 7), THE_HOUR, THE_HOUR._replace(project_id="P2")], 5),
        ([an_hour("P1", SOME_DAY_MS + 2 * HOUR_MS), an_hour("P2", 7)], 5),  # the highest watermark counts: no minute
    ],
)
async def test_tombstones_and_watermarks_that_a_log_holds_are_read_back_alike(held, published):
    pair = TotalsPair(Settings(**SHORT), 1)
    await written_before(pair, *held)
    pair.fold([sums((SOME_DAY_MS, 7))])
    assert len(pair.commit(10)) == published
    await pair.restart(crossed=True, metadata=True)
    mark = SourceWatermark(0, SOME_DAY_MS + 5 * HOUR_MS)
    pair.fold([OrderRecord(11, 1, None, encode_watermark(mark)), sums((SOME_DAY_MS, 7))])
    pair.commit(12)


def test_what_a_later_version_may_add_is_passed_over():
    pair = TotalsPair(Settings(), 1)
    value = b'{"more":[1],"minutes":[[%d,5,1,"more",{}],[%d,6,1]],"and":null}' % (SOME_DAY_MS, SOME_DAY_MS + HOUR_MS)
    pair.fold([OrderRecord(0, 1, b"P1", value)])
    assert len(pair.commit(1)) == 8


def sums(*minutes: tuple[int, int], project: bytes = b"P1", offset: int = 0) -> OrderRecord:
    delta = ProjectDelta(tuple(MinuteSum(start_ms, fen, 1) for start_ms, fen in minutes))
    return OrderRecord(offset, 1, project, encode_delta(delta))


@pytest.mark.parametrize("start_ms", [0, EVENT_TIME_MAX_MS + 1 - MINUTE_MS])
@pytest.mark.parametrize("zone", ZONES)
def test_the_first_and_the_last_minute_of_time_are_published_alike(zone, start_ms):
    pair = TotalsPair(Settings(timezone=zone), 1)
    pair.fold([sums((start_ms, 5)), OrderRecord(1, 1, None, encode_watermark(SourceWatermark(0, start_ms)))])
    assert len(pair.commit(2)) == 6
    if start_ms:
        pair.fold([OrderRecord(2, 1, None, encode_watermark(SourceWatermark(0, EVENT_TIME_MAX_MS + 1)))])
        assert len(pair.commit(3)) == 5


async def test_the_last_fen_of_64_bits_is_published_and_one_more_ends_both_with_the_same_words():
    pair = TotalsPair(Settings(), 1)
    pair.fold([sums((SOME_DAY_MS, INT64_MAX - 1))])
    pair.commit(1)
    await pair.restart(crossed=True, metadata=True)
    pair.fold([sums((SOME_DAY_MS, 1))])
    assert b'"fen":%d,' % INT64_MAX in pair.commit(2)[0][1]
    await pair.restart(crossed=True, metadata=True)
    for minute_ms in (SOME_DAY_MS, SOME_DAY_MS + MINUTE_MS, SOME_DAY_MS + DAY_MS, SOME_DAY_MS + 365 * DAY_MS):
        pair.fold([sums((minute_ms, 1))])
        words = [str(raised(fold, 3)) for fold in (pair.python.take_output, pair.native.take_output)]
        assert words[0] == words[1]
        assert str(2**63) in words[0]
        await pair.restart(crossed=True, metadata=True)


def test_sums_beyond_twice_64_bits_within_one_commit_end_it_as_well():
    pair = TotalsPair(Settings(), 1)
    piece = [sums((SOME_DAY_MS, INT64_MAX), offset=offset) for offset in range(3)]
    error = raised(pair.native.fold, piece)  # at once: such sums aren't even held until the commit
    assert "the total of project 'P1' in the minute from 2020-11-11T00:00:00+08:00 is " in str(error)
    pair.python.fold(piece)
    assert str(raised(pair.python.take_output, 3)).partition(" is ")[0] == str(error).partition(" is ")[0]


def raised(act, argument) -> UserError:
    with pytest.raises(UserError) as found:
        act(argument)
    return found.value
