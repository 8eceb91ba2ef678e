"""The audit on a real broker: what is right passes, planted faults are found, and running workers raise no alarm."""

import asyncio
import json
import os
import subprocess
import sys

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from schemas.rejection import Reason
from streams.engine.connection import client_options
from streams.errors import ExitStatus, UserError
from streams.settings import Settings
from streams.views.audit import run_audit
from tests.domain.audit_world import HOUR_MS, NOON_MS, Line, Rec, World
from tests.kafka.audit_topics import Plan, add_totals, publish, send, send_orders, send_outcome, writer

FAR_FUTURE_MS = 4_000_000_000_000


def small_plan() -> Plan:
    """Four partitions; orders of every kind on two of them."""
    plan = Plan([World(partition) for partition in range(4)])
    for world in plan.worlds[:2]:
        name = world.partition
        world.accept(f"o0-{name}", Line("P1", 2))
        world.accept(f"o1-{name}", Line("P2", 10), None, Line("P3", 100), at_ms=NOON_MS + 9 * HOUR_MS)
        world.refuse(Reason.NOT_JSON, None)
        world.refuse(Reason.INVALID, b"{}")
        world.refuse(Reason.TOO_FAR_IN_FUTURE, world.order_value("far", [Line("P1", 2)], FAR_FUTURE_MS))
        world.send(world.order_value(f"o0-{name}", [Line("P1", 2)], NOON_MS))
        world.refuse(Reason.CONFLICT, world.order_value(f"o0-{name}", [Line("P1", 3)], NOON_MS))
        world.accept(f"o7-{name}", Line("P1", 2), at_ms=NOON_MS - 400 * 24 * HOUR_MS)
        world.accept(f"o8-{name}", None)
    add_totals(plan)
    return plan


@pytest.fixture
def utc(topics: Settings) -> Settings:
    return topics.model_copy(update={"timezone": "UTC"})


async def test_faultless_topics_are_conserved(utc):
    await publish(utc, small_plan())
    report = await run_audit(utc, wait_s=5)
    assert report.to_json() == {
        "conserved": True,
        "reason": "every donation and every total is what the orders give",
        "counts": {
            "orders": 18,
            "accepted": 8,
            "no_pledge": 2,
            "repeats": 2,
            "rejected": {"conflict": 2, "invalid": 2, "not-json": 2, "too-far-in-future": 2},
            "donations": 8,
            "fen": 228,
            "underived": 0,
            "totals_checked": 23,
            "totals_released": 0,
        },
        "pending": {"orders": 0, "project_deltas": 0},
        "finding_counts": {},
        "findings": [],
    }
    assert report.exit_status is ExitStatus.OK


async def test_empty_topics_are_conserved(utc):
    report = await run_audit(utc)
    assert (report.conserved, report.counts.orders) == (True, 0)


def _raise_total(plan):
    records = next(records for records in plan.totals.values() if records)
    total = msgspec.json.decode(records[0].value)
    records[0] = records[0]._replace(value=msgspec.json.encode(total | {"fen": total["fen"] + 1}))


def _drop_total(plan):
    next(records for records in plan.totals.values() if records).pop()


def _move_totals(plan):
    plan.totals = {(partition + 1) % 4: records for partition, records in plan.totals.items()}


def _add_total(plan):
    records = next(records for records in plan.totals.values() if records)
    total = msgspec.json.decode(records[0].value)
    start_ms = total["start_ms"] + 24 * HOUR_MS
    undue = total | {"start_ms": start_ms, "end_ms": start_ms + 60_000}
    key = f"{total['project_id']}|{total['window']}|{start_ms}".encode()
    records.append(records[0]._replace(key=key, value=msgspec.json.encode(undue)))


def _double_donation(plan):
    world = plan.worlds[1]
    world.donations.insert(1, world.donations[0])


