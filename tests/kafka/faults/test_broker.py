"""The broker dies, freezes and comes back in the middle of a load: nothing lost, nothing doubled, no hand needed."""

import asyncio
import random

from streams.domain.load import LoadPlan
from streams.engine.embedded_broker import EmbeddedBroker
from streams.settings import Settings
from streams.simulation import run_simulation
from tests.kafka.workers import audited_as_planned, drawn_seed, running_workers

FROZEN_S = 40  # longer than sessions (3 s here), transactions (15 s) and requests (30 s) last


async def test_a_broker_that_is_killed_twice_in_the_middle_of_a_load_costs_nothing(
    own_broker: EmbeddedBroker, deployment: Settings
) -> None:
    seed = drawn_seed()
    chance = random.Random(seed)
    plan = LoadPlan(40_000, seed=seed, repeats_share=0.01, malformed_share=0.01)
    with running_workers(deployment) as workers:
        for worker in (workers.start(), workers.start()):
            worker.wait_for("partition ready", times=1)
        sending = asyncio.create_task(run_simulation(deployment, plan, orders_per_second=3_000))
        for _ in range(2):
            await asyncio.sleep(chance.uniform(1, 3))
            await asyncio.to_thread(own_broker.kill)
            await asyncio.sleep(chance.uniform(0, 2))
            await asyncio.to_thread(own_broker.start)
        await sending
        await audited_as_planned(deployment, plan, workers)
        workers.check_unharmed()


async def test_a_broker_that_is_frozen_for_40_s_in_the_middle_of_a_load_costs_nothing(
    own_broker: EmbeddedBroker, deployment: Settings
) -> None:
    plan = LoadPlan(30_000, seed=drawn_seed(), repeats_share=0.01, malformed_share=0.01)
    with running_workers(deployment) as workers:
        for worker in (workers.start(), workers.start()):
            worker.wait_for("partition ready", times=1)
        sending = asyncio.create_task(run_simulation(deployment, plan, orders_per_second=4_000))
        await asyncio.sleep(3)
        own_broker.pause()
        await asyncio.sleep(FROZEN_S)
        own_broker.resume()
        await sending
        await audited_as_planned(deployment, plan, workers)
        workers.check_unharmed()
