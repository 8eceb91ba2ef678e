"""How a worker ends: at once where it has nothing to finish, and surely where nobody answers any more."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer

from streams.engine.connection import look_at, stop_producer, transactional_producer
from streams.engine.embedded_broker import EmbeddedBroker
from streams.engine.limits import LEAVE_TIMEOUT_S, PRODUCER_STOP_TIMEOUT_S
from streams.settings import Settings
from tests.kafka.workers import WorkerProcess, audited, load, running_workers, wait_until

SOON_S = LEAVE_TIMEOUT_S + 15  # what may be waited for, and room for a busy machine


def stop(worker: WorkerProcess) -> tuple[int, float]:
    """SIGTERM; its exit status, and the seconds that it took."""
    began = time.monotonic()
    status = worker.stop()
    return status, time.monotonic() - began


async def test_a_signal_before_the_first_assignment_ends_the_worker_soon(topics: Settings) -> None:
    patient = topics.model_copy(update={"session_timeout_ms": 60_000})
    with running_workers(patient) as workers:
        frozen = workers.start()
        frozen.wait_for("partition ready", times=8)
        frozen.signal(signal.SIGSTOP)  # the group waits for it a minute before anybody gets anything
        waiting = workers.start()
        waiting.wait_for("ConsumerThread]: Starting")
        status, took_s = stop(waiting)
        assert status == 0, waiting.text()
        assert took_s < SOON_S
        assert "Traceback" not in waiting.text()


def test_a_signal_while_no_broker_answers_ends_the_worker_at_once() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running_workers(Settings(broker=f"127.0.0.1:{silent.getsockname()[1]}", metrics_port=0)) as workers,
    ):
        worker = workers.start()
        connection, _ = silent.accept()  # it asks, and gets no answer
        with connection:
            status, took_s = stop(worker)
        assert status == 0, worker.text()
        assert took_s < SOON_S
        assert "Traceback" not in worker.text()


async def test_a_worker_whose_broker_froze_in_its_commit_ends_all_the_same_and_nothing_is_lost(
    own_broker: EmbeddedBroker, deployment: Settings
) -> None:
    await load(deployment, 5_000, seed=60)
    shorter = [f"streams.engine.limits.{name}_TIMEOUT_S=1" for name in ("STOP", "ABORT", "LEAVE")]
    with running_workers(deployment) as workers:
        worker = workers.start_patched(*shorter, f"freeze={own_broker.pid}")
        stat = Path(f"/proc/{own_broker.pid}/stat")
        wait_until(lambda: " T " in stat.read_text(), worker.text)
        status, took_s = stop(worker)
        assert status == 0, worker.text()
        assert took_s < 3 + 15
        assert "ended without leaving its group: the broker doesn't answer" in worker.text()
        assert "Traceback" not in worker.text()
        os.kill(own_broker.pid, signal.SIGCONT)
        workers.start()
        await audited(deployment, workers)


@asynccontextmanager
async def stuck_producer(own_broker: EmbeddedBroker, deployment: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer whose broker froze while a record was on its way to it."""
    producer = transactional_producer(deployment, f"{deployment.app_id}-x")
    await producer.start()
    await producer.partitions_for(deployment.topics.orders)
    await producer.begin_transaction()
    os.kill(own_broker.pid, signal.SIGSTOP)
    try:
        sent = await producer.send(deployment.topics.orders, b"x")
        sent.add_done_callback(look_at)  # as a commit does
        await asyncio.sleep(0.5)  # it is on its way
        yield producer
    finally:
        os.kill(own_broker.pid, signal.SIGCONT)


async def test_a_producer_whose_broker_froze_stops_all_the_same(
    own_broker: EmbeddedBroker, deployment: Settings
) -> None:
    before = asyncio.all_tasks()
    async with stuck_producer(own_broker, deployment) as producer:
        async with asyncio.timeout(PRODUCER_STOP_TIMEOUT_S + 15):
            await stop_producer(producer)
        assert producer._sender.sender_task.done()
        assert asyncio.all_tasks() <= before


async def test_a_producer_whose_stop_is_cancelled_leaves_nothing_running(
    own_broker: EmbeddedBroker, deployment: Settings
) -> None:
    """A partition may be taken away while its task, fenced a moment before, lets its producer go."""
    before = asyncio.all_tasks()
    async with stuck_producer(own_broker, deployment) as producer:
        stopping = asyncio.create_task(stop_producer(producer))
        await asyncio.sleep(0.5)
        stopping.cancel()
        await asyncio.wait([stopping], timeout=15)
        assert stopping.cancelled()
        assert producer._sender.sender_task.done()
        assert asyncio.all_tasks() <= before
