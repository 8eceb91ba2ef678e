"""Totals: partial sums become running totals of each project in each calendar window."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from schemas.delta import MinuteSum, ProjectDelta, SourceWatermark
from schemas.totals import ProjectTotal, TotalKey, WindowKind, key_of
from streams.domain.totals import TotalsOutcome, TotalsState
from streams.domain.windows import Calendar
from tests.domain.orders import DAY_MS, SOME_DAY_MS, cut

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
CALENDAR = Calendar("Asia/Shanghai")
RETENTION_MS = {WindowKind.MINUTE: 2 * HOUR_MS, WindowKind.HOUR: 2 * DAY_MS}
SOURCES = 2

Delta = tuple[str, ProjectDelta]
Record = Delta | SourceWatermark

MINUTES = st.integers(0, 3 * 24 * 60).map(lambda minute: SOME_DAY_MS + minute * MINUTE_MS)
SUMS = st.builds(MinuteSum, MINUTES, st.integers(1, 10**6), st.integers(1, 50))
DELTAS = st.tuples(
    st.sampled_from(["P1", "P2", "P3"]), st.lists(SUMS, min_size=1, max_size=3).map(tuple).map(ProjectDelta)
)
MARKS = st.builds(SourceWatermark, st.integers(0, SOURCES - 1), MINUTES, st.booleans())
RECORDS: st.SearchStrategy[list[Record]] = st.lists(st.one_of(DELTAS, DELTAS, MARKS), max_size=40)


def fresh_state() -> TotalsState:
    return TotalsState(CALENDAR, SOURCES, RETENTION_MS)


def fold(state: TotalsState, records: list[Record]) -> TotalsOutcome:
    for record in records:
        if isinstance(record, SourceWatermark):
            state.advance(record)
        else:
            state.add_delta(*record)
    outcome = state.take_outcome()
    outcome.totals = list(outcome.totals)
    return outcome


class Topic:
    """What a reader of `project-totals` knows: the newest record of each key."""

    def __init__(self) -> None:
        self.totals: dict[TotalKey, ProjectTotal] = {}

    def write(self, outcome: TotalsOutcome) -> None:
        for total in outcome.totals:
            before = self.totals.get(key_of(total))
            if before is not None:
                assert total.revision == before.revision + 1
                assert total.fen >= before.fen, "a displayed total went down"
                assert total.final >= before.final, "a final window was opened again"
            self.totals[key_of(total)] = total
        for key in outcome.tombstones:
            del self.totals[key]

    def restored(self, metadata: str) -> TotalsState:
        state = fresh_state()
        for total in self.totals.values():
            state.restore(total)
        state.watermarks.restore(metadata)
        state.finish_restore()
        return state

    def figures(self) -> dict[TotalKey, tuple[int, int]]:
        return {key: (total.fen, total.donations) for key, total in self.totals.items()}


def written(*batches: list[Record]) -> Topic:
    topic, state = Topic(), fresh_state()
    for batch in batches:
        topic.write(fold(state, batch))
    return topic


def one(fen: int, minute_ms: int = SOME_DAY_MS, project_id: str = "P1", donations: int = 1) -> Delta:
    return project_id, ProjectDelta((MinuteSum(minute_ms, fen, donations),))


def both(watermark_ms: int) -> list[Record]:
    return [SourceWatermark(source, watermark_ms) for source in range(SOURCES)]


@given(RECORDS, st.lists(st.integers(0, 1_000), max_size=6))
def test_any_cut_into_commits_gives_the_same_totals(records: list[Record], points: list[int]) -> None:
    assert written(*cut(records, points)).figures() == written(records).figures()


@given(st.lists(DELTAS, max_size=40), st.integers(0, 2**32))
def test_without_release_the_totals_are_the_plain_sums_in_any_order(deltas: list[Delta], seed: int) -> None:
    expected: Counter[TotalKey] = Counter()
    for project_id, delta in deltas:
        for minute in delta.minutes:
            for window in CALENDAR.windows_at(minute.start_ms):
                expected[TotalKey(project_id, window.kind, window.start_ms)] += minute.fen
    random.Random(seed).shuffle(deltas)
    assert {key: total.fen for key, total in written(list(deltas)).totals.items()} == expected


@given(RECORDS, RECORDS)
def test_a_state_restored_from_its_topic_goes_on_as_if_nothing_had_happened(
    before: list[Record], after: list[Record]
) -> None:
    topic, state = Topic(), fresh_state()
    topic.write(fold(state, before))
    restored = topic.restored(state.watermarks.encode())
    assert fold(restored, after).totals == fold(state, after).totals


def test_a_watermark_that_rose_without_a_total_being_published_is_restored_too() -> None:
    state, topic = fresh_state(), Topic()
    topic.write(fold(state, both(SOME_DAY_MS + HOUR_MS)))
    minute = fold(topic.restored(state.watermarks.encode()), [one(3)]).totals[0]
    assert (minute.final, minute.late_fen) == (True, 3)


@given(RECORDS)
def test_days_and_longer_hold_every_donation_however_late(records: list[Record]) -> None:
    topic = written(*[[record] for record in records])
    given_fen = sum(m.fen for record in records if isinstance(record, tuple) for m in record[1].minutes)
    for kind in (WindowKind.DAY, WindowKind.MONTH, WindowKind.YEAR, WindowKind.ALL):
        assert sum(total.fen for key, total in topic.totals.items() if key.window is kind) == given_fen


def test_a_delta_counts_in_all_six_windows() -> None:
    topic = written([one(7, donations=3)])
    assert Counter(key.window for key in topic.totals) == dict.fromkeys(WindowKind, 1)
    assert all((total.fen, total.donations, total.revision) == (7, 3, 1) for total in topic.totals.values())


def test_a_window_is_final_when_the_watermark_has_reached_its_end() -> None:
    state = fresh_state()
    topic = Topic()
    topic.write(fold(state, [one(5), *both(SOME_DAY_MS + MINUTE_MS - 1)]))
    minute = TotalKey("P1", WindowKind.MINUTE, SOME_DAY_MS)
    assert not topic.totals[minute].final
    topic.write(fold(state, both(SOME_DAY_MS + MINUTE_MS)))
    assert topic.totals[minute].final
    assert [key.window for key, total in topic.totals.items() if total.final] == [WindowKind.MINUTE]


def test_what_comes_after_the_end_counts_and_shows_as_late() -> None:
    state, topic = fresh_state(), Topic()
    topic.write(fold(state, [one(5), *both(SOME_DAY_MS + MINUTE_MS)]))
    outcome = fold(state, [one(3)])
    topic.write(outcome)
    minute = topic.totals[TotalKey("P1", WindowKind.MINUTE, SOME_DAY_MS)]
    assert (minute.fen, minute.late_fen, minute.final, minute.revision) == (8, 3, True, 2)
    hour = topic.totals[TotalKey("P1", WindowKind.HOUR, SOME_DAY_MS)]
    assert (hour.fen, hour.late_fen) == (8, 0)
    assert outcome.late_donations == 1


def test_a_first_donation_that_is_late_opens_a_window_that_is_final() -> None:
    topic = written([*both(SOME_DAY_MS + MINUTE_MS), one(3)])
    minute = topic.totals[TotalKey("P1", WindowKind.MINUTE, SOME_DAY_MS)]
    assert (minute.fen, minute.late_fen, minute.final) == (3, 3, True)


def test_a_minute_is_released_after_its_retention_and_what_still_comes_counts_in_longer_windows() -> None:
    state, topic = fresh_state(), Topic()
    topic.write(fold(state, [one(5), *both(SOME_DAY_MS + MINUTE_MS + 2 * HOUR_MS)]))
    assert TotalKey("P1", WindowKind.MINUTE, SOME_DAY_MS) not in topic.totals
    outcome = fold(state, [one(3, donations=2)])
    topic.write(outcome)
    assert outcome.released_donations == 2
    assert TotalKey("P1", WindowKind.MINUTE, SOME_DAY_MS) not in topic.totals
    hour = topic.totals[TotalKey("P1", WindowKind.HOUR, SOME_DAY_MS)]
    assert (hour.fen, hour.late_fen) == (8, 3)


def test_a_released_window_stays_released_even_if_the_watermark_is_lost() -> None:
    state = fresh_state()
    first = fold(state, [one(5), *both(SOME_DAY_MS)])
    release = fold(state, both(SOME_DAY_MS + MINUTE_MS + 2 * HOUR_MS))
    restored = fresh_state()
    for total in [*first.totals, *release.totals]:
        restored.restore(total)
    for key in release.tombstones:
        restored.forget(key)
    restored.finish_restore()
    assert WindowKind.MINUTE not in {total.window for total in fold(restored, [one(3)]).totals}


def test_memory_holds_only_what_is_not_released() -> None:
    state = fresh_state()
    for day in range(30):
        start_ms = SOME_DAY_MS + day * DAY_MS
        fold(state, [one(1, start_ms + minute * MINUTE_MS) for minute in range(0, 1_440, 10)])
        fold(state, both(start_ms + DAY_MS))
    sizes = state.table_sizes()
    assert sizes[WindowKind.MINUTE] <= 2 * 6  # two hours of them
    assert sizes[WindowKind.HOUR] <= 3 * 24
    assert sizes[WindowKind.DAY] == 30


def test_a_commit_with_nothing_new_publishes_nothing() -> None:
    state = fresh_state()
    fold(state, [one(1)])
    assert fold(state, both(SOME_DAY_MS)) == TotalsOutcome(totals=[])
