"""Orders that come again, on the real broker: within a batch, later, after a restart, after a partition has moved."""

import signal

import pytest

from schemas.order import FixedPledge, OrderCompleted, OrderLine, encode_order
from schemas.rejection import Reason
from streams.engine.sender import open_sender
from streams.settings import Settings
from streams.views.audit import AuditReport
from tests.kafka.workers import Workers, audited, running_workers

SOME_DAY_MS = 1_605_024_000_000
ORDERS = 200  # of as many buyers: on every partition
CONFLICTS = 20


def the_orders(fen: int = 2) -> list[OrderCompleted]:
    lines = (OrderLine(0, "i1", 4_990, FixedPledge("P0001", fen)), OrderLine(1, "i2", 100))
    return [OrderCompleted(f"o{at}", f"b{at}", "m1", SOME_DAY_MS + at, lines) for at in range(ORDERS)]


ONCE = the_orders()
AGAIN = [*ONCE, *the_orders(fen=3)[:CONFLICTS]]  # each as it was, and some that would now give other donations


@pytest.fixture
def topics(topics: Settings) -> Settings:
    """The same, with many commits."""
    return topics.model_copy(update={"commit_interval_ms": 50})


async def send(settings: Settings, orders: list[OrderCompleted]) -> None:
    async with open_sender(settings, settings.topics.orders) as sender:
        await sender.send([order.buyer_id.encode() for order in orders], [encode_order(order) for order in orders])
        await sender.flush()


async def donated_once(settings: Settings, workers: Workers, again: int) -> AuditReport:
    """Each order has donated once, though `AGAIN` came so often besides: the audit's word, and by number."""
    report = await audited(settings, workers)
    counts = report.counts
    assert (counts.accepted, counts.donations, counts.fen) == (ORDERS, ORDERS, 2 * ORDERS)
    assert counts.repeats == again * ORDERS
    assert counts.rejected == ({Reason.CONFLICT: again * CONFLICTS} if again else {})
    return report


async def test_within_one_batch(topics: Settings) -> None:
    await send(topics, [*ONCE, *AGAIN, *AGAIN])  # all there before a worker is: one fetch, one batch a partition
    with running_workers(topics) as workers:
        workers.start()
        await donated_once(topics, workers, again=2)


async def test_in_later_batches_and_commits(topics: Settings) -> None:
    with running_workers(topics) as workers:
        workers.start()
        await send(topics, ONCE)
        await donated_once(topics, workers, again=0)
        for times in (1, 2):
            await send(topics, AGAIN)
            await donated_once(topics, workers, again=times)


async def test_after_restarts_in_order_and_by_kill(topics: Settings) -> None:
    with running_workers(topics) as workers:
        worker = workers.start()
        await send(topics, ONCE)
        await donated_once(topics, workers, again=0)
        for times, end in enumerate([signal.SIGTERM, signal.SIGKILL], start=1):
            worker.signal(end)
            worker.process.wait(30)
            await send(topics, AGAIN)
            worker = workers.start()
            await donated_once(topics, workers, again=times)


async def test_after_a_partition_has_moved_to_another_worker_and_back(topics: Settings) -> None:
    with running_workers(topics) as workers:
        first = workers.start()
        await send(topics, ONCE)
        await donated_once(topics, workers, again=0)
        second = workers.start()
        second.wait_for("partition ready", times=4)  # half of all: two of `orders`, two of the sums
        assert second.text().count(f"topic={topics.topics.orders}") >= 2
        await send(topics, AGAIN)
        await donated_once(topics, workers, again=1)
        ready = first.text().count("partition ready")
        assert second.stop() == 0
        first.wait_for("partition ready", times=ready + 4)
        await send(topics, AGAIN)
        await donated_once(topics, workers, again=2)


async def test_while_a_partition_moves(topics: Settings) -> None:
    """Repeats lie on both sides of the hand-over: some before it, some behind it, some in what is done twice."""
    with running_workers(topics) as workers:
        first = workers.start()
        first.wait_for("partition ready", times=8)
        await send(topics, ONCE)
        workers.start()  # takes half of the partitions over, sooner or later
        await send(topics, AGAIN)
        workers.all[1].wait_for("partition ready", times=4)
        first.kill()  # and the other half
        await send(topics, AGAIN)
        await donated_once(topics, workers, again=2)
