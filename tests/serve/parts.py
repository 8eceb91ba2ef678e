"""What the tests of the server share: totals as the real fold writes them, and a state that has read them."""

from schemas.delta import MinuteSum, ProjectDelta, SourceWatermark
from schemas.project import Project, encode_project
from schemas.totals import WindowKind, encode_total, key_of
from schemas.units import HOUR_MS, MINUTE_MS
from streams.domain.totals import TotalsState
from streams.domain.windows import Calendar
from streams.serve.index import TotalsIndex
from streams.serve.state import State
from streams.settings import Settings

ZONE = "Asia/Shanghai"
NOON_MS = 1_605_067_200_000  # 2020-11-11T12:00:00+08:00
SETTINGS = Settings(minute_retention_hours=2, hour_retention_hours=24)
RETENTION_MS = {
    WindowKind.MINUTE: SETTINGS.minute_retention_hours * HOUR_MS,
    WindowKind.HOUR: SETTINGS.hour_retention_hours * HOUR_MS,
}


class Log:
    """One partition of `project-totals`: what the fold has written to it, in its order."""

    def __init__(self, zone=ZONE):
        self.records = []
        self._fold = TotalsState(Calendar(zone), 1, RETENTION_MS)

    def commit(self, *donations, watermark_ms=0):
        """One commit of donations `(project, ms, fen)`; the new records."""
        for project, at_ms, fen in donations:
            minute = MinuteSum(at_ms - at_ms % MINUTE_MS, fen, 1)
            self._fold.add_delta(project, ProjectDelta((minute,)))
        if watermark_ms:
            self._fold.advance(SourceWatermark(0, watermark_ms, idle=False))
        outcome = self._fold.take_outcome()
        new = [(key_of(total).encode(), encode_total(total)) for total in outcome.totals]
        new += [(key.encode(), None) for key in outcome.tombstones]
        self.records += new
        return new


def open_index(folder, settings=SETTINGS):
    folder.mkdir(exist_ok=True)
    return TotalsIndex(folder, Calendar(settings.timezone), settings)


def take(state, records, projects=()):
    """As the follower does it; the ids of the projects that something came for."""
    named = {project.project_id.encode(): encode_project(project) for project in projects}
    applied = state.index.apply(records, named)
    state.index.publish(applied)
    state.position += len(records) + len(named)
    return applied.projects


def live_state(folder, records=(), projects=()):
    """A state that has read these and is live."""
    state = State(open_index(folder))
    take(state, records, projects)
    state.rebuilding = None
    return state


LUNCH = Project("P1", "免费午餐 Free Lunch", "乡村儿童基金会", 12_000_000, "A hot lunch.")
WATER = Project("P2", "Clear water", "Well & Spring")
