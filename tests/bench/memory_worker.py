"""A worker's state without a broker, fed by `job_memory`: `python -m tests.bench.memory_worker PARTITIONS < frames`.

It has loaded what a worker loads and made its processors. A frame is a header (`FRAME`: what, partition, bytes) and a
run of a topic's log: `d`onations to restore, partial `s`ums to fold and to commit. A frame `?` is answered with a line
of JSON: the order ids and totals that are held, and memory in MB of 10^6 bytes, now and at the most.
"""

import json
import struct
import sys
import time

from schemas.totals import WindowKind
from streams.agents.split_native import NativeSplitProcessor
from streams.agents.totals_native import NativeTotalsProcessor
from streams.domain.windows import Calendar
from streams.engine.memory import keep_tidy
from streams.settings import Settings
from streams.worker import ALL_ROLES, build, tune_garbage_collection
from tests.bench.resident import peak_mb, resident_mb

FRAME = struct.Struct(">cBI")


def main() -> None:
    partitions = int(sys.argv[1])
    settings = Settings()
    keep_tidy()
    build(settings, ALL_ROLES, partitions, partitions)
    tune_garbage_collection(settings)
    calendar = Calendar(settings.timezone)
    split = [NativeSplitProcessor(settings, number, partitions)._splitter for number in range(partitions)]
    totals = [NativeTotalsProcessor(settings, number, calendar, 1)._totals for number in range(partitions)]
    while header := sys.stdin.buffer.read(FRAME.size):
        what, partition, size = FRAME.unpack(header)
        data = sys.stdin.buffer.read(size)
        if what == b"d":
            split[partition].restore(data, [], 0)
        elif what == b"s":
            totals[partition].fold(data, [], 0)
            totals[partition].take_totals(time.time_ns() // 1_000_000, 0)
        else:
            sizes = [sum(each) for each in zip(*(each.sizes() for each in totals), strict=True)]
            held = {"ids": sum(each.ids for each in split), "totals": dict(zip(WindowKind, sizes, strict=True))}
            print(json.dumps(held | {"rss_mb": resident_mb(), "peak_rss_mb": peak_mb()}), flush=True)


if __name__ == "__main__":
    main()
