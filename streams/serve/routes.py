"""The paths of the API, each with its question, its answer and what it is for. Handlers and OpenAPI both go by it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from streams.serve import answers
from streams.serve.state import State

BASE = "/api/v1"


@dataclass(frozen=True, slots=True)
class Route:
    """One path. `answer` makes its answer of the state, the question and the present, ms."""

    path: str
    summary: str
    question: type[Struct]
    shape: type[Struct]
    answer: Callable[[State, Any, int], Struct]
    needs_figures: bool = True
    """False: it answers also while the totals are read back."""
    is_slow: bool = False
    """It is made in a thread, and must touch nothing but what is made for that."""


ROUTES = (
    Route(
        "/status",
        "How fresh the figures are",
        answers.Nothing,
        answers.Status,
        lambda state, _, now_ms: state.status(now_ms),
        needs_figures=False,
    ),
    Route(
        "/overview",
        "What the first page shows",
        answers.Nothing,
        answers.Overview,
        lambda state, _, now_ms: state.overview(now_ms),
    ),
    Route(
        "/sums",
        "Sums over all projects, by window",
        answers.AskSums,
        answers.Sums,
        lambda state, ask, _: state.sums(ask),
    ),
    Route(
        "/top",
        "The projects that received most in a window",
        answers.AskTop,
        answers.Top,
        lambda state, ask, now_ms: state.top(ask, now_ms),
    ),
    Route(
        "/day",
        "One day of all projects",
        answers.AskDay,
        answers.Day,
        lambda state, ask, now_ms: state.day(ask, now_ms),
    ),
    Route(
        "/projects",
        "Search projects by name, charity or id",
        answers.AskProjects,
        answers.Projects,
        lambda state, ask, _: state.projects(ask),
        is_slow=True,
    ),
    Route(
        "/project",
        "One project and its current windows",
        answers.AskProject,
        answers.ProjectAnswer,
        lambda state, ask, now_ms: state.project(ask.id, now_ms),
    ),
    Route(
        "/project/totals",
        "A project's totals by window and time range",
        answers.AskTotals,
        answers.Totals,
        lambda state, ask, _: state.totals(ask),
    ),
)

STREAM_PATH = f"{BASE}/stream"
STREAM_QUESTION = answers.AskStream
STREAM_EVENTS: dict[str, type[Struct]] = {
    "overview": answers.Overview,
    "project": answers.ProjectAnswer,
    "status": answers.Status,
}
OPENAPI_PATH = f"{BASE}/openapi.json"
