"""How every client of ours reaches the broker: one place for address, security and errors.

Faust's consumer, the transactional producers, restore and the command line all take their options from here.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    NotCoordinatorForGroupError,
    ProducerClosed,
    ProducerFenced,
)
from aiokafka.structs import OffsetAndMetadata

from streams.engine import limits
from streams.engine.lenient import accept_any_header_names
from streams.engine.oauth import token_provider
from streams.engine.refusals import DENIALS, explain, explain_start, is_denial
from streams.engine.tls import broker_context
from streams.errors import UserError
from streams.settings import Settings

REQUEST_TIMEOUT_MS = 30_000
METADATA_MAX_AGE_MS = 60_000
RETRY_BACKOFF_MS = 20  # a coordinator that still ends the last transaction needs some milliseconds; aiokafka waits 100
COORDINATOR_WAIT_S = 20.0  # a fresh broker makes its topic of offsets when the first group asks: some seconds
COORDINATOR_POLL_S = 0.2


def client_options(settings: Settings) -> dict[str, Any]:
    """Options that every aiokafka client takes: where the broker is and how to prove who we are.

    Raises UserError, naming the setting, for a file that can't be used.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.broker.split(",")],
        "security_protocol": settings.broker_security_protocol,
    }
    if settings.uses_tls:
        options["ssl_context"] = broker_context(settings)
    if settings.uses_sasl:
        options["sasl_mechanism"] = settings.broker_sasl_mechanism
        if settings.broker_sasl_mechanism == "OAUTHBEARER":
            options["sasl_oauth_token_provider"] = token_provider(settings)
        else:
            options["sasl_plain_username"] = settings.broker_sasl_username
            options["sasl_plain_password"] = settings.broker_sasl_password.get_secret_value()
    return options


async def start_client(client: AIOKafkaAdminClient | AIOKafkaConsumer | AIOKafkaProducer, settings: Settings) -> None:
    """Start it. Raises UserError, with the cause: no broker answers, it doesn't let us in, or denies a right."""
    try:
        await client.start()
    except (ProducerFenced, InvalidProducerEpoch):  # no matter of the connection
        raise
    except (KafkaError, OSError) as error:
        raise await ask_why(settings, error) from error


async def ask_why(settings: Settings, error: BaseException) -> UserError:
    """The line for a client that couldn't start, or whose connections broke: the broker itself is asked why."""
    return await explain_start(settings, client_options(settings), error)


def look_at(sent: asyncio.Future[Any]) -> None:
    """Where one send fails, nobody waits for the others; asyncio would report each of them with a traceback."""
    if not sent.cancelled():
        sent.exception()


def denial_of(producer: AIOKafkaProducer, error: BaseException) -> BaseException | None:
    """The refused right that a transaction failed of, if that is why `error` was raised.

    aiokafka tells it to whoever waits for the transaction's end; a send or an offset that comes after it is told only
    that there is no transaction.
    """
    ended = getattr(producer._txn_manager, "_transaction_waiter", None)  # noqa: SLF001 - what its commit waits for
    failure = None
    if ended is not None and ended.done() and not ended.cancelled():
        failure = ended.exception()  # looked at in any case: what nobody has looked at is reported with a traceback
    if is_denial(error):
        return error
    return failure if is_denial(failure) and isinstance(error, Exception) else None


def transactional_producer(settings: Settings, transactional_id: str) -> AIOKafkaProducer:
    """A producer, not started yet, that writes in transactions under an id; its start fences whoever had it before."""
    producer = AIOKafkaProducer(
        **client_options(settings),
        transactional_id=transactional_id,
        transaction_timeout_ms=limits.TRANSACTION_TIMEOUT_MS,
        compression_type="zstd",
        max_batch_size=limits.OUTGOING_BATCH_BYTES,
        max_request_size=limits.PRODUCER_MAX_REQUEST_BYTES,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
    )
    producer._message_accumulator._pending_batches = _Pending()  # noqa: SLF001
    return producer


class _Pending(set[Any]):
    """The batches that are on their way, for aiokafka.

    It takes one out when it puts it back into the queue, to be sent again, and once more if it fails there, as the
    producer dies: that would be a KeyError and a traceback in the log, of something that has been told already.
    """

    def remove(self, batch: Any) -> None:
        self.discard(batch)


