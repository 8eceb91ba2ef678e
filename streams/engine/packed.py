"""Record batches as bytes, in and out: what a fetch brought, kept packed, and what a fold has finished, to be sent.

These are our seams in aiokafka's fetcher and producer. Only the Rust extension reads and writes such bytes; whoever
iterates over `PackedRecords` gets single records, unpacked by it too, or by aiokafka where it can't read them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import cramjam
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException

from schemas.records import LogRecord
from streams.engine.lenient import LenientRecords, accept_any_header_names
from streams.native import extension

MAX_TIMESTAMP = slice(35, 43)  # where a record batch has it; in the older formats something else stands there
Aborted = Sequence[tuple[int, int]]  # producers whose transaction was aborted, and the offset at which it began


def keep_fetched_bytes() -> None:
    """Have aiokafka's consumers of this process keep what they fetch; for everyone else it stays as it was."""
    accept_any_header_names()


def as_it_is(_tp: TopicPartition, record: LogRecord) -> LogRecord:
    """In place of aiokafka's copy of each record's fields, which costs half as much as fetching."""
    return record


class PackedRecords(Sequence[LogRecord]):
    """The committed records of a fetched run from `position` on; how many they are is known but for aborted ones.

    `readable` says whether the extension can fold them: it reads the formats and codecs that today's clients write.
    Raises CorruptRecordException where the bytes are no record batches.
    """

    __slots__ = ("_count", "_tp", "_unpacked", "aborted", "data", "next_offset", "position", "readable")

    def __init__(self, tp: TopicPartition, data: bytes, aborted: Aborted, position: int) -> None:
        try:
            self.next_offset, self._count, self.readable = extension.outline(data, aborted, position)
        except extension.CorruptRecordsError as error:
            raise CorruptRecordException(f"{error} - {tp}") from error
        self.data, self.aborted, self.position = data, aborted, position
        self._tp = tp
        self._unpacked: Sequence[LogRecord] | None = None
        if not self.readable:
            self._unpack()  # now: where a batch of an older format ends is told by its records

    def since(self, position: int) -> "PackedRecords":
        """The records at or after `position`."""
        return self if position <= self.position else PackedRecords(self._tp, self.data, self.aborted, position)

    @property
    def first_batch_ms(self) -> int:
        """The time of its first record batch: what the broker stamped, or else the greatest of its records'."""
        return int.from_bytes(self.data[MAX_TIMESTAMP], "big", signed=True)

    def __len__(self) -> int:
        return self._count if self._unpacked is None else len(self._unpacked)

    def __iter__(self) -> Iterator[LogRecord]:
        return iter(self._unpack())

    @overload
    def __getitem__(self, index: int) -> LogRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LogRecord]: ...
    def __getitem__(self, index: int | slice) -> LogRecord | Sequence[LogRecord]:
        return self._unpack()[index]

    def unpacked(self) -> Sequence[LogRecord]:
        """Its records in a plain list, which gives each of them quicker. Not to be changed."""
        return self._unpack()

    def _unpack(self) -> Sequence[LogRecord]:
        if self._unpacked is None and self.readable:
            self._unpacked = unpacked = extension.unpack(self.data, self.aborted, self.position)
            return unpacked
        if self._unpacked is None:
            records = PartitionRecords(
                self._tp, LenientRecords(self.data), self.aborted, self.position, None, None, True, READ_COMMITTED
            )
            records._consumer_record = as_it_is  # noqa: SLF001 - the seam that this module is
            try:
                # Behind a whole batch before its position aiokafka goes back to that batch's end.
                self._unpacked = [record for record in records if record.offset >= self.position]
            except (SystemError, cramjam.DecompressionError) as error:  # what it meets in damaged bytes, unchecked
                raise CorruptRecordException(f"{error} - {self._tp}") from error
            self.next_offset = max(self.next_offset, records.next_fetch_offset)
        return self._unpacked


def take_packed(tp: TopicPartition, fetched: FetchResult) -> PackedRecords | None:
    """All that is left of a fetch, as it came, in place of its records one by one; None if there is nothing.

    `keep_fetched_bytes` must have been called before the fetch.
    """
    if not fetched.has_more() or not fetched.check_assignment(tp):
        return None
    unread = fetched._partition_records  # noqa: SLF001 - the seam that this module is
    position = unread.next_fetch_offset
    records = PackedRecords(tp, unread._records.data, unread._aborted_transactions, position)  # noqa: SLF001
    unread.next_fetch_offset = records.next_offset
    fetched._update_position()  # noqa: SLF001
    fetched._partition_records = None  # noqa: SLF001
    return None if records.next_offset == position else records


class FinishedBatch:
    """A finished record batch where aiokafka's producer expects a builder; it only wants its producer's stamp."""

    def __init__(self, data: bytes, records: int) -> None:
        self._data = data
        self._records = records

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._data = extension.stamp(self._data, producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytes:
        return self._data

    def record_count(self) -> int:
        return self._records

    def size(self) -> int:
        return len(self._data)

    def close(self) -> None:
        """It is closed."""

    def closed(self) -> bool:
        return True


def finished(batches: Sequence[tuple[bytes, int]]) -> list[Any]:
    """The batches that a fold has finished, as aiokafka's producer sends them."""
    return [FinishedBatch(data, records) for data, records in batches]
