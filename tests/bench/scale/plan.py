"""The plan past this machine: what 10^10 donations a year ask for, from measured prices. Pure arithmetic.

Each line of the plan is a name, a unit and a formula over the names before it. The formula that is shown is the one
that is computed, so the page can't say one thing and mean another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from schemas.topics import TOTALS_PARTITIONS_MAX
from streams.engine.limits import COMMIT_MAX_RECORDS_PACKED

# What the deployment is to carry and how it is set up: chosen, not measured.
ASSUMPTIONS: dict[str, tuple[float, str, str]] = {
    "donations_a_year": (1e10, "donations", "the programme's"),
    "donations_per_order": (1.12, "donations", "of the load generator's orders"),
    "festival_times": (15, "times", "a festival's day against a normal one"),
    "burst_donations_s": (170_000, "donations/s", "the greatest burst, nothing smeared out"),
    "projects": (30_000, "projects", "that get donations"),
    "partitions": (1_000, "partitions", "of `orders` and `donations`, fixed when the topics are made"),
    "totals_partitions": (
        TOTALS_PARTITIONS_MAX,
        "partitions",
        "of `project-deltas` and `project-totals`: as they are made",
    ),
    "commit_interval_s": (0.5, "s", "`EVERYCENT_COMMIT_INTERVAL_MS`"),
    "horizon_h": (24, "h", "`EVERYCENT_DEDUPE_HORIZON_HOURS`"),
    "session_s": (10, "s", "`EVERYCENT_SESSION_TIMEOUT_MS`"),
    "minute_retention_h": (48, "h", "`EVERYCENT_MINUTE_RETENTION_HOURS`"),
    "orders_retention_d": (30, "days", "of `orders`, then they are deleted"),
    "replication": (3, "copies", "of each record"),
    "busy_max": (0.5, "", "of a core at the peak: the rest is for restores, failures and the unforeseen"),
    "workers_spare": (2, "workers", "that may be away at the worst moment"),
    "broker_cores": (8, "cores", "of a broker's machine"),
    "broker_network_gbit_s": (10, "Gbit/s", "of a broker's machine, each way"),
    "broker_disk_tb": (8, "TB", "of a broker's machine that logs may fill"),
    "readers": (1, "readers", "of everything written, beside the workers: a live page, reports"),
    "restart_s_max": (90, "s", "that a worker may take, on a festival's day, until it has all of its state back"),
    "backfill_commit_orders": (COMMIT_MAX_RECORDS_PACKED, "orders", "`COMMIT_MAX_RECORDS_PACKED`"),
    "backfill_workers": (64, "workers", "for a backfill: a core each, for some minutes"),
}

SECONDS_A_DAY, DAYS_A_YEAR = 86_400, 365


class Line(NamedTuple):
    """One quantity of the plan."""

    name: str
    unit: str
    formula: str


SECTIONS: dict[str, list[Line]] = {
    "Rates": [
        Line("mean_donations_s", "donations/s", "donations_a_year / (days_a_year * seconds_a_day)"),
        Line("mean_orders_s", "orders/s", "mean_donations_s / donations_per_order"),
        Line("festival_orders_s", "orders/s", "mean_orders_s * festival_times"),
        Line("burst_orders_s", "orders/s", "burst_donations_s / donations_per_order"),
        Line("festival_day_orders", "orders", "festival_orders_s * seconds_a_day"),
    ],
    "Commits": [
        Line(
            "mean_commits_s",
            "commits/s",
            "min(partitions / commit_interval_s, mean_orders_s)",
        ),
        Line(
            "mean_fan_out",
            "partitions",
            "totals_partitions * (1 - (1 - 1 / totals_partitions)"
            " ** (mean_orders_s * donations_per_order / mean_commits_s))",
        ),
        Line(
            "mean_parts_s",
            "parts/s",
            "mean_commits_s * (1 + mean_fan_out)"
            " + min(totals_partitions / commit_interval_s, mean_commits_s * mean_fan_out)",
        ),
        Line(
            "festival_commits_s",
            "commits/s",
            "min(partitions / commit_interval_s, festival_orders_s)",
        ),
        Line(
            "festival_fan_out",
            "partitions",
            "totals_partitions * (1 - (1 - 1 / totals_partitions)"
            " ** (festival_orders_s * donations_per_order / festival_commits_s))",
        ),
        Line(
            "festival_parts_s",
            "parts/s",
            "festival_commits_s * (1 + festival_fan_out)"
            " + min(totals_partitions / commit_interval_s, festival_commits_s * festival_fan_out)",
        ),
        Line(
            "burst_commits_s",
            "commits/s",
            "min(partitions / commit_interval_s, burst_orders_s)",
        ),
        Line(
            "burst_fan_out",
            "partitions",
            "totals_partitions * (1 - (1 - 1 / totals_partitions)"
            " ** (burst_orders_s * donations_per_order / burst_commits_s))",
        ),
        Line(
            "burst_parts_s",
            "parts/s",
            "burst_commits_s * (1 + burst_fan_out)"
            " + min(totals_partitions / commit_interval_s, burst_commits_s * burst_fan_out)",
        ),
    ],
    "State of all workers": [
        Line("horizon_ids", "order ids", "festival_orders_s * horizon_h * 3600"),
        Line(
            "long_totals",
            "totals",
            "projects * (31 + 12 + 1 + 1)",
        ),
        Line("hour_totals", "totals", "projects * 960"),
        Line(
            "minute_totals",
            "totals",
            "min(projects, mean_donations_s * festival_times * 60) * minute_retention_h * 60",
        ),
        Line("restore_ids_core_s", "core seconds", "horizon_ids * restore_us_per_id / 1e6"),
        Line(
            "restore_totals_core_s",
            "core seconds",
            "(long_totals + hour_totals + minute_totals) * restore_us_per_total / 1e6",
        ),
    ],
    "Workers": [
        Line(
            "mean_worker_cores",
            "cores",
            "(mean_orders_s * worker_us_per_order + mean_parts_s * worker_us_per_part) / 1e6",
        ),
        Line(
            "festival_worker_cores",
            "cores",
            "(festival_orders_s * worker_us_per_order + festival_parts_s * worker_us_per_part) / 1e6",
        ),
        Line(
            "burst_worker_cores",
            "cores",
            "(burst_orders_s * worker_us_per_order + burst_parts_s * worker_us_per_part) / 1e6",
        ),
        Line("workers_by_cpu", "workers", "ceil(burst_worker_cores / busy_max)"),
        Line(
            "workers_by_restore",
            "workers",
            "ceil(restore_ids_core_s / (restart_s_max - worker_start_s - restore_totals_core_s / totals_partitions))",
        ),
        Line("workers", "workers", "max(workers_by_cpu, workers_by_restore) + workers_spare"),
        Line("partitions_per_worker", "partitions", "ceil(partitions / workers)"),
    ],
    "Memory of a worker": [
        Line("ids_gb", "GB", "horizon_ids * memory_bytes_per_id / workers / 1e9"),
        Line(
            "totals_gb",
            "GB",
            "(long_totals + hour_totals + minute_totals) * memory_bytes_per_total / 1e9"
            " / min(workers, totals_partitions)",
        ),
        Line("worker_gb", "GB", "worker_start_mb / 1e3 + ids_gb + totals_gb"),
    ],
    "Disk, all copies": [
        Line("ledger_tb_a_year", "TB", "donations_a_year * donation_bytes * replication / 1e12"),
        Line(
            "orders_tb",
            "TB",
            "(mean_orders_s * (orders_retention_d - 1) + festival_orders_s)"
            " * seconds_a_day * order_bytes * replication / 1e12",
        ),
    ],
    "Brokers": [
        Line(
            "burst_broker_cores",
            "cores",
            "(burst_orders_s * broker_us_per_order + burst_parts_s * broker_us_per_part) * replication / 1e6",
        ),
        Line(
            "written_mb_s",
            "MB/s",
            "(burst_orders_s * (order_bytes + written_bytes_per_order) + burst_parts_s * written_bytes_per_part) / 1e6",
        ),
        Line("network_in_gbit_s", "Gbit/s", "written_mb_s * replication * 8 / 1e3"),
        Line("network_out_gbit_s", "Gbit/s", "written_mb_s * (replication - 1 + 1 + readers) * 8 / 1e3"),
        Line("brokers_by_cpu", "brokers", "ceil(burst_broker_cores / (broker_cores * busy_max))"),
        Line("brokers_by_network", "brokers", "ceil(network_out_gbit_s / (broker_network_gbit_s * busy_max))"),
        Line("brokers_by_disk", "brokers", "ceil((ledger_tb_a_year + orders_tb) / broker_disk_tb)"),
        Line("brokers", "brokers", "max(replication, brokers_by_cpu, brokers_by_network, brokers_by_disk)"),
    ],
    "Cost of recovery": [
        Line(
            "restore_s",
            "s",
            "restore_ids_core_s / workers + restore_totals_core_s / min(workers, totals_partitions)",
        ),
        Line("takeover_s", "s", "session_s + restore_s / busy_max"),
        Line("restart_s", "s", "worker_start_s + restore_s"),
    ],
    "A year's backfill": [
        Line("backfill_orders", "orders", "donations_a_year / donations_per_order"),
        Line("backfill_parts", "parts", "backfill_orders / backfill_commit_orders * (1 + totals_partitions)"),
        Line(
            "backfill_cores_h",
            "core hours",
            "(backfill_orders * worker_us_per_order + backfill_parts * worker_us_per_part) / 1e6 / 3600",
        ),
        Line("backfill_workers_h", "h", "backfill_cores_h / (backfill_workers * busy_max)"),
        Line(
            "backfill_brokers_h",
            "h",
            "(backfill_orders * broker_us_per_order + backfill_parts * broker_us_per_part)"
            " * replication / 1e6 / 3600"
            " / (brokers * broker_cores * busy_max)",
        ),
        Line("backfill_h", "h", "max(backfill_workers_h, backfill_brokers_h)"),
    ],
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Every quantity by name, assumptions and prices among them."""

    values: dict[str, float]

    def __getitem__(self, name: str) -> float:
        return self.values[name]


def work_out(costs: Mapping[str, float], **changed: float) -> Plan:
    """The plan from measured prices; `changed`: assumptions other than the page's. Raises ValueError for others."""
    if unknown := changed.keys() - ASSUMPTIONS.keys():
        raise ValueError(f"no assumption is called {min(unknown)!r}")
    values: dict[str, float] = {name: value for name, (value, _, _) in ASSUMPTIONS.items()} | changed
    values |= {"seconds_a_day": SECONDS_A_DAY, "days_a_year": DAYS_A_YEAR, **costs}
    functions = {"__builtins__": {}, "ceil": ceil, "max": max, "min": min}
    for line in (line for lines in SECTIONS.values() for line in lines):
        values[line.name] = float(eval(line.formula, functions, values))
    return Plan(values)
