"""What metrics cost a worker: CPU of a commit's counting, of a fold's, of a scrape; and their share of one core.

    python -m tests.bench.metrics

No Kafka. A busy live worker with 8 partitions of both topics makes 10 commits and folds a second on each (fewer under
a backlog), counts what each holds once a second, and is scraped every 5 s. It holds totals in some thousands of
windows. A commit by itself costs some 600 us of CPU. A scrape costs the whole page, without the network.
"""

import argparse
import json
import time
from collections.abc import Callable

from prometheus_client import generate_latest

from schemas.delta import MinuteSum, ProjectDelta, encode_delta
from schemas.order import FixedPledge, OrderCompleted, OrderLine, encode_order
from schemas.units import DAY_MS, MINUTE_MS
from streams.agents.split_native import NativeSplitProcessor
from streams.agents.totals_native import NativeTotalsProcessor
from streams.domain.windows import Calendar
from streams.engine.limits import LEVELS_EVERY_S
from streams.engine.stage import Output, Processor, Stage
from streams.engine.task import PartitionTask, Services
from streams.metrics import FOLD_SECONDS, PartitionStanding, WorkerMetrics
from streams.settings import Settings
from tests.domain.orders import SOME_DAY_MS, OrderRecord
from tests.engine.parts import nothing, open_log

PARTITIONS = 8
COMMITS_PER_SECOND = 10.0 * PARTITIONS  # of each of the two stages; and as many folds
SCRAPE_EVERY_S = 5.0
TIMES = 5  # the least of so many counts: whatever else runs here only adds


def cpu_us(repeats: int, work: Callable[[], object]) -> float:
    """CPU of one call, the least of some rounds."""
    rounds = []
    for _ in range(TIMES):
        began = time.process_time()
        for _ in range(repeats):
            work()
        rounds.append((time.process_time() - began) / repeats)
    return min(rounds) * 1e6


def of_split(settings: Settings) -> tuple[Processor, Output]:
    """A processor that holds a day's ids, and the output of its last commit."""
    processor = NativeSplitProcessor(settings, 0, PARTITIONS)
    lines = (OrderLine(0, "i", 500, FixedPledge("P1", 2)),)
    for number in range(50_000):
        order = OrderCompleted(f"o{number}", f"b{number}", "m1", SOME_DAY_MS + number, lines)
        key = order.buyer_id.encode()
        processor.fold([OrderRecord(number, SOME_DAY_MS, key, encode_order(order))])
    return processor, processor.take_output(50_000)


def of_totals(settings: Settings) -> tuple[Processor, Output]:
    """One with the minutes of two days."""
    processor = NativeTotalsProcessor(settings, 0, Calendar(settings.timezone), PARTITIONS)
    for number, start_ms in enumerate(range(SOME_DAY_MS, SOME_DAY_MS + 2 * DAY_MS, MINUTE_MS)):
        value = encode_delta(ProjectDelta((MinuteSum(start_ms, 5, 2),)))
        processor.fold([OrderRecord(number, SOME_DAY_MS, b"P1", value)])
    return processor, processor.take_output(0)


def measure(repeats: int) -> dict[str, float]:
    settings, metrics = Settings(), WorkerMetrics()
    services = Services(nothing, open_log, nothing, nothing, metrics=metrics)  # type: ignore[arg-type]
    costs: dict[str, float] = {}
    standings = []
    for name, (processor, output) in {"split": of_split(settings), "totals": of_totals(settings)}.items():
        task = PartitionTask(settings, Stage(name, "orders", lambda _, found=processor: found), 0, services)

        def commit(task: PartitionTask = task, output: Output = output) -> None:
            task._measure(output, 100, 0.01)

        costs[f"commit_{name}_us"] = cpu_us(repeats, commit)
        costs[f"levels_{name}_us"] = cpu_us(repeats, processor.levels)
        standings += [PartitionStanding("orders", n, True, 1, 1, 1.0, processor.levels()) for n in range(PARTITIONS)]
    costs["fold_us"] = cpu_us(repeats, lambda: metrics.observe(FOLD_SECONDS, time.perf_counter() - 1.0, "split"))
    metrics.serve_also(lambda: standings)
    costs["scrape_us"] = cpu_us(max(repeats // 100, 1), lambda: generate_latest(metrics.registry))
    us_per_second = (
        COMMITS_PER_SECOND * (costs["commit_split_us"] + costs["commit_totals_us"] + 2 * costs["fold_us"])
        + PARTITIONS * (costs["levels_split_us"] + costs["levels_totals_us"]) / LEVELS_EVERY_S
        + costs["scrape_us"] / SCRAPE_EVERY_S
    )
    return {**{name: round(cost, 2) for name, cost in costs.items()}, "share_of_a_core": round(us_per_second / 1e6, 5)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.metrics", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20_000)
    print(json.dumps(measure(parser.parse_args().repeats)))


if __name__ == "__main__":
    main()
