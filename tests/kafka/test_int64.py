"""A project's year of 5 * 10^16 fen on the real broker: exact in every record, restored, audited, printed."""

import asyncio
import json
import subprocess
import sys
import time

from schemas.delta import MinuteSum, ProjectDelta, encode_delta
from schemas.limits import INT64_MAX, LINES_MAX, PAID_FEN_MAX
from schemas.order import FixedPledge, OrderCompleted, OrderLine, encode_order
from schemas.totals import WindowKind
from streams.engine.reader import open_reader
from streams.engine.sender import open_sender
from streams.settings import Settings
from tests.kafka.workers import audited, environment, running_workers

SOME_DAY_MS = 1_605_024_000_000
ORDERS = 250


def largest_order(number: int) -> OrderCompleted:
    """200 lines of 10^12 fen less a few: 2 * 10^14 fen."""
    lines = (
        OrderLine(at, "i1", PAID_FEN_MAX, FixedPledge("P0001", PAID_FEN_MAX - (number + at) % 7))
        for at in range(LINES_MAX)
    )
    return OrderCompleted(f"o{number}", f"b{number}", "m1", SOME_DAY_MS + number, tuple(lines))


def fen_of(order: OrderCompleted) -> int:
    return sum(line.pledge.fen for line in order.lines if isinstance(line.pledge, FixedPledge))


async def send(settings: Settings, topic: str, records: list[tuple[bytes, bytes]]) -> None:
    async with open_sender(settings, topic) as sender:
        await sender.send([key for key, _ in records], [value for _, value in records])
        await sender.flush()


def printed(settings: Settings, *arguments: str) -> list[dict[str, object]]:
    """What a command prints for programs; every number in it must be an integer as it stands."""
    result = subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments, "--json"],
        env=environment(settings), capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return [json.loads(line, parse_float=refuse) for line in result.stdout.splitlines()]


def refuse(text: str) -> float:
    raise AssertionError(f"{text} is no integer")


async def test_sums_far_beyond_a_double_are_exact_in_totals_audit_restore_and_print(topics: Settings) -> None:
    orders = [largest_order(number) for number in range(ORDERS + 1)]
    *first, last = [(order.buyer_id.encode(), encode_order(order)) for order in orders]
    expected = sum(map(fen_of, orders))
    assert expected > 5 * 2**53
    assert int(float(expected)) != expected, "a double would hold it: the test shows nothing"
    topics = topics.model_copy(update={"commit_interval_ms": 100})
    with running_workers(topics) as workers:
        worker = workers.start()
        await send(topics, topics.topics.orders, first)
        before = await audited(topics, workers)
        assert worker.stop() == 0
        await send(topics, topics.topics.orders, [last])  # is added to what a restart has read back
        workers.start()
        report = await audited(topics, workers)
    assert (before.counts.fen, report.counts.fen) == (expected - fen_of(orders[-1]), expected)
    totals = printed(topics, "totals")
    assert {(total["window"], total["fen"]) for total in totals} == {(kind.value, expected) for kind in WindowKind}
    [verdict] = printed(topics, "audit")
    assert verdict["conserved"] is True
    assert verdict["counts"]["fen"] == expected  # type: ignore[index]


async def test_a_total_beyond_64_bits_ends_the_worker_with_one_line_and_donations_go_on(topics: Settings) -> None:
    deltas = [(b"P0001", encode_delta(ProjectDelta((MinuteSum(SOME_DAY_MS, fen, 1),)))) for fen in (INT64_MAX, 1)]
    await send(topics, topics.topics.project_deltas, deltas)
    with running_workers(topics) as workers:
        for _ in range(2):  # whoever starts it again is told the same
            totals = workers.start("--roles", "totals")
            assert totals.process.wait(60) == 3, totals.text()
            assert "Traceback" not in totals.text()
            [line] = [line for line in totals.text().splitlines() if line.startswith("everycent: ")]
            for words in ("'P0001'", "the minute from 2020-11-11T00:00:00+08:00", f"{2**63} fen", "impossible amounts"):
                assert words in line
        await send(topics, topics.topics.orders, [(b"b1", encode_order(largest_order(1)))])
        workers.start("--roles", "split").wait_for("partition ready", times=4)
        await split_has_donated(topics, LINES_MAX)
    assert {total["fen"] for total in printed(topics, "totals")} <= {INT64_MAX}, "a total that is not so"


async def split_has_donated(settings: Settings, donations: int) -> None:
    deadline = time.monotonic() + 60
    async with open_reader(settings) as log:
        found = 0
        while found < donations:
            assert time.monotonic() < deadline, f"{found} donations"
            await asyncio.sleep(0.1)
            topic = settings.topics.donations
            found = sum([len(batch) for at in await log.partitions(topic) async for batch in log.read(topic, at)])
