"""Every metric of what runs beside the workers (the following audit, the server, the ledger), and how it is read off.

Counters are of the process and begin at 0 with it. All of it is read when somebody asks, in the metrics server's own
threads, from a standing that the service gives.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from streams import __version__
from streams.metrics import ANY, BUILD_INFO, OF_PARTITION, WORKER_METRICS, Kind, Metric

AUDIT_CONSERVED = Metric(
    "everycent_audit_conserved",
    Kind.GAUGE,
    "none",
    "1: all that the following audit has checked is as the orders say, to the fen. 0: it isn't, until the audit is "
    "started again.",
)
AUDIT_FINDINGS = Metric(
    "everycent_audit_findings_total",
    Kind.COUNTER,
    "findings",
    "Differences that the following audit has found, by kind. Starts again with the audit.",
    {"kind": ANY},
)
AUDIT_CHECKED_OFFSET = Metric(
    "everycent_audit_checked_offset",
    Kind.GAUGE,
    "offset",
    "Everything before this offset is checked by the following audit.",
    OF_PARTITION,
)
AUDIT_LAG_SECONDS = Metric(
    "everycent_audit_lag_seconds",
    Kind.GAUGE,
    "seconds",
    "So many seconds ago is the moment of which all that was committed then is checked; while the following audit "
    "catches up from the oldest records, the seconds since its start.",
)

SERVE_WATCHERS = Metric(
    "everycent_serve_watchers", Kind.GAUGE, "watchers", "Pages and programs that get live updates of this server now."
)
SERVE_DELAY_SECONDS = Metric(
    "everycent_serve_delay_seconds",
    Kind.GAUGE,
    "seconds",
    "All that had been ordered so many seconds ago is in the figures that the server shows. While that isn't known, as "
    "it rebuilds or no look at the broker has come through yet, the seconds since its start.",
)
SERVE_BROKER_ANSWERS = Metric(
    "everycent_serve_broker_answers",
    Kind.GAUGE,
    "none",
    "1: the server's last look at the broker was answered. 0: it wasn't, so the figures stand still; the page says so.",
)
SERVE_LEFT_RECORDS = Metric(
    "everycent_serve_left_records",
    Kind.GAUGE,
    "records",
    "Offsets that the server has still to read of what stood on the topics at its start; it gives no figures before "
    "that. 0: it is live.",
)
SERVE_UNREADABLE = Metric(
    "everycent_serve_unreadable_total",
    Kind.COUNTER,
    "records",
    "Records of `project-totals` and `projects` that the server could not read and passed over. Since its start.",
)
LEDGER_LEAVES = Metric(
    "everycent_ledger_leaves",
    Kind.GAUGE,
    "leaves",
    "Donations that are leaves of the log of a partition, published or about to be.",
    OF_PARTITION,
)
LEDGER_PUBLISHED_LEAVES = Metric(
    "everycent_ledger_published_leaves",
    Kind.GAUGE,
    "leaves",
    "Size of the log's newest checkpoint: so many of its leaves everybody can see and check.",
    OF_PARTITION,
)
LEDGER_CHECKPOINT_AGE_SECONDS = Metric(
    "everycent_ledger_checkpoint_age_seconds",
    Kind.GAUGE,
    "seconds",
    "Since this process last published a checkpoint of the log; before its first one, since its start. A log that "
    "nothing comes for publishes none.",
    OF_PARTITION,
)
LEDGER_LAG_SECONDS = Metric(
    "everycent_ledger_lag_seconds",
    Kind.GAUGE,
    "seconds",
    "All that was committed to the partition of `donations` so many seconds ago is published. It grows while there is "
    "more to take in than the ledger has come to, and while no broker answers.",
    OF_PARTITION,
)
LEDGER_REFUSALS = Metric(
    "everycent_ledger_refusals_total",
    Kind.COUNTER,
    "refusals",
    "1 once the ledger has refused to sign, as that would contradict what it has signed before, or as a log's files or "
    "keys don't fit together. It then shows this for a minute, writes nothing any more, and ends with exit status 2.",
)

AUDIT_METRICS = (AUDIT_CONSERVED, AUDIT_FINDINGS, AUDIT_CHECKED_OFFSET, AUDIT_LAG_SECONDS)  # of `audit --follow`
SERVE_METRICS = (SERVE_WATCHERS, SERVE_DELAY_SECONDS, SERVE_BROKER_ANSWERS, SERVE_LEFT_RECORDS, SERVE_UNREADABLE)
LEDGER_METRICS = (
    *(LEDGER_LEAVES, LEDGER_PUBLISHED_LEAVES, LEDGER_CHECKPOINT_AGE_SECONDS, LEDGER_LAG_SECONDS, LEDGER_REFUSALS),
)
METRICS = WORKER_METRICS + AUDIT_METRICS + SERVE_METRICS + LEDGER_METRICS

# A metric, the values of its labels, and its figure now.
Sample = tuple[Metric, tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class AuditStanding:
    """How far the following audit has come, and what it has found."""

    findings: dict[str, int]  # by kind, each kind that there is
    checked: dict[tuple[str, int], int]  # by topic and partition: the offset before which all is checked
    lag_seconds: float

    def samples(self) -> Iterator[Sample]:
        """What it shows."""
        yield AUDIT_CONSERVED, (), int(not any(self.findings.values()))
        yield AUDIT_LAG_SECONDS, (), self.lag_seconds
        for kind, number in self.findings.items():
            yield AUDIT_FINDINGS, (kind,), number
        for (topic, partition), offset in self.checked.items():
            yield AUDIT_CHECKED_OFFSET, (topic, str(partition)), offset


@dataclass(frozen=True, slots=True)
class ServeStanding:
    """What the server shows, how old it is, and to how many."""

    watchers: int
    delay_seconds: float
    broker_answers: bool
    left_records: int | None  # not known at first
    unreadable: int

    def samples(self) -> Iterator[Sample]:
        """What it shows."""
        yield SERVE_WATCHERS, (), self.watchers
        yield SERVE_DELAY_SECONDS, (), self.delay_seconds
        yield SERVE_BROKER_ANSWERS, (), int(self.broker_answers)
        yield SERVE_UNREADABLE, (), self.unreadable
        if self.left_records is not None:
            yield SERVE_LEFT_RECORDS, (), self.left_records


@dataclass(frozen=True, slots=True)
class LogStanding:
    """One log of the ledger."""

    topic: str
    partition: int
    leaves: int
    published_leaves: int
    checkpoint_age_seconds: float
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class LedgerStanding:
    """Where the logs of a ledger stand, and whether it refuses to go on."""

    logs: Sequence[LogStanding] = ()
    refusals: int = 0

    def samples(self) -> Iterator[Sample]:
        """What it shows."""
        yield LEDGER_REFUSALS, (), self.refusals
        for log in self.logs:
            labels = (log.topic, str(log.partition))
            yield LEDGER_LEAVES, labels, log.leaves
            yield LEDGER_PUBLISHED_LEAVES, labels, log.published_leaves
            yield LEDGER_CHECKPOINT_AGE_SECONDS, labels, log.checkpoint_age_seconds
            yield LEDGER_LAG_SECONDS, labels, log.lag_seconds


class ServiceCollector(Collector):
    """Reads the metrics off a service, each time that it is asked. `standing` must be thread-safe."""

    def __init__(
        self, metrics: Sequence[Metric], standing: Callable[[], AuditStanding | ServeStanding | LedgerStanding]
    ) -> None:
        self._metrics = metrics
        self._standing = standing

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        families = {metric: _family(metric) for metric in (BUILD_INFO, *self._metrics)}
        families[BUILD_INFO].add_metric([__version__], 1)
        for metric, labels, value in self._standing().samples():
            families[metric].add_metric(labels, value)
        yield from families.values()


def _family(metric: Metric) -> GaugeMetricFamily | CounterMetricFamily:
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    return make(metric.name, metric.help, labels=list(metric.labels))
