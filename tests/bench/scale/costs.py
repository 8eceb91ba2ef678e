"""`python -m tests.bench.scale.costs`: measures what the plan of docs/scale.md is worked out from, into one JSON file.

- *Orders*: an order's price where commits are large, from one worker over a backlog; and that of a part of a commit (a
  partition that it writes to), from live loads whose commits hold a few orders: what they cost beyond their orders.
- *Restores*: of the totals of a partition, and of its memory of order ids.
Bytes are those of the embedded broker's logs, as packed; CPU is of whole processes. Every output is checked to the fen.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from schemas.topics import Topic
from streams.domain.load import LoadPlan
from streams.engine.reader import LogReader, open_reader
from streams.errors import ExitStatus, UserError
from streams.logs import configure_logs
from streams.settings import Settings, load_settings
from streams.simulation import run_simulation
from tests.bench import job_restore, machine
from tests.bench.deployments import deployment, differences, ends, wait_drained
from tests.bench.figures import rounded
from tests.bench.growth.load import Shape
from tests.bench.growth.run import Broker, embedded_broker, ready_partitions, run_shape
from tests.bench.options import Options, say
from tests.bench.processes import worker

COSTS_FILE = Path(__file__).parents[3] / "docs" / "measured" / "costs.json"
FORMAT = 1
BACKLOG_ORDERS = 300_000
LIVE_LOADS = ((8, 500), (8, 4_000), (32, 1_000))  # partitions, orders a second
LIVE_SECONDS = 10
RESTORE_ENTRIES = 1_000_000
READY_TIMEOUT_S = 300


class Cost(NamedTuple):
    """One measured price."""

    value: float
    unit: str
    what: str


class LiveLoad(NamedTuple):
    """What one live load made, and what it cost."""

    orders: int
    parts: int
    worker_cpu_s: float
    broker_cpu_s: float
    topic_bytes: dict[str, int]


def load_costs(path: Path = COSTS_FILE) -> dict[str, float]:
    """The measured prices by name."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return {name: cost["value"] for name, cost in document["costs"].items()}


def part_price(loads: Sequence[LiveLoad], of: Sequence[float], order_price: float) -> float:
    """The price of a commit's part that best explains `of`, once each order has its price; not below nothing."""
    parts = np.array([load.parts for load in loads], dtype=np.float64)
    left = np.array(of, dtype=np.float64) - order_price * np.array([load.orders for load in loads])
    return max(0.0, float(parts @ left / (parts @ parts)))


async def _restores(broker: Broker, seed: int) -> dict[str, Cost]:
    say(f"restores of {RESTORE_ENTRIES:,} totals and orders")
    start_mb = (await _start(broker, seed))["worker_start_mb"].value
    options = Options(broker.address, 0, 0, RESTORE_ENTRIES, RESTORE_ENTRIES, 1, seed, audit=False)
    restored = await job_restore.run(options)
    if not restored["right"]:
        raise UserError("the restores' output was wrong, so nothing counts")
    costs = {}
    for name, part, unit in (("total", "totals", "a total"), ("id", "donations", "an order id")):
        entries = restored["runs"][part]["written"] if name == "total" else RESTORE_ENTRIES
        cpu_s = restored["figures"][f"{part}_cpu_seconds"]["median"]
        memory_mb = restored["figures"][f"{part}_peak_memory_mb"]["median"] - start_mb
        costs[f"restore_us_per_{name}"] = Cost(cpu_s / entries * 1e6, "µs of CPU", f"to restore {unit}")
        costs[f"memory_bytes_per_{name}"] = Cost(
            memory_mb * 1e6 / entries, "bytes", f"of a worker's memory for {unit}, the peak of its restore included"
        )
    return costs


async def _orders(broker: Broker, seed: int) -> dict[str, Cost]:
    costs = await _backlog(broker, seed)
    partitions, rate = LIVE_LOADS[0]
    await _live_load(broker, partitions, rate, seed)  # warms the broker up
    return costs | _part_costs([await _live_load(broker, *load, seed) for load in LIVE_LOADS], costs)


async def _backlog(broker: Broker, seed: int) -> dict[str, Cost]:
    say(f"backlog: {BACKLOG_ORDERS:,} orders")
    run = await run_shape(broker, Shape(BACKLOG_ORDERS, seed=seed))
    if run["differences"]:
        raise UserError(f"wrong output, so nothing counts: {run['differences'][0]}")
    orders, donations, packed = run["shape"]["orders"], run["donations"], run["topic_bytes"]
    return {
        "worker_us_per_order": Cost(run["cpu_seconds"] / orders * 1e6, "µs of CPU", "worker, an order"),
        "broker_us_per_order": Cost(run["broker_cpu_seconds"] / orders * 1e6, "µs of CPU", "broker, an order"),
        "order_bytes": Cost(packed[Topic.ORDERS] / orders, "bytes", "an order in its topic, packed"),
        "written_bytes_per_order": Cost(
            sum(packed[topic] for topic in Topic if topic != Topic.ORDERS) / orders,
            "bytes",
            "what workers write for an order, packed",
        ),
        "donation_bytes": Cost(packed[Topic.DONATIONS] / donations, "bytes", "a donation in its topic, packed"),
    }