FAULTS = {
    "donation lost": (lambda plan: plan.worlds[1].donations.pop(1), "donation-missing"),
    "last donation lost": (lambda plan: plan.worlds[1].donations.pop(), "donation-missing"),
    "donation doubled": (_double_donation, "donation-doubled"),
    "donation off by one fen": (lambda plan: plan.worlds[0].alter_donation(2, fen=101), "donation-altered"),
    "donation of a repeat": (
        lambda plan: plan.worlds[0].donate("o0-0", 0, Line("P1", 2), NOON_MS, 5),
        "donation-doubled",
    ),
    "rejected order lost": (lambda plan: plan.worlds[0].rejected.pop(1), "rejection-missing"),
    "rejected order doubled": (
        lambda plan: plan.worlds[0].rejected.append(plan.worlds[0].rejected[-1]),
        "rejection-doubled",
    ),
    "total off by one fen": (_raise_total, "total-wrong"),
    "total lost": (_drop_total, "total-missing"),
    "total for nothing": (_add_total, "total-undue"),
    "totals in other partitions": (_move_totals, "total-misplaced"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_planted_fault_is_found(utc, fault):
    plant, kind = FAULTS[fault]
    plan = small_plan()
    plant(plan)
    await publish(utc, plan)
    report = await run_audit(utc)
    assert report.conserved is False
    assert report.finding_counts[kind] >= 1
    assert report.exit_status is ExitStatus.NOT_CONSERVED


async def test_orders_that_nobody_has_read_yet_leave_it_untold(utc):
    await publish(utc, small_plan())
    async with AIOKafkaProducer(**client_options(utc)) as producer:
        for _ in range(3):
            await producer.send_and_wait(utc.topics.orders, b"{}", b"b1", partition=2)
    report = await run_audit(utc, wait_s=0.5)
    assert (report.conserved, report.pending_orders, report.counts.orders) == (None, 3, 18)
    assert "3 orders and 0 partial sums are still on their way" in report.reason
    assert report.exit_status is ExitStatus.UNUSABLE


async def test_a_fault_below_the_cut_is_found_while_orders_wait(utc):
    plan = small_plan()
    plan.worlds[0].alter_donation(0, fen=1)
    await publish(utc, plan)
    async with AIOKafkaProducer(**client_options(utc)) as producer:
        await producer.send_and_wait(utc.topics.orders, b"{}", b"b1", partition=0)
    assert (await run_audit(utc)).conserved is False


async def test_partial_sums_on_their_way_leave_it_untold_and_watermarks_dont(utc):
    plan = small_plan()
    plan.deltas = [Rec(0, 0, None, b'{"source":0,"watermark_ms":1}')]
    await publish(utc, plan)
    assert (await run_audit(utc)).conserved is True
    async with AIOKafkaProducer(**client_options(utc)) as producer:
        await producer.send_and_wait(utc.topics.project_deltas, b'{"minutes":[]}', b"P1", partition=1)
    report = await run_audit(utc)
    assert (report.conserved, report.pending_deltas) == (None, 1)
    async with writer(utc) as producer, producer.transaction():
        done = {TopicPartition(utc.topics.project_deltas, 1): 1}
        await producer.send_offsets_to_transaction(done, utc.app_id)
    assert (await run_audit(utc)).conserved is True


async def test_it_waits_for_the_workers(utc):
    plan = small_plan()
    await send_orders(utc, plan)

    async def work_slowly() -> None:
        await asyncio.sleep(1)
        await send_outcome(utc, plan)

    worker = asyncio.create_task(work_slowly())
    report = await run_audit(utc, wait_s=30)
    await worker
    assert (report.conserved, report.counts.orders) == (True, 18)


async def test_without_committed_offsets_the_last_outcome_says_how_far_it_went(utc):
    plan = small_plan()
    for world in plan.worlds[:2]:
        world.accept(f"last-{world.partition}", Line("P1", 2))
    add_totals(plan)
    await send_orders(utc, plan)
    await send_outcome(utc, plan, commit=False)
    assert (await run_audit(utc)).conserved is True


async def test_aborted_records_are_not_seen(utc):
    plan = small_plan()
    await publish(utc, plan)
    async with writer(utc) as producer:
        await producer.begin_transaction()
        await send(producer, utc.topics.donations, 0, plan.worlds[0].donations, timed=True)
        await send(producer, utc.topics.project_totals, 0, [Rec(0, 0, b"x", b"x")], timed=False)
        await producer.abort_transaction()
    assert (await run_audit(utc)).conserved is True


async def test_workers_that_go_on_working_raise_no_alarm(utc):
    """A writer commits order after order, each with its donations and totals, while audit follows audit."""
    plan = Plan([World(partition) for partition in range(4)])
    sent = [0] * 4
    stop = asyncio.Event()

    async def work() -> None:
        number = 0
        async with writer(utc) as producer, AIOKafkaProducer(**client_options(utc)) as source:
            while not stop.is_set():
                world = plan.worlds[number % 2]
                world.accept(f"o{number}", Line(f"P{number % 7}", 2), at_ms=NOON_MS + number)
                await send(source, utc.topics.orders, world.partition, world.orders[-1:], timed=False)
                add_totals(plan)
                async with producer.transaction():
                    await send(producer, utc.topics.donations, world.partition, world.donations[-1:], timed=True)
                    for partition, totals in plan.totals.items():
                        newer = [_revise(record, number) for record in totals]
                        await send(producer, utc.topics.project_totals, partition, newer, timed=False)
                    sent[world.partition] = len(world.orders)
                    done = {TopicPartition(utc.topics.orders, p): offset for p, offset in enumerate(sent[:2])}
                    await producer.send_offsets_to_transaction(done, utc.app_id)
                number += 1

    worker = asyncio.create_task(work())
    verdicts = []
    for _ in range(15):
        report = await run_audit(utc, wait_s=0.2)
        assert report.findings == ()
        verdicts.append(report.conserved)
    stop.set()
    await worker
    assert len(plan.worlds[0].orders) > 15, "the writer must have worked all the while"
    assert False not in verdicts
    assert (await run_audit(utc, wait_s=5)).conserved is True


def _revise(record: Rec, revision: int) -> Rec:
    total = msgspec.json.decode(record.value or b"")
    return record._replace(value=msgspec.json.encode(total | {"revision": revision}))


async def test_missing_topics_are_told_in_one_line(settings):
    with pytest.raises(UserError, match="doesn't exist"):
        await run_audit(settings)


async def everycent(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "EVERYCENT_BROKER": settings.broker,
        "EVERYCENT_TOPIC_PREFIX": settings.topic_prefix,
        "EVERYCENT_APP_ID": settings.app_id,
        "EVERYCENT_TIMEZONE": "UTC",
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "streams.cli", *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


async def test_the_exit_status_and_the_output_are_the_contracts(utc):
    plan = small_plan()
    await publish(utc, plan)
    done = await everycent(utc, "audit", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["conserved"] is True
    done = await everycent(utc, "audit")
    assert done.returncode == 0
    assert "CONSERVED: 18 orders gave 8 donations, 2.28 yuan; 23 totals agree to the fen." in done.stdout

    async with writer(utc) as producer, producer.transaction():
        await send(producer, utc.topics.donations, 0, plan.worlds[0].donations[-1:], timed=True)
    done = await everycent(utc, "audit")
    assert done.returncode == 1
    assert "NOT CONSERVED" in done.stdout
    assert "donation-doubled" in done.stdout
    found = json.loads((await everycent(utc, "audit", "--json")).stdout)
    assert found["conserved"] is False
    assert {each["kind"] for each in found["findings"]} >= {"donation-doubled", "seq-broken", "total-wrong"}


async def test_where_nothing_can_be_told_the_exit_status_is_2(settings):
    done = await everycent(settings, "audit")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "doesn't exist" in done.stderr
    done = await everycent(settings.model_copy(update={"broker": "127.0.0.1:1"}), "audit", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no Kafka broker answers" in done.stderr
