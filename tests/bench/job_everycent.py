"""The whole job on one worker: split and totals together over a backlog, all guarantees on, production's settings.

How it is measured. The orders lie in their topic before the worker starts. CPU is the whole process's, user and system.
- *From ready*: from the moment at which the first partition says that it is ready, to the moment at which the last
  order and the last partial sum are seen committed. No order is folded before; what the start still costs after that
  moment (the other partitions' restores), and the wait for the last commits, count against us.
- *Each further order*: what a large run took more than a small one, by the orders that it has more. The start, the
  end, and any doubt about where the one becomes the other cancel out. It is the figure to compare engines by, for it
  means the same for every engine.
The denser the orders lie in event time, the fewer partial sums and totals there are for each: `steady` (a normal day,
317 a second) costs more than `double11` (15 times as dense), and `log_lengths` says what was written.
A run counts if the ledger and the totals of every project, in every kind of window, are right to the fen.
"""

from typing import Any

from streams.domain.load import LoadPlan
from streams.views.audit import run_audit
from tests.bench.deployments import deployment, differences, load_backlog, log_lengths, wait_drained
from tests.bench.figures import figure, slopes
from tests.bench.options import Options, say
from tests.bench.processes import worker

PARTITIONS = 8
SMALL_SHARE = 5  # the small size is a fifth of the large one
WARM_UP_SHARE = 15
AUDIT_WAIT_S = 10

CPU_US_MAX, ORDERS_PER_SECOND_MIN, MEMORY_MB_MAX = 10, 80_000, 300  # what the core was asked to reach


async def run(options: Options) -> dict[str, Any]:
    """One warm-up (of the machine and the broker: each run has a new process), then small and large runs in turn."""
    large = options.plan(options.orders)
    small = options.plan(max(1, options.orders // SMALL_SHARE))
    await _run_once(options, options.plan(max(1, options.orders // WARM_UP_SHARE)), "warm-up")
    runs: dict[LoadPlan, list[dict[str, Any]]] = {small: [], large: []}
    for number in range(1, options.runs + 1):
        for plan in (small, large):
            runs[plan].append(await _run_once(options, plan, f"run {number} of {options.runs}"))
    counted = {plan: [each for each in made if each["right"]] for plan, made in runs.items()}
    return {
        "command": "everycent worker --roles split,totals",
        "arguments": {
            "partitions": PARTITIONS,
            "orders": large.orders,
            "orders_small": small.orders,
            "scenario": large.scenario,
        },
        "seed": options.seed,
        "method": __doc__,
        "right": all(each["right"] for made in runs.values() for each in made),
        "figures": _figures(counted[small], counted[large]),
        "runs": [each for made in runs.values() for each in made],
    }


async def _run_once(options: Options, plan: LoadPlan, name: str) -> dict[str, Any]:
    say(f"everycent, {name}: {plan.orders:,} orders")
    async with deployment(options.broker, PARTITIONS) as settings:
        await load_backlog(settings, plan)
        with worker(settings) as process:
            ready = await process.wait_for("partition ready")
            done = await wait_drained(settings, process)
            memory_mb = process.peak_memory_mb()
        lengths = await log_lengths(settings)
        found = await differences(settings, plan)
        if options.audit:
            report = await run_audit(settings, wait_s=AUDIT_WAIT_S)
            found += [] if report.conserved else [f"audit: {report.reason}"]
    seconds, cpu_seconds = done.at_s - ready.at_s, done.cpu_s - ready.cpu_s
    say(
        f"  {plan.orders / seconds:,.0f} orders/s, {cpu_seconds / plan.orders * 1e6:.2f} us of CPU each; "
        + ("right to the fen" if not found else f"WRONG: {'; '.join(found)}")
    )
    return {
        "orders": plan.orders,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "start_cpu_seconds": ready.cpu_s,
        "peak_memory_mb": memory_mb,
        "log_lengths": lengths,
        "right": not found,
        "audited": options.audit,
        "differences": found,
    }


def _figures(small: list[dict[str, Any]], large: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the runs that count; none, if there are none."""
    if not small or not large:
        return {}
    figures = {
        "cpu_us_per_order": figure([each["cpu_seconds"] / each["orders"] * 1e6 for each in large], at_most=CPU_US_MAX),
        "cpu_us_per_further_order": figure([each * 1e6 for each in slopes(small, large, "cpu_seconds", "orders")]),
        "orders_per_second": figure(
            [each["orders"] / each["seconds"] for each in large], at_least=ORDERS_PER_SECOND_MIN
        ),
        "further_orders_per_second": figure([1 / each for each in slopes(small, large, "seconds", "orders")]),
        "start_cpu_seconds": figure([each["start_cpu_seconds"] for each in [*small, *large]]),
    }
    if all(each["peak_memory_mb"] is not None for each in large):
        figures["peak_memory_mb"] = figure([each["peak_memory_mb"] for each in large], at_most=MEMORY_MB_MAX)
    return figures
