"""What a worker takes that has little to do: from its start to its first total, and while nothing comes.

*Start*: from the moment at which the process is made to the first committed record of `project-totals`, with some
orders waiting, nothing to restore and the group new; the broker is warm.
*Idle*: 64 partitions of each input topic, a few orders long ago, and nothing since: CPU of the whole process as a share
of a core, and how many records (markers of transactions among them) it wrote meanwhile, which must be none.
"""

import asyncio
import time
from typing import Any

from streams.domain.load import LoadPlan
from streams.engine.reader import LogReader, open_reader
from tests.bench.deployments import deployment, ends, load_backlog, log_lengths, wait_drained
from tests.bench.figures import figure
from tests.bench.options import Options, say
from tests.bench.processes import worker

PARTITIONS, IDLE_PARTITIONS = 8, 64
ORDERS = 1_000
IDLE_AFTER_MS = 5_000  # so that what is said once when a partition falls idle is said before we look
SETTLE_S = 15.0
FIRST_TOTAL_TIMEOUT_S = 60
POLL_S = 0.01
START_S_MAX, IDLE_SHARE_MAX = 2, 0.01


async def run(options: Options) -> dict[str, Any]:
    """A warm-up, then each so many times."""
    await _start(options, "warm-up")
    starts = [await _start(options, f"run {number} of {options.runs}") for number in range(1, options.runs + 1)]
    idles = [await _idle(options, f"run {number} of {options.runs}") for number in range(1, options.runs + 1)]
    return {
        "command": "everycent worker --roles split,totals",
        "arguments": {"partitions": PARTITIONS, "idle_partitions": IDLE_PARTITIONS, "seconds": options.seconds},
        "seed": options.seed,
        "method": __doc__,
        "right": all(each["written"] == 0 for each in idles),
        "figures": {
            "start_to_first_total_s": figure(starts, at_most=START_S_MAX),
            "idle_cpu_share": figure([each["cpu_share"] for each in idles], at_most=IDLE_SHARE_MAX),
        },
        "runs": {"starts": starts, "idles": idles},
    }


async def _start(options: Options, name: str) -> float:
    async with deployment(options.broker, PARTITIONS) as settings:
        await load_backlog(settings, LoadPlan(ORDERS, seed=options.seed))
        async with open_reader(settings) as reader:
            began = time.monotonic()
            with worker(settings):
                took_s = await _first_total(reader, settings.topics.project_totals) - began
    say(f"start, {name}: {took_s:.2f} s to the first total")
    return took_s


async def _first_total(reader: LogReader, topic: str) -> float:
    async with asyncio.timeout(FIRST_TOTAL_TIMEOUT_S):
        while not any((await ends(reader, topic)).values()):  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(POLL_S)
    return time.monotonic()


async def _idle(options: Options, name: str) -> dict[str, Any]:
    async with deployment(options.broker, IDLE_PARTITIONS, totals_partitions=IDLE_PARTITIONS) as made:
        settings = made.model_copy(update={"idle_after_ms": IDLE_AFTER_MS})
        await load_backlog(settings, LoadPlan(ORDERS, seed=options.seed))
        with worker(settings) as process:
            await wait_drained(settings, process)
            await asyncio.sleep(SETTLE_S)
            before, began = await log_lengths(settings), process.sample()
            await asyncio.sleep(options.seconds)
            ended, after = process.sample(), await log_lengths(settings)
    share = (ended.cpu_s - began.cpu_s) / (ended.at_s - began.at_s)
    written = sum(after.values()) - sum(before.values())
    say(f"idle, {name}: {share:.2%} of a core with {IDLE_PARTITIONS} partitions; {written} records written")
    return {"cpu_share": share, "written": written}
