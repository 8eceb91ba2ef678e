"""What the ledger's index costs: `python -m tests.bench.ledger_index [--ids 100000000]` prints JSON.

Leaves of the usual size, made as they are needed, their ids in random order. Measured: CPU and wall time a leaf to take
them in (the making counts in), the folder's size, and how long one look-up takes, by a reader that has just opened it,
with nothing of its files in the machine's memory, and again once it is warm: median and the 99th of 100, µs, and what
a busy machine doesn't change, CPU µs and KB read from the disk, each a look-up.
"""

import argparse
import json
import os
import random
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from streams.ledger.tiles import TILE_WIDTH, Bundle
from streams.ledger_service.index import open_index

ENTRY = (
    b'{"donated_at":1605024000003,"donation_id":"%d:0","donor":"3fbed3654307fedd76e703124a7342973585eb6616c736d427798ba'
    b'056a694fe","fen":5,"item_id":"i1","line":0,"merchant_id":"m20403","order_id":"1400000000000000003"}'
)
STEP, PRIME = 1_000_003_000_001, 2**61 - 1  # ids jump about as they do among millions of buyers, and none comes twice
LOOK_UPS = 5_000
PARTITION = 3


class Leaves:
    """A log of so many leaves, in place of files."""

    def __init__(self, count: int) -> None:
        self.count = count

    @staticmethod
    def donation_number(index: int) -> int:
        return index * STEP % PRIME

    def bundles(self, start, size):
        for number in range(start, size // TILE_WIDTH):
            first = number * TILE_WIDTH
            yield Bundle(number), [ENTRY % self.donation_number(at) for at in range(first, first + TILE_WIDTH)]


def forget(folder: Path) -> None:
    """Have the kernel drop what it holds of the files: a look-up then goes to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read_from_disk_kb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_inblock / 2  # in blocks of 512 bytes


def look_ups(folder: Path, leaves: Leaves) -> dict[str, dict[str, float]]:
    found = {}
    forget(folder)
    with open_index(folder) as index:
        for name in ("cold", "warm"):
            took: list[float] = []
            cpu, kilobytes = time.process_time(), _read_from_disk_kb()
            for at in random.Random(1).sample(range(leaves.count), LOOK_UPS):
                donation_id = f"{leaves.donation_number(at)}:0"
                began = time.perf_counter()
                place = index.find(donation_id)
                took.append(time.perf_counter() - began)
                assert place == (PARTITION, at)
            took.sort()
            found[name] = {
                "median_us": round(took[LOOK_UPS // 2] * 1e6, 1),
                "p99_us": round(took[LOOK_UPS * 99 // 100] * 1e6, 1),
                "cpu_us": round((time.process_time() - cpu) / LOOK_UPS * 1e6, 1),
                "disk_kb": round((_read_from_disk_kb() - kilobytes) / LOOK_UPS, 1),
            }
    return found


def measure(ids: int) -> dict[str, Any]:
    """An index of so many ids, made and asked."""
    count = ids // TILE_WIDTH * TILE_WIDTH
    leaves = Leaves(count)
    with TemporaryDirectory(prefix="everycent-bench-") as name:
        folder = Path(name)
        began, cpu = time.perf_counter(), time.process_time()
        with open_index(folder, write=True) as index:
            index.advance(PARTITION, leaves, count)
        taken_in = {
            "us_per_leaf": round((time.perf_counter() - began) / count * 1e6, 2),
            "cpu_us_per_leaf": round((time.process_time() - cpu) / count * 1e6, 2),
        }
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return {"ids": count, **taken_in, "bytes_per_id": round(size / count, 1), "look_up": look_ups(folder, leaves)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ids", type=int, default=1_000_000)
    print(json.dumps(measure(parser.parse_args().ids), indent=2))


if __name__ == "__main__":
    main()