async def give_up_transaction(producer: AIOKafkaProducer, error: BaseException) -> None:
    """Abort after `error`, which is what the caller must hear of: a failure of the abort is not told.

    A fenced or dead producer can't abort and needn't: whoever comes after it under the same id does. Raises the refused
    right, where that is the cause of `error`.
    """
    denial = denial_of(producer, error)
    if not producer._txn_manager.is_fatal_error():  # noqa: SLF001 - aiokafka's own context manager asks the same
        with suppress(KafkaError):
            await producer.abort_transaction()
    if denial is not None:
        raise denial from error


@contextmanager
def telling_its_end(producer: AIOKafkaProducer) -> Iterator[None]:
    """Raise what a producer has died of, fenced above all, where aiokafka says only that it can't be used.

    It dies by itself, at any moment: whoever calls it next is told that there is no transaction, or meets an assertion.
    """
    try:
        yield
    except (IllegalOperation, AssertionError) as error:
        if not producer._txn_manager.is_fatal_error():  # noqa: SLF001
            raise
        sending = producer._sender.sender_task  # noqa: SLF001 - the exact reason stands nowhere else
        raise (sending.exception() if sending.done() else None) or KafkaError("the producer has died") from error


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop, but don't wait for ever for a broker that has gone, as aiokafka does; a cancellation ends the wait at once.

    What was sent by then counts only if its transaction was committed, so nothing is lost by giving up.
    """
    try:
        async with asyncio.timeout(limits.PRODUCER_STOP_TIMEOUT_S):
            await producer.stop()
    except TimeoutError:
        await _drop_producer(producer)
    except asyncio.CancelledError:  # a partition is taken away from a task that lets its producer go already
        await _drop_producer(producer)
        raise


async def _drop_producer(producer: AIOKafkaProducer) -> None:
    """End the parts that an interrupted `stop` leaves running, with all they hold; a second `stop` does nothing."""
    producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001 - somebody may wait for these
    sending = producer._sender.sender_task  # noqa: SLF001
    for _ in range(2):  # the first time it goes on to wait for what is on its way, which may be for ever again
        if sending is not None:
            sending.cancel()
        await asyncio.sleep(0)
    await producer.client.close()


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client. Raises UserError if it can't connect, or if the broker denies a right meanwhile."""
    admin = AIOKafkaAdminClient(request_timeout_ms=REQUEST_TIMEOUT_MS, **client_options(settings))
    try:
        await start_client(admin, settings)
        yield admin
    except DENIALS as error:
        raise explain(settings, error) from error
    finally:
        await admin.close()


async def group_offsets(
    admin: AIOKafkaAdminClient, group: str, partitions: list[TopicPartition] | None = None
) -> dict[TopicPartition, OffsetAndMetadata]:
    """What `group` has committed, for all its partitions or those asked for; an offset below 0: nothing yet.

    A broker's first group has to wait until there is a place for groups, and a connection that broke is made anew: the
    broker cuts it where our token has expired. Raises KafkaError if that takes too long.
    """
    deadline = asyncio.get_running_loop().time() + COORDINATOR_WAIT_S
    while True:
        try:
            offsets: dict[TopicPartition, OffsetAndMetadata]
            offsets = await admin.list_consumer_group_offsets(group, partitions=partitions)
        except (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError, KafkaConnectionError):
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(COORDINATOR_POLL_S)
        else:
            return offsets


@asynccontextmanager
async def open_consumer(settings: Settings, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A connected consumer without a group that sees committed records only.

    Raises UserError if it can't connect, or if the broker denies a right meanwhile.
    """
    accept_any_header_names()
    consumer = AIOKafkaConsumer(
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        **{**client_options(settings), **options},
    )
    try:
        await start_client(consumer, settings)
        yield consumer
    except DENIALS as error:
        raise explain(settings, error) from error
    finally:
        await _stop_consumer(consumer)


async def _stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop. Where a broker has gone, aiokafka cancels a fetch that waits for its next try, and is cancelled by that."""
    task = asyncio.current_task()
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        await consumer._client.close()  # noqa: SLF001 - what its `stop` didn't come to
        if task is None or task.cancelling():
            raise
