"""The public ledger: donations from the topic to durable tiles, checks, receipts and look-ups.

`everycent ledger run --until-end` over a backlog of one partition, one checkpoint a second, in a process of its own:
CPU of the whole process (its start included) and, between two sizes, CPU and wall time of each further leaf. `fsck`
over the same files, against the topic and with `--files-only`. The rules: what they take of it, in this process, from
packed donations to entries, hashes, tree and bundles, without Kafka and disk, in Rust and in Python
(`python -m tests.bench.job_ledger` prints these and the receipts alone). Overhead: all bytes of the log's files less
the entries' own. Receipts: `tests/bench/ledger_proofs.py`. Look-ups: `tests/bench/ledger_index.py`, `--index-ids`.

Files are made by the hundred a second, so the filesystem matters: ext4 passes over each inode that was deleted within
the last minutes whenever it makes a file. Where others delete files by the thousand, let TMPDIR name a disk of its own.
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from schemas.donation import encode_donation
from streams.engine.sender import open_sender
from streams.errors import UserError
from streams.ledger.leaf import Salts, encode_leaf, leaf_of
from streams.ledger.tiles import TileTree
from streams.ledger_service.keys import log_origin, make_keys
from streams.ledger_service.leaves import LeafMaker, hashing
from streams.native import extension
from streams.settings import Settings, child_environment
from tests.bench import ledger_index, ledger_proofs
from tests.bench.deployments import deployment
from tests.bench.figures import figure, slopes
from tests.bench.ledger_proofs import TARGET_RECEIPT_MS, donation
from tests.bench.options import Options, say
from tests.native.batches import packed

CHUNK = 20_000
RULE_RUNS = 5
LARGE = 10**8
TARGET_LEAF_US, TARGET_LEAVES_A_SECOND = 10, 100_000
TARGET_OVERHEAD_BYTES, TARGET_LOOK_UP_US = 60, 1_000


async def run(options: Options) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {"small": [], "large": []}
    for number in range(options.runs):
        for name, leaves in (("small", options.orders // 5), ("large", options.orders)):
            say(f"ledger: run {number + 1}, {leaves:,} donations")
            runs[name].append(await _measure(options, leaves))
    say(f"ledger: an index of {options.index_ids:,} ids")
    index = ledger_index.measure(options.index_ids)
    return {
        "command": "everycent ledger run --until-end",
        "arguments": {"partitions": 1, "donations": options.orders, "index_ids": index["ids"]},
        "method": __doc__,
        "right": all(each["right"] for each in (*runs["small"], *runs["large"])),
        "figures": {
            **_leaf_figures(runs["small"], runs["large"]),
            "overhead_bytes_per_leaf": figure(
                [each["overhead_bytes"] for each in runs["large"]], at_most=TARGET_OVERHEAD_BYTES
            ),
            **_all_rules(max(options.orders // 10, CHUNK)),
            "index_cpu_us_per_id": figure([index["cpu_us_per_leaf"]]),
            "index_bytes_per_id": figure([index["bytes_per_id"]]),
            **_look_up_figures(index["look_up"]),
            **_receipts(),
        },
        "runs": runs,
        "index": index,
    }


def _leaf_figures(small: list[dict[str, Any]], large: list[dict[str, Any]]) -> dict[str, Any]:
    """CPU of each further leaf, of the role and of both checks; leaves a second by the clock."""
    cpu = {
        "cpu_us_per_further_leaf": "cpu_seconds",
        "fsck_cpu_us_per_further_leaf": "fsck_cpu_seconds",
        "fsck_files_cpu_us_per_further_leaf": "fsck_files_cpu_seconds",
    }
    return {
        **{
            name: figure([s * 1e6 for s in slopes(small, large, of, "leaves")], at_most=TARGET_LEAF_US)
            for name, of in cpu.items()
        },
        "further_leaves_per_second": figure(
            [1 / s for s in slopes(small, large, "seconds", "leaves")], at_least=TARGET_LEAVES_A_SECOND
        ),
        "leaves_per_second": figure([each["leaves"] / each["seconds"] for each in large]),
    }


async def _measure(options: Options, leaves: int) -> dict[str, Any]:
    with TemporaryDirectory(prefix="everycent-bench-") as name:
        async with deployment(options.broker, 1) as made:
            settings = made.model_copy(
                update={"ledger_dir": f"{name}/log", "ledger_keys": f"{name}/keys", "log_level": "warning"}
            )
            make_keys(Path(settings.ledger_keys), [log_origin(settings.ledger_name, 0)])
            entry_bytes = await _put(settings, leaves)
            seconds, cpu = await _command(settings, "run", "--until-end")
            _, fsck_cpu = await _command(settings, "fsck", "--json")
        _, files_cpu = await _command(settings, "fsck", "--files-only", "--json")
        size, published = _published(Path(settings.ledger_dir))
    return {
        "leaves": leaves,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "fsck_cpu_seconds": fsck_cpu,
        "fsck_files_cpu_seconds": files_cpu,
        "overhead_bytes": (size - entry_bytes) / leaves,
        "right": published == leaves,  # and fsck has found nothing, or its status had ended this
    }


def _published(folder: Path) -> tuple[int, int]:
    """Bytes of all files, and leaves of the log."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return size, int((folder / "donations/0/checkpoint").read_text().splitlines()[1])


