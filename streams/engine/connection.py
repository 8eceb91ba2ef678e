"""How every client of ours reaches the broker: one place for address, security and errors.

Faust's consumer, the transactional producers, restore and the command line all take their options from here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    NotCoordinatorForGroupError,
    ProducerClosed,
)
from aiokafka.helpers import create_ssl_context
from aiokafka.structs import OffsetAndMetadata

from streams.engine import limits
from streams.errors import BrokerUnavailableError
from streams.settings import Settings

REQUEST_TIMEOUT_MS = 30_000
METADATA_MAX_AGE_MS = 60_000
COORDINATOR_WAIT_S = 20.0  # a fresh broker makes its topic of offsets when the first group asks: some seconds
COORDINATOR_POLL_S = 0.2


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


def transactional_options(settings: Settings, transactional_id: str) -> dict[str, Any]:
    """Options of a producer that writes in transactions under an id; whoever had the id before is fenced."""
    return {
        **client_options(settings),
        "transactional_id": transactional_id,
        "transaction_timeout_ms": limits.TRANSACTION_TIMEOUT_MS,
        "compression_type": "zstd",
        "max_batch_size": limits.OUTGOING_BATCH_BYTES,
        "max_request_size": limits.PRODUCER_MAX_REQUEST_BYTES,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
    }


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop, but don't wait for ever for a broker that has gone, as aiokafka does.

    What was sent by then counts only if its transaction was committed, so nothing is lost by giving up.
    """
    try:
        async with asyncio.timeout(limits.PRODUCER_STOP_TIMEOUT_S):
            await producer.stop()
    except TimeoutError:  # `stop` leaves its parts running, and does nothing if it is called again
        producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001 - somebody may wait for these
        sending = producer._sender.sender_task  # noqa: SLF001
        for _ in range(2):  # the first time it goes on to wait for what is on its way, which may be for ever again
            if sending is not None:
                sending.cancel()
            await asyncio.sleep(0)
        await producer.client.close()


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


async def group_offsets(
    admin: AIOKafkaAdminClient, group: str, partitions: list[TopicPartition] | None = None
) -> dict[TopicPartition, OffsetAndMetadata]:
    """What `group` has committed, for all its partitions or those asked for; an offset below 0: nothing yet.

    A broker's first group has to wait until there is a place for groups; raises KafkaError if that takes too long.
    """
    deadline = asyncio.get_running_loop().time() + COORDINATOR_WAIT_S
    while True:
        try:
            offsets: dict[TopicPartition, OffsetAndMetadata]
            offsets = await admin.list_consumer_group_offsets(group, partitions=partitions)
        except (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError):
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(COORDINATOR_POLL_S)
        else:
            return offsets


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
