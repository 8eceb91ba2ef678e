"""A fake of the logs that a restore reads, and the bytes of record batches as a broker may hand them out."""

from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import accumulate
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from streams.engine.stage import Outgoing

WRITTEN_MS = 1_700_000_000_000  # the time of writing, where a record has none of its own


class FakeLog:
    """Committed records of any topic. Behind each commit an offset is a marker's, as in Kafka."""

    def __init__(self, piece_records: int = 1_000, *, finds_early: bool = False) -> None:
        """`finds_early`: looking up a time gives the log's beginning, as markers of transactions bring about."""
        self._piece_records, self._finds_early = piece_records, finds_early
        self._records: dict[tuple[str, int], list[ConsumerRecord]] = {}
        self._next: dict[tuple[str, int], int] = {}

    def write(self, commit: dict[tuple[str, int], list[Outgoing]]) -> None:
        for destination, records in commit.items():
            held = self._records.setdefault(destination, [])
            offset = self._next.get(destination, 0)
            for key, value, timestamp_ms, headers in records:
                time_ms = WRITTEN_MS if timestamp_ms is None else timestamp_ms
                held.append(ConsumerRecord(*destination, offset, time_ms, 0, key, value, None, 0, 0, tuple(headers)))
                offset += 1
            self._next[destination] = offset + 1

    async def start_offset(self, topic: str, partition: int) -> int:  # noqa: ARG002 - nothing is ever deleted
        return 0

    async def end_offset(self, topic: str, partition: int) -> int:
        return self._next.get((topic, partition), 0)

    async def offset_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        held = [] if self._finds_early else self._records.get((topic, partition), [])
        highest = list(accumulate((record.timestamp for record in held), max))
        at = bisect_left(highest, timestamp_ms)
        return held[at].offset if at < len(held) else 0 if self._finds_early else None

    async def last_record(self, topic: str, partition: int) -> ConsumerRecord | None:
        return next(reversed(self._records.get((topic, partition), [])), None)

    async def read(
        self, topic: str, partition: int, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        held = self._records.get((topic, partition), [])
        found = [record for record in held if (start or 0) <= record.offset < (end or 2**62)]
        for first in range(0, len(found), self._piece_records):
            yield found[first : first + self._piece_records]


TRANSACTIONAL = 0x10
CONTROL = 0x20
LOG_APPEND_TIME = 0x08
COMMIT_MARKER = b"\x00\x00\x00\x01"
ABORT_MARKER = b"\x00\x00\x00\x00"


def encode_batch(
    records: Iterable[Any],
    base: int,
    last: int,
    *,
    codec: int = 0,
    flags: int = 0,
    producer: int = -1,
    max_timestamp: int | None = None,
) -> bytes:
    """A batch that covers the offsets `base` to `last`, whatever records of it are left."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=False,
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 30,
    )
    for record in records:
        headers = list(getattr(record, "headers", []))
        builder.append(record.offset - base, record.timestamp, record.key, record.value, headers)
    data = bytearray(builder.build())
    data[0:8] = base.to_bytes(8, "big")
    data[22] |= flags
    data[23:27] = (last - base).to_bytes(4, "big")
    if max_timestamp is not None:
        data[35:43] = max_timestamp.to_bytes(8, "big")
    return sealed(data)


def sealed(data: bytes | bytearray) -> bytes:
    """The batch with the length and the checksum that fit it."""
    length = (len(data) - 12).to_bytes(4, "big")
    return bytes(data[:8] + length + data[12:17] + calc_crc32c(bytes(data[21:])).to_bytes(4, "big") + data[21:])