async def _live_load(broker: Broker, partitions: int, rate: int, seed: int) -> LiveLoad:
    plan = LoadPlan(rate * LIVE_SECONDS, seed=seed)
    say(f"live: {rate:,} orders a second over {partitions} partitions, {LIVE_SECONDS} s")
    async with deployment(broker.address, partitions) as settings:
        with worker(settings) as process:
            await process.wait_for("partition ready", times=ready_partitions(settings), timeout_s=READY_TIMEOUT_S)
            await asyncio.sleep(1)  # what a start leaves to do is done by then
            before, broker_before = process.sample(), broker.cpu_s()
            await run_simulation(settings, plan, orders_per_second=rate)
            done = await wait_drained(settings, process)
            broker_after = broker.cpu_s()
        async with open_reader(settings) as reader:
            written = (Topic.DONATIONS, Topic.PROJECT_DELTAS, Topic.PROJECT_TOTALS)
            parts = sum([await _markers(reader, settings, topic) for topic in written])
        if found := await differences(settings, plan):
            raise UserError(f"wrong output, so nothing counts: {found[0]}")
        load = LiveLoad(
            plan.orders,
            parts,
            done.cpu_s - before.cpu_s,
            (broker_after or 0) - (broker_before or 0),
            broker.topic_bytes(settings) or {},
        )
    say(f"  {load.parts} parts of commits, worker {load.worker_cpu_s:.2f} s, broker {load.broker_cpu_s:.2f} s of CPU")
    return load


async def _markers(reader: LogReader, settings: Settings, topic: Topic) -> int:
    """How many parts of commits the topic got: each leaves a marker in its partition."""
    name, records, end = settings.topics.name(topic), 0, 0
    for partition in await reader.partitions(name):
        async for batch in reader.read(name, partition):
            records += len(batch)
    end = sum((await ends(reader, name)).values())
    return end - records


def _part_costs(live: Sequence[LiveLoad], costs: dict[str, Cost]) -> dict[str, Cost]:
    written = [float(sum(load.topic_bytes[topic] for topic in Topic if topic != Topic.ORDERS)) for load in live]
    measured = {
        "worker_us": ([load.worker_cpu_s * 1e6 for load in live], "µs of CPU", "worker"),
        "broker_us": ([load.broker_cpu_s * 1e6 for load in live], "µs of CPU", "broker"),
        "written_bytes": (written, "bytes", "written, packed"),
    }
    return {
        f"{name}_per_part": Cost(
            part_price(live, of, costs[f"{name}_per_order"].value), unit, f"{who}, a partition that a commit writes to"
        )
        for name, (of, unit, who) in measured.items()
    }


async def _start(broker: Broker, _seed: int) -> dict[str, Cost]:
    """What a worker takes before it has anything to do."""
    async with deployment(broker.address, 8) as settings:
        begun = time.monotonic()
        with worker(settings) as process:
            ready = await process.wait_for("partition ready", times=16, timeout_s=READY_TIMEOUT_S)
            await asyncio.sleep(1)
            memory_mb = process.peak_memory_mb() or 0.0
    return {
        "worker_start_s": Cost(ready.at_s - begun, "s", "from a worker's start until it is ready, nothing to restore"),
        "worker_start_mb": Cost(memory_mb, "MB", "memory of a worker that has had nothing to do"),
    }


GROUPS = {"start": _start, "orders": _orders, "restores": _restores}


def costs(
    *,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the loads.")] = 1,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Only these prices: {', '.join(GROUPS)}; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the prices go; those not measured now stay as they are there.")] = (
        COSTS_FILE
    ),
) -> None:
    """Measure what an order, a commit, a restore and a byte cost, for the plan of docs/scale.md; some four minutes.

    Example: python -m tests.bench.scale.costs --only orders, and then python -m tests.bench.scale
    """
    if unknown := set(only or []) - GROUPS.keys():
        raise UserError(f"no prices are called {min(unknown)!r}; there are {', '.join(GROUPS)}")
    configure_logs(load_settings().model_copy(update={"log_level": "warning"}))
    document: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"costs": {}}
    with tempfile.TemporaryDirectory(prefix="everycent-costs-") as folder, embedded_broker(Path(folder)) as embedded:
        for group in only or GROUPS:
            facts = {
                "command": " ".join(["python -m tests.bench.scale.costs", *sys.argv[1:]]),
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": machine.facts(embedded_broker=True),
            }
            measured = asyncio.run(GROUPS[group](Broker.of(embedded), seed))
            document |= {"format": FORMAT, "groups": document.get("groups", {}) | {group: facts}}
            document["costs"] |= {
                name: {"value": rounded(cost.value), "unit": cost.unit, "what": cost.what}
                for name, cost in measured.items()
            }
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(costs)
    try:
        app()
    except UserError as error:
        say(f"costs: {error}")
        sys.exit(int(ExitStatus.UNUSABLE))


if __name__ == "__main__":
    main()
