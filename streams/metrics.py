"""What a metric is, every metric of a worker, and what one worker has counted so far.

Counters and histograms are of this process: they begin at 0 with it and hold what its commits made visible, so a crash
takes them along. Nothing here needs to survive: the topics are the truth, and the audit reads them. Gauges are read off
the worker's partitions when somebody asks, in the server's own thread.

The metrics of what runs beside workers stand in `streams.metrics_service`. `docs/metrics.md` is generated from both.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schemas.rejection import Reason
from schemas.totals import WindowKind
from streams import __version__


class Kind(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Worker(StrEnum):
    """How the levels of a worker's partitions become the one figure of a gauge."""

    SUM = "sum"
    OLDEST = "oldest"  # levels are moments, ms since the epoch; shown are the seconds since the first of them


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric. `labels` says which values a label can have, where they're known: those begin at 0."""

    name: str
    kind: Kind
    unit: str
    help: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    buckets: Sequence[float] = ()
    of_worker: Worker = Worker.SUM


OUTCOMES = ("accepted", "repeat", "rejected", "no_pledge")
STAGES = ("split", "totals")
ANY: Sequence[str] = ()
OF_PARTITION = {"topic": ANY, "partition": ANY}
_STAGE = {"stage": STAGES}
_SINCE_START = "Counted as commits make it visible, by this process since its start; the topics are the truth."
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG_SECONDS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0)
_RECORDS = (0.0, 1.0, 10.0, 100.0, 1_000.0, 4_096.0, 8_192.0, 16_384.0, 32_768.0, 65_536.0)

