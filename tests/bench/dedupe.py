"""What the memory of order ids costs: `python -m tests.bench.dedupe [--ids 10000000]` prints one JSON object.

Orders come evenly over event time, so that `ids` of them are remembered at a time. Measured: a restore of all; then
look-up and remembering of new orders, merges and evictions included, a quarter as many again in batches of 5,000
and some in batches of 100; then batches of repeats; resident memory (MB of 10^6 bytes) after each and at its peak.
"""

import argparse
import json
import platform
import time

import numpy as np

from streams.domain.dedupe import OrderMemory
from streams.domain.horizon import SLICES
from tests.bench.resident import peak_mb, resident_mb

HORIZON_MS = 24 * 3_600_000
FIRST_ORDER = 1_400_000_000_000_000_000
START_MS = 1_605_024_000_000


class Orders:
    """Made as they are asked for, so that none of them counts as the memory's."""

    def __init__(self, remembered: int) -> None:
        # Ids are remembered for the horizon and up to a slice more.
        self.interval_ms = HORIZON_MS * (SLICES + 1) / SLICES / remembered

    def take(self, start: int, count: int) -> tuple[list[str], list[int], list[int]]:
        ids = [str(FIRST_ORDER + number) for number in range(start, start + count)]
        fingerprints = [(number * 0x9E3779B97F4A7C15 & (2**63 - 1)) for number in range(start, start + count)]
        times = [START_MS + int(number * self.interval_ms) for number in range(start, start + count)]
        return ids, fingerprints, times


def restore(memory: OrderMemory, orders: Orders, ids: int) -> float:
    spent = 0.0
    for start in range(0, ids, 16_384):
        order_ids, fingerprints, times = orders.take(start, min(16_384, ids - start))
        began = time.perf_counter()
        memory.remember_many(order_ids, fingerprints, times)
        spent += time.perf_counter() - began
    return spent


def fold(memory: OrderMemory, orders: Orders, start: int, count: int, batch: int) -> tuple[list[float], int]:
    """Seconds that each batch took, and how many orders were new."""
    seconds, new = [], 0
    for first in range(start, start + count, batch):
        order_ids, fingerprints, times = orders.take(first, batch)
        began = time.perf_counter()
        memory.recall(order_ids)
        known, remember = memory.known, memory.remember
        for order_id, fingerprint, completed_at in zip(order_ids, fingerprints, times, strict=True):
            if known(order_id) is None:
                remember(order_id, fingerprint, completed_at)
                new += 1
        seconds.append(time.perf_counter() - began)
    return seconds, new


def cost(seconds: list[float], batch: int) -> dict[str, float]:
    return {
        "us_per_order": round(float(np.mean(seconds)) / batch * 1e6, 3),
        "us_per_batch_median": round(float(np.median(seconds)) * 1e6, 1),
        "ms_per_batch_max": round(max(seconds) * 1e3, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, default=10_000_000)
    ids = parser.parse_args().ids
    orders, memory = Orders(ids), OrderMemory(HORIZON_MS)
    result: dict[str, object] = {"ids": ids, "rss_mb_at_start": resident_mb()}

    result["restore_s"] = round(restore(memory, orders, ids), 2)
    result |= {"rss_mb_restored": resident_mb(), "peak_rss_mb_restored": peak_mb()}

    position = ids
    for name, batch, batches in (("batch_5000", 5_000, ids // 20_000), ("batch_100", 100, ids // 4_000)):
        count = batch * batches
        seconds, new = fold(memory, orders, position, count, batch)
        assert new == count, f"{count - new} new orders were taken for repeats"
        position += count
        result[name] = cost(seconds, batch)
    repeats = min(100_000, ids // 10)
    seconds, new = fold(memory, orders, position - ids // 2, repeats, 5_000)
    assert new == 0, f"{new} repeats were taken for new orders"
    result["repeats_5000"] = cost(seconds, 5_000)

    result |= {"ids_held": len(memory), "rss_mb": resident_mb(), "peak_rss_mb": peak_mb()}
    result |= {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
