"""The bench's figures as a table for people; the document with `--json` holds more."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def show(document: Mapping[str, Any]) -> None:
    """Print every figure with its spread, and the ratios."""
    console = Console(soft_wrap=True)
    machine = document["machine"]
    console.print(f"{machine['cpu']}, {machine['cores']} cores; load average {machine['load_average']}")
    table = Table("job", "figure", "median", "least", "greatest", "runs")
    for job, result in document["jobs"].items():
        for name, figure in figures(result["figures"]):
            spread = (figure["median"], figure["min"], figure["max"])
            table.add_row(job, name, *(f"{value:,}" for value in spread), str(figure["runs"]))
    console.print(table)
    for name, ratio in document["ratios"].items():
        console.print(f"{name}: {ratio}")


def figures(found: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every figure below, by its path."""
    for name, value in found.items():
        if isinstance(value, Mapping):
            if "median" in value:
                yield f"{prefix}{name}", value
            else:
                yield from figures(value, f"{prefix}{name} ")
