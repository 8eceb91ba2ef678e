"""The extension against Python and aiokafka for as long as one likes, by seed: what `make fuzz` does of it."""

import asyncio
import random
from collections.abc import Callable
from itertools import islice

from streams.settings import Settings
from tests.domain.orders import DAY_MS, SOME_DAY_MS, OrderRecord
from tests.hostile.records import SPAN_MS, endless_records
from tests.native.drawn import random_deltas, random_orders
from tests.native.fetches import draw_log, read_flipped, read_from_anywhere
from tests.native.folds import SplitPair, TotalsPair, fold_split_anyhow, fold_totals_anyhow
from tests.native.leaves import leaves_of_anything

ROUND_RECORDS = 2_000
SIZES = [1, 10, 300, 1_100]


def fuzz(seed: int, records: int, tell: Callable[[str], None] = print) -> None:
    """So many hostile records and, in step, orders, sums, leaves and fetches. Raises AssertionError, seed told."""
    hostile = endless_records(seed)
    donations = 0
    for number in range(max(1, records // ROUND_RECORDS)):
        rng = random.Random(f"{seed}:{number}")
        try:
            donations += asyncio.run(_round(rng, list(islice(hostile, ROUND_RECORDS))))
        except AssertionError:
            tell(f"round {number} of seed {seed}")
            raise
    tell(f"Rust against Python: {number + 1:,} rounds of {ROUND_RECORDS:,} records, no difference")
    assert donations, "nothing was donated: this shows nothing"


async def _round(rng: random.Random, hostile: list[tuple[bytes | None, bytes | None]]) -> int:
    records = [
        OrderRecord(offset, SOME_DAY_MS + SPAN_MS - rng.choice([0, 0, 0, DAY_MS]), key, value)
        for offset, (key, value) in enumerate(hostile)
    ]
    daily, hourly = SplitPair(Settings()), SplitPair(Settings(dedupe_horizon_hours=1), rng.choice([1, 50, 1_000]))
    await fold_split_anyhow(records, rng, SIZES, daily)
    await fold_split_anyhow(random_orders(rng, ROUND_RECORDS), rng, SIZES, hourly)
    zone = rng.choice(["Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"])
    sources = rng.choice([1, 3])
    totals = TotalsPair(Settings(timezone=zone, minute_retention_hours=1, hour_retention_hours=3), sources)
    await fold_totals_anyhow(random_deltas(rng, ROUND_RECORDS // 4, sources), rng, totals)
    leaves_of_anything(rng, 50)
    for _ in range(20):
        log = draw_log(rng, rng.randrange(1, 25))
        read_from_anywhere(rng, log, 8)
        read_flipped(rng, log, 20)
    return daily.counts["accepted"]
