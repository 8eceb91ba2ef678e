"""The group's offsets are lost, or set back by an operator: what was done isn't done again, and nothing is left out."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.admin import DeleteGroupsRequest

from streams.domain.load import LoadPlan
from streams.engine.connection import client_options, group_offsets, open_admin
from streams.settings import Settings
from streams.simulation import run_simulation
from tests.kafka.workers import audited, audited_as_planned, drawn_seed, running_workers

NODE = 1
PLAN = {"repeats_share": 0.02, "malformed_share": 0.02}


async def committed(settings: Settings) -> dict[TopicPartition, int]:
    async with open_admin(settings) as admin:
        return {tp: found.offset for tp, found in (await group_offsets(admin, settings.app_id)).items()}


async def delete(settings: Settings) -> None:
    """As Kafka does by itself some time after the last member has gone."""
    async with open_admin(settings) as admin:
        answer = await admin._client.send(NODE, DeleteGroupsRequest([settings.app_id]))
        assert [code for _, code in answer.results] == [0]
    assert await committed(settings) == {}


async def reset_to_earliest(settings: Settings) -> None:
    """As `kafka-consumer-groups --reset-offsets --to-earliest --execute` does."""
    places = dict.fromkeys(await committed(settings), 0)
    async with AIOKafkaConsumer(
        group_id=settings.app_id, enable_auto_commit=False, **client_options(settings)
    ) as operator:
        operator.assign(list(places))
        await operator.commit(places)
    assert set((await committed(settings)).values()) == {0}


async def wait_until_as_far(settings: Settings, known: dict[TopicPartition, int]) -> None:
    for _ in range(100):
        offsets = await committed(settings)
        if all(offsets.get(tp, 0) >= offset for tp, offset in known.items()):
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"the group stands at {offsets}, and stood at {known}")


@pytest.mark.parametrize("lose", [delete, reset_to_earliest])
async def test_offsets_that_are_lost_or_set_back_double_nothing(topics: Settings, lose) -> None:
    seed = drawn_seed()
    plan = LoadPlan(10_000, seed=seed, **PLAN)
    with running_workers(topics) as workers:
        first = workers.start()
        await run_simulation(topics, plan)
        before = await audited_as_planned(topics, plan, workers)
        assert first.stop() == 0
        known = await committed(topics)
        await lose(topics)

        second = workers.start()
        second.wait_for("partition ready", times=8)
        assert second.text().count("the group's offset is behind the state") == 8
        await wait_until_as_far(topics, known)  # though nothing new comes: lag and audits go by the group's offsets
        after = await audited(topics, workers)
        assert after.counts == before.counts

        second.kill()  # and again, with work to do: some of what came is processed under the new offsets
        await run_simulation(topics, LoadPlan(10_000, seed=seed + 1, **PLAN))
        third = workers.start()
        await audited(topics, workers)
        assert third.stop() == 0
        await lose(topics)
        workers.start()
        await run_simulation(topics, LoadPlan(2_000, seed=seed + 2, **PLAN))
        await audited(topics, workers)
        assert "Traceback" not in workers.logs(), workers.logs()
