"""`make scale` = `python -m tests.bench.scale`: works the plan out, lets festival days go by, writes docs/scale.md.

The prices come from docs/measured/costs.json (`python -m tests.bench.scale.costs` measures them). Exit status: 0 the
planned workers carry the simulated day, 1 they don't, 2 no prices, or wrong arguments.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.errors import ExitStatus, UserError
from tests.bench.growth.plots import PLOTS_FOLDER
from tests.bench.options import say
from tests.bench.pages import number
from tests.bench.scale.costs import COSTS_FILE, load_costs
from tests.bench.scale.page import digest, fill
from tests.bench.scale.plan import SECTIONS, Plan, work_out
from tests.bench.scale.plots import draw_burst
from tests.bench.scale.simulation import Day, simulate

DAYS_FILE = COSTS_FILE.with_name("festival.json")
PAGE = COSTS_FILE.parents[1] / "scale.md"
FORMAT = 1
MINUTES_KEPT = 60


def scale(
    *,
    donations_a_year: Annotated[
        float | None, typer.Option(min=1, help="Work out another volume; prints the plan and writes nothing.")
    ] = None,
    partitions: Annotated[int | None, typer.Option(min=1, help="The same for another number of partitions.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated days.")] = 1,
    json_output: Annotated[bool, typer.Option("--json", help="The plan's quantities for programs.")] = False,
) -> None:
    """Work out what a year of donations asks for, check it by simulated festival days, and write docs/scale.md.

    Example: python -m tests.bench.scale --donations-a-year 1e9
    """
    given = {"donations_a_year": donations_a_year, "partitions": partitions}
    changed = {name: float(value) for name, value in given.items() if value is not None}
    costs = _costs()
    plan = work_out(costs, **changed)
    _show(plan, json_output=json_output)
    planned = int(plan["workers"])
    days = []
    for workers in (planned,) if changed else (planned, max(1, int(plan["burst_worker_cores"] * 0.6))):
        say(f"simulating a festival's day: {workers} workers, {plan['partitions']:,.0f} partitions, seed {seed}")
        days.append(_simulated(plan, Day(workers, seed)))
        verdict = "enough" if days[-1]["is_enough"] else "not enough"
        delays = ", ".join(f"{name} {value:g} s" for name, value in days[-1]["delay_s"].items())
        say(f"  {verdict}; the burst caught up after {days[-1]['burst_caught_up_s']} s; waits {delays}")
    if not changed:
        _write(costs, plan, days, seed)
    if not days[0]["is_enough"]:
        raise typer.Exit(1)


def _costs() -> dict[str, float]:
    try:
        return load_costs()
    except FileNotFoundError:
        raise UserError("no measured prices; make them with `python -m tests.bench.scale.costs`") from None


def _simulated(plan: Plan, day: Day) -> dict[str, Any]:
    outcome = simulate(plan, day)
    found = {"workers": day.workers, "seed": day.seed, **asdict(outcome), "is_enough": outcome.is_enough}
    for name in ("waiting_by_minute", "arrived_by_minute"):
        found[name] = found[name][:MINUTES_KEPT]
    return found


def _show(plan: Plan, *, json_output: bool) -> None:
    if json_output:
        print(json.dumps(plan.values, indent=1))
        return
    for section, lines in SECTIONS.items():
        print(section)
        for line in lines:
            print(f"  {line.name:28}{number(plan[line.name]):>16} {line.unit}")


def _write(costs: dict[str, float], plan: Plan, days: list[dict[str, Any]], seed: int) -> None:
    document = {"format": FORMAT, "command": "python -m tests.bench.scale", "seed": seed, "costs": digest(costs)}
    _write_text(DAYS_FILE, json.dumps(document | {"days": days}, indent=1) + "\n")
    PLOTS_FOLDER.mkdir(parents=True, exist_ok=True)
    draw_burst(days, PLOTS_FOLDER / "scale-burst.svg")
    costs_document = json.loads(COSTS_FILE.read_text(encoding="utf-8"))
    _write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), costs_document, plan, days))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def main() -> None:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(scale)
    try:
        app()
    except UserError as error:
        say(f"scale: {error}")
        sys.exit(int(ExitStatus.UNUSABLE))


if __name__ == "__main__":
    main()
