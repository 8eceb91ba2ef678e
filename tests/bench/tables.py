"""The bench's figures as a table for people; the document with `--json` holds more."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def show(document: Mapping[str, Any]) -> None:
    """Print every figure with its spread, and the ratios."""
    console = Console(width=100)
    machine = document["machine"]
    console.print(f"{machine['cpu']}, {machine['cores']} cores; load average {machine['load_average']}")
    for job, result in document["jobs"].items():
        table = Table("figure", "median", "least", "greatest", "runs", title=job, title_justify="left")
        for name, figure in figures(result["figures"]):
            spread = (figure.get(key) for key in ("median", "min", "max", "runs"))
            table.add_row(name, *("" if value is None else f"{value:,g}" for value in spread))
        console.print(table)
    for name, ratio in document["ratios"].items():
        console.print(f"{name}: {ratio}")


def figures(found: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every figure below, by its path; what was measured once is its own median."""
    for name, value in found.items():
        if isinstance(value, Mapping) and "median" not in value:
            yield from figures(value, f"{prefix}{name} ")
        elif isinstance(value, Mapping):
            yield f"{prefix}{name}", value
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", {"median": value}