ORDERS = Metric(
    "everycent_orders_total",
    Kind.COUNTER,
    "orders",
    "Orders by what came of them: `accepted` gave donations, `no_pledge` had nothing to give, `repeat` came before "
    f"within the dedupe horizon, `rejected` went to `rejected-orders`. {_SINCE_START}",
    {"outcome": OUTCOMES},
)
REJECTED_ORDERS = Metric(
    "everycent_rejected_orders_total",
    Kind.COUNTER,
    "orders",
    f"Rejected orders by reason. {_SINCE_START}",
    {"reason": tuple(Reason)},
)
DONATIONS = Metric("everycent_donations_total", Kind.COUNTER, "donations", f"Donations written. {_SINCE_START}")
DONATED_FEN = Metric(
    "everycent_donated_fen_total", Kind.COUNTER, "fen", f"What the donations come to, 1/100 yuan. {_SINCE_START}"
)
LATE_DONATIONS = Metric(
    "everycent_late_donations_total",
    Kind.COUNTER,
    "donations",
    f"Donations that came after the watermark had passed the end of their minute; they count all the same. "
    f"{_SINCE_START}",
)
RELEASED_DONATIONS = Metric(
    "everycent_released_donations_total",
    Kind.COUNTER,
    "donations",
    "Donations for a minute or an hour that had left memory, once for each such window: they count in the longer "
    f"windows alone. {_SINCE_START}",
)
COMMIT_SECONDS = Metric(
    "everycent_commit_seconds",
    Kind.HISTOGRAM,
    "seconds",
    "How long a commit took, from writing down its output to the end of its transaction. Only those that went through.",
    _STAGE,
    _SECONDS,
)
COMMIT_RECORDS = Metric(
    "everycent_commit_records",
    Kind.HISTOGRAM,
    "records",
    "Records of the input that a commit was made of; 0 where it only told the time or mended the group's offset.",
    _STAGE,
    _RECORDS,
)
FOLD_SECONDS = Metric(
    "everycent_fold_seconds",
    Kind.HISTOGRAM,
    "seconds",
    "How long one fetched batch took to fold. Nothing else of the worker runs meanwhile.",
    _STAGE,
    _SECONDS,
)
ORDER_TO_TOTAL_SECONDS = Metric(
    "everycent_order_to_total_seconds",
    Kind.HISTOGRAM,
    "seconds",
    "From the append of an order (the broker's stamp) to the commit of its totals (this worker's clock). One "
    "observation for each commit of `split` and each partition of totals that got sums of it, for the oldest order "
    "in it that donated: no order of it waited longer. Orders that the broker doesn't stamp aren't meaningful here.",
    {},
    _LONG_SECONDS,
)
RESTORES = Metric(
    "everycent_restores_total",
    Kind.COUNTER,
    "restores",
    "Partitions whose state was read back: after an assignment or a failure. By this process since its start.",
    _STAGE,
)
RESTORE_SECONDS = Metric(
    "everycent_restore_seconds",
    Kind.HISTOGRAM,
    "seconds",
    "How long reading back the state of one partition took.",
    _STAGE,
    _LONG_SECONDS,
)
FENCED = Metric(
    "everycent_fenced_total",
    Kind.COUNTER,
    "fences",
    "How often the broker refused a partition's writer, as another worker had taken it over or the broker had given "
    "it up. By this process since its start.",
    _STAGE,
)
REBALANCES = Metric(
    "everycent_rebalances_total",
    Kind.COUNTER,
    "assignments",
    "Assignments of partitions that this worker got, the first one included. By this process since its start.",
)
BUILD_INFO = Metric(
    "everycent_build_info", Kind.GAUGE, "none", "Always 1; the version that runs here.", {"version": ANY}
)
PARTITION_READY = Metric(
    "everycent_partition_ready",
    Kind.GAUGE,
    "none",
    "1: restored, folds and commits. 0: starts, restores or waits after a failure.",
    OF_PARTITION,
)
PARTITION_POSITION = Metric(
    "everycent_partition_position",
    Kind.GAUGE,
    "offset",
    "Offset of the next record to fold. Absent while not ready.",
    OF_PARTITION,
)
PARTITION_LAG = Metric(
    "everycent_partition_lag",
    Kind.GAUGE,
    "offsets",
    "Offsets from the last commit to the end that was last seen, 0 when nothing is left to do; transaction markers "
    "since that commit count in. Absent while not ready, and while the end is not known.",
    OF_PARTITION,
)
PARTITION_LAG_SECONDS = Metric(
    "everycent_partition_lag_seconds",
    Kind.GAUGE,
    "seconds",
    "All that was appended longer ago than this is committed; 0 when nothing is left to do. By the broker's stamps "
    "and this worker's clock. Absent with everycent_partition_lag.",
    OF_PARTITION,
)
WATERMARK_DELAY_SECONDS = Metric(
    "everycent_watermark_delay_seconds",
    Kind.GAUGE,
    "seconds",
    "How far the watermark is behind the clock, on the partition of this worker where it is farthest. Live it is the "
    "allowed lateness and a little; over a backlog of old orders it is their age. Absent until a watermark is known.",
    of_worker=Worker.OLDEST,
)
DEDUPE_IDS = Metric(
    "everycent_dedupe_ids",
    Kind.GAUGE,
    "ids",
    "Order ids that this worker holds, over all its partitions; those past the dedupe horizon leave some time after.",
)
TABLE_ENTRIES = Metric(
    "everycent_table_entries",
    Kind.GAUGE,
    "totals",
    "Totals that this worker holds in memory, by kind of window, over all its partitions.",
    {"window": tuple(WindowKind)},
)

WORKER_METRICS = (
    *(ORDERS, REJECTED_ORDERS, DONATIONS, DONATED_FEN, LATE_DONATIONS, RELEASED_DONATIONS),
    *(COMMIT_SECONDS, COMMIT_RECORDS, FOLD_SECONDS, ORDER_TO_TOTAL_SECONDS),
    *(PARTITION_READY, PARTITION_POSITION, PARTITION_LAG, PARTITION_LAG_SECONDS, WATERMARK_DELAY_SECONDS),
    *(DEDUPE_IDS, TABLE_ENTRIES),
    *(RESTORES, RESTORE_SECONDS, FENCED, REBALANCES, BUILD_INFO),
)

# A metric with the values of its labels, and a figure for each.
Figures = Mapping[tuple[Metric, *tuple[str, ...]], int]
NO_FIGURES: Figures = {}


