"""The metrics of real workers: where their partitions stand, and counts that agree with the audit to the unit."""

import signal
from pathlib import Path

import pytest

from schemas.order import FixedPledge, OrderCompleted, OrderLine, encode_order
from streams.engine.commit import Step
from streams.engine.reader import open_reader
from streams.engine.sender import open_sender
from streams.engine.topic_admin import create_topics
from streams.settings import Settings
from tests.kafka.scrapes import audited_counts, counted, free_port, samples_of, scrape
from tests.kafka.workers import Workers, audited, drawn_seed, load, running_workers, wait_until

SCRIPT = str(Path(__file__).parent / "local_worker.py")
ANYHOW = {"repeats_share": 0.05, "malformed_share": 0.02, "unpledged_share": 0.1}
SOME_DAY_MS = 1_605_024_000_000
HOUR_MS = 3_600_000


def with_port(settings: Settings, **others: object) -> Settings:
    return settings.model_copy(update={"metrics_port": free_port(), **others})


async def until_caught_up(settings: Settings, workers: Workers) -> None:
    names = settings.topics
    inputs = [(topic, str(n)) for topic in (names.orders, names.project_deltas) for n in range(settings.partitions)]

    def caught_up() -> bool:
        samples = scrape(settings.metrics_port)
        return all(samples.get(("partition_lag", *tp)) == 0 for tp in inputs)

    wait_until(caught_up, lambda: f"{scrape(settings.metrics_port)}\n{workers.logs()}")


def has_committed(port: int) -> bool:
    """True once a commit of `orders` is counted; or the worker has gone, which it does after some."""
    try:
        return scrape(port)["commit_seconds_count", "split"] > 0
    except OSError:
        return True


async def test_a_worker_tells_where_its_partitions_stand_until_it_ends(topics: Settings) -> None:
    settings = with_port(topics)
    await load(settings, 5_000, seed=21)
    with running_workers(settings) as workers:
        worker = workers.start(command=[SCRIPT])
        worker.wait_for("partition ready", 2 * settings.partitions)
        await audited(settings, workers)
        await until_caught_up(settings, workers)
        samples = scrape(settings.metrics_port)
        names = settings.topics
        inputs = {(topic, str(n)) for topic in (names.orders, names.project_deltas) for n in range(settings.partitions)}
        for metric in ("ready", "position", "lag", "lag_seconds"):
            assert {key[1:] for key in samples if key[0] == f"partition_{metric}"} == inputs
        assert all(samples["partition_ready", *tp] == 1 for tp in inputs)
        assert all(samples["partition_lag_seconds", *tp] == 0 for tp in inputs)
        async with open_reader(settings) as log:
            for partition in range(settings.partitions):  # nobody writes orders any more
                end = await log.end_offset(names.orders, partition)
                assert samples["partition_position", names.orders, str(partition)] == end
        assert worker.stop() == 0
        assert "Traceback" not in worker.text()


@pytest.mark.parametrize("native", [True, False], ids=["rust", "python"])
async def test_every_counter_agrees_with_the_audit_to_the_unit(topics: Settings, native: bool) -> None:
    settings = with_port(topics, commit_interval_ms=50, idle_after_ms=1_000)
    with running_workers(settings) as workers:
        workers.start(command=[SCRIPT], native=native).wait_for("partition ready", 2 * settings.partitions)
        seed = drawn_seed()
        for part in range(3):
            await load(settings, 4_000, seed=seed + part, **ANYHOW)
        report = await audited(settings, workers)
        await until_caught_up(settings, workers)
        expected = audited_counts(report)
        port = settings.metrics_port
        wait_until(lambda: scrape(port)["dedupe_ids",] == expected["accepted"], lambda: f"{scrape(port)}")
        samples = scrape(port)
    assert counted(samples) == expected
    assert all(expected[name] for name in ("accepted", "no_pledge", "repeat", "rejected", "not-json", "invalid"))
    assert samples["commit_records_sum", "split"] == report.counts.orders
    assert samples["restores_total", "split"] == samples["restores_total", "totals"] == settings.partitions
    assert samples["rebalances_total",] >= 1
    assert samples["table_entries", "all"] > 0
    assert samples["watermark_delay_seconds",] > 0
    assert (
        0 < samples["order_to_total_seconds_count",] <= samples["commit_seconds_count", "split"] * settings.partitions
    )
    assert samples["order_to_total_seconds_sum",] / samples["order_to_total_seconds_count",] < 60


@pytest.mark.parametrize("native", [True, False], ids=["rust", "python"])
@pytest.mark.parametrize("step", [Step.ACKNOWLEDGED, Step.COMMITTED], ids=lambda step: step.name)
async def test_over_a_crash_the_counts_of_both_workers_agree_with_the_audit_but_for_a_commit_cut_behind_its_end(
    settings: Settings, step: Step, native: bool
) -> None:
    """One partition: so it is known what was committed when the worker died."""
    settings = with_port(settings, partitions=1)
    await create_topics(settings)
    seed = drawn_seed()
    with running_workers(settings) as workers:
        await load(settings, 4_000, seed=seed, **ANYHOW)
        script = str(Path(__file__).parent / "crashing_worker.py")
        victim = workers.start(step.name, "orders", "2", command=[script], native=native)
        victim.wait_for("partition ready", 2)
        wait_until(lambda: has_committed(settings.metrics_port), victim.text)
        await load(settings, 4_000, seed=seed + 1, **ANYHOW)
        assert victim.process.wait(120) == -signal.SIGKILL, victim.text()
        last_words = samples_of("# HELP" + victim.text().split("# HELP", 1)[1])
        successor = workers.start(command=[SCRIPT], native=native)
        successor.wait_for("partition ready", 2)
        report = await audited(settings, workers)
        await until_caught_up(settings, workers)
        found, expected = counted(last_words, scrape(settings.metrics_port)), audited_counts(report)
    assert last_words["orders_total", "accepted"] > 0, "it had committed before"
    if step < Step.COMMITTED:
        assert found == expected
    else:
        missing = expected - found  # committed, and its worker died before it counted: only the topics know
        assert missing["accepted"] > 0
        assert found + missing == expected


@pytest.mark.parametrize("native", [True, False], ids=["rust", "python"])
async def test_donations_that_come_late_are_counted(settings: Settings, native: bool) -> None:
    settings = with_port(settings, partitions=1, allowed_lateness_ms=0, minute_retention_hours=1)
    await create_topics(settings)

    async def send(first: int, count: int, completed_at: int) -> None:
        lines = (OrderLine(0, "i1", 500, FixedPledge("P1", 2)),)
        orders = [OrderCompleted(f"o{first + n}", "b1", "m1", completed_at, lines) for n in range(count)]
        async with open_sender(settings, settings.topics.orders) as sender:
            await sender.send([b"b1"] * count, [encode_order(order) for order in orders])
            await sender.flush()
        await audited(settings, workers)  # what came before is committed, so the watermark has passed it on

    with running_workers(settings) as workers:
        workers.start(command=[SCRIPT], native=native).wait_for("partition ready", 2)
        await send(0, 50, SOME_DAY_MS)
        await send(100, 1, SOME_DAY_MS + 5 * HOUR_MS)
        await until_caught_up(settings, workers)
        assert scrape(settings.metrics_port)["late_donations_total",] == 0
        await send(200, 30, SOME_DAY_MS + 4 * HOUR_MS)  # its minute is final
        await send(300, 7, SOME_DAY_MS)  # its minute has left memory
        await until_caught_up(settings, workers)
        samples = scrape(settings.metrics_port)
    assert samples["late_donations_total",] == 37
    assert samples["released_donations_total",] == 7
