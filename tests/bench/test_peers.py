"""The peers do our job: what they write is held against what we write, record by record."""

import os
import signal
import uuid
from pathlib import Path

import pytest

from schemas.totals import decode_total
from streams.domain.load import LoadPlan
from streams.engine.reader import open_reader
from streams.errors import UserError
from streams.settings import Settings
from tests.bench import engines
from tests.bench.deployments import (
    delete_topics,
    deployment,
    differences,
    empty_outputs,
    load_backlog,
    wait_drained,
)
from tests.bench.engines import DEFAULT_VARIANT, Engine
from tests.bench.job_peers import Mark, _figures, _segments, run
from tests.bench.options import Options, PeerOptions
from tests.bench.processes import Sample
from tests.needs import lack

PLAN, OTHER_PLAN = LoadPlan(3_000, seed=7), LoadPlan(3_000, seed=8)


def need(engine: Engine) -> None:
    """Skip where a person's machine can't have what the engine needs; on a build server that fails."""
    try:
        engines.check(engine)
    except UserError as error:
        lack(str(error))


def fresh(shared: Settings) -> Settings:
    """The same topics under a group and transactions of its own."""
    return shared.model_copy(update={"app_id": f"bench-{uuid.uuid4().hex[:8]}"})


async def eat(engine: Engine, settings: Settings, state: Path | None = None, *, kill: bool = False) -> None:
    """Run it until all orders are processed; `kill`: then end it by kill -9, where it would be stopped in order."""
    with engines.running(engine, settings, DEFAULT_VARIANT, state) as process:
        await wait_drained(settings, process)
        if kill:
            os.kill(process.pid, signal.SIGKILL)


async def output(engine: Engine, settings: Settings) -> tuple[dict, dict]:
    """By partition the donations' bytes; by key of the totals what they say of the money."""
    topic = engines.totals_topic(engine, settings)
    donations, totals = {}, {}
    async with open_reader(settings) as reader:
        for partition in await reader.partitions(settings.topics.donations):
            async for records in reader.read(settings.topics.donations, partition):
                donations.setdefault(partition, []).extend((each.key, each.value) for each in records)
        for partition in await reader.partitions(topic):
            async for records in reader.read(topic, partition):
                for each in records:
                    total = decode_total(each.value)
                    totals[each.key] = (total.start_ms, total.end_ms, total.start, total.fen, total.donations)
    await delete_topics(settings, engines.own_topics(engine, settings))
    return donations, totals


@pytest.mark.parametrize("peer", [each for each in Engine if each is not Engine.EVERYCENT])
async def test_a_peer_writes_our_donations_to_the_byte_and_our_totals_to_the_fen(broker, peer):
    need(peer)
    async with deployment(broker, 2) as shared:
        await load_backlog(shared, PLAN)
        found = []
        for engine in (Engine.EVERYCENT, peer):
            settings = fresh(shared)
            await empty_outputs(settings)
            await eat(engine, settings)
            topic = engines.totals_topic(engine, settings)
            assert await differences(settings, PLAN, totals_topic=topic, whole_ledger=True) == []
            assert await differences(settings, OTHER_PLAN, totals_topic=topic, whole_ledger=True)
            found.append(await output(engine, settings))
    assert found[0] == found[1]


@pytest.mark.parametrize("peer", [Engine.KAFKA_STREAMS, Engine.FLINK])
async def test_a_peer_in_java_is_no_less_safe_for_its_speed_and_goes_on_after_a_kill_as_we_do(broker, peer, tmp_path):
    need(peer)
    async with deployment(broker, 2) as shared:
        settings = fresh(shared)
        await load_backlog(settings, PLAN)
        await eat(peer, settings, tmp_path, kill=True)
        await load_backlog(settings, OTHER_PLAN)
        await eat(peer, settings, tmp_path)
        theirs = await output(peer, settings)
        ours = fresh(shared)
        await empty_outputs(ours)
        await eat(Engine.EVERYCENT, ours)
        assert await output(Engine.EVERYCENT, ours) == theirs


async def test_a_small_run_of_engines_side_by_side_gives_figures_and_ratios(broker):
    need(Engine.CONFLUENT_LOOP)
    chosen = (Engine.EVERYCENT, Engine.CONFLUENT_LOOP)
    peers = PeerOptions(chosen, warm_orders=500, segment_orders=500, segments=2)
    found = await run(Options(broker, 100, 10, 100, 20_000, 1, 3, audit=False, peers=peers))
    assert found["right"]
    assert found["arguments"]["orders"] == 2_000
    assert set(found["figures"]) == set(chosen)
    for figures in found["figures"].values():
        assert figures["first_cpu_us_per_order"]["median"] > 0


def test_a_counted_run_is_divided_by_the_orders_that_were_committed_in_it():
    marks = [Mark(100, Sample(10.0, 1.0)), Mark(300, Sample(12.0, 2.0)), Mark(400, Sample(13.0, 2.5))]
    assert _segments(marks) == [
        {"orders": 200, "seconds": 2.0, "cpu_seconds": 1.0},
        {"orders": 100, "seconds": 1.0, "cpu_seconds": 0.5},
    ]
    figures = _figures(marks, Mark(500, Sample(15.0, 4.0)), 7.0)
    assert figures["cpu_us_per_order"]["median"] == 5_000
    assert figures["first_cpu_us_per_order"]["median"] == 10_000
    assert figures["cpu_us_per_order_to_the_end"]["median"] == 7_500


def test_one_commit_longer_than_a_counted_run_counts_once():
    marks = [Mark(100, Sample(10.0, 1.0)), Mark(400, Sample(12.0, 2.0)), Mark(400, Sample(12.0, 2.0))]
    assert [each["orders"] for each in _segments(marks)] == [300]