@dataclass(frozen=True, slots=True)
class PartitionStanding:
    """Where one partition of this worker stands. What isn't known is None; nothing is before it is ready."""

    topic: str
    partition: int
    is_ready: bool
    position: int | None = None  # the next offset to fold
    lag: int | None = None  # offsets from the last commit to the end
    lag_s: float | None = None
    levels: Figures = field(default_factory=dict)  # what it holds, for gauges


Standings = Callable[[], Sequence[PartitionStanding]]


class WorkerMetrics:
    """Counters and histograms of one worker, in a registry of their own: the library's is shared by the process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series beside each counter, of which nobody asks anything
        self.registry = CollectorRegistry()
        self._children: dict[tuple[Metric, *tuple[str, ...]], Any] = {}
        self._parents: dict[Metric, Counter | Histogram] = {}
        for metric in WORKER_METRICS:
            if metric.kind is Kind.GAUGE:
                continue
            options: Any = {"buckets": metric.buckets} if metric.kind is Kind.HISTOGRAM else {}
            make = Histogram if metric.kind is Kind.HISTOGRAM else Counter
            self._parents[metric] = make(
                metric.name, metric.help, list(metric.labels), registry=self.registry, **options
            )
            for value in [value for values in metric.labels.values() for value in values]:
                self._child(metric, value)  # there from the start, or the first increase couldn't be seen

    def add(self, figures: Figures) -> None:
        """Add to counters."""
        for (metric, *labels), amount in figures.items():
            if amount:
                self._child(metric, *labels).inc(amount)

    def count(self, metric: Metric, *labels: str) -> None:
        self._child(metric, *labels).inc()

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        self._child(metric, *labels).observe(value)

    def serve_also(self, standings: Standings) -> None:
        """Add what is read when it's asked for: the partitions, and what the library knows of process and Python."""
        register(self.registry, WorkerCollector(standings))

    def _child(self, metric: Metric, *labels: str) -> Any:
        child = self._children.get((metric, *labels))
        if child is None:
            parent = self._parents[metric]
            child = self._children[metric, *labels] = parent.labels(*labels) if labels else parent
        return child


def register(registry: CollectorRegistry, collector: Collector) -> CollectorRegistry:
    """Add what `collector` gives, and the process's own figures; the registry."""
    registry.register(collector)
    for library_collector in (ProcessCollector, PlatformCollector, GCCollector):
        library_collector(registry=registry)
    return registry


class WorkerCollector(Collector):
    """Reads the gauges off the worker's partitions, each time that it is asked. `standings` must be thread-safe."""

    def __init__(self, standings: Standings) -> None:
        self._standings = standings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        standings = self._standings()
        families = {
            metric: GaugeMetricFamily(metric.name, metric.help, labels=list(metric.labels))
            for metric in WORKER_METRICS
            if metric.kind is Kind.GAUGE
        }
        families[BUILD_INFO].add_metric([__version__], 1)
        for standing in standings:
            labels = [standing.topic, str(standing.partition)]
            families[PARTITION_READY].add_metric(labels, standing.is_ready)
            for metric, value in (
                (PARTITION_POSITION, standing.position),
                (PARTITION_LAG, standing.lag),
                (PARTITION_LAG_SECONDS, standing.lag_s),
            ):
                if value is not None:
                    families[metric].add_metric(labels, value)
        for (metric, *values), figure in _of_worker(standings).items():
            families[metric].add_metric(values, figure)
        yield from families.values()


def _of_worker(standings: Sequence[PartitionStanding]) -> dict[tuple[Metric, *tuple[str, ...]], float]:
    """The levels of all partitions together."""
    levels: dict[tuple[Metric, *tuple[str, ...]], list[int]] = {}
    for standing in standings:
        for key, level in standing.levels.items():
            levels.setdefault(key, []).append(level)
    now_s = time.time()
    return {
        key: sum(found) if key[0].of_worker is Worker.SUM else now_s - min(found) / 1_000
        for key, found in levels.items()
    }
