"""Workers that die, freeze and come back on the real broker, with the audit as judge."""

import asyncio
import random
import signal
import time

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.domain.load import LoadPlan, expected_sums
from streams.engine.commit import Step
from streams.engine.connection import client_options
from streams.engine.reader import open_reader
from streams.settings import Settings
from streams.simulation import run_simulation
from tests.kafka.workers import audited, audited_as_planned, drawn_seed, load, running_workers, wait_until


@pytest.mark.parametrize("round_number", [1, 2])
async def test_two_workers_of_which_one_is_killed_at_random_lose_and_double_nothing(
    topics: Settings, round_number: int
) -> None:
    seed = drawn_seed()
    delays = random.Random(seed)
    plan = LoadPlan(100_000, seed=seed, repeats_share=0.01)
    with running_workers(topics) as workers:
        victims = [workers.start(), workers.start()]
        for victim in victims:
            victim.wait_for("partition ready")
        await run_simulation(topics, plan)
        for victim in victims:  # twice over: each of the first two dies, and another one comes
            await asyncio.sleep(delays.uniform(0, 2))
            victim.kill()
            workers.start().wait_for("partition ready")
        await audited_as_planned(topics, plan, workers)


@pytest.mark.parametrize("topic", ["orders", "project-deltas"])
async def test_workers_killed_one_after_the_other_at_each_step_of_a_commit_lose_and_double_nothing(
    topics: Settings, topic: str
) -> None:
    expected_fen = 0
    with running_workers(topics) as workers:
        for step in Step:
            plan = LoadPlan(3_000, seed=10 * int(step) + len(topic), repeats_share=0.02, malformed_share=0.02)
            await run_simulation(topics, plan)
            expected_fen += expected_sums(plan).fen
            victim = workers.start_crashing(step.name, topic, 2)
            assert victim.process.wait(40) == -signal.SIGKILL, f"no commit was cut at {step!r}:\n{victim.text()}"
        workers.start()
        report = await audited(topics, workers)
    assert report.counts.fen == expected_fen


async def test_the_records_of_a_commit_that_was_cut_short_are_seen_by_nobody(topics: Settings) -> None:
    plan = LoadPlan(4_000, seed=3)
    await run_simulation(topics, plan)
    with running_workers(topics) as workers:
        victim = workers.start_crashing(Step.ACKNOWLEDGED.name, "orders", 1)
        assert victim.process.wait(40) == -signal.SIGKILL
        names = (topics.topics.donations, topics.topics.project_deltas)
        assert all([await written_records(topics, name) > 0 for name in names]), "nothing was there to be aborted"
        async with open_reader(topics) as log:
            for name in names:
                for partition in range(4):
                    assert [batch async for batch in log.read(name, partition)] == []
        workers.start()
        await audited_as_planned(topics, plan, workers)
        # What was aborted still lies in the log, between what counts.
        committed = sum([await committed_records(topics, topics.topics.donations)])
        assert committed == expected_sums(plan).donations
        assert await written_records(topics, topics.topics.donations) > committed


async def written_records(settings: Settings, topic: str) -> int:
    """How many records lie in the topic, aborted ones and those of open transactions included."""
    count = 0
    async with AIOKafkaConsumer(**client_options(settings), isolation_level="read_uncommitted") as consumer:
        for partition in range(4):
            tp = TopicPartition(topic, partition)
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            while found := (await consumer.getmany(tp, timeout_ms=700)).get(tp):
                count += len(found)
    return count


async def committed_records(settings: Settings, topic: str) -> int:
    async with open_reader(settings) as log:
        return sum([len(batch) for partition in range(4) async for batch in log.read(topic, partition)])


async def test_a_frozen_worker_that_wakes_writes_nothing_and_works_again(topics: Settings) -> None:
    with running_workers(topics) as workers:
        sleeper = workers.start()
        sleeper.wait_for("partition ready", times=8)
        await load(topics, 30_000, seed=20)
        await asyncio.sleep(0.3)  # it is in the middle of it
        sleeper.signal(signal.SIGSTOP)
        heir = workers.start()
        heir.wait_for("partition ready", times=8)
        await audited(topics, workers)  # all of it was done without the sleeper
        sleeper.signal(signal.SIGCONT)
        ready = sleeper.text().count("partition ready")
        wait_until(
            lambda: sleeper.text().count("partition ready") > ready or sleeper.process.poll() is not None,
            lambda: f"the sleeper neither came back nor ended:\n{sleeper.text()}",
        )
        assert sleeper.process.poll() in {None, 3}
        await load(topics, 10_000, seed=21)
        await audited(topics, workers)


async def test_a_worker_that_keeps_partitions_through_a_rebalance_goes_on_within_seconds(topics: Settings) -> None:
    with running_workers(topics) as workers:
        keeper = workers.start()
        keeper.wait_for("partition ready", times=8)
        other = workers.start()
        other.wait_for("partition ready", times=4)
        for seed in (30, 31):
            started = time.monotonic()
            await load(topics, 2_000, seed=seed)
            await audited(topics, workers)
            assert time.monotonic() - started < 45, "it waited for something to run out"
            if seed == 30:
                other.stop()
        assert "kept=4" in keeper.text(), keeper.text()
        assert keeper.text().count("partition ready") == 12, "what was kept was restored all the same"
