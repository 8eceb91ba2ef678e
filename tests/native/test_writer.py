"""Batches that the extension finished, as aiokafka reads them: whole, checked, counted, stamped, never too large."""

import random

import pytest
from aiokafka.partitioner import murmur2
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from schemas.order import FixedPledge, OrderCompleted, OrderLine, decode_order, encode_order
from streams.agents.split_native import NativeSplitProcessor
from streams.engine import limits
from streams.native import extension
from streams.settings import Settings
from tests.domain.orders import SOME_DAY_MS, OrderRecord
from tests.native.reading import any_splitter

RNG = random.Random(3)
ORDERS = [
    OrderCompleted(
        f"o{number}",
        f"b{number}",
        "m1",
        SOME_DAY_MS + RNG.randrange(-(10**9), 10**9),
        tuple(OrderLine(line, "i", 500, FixedPledge(f"P{RNG.randrange(3_000)}", 2)) for line in range(RNG.randrange(4)))
        or (OrderLine(0, "i", 1),),
    )
    for number in range(6_000)
]


def folded(orders: list[OrderCompleted]) -> NativeSplitProcessor:
    processor = NativeSplitProcessor(Settings(), 0, 4)
    for offset, order in enumerate(orders):
        processor.fold([OrderRecord(offset, 2 * SOME_DAY_MS, order.buyer_id.encode(), encode_order(order))])
    return processor


def test_batches_are_right_in_every_field_of_their_headers():
    output = folded(ORDERS).take_output(0)
    batches = [batch for each in output.batches.values() for batch in each]
    assert len(batches) > 8
    for number, finished in enumerate(batches):
        finished._set_producer_state(2**40 + number, 7, 2**31 - 1 - number)
        data = finished._build()
        batch = DefaultRecordBatch(data)
        assert batch.validate_crc()
        assert int.from_bytes(data[8:12], "big") == len(data) - 12 == finished.size() - 12
        assert (batch.base_offset, batch.magic, batch.producer_id) == (0, 2, 2**40 + number)
        assert (batch.producer_epoch, batch.base_sequence) == (7, 2**31 - 1 - number)
        assert (batch.is_transactional, batch.is_control_batch, batch.compression_type) == (True, False, 4)
        assert batch.timestamp_type == 0
        records = list(batch)
        assert [record.offset for record in records] == list(range(finished.record_count()))
        assert batch.next_offset == finished.record_count()
        assert batch.first_timestamp == records[0].timestamp
        assert batch.max_timestamp == max(record.timestamp for record in records)
    assert output.record_count == sum(batch.record_count() for batch in batches)


def test_a_batch_holds_what_its_limit_allows_and_a_larger_record_goes_alone():
    donations = folded(ORDERS).take_output(0).batches["donations", 0]
    sizes = []
    for finished in donations:
        finished._set_producer_state(1, 0, 0)
        sizes.append(sum(len(record.key) + len(record.value) for record in DefaultRecordBatch(finished._build())))
    assert max(sizes) <= limits.OUTGOING_BATCH_BYTES
    assert min(sizes[:-1]) > limits.OUTGOING_BATCH_BYTES * 0.7
    alone = extension.Splitter(86_400_000, 10, 1, decode_order, None, None)
    for offset, order in enumerate(ORDERS[:20]):
        alone.fold_record(offset, 2 * SOME_DAY_MS, order.buyer_id.encode(), encode_order(order))
    assert {count for _, count in alone.take_donations()} == {1}


def test_a_batch_may_be_stamped_again():
    [batch, *_] = folded(ORDERS[:50]).take_output(0).batches["donations", 0]
    batch._set_producer_state(1, 0, 0)
    first = batch._build()
    batch._set_producer_state(2, 3, 4)
    assert DefaultRecordBatch(batch._build()).validate_crc()
    batch._set_producer_state(1, 0, 0)
    assert batch._build() == first


@pytest.mark.parametrize("size", [0, 1, 60])
def test_what_is_no_batch_is_not_stamped(size):
    with pytest.raises(ValueError, match="not a record batch"):
        extension.stamp(bytes(size), 1, 0, 0)


def test_nothing_folded_gives_no_batch_of_donations_and_nothing_twice():
    splitter = any_splitter()
    assert splitter.take_donations() == []
    processor = folded(ORDERS[:50])
    assert ("donations", 0) in processor.take_output(0).batches
    assert processor.take_output(0).batches == {}


def test_a_million_projects_are_summed_and_then_forgotten():
    splitter = any_splitter(judge=decode_order)

    def take(first: int, last: int, named: str) -> int:
        for number in range(first, last):
            lines = tuple(OrderLine(at, "i", 5, FixedPledge(f"P{200 * number + at}", 2)) for at in range(200))
            order = OrderCompleted(f"o{number}-{named}", "b1", "m1", SOME_DAY_MS, lines)
            splitter.fold_record(number, SOME_DAY_MS, b"b1", encode_order(order))
        deltas = splitter.take_deltas(2, SOME_DAY_MS, b"{}", b"{}")
        assert {partition for partition, _ in deltas} == {0, 1}
        return sum(count for _, batches in deltas for _, count in batches) - 2  # the watermark on each

    assert take(0, 4_999, "a") == splitter.projects == 999_800
    assert take(4_999, 5_000, "a") == 200
    assert splitter.projects == 0  # what was remembered is full
    assert take(0, 10, "b") == take(0, 10, "c") == splitter.projects == 2_000


PROJECT_IDS = st.text(st.characters(exclude_categories=["C"], exclude_characters="|"), min_size=1, max_size=64)


@given(PROJECT_IDS, st.integers(1, 300))
def test_a_projects_sums_go_where_every_kafka_client_looks_for_its_key(project_id, partitions):
    splitter = any_splitter(judge=decode_order)
    order = OrderCompleted("o1", "b1", "m1", SOME_DAY_MS, (OrderLine(0, "i", 5, FixedPledge(project_id, 2)),))
    splitter.fold_record(0, SOME_DAY_MS, b"b1", encode_order(order))
    [(partition, _)] = splitter.take_deltas(partitions, SOME_DAY_MS, b"{}", None)
    assert partition == (murmur2(project_id.encode()) & 0x7FFFFFFF) % partitions
