"""Where the hot path's CPU goes, stage by stage, without Kafka: `python -m tests.bench.stages [--orders N] [--json]`.

The orders of `make bench`, packed and fetched as a broker would hand them out, go through the extension's folds of all
partitions in turn, as in a worker under a backlog: so many rounds of one commit of each partition, the first of which
only warms up. CPU is this thread's, in ns an order; of all rounds the least counts, for what else runs on the machine
only adds. What a worker does besides (fetching, sending, asyncio) isn't in here; `make bench` has the whole.

Some stages are parts of one call. They are told apart by calls that do less: the fold of orders that came before writes
nothing, `readings` only reads, and `packed_sizes` packs what a fold has written once more.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import cramjam

from schemas.order import decode_order
from schemas.totals import WindowKind
from schemas.units import HOUR_MS
from streams.domain.load import LoadPlan, Scenario, make_chunks
from streams.domain.murmur2 import partitions_of
from streams.domain.split import conflict, too_far_in_future
from streams.domain.windows import Calendar
from streams.engine import limits
from streams.native import extension
from streams.settings import Settings
from tests.native.batches import pack

PARTITIONS = 8
SENT_RECORDS = 1_024  # records of a batch: `everycent simulate` spreads chunks of 8,192 over the partitions
FETCH_BATCHES = 6  # some 256 KiB, which is what a fetch asks for
HEADER_BYTES = 61
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Made:
    """A record as `pack` takes it."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes


@dataclass(slots=True)
class Clock:
    """CPU of this thread by stage, ns."""

    spent: dict[str, int] = field(default_factory=dict)

    def time(self, stage: str, call: Callable[[], T]) -> T:
        began = time.thread_time_ns()
        found = call()
        self.spent[stage] = self.spent.get(stage, 0) + time.thread_time_ns() - began
        return found


Fetch = tuple[bytes, int]  # record batches, and the offset of the first
Round = list[list[Fetch]]  # of each partition


def make_rounds(orders: int, scenario: Scenario, rounds: int) -> list[Round]:
    """The fetches of each round and partition; a round is a commit of each partition."""
    records: list[list[Made]] = [[] for _ in range(PARTITIONS)]
    for chunk in make_chunks(LoadPlan(orders, scenario=scenario)):
        places = partitions_of([key or b"" for key in chunk.keys], PARTITIONS).tolist()
        for place, key, value in zip(places, chunk.keys, chunk.values, strict=True):
            held = records[place]
            held.append(Made(len(held), 1 << 42, key or b"", value or b""))
    size = min(map(len, records)) // rounds
    return [[_fetches(held[at * size : (at + 1) * size]) for held in records] for at in range(rounds)]


def _fetches(records: Sequence[Made]) -> list[Fetch]:
    step = SENT_RECORDS * FETCH_BATCHES
    pieces = [records[at : at + step] for at in range(0, len(records), step)]
    return [(pack(piece, "zstd", SENT_RECORDS), piece[0].offset) for piece in pieces]


class Hot:
    """Both stages over all partitions, as a worker has them."""

    def __init__(self) -> None:
        self._settings = Settings(partitions=PARTITIONS)
        self._splitters = [
            extension.Splitter(
                self._settings.dedupe_horizon_hours * HOUR_MS,
                limits.OUTGOING_BATCH_BYTES,
                limits.ZSTD_LEVEL,
                decode_order,
                too_far_in_future,
                conflict,
            )
            for _ in range(PARTITIONS)
        ]
        calendar = Calendar(self._settings.timezone)
        self._totals = [
            extension.Totals(
                limits.OUTGOING_BATCH_BYTES,
                limits.ZSTD_LEVEL,
                [None for _ in WindowKind],
                calendar.windows_at,
                lambda kind, start_ms: calendar.window_from_start(WindowKind(kind), start_ms),
                lambda _value: None,
            )
            for _ in range(PARTITIONS)
        ]

    def run(self, taken: Round) -> tuple[Clock, dict[str, int]]:
        """One commit of each partition and of each partition of totals; also what was written, bytes and records."""
        clock = Clock()
        self.fold(taken, clock)
        figures = {"donations": 0, "donation_bytes": 0, "sums": 0, "sum_bytes": 0, "totals": 0, "total_bytes": 0}
        deltas = [bytearray() for _ in range(PARTITIONS)]
        for splitter in self._splitters:
            written = clock.time("donations: the last batch", splitter.take_donations)
            unpacked = [bytes(cramjam.zstd.decompress(body)) for data, _ in written for body in bodies(data)]
            clock.time(
                "donations packed",
                lambda unpacked=unpacked: extension.packed_sizes(unpacked, limits.ZSTD_LEVEL),
            )
            self._stamp(clock, written)
            _add(figures, "donations", "donation_bytes", written)
            by_partition = clock.time(
                "sums: written and packed",
                lambda splitter=splitter: splitter.take_deltas(PARTITIONS, 1, b"{}", None),
            )
            for partition, written in by_partition:
                for stamped in self._stamp(clock, written):
                    deltas[partition].extend(stamped)
                _add(figures, "sums", "sum_bytes", written)
        for totals, data in zip(self._totals, deltas, strict=True):
            fetched = renumbered(data)
            clock.time("totals: sums folded", lambda totals=totals, fetched=fetched: totals.fold(fetched, [], 0))
            written = clock.time("totals: written and packed", lambda totals=totals: totals.take_totals(1, 1))
            self._stamp(clock, written)
            _add(figures, "totals", "total_bytes", written)
        return clock, figures

    def fold(self, taken: Round, clock: Clock) -> None:
        """Every partition's fetches, the partitions in turn."""
        for turn in range(max(map(len, taken))):
            for splitter, fetches in zip(self._splitters, taken, strict=True):
                if turn < len(fetches):
                    data, position = fetches[turn]
                    clock.time("orders folded", lambda: splitter.fold(data, [], position))  # noqa: B023 - called here

    @staticmethod
    def _stamp(clock: Clock, batches: Sequence[tuple[bytes, int]]) -> list[bytes]:
        return [
            clock.time("batches: stamped", lambda batch=batch: extension.stamp(batch, 1, 0, 0)) for batch, _ in batches
        ]


