"""The plot of the simulated days' first hour, in the style of the growth plots."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tests.bench.growth.plots import FAINT, RULE, STYLE, short

COLOURS = ("#0b7285", "#c2410c", "#5f3dc4")


def draw_burst(days: Sequence[Mapping[str, Any]], path: Path) -> None:
    """What waits, minute by minute after midnight, for each number of workers; and what comes."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.6), layout="constrained", facecolor="white")
        figure.get_layout_engine().set(w_pad=0.14, h_pad=0.08)  # type: ignore[union-attr]
        figure.suptitle("The first hour of a festival's day", x=0.013, ha="left", fontsize=13, fontweight="bold")
        came, waits = figure.subplots(1, 2, width_ratios=(1, 2))
        minutes = list(range(1, len(days[0]["arrived_by_minute"]) + 1))
        came.bar(minutes, days[0]["arrived_by_minute"], color=FAINT, width=0.9)
        came.set_title("Orders that come in a minute", loc="left", fontsize=10)
        for day, colour in zip(days, COLOURS, strict=False):
            label = f"{day['workers']} workers"
            waits.plot(minutes, day["waiting_by_minute"], color=colour, linewidth=2, label=label)
            waits.fill_between(minutes, day["waiting_by_minute"], color=colour, alpha=0.08, linewidth=0)
        waits.set_title("Orders that wait at a minute's end", loc="left", fontsize=10)
        waits.legend(frameon=False, loc="upper right")
        for panel in (came, waits):
            panel.set_xlabel("minutes after midnight")
            panel.set_xlim(0, len(minutes) + 1)
            panel.set_ylim(bottom=0)
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
            panel.grid(axis="y", color=RULE, linewidth=0.8)
            panel.set_axisbelow(True)
            panel.spines[["top", "right", "left"]].set_visible(False)
            panel.tick_params(axis="y", length=0)
        metadata: dict[str, Any] = {"Date": None, "Description": digest(days)} if path.suffix == ".svg" else {}
        figure.savefig(path, metadata=metadata, dpi=110)


def digest(days: Sequence[Mapping[str, Any]]) -> str:
    """What the plot is drawn from."""
    drawn = [[day["workers"], day["arrived_by_minute"], day["waiting_by_minute"]] for day in days]
    return "figures sha256 " + hashlib.sha256(json.dumps(drawn).encode()).hexdigest()
