"""Plain Faust agents on the same orders, beside ours: at least once, and with Faust's own exactly_once.

Far fewer orders, for each takes some hundred times as long, and no warm-up, for what one costs doesn't fall with their
number. CPU is the whole process's, from the moment at which its first order has come to the last growth of its table's
changelog. What was started and fetched before doesn't count against it. Its hourly totals are held against the expected
sums, and any difference stands beside the figures.
"""

import asyncio
import json
import time
from typing import Any

from aiokafka.admin import NewTopic

from streams.domain.load import LoadPlan
from streams.engine.connection import open_admin
from streams.engine.reader import open_reader
from streams.errors import UserError
from streams.settings import Settings
from tests.bench.deployments import DIFFERENCES_MAX, delete_topics, deployment, ends, expected, load_backlog
from tests.bench.figures import figure
from tests.bench.job_everycent import PARTITIONS
from tests.bench.options import Options, say
from tests.bench.peers import plain_faust
from tests.bench.processes import MeasuredProcess, Sample, measured_process

GUARANTEES = ("at_least_once", "exactly_once")
POLL_S = 0.1
QUIET_S = 6.0  # its table hasn't grown for so long: it is done; Faust commits every 2.8 s
TIMEOUT_S = 600


async def run(options: Options) -> dict[str, Any]:
    """Both guarantees in turn, a new process and new topics each time."""
    plan = options.plan(options.peer_orders)
    runs: dict[str, list[dict[str, Any]]] = {guarantee: [] for guarantee in GUARANTEES}
    for number in range(1, options.runs + 1):
        for guarantee in GUARANTEES:
            say(f"plain-faust, {guarantee}, run {number} of {options.runs}: {plan.orders:,} orders")
            runs[guarantee].append(await _run_once(options, plan, guarantee))
    return {
        "command": "python tests/bench/peers/plain_faust.py GUARANTEE",
        "arguments": {"partitions": PARTITIONS, "orders": plan.orders, "guarantees": GUARANTEES},
        "seed": options.seed,
        "method": __doc__,
        "figures": {guarantee: _figures(made) for guarantee, made in runs.items()},
        "right": {guarantee: all(each["right"] for each in made) for guarantee, made in runs.items()},
        "runs": runs,
    }


async def _run_once(options: Options, plan: LoadPlan, guarantee: str) -> dict[str, Any]:
    async with deployment(options.broker, PARTITIONS) as settings:
        topics = [plain_faust.donations_topic(settings), plain_faust.changelog_topic(settings)]
        await _create(settings, topics)
        await load_backlog(settings, plan)
        try:
            with measured_process(settings, plain_faust.__file__, guarantee) as process:
                ready = await process.wait_for(plain_faust.READY)
                done = await _wait_quiet(settings, process)
                memory_mb = process.peak_memory_mb()
            found = await _differences(settings, plan)
        finally:
            await delete_topics(settings, topics)
    seconds, cpu_seconds = done.at_s - ready.at_s, done.cpu_s - ready.cpu_s
    say(
        f"  {plan.orders / seconds:,.0f} orders/s, {cpu_seconds / plan.orders * 1e6:.0f} us of CPU each; "
        + ("right to the fen" if not found else f"not right: {'; '.join(found)}")
    )
    return {
        "orders": plan.orders,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_memory_mb": memory_mb,
        "right": not found,
        "differences": found,
    }


async def _create(settings: Settings, names: list[str]) -> None:
    """Its topics, kept for ever: Faust would give them a retention by record time, and the orders lie in the past."""
    async with open_admin(settings) as admin:
        await admin.create_topics(
            [NewTopic(name, settings.partitions, 1, topic_configs={"retention.ms": "-1"}) for name in names]
        )


async def _wait_quiet(settings: Settings, process: MeasuredProcess) -> Sample:
    """The moment at which its changelog grew for the last time.

    The committed offsets of a group that Faust acknowledges for don't say that its tables are written.
    """
    topic = plain_faust.changelog_topic(settings)
    deadline = time.monotonic() + TIMEOUT_S
    grown, last = 0, process.sample()
    async with open_reader(settings) as reader:
        while True:
            length = sum((await ends(reader, topic)).values())
            sample = process.sample()
            if length > grown:
                grown, last = length, sample
            elif grown and sample.at_s - last.at_s > QUIET_S:
                return last
            if sample.at_s > deadline:
                raise UserError(f"plain Faust isn't done after {TIMEOUT_S} s")
            await asyncio.sleep(POLL_S)


async def _differences(settings: Settings, plan: LoadPlan) -> list[str]:
    """Where its hourly totals, added up by project, differ from what they must come to."""
    newest: dict[bytes, int] = {}
    topic = plain_faust.changelog_topic(settings)
    async with open_reader(settings) as reader:
        for partition in await reader.partitions(topic):
            async for records in reader.read(topic, partition):
                newest |= {record.key: json.loads(record.value) for record in records if record.key and record.value}
    sums: dict[str, int] = {}
    for key, fen in newest.items():
        project_id, _window = json.loads(key)
        sums[project_id] = sums.get(project_id, 0) + fen
    must = expected(plan)
    found = [
        f"{project_id}: {sums.get(project_id, 0)} fen instead of {must.fen_by_project.get(project_id, 0)}"
        for project_id in sorted(sums.keys() | must.fen_by_project.keys())
        if sums.get(project_id, 0) != must.fen_by_project.get(project_id, 0)
    ]
    if found:
        found.insert(0, f"{len(found)} projects, {sum(sums.values())} fen in all instead of {must.fen}")
    return found[:DIFFERENCES_MAX]


def _figures(made: list[dict[str, Any]]) -> dict[str, Any]:
    figures = {
        "cpu_us_per_order": figure([each["cpu_seconds"] / each["orders"] * 1e6 for each in made]),
        "orders_per_second": figure([each["orders"] / each["seconds"] for each in made]),
    }
    if all(each["peak_memory_mb"] is not None for each in made):
        figures["peak_memory_mb"] = figure([each["peak_memory_mb"] for each in made])
    return figures
