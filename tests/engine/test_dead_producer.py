"""A producer that is fenced between two calls of one commit: the task must hear of that, not of what aiokafka says."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced
from aiokafka.producer.transaction_manager import TransactionManager, TransactionState

from streams.engine.commit import Committer
from streams.engine.connection import transactional_producer
from streams.engine.stage import Output
from streams.settings import Settings

ORDERS_0 = TopicPartition("orders", 0)


async def no_wait(*_: object) -> None: ...


async def fenced() -> None:
    raise ProducerFenced


async def die(producer: AIOKafkaProducer) -> None:
    """What its sender's end does to a producer."""
    sending = asyncio.create_task(fenced())
    await asyncio.wait([sending])
    producer._sender = SimpleNamespace(sender_task=sending, close=asyncio.Event().wait)
    producer._txn_manager.fatal_error(sending.exception())


async def committer() -> Committer:
    """One that has started, with a producer that needs no broker."""
    found = Committer(Settings(), ORDERS_0)
    await found.stop()
    found._producer._txn_manager = TransactionManager("x", 1_000)
    found._producer._txn_manager.set_pid_and_epoch(1, 1)
    assert found._producer._txn_manager.state is TransactionState.READY
    return found


@pytest.mark.parametrize("moment", ["in its sends", "before its offsets", "before its commit"])
async def test_a_producer_that_is_fenced_within_a_commit_is_told_as_fenced(moment: str) -> None:
    dying = await committer()
    producer = dying._producer

    async def send(_output: Output) -> list[asyncio.Future[None]]:
        if moment == "in its sends":
            await die(producer)
            producer.client._wait_on_metadata = no_wait
            producer._partition = lambda *_: 0
            await producer.send_batch(producer.create_batch(), "donations", partition=0)
        if moment == "before its offsets":
            await die(producer)
        return []

    async def add_offsets(*_: object) -> None:
        await die(producer)

    dying._send = send
    if moment == "before its commit":
        producer.send_offsets_to_transaction = add_offsets
    with pytest.raises(ProducerFenced):
        await dying.commit(Output(), 1)


async def test_a_producer_that_dies_while_a_batch_waits_to_be_sent_again_leaves_no_traceback() -> None:
    """aiokafka's own fails with a KeyError here, in a callback: when that is mended there, `_Pending` can go."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context["exception"]))
    for producer, expected in ((transactional_producer(Settings(), "x"), []), (AIOKafkaProducer(), [KeyError])):
        queue = producer._message_accumulator
        queue._txn_manager = None  # whose number it bears says nothing here
        batch = producer.create_batch()
        batch.append(key=None, value=b"{}", timestamp=0)
        sent = await queue.add_batch(batch, ORDERS_0, timeout=1)
        queue.reenqueue(queue._pop_batch(ORDERS_0))
        queue.fail_all(ProducerFenced())
        with pytest.raises(ProducerFenced):
            await sent
        await asyncio.sleep(0)
        assert [type(error) for error in reported] == expected
        await producer.stop()
