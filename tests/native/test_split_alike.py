"""Split in Rust gives what split in Python gives, byte for byte, however it is cut, packed, committed and restarted."""

import asyncio
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings

from schemas.order import FixedPledge, OrderCompleted, OrderLine
from schemas.units import MINUTE_MS
from streams.domain.load import LoadPlan, make_chunks
from streams.settings import Settings
from tests.domain.orders import DAY_MS, SOME_DAY_MS, OrderRecord, record_of
from tests.hostile.records import SPAN_MS, hostile_records
from tests.native.drawn import CHANCE, order_records, random_orders
from tests.native.folds import SplitPair, fold_split_anyhow

HOURLY = Settings(dedupe_horizon_hours=1, allowed_lateness_ms=60_000)


@pytest.fixture
def seed() -> int:
    found = random.SystemRandom().randrange(10**6)
    print(f"seed {found}")
    return found


@settings(max_examples=150, deadline=None)
@given(order_records(), CHANCE)
def test_drawn_orders_give_the_same_bytes_in_any_cut_and_over_any_restart(records, chance):
    rng = random.Random(chance)
    pair = SplitPair(HOURLY, rng.choice([1, 5, 1_000]), finds_early=rng.random() < 0.5)
    asyncio.run(fold_split_anyhow(records, rng, [1, 2, 5, 30], pair))


async def test_hostile_records_give_the_same_bytes(seed):
    rng = random.Random(seed)
    records = [
        OrderRecord(offset, SOME_DAY_MS + SPAN_MS - rng.choice([0, 0, 0, DAY_MS]), key, value)
        for offset, (key, value) in enumerate(hostile_records(seed, 5_000))
    ]
    pair = SplitPair(Settings())
    await fold_split_anyhow(records, rng, [1, 10, 300, 1_100], pair)
    assert pair.counts["accepted"] > 1_000
    assert pair.counts["repeat"] > 3


async def test_a_load_like_the_real_one_gives_the_same_bytes(seed):
    rng = random.Random(seed)
    plan = LoadPlan(8_000, seed=seed, repeats_share=0.05, malformed_share=0.02)
    pairs = [pair for chunk in make_chunks(plan) for pair in zip(chunk.keys, chunk.values, strict=True)]
    records = [OrderRecord(offset, plan.end_ms, key, value) for offset, (key, value) in enumerate(pairs)]
    pair = SplitPair(Settings())
    await fold_split_anyhow(records, rng, [100, 1_000, 2_500], pair)
    assert pair.counts["repeat"] > 300


async def test_long_runs_of_few_ids_give_the_same_bytes(seed):
    """A batch is folded block by block: repeats, conflicts and odd orders come within one and beyond it."""
    rng = random.Random(seed)
    records = random_orders(rng, 10_000)
    for at in range(100, len(records)):
        own, earlier = records[at].value, records[at - rng.randrange(1, 100)].value
        records[at] = replace(records[at], value=rng.choices([own, earlier, own + b" ", b"{"], [7, 3, 1, 1])[0])
    pair = SplitPair(HOURLY)
    await fold_split_anyhow(records, rng, [65, 500, 1_000], pair)
    assert pair.counts["repeat"] > 100
    assert pair.counts["accepted"] > 1_000


async def test_many_projects_in_minutes_to_and_fro_give_the_same_sums(seed):
    """New projects come all the time, of short and long names, and each of few minutes over and over."""
    rng = random.Random(seed)
    names = ["P" * rng.choice([1, 5, 14, 15, 16, 17, 63]) + str(number)[:1] for number in range(10)]
    names += [f"project {number}" for number in range(3_000)]
    records = []
    for offset in range(10_000):
        minute_ms = SOME_DAY_MS + MINUTE_MS * rng.randrange(4)
        pledges = [FixedPledge(rng.choice(names[: rng.choice([10, len(names)])]), 1) for _ in range(rng.randrange(4))]
        lines = tuple(OrderLine(number, "i1", 500, pledge) for number, pledge in enumerate([None, *pledges]))
        records.append(record_of(OrderCompleted(f"o{offset}", "b1", "m1", minute_ms, lines), offset))
    pair = SplitPair(Settings())
    await fold_split_anyhow(records, rng, [65, 1_000, 3_000], pair)
    assert pair.counts["accepted"] > 7_000


@pytest.mark.parametrize("timestamp", [-(2**63), -1, 0, 2**63 - 1])
def test_any_time_of_arrival_is_judged_alike(timestamp):
    order = b'{"order_id":"o1","buyer_id":"b1","merchant_id":"m1","completed_at":1605024000000,"lines":[%b]}'
    line = b'{"line":0,"item_id":"i1","paid_fen":500,"pledge":{"kind":"fixed","project_id":"P1","fen":2}}'
    pair = SplitPair(Settings())
    pair.fold([OrderRecord(0, timestamp, b"b1", order % line)])
    assert ((Settings().topics.rejected_orders, 0) in pair.commit()) == (timestamp < 2**62)
