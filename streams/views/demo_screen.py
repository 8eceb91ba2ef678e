"""How the demo looks: pure functions from one frozen snapshot to a screen, or to a line where there is no terminal."""

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from schemas.totals import ProjectTotal
from streams.views.demo_watch import Figures
from streams.views.money import format_yuan

FIXED_LINES = 14  # of the screen, without the projects; verdict and hint take two each at 80 columns
SPARE_LINES = 3  # above the screen, for what is said while it stands
BAR_WIDTH_MAX = 40
BAR_WIDTH_MIN = 10
NAME_WIDTH = 11
COUNT_WIDTH = 13  # 9,999,999,999


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker's place; `pid` None: it has died and will be started again."""

    number: int
    pid: int | None


@dataclass(frozen=True, slots=True)
class DemoSnapshot:
    """All that is shown at one moment. `orders_wanted` None: a load without end."""

    phase: str
    elapsed_s: int
    orders_wanted: int | None
    figures: Figures
    sent_per_second: int
    processed_per_second: int
    workers: tuple[WorkerState, ...]
    hint: str = ""
    verdict: str = ""

    @property
    def workers_alive(self) -> int:
        return sum(worker.pid is not None for worker in self.workers)


def render(snapshot: DemoSnapshot, width: int, height: int) -> RenderableType:
    """The whole screen, with as many projects as there is room for."""
    room = max(0, height - FIXED_LINES - SPARE_LINES)
    title = f"everycent demo: {snapshot.phase}, {clock_text(snapshot.elapsed_s)}"
    return Group(
        Rule(Text(title, style="bold"), align="left"),
        *([Text(snapshot.verdict, style="bold green")] if snapshot.verdict else []),
        _figures_table(snapshot, width),
        Text(),
        _projects_table(snapshot.figures.top[:room]),
        Text(),
        Text(snapshot.hint, style="dim"),
    )


def plain_line(snapshot: DemoSnapshot) -> str:
    """One moment in one line."""
    figures = snapshot.figures
    wanted = "" if snapshot.orders_wanted is None else f" of {snapshot.orders_wanted:,}"
    return (
        f"[{clock_text(snapshot.elapsed_s)}] {snapshot.phase}: {figures.sent:,}{wanted} orders sent, "
        f"{figures.processed:,} processed ({snapshot.processed_per_second:,}/s), lag {figures.lag:,}, "
        f"{figures.donations:,} donations, {format_yuan(figures.fen)} yuan, "
        f"{snapshot.workers_alive} of {len(snapshot.workers)} workers"
    )


def top_line(figures: Figures, count: int) -> str:
    """The projects that got most, in one line."""
    parts = [f"{total.project_id} {format_yuan(total.fen)} yuan" for total in figures.top[:count]]
    return f"Most went to: {', '.join(parts)}."


def clock_text(seconds: int) -> str:
    """Seconds as minutes and seconds, `02:05`."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:02d}:{rest:02d}"


def _figures_table(snapshot: DemoSnapshot, width: int) -> Table:
    figures = snapshot.figures
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True, min_width=NAME_WIDTH)
    table.add_column(justify="right", no_wrap=True, min_width=COUNT_WIDTH)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for name, count, per_second in (
        ("orders sent", figures.sent, snapshot.sent_per_second),
        ("processed", figures.processed, snapshot.processed_per_second),
    ):
        table.add_row(name, f"{count:,}", _progress_text(per_second, count, snapshot.orders_wanted, width))
    table.add_row("lag", f"{figures.lag:,}", "orders that wait")
    table.add_row("donations", f"{figures.donations:,}", f"to {figures.projects:,} projects")
    table.add_row("yuan", Text(format_yuan(figures.fen), style="bold green"))
    table.add_row("workers", f"{snapshot.workers_alive} of {len(snapshot.workers)}", _workers_text(snapshot))
    return table


def _progress_text(per_second: int, count: int, wanted: int | None, width: int) -> Text:
    """The rate, and a bar where there is an end and room for it."""
    text = Text(f"{per_second:>8,}/s  ")
    room = min(BAR_WIDTH_MAX, width - NAME_WIDTH - COUNT_WIDTH - len(text) - 4)
    if wanted is not None and room >= BAR_WIDTH_MIN:
        done = min(room, room * count // wanted)
        text.append("━" * done, style="green").append("━" * (room - done), style="bright_black")
    return text


def _workers_text(snapshot: DemoSnapshot) -> Text:
    pids = [str(worker.pid) if worker.pid is not None else "starting again" for worker in snapshot.workers]
    text = f"pid {', '.join(pids)}"
    return Text(text, style="" if snapshot.workers_alive == len(snapshot.workers) else "bold red", overflow="ellipsis")


def _projects_table(top: tuple[ProjectTotal, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("top projects", min_width=NAME_WIDTH + 1)
    table.add_column("yuan", justify="right", min_width=COUNT_WIDTH - 1)
    table.add_column("donations", justify="right", min_width=COUNT_WIDTH)
    for total in top:
        table.add_row(Text(total.project_id), format_yuan(total.fen), f"{total.donations:,}")
    return table
