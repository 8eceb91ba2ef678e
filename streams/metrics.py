"""The metrics of a worker and of the following audit, with their help texts, and the port that Prometheus asks.

Values are read from the worker's partitions when somebody asks, in the server's own thread, so a record or a commit
costs nothing more for them. Nothing here survives a crash and nothing needs to: the topics are the truth.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from streams import __version__

logger = structlog.get_logger(__name__)

ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - Prometheus asks from another container or machine


@dataclass(frozen=True, slots=True)
class PartitionStanding:
    """Where one partition of this worker stands. What isn't known is None; nothing is before it is ready."""

    topic: str
    partition: int
    is_ready: bool
    position: int | None = None  # the next offset to fold
    lag: int | None = None  # offsets from the last commit to the end


Standings = Callable[[], Sequence[PartitionStanding]]


class WorkerCollector(Collector):
    """Reads the metrics off the worker's partitions, each time that it is asked. `standings` must be thread-safe."""

    def __init__(self, standings: Standings) -> None:
        self._standings = standings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        build = _build_info()
        ready = _of_partitions("ready", "1: restored, folds and commits. 0: starts, restores or waits after a failure.")
        position = _of_partitions("position", "Offset of the next record to fold. Absent while not ready.")
        lag = _of_partitions(
            "lag",
            "Offsets from the last commit to the end that was last seen, 0 when nothing is left to do; transaction "
            "markers since that commit count in. Absent while not ready, and while the end is not known.",
        )
        for standing in self._standings():
            labels = [standing.topic, str(standing.partition)]
            ready.add_metric(labels, standing.is_ready)
            if standing.position is not None:
                position.add_metric(labels, standing.position)
            if standing.lag is not None:
                lag.add_metric(labels, standing.lag)
        yield from (build, ready, position, lag)


@dataclass(frozen=True, slots=True)
class AuditStanding:
    """How far the following audit has come, and what it has found."""

    findings: dict[str, int]  # by kind, each kind that there is
    checked: dict[tuple[str, int], int]  # by topic and partition: the offset before which all is checked
    lag_seconds: float


class AuditCollector(Collector):
    """Reads the metrics off the following audit, each time that it is asked. `standing` must be thread-safe."""

    def __init__(self, standing: Callable[[], AuditStanding]) -> None:
        self._standing = standing

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        standing = self._standing()
        conserved = GaugeMetricFamily(
            "everycent_audit_conserved",
            "1: all that is checked is as the orders say, to the fen. 0: it isn't, until the audit is started again.",
            value=int(not any(standing.findings.values())),
        )
        findings = CounterMetricFamily(
            "everycent_audit_findings",
            "Differences that were found, by kind. Starts again with the audit.",
            labels=["kind"],
        )
        for kind, number in standing.findings.items():
            findings.add_metric([kind], number)
        checked = GaugeMetricFamily(
            "everycent_audit_checked_offset", "Everything before this offset is checked.", labels=["topic", "partition"]
        )
        for (topic, partition), offset in standing.checked.items():
            checked.add_metric([topic, str(partition)], offset)
        lag = GaugeMetricFamily(
            "everycent_audit_lag_seconds",
            "So many seconds ago is the moment of which all that was committed then is checked; while the audit "
            "catches up from the oldest records, the seconds since its start.",
            value=standing.lag_seconds,
        )
        yield from (_build_info(), conserved, findings, checked, lag)


def _build_info() -> GaugeMetricFamily:
    build = GaugeMetricFamily("everycent_build_info", "Always 1; the version that runs here.", labels=["version"])
    build.add_metric([__version__], 1)
    return build


def _of_partitions(name: str, help_text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"everycent_partition_{name}", help_text, labels=["topic", "partition"])


@contextmanager
def serving_metrics(port: int, standings: Standings, address: str = ALL_INTERFACES) -> Iterator[None]:
    """Serve a worker's metrics on `port` inside the block; 0: don't."""
    with serving(port, WorkerCollector(standings), address):
        yield


@contextmanager
def serving(port: int, collector: Collector, address: str = ALL_INTERFACES) -> Iterator[None]:
    """Serve what `collector` gives, and the process's own figures, on `port` inside the block; 0: don't.

    A port that can't be had is a warning: several workers on one machine are common, and orders matter more.
    """
    if port == 0:
        yield
        return
    registry = CollectorRegistry()  # of its own: the library's default one is shared by the whole process
    registry.register(collector)
    for library_collector in (ProcessCollector, PlatformCollector, GCCollector):
        library_collector(registry=registry)
    try:
        server, thread = start_http_server(port, address, registry)
    except OSError as error:
        logger.warning(
            "no metrics: the port can't be had; set EVERYCENT_METRICS_PORT to another one, or to 0 for none",
            port=port,
            error=str(error),
        )
        yield
        return
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
