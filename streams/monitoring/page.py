"""`docs/metrics.md`, made from the metrics themselves."""

from streams.ledger_service.witness_metrics import WITNESS_METRICS
from streams.metrics import Kind, Metric, Worker
from streams.metrics_server import PAGES
from streams.metrics_service import METRICS

HEAD = f"""# Metrics

Generated from `streams/metrics.py` and `streams/metrics_service.py` by `make generated`; `make check` fails where they
differ.

A worker serves {", ".join(f"`{page}`" for page in PAGES)} on `EVERYCENT_METRICS_PORT`. `/healthz` answers 503 when the
event loop doesn't turn, or a partition with work to do gets no further, for half of `EVERYCENT_STALL_TIMEOUT_S`; after
all of it the worker ends by itself. `/readyz` answers 503 until all that the worker was assigned is restored, and again
while it ends. Either says what is wrong: `{{"status":"failing","problems":["orders-3 is restoring"]}}`.

**Counters count what is committed**: they grow after a commit has gone through, never before. So over one life of a
worker they agree with the audit to the unit. They are of the process: a crash takes them along, a commit that went
through as its worker died is counted by nobody, and the next worker begins at 0. The topics are the truth, and
`everycent audit` reads them. Use `rate` and `increase`, which know restarts, and don't hold a counter against the
ledger.

`everycent audit --follow`, `everycent serve` and `everycent ledger run` serve the same three pages on the same port,
with metrics of their own. `/healthz` answers 503 when one of their loops doesn't get on for half of
`EVERYCENT_STALL_TIMEOUT_S`, and after all of it the process ends; a loop that waits for a broker that is away gets on.
`/readyz` answers 503 until they have caught up with what stood on the topics at their start.

`everycent_witness_…` (`streams/ledger_service/witness_metrics.py`) are of [a witness](witnesses.md), which others run:
one series for each log that it watches.

`stage` is `split` or `totals`, `topic` and `partition` are those of the input. No label has an id of a project, an
order or a person. Besides these, the Python library's metrics of the process (`process_…`, `python_…`) are served.
[The runbook](runbook.md) has the alerts that go by them.
"""


def metrics_page() -> str:
    """The page's text."""
    return "\n".join([HEAD, *(_section(metric) for metric in (*METRICS, *WITNESS_METRICS))])


def _section(metric: Metric) -> str:
    lines = [f"## {metric.name}", "", f"{metric.kind.capitalize()}, unit: {metric.unit}.{_labels(metric)}", ""]
    lines += [metric.help, ""]
    if metric.buckets:
        lines += [f"Buckets up to {', '.join(f'{bound:,g}' for bound in metric.buckets)}.", ""]
    if metric.kind is Kind.GAUGE and metric.of_worker is Worker.OLDEST:
        lines += ["Of several workers take the greatest: `max`.", ""]
    return "\n".join(lines)


def _labels(metric: Metric) -> str:
    if not metric.labels:
        return ""
    known = (f"`{name}`" + (f" ({', '.join(values)})" if values else "") for name, values in metric.labels.items())
    return f" Labels: {'; '.join(known)}."