async def _put(settings: Settings, leaves: int) -> int:
    """Donations as workers write them; the bytes of all their leaves' entries."""
    entry_bytes, salts = 0, Salts(bytes(32))
    async with open_sender(settings, settings.topics.donations) as sender:
        for start in range(0, leaves, CHUNK):
            donations = [donation(seq) for seq in range(start, min(leaves, start + CHUNK))]
            entry_bytes += sum(len(encode_leaf(leaf_of(each, salts))) for each in donations)
            await sender.send([each.buyer_id.encode() for each in donations], [encode_donation(e) for e in donations])
        await sender.flush()
    return entry_bytes


async def _command(settings: Settings, *words: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command. Raises UserError if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.cli", "ledger", *words),
        env=child_environment(settings),
        stdout=asyncio.subprocess.DEVNULL,
    )
    if status := await process.wait():
        raise UserError(f"everycent ledger {' '.join(words)} ended with status {status}")
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _look_up_figures(look_up: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {
        f"look_up_{name}_{which}": figure([value], at_most=TARGET_LOOK_UP_US if which == "p99_us" else None)
        for name, found in look_up.items()
        for which, value in found.items()
    }


class _Record(NamedTuple):
    """A donation's record."""

    offset: int
    value: bytes
    timestamp: int
    key: bytes


def _rules(leaves: int, *, native: bool) -> float:
    """CPU µs a leaf."""
    records = [_Record(seq, encode_donation(one := donation(seq)), 0, one.buyer_id.encode()) for seq in range(leaves)]
    chunks = [records[start : start + CHUNK] for start in range(0, leaves, CHUNK)]
    fetches = [packed(chunk) for chunk in chunks] if native else chunks
    maker, tree = LeafMaker(Salts(bytes(32)), native=native), TileTree(hashing(native).root_of)
    began = time.process_time()
    for number, fetched in enumerate(fetches):
        tree.append(maker.make(fetched, number * CHUNK).hashes)
    tree.root()
    return (time.process_time() - began) / leaves * 1e6


def _all_rules(leaves: int) -> dict[str, Any]:
    ways = {"rules_cpu_us_per_leaf": True, "rules_python_cpu_us_per_leaf": False}
    return {
        name: figure([_rules(leaves, native=native) for _ in range(RULE_RUNS)])
        for name, native in ways.items()
        if not native or extension is not None
    }


def _receipts() -> dict[str, Any]:
    """From a log of 10^8 leaves, and how they grow from 10^3 to 10^10."""
    grown = ledger_proofs.growth()
    return {
        "receipt_ms": figure([ledger_proofs.receipts(LARGE)["make_ms"] for _ in range(5)], at_most=TARGET_RECEIPT_MS),
        "receipts": {size: dict(found) for size, found in grown.items()},
    }


if __name__ == "__main__":
    print(json.dumps({**_all_rules(200_000), **_receipts()}))
