"""Plots of the growth figures, as SVG that is the same to the byte whenever the figures and matplotlib are.

Each says in its metadata what figures it was drawn from, so that a test can hold the plots to the file of figures.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.patheffects as effects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

GROWTH_FILE = Path(__file__).parents[3] / "docs" / "measured" / "growth.json"
PLOTS_FOLDER = GROWTH_FILE.parents[1] / "plots"

LOG_FROM_RATIO = 50  # an axis is logarithmic where its ends lie so far apart
INK, FAINT, RULE = "#1f2933", "#7b8794", "#e4e7eb"
STYLE = {
    "svg.hashsalt": "everycent",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
}
PANELS = (
    ("cpu_us_per_order", "CPU of an order, worker", "µs", "#0b7285", "cpu", "grows"),
    ("orders_per_second", "Orders a second", "", "#c2410c", "seconds", "time grows"),
    ("peak_memory_mb", "Most memory of a worker", "MB", "#5f3dc4", "memory", "grows"),
)


def draw_all(document: dict[str, Any], folder: Path) -> None:
    """One file a step."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, step in document["steps"].items():
        draw_step(step, folder / plot_name(name))


def plot_name(name: str) -> str:
    """What the plot's file is called."""
    return f"growth-{name.replace('_', '-')}.svg"


def draw_step(step: dict[str, Any], path: Path) -> None:
    """Three panels side by side: CPU, throughput, memory. `path` may also end in .png, to look at."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.3), layout="constrained", facecolor="white")
        figure.get_layout_engine().set(w_pad=0.14, h_pad=0.08)  # type: ignore[union-attr]
        figure.suptitle(step["title"], x=0.013, ha="left", fontsize=13, fontweight="bold")
        axes = figure.subplots(1, len(PANELS))
        for panel, (key, title, unit, colour, judged, grows) in zip(axes, PANELS, strict=True):
            worst = step["judgement"][judged]["worst"]
            _draw_panel(panel, step["points"], key, colour)
            panel.set_title(f"{title}, {unit}" if unit else title, loc="left", fontsize=10, pad=14)
            panel.text(
                0,
                1.02,
                f"{grows} with an exponent of {worst:.2f} at most",
                transform=panel.transAxes,
                fontsize=7.5,
                color=FAINT,
            )
            panel.set_xlabel(step["unit"])
        metadata: dict[str, Any] = {"Date": None, "Description": digest(step)} if path.suffix == ".svg" else {}
        figure.savefig(path, metadata=metadata, dpi=110)


def digest(step: dict[str, Any]) -> str:
    """What a plot is drawn from."""
    drawn = [step["title"], step["unit"], step["points"], step["judgement"]]
    return "figures sha256 " + hashlib.sha256(json.dumps(drawn, sort_keys=True).encode()).hexdigest()


def _draw_panel(panel: Axes, points: Sequence[dict[str, Any]], key: str, colour: str) -> None:
    at, figures = [point["value"] for point in points], [point[key] for point in points]
    logarithmic = at[-1] / at[0] >= LOG_FROM_RATIO
    if logarithmic:
        panel.set_xscale("log")
        panel.set_xlim(at[0] / (at[-1] / at[0]) ** 0.09, at[-1] * (at[-1] / at[0]) ** 0.13)
    else:
        panel.set_xlim(0, at[-1] * 1.13)
    panel.set_xticks(at, [short(value) for value in at])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_ylim(0, max(figures) * 1.22)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    panel.plot(at, figures, color=colour, linewidth=2, marker="o", markersize=5, clip_on=False)
    panel.fill_between(at, figures, color=colour, alpha=0.08, linewidth=0)
    for value, figure in zip(at, figures, strict=True):
        panel.annotate(
            short(figure),
            (value, figure),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            color=INK,
            fontsize=8,
            path_effects=[effects.withStroke(linewidth=2.5, foreground="white")],
        )
    panel.grid(axis="y", color=RULE, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)


def short(value: float) -> str:
    """1,500,000 as 1.5 M; three digits at most."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
