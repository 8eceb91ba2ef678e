"""Grafana's dashboard, made from a table of panels.

Needs the library of the `dev` extra. What is asked here, a test asks of a real Prometheus that scrapes real workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from string import ascii_uppercase

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, StackingConfig
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueColorMode, GraphDrawStyle, StackingMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")  # as provisioning names it
UID = "everycent"
WIDTH = 24  # Grafana's grid


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, and what a line is called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: a figure, or lines over time."""

    title: str
    unit: str  # as Grafana names it
    description: str
    queries: Sequence[Query]
    is_figure: bool = False
    is_stacked: bool = False


def figure(title: str, unit: str, description: str, expr: str) -> Panel:
    return Panel(title, unit, description, [Query(expr)], is_figure=True)


def quantiles(metric: str, by: str = "", window: str = "$__rate_interval") -> list[Query]:
    """The median and the 99th percentile of a histogram."""
    labels = ", ".join(["le", *([by] if by else [])])
    name = f"{{{{{by}}}}} " if by else ""
    return [
        Query(f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket[{window}])))", f"{name}{word}")
        for q, word in ((0.5, "median"), (0.99, "99%"))
    ]


ROWS: dict[str, Sequence[Panel]] = {
    "Now": [
        figure("Donated", "none", "Yuan a minute.", "everycent_donated_fen:rate5m * 60 / 100"),
        figure("Donations", "ops", "A second.", "everycent_donations:rate5m"),
        figure(
            "Order to total, 99%",
            "s",
            "From an order's append to the commit of its total.",
            "everycent_order_to_total_seconds:p99_rate5m",
        ),
        figure("Farthest behind", "s", "Of all partitions.", "max(topic:everycent_partition_lag_seconds:max)"),
        figure("Partitions ready", "none", "Of all that workers have.", "sum(everycent_partition_ready)"),
        figure(
            "Every cent conserved",
            "bool_yes_no",
            "What the following audit says. Empty where none runs.",
            "min(everycent_audit_conserved)",
        ),
    ],
    "Flow": [
        Panel(
            "Orders by what came of them",
            "ops",
            "As they were committed.",
            [Query("sum by (outcome) (rate(everycent_orders_total[$__rate_interval]))", "{{outcome}}")],
            is_stacked=True,
        ),
        Panel(
            "Rejected orders by reason",
            "ops",
            "They lie in rejected-orders.",
            [Query("sum by (reason) (rate(everycent_rejected_orders_total[$__rate_interval]))", "{{reason}}")],
            is_stacked=True,
        ),
        Panel(
            "Donations and late ones",
            "ops",
            "Late: their minute was final. They count all the same. Released: the window had left memory.",
            [
                Query("sum(rate(everycent_donations_total[$__rate_interval]))", "all"),
                Query("sum(rate(everycent_late_donations_total[$__rate_interval]))", "late"),
                Query("sum(rate(everycent_released_donations_total[$__rate_interval]))", "released"),
            ],
        ),
    ],
    "Behind": [
        Panel(
            "Lag",
            "s",
            "All that was appended longer ago is committed.",
            [Query("max by (topic, partition) (everycent_partition_lag_seconds)", "{{topic}}-{{partition}}")],
        ),
        Panel(
            "Lag in offsets",
            "short",
            "From the last commit to the end.",
            [Query("max by (topic, partition) (everycent_partition_lag)", "{{topic}}-{{partition}}")],
        ),
        Panel(
            "Watermark behind the clock",
            "s",
            "Live: the allowed lateness and a little. Over a backlog of old orders: their age.",
            [Query("max by (instance) (everycent_watermark_delay_seconds)", "{{instance}}")],
        ),
    ],
    "Speed": [
        Panel(
            "Order to total",
            "s",
            "The oldest order of each commit of split, to the commit of its totals.",
            quantiles("everycent_order_to_total_seconds"),
        ),
        Panel("Commits", "s", "How long they take.", quantiles("everycent_commit_seconds", "stage")),
        Panel("Folds", "s", "How long one batch takes.", quantiles("everycent_fold_seconds", "stage")),
        Panel(
            "Commits a second",
            "ops",
            "",
            [Query("sum by (stage) (rate(everycent_commit_seconds_count[$__rate_interval]))", "{{stage}}")],
        ),
        Panel("Records in a commit", "short", "", quantiles("everycent_commit_records", "stage")),
        Panel(
            "CPU",
            "percentunit",
            "Of one core, by worker.",
            [Query("sum by (instance) (rate(process_cpu_seconds_total[$__rate_interval]))", "{{instance}}")],
        ),
    ],
    "Audit": [
        Panel(
            "Audit behind",
            "s",
            "All that was committed longer ago is checked.",
            [Query("max(everycent_audit_lag_seconds)")],
        ),
        Panel(
            "Checked a second",
            "ops",
            "Offsets, by topic.",
            [Query("sum by (topic) (deriv(everycent_audit_checked_offset[$__rate_interval]))", "{{topic}}")],
        ),
        Panel(
            "Differences",
            "short",
            "By kind, since the audit's start.",
            [Query("sum by (kind) (everycent_audit_findings_total)", "{{kind}}")],
        ),
    ],
    "Server": [
        Panel(
            "Figures on the page are old",
            "s",
            "All that had been ordered longer ago is in them.",
            [Query("everycent_serve_delay_seconds", "{{instance}}")],
        ),
        Panel("Watchers", "short", "Who gets live updates.", [Query("everycent_serve_watchers", "{{instance}}")]),
        Panel(
            "Broker answers, records left to read",
            "short",
            "1: it answers. Left: after a start, until it is live.",
            [
                Query("everycent_serve_broker_answers", "{{instance}} answers"),
                Query("everycent_serve_left_records", "{{instance}} left"),
                Query("everycent_serve_unreadable_total", "{{instance}} unreadable"),
            ],
        ),
    ],
    "Ledger": [
        Panel(
            "Ledger behind",
            "s",
            "All that was committed longer ago is published.",
            [Query("max by (partition) (everycent_ledger_lag_seconds)", "{{partition}}")],
        ),
        Panel(
            "Leaves",
            "short",
            "Of all logs, and how many of them are published.",
            [
                Query("sum(everycent_ledger_leaves)", "leaves"),
                Query("sum(everycent_ledger_published_leaves)", "published"),
            ],
        ),
        Panel(
            "Since the last checkpoint",
            "s",
            "A log that nothing comes for publishes none.",
            [
                Query("max by (partition) (everycent_ledger_checkpoint_age_seconds)", "{{partition}}"),
                Query("max(max_over_time(everycent_ledger_refusals_total[10m]))", "refuses to sign"),
            ],
        ),
    ],
    "Witness": [
        Panel(
            "Since the log was seen to be right",
            "s",
            "Where a witness is scraped: when it last reached the log, and the log had only grown.",
            [Query("time() - max by (log) (everycent_witness_good_timestamp_seconds)", "{{log}}")],
        ),
        Panel(
            "Cosigned",
            "short",
            "Leaves of the newest tree that the witness has cosigned.",
            [Query("max by (log) (everycent_witness_cosigned_leaves)", "{{log}}")],
        ),
        Panel(
            "Alarm",
            "short",
            "1: the log contradicts what it has signed, or shows less.",
            [Query("max by (log) (everycent_witness_alarm)", "{{log}}")],
        ),
    ],
    "Held": [
        Panel(
            "Totals in memory",
            "short",
            "By kind of window.",
            [Query("sum by (window) (everycent_table_entries)", "{{window}}")],
        ),
        Panel("Order ids in memory", "short", "By worker.", [Query("everycent_dedupe_ids", "{{instance}}")]),
        Panel("Memory", "bytes", "Resident, by worker.", [Query("process_resident_memory_bytes", "{{instance}}")]),
    ],
    "Changes": [
        Panel(
            "Rebalances and fences",
            "short",
            "In five minutes.",
            [
                Query("sum(increase(everycent_rebalances_total[5m]))", "rebalances"),
                Query("sum(increase(everycent_fenced_total[5m]))", "fences"),
                Query("sum(increase(everycent_restores_total[5m]))", "restores"),
            ],
        ),
        Panel(
            "Restores",
            "s",
            "How long they took, in fifteen minutes.",
            quantiles("everycent_restore_seconds", "stage", "15m"),
        ),
        Panel("Workers by version", "short", "", [Query("count by (version) (everycent_build_info)", "{{version}}")]),
    ],
}


