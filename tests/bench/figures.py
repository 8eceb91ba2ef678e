"""Figures over repeated runs: median and spread, the slope between two sizes, and whether a target was met. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Run = Mapping[str, Any]
SIGNIFICANT_DIGITS = 4  # more would claim a precision that no run has


def rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def figure(values: Sequence[float], *, at_most: float | None = None, at_least: float | None = None) -> dict[str, Any]:
    """Median, least and greatest of `values`; with a target, whether the median meets it. There must be a value."""
    if not values:
        raise ValueError("no run counted, so there is no figure")
    middle = median(values)
    found: dict[str, Any] = {
        "median": rounded(middle),
        "min": rounded(min(values)),
        "max": rounded(max(values)),
        "runs": len(values),
    }
    if at_most is not None:
        found |= {"target_at_most": at_most, "met": middle <= at_most}
    if at_least is not None:
        found |= {"target_at_least": at_least, "met": middle >= at_least}
    return found


def slopes(small: Sequence[Run], large: Sequence[Run], name: str, per: str) -> list[float]:
    """What each further unit of `per` costs in `name`: from each run of the small size to its run of the large one.

    Whatever a run costs once, however it ends and wherever one begins to measure, falls out of the difference.
    """
    return [(more[name] - less[name]) / (more[per] - less[per]) for less, more in zip(small, large, strict=False)]


def ratio(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    """How many times ours `theirs` is, by their medians."""
    return rounded(theirs["median"] / ours["median"])
