"""Partitions that an operator adds while workers run: those end with one line that says what is wrong."""

from aiokafka.admin import NewPartitions

from streams.engine.connection import open_admin
from streams.settings import Settings
from tests.kafka.workers import WorkerProcess, audited, load, running_workers, wait_until

QUICK = ("streams.engine.connection.METADATA_MAX_AGE_MS=1000",)


async def add_partitions(settings: Settings, *topics: str) -> None:
    async with open_admin(settings) as admin:
        await admin.create_partitions({topic: NewPartitions(6) for topic in topics})


def wait_for_clear_end(worker: WorkerProcess, topic: str) -> None:
    wait_until(lambda: worker.process.poll() is not None, worker.text)
    assert worker.process.poll() == 3, worker.text()
    assert worker.text().splitlines()[-1].startswith(f"everycent: {topic} has got partitions"), worker.text()
    assert "Traceback" not in worker.text()


async def test_orders_with_more_partitions_than_donations_end_whoever_is_given_one_with_one_line(
    topics: Settings,
) -> None:
    await load(topics, 2_000, seed=110)
    with running_workers(topics) as workers:
        worker = workers.start_patched(*QUICK)
        worker.wait_for("partition ready", times=8)
        await audited(topics, workers)
        await add_partitions(topics, topics.topics.orders)
        wait_for_clear_end(worker, topics.topics.orders)
        again = workers.start()
        assert again.process.wait(60) == 2
        assert "they must have as many" in again.text()


async def test_a_totals_worker_that_hears_of_an_added_partition_ends_with_one_line_and_the_next_one_goes_on(
    topics: Settings,
) -> None:
    names = topics.topics
    await load(topics, 2_000, seed=111)
    with running_workers(topics) as workers:
        splits, totals = workers.start("--roles", "split"), workers.start("--roles", "totals")
        await audited(topics, workers)
        splits.stop()
        await add_partitions(topics, names.orders, names.donations, names.rejected_orders, names.ledger_checkpoints)
        workers.start("--roles", "split")
        await load(topics, 2_000, seed=112)
        wait_for_clear_end(totals, names.orders)
        workers.start("--roles", "totals")
        await audited(topics, workers)
