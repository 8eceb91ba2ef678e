"""Hostile records: the pure rules say of each what the contract says, and on the real broker they stop nothing."""

import random

import pytest
from aiokafka import AIOKafkaProducer

from schemas.order import OrderCompleted, decode_order
from schemas.rejection import Reason
from streams.domain.dedupe import OrderMemory
from streams.domain.split import SplitOutcome, SplitState, split_orders
from streams.engine.connection import client_options
from streams.engine.reader import open_reader
from streams.settings import Settings
from tests.domain.orders import OrderRecord
from tests.hostile.compare import compare, wanted
from tests.hostile.oracle import Order, Partition
from tests.hostile.records import SOME_DAY_MS, hostile_records
from tests.hostile.run import SENDING, run_hostile, send_batches
from tests.kafka.workers import audited, running_workers

DAY_MS = 86_400_000


@pytest.fixture
def seed() -> int:
    found = random.SystemRandom().randrange(10**6)
    print(f"seed {found}; again: python -m tests.hostile --seed {found}")
    return found


def test_each_record_is_to_the_code_what_it_is_to_the_contract(seed: int) -> None:
    for number in range(5_000):
        difference = compare(seed, number)
        assert difference is None, difference


def test_a_run_of_them_gives_the_donations_refusals_and_repeats_of_the_contract(seed: int) -> None:
    sizes = random.Random(seed)
    state, outcome, oracle = SplitState(OrderMemory(DAY_MS)), SplitOutcome(), Partition(DAY_MS)
    records = [
        OrderRecord(offset, SOME_DAY_MS + sizes.randrange(DAY_MS), key, value)
        for offset, (key, value) in enumerate(hostile_records(seed, 4_000))
    ]
    rest = records
    while rest:
        size = sizes.choice([1, 2, 10, 300])
        piece, rest = rest[:size], rest[size:]
        split_orders(state, piece, outcome)
    for record in records:
        oracle.take(record.offset, record.timestamp, record.key, record.value)
    fates = oracle.fates
    assert [{name: getattr(each, name) for name in each.__struct_fields__} for each in outcome.donations] == (
        fates.donations
    )
    assert [(record.offset, refusal.reason.value) for record, refusal in outcome.refused] == fates.rejected
    assert (outcome.accepted, outcome.no_pledge, outcome.repeats) == (fates.accepted, fates.no_pledge, fates.repeats)
    assert {reason for _, reason in fates.rejected} >= {"invalid", "not-json", "conflict", "too-far-in-future"}
    assert fates.repeats > 3  # some 25 are to be expected


ORDER = (
    b'{"order_id":"o1","buyer_id":"b1","merchant_id":"m1","completed_at":1605024000000,"lines":['
    b'{"line":0,"item_id":"i1","paid_fen":500,"pledge":{"kind":"fixed","project_id":"P1","fen":2}}]}'
)


@pytest.mark.parametrize(
    ("written", "instead", "reason"),
    [
        (b'"line":0', b'"line":-0', None),
        (b'"order_id":"o1"', b'"order_id":"o0","order_id":"o1"', None),
        (b'"order_id":"o1"', b'"order_id":"a|b","order_id":"o1"', None),  # only what counts must be an id
        (b'"order_id":"o1"', b'"order_id":"o1","order_id":"a|b"', "invalid"),
        (b'"order_id":"o1"', b'"order_id":7,"order_id":"o1"', "invalid"),
        (b'"order_id":"o1"', b'"order_id":"","order_id":"o1"', "invalid"),
        (b'"fen":2', b'"fen":0,"fen":2', "invalid"),
        (b'"pledge":{', b'"pledge":null,"pledge":{', None),
        (b'"pledge":{', b'"pledge":{},"pledge":{', "invalid"),
        (b'"lines":[', b'"lines":[],"lines":[', "invalid"),
        (b'"kind":"fixed"', b'"kind":"fixed","kind":"fixed"', None),
        (b'"kind":"fixed"', b'"kind":"rate","bps":1,"kind":"fixed"', "invalid"),
        (b'"fen":2', b'"fen":2,"kind":"rate","bps":1', "invalid"),
        (b'"kind":"fixed"', b'"k\\u0069nd":"\\u0066ixed"', None),
    ],
)
def test_of_a_field_that_stands_twice_each_must_be_right_and_the_last_counts(written, instead, reason) -> None:
    assert ORDER.count(written) == 1
    value = ORDER.replace(written, instead)
    found = decode_order(b"b1", value)
    expected = wanted((b"b1", value))
    if reason is None:
        assert isinstance(expected, Order)
        assert isinstance(found, OrderCompleted)
        assert found.order_id == expected.order_id == "o1"
    else:
        assert (found.reason.value, expected) == (reason, reason)


async def test_twenty_thousand_bad_records_among_good_ones_stop_a_worker_nowhere(topics: Settings, seed: int) -> None:
    settings = topics.model_copy(update={"commit_interval_ms": 100})  # many commits, and soon done
    with running_workers(settings) as workers:
        figures = await run_hostile(settings, seed, 20_000, workers)
    assert figures.bad >= 20_000
    assert sum(figures.rejected.values()) > figures.bad  # conflicts besides, and what is too far in the future
    assert set(figures.rejected) >= {"not-json", "invalid", "too-far-in-future", "conflict"}
    assert figures.donations > 10_000


async def test_the_largest_record_that_the_broker_takes_and_one_that_unpacks_to_32_mib_are_refused_whole(
    topics: Settings,
) -> None:
    noise = random.Random(1).randbytes(2 * 1_048_576 - 200)  # can't be packed: as large as the topic's limit allows
    bomb = b"0" * (32 * 1_048_576)  # Kafka's limit goes by what is packed
    records = [(b"b1", ORDER), (b"b1", noise), (b"b1", bomb), (b"b1", ORDER.replace(b'"o1"', b'"o2"'))]
    async with AIOKafkaProducer(**client_options(topics), **SENDING) as producer:
        for future in await send_batches(producer, topics.topics.orders, 0, records):
            await future
    with running_workers(topics) as workers:
        workers.start()
        report = await audited(topics, workers)
    assert (report.counts.accepted, report.counts.rejected) == (2, {Reason.TOO_LARGE: 2})
    async with open_reader(topics) as log:
        found = [record async for batch in log.read(topics.topics.rejected_orders, 0) for record in batch]
    assert [(record.key, record.value) for record in found] == records[1:3]
