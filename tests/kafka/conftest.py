"""A broker that tests may kill, freeze and starve, and a proxy through which its clients may be made to reach it."""

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.engine.broker_config import HOST, Ports
from streams.engine.embedded_broker import FREE_PORTS, EmbeddedBroker, _is_free
from streams.engine.topic_admin import create_topics
from streams.settings import Settings
from tests.kafka.faults.proxy import KafkaProxy


@pytest.fixture(scope="session")
def _spare_broker() -> Iterator[tuple[EmbeddedBroker, KafkaProxy]]:
    """Who asks at CLIENT is sent to the proxy; INTERNAL is the broker itself."""
    shuffled = random.SystemRandom().sample(FREE_PORTS, len(FREE_PORTS))
    client, internal, controller, proxy = [port for port in shuffled if _is_free(port)][:4]
    advertised = f"CLIENT://{HOST}:{proxy},INTERNAL://{HOST}:{internal}"
    with tempfile.TemporaryDirectory(prefix="everycent-broker-") as folder:
        ports = Ports(client, internal, controller)
        (Path(folder) / "ports.json").write_text(json.dumps(ports._asdict()))
        broker = EmbeddedBroker(Path(folder), client, properties={"advertised.listeners": advertised})
        with broker, KafkaProxy(proxy, client) as proxy_before:
            assert broker.internal_address == f"{HOST}:{internal}"
            yield broker, proxy_before


@pytest.fixture
def own_broker(_spare_broker: tuple[EmbeddedBroker, KafkaProxy]) -> Iterator[EmbeddedBroker]:
    """One that a test may kill and freeze: it runs again when the next test begins."""
    broker, _ = _spare_broker
    try:
        yield broker
    finally:
        if broker.is_running:
            broker.resume()
        else:
            broker.start()


@pytest.fixture
async def deployment(own_broker: EmbeddedBroker, settings: Settings) -> Settings:
    """A deployment of the test's own on that broker, its topics made."""
    settings = settings.model_copy(update={"broker": own_broker.internal_address})
    await create_topics(settings)
    return settings


@pytest.fixture
def proxy(_spare_broker: tuple[EmbeddedBroker, KafkaProxy]) -> Iterator[KafkaProxy]:
    """A proxy before that broker."""
    _, proxy = _spare_broker
    try:
        yield proxy
    finally:
        proxy.clear()
        proxy.cut_all()


@pytest.fixture
def proxied(deployment: Settings, proxy: KafkaProxy) -> Settings:
    """The same deployment for workers, which reach its broker through the proxy."""
    return deployment.model_copy(update={"broker": f"{HOST}:{proxy.listen_port}"})
