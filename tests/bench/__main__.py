"""`make bench` = `python -m tests.bench`: what a worker costs, beside other engines.

Figures go to stdout, as a table or with `--json` as one document; progress goes to stderr. Kafka is the embedded one,
on this machine, unless EVERYCENT_BROKER names another. Exit status: 0 measured, 1 the output of a run was wrong (its
figures don't count), 2 it couldn't be measured.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.domain.load import Scenario
from streams.engine.embedded_broker import EmbeddedBroker
from streams.errors import ExitStatus, UserError
from streams.logs import configure_logs
from streams.settings import Settings, load_settings
from tests.bench import (
    job_audit,
    job_dedupe,
    job_everycent,
    job_latency,
    job_ledger,
    job_memory,
    job_peers,
    job_plain_faust,
    job_restore,
    job_service,
    machine,
    tables,
)
from tests.bench.engines import COMMIT_MS, Engine, Variant
from tests.bench.figures import ratio
from tests.bench.options import Options, PeerOptions, say

FORMAT = 1


class Job(StrEnum):
    """What can be measured, in the order in which it is."""

    EVERYCENT = "everycent"
    PLAIN_FAUST = "plain-faust"
    LATENCY = "latency"
    SERVICE = "service"
    RESTORE = "restore"
    DEDUPE = "dedupe"
    MEMORY = "memory"
    LEDGER = "ledger"
    PEERS = "peers"
    AUDIT = "audit"


RUN: dict[Job, Callable[[Options], Coroutine[Any, Any, dict[str, Any]]]] = {
    Job.EVERYCENT: job_everycent.run,
    Job.PLAIN_FAUST: job_plain_faust.run,
    Job.LATENCY: job_latency.run,
    Job.SERVICE: job_service.run,
    Job.RESTORE: job_restore.run,
    Job.DEDUPE: job_dedupe.run,
    Job.MEMORY: job_memory.run,
    Job.LEDGER: job_ledger.run,
    Job.PEERS: job_peers.run,
    Job.AUDIT: job_audit.run,
}


def bench(
    *,
    orders: Annotated[int, typer.Option(min=100, help="Orders of a large run of ours; a small one has a fifth.")] = (
        1_000_000
    ),
    peer_orders: Annotated[int, typer.Option(min=10, help="Orders of a run of plain Faust.")] = 10_000,
    entries: Annotated[int, typer.Option(min=100, help="Window totals to restore.")] = 1_000_000,
    ids: Annotated[int, typer.Option(min=20_000, help="Orders to restore the memory of repeats from.")] = 1_000_000,
    index_ids: Annotated[
        int, typer.Option(min=10_000, help="Donations in the ledger's index; 100,000,000 take 2 GB of disk.")
    ] = 1_000_000,
    runs: Annotated[int, typer.Option(min=1, max=100, help="Counted runs of each size.")] = 3,
    seconds: Annotated[float, typer.Option(min=20, help="How long latency, or a worker at rest, is looked at.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the load.")] = 1,
    scenario: Annotated[Scenario, typer.Option(help="How dense the orders lie in event time.")] = Scenario.STEADY,
    audit: Annotated[bool, typer.Option(help="Also run the whole audit over each of our runs.")] = False,
    only: Annotated[list[Job] | None, typer.Option(help="Measure only this; may be repeated.")] = None,
    engine: Annotated[list[Engine] | None, typer.Option(help="Of the peers, only this; may be repeated.")] = None,
    warm_orders: Annotated[
        int, typer.Option(min=100, help="Peers: orders before any count; 12,000,000 are over a minute.")
    ] = 12_000_000,
    segment_orders: Annotated[int, typer.Option(min=100, help="Peers: orders of a counted run.")] = 2_000_000,
    segments: Annotated[int, typer.Option(min=1, max=100, help="Peers: counted runs of each engine.")] = 5,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Peers: threads of Kafka Streams.")] = 1,
    compression: Annotated[str, typer.Option(help="Peers: what those in Java pack with.")] = "zstd",
    commit_ms: Annotated[int, typer.Option(min=10, help="Peers: commit interval of those in Java.")] = COMMIT_MS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")] = False,
) -> None:
    """Measure one worker (CPU an order, orders a second, memory, restores), and other engines on the same orders.

    Figures of a machine that does something else meanwhile are worth nothing; its load average stands beside them.

    Example: python -m tests.bench --only everycent --runs 5
    """
    settings = load_settings()
    configure_logs(settings.model_copy(update={"log_level": "warning"}))
    jobs = [job for job in Job if not only or job in only]
    embedded = "EVERYCENT_BROKER" not in os.environ
    variant = Variant(threads, compression, commit_ms)
    peers = PeerOptions(tuple(engine or Engine), warm_orders, segment_orders, segments, variant)
    document: dict[str, Any] = {
        "format": FORMAT,
        "command": " ".join(["python -m tests.bench", *sys.argv[1:]]),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(embedded_broker=embedded),
        "settings": _visible(settings),
        "jobs": {},
    }
    with _broker(settings, needed=not set(jobs) <= {Job.DEDUPE, Job.MEMORY}, embedded=embedded) as address:
        options = Options(
            address, orders, peer_orders, entries, ids, runs, seed, audit, scenario, seconds, peers, index_ids
        )
        for job in jobs:
            started, load_average = time.monotonic(), machine.load_average()
            result = asyncio.run(RUN[job](options))
            document["jobs"][job] = {
                **result,
                "load_average_before": load_average,
                "took_seconds": round(time.monotonic() - started, 1),
            }
    document["ratios"] = {**_ratios(document["jobs"]), **document["jobs"].get(Job.PEERS, {}).get("ratios", {})}
    if as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        tables.show(document)
    wrong = [job for job in jobs if job is not Job.PLAIN_FAUST and not document["jobs"][job]["right"]]
    if wrong:
        say(f"WRONG output in {', '.join(wrong)}: those figures don't count")
        raise typer.Exit(1)


@contextmanager
def _broker(settings: Settings, *, needed: bool, embedded: bool) -> Iterator[str]:
    """Address of the broker that EVERYCENT_BROKER names, or else of one that lives as long as this run."""
    if not embedded or not needed:
        yield settings.broker
        return
    with (
        tempfile.TemporaryDirectory(prefix="everycent-bench-broker-") as folder,
        EmbeddedBroker(Path(folder)) as broker,
    ):
        yield broker.address


def _visible(settings: Settings) -> dict[str, Any]:
    """What bears on a worker's figures; the deployments' own names, addresses and secrets stay out."""
    hidden = ("broker", "app_id", "topic_prefix", "partitions", "metrics_port", "log")
    return {name: value for name, value in settings.model_dump().items() if not name.startswith(hidden)}


def _ratios(jobs: dict[str, Any]) -> dict[str, float]:
    """How many times our CPU an order the peers take, each after its start."""
    ours = jobs.get(Job.EVERYCENT, {}).get("figures", {}).get("cpu_us_per_order")
    peers = jobs.get(Job.PLAIN_FAUST, {}).get("figures", {})
    if not ours:
        return {}
    return {
        f"plain-faust {name} / everycent, CPU an order": ratio(ours, figures["cpu_us_per_order"])
        for name, figures in peers.items()
    }


def main() -> None:
    # Told to end, we first end what we started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(bench)
    try:
        app()
    except UserError as error:
        say(f"bench: {error}")
        sys.exit(int(ExitStatus.UNUSABLE))


if __name__ == "__main__":
    main()
