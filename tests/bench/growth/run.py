"""One run: orders of a shape, workers over them, what that cost, and whether the output is right to the fen.

The workers start first and get their partitions. The whole backlog lies in one transaction, so all of it becomes
visible to them at one moment, at which the measuring begins; it ends when the last order and the last partial sum are
seen committed. Starts and rebalances are no part of it. CPU is user and system of whole processes.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from aiokafka import AIOKafkaProducer

from schemas.topics import Topic
from streams.engine.connection import REQUEST_TIMEOUT_MS, client_options, group_offsets, open_admin, start_client
from streams.engine.embedded_broker import EmbeddedBroker
from streams.engine.reader import open_reader
from streams.engine.sender import RecordSender
from streams.settings import Settings
from tests.bench.deployments import deployment, differences_from, ends, pending, reached
from tests.bench.growth.load import Shape, expected_sums, make_lap, replays
from tests.bench.options import say
from tests.bench.processes import MeasuredProcess, worker

READY_TIMEOUT_S = 300
LOAD_TIMEOUT_MS = 850_000  # of the transaction that holds the backlog: the broker allows 15 minutes
DRAIN_POLL_S = 0.05
SOURCES = (Topic.ORDERS, Topic.PROJECT_DELTAS)
STALLED_POLLS_MAX = 2_400  # two minutes without progress, and the run is given up
TOLD_EVERY_S = 10
BATCH_MAX_BYTES = 512 * 1_024
BROKER_HEAP = "-Xmx2g"  # 256 partitions of each topic are too many for the 512 MB that it has by default


def embedded_broker(folder: Path) -> EmbeddedBroker:
    """A broker for many partitions, to be used in a `with`."""
    return EmbeddedBroker(folder, java_options=(BROKER_HEAP,))


class Broker(NamedTuple):
    """Where Kafka is, and, where it is ours, its process and its folder: what it cost is read from those."""

    address: str
    process: psutil.Process | None = None
    folder: Path | None = None

    @classmethod
    def of(cls, embedded: EmbeddedBroker) -> "Broker":
        return cls(embedded.address, psutil.Process(embedded.pid), embedded.data_dir)

    def cpu_s(self) -> float | None:
        if self.process is None:
            return None
        usage = self.process.cpu_times()
        return float(usage.user + usage.system)

    def topic_bytes(self, settings: Settings) -> dict[str, int] | None:
        """What each topic takes on its disk, as packed: logs without their indices."""
        if self.folder is None:
            return None
        folders = {topic: (self.folder / "kafka").glob(f"{settings.topics.name(topic)}-*") for topic in Topic}
        return {
            str(topic): sum(log.stat().st_size for folder in found for log in folder.glob("*.log"))
            for topic, found in folders.items()
        }


async def run_shape(broker: Broker, shape: Shape) -> dict[str, Any]:
    """Measure one shape once."""
    lap = make_lap(shape)
    async with deployment(broker.address, shape.partitions) as made:
        # While the backlog is loaded the workers know of it, and mustn't take that for a stall of their own.
        settings = made.model_copy(update={"stall_timeout_s": 86_400, "metrics_port": 0})
        with ExitStack() as stack:
            workers = [stack.enter_context(worker(settings)) for _ in range(shape.workers)]
            await _wait_shared(workers, ready_partitions(settings))
            start_cpu_s = sum(each.sample().cpu_s for each in workers)
            async with _backlog(settings) as (sender, show):
                loaded = time.monotonic()
                for keys, values in replays(shape, lap):
                    await sender.send(keys, values)
                await sender.flush()
                load_seconds = time.monotonic() - loaded
                before, broker_before = sum(each.sample().cpu_s for each in workers), broker.cpu_s()
                begun = time.monotonic()
                await show()
            done = await _wait_drained(settings, workers, shape.orders)
            broker_after = broker.cpu_s()
            memory_mb = [each.peak_memory_mb() for each in workers]
        topic_bytes = broker.topic_bytes(settings)
        found = await differences_from(settings, expected_sums(shape, lap))
    seconds, cpu_seconds = done.at_s - begun, done.cpu_s - before
    verdict = "right to the fen" if not found else f"WRONG: {'; '.join(found)}"
    each_us = cpu_seconds / shape.orders * 1e6
    say(f"  {seconds:.1f} s, {each_us:.2f} us of CPU an order, loaded in {load_seconds:.0f} s; {verdict}")
    return {
        "shape": asdict(shape),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "start_cpu_seconds": round(start_cpu_s, 3),
        "broker_cpu_seconds": None if broker_after is None else round(broker_after - (broker_before or 0), 3),
        "peak_memory_mb": None if None in memory_mb else round(max(each or 0 for each in memory_mb), 1),
        "donations": lap.sums.donations * shape.laps,
        "topic_bytes": topic_bytes,
        "differences": found,
    }


class _Done(NamedTuple):
    at_s: float
    cpu_s: float


class _backlog:  # noqa: N801 - used as a function
    """A sender of orders that nobody sees before `show` is called."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = AIOKafkaProducer(
            transactional_id=f"{settings.app_id}-load",
            transaction_timeout_ms=LOAD_TIMEOUT_MS,
            compression_type="zstd",
            max_batch_size=BATCH_MAX_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            **client_options(settings),
        )

    async def __aenter__(self) -> tuple[RecordSender, Any]:
        await start_client(self._producer, self._settings)
        await self._producer.begin_transaction()
        sender = RecordSender(self._settings, self._producer, self._settings.topics.orders, self._settings.partitions)
        return sender, self._producer.commit_transaction

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()


