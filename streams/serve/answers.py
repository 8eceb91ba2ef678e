"""What the API says: the shapes of its answers and questions, from which the OpenAPI document is generated too.

Amounts are integers of fen and may pass 2^53, over all projects even 2^63; times are integers of milliseconds.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.fields import Count, Fen, Id, TimeMs
from schemas.limits import EVENT_TIME_MAX_MS
from schemas.totals import ProjectTotal, WindowKind
from streams.serve import limits
from streams.serve.names import Ranked

AnyFen = Annotated[
    int, Meta(ge=0, description="Fen, 1/100 yuan. Over all projects it may pass even 2^63: read it as a BigInt.")
]


class Progress(Struct, frozen=True):
    """How far a server that was just started has read back: records of the topics."""

    read: Count
    of: Count


class Status(Struct, frozen=True, kw_only=True):
    """How fresh the figures are. All orders that had come by `as_of_ms` are in them."""

    state: Literal["rebuilding", "live"]
    as_of_ms: Annotated[
        TimeMs | None, Meta(description="Everything ordered until then is counted. Null: not known yet.")
    ]
    behind_ms: Annotated[
        Count | None, Meta(description="From `as_of_ms` to now; some two seconds where all is well. Null: not known.")
    ]
    now_ms: TimeMs
    watermark_ms: TimeMs
    broker_answers: bool
    position: Annotated[Count, Meta(description="How many offsets of the topics have been read; only grows.")]
    rebuilding: Progress | None
    unreadable: Annotated[Count, Meta(description="Records that are no totals or projects, and were left out.")]
    time_zone: str


class WindowSum(Struct, frozen=True):
    """What all projects together received in one window. `fen` is null where the window has been released."""

    window: WindowKind
    start_ms: TimeMs
    end_ms: TimeMs | None
    start: str | None
    fen: AnyFen | None
    donations: Annotated[int, Meta(ge=0)] | None


class Point(Struct, frozen=True, array_like=True):
    """A minute or an hour in a chart: `[start_ms, fen, donations]`."""

    start_ms: TimeMs
    fen: AnyFen
    donations: Annotated[int, Meta(ge=0)]


class Overview(Struct, frozen=True, kw_only=True):
    """All that the first page shows. `at_ms` is the present, or the newest day that has donations, if that is past."""

    status: Status
    at_ms: TimeMs
    is_present: bool
    year: WindowSum
    month: WindowSum
    day: WindowSum
    all: WindowSum
    minutes: Annotated[list[Point], Meta(description="Of the day, those with donations; in an event the last ones.")]
    top_day: list[Ranked]
    top_year: list[Ranked]


class Day(Struct, frozen=True, kw_only=True):
    """One day of all projects. `hours` and `minutes` are null where they've been released."""

    date: str
    day: WindowSum
    hours: list[Point] | None
    minutes: list[Point] | None
    top: list[Ranked]
    previous: str | None
    next: str | None


class Sums(Struct, frozen=True):
    """Sums over all projects, by window, oldest first. `next_from_ms` asks for more."""

    sums: list[WindowSum]
    next_from_ms: TimeMs | None


class Top(Struct, frozen=True):
    """The projects that received most in a window, greatest first."""

    window: WindowSum
    projects: list[Ranked]


class Projects(Struct, frozen=True):
    """Projects that a search found, by what they received in all."""

    projects: list[Ranked]
    next_offset: int | None


class ProjectAnswer(Struct, frozen=True, kw_only=True):
    """One project: what is known of it, and its current windows; `totals` holds those that have donations."""

    status: Status
    project_id: str
    name: str | None
    charity: str
    goal_fen: Fen | None
    description: str
    totals: list[ProjectTotal]


class Totals(Struct, frozen=True):
    """A project's totals of one kind of window, oldest first, as they stand on `project-totals`."""

    totals: list[ProjectTotal]
    next_from_ms: TimeMs | None


class Problem(Struct, frozen=True):
    """Why there is no answer."""

    error: str
    rebuilding: Progress | None = None


# Questions: the parameters of each path.

Limit = Annotated[int, Meta(ge=1, le=limits.ROWS_MAX)]
FromMs = Annotated[int, Meta(ge=0, le=EVENT_TIME_MAX_MS + 1)]


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class AskSums(Struct, frozen=True, forbid_unknown_fields=True):
    """Windows of a kind that start in [`from_ms`, `to_ms`)."""

    window: WindowKind
    from_ms: FromMs = 0
    to_ms: FromMs = EVENT_TIME_MAX_MS + 1
    limit: Limit = limits.ROWS_DEFAULT


class AskTop(Struct, frozen=True, forbid_unknown_fields=True):
    """The window of a kind that holds `at_ms`; without it: the present one."""

    window: WindowKind
    at_ms: Annotated[int, Meta(ge=0, le=EVENT_TIME_MAX_MS)] | None = None
    limit: Annotated[int, Meta(ge=1, le=limits.TOP_MAX)] = 10


class AskDay(Struct, frozen=True, forbid_unknown_fields=True):
    """A date in the deployment's zone; without it: the one that the overview shows."""

    date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None


class AskProjects(Struct, frozen=True, forbid_unknown_fields=True):
    """Every word of `search` must stand in the project's name, charity or id; upper and lower case are the same."""

    search: Annotated[str, Meta(max_length=limits.SEARCH_MAX_CHARACTERS)] = ""
    limit: Annotated[int, Meta(ge=1, le=limits.TOP_MAX)] = 20
    offset: Annotated[int, Meta(ge=0, le=limits.SEARCH_OFFSET_MAX)] = 0


class AskProject(Struct, frozen=True, forbid_unknown_fields=True):
    """A project by its id."""

    id: Id


class AskTotals(Struct, frozen=True, forbid_unknown_fields=True):
    """A project's windows of a kind that start in [`from_ms`, `to_ms`)."""

    id: Id
    window: WindowKind
    from_ms: FromMs = 0
    to_ms: FromMs = EVENT_TIME_MAX_MS + 1
    limit: Limit = limits.ROWS_DEFAULT


class AskStream(Struct, frozen=True, forbid_unknown_fields=True):
    """The events of one project; without it: those of the overview."""

    project: Id | None = None
