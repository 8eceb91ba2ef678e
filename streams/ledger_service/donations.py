"""Reads donations by their `seq`: found by bisection, so nobody needs to remember offsets. Reads only."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from aiokafka import TopicPartition

from schemas.donation import decode_donation
from streams.engine.reader import LogReader, Record, open_reader
from streams.ledger.leaf import LeafError, Salts
from streams.ledger.tiles import TILE_WIDTH, Bundle, Leaves, pack_entries, unpack_entries
from streams.ledger.tree import HASH_BYTES
from streams.ledger_service.leaves import LeafMaker
from streams.native import is_used
from streams.settings import Settings


async def find_donation(reader: LogReader, tp: TopicPartition, seq: int, end: int) -> Record | None:
    """The record of the donation with that `seq` before offset `end`; None if there is none.

    `seq` grows with the offset; where it doesn't, what is found may be any or none, and the caller's checks tell.
    Raises LeafError where a record on the way is no donation.
    """
    low, high = await reader.start_offset(tp.topic, tp.partition), end
    while low < high:
        middle = (low + high) // 2
        record = await _first_record(reader, tp, middle, high)
        found = None if record is None else _seq_of(record)
        if record is None or found is None or found > seq:
            high = middle
        elif found == seq:
            return record
        else:
            low = record.offset + 1
    return None


def _seq_of(record: Record) -> int:
    try:
        return decode_donation(record.value or b"").seq
    except msgspec.MsgspecError as error:
        raise LeafError(f"the record at offset {record.offset} is not a donation: {error}") from error


async def _first_record(reader: LogReader, tp: TopicPartition, start: int, end: int) -> Record | None:
    async for batch in reader.read(tp.topic, tp.partition, start, end):
        return batch[0]
    return None


class Donations:
    """The leaves that a partition's donations give, from `seq` on, where a bundle begins; a bundle's at a time."""

    def __init__(self, batches: AsyncIterator[Sequence[Record]], maker: LeafMaker, seq: int) -> None:
        self._batches = batches
        self._maker = maker
        self._seq = seq
        self._hashes = bytearray()  # of what isn't taken yet
        self._packed: deque[bytes] = deque()  # the same, a bundle each

    async def take(self, bundle: Bundle) -> Leaves:
        """The leaves of the next bundle, fewer at the topic's end. One that isn't full must be the last one taken.

        Raises LeafError where the topic has a gap or what is no donation, TileError where an entry is too long.
        """
        while len(self._hashes) < bundle.width * HASH_BYTES and (batch := await anext(self._batches, None)) is not None:
            more = await asyncio.to_thread(self._maker.make, batch, self._seq)
            pieces = list(more.packed)
            if self._seq % TILE_WIDTH and pieces:
                self._packed[-1] += pieces.pop(0)
            self._packed += pieces
            self._hashes += more.hashes
            self._seq += more.count
        if not self._packed:
            return Leaves(b"", [])
        there = min(len(self._hashes) // HASH_BYTES, TILE_WIDTH)
        packed, width = self._packed.popleft(), min(there, bundle.width)
        if width < there:
            packed = pack_entries(unpack_entries(Bundle(bundle.number, width), packed))
        hashes = bytes(self._hashes[: width * HASH_BYTES])
        del self._hashes[: width * HASH_BYTES]
        return Leaves(hashes, [packed])

    async def left(self) -> int:
        """How many there are still; none can be taken afterwards."""
        count = len(self._hashes) // HASH_BYTES
        async for batch in self._batches:
            count += len(batch)
        return count


@asynccontextmanager
async def open_donations(settings: Settings, salts: Salts, partition: int, seq: int) -> AsyncIterator[Donations]:
    """The donations of a partition from `seq` on. Raises UserError if no broker answers or a right is denied."""
    tp = TopicPartition(settings.topics.donations, partition)
    async with open_reader(settings, packed=is_used(settings.native)) as reader:
        end = await reader.end_offset(tp.topic, partition)
        start = await reader.start_offset(tp.topic, partition)
        if seq:
            record = await find_donation(reader.unpacked(), tp, seq - 1, end)
            start = end if record is None else record.offset + 1
        maker = LeafMaker(salts, native=settings.native)
        yield Donations(reader.read(tp.topic, partition, start, end), maker, seq)
