"""What the following audit costs: `everycent audit --follow` over topics on which workers have done their work.

It begins at the oldest records, so this is a catch-up: as fast as it can. A run lasts from the log line with which it
starts until its metrics say that every order is checked and that all which stood at least a second after the start is
checked too, totals included. CPU is the whole process's. A run counts if it says conserved and found every donation.
"""

import asyncio
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from streams.settings import Settings
from tests.bench.deployments import deployment, expected, load_backlog, log_lengths, wait_drained
from tests.bench.figures import figure
from tests.bench.options import Options, say
from tests.bench.processes import MeasuredProcess, measured_process, worker

PARTITIONS = 8
ORDERS_PER_SECOND_MIN = 50_000  # what it was asked to reach on one core
POLL_S = 0.1
TIMEOUT_S = 1_800


async def run(options: Options) -> dict[str, Any]:
    """One deployment, audited `runs` times, each time by a new process."""
    plan = options.plan(options.orders)
    say(f"audit: {plan.orders:,} orders")
    runs = []
    async with deployment(options.broker, PARTITIONS) as settings:
        await load_backlog(settings, plan)
        with worker(settings) as process:
            await process.wait_for("partition ready")
            await wait_drained(settings, process)
        lengths = await log_lengths(settings)
        for number in range(1, options.runs + 1):
            made = await _follow_once(settings, plan.orders, expected(plan).donations)
            runs.append(made)
            say(
                f"  run {number} of {options.runs}: {plan.orders / made['seconds']:,.0f} orders/s, "
                f"{made['cpu_seconds'] / plan.orders * 1e6:.2f} us of CPU each, {made['peak_memory_mb']:.0f} MB, "
                + ("conserved" if made["right"] else "WRONG")
            )
    counted = [made for made in runs if made["right"]]
    return {
        "command": "everycent audit --follow",
        "arguments": {"partitions": PARTITIONS, "orders": plan.orders, "scenario": plan.scenario},
        "seed": options.seed,
        "method": __doc__,
        "right": len(counted) == len(runs),
        "figures": {
            "orders_per_second": figure(
                [plan.orders / made["seconds"] for made in counted], at_least=ORDERS_PER_SECOND_MIN
            ),
            "cpu_us_per_order": figure([made["cpu_seconds"] / plan.orders * 1e6 for made in counted]),
            "peak_memory_mb": figure([made["peak_memory_mb"] for made in counted]),
        },
        "log_lengths": lengths,
        "runs": runs,
    }


async def _follow_once(settings: Settings, orders: int, donations: int) -> dict[str, Any]:
    with measured_process(settings, "-m", "streams.cli", "audit", "--follow") as process:
        started = await process.wait_for("audit starts")
        url = f"http://127.0.0.1:{settings.metrics_port}/metrics"
        async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as session:
            while True:
                await asyncio.sleep(POLL_S)
                done = process.sample()
                found = await _read(session, url)
                is_checked = found.get(settings.topics.orders, 0) >= orders
                if is_checked and found["everycent_audit_lag_seconds"] < done.at_s - started.at_s - 1:
                    break
        memory_mb = process.peak_memory_mb()
        counted = _counted(process)
    return {
        "seconds": done.at_s - started.at_s,
        "cpu_seconds": done.cpu_s - started.cpu_s,
        "peak_memory_mb": memory_mb or 0,
        "right": found["everycent_audit_conserved"] == 1 and counted == (orders, donations),
    }


def _counted(process: MeasuredProcess) -> tuple[int, int]:
    """What the line says that it ends with."""
    process.stop()
    last = process.events("conserved so far")[-1]
    return last["orders"], last["donations"]


async def _read(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """The gauges without labels by their names, and by each topic the sum of its checked offsets."""
    found: dict[str, float] = {}
    async with session.get(url) as answer:
        for family in text_string_to_metric_families(await answer.text()):
            for sample in family.samples:
                if sample.name == "everycent_audit_checked_offset":
                    topic = sample.labels["topic"]
                    found[topic] = found.get(topic, 0) + sample.value
                elif not sample.labels:
                    found[sample.name] = sample.value
    return found
