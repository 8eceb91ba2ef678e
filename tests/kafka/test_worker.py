"""Workers on the real broker: what they make of orders, how they start, share, stop and refuse."""

import asyncio
import re
import subprocess
import sys
import time

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete

from schemas.limits import FUTURE_TOLERANCE_MS
from schemas.order import FixedPledge, OrderCompleted, OrderLine, encode_order
from schemas.rejection import decode_rejection
from schemas.totals import WindowKind, decode_total, decode_total_key
from streams.domain.load import LoadPlan, expected_sums
from streams.engine.connection import client_options, open_admin
from streams.engine.reader import open_reader
from streams.settings import Settings
from streams.simulation import run_simulation
from streams.worker import COLLECT_EVERY_OBJECTS_NATIVE
from tests.kafka.workers import audited, environment, load, running_workers

SOME_DAY_MS = 1_605_024_000_000


def an_order(order_id: str, buyer_id: str = "b1", fen: int = 2) -> OrderCompleted:
    lines = (OrderLine(0, "i1", 4_990, FixedPledge("P0001", fen)), OrderLine(1, "i2", 100))
    return OrderCompleted(order_id, buyer_id, "m1", SOME_DAY_MS, lines)


async def send(settings: Settings, records: list[tuple[bytes | None, bytes | None]], partition: int = 0) -> None:
    async with AIOKafkaProducer(**client_options(settings), max_request_size=8 * 1_048_576) as producer:
        for key, value in records:
            await producer.send_and_wait(settings.topics.orders, value, key, partition)


async def newest_totals(settings: Settings) -> dict[tuple[str, WindowKind], int]:
    found = {}
    async with open_reader(settings) as log:
        for partition in await log.partitions(settings.topics.project_totals):
            async for batch in log.read(settings.topics.project_totals, partition):
                for record in batch:
                    key = decode_total_key(record.key)
                    found[key.project_id, key.window] = decode_total(record.value).fen
    return found


async def test_an_order_becomes_donations_and_a_total_in_every_window(topics: Settings) -> None:
    await send(topics, [(b"b1", encode_order(an_order("o1"))), (b"b1", encode_order(an_order("o2", fen=5)))])
    with running_workers(topics) as workers:
        workers.start()
        report = await audited(topics, workers)
    assert (report.counts.accepted, report.counts.donations, report.counts.fen) == (2, 2, 7)
    assert await newest_totals(topics) == {("P0001", kind): 7 for kind in WindowKind}


async def test_repeats_and_malformed_orders_of_every_kind_stop_nothing(topics: Settings) -> None:
    plan = LoadPlan(20_000, seed=5, repeats_share=0.05, malformed_share=0.05)
    await run_simulation(topics, plan)
    with running_workers(topics) as workers:
        workers.start()
        report = await audited(topics, workers)
    expected = expected_sums(plan)
    assert (report.counts.donations, report.counts.fen) == (expected.donations, expected.fen)
    assert report.counts.repeats > 500
    assert set(report.counts.rejected) == {"not-json", "invalid", "too-large"}


async def test_an_order_of_nearly_a_day_ahead_is_taken_and_stops_nothing(topics: Settings) -> None:
    ahead_ms = int(time.time() * 1_000) + FUTURE_TOLERANCE_MS - 60_000
    ahead = OrderCompleted("o1", "b1", "m1", ahead_ms, an_order("o1").lines)
    await send(topics, [(b"b1", encode_order(ahead)), (b"b1", encode_order(an_order("o2")))])
    with running_workers(topics) as workers:
        workers.start()
        report = await audited(topics, workers)
    assert report.counts.accepted == 2


async def test_a_refused_order_lies_in_rejected_orders_byte_for_byte(topics: Settings) -> None:
    bad = [(b"b1", b"not json"), (b"b1", None), (b"", encode_order(an_order("o2"))), (b"b1", b"x" * 1_200_000)]
    await send(topics, [(b"b1", encode_order(an_order("o1"))), *bad, (b"b1", encode_order(an_order("o3")))])
    with running_workers(topics) as workers:
        workers.start()
        report = await audited(topics, workers)
    assert report.counts.accepted == 2
    async with open_reader(topics) as log:
        records = [record async for batch in log.read(topics.topics.rejected_orders, 0) for record in batch]
    assert [(record.key, record.value) for record in records] == bad
    rejections = [decode_rejection(record.headers) for record in records]
    assert [rejection.reason.value for rejection in rejections] == ["not-json", "not-json", "invalid", "too-large"]
    assert [rejection.source_offset for rejection in rejections] == [1, 2, 3, 4]


async def test_sigterm_finishes_the_commit_and_leaves_the_group_at_once(topics: Settings) -> None:
    patient = topics.model_copy(update={"session_timeout_ms": 60_000})
    with running_workers(patient) as workers:
        first = workers.start()
        first.wait_for("partition ready", times=8)
        await load(topics, 5_000, seed=6)
        assert first.stop() == 0
        assert "Traceback" not in first.text()
        assert [path for path in first.log.parent.iterdir() if path != first.log] == []  # Faust would make folders here
        started = time.monotonic()
        second = workers.start()
        second.wait_for("partition ready", times=8)
        assert time.monotonic() - started < 45, "the group still waited for the first worker's session to end"
        await audited(topics, workers)


