"""What the extension's memory of order ids costs: `python -m tests.bench.dedupe_native [--ids 10000000]` prints JSON.

The orders of `tests/bench/dedupe.py`, each with one donation; so many are remembered at a time. Measured: a restore of
all from record batches of donations; then whole folds (unpacking, reading, looking up, remembering, writing donations)
of new orders and of repeats, in packed batches of 5,000; resident memory (MB of 10^6 bytes) after each and at its peak.
"""

import argparse
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.order import decode_order
from streams.domain.split import conflict, too_far_in_future
from streams.engine import limits
from streams.native import extension
from tests.bench.dedupe import HORIZON_MS, START_MS, Orders
from tests.bench.resident import MEGABYTE, peak_mb, resident_mb
from tests.native.batches import pack

BATCH = 5_000
ORDER = (
    b'{"order_id":"%b","buyer_id":"b1","merchant_id":"m1","completed_at":%d,"lines":'
    b'[{"line":0,"item_id":"i1","paid_fen":4990,"pledge":{"kind":"fixed","project_id":"P1","fen":2}}]}'
)
DONATION = (
    b'{"donation_id":"%b:0","seq":0,"order_id":"%b","line":0,"buyer_id":"b1","merchant_id":"m1","item_id":"i1",'
    b'"project_id":"P1","fen":2,"donated_at":%d,"source_offset":%d}'
)


@dataclass(frozen=True, slots=True)
class Made:
    """A record as `pack` takes it."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes


def packed(orders: Orders, start: int, count: int, *, donations: bool) -> bytes:
    ids, _, times = orders.take(start, count)
    records: Sequence[Made] = [
        Made(start + at, START_MS * 2, b"b1", DONATION % (b, b, ms, start + at) if donations else ORDER % (b, ms))
        for at, (b, ms) in enumerate(zip([order_id.encode() for order_id in ids], times, strict=True))
    ]
    return pack(records, "zstd")


def fold(splitter: "extension.Splitter", orders: Orders, start: int, count: int) -> float:
    """µs of CPU an order: other work on the machine doesn't count."""
    spent = 0.0
    for first in range(start, start + count, BATCH):
        data = packed(orders, first, BATCH, donations=False)
        began = time.process_time()
        splitter.fold(data, [], 0)
        splitter.take_donations()
        spent += time.process_time() - began
    return round(spent / count * 1e6, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, default=10_000_000)
    ids = parser.parse_args().ids // BATCH * BATCH
    orders = Orders(ids)
    splitter = extension.Splitter(
        HORIZON_MS, limits.OUTGOING_BATCH_BYTES, limits.ZSTD_LEVEL, decode_order, too_far_in_future, conflict
    )
    packed(orders, 0, BATCH, donations=True)  # what making them takes is there before
    before_mb = resident_mb()
    spent = 0.0
    for start in range(0, ids, BATCH):
        data = packed(orders, start, BATCH, donations=True)
        began = time.process_time()
        splitter.restore(data, [], 0)
        spent += time.process_time() - began
    splitter.finish_restore(ids)
    assert splitter.ids == ids
    result: dict[str, object] = {"ids": ids, "rss_mb_at_start": before_mb, "restore_cpu_s": round(spent, 2)}
    result |= {"rss_mb_restored": resident_mb(), "peak_rss_mb_restored": peak_mb()}
    result["bytes_per_id"] = round((resident_mb() - before_mb) * MEGABYTE / ids, 1)

    new = max(ids // 4 // BATCH, 1) * BATCH
    result["fold_us_per_new_order"] = fold(splitter, orders, ids, new)
    assert splitter.take_counts()[0] == new, "new orders were taken for repeats"
    repeats = min(100_000, ids // 2 // BATCH * BATCH)
    result["fold_us_per_repeat"] = fold(splitter, orders, ids + new - repeats, repeats)
    assert splitter.take_counts()[2] == repeats, "repeats were taken for new orders"

    result |= {"ids_held": splitter.ids, "rss_mb": resident_mb(), "peak_rss_mb": peak_mb()}
    result |= {"python": platform.python_version(), "machine": platform.machine()}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
