"""Engines side by side: the same orders in the same topic, one engine after the other, each warm before it counts.

How it is measured. All orders lie in their topic before the first engine starts. Each engine is one process that eats
them from the first to the last. It is warm when it has committed `warm_orders`; from there on its time and its CPU
(user and system, the whole process) are read at each `segment_orders` further ones, as the group's committed offsets
have it. Each stretch between two readings is a counted run of steady state. A reading is at most one look (50 ms) late,
and it says how many orders were committed by then, so a stretch is divided by its own orders.

*First* is what all of the warm-up cost, the start of the process included, by its orders. *To the end* is what came
after the warm-up until the last partial sum was committed, by its orders: an engine that put off work would show there.

Before any figure of an engine counts, its whole output is read: each donation once, numbered without a gap, and the
sums of every project, in the ledger and in each kind of window, right to the fen.
"""

import asyncio
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from streams.engine.connection import open_admin
from streams.errors import UserError
from streams.settings import Settings
from tests.bench import engines
from tests.bench.deployments import (
    DRAIN_POLL_S,
    committed,
    delete_topics,
    deployment,
    differences,
    empty_outputs,
    load_backlog,
    wait_drained,
)
from tests.bench.engines import Engine
from tests.bench.figures import figure, ratio
from tests.bench.options import Options, PeerOptions, say
from tests.bench.processes import MeasuredProcess, Sample

PARTITIONS = 8
STALL_S = 300  # nothing committed for so long, and the engine is given up
PROGRESS_S = 20  # a line for people so often


@dataclass(frozen=True, slots=True)
class Mark:
    """So many orders were committed when the process was looked at."""

    orders: int
    sample: Sample


async def run(options: Options) -> dict[str, Any]:
    """Each engine over the same orders."""
    peers = options.peers
    for engine in peers.engines:
        engines.check(engine)
    plan = options.plan(peers.backlog)
    results: dict[str, Any] = {}
    async with deployment(options.broker, PARTITIONS) as settings:
        if settings.broker_security_protocol != "PLAINTEXT" and peers.engines != (Engine.EVERYCENT,):
            raise UserError("the other engines speak to a broker without TLS and passwords only; or --engine everycent")
        say(f"peers: {plan.orders:,} orders go into their topic")
        await load_backlog(settings, plan)
        for engine in peers.engines:
            try:
                results[engine] = await _run_engine(options, engine, settings)
            except UserError as error:  # the others' figures are worth something all the same
                say(f"{engine} gave up: {error}")
                results[engine] = {"right": False, "differences": [str(error)], "figures": {}}
    counted = {engine: made["figures"] for engine, made in results.items() if made["right"]}
    return {
        "arguments": {
            "partitions": PARTITIONS,
            "orders": plan.orders,
            "warm_orders": peers.warm_orders,
            "segment_orders": peers.segment_orders,
            "scenario": plan.scenario,
        },
        "seed": options.seed,
        "method": __doc__,
        "right": all(made["right"] for made in results.values()),
        "figures": counted,
        "ratios": _ratios(counted),
        "engines": results,
    }


async def _run_engine(options: Options, engine: Engine, shared: Settings) -> dict[str, Any]:
    peers = options.peers
    settings = shared.model_copy(update={"app_id": f"bench-{uuid.uuid4().hex[:8]}"})
    plan = options.plan(peers.backlog)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(delete_topics, settings, engines.own_topics(engine, settings))
        await empty_outputs(settings)
        say(f"{engine}: {peers.warm_orders:,} orders to warm up, then {peers.segments} times {peers.segment_orders:,}")
        with engines.running(engine, settings, peers.variant) as process:
            started = process.sample()
            marks = await _watch(settings, process, peers)
            done = await wait_drained(settings, process)
            if process.has_children():
                raise UserError(f"{engine} has processes of its own, whose CPU nobody counted")
            memory_mb = process.peak_memory_mb()
        say(f"{engine}: its output is read and added up")
        found = await differences(
            settings, plan, totals_topic=engines.totals_topic(engine, settings), whole_ledger=True
        )
    result = {
        **engines.describe(engine, peers.variant),
        "right": not found,
        "differences": found,
        "warm_up_seconds": round(marks[0].sample.at_s - started.at_s, 1),
        "runs": _segments(marks),
        "figures": _figures(marks, Mark(plan.orders, done), memory_mb),
    }
    warm = result["figures"].get("cpu_us_per_order", {}).get("median", "no figure:")
    say(f"  {warm} us of CPU an order, warm; " + ("right to the fen" if not found else f"WRONG: {'; '.join(found)}"))
    return result


async def _watch(settings: Settings, process: MeasuredProcess, peers: PeerOptions) -> list[Mark]:
    """The moment at which it is warm, and the end of each counted run."""
    marks: list[Mark] = []
    seen, moved_at, said_at = 0, time.monotonic(), time.monotonic()
    async with open_admin(settings) as admin:
        while len(marks) <= peers.segments:
            offsets = await committed(admin, settings.app_id)
            orders = sum(offset for tp, offset in offsets.items() if tp.topic == settings.topics.orders)
            sample = process.sample()
            if orders > seen:
                seen, moved_at = orders, sample.at_s
            elif sample.at_s - moved_at > STALL_S:
                raise process.failed(f"nothing was committed for {STALL_S} s; {seen:,} orders are")
            while len(marks) <= peers.segments and orders >= peers.warm_orders + len(marks) * peers.segment_orders:
                marks.append(Mark(orders, sample))
            if sample.at_s - said_at > PROGRESS_S:
                said_at = sample.at_s
                say(f"  {seen:,} orders, {sample.cpu_s:.0f} s of CPU")
            await asyncio.sleep(DRAIN_POLL_S)
    return marks


def _segments(marks: list[Mark]) -> list[dict[str, float]]:
    """One for each counted run; where a single commit was longer than one, there are fewer."""
    return [
        {
            "orders": after.orders - before.orders,
            "seconds": after.sample.at_s - before.sample.at_s,
            "cpu_seconds": after.sample.cpu_s - before.sample.cpu_s,
        }
        for before, after in pairwise(marks)
        if after.orders > before.orders
    ]


def _figures(marks: list[Mark], end: Mark, memory_mb: float | None) -> dict[str, Any]:
    warm = marks[0]
    first = [warm.sample.cpu_s / warm.orders * 1e6]
    figures = {"first_cpu_us_per_order": figure(first)}
    if segments := _segments(marks):
        figures["cpu_us_per_order"] = figure([each["cpu_seconds"] / each["orders"] * 1e6 for each in segments])
        figures["orders_per_second"] = figure([each["orders"] / each["seconds"] for each in segments])
    if end.orders > warm.orders:
        spent = (end.sample.cpu_s - warm.sample.cpu_s) / (end.orders - warm.orders)
        figures["cpu_us_per_order_to_the_end"] = figure([spent * 1e6])
    if memory_mb is not None:
        figures["peak_memory_mb"] = figure([memory_mb])
    return figures


def _ratios(counted: dict[str, Any]) -> dict[str, float]:
    """Ours by theirs: what part of each peer's CPU an order we take, warm."""
    ours = counted.get(Engine.EVERYCENT, {}).get("cpu_us_per_order")
    if ours is None:
        return {}
    return {
        f"everycent / {engine}, CPU an order, warm": ratio(figures["cpu_us_per_order"], ours)
        for engine, figures in counted.items()
        if engine != Engine.EVERYCENT and "cpu_us_per_order" in figures
    }
