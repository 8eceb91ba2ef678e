import pytest

from schemas.totals import WindowKind
from schemas.units import DAY_MS, HOUR_MS, MINUTE_MS
from streams.serve.answers import AskDay, AskProjects, AskSums, AskTop, AskTotals, Point
from streams.serve.state import NotFoundError
from tests.serve.parts import LUNCH, NOON_MS, Log, live_state, take


def test_the_overview_is_of_today_where_today_has_donations(tmp_path):
    records = Log().commit(("P1", NOON_MS - DAY_MS, 100), ("P1", NOON_MS, 5), ("P2", NOON_MS + MINUTE_MS, 7))
    overview = live_state(tmp_path, records, [LUNCH]).overview(NOON_MS + HOUR_MS)
    assert (overview.is_present, overview.at_ms) == (True, NOON_MS + HOUR_MS)
    assert (overview.day.fen, overview.month.fen, overview.year.fen, overview.all.fen) == (12, 112, 112, 112)
    assert overview.minutes == [Point(NOON_MS, 5, 1), Point(NOON_MS + MINUTE_MS, 7, 1)]
    assert [(each.project_id, each.name) for each in overview.top_day] == [("P2", None), ("P1", LUNCH.name)]
    assert [each.project_id for each in overview.top_year] == ["P1", "P2"]


def test_else_it_is_of_the_newest_day_that_has_some_and_says_so(tmp_path):
    overview = live_state(tmp_path, Log().commit(("P1", NOON_MS, 5))).overview(NOON_MS + 400 * DAY_MS)
    assert not overview.is_present
    assert (overview.day.start, overview.day.fen) == ("2020-11-11T00:00:00+08:00", 5)
    assert overview.minutes == [Point(NOON_MS, 5, 1)]


def test_an_empty_deployment_shows_zeros_of_the_present(tmp_path):
    overview = live_state(tmp_path).overview(NOON_MS)
    assert overview.is_present
    assert (overview.year.fen, overview.year.donations, overview.top_day, overview.minutes) == (0, 0, [], [])


def test_an_event_holds_the_last_minutes_only(tmp_path):
    records = Log().commit(("P1", NOON_MS, 5), ("P1", NOON_MS + 2 * HOUR_MS, 6))
    overview = live_state(tmp_path, records).overview(NOON_MS + 2 * HOUR_MS + 1, recent=True)
    assert overview.minutes == [Point(NOON_MS + 2 * HOUR_MS, 6, 1)]


def test_a_day_has_its_hours_and_minutes_until_they_are_released(tmp_path):
    log = Log()
    state = live_state(tmp_path, log.commit(("P1", NOON_MS, 5), ("P1", NOON_MS + HOUR_MS, 6)))
    day = state.day(AskDay("2020-11-11"), NOON_MS)
    assert day.hours == [Point(NOON_MS, 5, 1), Point(NOON_MS + HOUR_MS, 6, 1)]
    assert day.minutes == day.hours
    assert (day.previous, day.next, day.top[0].fen) == ("2020-11-10", "2020-11-12", 11)
    take(state, log.commit(("P1", NOON_MS + 4 * HOUR_MS, 1), watermark_ms=NOON_MS + 4 * HOUR_MS))
    day = state.day(AskDay("2020-11-11"), NOON_MS)
    assert day.minutes is None
    assert day.hours is not None
    take(state, log.commit(("P1", NOON_MS + 4 * DAY_MS, 1), watermark_ms=NOON_MS + 4 * DAY_MS))
    day = state.day(AskDay("2020-11-11"), NOON_MS)
    assert (day.hours, day.minutes, day.day.fen) == (None, None, 12)


def test_a_day_without_a_date_is_the_one_of_the_overview(tmp_path):
    assert (
        live_state(tmp_path, Log().commit(("P1", NOON_MS, 5))).day(AskDay(), NOON_MS + 99 * DAY_MS).date == "2020-11-11"
    )


@pytest.mark.parametrize("text", ["2020-02-30", "0000-01-01", "1969-12-31", "9999-13-01"])
def test_a_day_that_does_not_exist_is_not_found(tmp_path, text):
    with pytest.raises(NotFoundError, match=text):
        live_state(tmp_path).day(AskDay(text), NOON_MS)


@pytest.mark.parametrize("text", ["1970-01-01", "2024-02-29", "9999-12-31"])
def test_every_day_of_the_time_line_can_be_asked_for(tmp_path, text):
    assert live_state(tmp_path).day(AskDay(text), NOON_MS).date == text


def test_sums_come_in_parts_in_their_order(tmp_path):
    state = live_state(tmp_path, Log().commit(*(("P1", NOON_MS + n * DAY_MS, n + 1) for n in range(5))))
    first = state.sums(AskSums(WindowKind.DAY, limit=3))
    rest = state.sums(AskSums(WindowKind.DAY, from_ms=first.next_from_ms, limit=3))
    assert [each.fen for each in first.sums + rest.sums] == [1, 2, 3, 4, 5]
    assert rest.next_from_ms is None
    assert state.sums(AskSums(WindowKind.DAY, to_ms=first.sums[1].start_ms)).sums == first.sums[:1]
    assert [each.fen for each in state.sums(AskSums(WindowKind.ALL)).sums] == [15]


def test_the_top_of_a_released_window_is_not_shown(tmp_path):
    log = Log()
    state = live_state(tmp_path, log.commit(("P1", NOON_MS, 5)))
    assert state.top(AskTop(WindowKind.MINUTE, NOON_MS), NOON_MS).projects
    take(state, log.commit(("P1", NOON_MS + 4 * HOUR_MS, 1), watermark_ms=NOON_MS + 4 * HOUR_MS))
    top = state.top(AskTop(WindowKind.MINUTE, NOON_MS), NOON_MS)
    assert (top.projects, top.window.fen, top.window.donations) == ([], None, None)


def test_a_project_is_found_by_its_reference_or_by_a_donation(tmp_path):
    state = live_state(tmp_path, Log().commit(("bare/id?", NOON_MS, 5)), [LUNCH])
    assert state.project("P1", NOON_MS).totals == []
    assert state.project("P1", NOON_MS).goal_fen == LUNCH.goal_fen
    bare = state.project("bare/id?", NOON_MS)
    assert (bare.name, [total.window for total in bare.totals]) == (None, list(WindowKind))
    with pytest.raises(NotFoundError):
        state.project("P3", NOON_MS)
    with pytest.raises(NotFoundError):
        state.totals(AskTotals("P3", WindowKind.DAY))


def test_a_projects_totals_and_a_search_come_in_parts(tmp_path):
    donations = [("P1", NOON_MS + n * DAY_MS, 1) for n in range(3)] + [("P2", NOON_MS, 1), ("P3", NOON_MS, 1)]
    state = live_state(tmp_path, Log().commit(*donations))
    first = state.totals(AskTotals("P1", WindowKind.DAY, limit=2))
    rest = state.totals(AskTotals("P1", WindowKind.DAY, from_ms=first.next_from_ms, limit=2))
    assert (len(first.totals), len(rest.totals), rest.next_from_ms) == (2, 1, None)
    page = state.projects(AskProjects(limit=2))
    assert [each.project_id for each in page.projects] == ["P1", "P2"]
    last = state.projects(AskProjects(limit=2, offset=page.next_offset))
    assert ([each.project_id for each in last.projects], last.next_offset) == (["P3"], None)
