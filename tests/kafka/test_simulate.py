"""`everycent simulate` on the real broker: what was made is what is there, and how it ends when it can't go on."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from aiokafka.partitioner import DefaultPartitioner

from schemas.order import OrderCompleted, decode_order
from streams.domain.load import LoadPlan, make_chunks
from streams.engine.reader import open_reader
from streams.errors import UserError
from streams.settings import Settings
from streams.simulation import run_simulation

pytestmark = pytest.mark.kafka

PLAN = LoadPlan(20_000, seed=42, repeats_share=0.01, malformed_share=0.02)


async def read_orders(settings):
    """The records of `orders` by partition, each as (key, value), in their order."""
    found = defaultdict(list)
    async with open_reader(settings) as reader:
        for partition in await reader.partitions(settings.topics.orders):
            found[partition] = []
            async for batch in reader.read(settings.topics.orders, partition):
                found[partition].extend((record.key, record.value) for record in batch)
    return found


def made_by_partition(plan, partition_count):
    found = {partition: [] for partition in range(partition_count)}
    every = list(range(partition_count))
    for chunk in make_chunks(plan):
        for key, value in zip(chunk.keys, chunk.values, strict=True):
            found[DefaultPartitioner()(key or b"", every, every)].append((key, value))
    return found


def start_command(settings, *arguments):
    environment = os.environ | {"EVERYCENT_BROKER": settings.broker, "EVERYCENT_TOPIC_PREFIX": settings.topic_prefix}
    return subprocess.Popen(
        [sys.executable, "-c", "from streams.cli import main; main()", "simulate", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_every_record_arrives_once_unchanged_in_its_order_on_kafkas_partition(settings, topics):
    sent = await run_simulation(settings, PLAN)
    found = await read_orders(settings)
    assert found == made_by_partition(PLAN, len(found))
    assert sent.orders == PLAN.orders
    assert sent.records == sum(map(len, found.values()))
    assert sent.repeats > 100
    assert sent.malformed > 300


async def test_the_command_sends_the_same_and_sums_it_up_as_json(settings, topics):
    command = start_command(
        settings, "--orders", "3000", "--seed", "42", "--repeats", "0.01", "--malformed", "0.02", "--json"
    )
    output, errors = await asyncio.to_thread(command.communicate, timeout=60)
    assert command.returncode == 0, errors
    summary = json.loads(output)
    found = await read_orders(settings)
    assert found == made_by_partition(replace(PLAN, orders=3_000), len(found))
    assert summary["orders"] == 3_000
    assert summary["records"] == sum(map(len, found.values()))
    assert summary["interrupted"] is False


async def test_a_rate_is_kept_without_bursts(settings, topics):
    reached = []
    started = time.monotonic()
    sent = await run_simulation(
        settings,
        LoadPlan(1_000, seed=1),
        orders_per_second=500,
        on_progress=lambda progress: reached.append(progress.orders),
    )
    took = time.monotonic() - started
    assert sent.orders == 1_000
    assert took >= 1.9
    steps = [later - earlier for earlier, later in zip([0, *reached], reached, strict=False)]
    assert max(steps) <= 50


async def test_live_orders_happen_now_and_their_repeats_are_still_exact(settings, topics):
    before_ms = time.time_ns() // 1_000_000
    plan = LoadPlan(400, seed=1, repeats_share=0.2)
    sent = await run_simulation(settings, plan, orders_per_second=800, live=True)
    after_ms = time.time_ns() // 1_000_000
    records = [record for partition in (await read_orders(settings)).values() for record in partition]
    copies = Counter(records)
    assert len(copies) == plan.orders
    assert copies.total() - plan.orders == sent.repeats > 20
    times = [decode_order(key, value).completed_at for key, value in copies]
    assert before_ms <= min(times) <= max(times) <= after_ms
    assert len(set(times)) > 3


async def test_an_interrupted_run_says_what_the_broker_has(settings, topics):
    command = start_command(settings, "--orders", "1000000", "--rate", "400", "--json")
    async with asyncio.timeout(30):
        while sum(map(len, (await read_orders(settings)).values())) < 100:
            assert command.poll() is None, command.communicate()[1]
            await asyncio.sleep(0.1)
    command.send_signal(signal.SIGINT)
    output, _ = await asyncio.to_thread(command.communicate, timeout=60)
    summary = json.loads(output)
    found = [record for partition in (await read_orders(settings)).values() for record in partition]
    assert command.returncode == 128 + signal.SIGINT
    assert summary["interrupted"] is True
    assert summary["orders"] == len(found) < 1_000_000
    assert all(isinstance(decode_order(key, value), OrderCompleted) for key, value in found)


async def test_a_missing_topic_is_one_clear_error_and_is_not_created(settings, topics):
    elsewhere = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}missing-"})
    for _ in range(2):
        with pytest.raises(UserError, match=r"missing-orders.*doesn't exist.*topics create"):
            await run_simulation(elsewhere, LoadPlan(10))


async def test_a_missing_broker_is_one_line_and_exit_status_2():
    command = start_command(Settings(broker="127.0.0.1:1"), "--orders", "10")
    output, errors = await asyncio.to_thread(command.communicate, timeout=60)
    assert command.returncode == 2
    assert output == ""
    assert len(errors.splitlines()) == 1
    assert "no Kafka broker answers at 127.0.0.1:1" in errors
