"""How every client of ours reaches the broker: one place for address, security and errors.

Faust's consumer, the transactional producers, restore and the command line all take their options from here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.helpers import create_ssl_context

from streams.errors import BrokerUnavailableError
from streams.settings import Settings

REQUEST_TIMEOUT_MS = 30_000
METADATA_MAX_AGE_MS = 60_000


def client_options(settings: Settings) -> dict[str, Any]:
    """Options that every aiokafka client takes: where the broker is and how to prove who we are."""
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.broker.split(",")],
        "security_protocol": settings.broker_security_protocol,
    }
    if settings.broker_security_protocol.endswith("SSL"):
        options["ssl_context"] = create_ssl_context(
            cafile=settings.broker_ssl_cafile or None,
            certfile=settings.broker_ssl_certfile or None,
            keyfile=settings.broker_ssl_keyfile or None,
        )
    if settings.broker_security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.broker_sasl_mechanism
        options["sasl_plain_username"] = settings.broker_sasl_username
        options["sasl_plain_password"] = settings.broker_sasl_password.get_secret_value()
    return options


def unreachable(settings: Settings, error: BaseException) -> BrokerUnavailableError:
    """What a person is told where no broker answers."""
    return BrokerUnavailableError(
        f"no Kafka broker answers at {settings.broker} ({error}). "
        "Start one (`everycent broker`) or set EVERYCENT_BROKER."
    )


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client. Raises BrokerUnavailableError if none answers."""
    admin = AIOKafkaAdminClient(request_timeout_ms=REQUEST_TIMEOUT_MS, **client_options(settings))
    try:
        await admin.start()
    except (KafkaConnectionError, KafkaError, OSError) as error:
        await admin.close()
        raise unreachable(settings, error) from error
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def open_consumer(settings: Settings, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A connected consumer without a group that sees committed records only.

    Raises BrokerUnavailableError if no broker answers.
    """
    consumer = AIOKafkaConsumer(
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        **{**client_options(settings), **options},
    )
    try:
        await consumer.start()
    except (KafkaConnectionError, KafkaError, OSError) as error:
        await consumer.stop()
        raise unreachable(settings, error) from error
    try:
        yield consumer
    finally:
        await consumer.stop()
