"""What is made to grow, and the judgement on how the cost grows with it. Pure.

A figure that grows with the *exponent* e grows as n^e: 0 means that it stays, 1 that it doubles where n doubles. The
exponent is taken between each two neighbouring sizes. No step may be worse than linear: what an order costs may at
most grow as its lines or bytes do, and all orders of a backlog together at most as their number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import median
from typing import Any

from tests.bench.figures import rounded
from tests.bench.growth.load import PLAIN_ORDER_BYTES, Shape

EXPONENT_MAX = 1.0
EXPONENT_NOISE = 0.1  # two runs of the same differ by some percent: between 1 and 2 that is an exponent of 0.1
BACKLOG_LONG = 3_000_000  # a backlog that is longer runs once
BASE_ORDERS = 300_000


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that grows while all else stays. `title` and `unit` are for people."""

    name: str
    title: str
    unit: str
    shapes: Mapping[int, Shape]
    is_length: bool = False  # what grows is the number of orders itself: judged is the whole cost, not an order's


def steps(orders: int = BASE_ORDERS, longest_backlog: int = 10_000_000) -> list[Step]:
    """All steps. `orders`: of a run of small orders; larger ones are fewer."""
    base = Shape(orders)
    backlogs = [size for size in (10**5, 10**6, 10**7, 10**8) if size <= longest_backlog] or [longest_backlog]
    return [
        _step("partitions", "Partitions on one worker", "partitions of `orders`", base, (1, 4, 16, 64, 256)),
        _step("projects", "Projects", "projects", base, (100, 1_000, 10_000, 100_000, 1_000_000)),
        Step(
            "lines",
            "Pledged lines of an order",
            "lines, each a donation",
            {lines: replace(base, lines=lines, orders=max(1, orders // lines)) for lines in (1, 2, 5, 10, 20)},
        ),
        Step(
            "order_bytes",
            "Size of an order, one donation each",
            "bytes of an order",
            {
                size: replace(base, order_bytes=size, orders=max(1, orders * PLAIN_ORDER_BYTES * 2 // (size * 2)))
                for size in (PLAIN_ORDER_BYTES, 1_000, 3_000, 10_000)
            },
        ),
        _step("workers", "Workers on one machine", "workers", replace(base, orders=2 * orders), (1, 2, 4)),
        Step(
            "backlog",
            "Length of the backlog",
            "orders that wait",
            {size: replace(base, orders=size) for size in backlogs},
            is_length=True,
        ),
    ]


def _step(name: str, title: str, unit: str, base: Shape, values: Sequence[int]) -> Step:
    return Step(name, title, unit, {value: replace(base, **{name: value}) for value in values})


def point(value: int, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The medians of a size's runs, all of which were right."""
    orders = runs[0]["shape"]["orders"]
    found = {
        "value": value,
        "orders": orders,
        "runs": len(runs),
        "cpu_us_per_order": rounded(median(run["cpu_seconds"] for run in runs) / orders * 1e6),
        "cpu_us_per_donation": rounded(median(run["cpu_seconds"] / run["donations"] for run in runs) * 1e6),
        "orders_per_second": rounded(orders / median(run["seconds"] for run in runs)),
        "peak_memory_mb": rounded(median(run["peak_memory_mb"] for run in runs)),
        "start_cpu_seconds": rounded(median(run["start_cpu_seconds"] for run in runs)),
    }
    if all(run["broker_cpu_seconds"] is not None for run in runs):
        found["broker_cpu_us_per_order"] = rounded(median(run["broker_cpu_seconds"] for run in runs) / orders * 1e6)
    return found


def exponent(value: float, figure: float, next_value: float, next_figure: float) -> float:
    """How fast the figure grows between two sizes."""
    return round(log(next_figure / figure) / log(next_value / value), 2)


def judgement(points: Sequence[Mapping[str, Any]], *, is_length: bool) -> dict[str, Any]:
    """The exponents of CPU, time and memory between neighbouring sizes, and whether each is linear or better.

    Memory is a worker's, so it is judged as it is. Time and CPU are an order's; those of a backlog are the whole's.
    """
    figures = {
        "cpu": [each["cpu_us_per_order"] for each in points],
        "seconds": [1 / each["orders_per_second"] for each in points],
        "memory": [each["peak_memory_mb"] for each in points],
    }
    if is_length:
        for name in ("cpu", "seconds"):
            figures[name] = [figure * each["orders"] for figure, each in zip(figures[name], points, strict=True)]
    values = [each["value"] for each in points]
    found = {}
    for name, series in figures.items():
        between = [
            exponent(*first, *second)
            for first, second in zip(
                zip(values, series, strict=True), list(zip(values, series, strict=True))[1:], strict=False
            )
        ]
        found[name] = {
            "exponents": between,
            "worst": max(between, default=0.0),
            "is_at_most_linear": max(between, default=0.0) <= EXPONENT_MAX + EXPONENT_NOISE,
        }
    return found
