"""The following audit on a real broker: running, killed and frozen workers raise no alarm, planted faults are found."""

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
from aiokafka import TopicPartition

from schemas.rejection import Reason
from streams.domain.audit_findings import Finding
from streams.domain.load import LoadPlan
from streams.engine.connection import open_admin
from streams.engine.reader import open_reader
from streams.errors import UserError
from streams.settings import Settings
from streams.simulation import run_simulation
from streams.views.audit_follow import Follower
from tests.domain.audit_world import HOUR_MS, NOON_MS, Line, Rec, World
from tests.kafka.audit_topics import Plan, add_totals, publish, send, send_orders, send_outcome, writer
from tests.kafka.test_audit import FAULTS, small_plan
from tests.kafka.workers import audited, drawn_seed, environment, load, running_workers

FOUND_WITHIN_S = 30.0  # on a busy machine; by itself it takes one to three seconds
DRAINED_WITHIN_S = 120.0


class Following:
    """A follower that runs, and what it has found."""

    def __init__(self, follower: Follower, found: list[Finding]) -> None:
        self.follower = follower
        self.found = found

    @property
    def kinds(self) -> Counter[str]:
        return Counter(finding.kind.value for finding in self.found)

    async def wait_for(self, condition: Callable[[], bool], within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.05)

    async def wait_checked(self, within_s: float = FOUND_WITHIN_S) -> None:
        """Until all that stands now is checked."""
        now_s = asyncio.get_running_loop().time()
        await self.wait_for(lambda: self.follower.standing.as_of_s >= now_s, within_s)


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[Following]:
    found: list[Finding] = []
    async with Follower(settings, found.append) as follower:
        running = asyncio.create_task(follower.run())
        try:
            yield Following(follower, found)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


@pytest.fixture
def utc(topics: Settings) -> Settings:
    return topics.model_copy(update={"timezone": "UTC"})


async def test_faultless_topics_are_conserved_and_all_of_it_is_checked(utc):
    await publish(utc, small_plan())
    async with following(utc) as audit:
        await audit.wait_checked()
        standing = audit.follower.standing
    assert audit.found == []
    assert (standing.counts.orders, standing.counts.donations, standing.counts.fen) == (18, 8, 228)
    assert standing.totals_checked == 23
    checked = {offset for (topic, _), offset in standing.checked.items() if topic == utc.topics.orders}
    assert checked == {0, 9}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_that_stands_on_the_topics_is_found(utc, fault):
    plant, kind = FAULTS[fault]
    plan = small_plan()
    plant(plan)
    await publish(utc, plan)
    async with following(utc) as audit:
        await audit.wait_for(lambda: kind in audit.kinds, FOUND_WITHIN_S)
    assert not audit.follower.standing.conserved


async def test_a_running_load_with_killed_and_frozen_workers_raises_no_alarm(topics):
    seed = drawn_seed()
    plan = LoadPlan(120_000, seed=seed, repeats_share=0.02, malformed_share=0.01)
    async with following(topics) as audit:
        with running_workers(topics) as workers:
            first, second = workers.start(), workers.start()
            sending = asyncio.create_task(run_simulation(topics, plan))
            for step, topic in (("SENT", topics.topics.orders), ("ACKNOWLEDGED", topics.topics.project_deltas)):
                crashing = workers.start_crashing(step, topic, 3)
                with suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(crashing.process.wait, 8)
                crashing.kill()
                assert audit.found == []
            first.signal(signal.SIGSTOP)
            await asyncio.sleep(5)
            first.signal(signal.SIGCONT)
            await asyncio.to_thread(second.kill)
            workers.start()
            await sending
            report = await audited(topics, workers)
            await audit.wait_checked(DRAINED_WITHIN_S)
    assert audit.found == []
    counts = audit.follower.standing.counts
    assert (counts.orders, counts.donations, counts.fen) == (
        report.counts.orders,
        report.counts.donations,
        report.counts.fen,
    )
    assert counts.repeats == report.counts.repeats > 0
