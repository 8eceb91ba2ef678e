"""The engines of the side-by-side run: how each is started on a deployment's topics, and where it writes its totals."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from streams.errors import UserError
from streams.settings import Settings
from tests.bench.peers import confluent_loop
from tests.bench.peers.java import FLINK, KAFKA_STREAMS, JavaPeer
from tests.bench.processes import MeasuredProcess, measured_process, worker

COMMIT_MS = 1_500  # of the peers: as seldom as our own commits become under a backlog


class Engine(StrEnum):
    """In the order in which they run."""

    EVERYCENT = "everycent"
    KAFKA_STREAMS = "kafka-streams"
    FLINK = "flink"
    CONFLUENT_LOOP = "confluent-loop"


@dataclass(frozen=True, slots=True)
class Variant:
    """What may be set of the peers in Java."""

    threads: int = 1  # of Kafka Streams
    compression: str = "zstd"
    commit_ms: int = COMMIT_MS


DEFAULT_VARIANT = Variant()
JAVA: dict[Engine, JavaPeer] = {Engine.KAFKA_STREAMS: KAFKA_STREAMS, Engine.FLINK: FLINK}


def check(engine: Engine) -> None:
    """Make ready what the engine needs. Raises UserError with the way out."""
    if engine in JAVA:
        JAVA[engine].command()
    if engine is Engine.CONFLUENT_LOOP and find_spec("confluent_kafka") is None:
        raise UserError("the confluent-kafka loop needs its library: .venv/bin/pip install -e '.[bench]'")


@contextmanager
def running(
    engine: Engine, settings: Settings, variant: Variant, state: Path | None = None
) -> Iterator[MeasuredProcess]:
    """The engine's process, started; stopped at the end.

    `state`: a folder for what it keeps beside Kafka, which it goes on from; by default one that lives as long as it.
    """
    if engine is Engine.EVERYCENT:
        with worker(settings) as process:
            yield process
    elif engine is Engine.CONFLUENT_LOOP:
        with measured_process(settings, confluent_loop.__file__) as process:
            yield process
    else:
        with (
            TemporaryDirectory(prefix=f"{engine}-") as folder,
            measured_process(
                settings,
                *_java_arguments(settings, variant, state or Path(folder)),
                program=JAVA[engine].command(),
            ) as process,
        ):
            yield process


def totals_topic(engine: Engine, settings: Settings) -> str:
    """Kafka Streams' totals are their own changelog: written once, as ours are."""
    if engine is Engine.KAFKA_STREAMS:
        return f"{settings.app_id}-project-totals-changelog"
    return settings.topics.project_totals


def own_topics(engine: Engine, settings: Settings) -> list[str]:
    """What it makes beside the contract's topics."""
    if engine is Engine.KAFKA_STREAMS:
        return [f"{settings.app_id}-{store}-changelog" for store in ("project-totals", "partial-sums")]
    return []


def describe(engine: Engine, variant: Variant) -> dict[str, Any]:
    if engine is Engine.EVERYCENT:
        return {"command": "everycent worker --roles split,totals"}
    if engine is Engine.CONFLUENT_LOOP:
        return {"command": "python tests/bench/peers/confluent_loop.py"}
    peer = JAVA[engine]
    about: dict[str, Any] = {
        "command": f"java {' '.join(peer.options)} {peer.main}",
        "compression": variant.compression,
        "commit_ms": variant.commit_ms,
    }
    return {**about, "threads": variant.threads} if engine is Engine.KAFKA_STREAMS else about


def _java_arguments(settings: Settings, variant: Variant, state: Path) -> list[str]:
    pairs = {
        "broker": settings.broker,
        "app-id": settings.app_id,
        "prefix": settings.topic_prefix,
        "zone": settings.timezone,
        "lateness-ms": settings.allowed_lateness_ms,
        "session-ms": settings.session_timeout_ms,
        "threads": variant.threads,
        "compression": variant.compression,
        "commit-ms": variant.commit_ms,
        "state-dir": state,
    }
    return [str(word) for pair in pairs.items() for word in pair]
