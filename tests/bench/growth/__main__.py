"""`make growth` = `python -m tests.bench.growth`: how the cost of an order grows, as one JSON file and its plots.

Progress goes to stderr. Kafka is an embedded one of its own, whose CPU and disk are measured too. Exit status: 0
measured and nothing grows worse than linearly, 1 something does or an output was wrong, 2 it couldn't be measured.
"""

import asyncio
import json
import signal
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.errors import ExitStatus, UserError
from streams.logs import configure_logs
from streams.native import extension
from streams.settings import load_settings
from tests.bench import machine
from tests.bench.growth.page import fill
from tests.bench.growth.plots import GROWTH_FILE, PLOTS_FOLDER, draw_all
from tests.bench.growth.run import Broker, embedded_broker, run_shape
from tests.bench.growth.steps import BACKLOG_LONG, BASE_ORDERS, Step, judgement, point, steps
from tests.bench.options import say

PAGE = GROWTH_FILE.parents[1] / "growth.md"
FORMAT = 1


def growth(
    *,
    orders: Annotated[int, typer.Option(min=100, help="Orders of a run of small orders; of large ones fewer.")] = (
        BASE_ORDERS
    ),
    longest_backlog: Annotated[
        int, typer.Option(min=100, help="The longest backlog; 100000000 takes half an hour and 10 GB of disk more.")
    ] = 10_000_000,
    runs: Annotated[int, typer.Option(min=1, max=100, help="Runs of each size; the longest backlogs run once.")] = 2,
    only: Annotated[list[str] | None, typer.Option(help="Only this step, such as partitions; may be repeated.")] = None,
    up_to: Annotated[int | None, typer.Option(min=1, help="Leave out sizes beyond this one.")] = None,
    out: Annotated[Path, typer.Option(help="Where the figures go; steps not measured now stay as they are there.")] = (
        GROWTH_FILE
    ),
    plots: Annotated[Path, typer.Option(help="Folder of the plots.")] = PLOTS_FOLDER,
    plots_only: Annotated[bool, typer.Option("--plots-only", help="Draw and write what was measured before.")] = False,
) -> None:
    """Measure how the cost of an order grows with partitions, projects, lines, size, workers and backlog, and plot it.

    Example: python -m tests.bench.growth --only partitions --only projects --runs 3
    """
    if plots_only:
        _show(_kept(out), plots, page=out == GROWTH_FILE)
        return
    chosen = steps(orders, longest_backlog)
    if unknown := set(only or []) - {step.name for step in chosen}:
        raise UserError(f"no step {min(unknown)!r}; there are {', '.join(step.name for step in chosen)}")
    chosen = [cut(step, up_to) for step in chosen if not only or step.name in only]
    settings = load_settings()
    configure_logs(settings.model_copy(update={"log_level": "warning"}))
    with tempfile.TemporaryDirectory(prefix="everycent-growth-") as folder, embedded_broker(Path(folder)) as embedded:
        broker = Broker.of(embedded)
        for step in chosen:
            measured = {
                "command": " ".join(["python -m tests.bench.growth", *sys.argv[1:]]),
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": machine.facts(embedded_broker=True),
                "extension": extension is not None,
                **measure(broker, step, runs),
            }
            document = _kept(out)
            made = document["steps"] | {step.name: measured}
            document["steps"] = {each.name: made[each.name] for each in steps() if each.name in made}
            _write(out, document)
    document = _kept(out)
    _show(document, plots, page=out == GROWTH_FILE)
    worse = _worse(document)
    for line in worse:
        say(f"WORSE THAN LINEAR: {line}")
    if worse:
        raise typer.Exit(1)


def cut(step: Step, up_to: int | None) -> Step:
    return (
        step if up_to is None else replace(step, shapes={at: each for at, each in step.shapes.items() if at <= up_to})
    )


def measure(broker: Broker, step: Step, runs: int) -> dict[str, Any]:
    """All sizes of a step, in turn, so that what else the machine does falls on each alike."""
    made: dict[int, list[dict[str, Any]]] = {value: [] for value in step.shapes}
    started = time.monotonic()
    for number in range(1, runs + 1):
        for value, shape in step.shapes.items():
            if number > 1 and shape.orders > BACKLOG_LONG:
                continue
            say(f"{step.name} {value:,}, run {number} of {runs}: {shape.orders:,} orders")
            run = asyncio.run(run_shape(broker, shape))
            if run["differences"]:
                raise UserError(f"{step.name} {value}: wrong output, so nothing counts: {run['differences'][0]}")
            made[value].append(run)
    points = [point(value, of_value) for value, of_value in made.items()]
    return {
        "title": step.title,
        "unit": step.unit,
        "is_length": step.is_length,
        "took_seconds": round(time.monotonic() - started, 1),
        "points": points,
        "judgement": judgement(points, is_length=step.is_length),
        "runs": [run for of_value in made.values() for run in of_value],
    }


def _kept(path: Path) -> dict[str, Any]:
    """What was measured before."""
    found: dict[str, Any] = {"format": FORMAT, "steps": {}}
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else found


def _show(document: dict[str, Any], plots: Path, *, page: bool) -> None:
    """Draw the plots, and write the figures into docs/growth.md where they are those that are kept."""
    draw_all(document, plots)
    if page:
        PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")


def _worse(document: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {figure} grows with the exponents {found['exponents']}"
        for name, step in document["steps"].items()
        for figure, found in step["judgement"].items()
        if not found["is_at_most_linear"]
    ]


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".part")
    whole.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    whole.replace(path)


def main() -> None:
    # Told to end, we first end what we started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(growth)
    try:
        app()
    except UserError as error:
        say(f"growth: {error}")
        sys.exit(int(ExitStatus.UNUSABLE))


if __name__ == "__main__":
    main()