async def _wait_shared(workers: Sequence[MeasuredProcess], partitions: int) -> None:
    """Wait until the workers have all partitions between them, each its share, and all are ready."""
    for each in workers:
        await each.wait_for("worker starts", timeout_s=READY_TIMEOUT_S)

    def shared() -> bool:
        assigned = [each.events("assignment") for each in workers]
        if not all(assigned) or len({events[-1]["generation"] for events in assigned}) != 1:
            return False
        shares = [events[-1]["partitions"] for events in assigned]
        if sum(shares) != partitions or min(shares) == 0:
            return False
        return all(_ready(each) >= events[-1]["partitions"] for each, events in zip(workers, assigned, strict=True))

    await workers[0].wait_until(shared, READY_TIMEOUT_S, "the workers didn't share the partitions")
    await asyncio.sleep(1)  # what a start leaves to do is done by then


def ready_partitions(settings: Settings) -> int:
    """How many partitions of both stages there are."""
    counts = (settings.topics.partition_count(topic, settings.partitions) for topic in SOURCES)
    return sum(counts)


def _ready(process: MeasuredProcess) -> int:
    """How many of the partitions that it has now said that they are ready since it was given them."""
    return len({(event["topic"], event["partition"]) for event in process.events("partition ready")})


async def _wait_drained(settings: Settings, workers: Sequence[MeasuredProcess], orders: int) -> _Done:
    """Wait until all orders and partial sums are committed; told is the moment at which that is seen."""
    topic, deltas = settings.topics.orders, settings.topics.project_deltas
    async with open_admin(settings) as admin, open_reader(settings) as reader:
        # The load's transaction ends each partition with a marker, which isn't processed.
        backlog = {tp: end - 1 for tp, end in (await ends(reader, topic)).items() if end}
        assert sum(backlog.values()) == orders
        before, stalled, told = -1, 0, time.monotonic()
        while True:
            known = await group_offsets(admin, settings.app_id)
            offsets = {tp: found.offset for tp, found in known.items() if found.offset >= 0}
            done = _Done(time.monotonic(), sum(each.sample().cpu_s for each in workers))
            if reached(offsets, backlog) and not await pending(reader, offsets, await ends(reader, deltas)):
                return done
            progress = sum(offsets.values())
            stalled = stalled + 1 if progress == before else 0
            if stalled > STALLED_POLLS_MAX:
                raise workers[0].failed(f"the workers stand still at {offsets}; the orders end at {backlog}")
            before = progress
            if done.at_s - told > TOLD_EVERY_S:
                told = done.at_s
                say(f"  {sum(offsets.get(tp, 0) for tp in backlog):,} of {orders:,} orders done")
            await asyncio.sleep(DRAIN_POLL_S)
