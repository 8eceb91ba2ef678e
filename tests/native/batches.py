"""Record batches in tests, by aiokafka: records packed as producers do, finished batches unpacked as consumers do."""

from collections.abc import Iterator, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from streams.engine.packed import PackedRecords
from streams.engine.stage import Outgoing, Output

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
ORDERS_0 = TopicPartition("orders", 0)


def pack(records: Sequence[Any], codec: str = "zstd", batch_records: int = 1_000) -> bytes:
    """`records` (with offset, timestamp, key and value) as a broker would hand them out."""
    data = bytearray()
    for start in range(0, len(records), batch_records):
        data += _pack_one(records[start : start + batch_records], CODECS[codec])
    return bytes(data)


def _pack_one(records: Sequence[Any], codec: int) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    base = records[0].offset
    for record in records:
        builder.append(record.offset - base, record.timestamp, record.key, record.value, [])
    data = bytearray(builder.build())
    data[0:8] = base.to_bytes(8, "big")  # not covered by the checksum: the broker writes it
    return bytes(data)


def packed(records: Sequence[Any], codec: str = "zstd", batch_records: int = 1_000) -> PackedRecords:
    """`records` as a fetch brings them."""
    return PackedRecords(ORDERS_0, pack(records, codec, batch_records), [], records[0].offset)


def records_of(batch: Any) -> Iterator[Outgoing]:
    """The records of a finished batch."""
    batch._set_producer_state(1, 0, 0)
    data = MemoryRecords(bytes(batch._build()))
    while data.has_next():
        found = data.next_batch()
        assert found.validate_crc()
        assert found.is_transactional
        for record in found:
            yield record.key, record.value, record.timestamp, list(record.headers)


def written(output: Output) -> dict[tuple[str, int], list[Outgoing]]:
    """All records of an output by destination, whoever packed them."""
    found = {destination: list(records) for destination, records in output.records.items()}
    for destination, batches in output.batches.items():
        for batch in batches:
            found.setdefault(destination, []).extend(records_of(batch))
    return found
