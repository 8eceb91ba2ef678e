"""The following audit on a real broker: running, killed and frozen workers raise no alarm, planted faults are found."""

import asyncio
import json
import signal
import socket
import subprocess
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
from aiokafka import TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from streams.domain.audit_findings import Finding
from streams.domain.load import LoadPlan
from streams.errors import UserError
from streams.settings import Settings
from streams.simulation import run_simulation
from streams.views import audit_follow
from streams.views.audit import run_audit
from streams.views.audit_follow import Follower
from tests.domain.audit_world import HOUR_MS, NOON_MS, Line, World
from tests.kafka.audit_topics import Plan, publish, send, writer
from tests.kafka.test_audit import FAULTS, small_plan
from tests.kafka.workers import audited, drawn_seed, load, running_workers, wait_until

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
            while not condition():  # noqa: ASYNC110 - the follower has no event to wait for, as nobody else would
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


async def test_orders_that_come_late_for_windows_released_and_kept_raise_no_alarm(topics):
    settings = topics.model_copy(update={"minute_retention_hours": 1, "hour_retention_hours": 1})
    day_ms = 24 * HOUR_MS
    start_ms = LoadPlan(1).start_ms
    with running_workers(settings) as workers:
        workers.start()
        async with following(settings) as audit:
            for seed, later_ms in enumerate(
                (0, 2 * HOUR_MS, 5 * HOUR_MS, HOUR_MS, 20 * day_ms, -400 * day_ms, 19 * day_ms)
            ):
                await load(settings, 2_000, seed, start_ms=start_ms + later_ms, repeats_share=0.02)
                await audited(settings, workers)
            await audit.wait_checked(DRAINED_WITHIN_S)
            held = audit.follower.standing.windows_held
            checked = audit.follower.standing.totals_checked
    assert audit.found == []
    assert held < checked / 2, "windows that are long past are let go"


async def test_totals_that_stand_still_hold_the_audit_back_and_it_goes_on_with_them(topics, monkeypatch):
    monkeypatch.setattr(audit_follow, "WINDOWS_MAX", 10)
    with running_workers(topics) as workers:
        workers.start("--roles", "split")
        async with following(topics) as audit:
            await load(topics, 2_000, 1)
            await audit.wait_for(lambda: audit.follower.standing.windows_held > 10, DRAINED_WITHIN_S)
            await load(topics, 2_000, 2)
            async with asyncio.timeout(DRAINED_WITHIN_S):
                while (await run_audit(topics)).pending_orders:  # noqa: ASYNC110 - nobody tells when it is so
                    await asyncio.sleep(0.1)
            await asyncio.sleep(3)
            assert audit.follower.standing.counts.orders < 4_000
            workers.start("--roles", "totals")
            await audit.wait_for(lambda: audit.follower.standing.counts.orders == 4_000, DRAINED_WITHIN_S)
            await audited(topics, workers)
            await audit.wait_checked(DRAINED_WITHIN_S)
    assert audit.found == []


# --- faults planted behind the back of an audit that has seen everything


async def _double_donation(settings: Settings, plan: Plan) -> None:
    async with writer(settings) as producer, producer.transaction():
        await send(producer, settings.topics.donations, 0, plan.worlds[0].donations[-1:], timed=True)


async def _drop_donation(settings: Settings, plan: Plan) -> None:
    world = World(0, orders=plan.worlds[0].orders[-1:])
    world.accept("new", Line("P1", 2), at_ms=NOON_MS)
    async with writer(settings) as producer, producer.transaction():
        await send(producer, settings.topics.orders, 0, world.orders[-1:], timed=False)
        # All that comes is the offset, and it takes a transaction's end on `orders` into account, as a worker's would.
        offsets = {TopicPartition(settings.topics.orders, 0): world.orders[-1].offset + 1}
        await producer.send_offsets_to_transaction(offsets, settings.app_id)


async def _donate_for_nothing(settings: Settings, plan: Plan) -> None:
    world = plan.worlds[0]
    world.donate("never-sent", 0, Line("P1", 2), NOON_MS, 2)
    async with writer(settings) as producer, producer.transaction():
        await send(producer, settings.topics.donations, 0, world.donations[-1:], timed=True)


async def _refuse_for_nothing(settings: Settings, plan: Plan) -> None:
    async with writer(settings) as producer, producer.transaction():
        await send(producer, settings.topics.rejected_orders, 0, plan.worlds[0].rejected[:1], timed=False)


