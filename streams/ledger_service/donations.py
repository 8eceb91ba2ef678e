"""Reads donations by their `seq`: found by bisection, so nobody needs to remember offsets. Reads only."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import TopicPartition

from schemas.donation import decode_donation
from streams.engine.reader import LogReader, Record, open_reader
from streams.ledger.leaf import Salts, entries_of
from streams.settings import Settings


async def find_donation(reader: LogReader, tp: TopicPartition, seq: int, end: int) -> Record | None:
    """The record of the donation with that `seq` before offset `end`; None if there is none.

    `seq` grows with the offset; where it doesn't, what is found may be any or none, and the caller's checks tell.
    """
    low, high = await reader.start_offset(tp.topic, tp.partition), end
    while low < high:
        middle = (low + high) // 2
        record = await _first_record(reader, tp, middle, high)
        found = None if record is None else decode_donation(record.value or b"").seq
        if record is None or found is None or found > seq:
            high = middle
        elif found == seq:
            return record
        else:
            low = record.offset + 1
    return None


async def _first_record(reader: LogReader, tp: TopicPartition, start: int, end: int) -> Record | None:
    async for batch in reader.read(tp.topic, tp.partition, start, end):
        return batch[0]
    return None


class Donations:
    """The entries that a partition's donations give, from some `seq` on, as many at a time as are asked for."""

    def __init__(self, batches: AsyncIterator[Sequence[Record]], salts: Salts, seq: int) -> None:
        self._batches = batches
        self._salts = salts
        self._seq = seq
        self._ready: list[bytes] = []

    async def take(self, count: int) -> list[bytes]:
        """The next `count`, fewer at the topic's end. Raises LeafError where the topic has a gap or no donation."""
        while len(self._ready) < count and (batch := await anext(self._batches, None)) is not None:
            more = entries_of(batch, self._seq, self._salts)
            self._seq += len(more)
            self._ready += more
        taken, self._ready = self._ready[:count], self._ready[count:]
        return taken

    async def left(self) -> int:
        """How many there are still; none can be taken afterwards."""
        count = len(self._ready)
        async for batch in self._batches:
            count += len(batch)
        return count


@asynccontextmanager
async def open_donations(settings: Settings, salts: Salts, partition: int, seq: int) -> AsyncIterator[Donations]:
    """The donations of a partition from `seq` on. Raises UserError if no broker answers or a right is denied."""
    tp = TopicPartition(settings.topics.donations, partition)
    async with open_reader(settings) as reader:
        end = await reader.end_offset(tp.topic, partition)
        start = await reader.start_offset(tp.topic, partition)
        if seq:
            record = await find_donation(reader, tp, seq - 1, end)
            start = end if record is None else record.offset + 1
        yield Donations(reader.read(tp.topic, partition, start, end), salts, seq)
