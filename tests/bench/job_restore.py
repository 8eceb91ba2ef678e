"""How long a worker takes to have its state back: 1,000,000 window totals; and all order ids of the dedupe horizon.

One partition of each, so all of it comes back in one task, in one process that does nothing else. The time runs from
the worker's log line `assignment` (the start of its producer counts) to its line `partition ready`, by the timestamps
that they bear.
The totals are made by the totals stage itself from steady load and written by its own commits; the donations are what a
worker made of real orders. After a restore the worker is told to stop; the next run starts a new one.
"""

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from aiokafka import TopicPartition

from schemas.delta import MinuteSum, ProjectDelta, SourceWatermark, encode_delta, encode_watermark
from schemas.units import MINUTE_MS
from streams.agents.totals_processor import TotalsProcessor
from streams.domain import load_draws as draws
from streams.domain.load import DEFAULT_START_MS, STEADY_ORDERS_PER_SECOND, LoadPlan
from streams.domain.windows import Calendar
from streams.engine import limits
from streams.engine.commit import Committer
from streams.engine.stage import Output
from streams.settings import Settings
from tests.bench.deployments import deployment, differences, expected, load_backlog, wait_drained
from tests.bench.figures import figure
from tests.bench.options import Options, say
from tests.bench.processes import worker

ORDERS_PER_MINUTE = STEADY_ORDERS_PER_SECOND * 60
TARGET_ENTRIES, TARGET_SECONDS_MAX = 1_000_000, 10  # what the core was asked to reach
READY_TIMEOUT_S = 300


class DeltaRecord(NamedTuple):
    """What the totals stage reads of a record of `project-deltas`."""

    key: bytes | None
    value: bytes


async def run(options: Options) -> dict[str, Any]:
    """Totals, then donations: each written once, restored `runs` times."""
    totals = await _restore_state(options, "totals", lambda settings: _write_totals(settings, options))
    donations = await _restore_state(options, "split", lambda settings: _write_donations(settings, options))
    return {
        "command": "everycent worker --roles totals|split",
        "arguments": {"partitions": 1, "entries": options.entries, "ids": options.ids},
        "seed": options.seed,
        "method": __doc__,
        "right": totals["written"] >= options.entries and not donations["differences"],
        "figures": {
            "totals_seconds": figure(
                totals["seconds"], at_most=TARGET_SECONDS_MAX if options.entries >= TARGET_ENTRIES else None
            ),
            "totals_cpu_seconds": figure(totals["cpu_seconds"]),
            **_memory("totals_peak_memory_mb", totals),
            "donations_seconds": figure(donations["seconds"]),
            "donations_cpu_seconds": figure(donations["cpu_seconds"]),
            **_memory("donations_peak_memory_mb", donations),
        },
        "runs": {"totals": totals, "donations": donations},
    }


def _memory(name: str, made: dict[str, Any]) -> dict[str, Any]:
    known = [each for each in made["peak_memory_mb"] if each is not None]
    return {name: figure(known)} if known else {}


async def _restore_state(
    options: Options, role: str, write: Callable[[Settings], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    made: dict[str, Any] = {"seconds": [], "cpu_seconds": [], "peak_memory_mb": []}
    async with deployment(options.broker, 1) as settings:
        made |= await write(settings)
        for number in range(1, options.runs + 1):
            with worker(settings, role) as process:
                started = await process.wait_for('"assignment"', timeout_s=READY_TIMEOUT_S)
                ready = await process.wait_for("partition ready", timeout_s=READY_TIMEOUT_S)
                first, last = process.events("assignment")[0], process.events("partition ready")[0]
                made["peak_memory_mb"].append(process.peak_memory_mb())
            seconds = (_time(last) - _time(first)).total_seconds()
            made["seconds"].append(seconds)
            made["cpu_seconds"].append(ready.cpu_s - started.cpu_s)
            say(f"  restore of {role}, run {number} of {options.runs}: {seconds:.2f} s")
    return made


def _time(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


async def _write_totals(settings: Settings, options: Options) -> dict[str, Any]:
    say(f"restore: writing {options.entries:,} window totals")
    processor = TotalsProcessor(settings, 0, Calendar(settings.timezone), sources=1)
    for deltas in minutes(options.seed):
        processor.fold(deltas)
        if len(processor._state) >= options.entries:  # the state itself says how much it is
            break
    output = processor.take_output(0)
    topic_partition = (settings.topics.project_totals, 0)
    records = output.records[topic_partition]
    committer = Committer(settings, TopicPartition(settings.topics.project_deltas, 0))
    await committer.start()
    try:
        for first in range(0, len(records), limits.COMMIT_MAX_RECORDS):
            part = records[first : first + limits.COMMIT_MAX_RECORDS]
            await committer.commit(Output({topic_partition: part}, metadata=output.metadata), 0)
    finally:
        await committer.stop()
    return {"written": len(records)}


def minutes(seed: int) -> Iterator[list[DeltaRecord]]:
    """What split would send for each minute of steady load: a sum for each project, and the watermark."""
    for minute in count():
        first = minute * ORDERS_PER_MINUTE
        columns = draws.draw_orders(seed, 0.0, np.arange(first, first + ORDERS_PER_MINUTE, dtype=np.int64))
        given_fen = draws.donations_fen(columns)
        fen, given = np.zeros((2, draws.PROJECTS + 1), dtype=np.int64)
        np.add.at(fen, columns.projects, given_fen)
        np.add.at(given, columns.projects, given_fen > 0)
        start_ms = DEFAULT_START_MS + minute * MINUTE_MS
        deltas = [
            DeltaRecord(
                b"P%05d" % project,
                encode_delta(ProjectDelta((MinuteSum(start_ms, int(fen[project]), int(given[project])),))),
            )
            for project in np.flatnonzero(fen).tolist()
        ]
        yield [*deltas, DeltaRecord(None, encode_watermark(SourceWatermark(0, start_ms)))]


async def _write_donations(settings: Settings, options: Options) -> dict[str, Any]:
    """As a worker writes them; their ids lie within the dedupe horizon, for the whole load takes less event time."""
    plan = LoadPlan(options.ids, seed=options.seed, unpledged_share=0.0)  # each order gives at least one donation
    say(f"restore: {plan.orders:,} orders become {expected(plan).donations:,} donations")
    assert plan.end_ms - plan.start_ms < settings.dedupe_horizon_hours * 3_600_000
    await load_backlog(settings, plan)
    with worker(settings) as process:
        await wait_drained(settings, process)
    return {
        "written": expected(plan).donations,
        "orders": plan.orders,
        "differences": await differences(settings, plan),
    }