async def _change_total(settings: Settings, plan: Plan, by_fen: int) -> None:
    partition, records = next((partition, records) for partition, records in plan.totals.items() if records)
    total = msgspec.json.decode(records[0].value or b"")
    wrong = msgspec.json.encode(total | {"fen": total["fen"] + by_fen, "revision": total["revision"] + 1})
    async with writer(settings) as producer, producer.transaction():
        record = records[0]._replace(value=wrong)
        await send(producer, settings.topics.project_totals, partition, [record], timed=True)


async def _raise_total(settings: Settings, plan: Plan) -> None:
    await _change_total(settings, plan, 1)


async def _lower_total(settings: Settings, plan: Plan) -> None:
    await _change_total(settings, plan, -1)


async def _release_all_time(settings: Settings, plan: Plan) -> None:
    partition, record = next(
        (partition, record)
        for partition, records in plan.totals.items()
        for record in records
        if b"|all|" in (record.key or b"")
    )
    async with writer(settings) as producer, producer.transaction():
        await send(producer, settings.topics.project_totals, partition, [record._replace(value=None)], timed=True)


PLANTED = {
    "a donation doubled": (_double_donation, "donation-doubled"),
    "an order processed, and no donation": (_drop_donation, "donation-missing"),
    "a donation of an order that gives none": (_donate_for_nothing, "donation-undue"),
    "a refused order twice": (_refuse_for_nothing, "rejection-undue"),
    "a total one fen too great": (_raise_total, "total-wrong"),
    "a total one fen too small": (_lower_total, "total-went-back"),
    "a total that vanishes": (_release_all_time, "total-missing"),
}


@pytest.mark.parametrize("fault", PLANTED)
async def test_a_fault_planted_while_it_follows_is_found(utc, fault):
    plant, kind = PLANTED[fault]
    plan = small_plan()
    await publish(utc, plan)
    async with following(utc) as audit:
        await audit.wait_checked()
        assert audit.found == []
        await plant(utc, plan)
        await audit.wait_for(lambda: kind in audit.kinds, FOUND_WITHIN_S)
        await audit.wait_checked()  # totals that don't have what it gave, or took, are found as well
        number = len(audit.found)
        await audit.wait_checked()
    assert len(audit.found) == number, "a fault that stays is told once"


# --- as a process


def metrics(port: int) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_as_a_process_it_tells_by_log_metrics_and_exit_status(utc):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = utc.model_copy(update={"metrics_port": port})
    plan = small_plan()
    await publish(utc, plan)
    follow = ("-m", "streams.cli", "audit", "--follow", "--json")
    with running_workers(settings) as processes:
        first = processes.start(command=follow)
        await asyncio.to_thread(first.wait_for, "audit starts")
        await asyncio.to_thread(wait_until, lambda: _checked_orders(utc, port) == 18, first.text)
        found = metrics(port)
        assert found["everycent_audit_conserved",] == 1
        assert found["everycent_audit_findings_total", "donation-doubled"] == 0
        assert await asyncio.to_thread(first.stop) == 0, first.text()
        status = json.loads(next(line for line in first.text().splitlines() if line.startswith("{")))["status"]
        assert (status["conserved"], status["counts"]["fen"]) == (True, 228)

        second = processes.start(command=follow)
        await _double_donation(utc, plan)
        await asyncio.to_thread(second.wait_for, "NOT CONSERVED")
        await asyncio.to_thread(wait_until, lambda: metrics(port)["everycent_audit_conserved",] == 0, second.text)
        assert metrics(port)["everycent_audit_findings_total", "donation-doubled"] == 1
        assert await asyncio.to_thread(second.stop) == 1
        told = [json.loads(line) for line in second.text().splitlines() if line.startswith("{")]
        finding = next(each["finding"] for each in told if "finding" in each)
        assert finding["place"].startswith(f"{utc.topics.donations}-0@")


def _checked_orders(settings: Settings, port: int) -> float:
    found = metrics(port).items()
    return sum(
        value for name, value in found if name[0] == "everycent_audit_checked_offset" and settings.topics.orders in name
    )


async def test_topics_that_are_missing_end_it_in_one_line(settings):
    with pytest.raises(UserError, match="doesn't exist"):
        async with following(settings):
            pass


async def test_it_waits_for_a_broker_that_dies_and_goes_on_where_it_was(deployment, own_broker):
    with running_workers(deployment) as workers:
        async with following(deployment) as audit:
            workers.start()
            await load(deployment, 3_000, 1)
            await audited(deployment, workers)
            await audit.wait_checked(DRAINED_WITHIN_S)
            await asyncio.to_thread(own_broker.kill)
            await asyncio.sleep(3)
            await asyncio.to_thread(own_broker.start)
            await load(deployment, 3_000, 2)
            await audited(deployment, workers)
            await audit.wait_checked(DRAINED_WITHIN_S)
    assert audit.found == []
    assert audit.follower.standing.counts.accepted == 6_000
