"""How soon an order is visible in a total, at a steady rate, on one worker with production's settings.

Live orders come at `RATE` a second, and every `PROBE_EVERY_MS` a probe among them (tests/soak/probes.py): its time runs
from before it is handed to the producer until a reader of committed records has its total. Orders, probes, reader,
broker and worker share the machine. What comes before the worker has settled, `SETTLE_S`, doesn't count.
A run counts if every probe became visible and no total went back.
"""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.deployments import deployment
from tests.bench.figures import figure
from tests.bench.options import Options, say
from tests.bench.processes import MeasuredProcess, worker
from tests.soak.figures import spread
from tests.soak.load import Load
from tests.soak.plan import EventClock, SoakPlan
from tests.soak.probes import Probes, open_probes

PARTITIONS = 8
RATE = 5_000
PROBE_EVERY_MS = 20
SETTLE_S = 10.0
VISIBLE_TIMEOUT_S = 60
POLL_S = 0.1
P50_MAX_S, P99_MAX_S = 0.15, 0.4


async def run(options: Options) -> dict[str, Any]:
    """So many runs, each with a new deployment and a new worker."""
    runs = [await _run_once(options, number) for number in range(1, options.runs + 1)]
    counted = [each for each in runs if each["right"]]
    return {
        "command": "everycent worker --roles split,totals",
        "arguments": {"partitions": PARTITIONS, "orders_per_second": RATE, "seconds": options.seconds},
        "seed": options.seed,
        "method": __doc__,
        "right": all(each["right"] for each in runs),
        "figures": _figures(counted),
        "runs": runs,
    }


async def _run_once(options: Options, number: int) -> dict[str, Any]:
    say(f"latency, run {number} of {options.runs}: {RATE:,} orders a second for {options.seconds:g} s")
    now_ms = time.time_ns() // 1_000_000
    plan = SoakPlan(options.seconds, RATE, options.seconds / 2, seed=options.seed, probe_every_ms=PROBE_EVERY_MS)
    clock = EventClock(now_ms, now_ms, 1)
    async with deployment(options.broker, PARTITIONS) as settings:
        with worker(settings) as process, TemporaryDirectory(prefix="everycent-latency-") as folder:
            await process.wait_for("partition ready", times=2 * PARTITIONS)
            load = Load(settings, plan, clock, Path(folder))
            try:
                async with open_probes(settings) as probes:
                    found = await _probe(plan, clock, probes, process)
                    found["load"] = await load.stop()
            finally:
                load.kill()
            found["peak_memory_mb"] = process.peak_memory_mb()
    latency = found["latency_s"]
    say(
        f"  p50 {latency['p50']} s, p99 {latency['p99']} s; the worker took {found['cpu_share']:.0%} of a core; "
        + ("all visible" if found["right"] else f"WRONG: {found['faults'] or 'not all probes became visible'}")
    )
    return found


async def _probe(plan: SoakPlan, clock: EventClock, probes: Probes, process: MeasuredProcess) -> dict[str, Any]:
    """Send and see probes for the run's time; the worker's share of a core is of the time that counts."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(probes.read())
        sending = group.create_task(probes.send(plan.probe_every_ms, clock, plan.seed, stop))
        await asyncio.sleep(SETTLE_S)
        began = process.sample()
        await asyncio.sleep(plan.seconds - SETTLE_S)
        ended = process.sample()
        stop.set()
        await sending
        with suppress(TimeoutError):
            async with asyncio.timeout(VISIBLE_TIMEOUT_S):
                while probes.visible < probes.sent:  # noqa: ASYNC110 - the reader tells nobody
                    await asyncio.sleep(POLL_S)
        reading.cancel()
    counted = [probe.latency_s for probe in probes.seen() if probe.sent_s >= began.at_s]
    return {
        "latency_s": spread(counted),
        "cpu_share": (ended.cpu_s - began.cpu_s) / (ended.at_s - began.at_s),
        "right": bool(counted) and probes.visible == probes.sent and not probes.faults,
        "faults": probes.faults,
    }


def _figures(runs: list[dict[str, Any]]) -> dict[str, Any]:
    if not runs:
        return {}
    return {
        "p50_s": figure([each["latency_s"]["p50"] for each in runs], at_most=P50_MAX_S),
        "p99_s": figure([each["latency_s"]["p99"] for each in runs], at_most=P99_MAX_S),
        "cpu_share": figure([each["cpu_share"] for each in runs]),
    }