def _add(figures: dict[str, int], records: str, size: str, batches: Sequence[tuple[bytes, int]]) -> None:
    figures[records] += sum(count for _, count in batches)
    figures[size] += sum(len(batch) for batch, _ in batches)


def renumbered(data: bytes | bytearray) -> bytes:
    """Batches with the offsets that a broker gives them."""
    out, at, offset = bytearray(data), 0, 0
    while at < len(out):
        out[at : at + 8] = offset.to_bytes(8, "big")
        offset += int.from_bytes(out[at + 57 : at + 61], "big")
        at += 12 + int.from_bytes(out[at + 8 : at + 12], "big")
    return bytes(out)


def bodies(data: bytes) -> list[bytes]:
    """What is packed in each batch."""
    found, at = [], 0
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at + 8 : at + 12], "big")
        found.append(data[at + HEADER_BYTES : end])
        at = end
    return found


def parts_of_reading(taken: Round) -> dict[str, int]:
    """CPU of what a fold does before it knows an order, each part by itself, ns."""
    clock = Clock()
    for fetches in taken:
        for data, position in fetches:
            clock.time("checksums", lambda: extension.outline(data, [], position))  # noqa: B023 - called here
            for body in bodies(data):
                clock.time("unpacked", lambda: cramjam.zstd.decompress(body))  # noqa: B023 - called here
            clock.time("read", lambda: extension.readings(data, [], position))  # noqa: B023 - called here
    return clock.spent


def measure(rounds: Sequence[Round], runs: int) -> dict[str, dict[str, float]]:
    """CPU of each stage and what was written, an order; of all counted rounds the least."""
    least: dict[str, float] = {}
    figures: dict[str, float] = {}

    def take(spent: dict[str, int], orders: int) -> None:
        for stage, ns in spent.items():
            least[stage] = min(least.get(stage, 1e9), ns / orders)

    sizes = [sum(sum(extension.readings(*one)) for one in _calls(taken)) for taken in rounds]
    for _ in range(runs):
        hot = Hot()
        for number, (taken, orders) in enumerate(zip(rounds, sizes, strict=True)):
            clock, written = hot.run(taken)
            if number:
                take(clock.spent, orders)
                figures = {name: round(value / orders, 2) for name, value in written.items()}
                take(parts_of_reading(taken), orders)
                again = Clock()
                hot.fold(taken, again)
                take({"orders folded that came before": again.spent["orders folded"]}, orders)
    return {"ns": least, "written": figures}


def _calls(taken: Round) -> list[tuple[bytes, list[tuple[int, int]], int]]:
    return [(data, [], position) for fetches in taken for data, position in fetches]


def stages(ns: dict[str, float]) -> list[tuple[str, float]]:
    """The way of an order, stage by stage; the first ones are parts of one call, told apart."""
    again, packed = ns["orders folded that came before"], ns["donations packed"]
    folded = ns["orders folded"] + ns["donations: the last batch"]
    return [
        ("a fetch's headers and checksums", ns["checksums"]),
        ("unpacked (zstd)", ns["unpacked"]),
        ("records and orders read", ns["read"] - ns["unpacked"] - ns["checksums"]),
        ("hashed, id and projects looked up", again - ns["read"]),
        ("remembered, donations written, summed up", folded - again - packed),
        ("donations packed (zstd)", packed),
        ("partial sums written and packed", ns["sums: written and packed"]),
        ("batches stamped: checksums", ns["batches: stamped"]),
        ("partial sums read and added to six windows", ns["totals: sums folded"]),
        ("totals written and packed", ns["totals: written and packed"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scenario", type=Scenario, default=Scenario.DOUBLE11)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(make_rounds(options.orders, options.scenario, options.rounds), options.runs)
    rows = stages(found["ns"])
    total = sum(ns for _, ns in rows)
    if options.json:
        print(json.dumps({"stages_ns": dict(rows), "total_ns": total, **found}, indent=2))
        return
    for stage, ns in [*rows, ("all of it", total)]:
        print(f"{ns:7.0f} ns  {ns / total:6.1%}  {stage}")
    print(
        "an order gives " + ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in found["written"].items())
    )


if __name__ == "__main__":
    main()
