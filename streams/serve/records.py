"""Reads records of `project-totals` and `projects` as strictly as if a stranger had written them.

What stands under another key than its own, or in a window that no calendar has, is no total: it would be counted beside
the real one. Pure; nothing is kept but windows that were found to exist.
"""

from datetime import datetime, timedelta

import msgspec

from schemas.fields import is_id
from schemas.project import Project, decode_project
from schemas.totals import ProjectTotal, TotalKey, WindowKind, decode_total, decode_total_key, key_of
from schemas.units import MINUTE_MS
from streams.domain.windows import Calendar, Window
from streams.errors import UserError

RELEASED = frozenset({WindowKind.MINUTE, WindowKind.HOUR})  # the others stay for ever


class Unreadable(Exception):  # noqa: N818 - no error of ours: whoever wrote it is at fault
    """Not what belongs on the topic."""


class RecordReader:
    """Reads the records of one zone's totals."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._windows: dict[tuple[WindowKind, int], Window] = {}

    def total(self, key: bytes | None, value: bytes) -> ProjectTotal:
        """A total. Raises Unreadable; UserError if it is one of another zone."""
        try:
            total = decode_total(value)
        except msgspec.DecodeError as error:
            raise Unreadable from error
        if key_of(total).encode() != key or not is_id(total.project_id):
            raise Unreadable
        self._check_window(total)
        return total

    def released(self, key: bytes | None) -> TotalKey:
        """The total that a tombstone says goodbye to. Raises Unreadable."""
        try:
            found = decode_total_key(key or b"")
            if found.window not in RELEASED:
                raise Unreadable
            self._calendar.window_from_start(found.window, found.start_ms)
        except ValueError as error:
            raise Unreadable from error
        return found

    def forget(self, place: tuple[WindowKind, int]) -> None:
        """A window that is gone."""
        self._windows.pop(place, None)

    def _check_window(self, total: ProjectTotal) -> None:
        kind, start_ms = total.window, total.start_ms
        if kind is WindowKind.ALL:
            if (start_ms, total.end_ms, total.start) != (0, None, None):
                raise Unreadable
            return
        if kind is WindowKind.MINUTE:  # every zone's; there are too many to note
            if start_ms % MINUTE_MS or total.end_ms != start_ms + MINUTE_MS:
                raise Unreadable
            return
        window = self._windows.get((kind, start_ms))
        if window is None:
            window = self._new_window(total)
        if window.end_ms != total.end_ms:
            raise self._of_another_zone(total)

    def _new_window(self, total: ProjectTotal) -> Window:
        try:
            window = self._calendar.window_from_start(total.window, total.start_ms)
        except ValueError:
            if _is_of_a_zone(total) and not self._has_our_offset(total):
                raise self._of_another_zone(total) from None
            raise Unreadable from None
        return self._windows.setdefault((window.kind, window.start_ms), window)

    def _has_our_offset(self, total: ProjectTotal) -> bool:
        minute = self._calendar.window_at(WindowKind.MINUTE, total.start_ms)
        return minute.start is not None and minute.start[-6:] == (total.start or "")[-6:]

    def _of_another_zone(self, total: ProjectTotal) -> UserError:
        return UserError(
            f"the totals are not of zone {self._calendar.timezone}: a {total.window} begins at {total.start}. "
            "Set EVERYCENT_TIMEZONE as the workers have it."
        )


def _is_of_a_zone(total: ProjectTotal) -> bool:
    """True if `start` is a text of `start_ms`, a full hour or the like of some zone; not if it is nonsense."""
    try:
        start = datetime.fromisoformat(total.start or "")
    except ValueError:
        return False
    if start.tzinfo is None or total.end_ms is None or total.end_ms <= total.start_ms:
        return False
    return (start - _EPOCH) // timedelta(milliseconds=1) == total.start_ms and not start.second and start.minute == 0


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def read_project_id(key: bytes | None) -> str:
    """The id under which a project stands. Raises Unreadable."""
    try:
        project_id = (key or b"").decode()
    except UnicodeDecodeError as error:
        raise Unreadable from error
    if not is_id(project_id):
        raise Unreadable
    return project_id


def read_project(project_id: str, value: bytes) -> Project:
    """A project. Raises Unreadable."""
    try:
        project = decode_project(value)
    except msgspec.DecodeError as error:
        raise Unreadable from error
    if project.project_id != project_id:
        raise Unreadable
    return project
