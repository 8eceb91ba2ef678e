"""Answers of the broker that come late, wrong or not at all, through a proxy: nothing lost, nothing doubled."""

import asyncio
import random
from collections.abc import Callable

import pytest

from streams.domain.load import LoadPlan
from streams.settings import Settings
from streams.simulation import run_simulation
from tests.kafka.faults.proxy import Answer, Api, Cut, Fault, KafkaProxy, altered, late, lost
from tests.kafka.workers import audited, audited_as_planned, drawn_seed, load, running_workers

REQUEST_TIMEOUT_S = 2
IMPATIENT = (
    f"streams.engine.connection.REQUEST_TIMEOUT_MS={REQUEST_TIMEOUT_S * 1_000}",
    "streams.engine.limits.TRANSACTION_TIMEOUT_MS=6000",
)
TRANSACTION = (Api.ADD_PARTITIONS_TO_TXN, Api.ADD_OFFSETS_TO_TXN, Api.TXN_OFFSET_COMMIT, Api.END_TXN)
COORDINATION = (
    *TRANSACTION,
    *(Api.FIND_COORDINATOR, Api.INIT_PRODUCER_ID, Api.JOIN_GROUP, Api.SYNC_GROUP, Api.HEARTBEAT),
)

LEADER_NOT_AVAILABLE = 5
NO_LEADER = -1
MESSAGE_TOO_LARGE = 10
NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
STORAGE_ERROR = 56


def leaderless(topics: list[tuple]) -> list[tuple]:
    """Metadata in which no partition has a leader."""
    return [
        (*topic[:-1], [(LEADER_NOT_AVAILABLE, number, NO_LEADER, *rest) for _, number, _, *rest in topic[-1]])
        for topic in topics
    ]


async def test_topics_without_leaders_at_the_start_and_later_are_waited_for(
    deployment: Settings, proxied: Settings, proxy: KafkaProxy
) -> None:
    await load(deployment, 3_000, seed=70)
    proxy.set(Api.METADATA, altered(leaderless))
    with running_workers(proxied) as workers:
        worker = workers.start()
        await asyncio.sleep(8)
        assert "partition ready" not in worker.text()
        assert proxy.clear()[Api.METADATA] > 1
        await audited(deployment, workers)
        proxy.set(Api.METADATA, altered(leaderless))
        proxy.cut_all()
        await load(deployment, 3_000, seed=71)
        await asyncio.sleep(3)
        proxy.clear()
        await audited(deployment, workers)
        workers.check_unharmed()


@pytest.mark.parametrize("fault", [late(REQUEST_TIMEOUT_S + 1), lost], ids=["late", "lost"])
async def test_each_answer_of_a_transaction_may_be_late_or_lost(
    deployment: Settings, proxied: Settings, proxy: KafkaProxy, fault: Fault
) -> None:
    with running_workers(proxied) as workers:
        worker = workers.start_patched(*IMPATIENT)
        worker.wait_for("partition ready", times=8)
        for api in TRANSACTION:
            proxy.set(api, fault, lambda number: number in {0, 1, 5})
            await load(deployment, 2_000, seed=80 + api)
            await audited(deployment, workers)
            assert proxy.clear()[api] >= 2
        workers.check_unharmed()


async def test_a_coordinator_whose_answers_are_late_or_lost_at_random_while_workers_come_and_go(
    deployment: Settings, proxied: Settings, proxy: KafkaProxy
) -> None:
    seed = drawn_seed()
    chance = random.Random(seed)
    plan = LoadPlan(40_000, seed=seed, repeats_share=0.01)

    async def troubled(answer: Answer) -> bytes:
        draw = chance.random()
        if draw < 0.05:
            raise Cut
        if draw < 0.15:
            await asyncio.sleep(chance.uniform(0, 1.5 * REQUEST_TIMEOUT_S))
        return answer.payload

    for api in COORDINATION:
        proxy.set(api, troubled)
    with running_workers(proxied) as workers:
        sending = asyncio.create_task(run_simulation(deployment, plan, orders_per_second=2_000))
        for _ in range(3):
            workers.start_patched(*IMPATIENT)
            await asyncio.sleep(5)
        workers.all[0].kill()
        await sending
        struck = proxy.clear()
        assert all(struck[api] > 10 for api in TRANSACTION), struck
        await audited_as_planned(deployment, plan, workers)
        assert "Traceback" not in workers.logs(), workers.logs()
        assert [worker.process.poll() for worker in workers.all[1:]] == [None, None], workers.logs()


def refused(code: int) -> Fault:
    """What was sent is written, but the answer says that it was not."""
    return altered(
        lambda topics: [
            (topic, [(number, code, -1, *rest) for number, _, _, *rest in parts]) for topic, parts in topics
        ]
    )


FAILURES: dict[str, tuple[Fault, Callable[[int], bool]]] = {
    "late": (late(REQUEST_TIMEOUT_S + 1), lambda number: number in {0, 1, 7}),
    "lost": (lost, lambda number: number % 3 == 0),
    "not written, they say": (refused(NOT_ENOUGH_REPLICAS_AFTER_APPEND), lambda number: number % 3 == 0),
    "disk broken, they say": (refused(STORAGE_ERROR), lambda number: number % 3 == 0),
    "too large, they say": (refused(MESSAGE_TOO_LARGE), lambda number: number in {0, 3, 9}),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_send_that_fails_though_it_arrived_is_written_once(
    deployment: Settings, proxied: Settings, proxy: KafkaProxy, failure: str
) -> None:
    with running_workers(proxied) as workers:
        worker = workers.start_patched(*IMPATIENT)
        worker.wait_for("partition ready", times=8)
        proxy.set(Api.PRODUCE, *FAILURES[failure])
        await load(deployment, 8_000, seed=90)
        await audited(deployment, workers)
        assert proxy.clear()[Api.PRODUCE] >= 3
        workers.check_unharmed()
