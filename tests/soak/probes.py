"""Probes: ordinary orders whose way from `orders` to a total that readers of committed records see is timed.

Each pair of a partition of `orders` and one of `project-totals` has a project of its own, to which nobody else gives,
and a buyer. Its probes give one donation each and keep their order, so the number of donations in its total over all
time says how many of them are visible. A probe's time runs from before it is handed to the producer until the total is
in the reader's hands.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, product
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.totals import WindowKind, decode_total
from streams.domain.murmur2 import partitions_of
from streams.engine.connection import client_options, open_consumer
from streams.engine.reader import LogReader
from streams.settings import Settings
from tests.soak.figures import Probe
from tests.soak.plan import EventClock

PREFIX = "soak-"  # the load's projects and buyers are named otherwise
READ_WAIT_MS = 100
READ_RECORDS = 2_000  # at once: longer would hold up the next probe
CANDIDATES = 10_000  # names that are tried: with 8 partitions each takes 8 in the mean


@dataclass(slots=True)
class _Line:
    """The probes of one project, in their order."""

    buyer_id: str
    project_id: str
    sent_s: list[float] = field(default_factory=list)
    visible_s: list[float] = field(default_factory=list)


class Probes:
    """Sends probes and sees them come out."""

    def __init__(
        self, lines: list[_Line], producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, settings: Settings
    ) -> None:
        self._lines = lines
        self._by_key = {f"{line.project_id}|{WindowKind.ALL}|0".encode(): line for line in lines}
        self._producer = producer
        self._consumer = consumer
        self._topic = settings.topics.orders
        self._acknowledgements: set[asyncio.Future[Any]] = set()
        self.faults: list[str] = []

    @property
    def sent(self) -> int:
        return sum(len(line.sent_s) for line in self._lines)

    @property
    def visible(self) -> int:
        return sum(len(line.visible_s) for line in self._lines)

    def seen_since(self, known: int) -> list[Probe]:
        """Those that became visible after the first so many."""
        return sorted(self.seen(), key=lambda probe: probe.visible_s)[known:]

    def seen(self) -> list[Probe]:
        """The probes that are visible, with their moments."""
        pairs = [pair for line in self._lines for pair in zip(line.sent_s, line.visible_s, strict=False)]
        return [Probe(sent_s, visible_s) for sent_s, visible_s in sorted(pairs)]

    async def send(self, every_ms: int, clock: EventClock, seed: int, stop: asyncio.Event) -> None:
        """Send one so often, to each project in turn, until `stop` is set; then wait until the broker has them."""
        due = time.monotonic()
        for number in count():
            if stop.is_set():
                break
            line = self._lines[number % len(self._lines)]
            order = _order(f"{PREFIX}{seed}-{number}", line, clock.now_ms())
            line.sent_s.append(time.monotonic())
            future = await self._producer.send(self._topic, key=line.buyer_id.encode(), value=order)
            self._acknowledgements.add(future)
            future.add_done_callback(self._acknowledgements.discard)
            due += every_ms / 1_000
            await asyncio.sleep(due - time.monotonic())
        await asyncio.gather(*self._acknowledgements)

    async def read(self) -> None:
        """Follow the totals, for ever."""
        while True:
            batches = await self._consumer.getmany(timeout_ms=READ_WAIT_MS, max_records=READ_RECORDS)
            now = time.monotonic()
            for records in batches.values():
                for record in records:
                    line = self._by_key.get(record.key)
                    if line is not None and record.value is not None:
                        self._take(line, decode_total(record.value).donations, now)

    def _take(self, line: _Line, donations: int, now: float) -> None:
        known = len(line.visible_s)
        if donations < known:
            self.faults.append(f"the total of {line.project_id} went back from {known} to {donations} donations")
        elif donations > len(line.sent_s):
            self.faults.append(f"{line.project_id} has {donations} donations of {len(line.sent_s)} orders")
        else:
            line.visible_s += [now] * (donations - known)


@asynccontextmanager
async def open_probes(settings: Settings) -> AsyncIterator[Probes]:
    """Probes on connections of their own. Raises UserError if no broker answers or a topic is missing."""
    totals = settings.topics.project_totals
    async with open_consumer(settings) as consumer:
        reader = LogReader(consumer)
        lines = _lines(len(await reader.partitions(settings.topics.orders)), len(await reader.partitions(totals)))
        consumer.assign([TopicPartition(totals, partition) for partition in await reader.partitions(totals)])
        await consumer.seek_to_beginning()
        async with AIOKafkaProducer(enable_idempotence=True, **client_options(settings)) as producer:
            yield Probes(lines, producer, consumer, settings)


def _lines(sources: int, totals_partitions: int) -> list[_Line]:
    """A buyer and a project for each pair of partitions."""
    names = [f"{PREFIX}{number}" for number in range(CANDIDATES)]
    keys = [name.encode() for name in names]
    buyers = dict(zip(partitions_of(keys, sources).tolist(), names, strict=True))
    projects: dict[int, list[str]] = {}
    for partition, name in zip(partitions_of(keys, totals_partitions).tolist(), names, strict=True):
        projects.setdefault(partition, []).append(name)
    pairs = product(range(totals_partitions), range(sources))
    return [_Line(buyers[source], projects[partition].pop()) for partition, source in pairs]


def _order(order_id: str, line: _Line, completed_at: int) -> bytes:
    pledge = {"kind": "fixed", "project_id": line.project_id, "fen": 1}
    return json.dumps(
        {
            "order_id": order_id,
            "buyer_id": line.buyer_id,
            "merchant_id": f"{PREFIX}merchant",
            "completed_at": completed_at,
            "lines": [{"line": 0, "item_id": f"{PREFIX}item", "paid_fen": 100, "pledge": pledge}],
        }
    ).encode()
