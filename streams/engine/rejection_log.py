"""Tells of refused orders in the log: at most one line a reason and partition in a minute, with how many there were.

A source that sends nothing but nonsense would else fill the disk with lines; what was refused, and why, stands on
`rejected-orders` in full. After a crash the log lacks what waited for its line; the topic lacks nothing.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass

import structlog
from aiokafka import TopicPartition

from streams.engine import limits
from streams.engine.stage import Output

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Summary:
    """Those of one reason and input partition since the last line."""

    orders: int = 0
    next_line: asyncio.TimerHandle | None = None  # set for a minute after a line


class RejectionLog:
    """Counts what commits have written to `topic`: called when they are through, so nothing is told twice."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._summaries: dict[tuple[TopicPartition, str], _Summary] = {}

    def note(self, tp: TopicPartition, output: Output) -> None:
        """Count the refused orders of one commit, and tell of them where the last line is a minute old."""
        refused = output.records.get((self._topic, tp.partition))
        if not refused:
            return
        for reason, orders in Counter(dict(headers)["reason"].decode() for *_, headers in refused).items():
            summary = self._summaries.setdefault((tp, reason), _Summary())
            summary.orders += orders
            if summary.next_line is None:
                self._tell(tp, reason)

    def flush(self) -> None:
        """Tell of all that waits for its line; the end of a worker."""
        for (tp, reason), summary in self._summaries.items():
            if summary.next_line is not None:
                summary.next_line.cancel()
                summary.next_line = None
            if summary.orders:
                self._write(tp, reason, summary)

    def _tell(self, tp: TopicPartition, reason: str) -> None:
        """Write a line, and look again in a minute; after a minute of nothing the next one has its line at once."""
        summary = self._summaries[tp, reason]
        summary.next_line = None
        if summary.orders:
            self._write(tp, reason, summary)
            summary.next_line = asyncio.get_running_loop().call_later(
                limits.REFUSED_LINE_EVERY_S, self._tell, tp, reason
            )

    @staticmethod
    def _write(tp: TopicPartition, reason: str, summary: _Summary) -> None:
        logger.warning("orders refused", topic=tp.topic, partition=tp.partition, reason=reason, orders=summary.orders)
        summary.orders = 0
