"""What tests of several folders share: the real broker, and settings that no other test has."""

import logging
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from streams.engine.embedded_broker import EmbeddedBroker
from streams.engine.topic_admin import create_topics
from streams.settings import Settings

KAFKA_FOLDER = Path(__file__).parent / "kafka"

# No example has a time limit: what a busy machine takes says nothing of what is right.
hypothesis.settings.register_profile("everycent", deadline=None)
hypothesis.settings.load_profile("everycent")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if KAFKA_FOLDER in item.path.parents or "broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(autouse=True)
def logs_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that was run in this process has set up logging, to a stderr that the test alone has.

    No logger may be kept from its first line on, as commands keep theirs: a later test would write to that stderr.
    """
    configure = structlog.configure
    monkeypatch.setattr(structlog, "configure", lambda **how: configure(**{**how, "cache_logger_on_first_use": False}))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """Address of the broker that EVERYCENT_BROKER names, or else of one that lives as long as this test run."""
    if address := os.environ.get("EVERYCENT_BROKER"):
        yield address
        return
    with tempfile.TemporaryDirectory(prefix="everycent-broker-") as folder, EmbeddedBroker(Path(folder)) as embedded:
        yield embedded.address


@pytest.fixture
def settings(broker: str) -> Settings:
    """Settings of a deployment of this test's own: its topics, its group and its transactions."""
    unique = uuid.uuid4().hex[:12]
    return Settings(
        broker=broker,
        topic_prefix=f"t{unique}-",
        app_id=f"app-{unique}",
        metrics_port=0,
        partitions=4,
        log_level="warning",
        session_timeout_ms=3_000,  # a test that kills a worker needn't wait longer for its partitions to move
    )


@pytest.fixture
async def topics(settings: Settings) -> Settings:
    """The same settings, their topics made."""
    await create_topics(settings)
    return settings
