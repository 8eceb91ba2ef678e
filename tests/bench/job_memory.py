"""What the state of a worker takes that has all partitions: a day of 30,000 projects' windows and `--ids` order ids.

One process with all that a worker loads and its processors, fed without a broker (`memory_worker`): first a day of
steady load (317 orders a second), minute by minute, each folded and committed; then the donations of `--ids` orders,
whose times fill the dedupe horizon, as a restart reads them. The peak is that of the process. What a worker holds
beside its state isn't in it: connections, fetches, and record batches under way.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from aiokafka.partitioner import murmur2

from streams.errors import UserError
from streams.native import extension
from tests.bench.dedupe import Orders
from tests.bench.dedupe_native import BATCH, packed
from tests.bench.figures import figure
from tests.bench.job_restore import minutes
from tests.bench.machine import REPOSITORY
from tests.bench.memory_worker import FRAME
from tests.bench.options import Options, say
from tests.native.batches import pack

PARTITIONS = 8
MINUTES_A_DAY = 1_440
TARGET_IDS, TARGET_MB = 27_400_000, 400  # 24 hours of 317 orders a second


class Sum(NamedTuple):
    """A record of `project-deltas` as `pack` takes it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes


async def run(options: Options) -> dict[str, Any]:
    """One run: the state is the same in each. With fewer ids the day is shorter alike. No figures without Rust."""
    if extension is None:
        return {"method": __doc__, "right": True, "figures": {}}
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.memory_worker", str(PARTITIONS)),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    count = max(1, round(MINUTES_A_DAY * min(1.0, options.ids / TARGET_IDS)))
    try:
        started = await _ask(worker)
        say(f"memory: {count:,} minutes of windows")
        for frame in _sums(options.seed, count):
            await _feed(worker, *frame)
        windows = await _ask(worker)
        ids = options.ids // BATCH * BATCH
        say(f"memory: {ids:,} order ids; with the windows {windows['rss_mb']} MB")
        for frame in _donations(ids):
            await _feed(worker, *frame)
        whole = await _ask(worker)
    finally:
        if worker.stdin is not None:
            worker.stdin.close()
        await worker.wait()
    return {
        "command": f"python -m tests.bench.memory_worker {PARTITIONS}",
        "arguments": {"partitions": PARTITIONS, "ids": ids, "minutes": count},
        "seed": options.seed,
        "method": __doc__,
        # The last order of each partition may yet go on.
        "right": ids - PARTITIONS <= whole["ids"] <= ids and whole["totals"] == windows["totals"],
        "figures": {
            "peak_memory_mb": figure([whole["peak_rss_mb"]], at_most=TARGET_MB if ids >= TARGET_IDS else None),
            "at_start_mb": figure([started["rss_mb"]]),
            "windows_mb": figure([windows["rss_mb"] - started["rss_mb"]]),
            "bytes_per_total": figure([_bytes_each(started, windows, sum(windows["totals"].values()))]),
            "ids_mb": figure([whole["rss_mb"] - windows["rss_mb"]]),
            "bytes_per_id": figure([_bytes_each(windows, whole, ids)]),
        },
        "runs": {"started": started, "windows": windows, "whole": whole},
    }


def _bytes_each(before: dict[str, Any], after: dict[str, Any], count: int) -> float:
    return float((after["rss_mb"] - before["rss_mb"]) * 1e6 / count)


def _sums(seed: int, count: int) -> Iterator[tuple[bytes, int, bytes]]:
    for records in islice(minutes(seed), count):
        parts: list[list[tuple[bytes | None, bytes]]] = [[] for _ in range(PARTITIONS)]
        for key, value in records:
            for part in parts if key is None else [parts[(murmur2(key) & 0x7FFF_FFFF) % PARTITIONS]]:
                part.append((key, value))
        for partition, part in enumerate(parts):
            yield b"s", partition, pack([Sum(offset, 0, *each) for offset, each in enumerate(part)])


def _donations(ids: int) -> Iterator[tuple[bytes, int, bytes]]:
    orders = Orders(ids)
    for number, start in enumerate(range(0, ids, BATCH)):
        yield b"d", number % PARTITIONS, packed(orders, start, BATCH, donations=True)


async def _feed(worker: asyncio.subprocess.Process, what: bytes, partition: int, data: bytes) -> None:
    if worker.stdin is None or worker.returncode is not None:
        raise UserError(f"the process that is measured ended with status {worker.returncode}")
    worker.stdin.write(FRAME.pack(what, partition, len(data)) + data)
    await worker.stdin.drain()


async def _ask(worker: asyncio.subprocess.Process) -> dict[str, Any]:
    await _feed(worker, b"?", 0, b"")
    answer = await worker.stdout.readline() if worker.stdout is not None else b""
    if not answer:
        raise UserError("the process that is measured has died")
    found: dict[str, Any] = json.loads(answer)
    return found
