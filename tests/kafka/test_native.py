"""Workers that fold in Rust and workers that fold in Python, in one group: whoever has a partition goes on alike."""

import asyncio
import random

import pytest

from streams.domain.load import LoadPlan, expected_sums
from streams.native import extension
from streams.settings import Settings
from streams.simulation import run_simulation
from tests.kafka.workers import audited, running_workers


@pytest.mark.skipif(extension is None, reason="the Rust extension isn't built here")
async def test_partitions_that_pass_between_rust_and_python_by_kill_lose_and_double_nothing(topics: Settings) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    plans = [LoadPlan(15_000, seed=seed + at, repeats_share=0.02, malformed_share=0.02) for at in range(3)]
    with running_workers(topics) as workers:
        running = {native: workers.start(native=native) for native in (True, False)}
        for worker in running.values():
            worker.wait_for("partition ready")
        for at, plan in enumerate(plans):
            await run_simulation(topics, plan)
            await asyncio.sleep(rng.uniform(0, 1.5))
            victim = at % 2 == 0
            running[victim].kill()
            running[victim] = workers.start(native=victim)
            running[victim].wait_for("partition ready")
        report = await audited(topics, workers)
    expected = [expected_sums(plan) for plan in plans]
    assert report.counts.donations == sum(each.donations for each in expected)
    assert report.counts.fen == sum(each.fen for each in expected)
