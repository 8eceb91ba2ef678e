"""Headers whose names aren't UTF-8, which Kafka takes from anybody: whoever reads goes on."""

import pytest
from aiokafka import ConsumerRecord
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records
from aiokafka.record.memory_records import MemoryRecords

from streams.engine.lenient import LenientRecords
from streams.native import extension
from tests.native.batches import CODECS, ORDERS_0
from tests.native.logs import encode_batch, sealed

NAME = "~~~~"


def record(offset, headers):
    return ConsumerRecord("orders", 0, offset, 5, 0, b"b%d" % offset, b"v%d" % offset, None, 0, 0, headers)


def batch(base, headers, codec="none"):
    """Two records, the second with `headers`."""
    return encode_batch([record(base, ()), record(base + 1, headers)], base, base + 1, codec=CODECS[codec])


def odd(data, name=b"\xff\xfe~\x80"):
    """The batch with another name, in an unpacked one; its checksum is right again."""
    assert data.count(NAME.encode()) == 1
    return sealed(data.replace(NAME.encode(), name))


def packed_again(data, codec):
    pack = {
        "gzip": default_records.gzip_encode,
        "snappy": default_records.snappy_encode,
        "lz4": default_records.lz4_encode,
        "zstd": default_records.zstd_encode,
    }[codec]
    return sealed(data[:22] + bytes([CODECS[codec]]) + data[23:61] + bytes(pack(data[61:])))


def read(data, kind=LenientRecords):
    records = PartitionRecords(ORDERS_0, kind(data), [], 0, None, None, True, READ_COMMITTED)
    return [(each.offset, each.key, each.value, each.headers) for each in records]


def some(headers):
    return [(0, b"b0", b"v0", ()), (1, b"b1", b"v1", headers), (2, b"b2", b"v2", ()), (3, b"b3", b"v3", (("z", b"9"),))]


@pytest.mark.parametrize("codec", CODECS)
def test_a_name_that_is_no_utf8_comes_escaped_and_the_records_around_it_as_they_are(codec):
    first = odd(batch(0, ((NAME, b"1"), ("b", None))))
    if codec != "none":
        first = packed_again(first, codec)
    data = first + batch(2, (("z", b"9"),))
    assert read(data) == some((("\\xff\\xfe~\\x80", b"1"), ("b", None)))
    with pytest.raises((UnicodeDecodeError, CorruptRecordException)):
        read(data, MemoryRecords)  # else there would be no need for any of this


def test_what_is_in_order_is_read_as_aiokafka_reads_it_and_damage_is_found():
    data = batch(0, (("ü", b"1"), ("b", None)), "zstd") + batch(2, (("z", b"9"),))
    assert read(data) == read(data, MemoryRecords) == some((("ü", b"1"), ("b", None)))
    damaged = bytearray(data)
    damaged[70] ^= 1
    with pytest.raises(CorruptRecordException):
        read(bytes(damaged))


@pytest.mark.skipif(extension is None, reason="without the extension nothing of it is read there")
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_the_extension_leaves_such_a_header_out(codec):
    data = odd(batch(0, ((NAME, b"1"), ("b", None))))
    if codec != "none":
        data = packed_again(data, codec)
    assert [each.headers for each in extension.unpack(data, [], 0)] == [(), (("b", None),)]
