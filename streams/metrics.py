"""The metrics of a worker: every one of them, with its help text, and the port that Prometheus asks.

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
from prometheus_client.core import GaugeMetricFamily
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
        build = GaugeMetricFamily("everycent_build_info", "Always 1; the version that runs here.", labels=["version"])
        build.add_metric([__version__], 1)
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


def _of_partitions(name: str, help_text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"everycent_partition_{name}", help_text, labels=["topic", "partition"])


@contextmanager
def serving_metrics(port: int, standings: Standings, address: str = ALL_INTERFACES) -> Iterator[None]:
    """Serve the metrics on `port` inside the block; 0: don't.

    A port that can't be had is a warning: several workers on one machine are common, and orders matter more.
    """
    if port == 0:
        yield
        return
    registry = CollectorRegistry()  # of its own: the library's default one is shared by the whole process
    registry.register(WorkerCollector(standings))
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
