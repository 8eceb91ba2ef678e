"""The generated parts of docs/growth.md: a plot and a table a step, from the figures that are kept. Pure."""

from collections.abc import Mapping
from typing import Any

from tests.bench.growth.plots import plot_name
from tests.bench.growth.steps import EXPONENT_MAX, EXPONENT_NOISE, steps
from tests.bench.pages import fill_parts, number, table

NOT_MEASURED = "Not measured yet: `make growth`."


def fill(page: str, document: Mapping[str, Any]) -> str:
    """The page with its generated parts made anew."""
    kept = document["steps"]
    parts = {step.name: _step(step.name, kept[step.name]) if step.name in kept else NOT_MEASURED for step in steps()}
    return fill_parts(page, {"judgement": _judgement(kept)} | parts)


def _judgement(kept: Mapping[str, Any]) -> str:
    def shown(found: Mapping[str, Any]) -> str:
        return f"{found['worst']:.2f}" + ("" if found["is_at_most_linear"] else " **worse**")

    rows = [
        [f"[{step['title']}](#{anchor(step['title'])})", *(shown(step["judgement"][name]) for name in _JUDGED)]
        for step in kept.values()
    ]
    limit = f"at most {EXPONENT_MAX:.0f}, with {EXPONENT_NOISE} for noise"
    return table(["what grows", "CPU", "time", f"memory ({limit})"], rows)


_JUDGED = ("cpu", "seconds", "memory")


def anchor(title: str) -> str:
    """What a heading is called in a link, as GitHub does it."""
    return title.lower().replace(",", "").replace(" ", "-")


def _step(name: str, step: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{each['value']:,}",
            f"{each['orders']:,}",
            f"{each['cpu_us_per_order']:.3g}",
            f"{each['cpu_us_per_donation']:.3g}",
            f"{each['broker_cpu_us_per_order']:.3g}",
            number(each["orders_per_second"]),
            number(round(each["peak_memory_mb"])),
            f"{each['start_cpu_seconds']:.3g}",
        ]
        for each in step["points"]
    ]
    header = ["µs an order", "µs a donation", "broker, µs an order", "orders/s", "MB a worker", "start, s of CPU"]
    load, runs = step["machine"]["load_average"][0], step["points"][0]["runs"]
    measured = (
        f"Measured on {step['measured_at'][:10]} with `{step['command']}`; runs of each size: {runs}; the machine's "
        f"load average was {load:.0f} on {step['machine']['cores']} cores."
    )
    plot = f"![{step['title']}: CPU of an order, orders a second, memory](plots/{plot_name(name)})"
    return "\n\n".join([plot, table([step["unit"], "orders of a run", *header], rows), measured])
