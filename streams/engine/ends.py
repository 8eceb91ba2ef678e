"""Where the input partitions end, asked on a connection of its own.

The consumer learns that only with what it fetches. If it fetched nothing any more it wouldn't know of any lag, and the
watchdog would take a worker that hangs for one that has nothing to do. Nothing here survives a crash or needs to.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.engine import limits
from streams.engine.connection import open_consumer
from streams.errors import BrokerUnavailableError
from streams.settings import Settings


class EndWatch:
    """Asks again and again while `run` runs; knows nothing while no broker answers."""

    def __init__(self, settings: Settings, partitions: Callable[[], Sequence[TopicPartition]]) -> None:
        self._settings = settings
        self._partitions = partitions
        self._interval_s = settings.stall_timeout_s / limits.END_LOOKS_PER_STALL
        self._ends: dict[TopicPartition, int] = {}

    def get(self, tp: TopicPartition) -> int | None:
        """The offset after the last committed record, as of the last look. Called from any thread."""
        return self._ends.get(tp)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with suppress(KafkaError, BrokerUnavailableError, OSError):
                async with open_consumer(self._settings) as consumer:
                    while True:
                        await asyncio.sleep(self._interval_s)
                        self._ends = await consumer.end_offsets(self._partitions())
            self._ends = {}
            await asyncio.sleep(self._interval_s)
