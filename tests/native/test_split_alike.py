"""Split in Rust gives what split in Python gives, byte for byte, however it is cut, packed, committed and restarted."""

import asyncio
import random

import pytest
from hypothesis import given, settings

from streams.domain.load import LoadPlan, make_chunks
from streams.settings import Settings
from tests.domain.orders import DAY_MS, SOME_DAY_MS, OrderRecord
from tests.hostile.records import SPAN_MS, hostile_records
from tests.native.drawn import CHANCE, order_records
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


@pytest.mark.parametrize("timestamp", [-(2**63), -1, 0, 2**63 - 1])
def test_any_time_of_arrival_is_judged_alike(timestamp):
    order = b'{"order_id":"o1","buyer_id":"b1","merchant_id":"m1","completed_at":1605024000000,"lines":[%b]}'
    line = b'{"line":0,"item_id":"i1","paid_fen":500,"pledge":{"kind":"fixed","project_id":"P1","fen":2}}'
    pair = SplitPair(Settings())
    pair.fold([OrderRecord(0, timestamp, b"b1", order % line)])
    assert ((Settings().topics.rejected_orders, 0) in pair.commit()) == (timestamp < 2**62)
