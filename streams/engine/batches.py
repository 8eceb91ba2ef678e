"""Record batches: what Faust's agents iterate over instead of single records.

A `RecordBatch` is a claim about an immutable log: these are all the committed records of [base_offset, next_offset) of
one partition. Whoever takes it can therefore judge by offsets alone whether it is old, next or beyond a gap; batches
that were queued before a rebalance need no further care.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from faust import Schema
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from schemas.records import LogRecord
from streams.engine import limits
from streams.engine.packed import PackedRecords


@dataclass(frozen=True, slots=True, eq=False)
class RecordBatch:
    """The committed records of [base_offset, next_offset); some offsets are transaction markers and hold none."""

    tp: TopicPartition
    base_offset: int
    next_offset: int
    records: Sequence[LogRecord]

    # What Faust reads of a message. The offset is the last that the batch covers, so Faust's own position agrees.

    @property
    def topic(self) -> str:
        return self.tp.topic  # type: ignore[no-any-return]

    @property
    def partition(self) -> int:
        return self.tp.partition  # type: ignore[no-any-return]

    @property
    def offset(self) -> int:
        return self.next_offset - 1

    @property
    def value(self) -> "RecordBatch":
        return self

    key = None
    timestamp = None
    timestamp_type = None
    headers = ()
    checksum = None
    serialized_key_size = -1
    serialized_value_size = -1

    @property
    def appended_ms(self) -> int | None:
        """When its first record was appended, or written where the topic's records are stamped by their writer."""
        if isinstance(self.records, PackedRecords):
            return self.records.first_batch_ms
        return self.records[0].timestamp if self.records else None

    def since(self, position: int) -> Sequence[LogRecord]:
        """The records at or after `position`."""
        records = self.records
        if isinstance(records, PackedRecords):
            return records.since(position)
        if not records or records[0].offset >= position:
            return records
        return [record for record in records if record.offset >= position]


class BatchSchedulingStrategy(DefaultSchedulingStrategy):  # type: ignore[misc]
    """Hands each partition's fetched batch on as one message."""

    def iterate(self, records: Mapping[TP, Any]) -> Iterator[tuple[TP, RecordBatch]]:
        """Yield every partition's batch once."""
        yield from records.items()


class BatchSchema(Schema):  # type: ignore[misc]
    """Hands a batch through Faust's decoding untouched. `loads_…` is what its compiled path calls, not `decode`."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        """A batch has no key of its own."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:  # noqa: ARG002 - Faust's signature
        """The batch itself."""
        return message.value


def bytes_of(records: Sequence[LogRecord]) -> int:
    """How many bytes the values of `records` hold, unpacked; of packed ones a guess, for to count them costs a fold."""
    if isinstance(records, PackedRecords):
        return len(records.data) * limits.PACKED_RATIO
    return sum([len(record.value or b"") for record in records])
