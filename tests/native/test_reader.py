"""The extension reads of a fetch what aiokafka reads: aborted and compacted records, any cut, any start, any damage."""

import random
import struct
from contextlib import suppress

import cramjam
import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import KafkaError
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.packed import PackedRecords
from streams.native import extension
from tests.domain.orders import OrderRecord
from tests.native.batches import CODECS, ORDERS_0
from tests.native.drawn import CHANCE
from tests.native.fetches import NONE, ZSTD, draw_log, draw_record, read_flipped, read_from_anywhere
from tests.native.logs import encode_batch, sealed
from tests.native.reading import read_as_a_worker, read_by_aiokafka, read_natively


@settings(max_examples=300, deadline=None)
@given(CHANCE, st.integers(1, 25))
def test_transactions_gaps_and_headers_are_read_from_anywhere_to_any_cut_as_aiokafka_does(chance, batches):
    rng = random.Random(chance)
    read_from_anywhere(rng, draw_log(rng, batches), 8)


@settings(max_examples=50, deadline=None)
@given(CHANCE)
def test_headers_are_unpacked_as_aiokafka_unpacks_them(chance):
    log = draw_log(random.Random(chance), 8)
    records = PartitionRecords(ORDERS_0, MemoryRecords(log.data), log.aborted, 0, None, None, True, READ_COMMITTED)
    expected = {record.offset: record.headers for record in records}
    found = {each.offset: each.headers for each in extension.unpack(log.data, log.aborted, log.offsets[0])}
    assert found == expected


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4"])
def test_what_is_packed_otherwise_is_left_to_python_and_read_to_its_end(codec):
    log = draw_log(random.Random(5), 12, (NONE, ZSTD, CODECS[codec]))
    packed = PackedRecords(ORDERS_0, log.data, log.aborted, log.offsets[0])
    expected, end = read_by_aiokafka(log.data, log.aborted, log.offsets[0])
    assert not packed.readable
    assert packed.next_offset == end == log.end
    assert [record.offset for record in packed] == [record[0] for record in expected]
    for position in range(log.offsets[0], log.end):
        later = packed.since(position)
        assert [record.offset for record in later] == [each[0] for each in expected if each[0] >= position]


@pytest.mark.parametrize("codec", [NONE, ZSTD])
def test_a_batch_of_ten_thousand_and_a_record_of_a_mebibyte_come_through(codec):
    many = [OrderRecord(offset, 1_000 + offset, b"b%d" % offset, b"v" * (offset % 50)) for offset in range(10_000)]
    one = [OrderRecord(10_000, 1, b"b", random.Random(1).randbytes(1_048_576))]
    zeros = [OrderRecord(10_001, 1, b"b", bytes(20 * 1_048_576))]
    data = b"".join(encode_batch(r, r[0].offset, r[-1].offset, codec=codec) for r in (many, one, zeros, [zeros[0]]))
    for position in (0, 9_999, 10_000, 10_001, 10_002):
        assert read_natively(data, [], position) == read_by_aiokafka(data, [], position)


def test_several_frames_of_zstd_in_one_batch_are_read():
    records = [OrderRecord(offset, 1, b"b", b"v" * 90) for offset in range(2)]
    whole = encode_batch(records, 0, 1)
    batch = encode_batch(records, 0, 1, codec=ZSTD)
    frames = b"".join(bytes(cramjam.zstd.compress(part)) for part in (whole[61:100], whole[100:]))
    assert read_natively(sealed(batch[:61] + frames), [], 0) == read_by_aiokafka(whole, [], 0)


@pytest.mark.parametrize("magic", [0, 1])
def test_batches_of_an_older_format_are_left_to_python_and_read_to_their_end(magic):
    data = b""
    for offset in (8, 9, 10):
        builder = LegacyRecordBatchBuilder(magic, 0, 1 << 20)
        builder.append(0, 5, b"b", b"x")
        data += offset.to_bytes(8, "big") + bytes(builder.build())[8:]
    packed = PackedRecords(ORDERS_0, data + data[:20], [], 9)
    assert not packed.readable
    assert [record.offset for record in packed] == [9, 10]
    assert (len(packed), packed.next_offset) == (2, 11)


# What a broker never gives. None of it may be taken for other records, nor end the process, nor keep it busy.


@settings(max_examples=100, deadline=None)
@given(CHANCE)
def test_flipped_bits_are_found_by_the_checksum(chance):
    rng = random.Random(chance)
    read_flipped(rng, draw_log(rng, 6), 20)


@settings(max_examples=150, deadline=None)
@given(CHANCE)
def test_damage_under_a_right_checksum_is_refused_or_read_as_aiokafka_reads_it(chance):
    rng = random.Random(chance)
    records = [draw_record(rng, 7 + step) for step in range(rng.choice([1, 2, 5]))]
    whole = encode_batch(records, 7, 6 + len(records), codec=rng.choice([NONE, NONE, ZSTD]))
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 8])):
            at = rng.choice([rng.randrange(8), rng.randrange(21, 61), rng.randrange(21, len(data))])
            data[at] = rng.choice([data[at] ^ 1 << rng.randrange(8), 0, 0x7F, 0x80, 0xFF])
        if rng.random() < 0.2:
            data = data[: rng.randrange(61, len(data) + 1)]
        changed = sealed(data)
        with suppress(extension.CorruptRecordsError):
            if (found := read_natively(changed, [], 0)) is not None:
                # aiokafka refuses more: names of headers that aren't UTF-8, markers without a type.
                with suppress(KafkaError, UnicodeDecodeError, TypeError, struct.error):
                    assert found == read_by_aiokafka(changed, [], 0)


@pytest.mark.parametrize("length", [-(2**31), -61, -1, 0, 1, 48, 2**31 - 1])
@pytest.mark.parametrize("magic", [0, 1, 2, 3, 0xFF])
def test_any_length_and_format_in_a_header_is_refused_or_taken_for_a_cut(length, magic):
    first = encode_batch([OrderRecord(0, 1, b"b", b"v")], 0, 0)
    data = bytearray(encode_batch([OrderRecord(1, 1, b"b", b"w")], 1, 1))
    data[8:12] = (length % 2**32).to_bytes(4, "big")
    data[16] = magic
    found = read_as_a_worker(first + bytes(data), [], 0)
    assert found in (None, ([(0, 1, b"b", b"v")], 1))


@pytest.mark.parametrize("base", [-(2**63), -1, 2**63 - 2, 2**63 - 1])
def test_a_batch_of_impossible_offsets_is_refused(base):
    data = encode_batch([OrderRecord(0, 1, b"b", b"v"), OrderRecord(1, 1, b"b", b"v")], 0, 1)
    data = (base % 2**64).to_bytes(8, "big") + data[8:]
    with pytest.raises(extension.CorruptRecordsError, match="impossible offsets"):
        read_natively(data, [], 0)


def test_a_batch_that_comes_twice_is_read_once():
    data = encode_batch([OrderRecord(0, 1, b"b", b"v"), OrderRecord(1, 1, b"b", b"v")], 0, 1) * 2
    assert read_natively(data, [], 0) == read_by_aiokafka(data, [], 0)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), CHANCE)
def test_any_bytes_are_refused_or_hold_nothing(noise, chance):
    rng = random.Random(chance)
    data = noise if rng.random() < 0.3 else bytes(8) + len(noise).to_bytes(4, "big") + bytes(4) + b"\x02" + noise
    found = read_as_a_worker(data, [], 3)
    assert found in (None, ([], 3))
