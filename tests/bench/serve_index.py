"""How fast a server reads totals back: `python -m tests.bench.serve_index --totals 200000`. One JSON document.

The index alone, fed with ready records as the follower feeds it; Kafka has no part in it.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from schemas.totals import ProjectTotal, WindowKind, encode_total, key_of
from schemas.units import DAY_MS
from streams.domain.windows import Calendar
from streams.serve import limits
from streams.serve.index import TotalsIndex
from streams.settings import Settings
from tests.bench.machine import facts

NOON_MS = 1_605_067_200_000
PROJECTS = 1_000


def records(count: int, calendar: Calendar) -> Iterator[tuple[bytes, bytes]]:
    """Days of a thousand projects."""
    for number in range(count):
        day, project = divmod(number, PROJECTS)
        window = calendar.window_at(WindowKind.DAY, NOON_MS - day * DAY_MS)
        total = ProjectTotal(
            *(f"P{project:05}", window.kind, window.start_ms, window.end_ms, window.start),
            *(project * 7 + day, 3, 0, NOON_MS, False, 5),
        )
        yield key_of(total).encode(), encode_total(total)


def measure(count: int) -> dict[str, object]:
    calendar = Calendar("Asia/Shanghai")
    with tempfile.TemporaryDirectory() as folder:
        index = TotalsIndex(Path(folder), calendar, Settings())
        cpu_s = wall_s = 0.0
        source = records(count, calendar)
        while batch := list(islice(source, limits.FETCH_MAX_RECORDS)):
            cpu, wall = time.process_time(), time.perf_counter()
            index.publish(index.apply(batch, {}))
            cpu_s += time.process_time() - cpu
            wall_s += time.perf_counter() - wall
        disk = sum(path.stat().st_size for path in Path(folder).iterdir())
        index.close()
    return {
        "totals": count,
        "cpu_us_a_total": round(1e6 * cpu_s / count, 2),
        "totals_a_second": round(count / wall_s),
        "disk_bytes_a_total": round(disk / count),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--totals", type=int, default=200_000)
    chosen = parser.parse_args(arguments)
    print(json.dumps({"machine": facts(embedded_broker=False), **measure(chosen.totals)}, indent=2))


if __name__ == "__main__":
    main()
