"""The generated parts of docs/scale.md: tables from the measured prices, the plan and the simulated days. Pure.

What stands around them is written by hand.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.bench.pages import fill_parts, number, table
from tests.bench.scale.plan import ASSUMPTIONS, SECTIONS, Plan, work_out
from tests.bench.scale.simulation import SAMPLE_S

PARTITION_CHOICES = ((64, 16), (256, 16), (1_000, 16), (1_000, 100), (1_000, 1_000))
CHOSEN_BY = ("burst_parts_s", "burst_worker_cores", "workers", "worker_gb", "restart_s", "brokers")


def fill(page: str, costs_document: Mapping[str, Any], plan: Plan, days: Sequence[Mapping[str, Any]]) -> str:
    """The page with its generated parts made anew. Raises ValueError if one has no place in it."""
    parts = {
        "measured": measured_on(costs_document),
        "costs": costs_table(costs_document),
        "assumptions": assumptions_table(),
        "days": days_table(days),
        "partitions": partitions_table({name: cost["value"] for name, cost in costs_document["costs"].items()}),
    }
    parts |= {
        name.lower().replace(",", "").replace("'", "").replace(" ", "-"): section_table(name, plan) for name in SECTIONS
    }
    return fill_parts(page, parts)


def digest(costs: Mapping[str, float]) -> str:
    """What days were simulated with."""
    return hashlib.sha256(json.dumps(dict(costs), sort_keys=True).encode()).hexdigest()


def measured_on(document: Mapping[str, Any]) -> str:
    """When, by which command and how busy a machine; a price from a busy one is too high."""
    lines = [
        f"- {name}: {facts['measured_at'][:10]}, `{facts['command']}`, load average "
        f"{facts['machine']['load_average'][0]:.0f} on {facts['machine']['cores']} cores"
        for name, facts in document["groups"].items()
    ]
    return "\n".join(lines)


def costs_table(document: Mapping[str, Any]) -> str:
    rows = [
        [f"`{name}`", number(cost["value"]), cost["unit"], cost["what"]] for name, cost in document["costs"].items()
    ]
    return table(["price", "value", "unit", "what"], rows)


def assumptions_table() -> str:
    rows = [[f"`{name}`", number(value), unit, what] for name, (value, unit, what) in ASSUMPTIONS.items()]
    return table(["assumption", "value", "unit", "what"], rows)


def partitions_table(costs: Mapping[str, float]) -> str:
    """What the same load asks for with other numbers of partitions."""
    rows = []
    for partitions, of_totals in PARTITION_CHOICES:
        plan = work_out(costs, partitions=partitions, totals_partitions=of_totals)
        rows.append([f"{partitions:,}", f"{of_totals:,}", *(number(plan[name]) for name in CHOSEN_BY)])
    names = [f"`{name}`" for name in CHOSEN_BY]
    return table(["of `orders`", "of the totals", *names], rows)


def section_table(name: str, plan: Plan) -> str:
    rows = [
        [f"`{line.name}`", f"**{number(plan[line.name])}**", line.unit, f"`{line.formula}`"] for line in SECTIONS[name]
    ]
    return table(["quantity", "value", "unit", "formula"], rows)


def days_table(days: Sequence[Mapping[str, Any]]) -> str:
    def row(title: str, show: Any) -> list[str]:
        return [title, *(show(day) for day in days)]

    def seconds(value: float | None) -> str:
        return "never" if value is None else f"{number(value)} s"

    def delay(name: str) -> Any:
        return lambda day: f"{number(day['delay_s'][name])} s" if day["delay_s"][name] else f"under {SAMPLE_S} s"

    names = [f"{day['workers']} workers" for day in days]
    rows = [
        row("orders that came", lambda day: f"{day['arrived']:,}"),
        row("done; still waiting at midnight", lambda day: f"{day['done']:,}; {day['waiting']:,}"),
        row("most that waited at once", lambda day: f"{day['most_waiting']:,}"),
        row("the burst was caught up after", lambda day: seconds(day["burst_caught_up_s"])),
        row("an order waited, p50", delay("p50")),
        row("p99", delay("p99")),
        row("p99.9", delay("p99.9")),
        row("the longest", delay("max")),
        row("workers busy, mean; the busiest", lambda day: f"{day['mean_busy']:.0%}; {day['busiest_worker']:.0%}"),
        row("partitions that moved", lambda day: f"{day['moved']:,}"),
        row("the longest that a partition stood still", lambda day: seconds(day["longest_stand_s"])),
        row("enough", lambda day: "**yes**" if day["is_enough"] else "**no**"),
    ]
    return table(["", *names], rows)
