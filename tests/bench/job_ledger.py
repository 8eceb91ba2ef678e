"""The public ledger: donations from the topic to durable tiles, checks, and receipts.

`everycent ledger run --until-end` over a backlog of one partition, one checkpoint a second, in a process of its own:
CPU of the whole process (its start included) and, between two sizes, of each further leaf. `fsck --files-only` over the
same files. The rules: what the pure rules take of it, in this process, from a donation's JSON to its entry, its hash,
the tree and the bundle, without Kafka and disk (`python -m tests.bench.job_ledger` prints these and the receipts
alone). Overhead: all bytes of the log's files less the entries' own. A receipt: proof, salt and text, from a log of
10^8 leaves whose tiles are made instead of read, as all its leaves are alike.
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from schemas.donation import Donation, encode_donation
from streams.engine.sender import open_sender
from streams.errors import UserError
from streams.ledger.checkpoint import Checkpoint
from streams.ledger.leaf import Salts, encode_leaf, entries_of, leaf_of
from streams.ledger.notes import SignerKey, sign_note
from streams.ledger.published import PublishedLog
from streams.ledger.receipt import make_receipt
from streams.ledger.tiles import TILE_WIDTH, TileTree, pack_entries
from streams.ledger.tree import leaf_hash, node_hash, tree_root
from streams.ledger_service.keys import log_origin, make_keys
from streams.settings import Settings, child_environment
from tests.bench.deployments import deployment
from tests.bench.figures import figure, slopes
from tests.bench.options import Options, say

CHUNK = 20_000
RECEIPTS = 200
RULE_RUNS = 5
LARGE = 10**8
TARGET_LEAF_US, TARGET_OVERHEAD_BYTES, TARGET_RECEIPT_MS = 10, 60, 5


async def run(options: Options) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {"small": [], "large": []}
    for number in range(options.runs):
        for name, leaves in (("small", options.orders // 5), ("large", options.orders)):
            say(f"ledger: run {number + 1}, {leaves:,} donations")
            runs[name].append(await _measure(options, leaves))
    receipt_ms = _receipts()
    leaf_us = [s * 1e6 for s in slopes(runs["small"], runs["large"], "cpu_seconds", "leaves")]
    fsck_us = [s * 1e6 for s in slopes(runs["small"], runs["large"], "fsck_cpu_seconds", "leaves")]
    return {
        "command": "everycent ledger run --until-end",
        "arguments": {"partitions": 1, "donations": options.orders},
        "method": __doc__,
        "right": all(each["right"] for each in (*runs["small"], *runs["large"])),
        "figures": {
            "cpu_us_per_further_leaf": figure(leaf_us, at_most=TARGET_LEAF_US),
            "leaves_per_second": figure([each["leaves"] / each["seconds"] for each in runs["large"]]),
            "fsck_cpu_us_per_further_leaf": figure(fsck_us, at_most=TARGET_LEAF_US),
            "overhead_bytes_per_leaf": figure(
                [each["overhead_bytes"] for each in runs["large"]], at_most=TARGET_OVERHEAD_BYTES
            ),
            "rules_cpu_us_per_leaf": figure([_rules(options.orders // 10) for _ in range(RULE_RUNS)]),
            "receipt_ms": figure(receipt_ms, at_most=TARGET_RECEIPT_MS),
        },
        "runs": runs,
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
        _, fsck_cpu = await _command(settings, "fsck", "--files-only", "--json")
        size, published = _published(Path(settings.ledger_dir))
    return {
        "leaves": leaves,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "fsck_cpu_seconds": fsck_cpu,
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
            donations = [_donation(seq) for seq in range(start, min(leaves, start + CHUNK))]
            entry_bytes += sum(len(encode_leaf(leaf_of(each, salts))) for each in donations)
            await sender.send([each.buyer_id.encode() for each in donations], [encode_donation(e) for e in donations])
        await sender.flush()
    return entry_bytes


def _donation(seq: int) -> Donation:
    order = str(1_400_000_000_000_000_000 + seq)
    buyer, merchant = f"b{seq * 7919 % 480_000_000}", f"m{seq % 2_500_000}"
    item, project, at_ms = f"i{seq % 10**7}", f"P{seq % 30_000:05d}", 1_605_024_000_000 + seq
    return Donation(f"{order}:0", seq, order, 0, buyer, merchant, item, project, 2, at_ms, seq)


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


class _Record(NamedTuple):
    """What the ledger reads of a donation's record."""

    offset: int
    value: bytes


def _rules(leaves: int) -> float:
    """CPU µs a leaf."""
    records = [_Record(seq, encode_donation(_donation(seq))) for seq in range(leaves)]
    salts, tree = Salts(bytes(32)), TileTree()
    began = time.process_time()
    for start in range(0, leaves, CHUNK):
        entries = entries_of(records[start : start + CHUNK], start, salts)
        tree.append(b"".join([leaf_hash(entry) for entry in entries]))
        for at in range(0, len(entries), TILE_WIDTH):
            pack_entries(entries[at : at + TILE_WIDTH])
    tree.root()
    return (time.process_time() - began) / leaves * 1e6


def _receipts() -> list[float]:
    """ms each."""
    origin, salts = "bench/donations/0", Salts(bytes(32))
    signer = SignerKey.from_seed(origin, bytes(32))
    entry = encode_leaf(leaf_of(_donation(7), salts))
    levels = [leaf_hash(entry)]
    while len(levels) < 64:
        levels.append(node_hash(levels[-1], levels[-1]))

    def fetch(path: str) -> bytes:
        level = path.split("/")[1]
        return pack_entries([entry] * TILE_WIDTH) if level == "entries" else levels[8 * int(level)] * TILE_WIDTH

    log = PublishedLog(fetch)
    root = tree_root(lambda level, _: levels[level], LARGE)
    note = sign_note(Checkpoint(origin, LARGE, root).text(), [signer])
    took = []
    for number in range(RECEIPTS):
        index = number * (LARGE // RECEIPTS) + 7
        began = time.perf_counter()
        data = bytes(make_receipt(log, note, index, salts))
        took.append((time.perf_counter() - began) * 1_000)
    assert len(data) < 5_000
    return [median(took)]


if __name__ == "__main__":
    rules = figure([_rules(200_000) for _ in range(RULE_RUNS)])
    print(json.dumps({"rules_cpu_us_per_leaf": rules, "receipt_ms": figure(_receipts())}))
