"""What the demo shows of a running deployment, read from the topics and the group's offsets like anyone could.

Belongs to no consumer group and writes nothing; a crash loses nothing. All amounts are integers of fen.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.totals import ProjectTotal, WindowKind, decode_total
from streams.engine.connection import group_offsets, open_admin, open_consumer
from streams.engine.reader import LogReader
from streams.errors import ExitStatus, UserError
from streams.settings import Settings

LOOK_INTERVAL_S = 0.2
POLL_RECORDS_MAX = 2_000  # decoded at a stretch: some 5 ms in which the screen stands still
TOP_PROJECTS = 10
NO_ANSWER_S = 30  # longer than a broker takes to come back from a restart
RATE_SPAN_MS = 3_000  # a rate over less jumps with every commit

_OF_ALL_TIME = f"|{WindowKind.ALL}|".encode()


@dataclass(frozen=True, slots=True)
class Figures:
    """One look. `sent` and `processed` are records of `orders`; the rest is the sum of the totals of all time."""

    sent: int = 0
    processed: int = 0
    donations: int = 0
    fen: int = 0
    projects: int = 0
    top: tuple[ProjectTotal, ...] = ()

    @property
    def lag(self) -> int:
        return max(0, self.sent - self.processed)


class RateMeter:
    """How fast a count grows, over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()

    def add(self, now_ms: int, count: int) -> None:
        self._seen.append((now_ms, count))
        while len(self._seen) > 2 and now_ms - self._seen[1][0] >= RATE_SPAN_MS:
            self._seen.popleft()

    @property
    def per_second(self) -> int:
        """Rounded down; 0 before there are two moments to compare."""
        if len(self._seen) < 2:
            return 0
        (first_ms, first), (last_ms, last) = self._seen[0], self._seen[-1]
        return (last - first) * 1_000 // max(1, last_ms - first_ms)


class RunningTotals:
    """The newest total of all time of every project, and what they add up to."""

    def __init__(self) -> None:
        self._newest: dict[str, ProjectTotal] = {}
        self._fen = 0
        self._donations = 0

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """One record of `project-totals`; anything but a total of all time is passed over."""
        if key is None or value is None or _OF_ALL_TIME not in key:
            return
        try:
            total = decode_total(value)
        except msgspec.DecodeError:
            return  # the audit reports it
        before = self._newest.get(total.project_id)
        self._newest[total.project_id] = total
        self._fen += total.fen - (before.fen if before else 0)
        self._donations += total.donations - (before.donations if before else 0)

    def figures(self, sent: int, processed: int) -> Figures:
        top = heapq.nlargest(TOP_PROJECTS, self._newest.values(), key=_by_amount)
        return Figures(sent, processed, self._donations, self._fen, len(self._newest), tuple(top))


def _by_amount(total: ProjectTotal) -> tuple[int, str]:
    return total.fen, total.project_id


class DemoWatch:
    """Keeps `figures` fresh for as long as `run` runs."""

    def __init__(self, settings: Settings, on_look: Callable[[Figures], None]) -> None:
        self._settings = settings
        self._on_look = on_look
        self._totals = RunningTotals()

    async def run(self) -> None:
        """Look until cancelled. Raises UserError if the broker stops answering."""
        try:
            async with (
                open_consumer(self._settings, max_poll_records=POLL_RECORDS_MAX) as consumer,
                open_admin(self._settings) as admin,
            ):
                await self._look_on(consumer, admin)
        except (KafkaError, OSError) as error:
            message = f"the broker at {self._settings.broker} stopped answering ({error})"
            raise UserError(message, ExitStatus.FAILED) from error

    async def _look_on(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        clock = asyncio.get_running_loop().time
        answered = clock()
        orders = await self._assign(consumer)
        while True:
            try:
                await self._take_totals(consumer)
                processed = await self._processed(admin, orders)
                ends: dict[TopicPartition, int] = await consumer.end_offsets(orders)
                answered = clock()
            except (KafkaError, OSError):  # the group's coordinator of a fresh broker, or an outage
                if clock() - answered > NO_ANSWER_S:
                    raise
                await asyncio.sleep(LOOK_INTERVAL_S)
            else:
                self._on_look(self._totals.figures(sum(ends.values()), processed))

    async def _assign(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        """Begin at the beginning of `project-totals`; the partitions of `orders` come back."""
        reader, topics = LogReader(consumer), self._settings.topics
        orders = [TopicPartition(topics.orders, n) for n in await reader.partitions(topics.orders)]
        totals = [TopicPartition(topics.project_totals, n) for n in await reader.partitions(topics.project_totals)]
        consumer.assign(totals)
        await consumer.seek_to_beginning(*totals)
        return orders

    async def _take_totals(self, consumer: AIOKafkaConsumer) -> None:
        """What has come on `project-totals` within one interval."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + LOOK_INTERVAL_S
        while (left_s := deadline - clock()) > 0:
            batches: dict[Any, list[Any]] = await consumer.getmany(timeout_ms=int(left_s * 1_000) + 1)
            for records in batches.values():
                for record in records:
                    self._totals.take(record.key, record.value)

    async def _processed(self, admin: AIOKafkaAdminClient, orders: list[TopicPartition]) -> int:
        committed = await group_offsets(admin, self._settings.app_id, orders)
        return sum(max(0, place.offset) for place in committed.values())