def queries() -> list[str]:
    """Everything that the dashboard asks."""
    return [query.expr for panels in ROWS.values() for panel in panels for query in panel.queries]


def dashboard_json() -> str:
    """The dashboard as Grafana reads it."""
    board = (
        dashboard.Dashboard("everycent")
        .uid(UID)
        .tags(["everycent"])
        .description("Generated from streams/monitoring/dashboard.py by make generated.")
        .time("now-1h", "now")
        .refresh("10s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    numbers = count(1)
    for title, panels in ROWS.items():
        board = board.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in panels:
            board = board.with_panel(_build(panel).id(next(numbers)))
    text: str = JSONEncoder(sort_keys=True, indent=2).encode(board.build())
    return text + "\n"


def _build(panel: Panel) -> stat.Panel | timeseries.Panel:
    built = stat.Panel() if panel.is_figure else timeseries.Panel()
    built = built.title(panel.title).unit(panel.unit).description(panel.description).datasource(SOURCE)
    built = built.span(WIDTH // (6 if panel.is_figure else 3)).height(4 if panel.is_figure else 8)
    if isinstance(built, stat.Panel):
        built = built.color_mode(BigValueColorMode.NONE).reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    else:
        built = built.min(0).draw_style(GraphDrawStyle.LINE).line_width(1).fill_opacity(20 if panel.is_stacked else 0)
        if panel.is_stacked:
            built = built.stacking(StackingConfig().mode(StackingMode.NORMAL))
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(query.expr).legend_format(query.legend or "__auto")
        built = built.with_target(target)
    return built
