"""Looks at how far the workers are, again and again, for `streams.domain.freshness`. Reads only.

While no broker answers nothing is noted, so the moment that the figures are good for stays behind, as it must.
"""

import asyncio
import time
from collections.abc import Callable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.domain.freshness import Look, Offsets
from streams.engine.connection import group_offsets, open_admin, open_consumer
from streams.engine.reader import LogReader
from streams.errors import AccessError, UserError
from streams.serve import limits
from streams.settings import Settings

logger = structlog.get_logger(__name__)

GAP_READ_MAX = 1_000  # offsets that are looked through for records; where there are more, some hold one


class Looks:
    """Tells `take` each look, for as long as `run` runs; None: the broker doesn't answer."""

    def __init__(self, settings: Settings, take: Callable[[Look | None], None]) -> None:
        self._settings = settings
        self._take = take
        self._markers: dict[TopicPartition, tuple[int, int]] = {}  # gaps that hold no record
        self._before: dict[TopicPartition, int] = {}  # what was committed at the last look
        self.turns = 0  # grows with each look and each try at the broker

    async def run(self) -> None:
        """Look until cancelled. Raises AccessError where a right is denied."""
        while True:
            self.turns += 1
            try:
                async with open_consumer(self._settings) as consumer, open_admin(self._settings) as admin:
                    reader, topics = LogReader(consumer), self._settings.topics
                    names = (topics.orders, topics.project_deltas, topics.project_totals)
                    places = [
                        [TopicPartition(name, number) for number in await reader.partitions(name)] for name in names
                    ]
                    while True:
                        self.turns += 1
                        async with asyncio.timeout(limits.LOOK_TIMEOUT_S):
                            look = await self._look(consumer, admin, *places)
                        self._take(look)
                        await asyncio.sleep(limits.LOOK_INTERVAL_S)
            except AccessError:
                raise
            except (KafkaError, OSError, UserError) as error:
                logger.debug("no look at how far the workers are", error=str(error) or repr(error))
                self._take(None)
            await asyncio.sleep(limits.LOOK_INTERVAL_S)

    async def _look(
        self,
        consumer: AIOKafkaConsumer,
        admin: AIOKafkaAdminClient,
        orders: list[TopicPartition],
        deltas: list[TopicPartition],
        totals: list[TopicPartition],
    ) -> Look:
        """One look, its parts in the order that `Look` asks for."""
        committed = await group_offsets(admin, self._settings.app_id, [*orders, *deltas])
        done = {place: found.offset for place, found in committed.items()}
        deltas_end: dict[TopicPartition, int] = await consumer.end_offsets([*deltas, *totals])
        at_ms = time.time_ns() // 1_000_000
        orders_end: dict[TopicPartition, int] = await consumer.end_offsets(orders)
        ends, reader = deltas_end | orders_end, LogReader(consumer)
        orders_done = {place.partition: await self._done(reader, place, done, ends) for place in orders}
        deltas_done = {place.partition: await self._done(reader, place, done, ends) for place in deltas}
        return Look(
            orders_done,
            deltas_done,
            _by_partition(ends, deltas),
            _by_partition(ends, totals),
            at_ms,
            _by_partition(ends, orders),
        )

    async def _done(
        self,
        reader: LogReader,
        place: TopicPartition,
        committed: dict[TopicPartition, int],
        ends: dict[TopicPartition, int],
    ) -> int:
        """How far the workers are: their offset, or the end, where nothing but markers of transactions lies between.

        Workers move over markers, but commit that only with the next record.
        """
        offset, end = max(0, committed.get(place, 0)), ends[place]
        if offset >= end or self._markers.get(place) == (offset, end):
            return end
        if self._before.get(place) != offset:  # the workers move: there is no need to look
            self._before[place] = offset
            return offset
        start = max(offset, await reader.start_offset(place.topic, place.partition))
        if end - start > GAP_READ_MAX:
            return offset
        async for _ in reader.read(place.topic, place.partition, start, end):
            return offset
        self._markers[place] = (offset, end)
        return end


def _by_partition(ends: dict[TopicPartition, int], places: list[TopicPartition]) -> Offsets:
    return {place.partition: ends[place] for place in places}
