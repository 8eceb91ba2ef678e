"""Where the input partitions end, asked on a connection of its own.

The consumer learns that only with what it fetches. If it fetched nothing any more it wouldn't know of any lag, and the
watchdog would take a worker that hangs for one that has nothing to do. Nothing here survives a crash or needs to.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.engine import limits
from streams.engine.connection import open_consumer
from streams.errors import UserError
from streams.settings import Settings

logger = structlog.get_logger(__name__)


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
        """Look until cancelled, and say when the broker stops and begins to answer: the tasks only wait."""
        answers = True
        while True:
            try:
                async with open_consumer(self._settings) as consumer:
                    while True:
                        await asyncio.sleep(self._interval_s)
                        async with asyncio.timeout(limits.END_LOOK_TIMEOUT_S):
                            self._ends = await consumer.end_offsets(self._partitions())
                        if not answers:
                            logger.info("the broker answers again")
                            answers = True
            except (KafkaError, UserError, OSError) as error:  # a timeout too
                self._ends = {}
                if answers:
                    logger.error(  # noqa: TRY400 - where it came from is of no use to whoever reads this
                        "the broker doesn't answer, so everything waits for it: is it running, and has its disk room?",
                        broker=self._settings.broker,
                        error=str(error) or repr(error),
                    )
                    answers = False
            await asyncio.sleep(self._interval_s)