# Faust's command takes the main thread; another one tells when a watchdog runs, and how often cycles are collected.
FAUST_AND_ITS_GUARDS = """
import gc, threading, time
from faust.cli.faust import cli

def tell():
    while not any(thread.name == "watchdog" for thread in threading.enumerate()):
        time.sleep(0.1)
    print(f"watchdog, {gc.get_threshold()[0]}", flush=True)

threading.Thread(target=tell, daemon=True).start()
cli()
"""


async def test_fausts_own_command_runs_the_same_worker(topics: Settings) -> None:
    await load(topics, 5_000, seed=7)
    with running_workers(topics) as workers:
        worker = workers.start("-A", "streams.worker", "worker", "--without-web", command=["-c", FAUST_AND_ITS_GUARDS])
        worker.wait_for(f"watchdog, {COLLECT_EVERY_OBJECTS_NATIVE}")
        await audited(topics, workers)
        worker.stop()
        assert "Traceback" not in worker.text()


async def test_workers_of_one_role_each_do_the_job_together(topics: Settings) -> None:
    await load(topics, 5_000, seed=8)
    with running_workers(topics) as workers:
        workers.start("--roles", "split")
        workers.start("--roles", "totals")
        await audited(topics, workers)


async def test_an_idle_worker_commits_nothing(topics: Settings) -> None:
    await load(topics, 2_000, seed=9)
    quiet = topics.model_copy(update={"idle_after_ms": 1_000})
    with running_workers(quiet) as workers:
        workers.start()
        await audited(topics, workers)
        await asyncio.sleep(3)  # each source tells once that it is idle
        before = await ends(topics)
        await asyncio.sleep(3)
        assert await ends(topics) == before


async def ends(settings: Settings) -> list[int]:
    names = [settings.topics.donations, settings.topics.project_deltas, settings.topics.project_totals]
    async with open_reader(settings) as log:
        return [await log.end_offset(name, partition) for name in names for partition in await log.partitions(name)]


async def test_windows_become_final_when_the_sources_are_past_them_or_idle(topics: Settings) -> None:
    deployment = topics.model_copy(update={"idle_after_ms": 500, "allowed_lateness_ms": 0})
    later = OrderCompleted("o2", "b1", "m1", SOME_DAY_MS + 3_600_000, an_order("o2").lines)
    await send(topics, [(b"b1", encode_order(an_order("o1"))), (b"b1", encode_order(later))])
    with running_workers(deployment) as workers:
        workers.start()
        await audited(topics, workers)
        # The other three partitions say that they are idle; then one more order lets this one's watermark be heard.
        await asyncio.sleep(3)
        latest = OrderCompleted("o3", "b1", "m1", SOME_DAY_MS + 7_200_000, an_order("o3").lines)
        await send(topics, [(b"b1", encode_order(latest))])
        await audited(topics, workers)
    finals = set()
    async with open_reader(topics) as log:
        for partition in range(4):
            async for batch in log.read(topics.topics.project_totals, partition):
                finals |= {(t.window.value, t.start_ms) for r in batch if (t := decode_total(r.value)).final}
    assert finals == {
        ("minute", SOME_DAY_MS),
        ("hour", SOME_DAY_MS),
        ("minute", SOME_DAY_MS + 3_600_000),
        ("hour", SOME_DAY_MS + 3_600_000),
    }


def run_command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_worker_without_its_topics_says_so_in_one_line(settings: Settings) -> None:
    result = run_command(settings, "worker")
    assert result.returncode == 2
    assert re.fullmatch(r"everycent: .*no topic .*everycent topics create.*\n", result.stderr), result.stderr


async def test_topics_whose_partition_counts_do_not_fit_are_refused_in_one_line(topics: Settings) -> None:
    async with open_admin(topics) as admin:
        await admin.create_partitions({topics.topics.orders: NewPartitions(6)})
    result = run_command(topics, "worker")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert topics.topics.orders in result.stderr
    assert topics.topics.donations in result.stderr


def test_a_worker_without_a_broker_says_so_in_one_line() -> None:
    result = run_command(Settings(broker="127.0.0.1:1"), "worker")
    assert result.returncode == 2
    line = r"everycent: no Kafka broker answers at 127\.0\.0\.1:1\. Start one .*\n"
    assert re.fullmatch(line, result.stderr), result.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("COMMIT_INTERVAL_MS", "soon"), ("TIMEZONE", "Mars/Olympus"), ("PARTITIONS", "0")]
)
def test_a_wrong_setting_is_named_in_one_line(name: str, value: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "streams.cli", "worker"],
        env={**environment(Settings()), f"EVERYCENT_{name}": value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"everycent: EVERYCENT_{name}='{value}': ")
    assert result.stderr.count("\n") == 1


async def test_orders_that_were_deleted_before_they_were_processed_stop_the_worker_loudly(topics: Settings) -> None:
    await load(topics, 4_000, seed=10)
    with running_workers(topics) as workers:
        first = workers.start()
        await audited(topics, workers)
        first.stop()
        await load(topics, 4_000, seed=11)
        async with open_admin(topics) as admin, open_reader(topics) as log:
            end = await log.end_offset(topics.topics.orders, 0)
            await admin.delete_records({TopicPartition(topics.topics.orders, 0): RecordsToDelete(before_offset=end)})
        second = workers.start()
        assert second.process.wait(30) == 3
        assert "were deleted before they were processed" in second.text()
        assert "Traceback" not in second.text()
