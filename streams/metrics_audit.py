"""What the following audit shows of itself: its verdict, its findings, and how far it has come."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from streams import __version__
from streams.metrics import AUDIT_CHECKED_OFFSET, AUDIT_CONSERVED, AUDIT_FINDINGS, AUDIT_LAG_SECONDS, BUILD_INFO, Metric


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
        build, conserved, checked, lag = (
            _gauge(metric) for metric in (BUILD_INFO, AUDIT_CONSERVED, AUDIT_CHECKED_OFFSET, AUDIT_LAG_SECONDS)
        )
        build.add_metric([__version__], 1)
        conserved.add_metric([], int(not any(standing.findings.values())))
        findings = CounterMetricFamily(AUDIT_FINDINGS.name, AUDIT_FINDINGS.help, labels=list(AUDIT_FINDINGS.labels))
        for kind, number in standing.findings.items():
            findings.add_metric([kind], number)
        for (topic, partition), offset in standing.checked.items():
            checked.add_metric([topic, str(partition)], offset)
        lag.add_metric([], standing.lag_seconds)
        yield from (build, conserved, findings, checked, lag)


def _gauge(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.help, labels=list(metric.labels))
