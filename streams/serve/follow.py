"""Follows `project-totals` and `projects` from their beginning, into the state. Reads only, and belongs to no group.

An outage of the broker is waited for: it goes on from where it was. What can't be mended that way (a topic that was
deleted or made anew) ends it, to be started again and read anew.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from streams.engine.connection import open_consumer
from streams.engine.reader import LogReader
from streams.errors import AccessError, ExitStatus, UserError
from streams.serve import limits
from streams.serve.answers import Progress
from streams.serve.state import State
from streams.settings import Settings

logger = structlog.get_logger(__name__)

POLL_MS = 500  # an answer comes as soon as there is a record; this is for when there is none
RETRY_S = 1.0

OnChange = Callable[[set[str]], None]
"""Is told the ids of the projects that something came for; of none when only the position moved."""


class Follower:
    """Keeps `state` up to the topics for as long as `run` runs."""

    def __init__(self, settings: Settings, state: State, on_change: OnChange) -> None:
        self._settings = settings
        self._state = state
        self._on_change = on_change
        self._positions: dict[TopicPartition, int] = {}
        self._starts: dict[TopicPartition, int] = {}
        self._goal: dict[TopicPartition, int] = {}  # where the topics ended when we started
        self._untold = 0  # unreadable records
        self._quiet_until_s = 0.0
        self.turns = 0  # grows with each fetch and each try at the broker

    @property
    def has_begun(self) -> bool:
        """True once it knows how much there is to read."""
        return bool(self._goal)

    @property
    def totals_read(self) -> dict[int, int]:
        """Offsets of `project-totals` up to which the state is good, by partition."""
        topic = self._settings.topics.project_totals
        return {tp.partition: offset for tp, offset in self._positions.items() if tp.topic == topic}

    async def run(self) -> None:
        """Follow until cancelled.

        Raises UserError: a topic is missing, was made anew, or a right is denied; no broker answers at the start.
        """
        await self._follow()
        while True:
            await asyncio.sleep(RETRY_S)
            try:
                await self._follow()
            except AccessError:
                raise
            except UserError as error:
                if error.exit_status is ExitStatus.FAILED:
                    raise
                logger.debug("the broker doesn't answer yet", error=str(error))

    async def _follow(self) -> None:
        """Until the broker is away."""
        self.turns += 1
        try:
            async with open_consumer(self._settings, max_poll_records=limits.FETCH_MAX_RECORDS) as consumer:
                await self._assign(consumer)
                while True:
                    await self._take(consumer)
        except OffsetOutOfRangeError as error:
            message = "a topic was deleted, or made anew, while it was read: start again, to read it from its beginning"
            raise UserError(message, ExitStatus.FAILED) from error
        except (KafkaError, OSError) as error:
            logger.debug("reading broke off", error=str(error) or repr(error))  # `looks` tells of an outage

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        reader, topics = LogReader(consumer), self._settings.topics
        places = [
            TopicPartition(topic, number)
            for topic in (topics.project_totals, topics.projects)
            for number in await reader.partitions(topic)
        ]
        if not self._goal:
            self._starts = await consumer.beginning_offsets(places)
            self._goal = await consumer.end_offsets(places)
            self._positions = dict(self._starts)
        if set(places) != set(self._positions):
            raise UserError("a topic has got partitions: start again, to read them too", ExitStatus.FAILED)
        consumer.assign(places)
        for place, offset in self._positions.items():
            consumer.seek(place, offset)
        self._told()

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        """One fetch, into the index, and everything that it changes at once."""
        self.turns += 1
        fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=limits.FETCH_MAX_RECORDS)
        reached = {place: await consumer.position(place) for place in self._positions}
        totals: list[ConsumerRecord] = []
        projects: dict[bytes | None, ConsumerRecord] = {}
        for place, records in fetched.items():
            if place.topic == self._settings.topics.project_totals:
                totals += records
            else:
                projects |= {record.key: record for record in records}
        changed: set[str] = set()
        if totals or projects:
            changed = await self._apply(totals, projects)
        if reached != self._positions:
            self._positions = reached
            self._told(changed)

    async def _apply(self, totals: list[ConsumerRecord], projects: dict[bytes | None, ConsumerRecord]) -> set[str]:
        index = self._state.index
        values = {key: record.value for key, record in projects.items()}
        applying = asyncio.ensure_future(
            asyncio.to_thread(index.apply, [(record.key, record.value) for record in totals], values)
        )
        try:
            applied = await asyncio.shield(applying)
        except asyncio.CancelledError:
            await asyncio.wait([applying])  # a thread can't be cancelled, and the index is about to be closed
            raise
        except sqlite3.Error as error:
            message = f"the index can't be kept ({error}): TMPDIR must name a folder with room for it"
            raise UserError(message, ExitStatus.FAILED) from error
        index.publish(applied)
        unreadable = [totals[number] for number in applied.unreadable_totals]
        self._tell_unreadable(unreadable + [projects[key] for key in applied.unreadable_projects])
        return applied.projects

    def _tell_unreadable(self, records: list[ConsumerRecord]) -> None:
        """One line for many, and not again at once: a source of nonsense mustn't fill the disk."""
        self._untold += len(records)
        now_s = time.monotonic()
        if records and now_s >= self._quiet_until_s:
            first = records[0]
            logger.warning(
                "left out what is no total and no project; `everycent audit` tells of each total",
                topic=first.topic,
                partition=first.partition,
                offset=first.offset,
                records=self._untold,
            )
            self._untold = 0
            self._quiet_until_s = now_s + limits.UNREADABLE_LINE_EVERY_S

    def _told(self, changed: set[str] | None = None) -> None:
        state = self._state
        state.position = sum(self._positions.values())
        if state.rebuilding is not None:
            starts, of = sum(self._starts.values()), sum(self._goal.values())
            left = sum(max(0, end - self._positions[place]) for place, end in self._goal.items())
            state.rebuilding = Progress(of - starts - left, of - starts) if left else None
            if state.rebuilding is None:
                logger.info("all totals have been read", records=of - starts)
        state.freshness.read(self.totals_read)
        self._on_change(changed or set())
