"""What a worker's port says, asked for as Prometheus and Kubernetes do."""

import json
import socket
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from schemas.rejection import Reason
from streams.views.audit import AuditReport

Samples = dict[tuple[str, ...], float]
LABELS = ("topic", "partition", "outcome", "reason", "stage", "window", "le")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int) -> Samples:
    """Every sample by its name, without `everycent_`, and the values of its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return samples_of(answer.read().decode())


def samples_of(text: str) -> Samples:
    return {
        (
            sample.name.removeprefix("everycent_"),
            *(sample.labels[label] for label in LABELS if label in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def probe(port: int, page: str) -> tuple[int, list[str]]:
    """The status of `healthz` or `readyz`, and the problems that it names; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
            return answer.status, []
    except urllib.error.HTTPError as error:
        body: dict[str, Any] = json.loads(error.read())
        return error.code, body["problems"]
    except OSError:
        return 0, []


def counted(*workers: Samples) -> Counter[str]:
    """What several workers counted together, under the audit's names."""
    found: Counter[str] = Counter()
    for samples in workers:
        for outcome in ("accepted", "no_pledge", "repeat", "rejected"):
            found[outcome] += int(samples["orders_total", outcome])
        for reason in Reason:
            found[reason] += int(samples["rejected_orders_total", reason])
        found["donations"] += int(samples["donations_total",])
        found["fen"] += int(samples["donated_fen_total",])
    return found


def audited_counts(report: AuditReport) -> Counter[str]:
    """The same from the audit, whose `accepted` includes those without a pledge."""
    counts = report.counts
    return Counter(
        {
            "accepted": counts.accepted - counts.no_pledge,
            "no_pledge": counts.no_pledge,
            "repeat": counts.repeats,
            "rejected": counts.rejected.total(),
            **{reason: counts.rejected[reason] for reason in Reason},
            "donations": counts.donations,
            "fen": counts.fen,
        }
    )
