"""Released windows and restarts: what has a tombstone stays away, whatever else was lost."""

import pytest

from schemas.delta import MinuteSum, ProjectDelta, SourceWatermark
from schemas.totals import ProjectTotal, TotalKey, WindowKind, key_of
from streams.domain.totals import TotalsState
from streams.domain.windows import Calendar
from tests.domain.orders import SOME_DAY_MS

CALENDAR = Calendar("Asia/Shanghai")
HOUR_MS = 3_600_000
RETENTION_MS = {WindowKind.MINUTE: HOUR_MS, WindowKind.HOUR: 2 * HOUR_MS}
THE_HOUR = TotalKey("P1", WindowKind.HOUR, SOME_DAY_MS)


def gift(fen: int, project_id: str = "P1") -> tuple[str, ProjectDelta]:
    return project_id, ProjectDelta((MinuteSum(SOME_DAY_MS, fen, 1),))


def commit(state: TotalsState, *records: SourceWatermark | tuple[str, ProjectDelta]) -> list[ProjectTotal | TotalKey]:
    """What one commit writes, in order; a key alone is a tombstone."""
    for record in records:
        if isinstance(record, SourceWatermark):
            state.advance(record)
        else:
            state.add_delta(*record)
    outcome = state.take_outcome()
    return [*outcome.totals, *outcome.tombstones]


def restored(topic: list[ProjectTotal | TotalKey], metadata: str) -> TotalsState:
    state = TotalsState(CALENDAR, 1, RETENTION_MS)
    for record in topic:
        if isinstance(record, TotalKey):
            state.forget(record)
        else:
            state.restore(record)
    state.watermarks.restore(metadata)
    state.finish_restore()
    return state


def released_hour() -> tuple[TotalsState, list[ProjectTotal | TotalKey]]:
    """A state whose last commit released an hour and published no total that would tell the watermark."""
    state = TotalsState(CALENDAR, 1, RETENTION_MS)
    topic = commit(state, gift(5), gift(6, "P2"))
    topic += commit(state, SourceWatermark(0, SOME_DAY_MS + HOUR_MS + 120_000))
    last = commit(state, SourceWatermark(0, SOME_DAY_MS + 3 * HOUR_MS))
    assert all(isinstance(record, TotalKey) for record in last)
    assert THE_HOUR in last
    return state, topic + last


@pytest.mark.parametrize("compacted", [False, True])
def test_a_released_window_stays_released_though_the_watermark_is_lost(compacted: bool) -> None:
    _, topic = released_hour()
    if compacted:
        tombstones = {record for record in topic if isinstance(record, TotalKey)}
        topic = [record for record in topic if isinstance(record, TotalKey) or key_of(record) not in tombstones]
    written = commit(restored(topic, ""), gift(7))
    assert {key_of(total).window: total.fen for total in written} == {
        WindowKind.DAY: 12,
        WindowKind.MONTH: 12,
        WindowKind.YEAR: 12,
        WindowKind.ALL: 12,
    }


def test_a_restored_watermark_says_all_that_tombstones_say() -> None:
    state, topic = released_hour()
    again = restored(topic, state.watermarks.encode())
    assert again._released == set()
    assert commit(again, gift(7)) == commit(state, gift(7))


def test_a_window_of_which_totals_are_left_is_not_released() -> None:
    """As where an earlier version took up a released window again."""
    state = restored([THE_HOUR, *commit(TotalsState(CALENDAR, 1, RETENTION_MS), gift(3))], "")
    hour = next(total for total in commit(state, gift(4)) if key_of(total) == THE_HOUR)
    assert hour.fen == 7
