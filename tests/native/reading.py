"""What the extension reads of a fetch's bytes, record by record, and what aiokafka reads of the same."""

from collections.abc import Sequence
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from schemas.rejection import Reason, Refusal
from streams.domain.split import conflict, too_far_in_future
from streams.engine.packed import PackedRecords, as_it_is
from streams.native import extension
from tests.native.batches import ORDERS_0

Aborted = Sequence[tuple[int, int]]
Read = tuple[list[tuple[Any, ...]], int]  # offset, timestamp, key and value of each; the next offset
UNREAD = Refusal(Reason.NOT_JSON, "no order")


def any_splitter(horizon_ms: int = 86_400_000, judge: Any = lambda *_: UNREAD) -> "extension.Splitter":
    return extension.Splitter(horizon_ms, 1 << 18, 1, judge, too_far_in_future, conflict)


def read_natively(data: bytes, aborted: Aborted, position: int) -> Read | None:
    """None where the extension leaves it to Python. Raises CorruptRecordsError."""
    next_offset, count, readable = extension.outline(data, aborted, position)
    if not readable:
        return None
    splitter = any_splitter()
    splitter.fold(data, aborted, position)
    found = [record[:4] for record in splitter.take_refused()]
    assert len(found) <= count, "the outline counts too few"
    unpacked = extension.unpack(data, aborted, position)
    assert [(each.offset, each.timestamp, each.key, each.value) for each in unpacked] == found
    return found, next_offset


def read_by_aiokafka(data: bytes, aborted: Aborted, position: int) -> Read:
    records = PartitionRecords(ORDERS_0, MemoryRecords(data), aborted, position, None, None, True, READ_COMMITTED)
    records._consumer_record = as_it_is
    found = [(record.offset, record.timestamp, record.key, record.value) for record in records]
    # Behind a whole batch before its position aiokafka goes back to that batch's end, and gives what comes then.
    return [record for record in found if record[0] >= position], max(records.next_fetch_offset, position)


def read_as_a_worker(data: bytes, aborted: Aborted, position: int) -> Read | None:
    """As the transport and a fold do it together. None: to be fetched again."""
    try:
        packed = PackedRecords(ORDERS_0, data, aborted, position)
        if packed.readable:
            return read_natively(data, aborted, position)
        return [(record.offset, record.timestamp, record.key, record.value) for record in packed], packed.next_offset
    except (CorruptRecordException, extension.CorruptRecordsError):
        return None
