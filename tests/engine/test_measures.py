"""What a task counts and measures: what is committed, and only that."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, ProducerFenced
from prometheus_client import generate_latest

from streams.engine import limits
from streams.engine.batches import RecordBatch
from streams.engine.stage import Output, Stage
from streams.engine.task import PartitionTask, Phase, Services
from streams.metrics import DEDUPE_IDS, DONATIONS, ORDER_TO_TOTAL_SECONDS, Figures
from streams.settings import Settings
from tests.domain.orders import OrderRecord
from tests.engine.parts import NoState, nothing, open_log
from tests.test_metrics import read

ORDERS_0 = TopicPartition("orders", 0)
AGO_MS = 40_000


class Counting(NoState):
    """Counts what it folds since it was made, and what the next commit is made of."""

    def __init__(self) -> None:
        self.folded: list[Any] = []
        self.held = 0

    def fold(self, records: Sequence[Any]) -> None:
        self.folded += records
        self.held += len(records)

    def take_output(self, *_: object) -> Output:
        taken, self.folded = self.folded, []
        began_ms = [(ORDER_TO_TOTAL_SECONDS, min(record.timestamp for record in taken))] if taken else []
        return Output(counts={(DONATIONS,): len(taken)}, began_ms=began_ms)

    def levels(self) -> Figures:
        return {(DEDUPE_IDS,): self.held}


class Writer:
    """Fails with what it is given, once each; then it takes what comes."""

    def __init__(self, failures: list[Exception]) -> None:
        self._failures = failures
        self.commits = 0

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def commit(self, *_: object) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.commits += 1


class Deployment:
    """One task, its writer, and a log of five records that is fetched again after each start."""

    def __init__(self, *failures: Exception) -> None:
        self.writer = Writer(list(failures))
        self.services = Services(lambda _: self.writer, open_log, self.fetch, nothing)
        stage = Stage("split", "orders", lambda _: Counting())
        self.task = PartitionTask(Settings(commit_interval_ms=10, idle_after_ms=100), stage, 0, self.services)
        self.appended_ms = int(time.time() * 1_000) - AGO_MS
        self.records = [OrderRecord(offset, self.appended_ms + offset, b"k", b"v") for offset in range(5)]

    async def fetch(self, *_: object) -> None:
        asyncio.get_running_loop().call_later(0.05, self.task.accept, RecordBatch(ORDERS_0, 0, 5, self.records))

    async def run_until_committed(self) -> None:
        running = asyncio.ensure_future(self.task.run())
        async with asyncio.timeout(30):
            while not self.writer.commits or not self.task.levels[DEDUPE_IDS,]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        self.task.stop()
        await running

    def seen(self) -> dict[tuple[str, ...], float]:
        return read(generate_latest(self.services.metrics.registry).decode())


async def test_what_is_committed_is_counted_once() -> None:
    deployment = Deployment()
    await deployment.run_until_committed()
    seen = deployment.seen()
    assert seen["everycent_donations_total",] == 5
    assert seen["everycent_commit_records_sum", "split"] == 5
    assert seen["everycent_commit_seconds_count", "split"] == deployment.writer.commits == 1
    assert seen["everycent_fold_seconds_count", "split"] == 1
    assert seen["everycent_restores_total", "split"] == seen["everycent_restore_seconds_count", "split"] == 1
    assert seen["everycent_fenced_total", "split"] == 0
    assert deployment.task.levels == {(DEDUPE_IDS,): 5}


async def test_a_commit_that_fails_counts_nothing_and_is_counted_when_it_goes_through() -> None:
    deployment = Deployment(KafkaConnectionError("gone"), KafkaConnectionError("gone"))
    await deployment.run_until_committed()
    seen = deployment.seen()
    assert seen["everycent_donations_total",] == 5
    assert seen["everycent_commit_seconds_count", "split"] == 1
    assert seen["everycent_order_to_total_seconds_count",] == 1
    assert seen["everycent_fold_seconds_count", "split"] == 3
    assert seen["everycent_restores_total", "split"] == 3
    assert deployment.task.levels == {(DEDUPE_IDS,): 5}


async def test_a_fence_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FENCED_PAUSE_HEARTBEATS", 0)
    deployment = Deployment(ProducerFenced())
    await deployment.run_until_committed()
    assert deployment.seen()["everycent_fenced_total", "split"] == 1
    assert deployment.seen()["everycent_donations_total",] == 5


async def test_the_way_of_an_order_ends_with_the_commit() -> None:
    deployment = Deployment()
    began_s = time.time()
    await deployment.run_until_committed()
    took_s = deployment.seen()["everycent_order_to_total_seconds_sum",]
    assert AGO_MS / 1_000 <= took_s <= AGO_MS / 1_000 + time.time() - began_s + 0.1


async def test_lag_in_seconds_goes_by_what_was_committed_last() -> None:
    deployment = Deployment()
    await deployment.run_until_committed()
    assert AGO_MS / 1_000 <= deployment.task.lag_s < AGO_MS / 1_000 + 30


async def test_lag_in_seconds_begins_when_there_was_last_nothing_to_do() -> None:
    deployment = Deployment()
    await deployment.run_until_committed()
    deployment.task.note_caught_up()
    assert deployment.task.lag_s < 30


async def test_before_its_first_commit_a_task_is_behind_since_it_was_ready() -> None:
    deployment = Deployment()
    deployment.records.clear()  # so nothing is committed
    running = asyncio.ensure_future(deployment.task.run())
    async with asyncio.timeout(30):
        while deployment.task.phase is not Phase.RUNNING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert deployment.task.lag_s < 30
    deployment.task.stop()
    await running


def test_a_batch_was_appended_when_its_first_record_was() -> None:
    records = Deployment().records
    assert RecordBatch(ORDERS_0, 0, 5, records).appended_ms == records[0].timestamp
    assert RecordBatch(ORDERS_0, 0, 5, []).appended_ms is None
