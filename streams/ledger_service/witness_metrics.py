"""What a witness shows of itself: how far each log is cosigned, whether there is an alarm, and that it still looks."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from streams import __version__
from streams.ledger_service.witness import Outcome, Standing
from streams.metrics import BUILD_INFO, Kind, Metric

_LOG = {"log": ()}

WITNESS_ALARM = Metric(
    "everycent_witness_alarm",
    Kind.GAUGE,
    "none",
    "1: this log has broken its promise, or shows less than it has signed, or what another key has signed; the "
    "witness's log lines and its folder with evidence say more. 0: it hasn't.",
    _LOG,
)
WITNESS_SIZE = Metric(
    "everycent_witness_cosigned_leaves",
    Kind.GAUGE,
    "leaves",
    "Size of the newest tree that this witness has cosigned.",
    _LOG,
)
WITNESS_COSIGNED_SECONDS = Metric(
    "everycent_witness_cosigned_timestamp_seconds",
    Kind.GAUGE,
    "seconds",
    "When that was, since the epoch; 0: never.",
    _LOG,
)
WITNESS_GOOD_SECONDS = Metric(
    "everycent_witness_good_timestamp_seconds",
    Kind.GAUGE,
    "seconds",
    "When this log was last reached and seen to have only grown, or not to have changed, since the epoch; at first "
    "when it was last cosigned.",
    _LOG,
)
WITNESS_METRICS = (WITNESS_ALARM, WITNESS_SIZE, WITNESS_COSIGNED_SECONDS, WITNESS_GOOD_SECONDS)


class WitnessCollector(Collector):
    """Reads the metrics off the witness, each time that it is asked. `standings`: by the log's origin."""

    def __init__(self, standings: Callable[[], Mapping[str, Standing]]) -> None:
        self._standings = standings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = {
            metric: GaugeMetricFamily(metric.name, metric.help, labels=list(metric.labels))
            for metric in (*WITNESS_METRICS, BUILD_INFO)
        }
        families[BUILD_INFO].add_metric([__version__], 1)
        for origin, standing in self._standings().items():
            families[WITNESS_ALARM].add_metric([origin], int(standing.outcome is Outcome.ALARM))
            families[WITNESS_SIZE].add_metric([origin], standing.size)
            families[WITNESS_COSIGNED_SECONDS].add_metric([origin], standing.cosigned_s)
            families[WITNESS_GOOD_SECONDS].add_metric([origin], standing.good_s)
        yield from families.values()
