"""Replays on the real broker with running workers, the audit as judge: said twice, done once."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from schemas.limits import FUTURE_TOLERANCE_MS
from schemas.order import FixedPledge, OrderCompleted, OrderLine, encode_order
from schemas.rejection import Reason
from streams.domain.murmur2 import partitions_of
from streams.engine.connection import client_options
from streams.engine.reader import open_reader
from streams.engine.replay import OnReplayStep, ReplayStep
from streams.errors import UserError
from streams.replay import MendedFileError, now_ms, replay_mended, replay_rejected
from streams.settings import Settings
from streams.views.audit import AuditReport
from tests.kafka.crashing_replay import soon_ms
from tests.kafka.workers import Workers, audited, environment, running_workers

AHEAD_MS = 2_500  # so soon are the orders acceptable that were too far in the future
HOUR_MS = 3_600_000
DAY_MS = 1_605_024_000_000
SCRIPT = str(Path(__file__).parent / "crashing_replay.py")
ORDERS = 12
Sendable = OrderCompleted | tuple[bytes | None, bytes | None]


def an_order(order_id: str, completed_at: int = DAY_MS, fen: int | None = 2) -> OrderCompleted:
    pledge = None if fen is None else FixedPledge("P0001", fen)
    return OrderCompleted(order_id, f"b{order_id}", "m1", completed_at, (OrderLine(0, "i1", 4_990, pledge),))


async def send(settings: Settings, *records: Sendable) -> None:
    async with AIOKafkaProducer(**client_options(settings)) as producer:
        for record in records:
            as_order = isinstance(record, OrderCompleted)
            key, value = (record.buyer_id.encode(), encode_order(record)) if as_order else record
            await producer.send_and_wait(settings.topics.orders, value, key)


async def refuse(
    settings: Settings, workers: Workers, others: Callable[[int], Sequence[Sendable]] = lambda _: ()
) -> list[OrderCompleted]:
    """Send orders that are refused and pass soon after; when this returns their time has come.

    `others`, made for the same time, come after them.
    """
    workers.start().wait_for("partition ready", times=8)
    at = now_ms() + FUTURE_TOLERANCE_MS + AHEAD_MS
    early = [an_order(f"early{number}", at) for number in range(ORDERS)]
    await send(settings, *early, *others(at))
    report = await audited(settings, workers)
    assert report.counts.rejected[Reason.TOO_FAR_IN_FUTURE] >= ORDERS
    await asyncio.sleep(max(0, at - FUTURE_TOLERANCE_MS - now_ms()) / 1_000 + 0.1)
    return early


async def in_orders(settings: Settings) -> list[tuple[int, bytes, bytes, dict[str, bytes]]]:
    found = []
    async with open_reader(settings) as log:
        for partition in await log.partitions(settings.topics.orders):
            async for batch in log.read(settings.topics.orders, partition):
                found += [(record.partition, record.key, record.value, dict(record.headers)) for record in batch]
    return found


async def replayed_ids(settings: Settings) -> list[str]:
    """The ids of the orders that replays have sent, sorted; an id stands there as often as it was sent."""
    records = await in_orders(settings)
    return sorted(json.loads(value)["order_id"] for _, _, value, headers in records if "replayed-from" in headers)


def ids(orders: list[OrderCompleted]) -> list[str]:
    return sorted(order.order_id for order in orders)


async def run_replay(settings: Settings, step: str = "NONE", times: int = 1, *more: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, SCRIPT, step, str(times), *more, env=environment(settings), stdout=-1, stderr=-1
    )
    output, errors = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode, output.decode() + errors.decode()


def assert_each_donated_once(report: AuditReport, orders: int) -> None:
    assert (report.counts.accepted, report.counts.donations, report.counts.fen) == (orders, orders, 2 * orders)


async def test_exactly_those_that_now_pass_go_back_as_they_were(topics: Settings) -> None:
    with running_workers(topics) as workers:
        early = await refuse(
            topics,
            workers,
            lambda at: [
                an_order("good"),
                an_order("good", fen=3),  # a conflict
                an_order("later", at + HOUR_MS),
                an_order("nothing", at, fen=None),
                (b"b1", b"not json"),
                (None, encode_order(an_order("keyless"))),
            ],
        )
        came = await in_orders(topics)
        report = await replay_rejected(topics, clock_ms=soon_ms)
        assert report.to_json() == {
            "dry_run": False,
            "replayed": ORDERS,
            "known": 0,
            "repeats": 0,
            "conflicting": 0,
            "without_pledge": 1,
            "refused": {"conflict": 1, "invalid": 1, "not-json": 1, "too-far-in-future": 1},
            "unreadable": 0,
        }
        sent = [record for record in await in_orders(topics) if "replayed-from" in record[3]]
        wanted = [encode_order(order) for order in early]
        assert sorted(record[:3] for record in sent) == sorted(record[:3] for record in came if record[2] in wanted)
        assert len({headers["replayed-from"] for *_, headers in sent}) == ORDERS
        judged = await audited(topics, workers)
        assert_each_donated_once(judged, ORDERS + 1)
        assert judged.counts.rejected[Reason.TOO_FAR_IN_FUTURE] == ORDERS + 2, "what was refused stays on record"


async def test_a_replay_that_is_repeated_sends_nothing_before_and_after_the_workers_came_to_it(
    topics: Settings,
) -> None:
    with running_workers(topics) as workers:
        early = await refuse(topics, workers)
        workers.all[0].stop()
        assert (await replay_rejected(topics, clock_ms=soon_ms)).replayed == ORDERS
        again = await replay_rejected(topics, clock_ms=soon_ms)
        assert (again.replayed, again.known) == (0, ORDERS), "they lie in orders, unprocessed"
        workers.start()
        assert_each_donated_once(await audited(topics, workers), ORDERS)
        again = await replay_rejected(topics, clock_ms=soon_ms)
        assert (again.replayed, again.known) == (0, ORDERS), "they have donated"
        assert await replayed_ids(topics) == ids(early)


@pytest.mark.parametrize(
    ("step", "times"),
    [
        (ReplayStep.FENCED, 1),
        (ReplayStep.CHECKED, 1),
        *[(step, 2) for step in ReplayStep if step >= ReplayStep.BEGUN],
        (ReplayStep.COMMITTED, 1),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, ReplayStep) else str(value),
)
async def test_a_replay_killed_at_any_step_of_any_transaction_is_done_once_by_the_next(
    topics: Settings, step: ReplayStep, times: int
) -> None:
    with running_workers(topics) as workers:
        early = await refuse(topics, workers)
        status, output = await run_replay(topics, step.name, times)
        assert status == -signal.SIGKILL, output
        status, output = await run_replay(topics)
        assert status == 0, output
        assert sum(map(int, output.split())) == ORDERS
        assert await replayed_ids(topics) == ids(early)
        assert_each_donated_once(await audited(topics, workers), ORDERS)


def another_replay_at(step: ReplayStep, settings: Settings, done: list[str]) -> OnReplayStep:
    """Another replay runs from start to end while the first stands at `step`, as a frozen process would."""

    def meanwhile(reached: ReplayStep) -> None:
        if reached is step and not done:
            command = [sys.executable, SCRIPT, "NONE", "1"]
            ended = subprocess.run(
                command, env=environment(settings), capture_output=True, text=True, timeout=90, check=True
            )
            done.append(ended.stdout.strip())

    return meanwhile


@pytest.mark.parametrize(
    "step", [ReplayStep.BEGUN, ReplayStep.SENT, ReplayStep.ACKNOWLEDGED], ids=lambda step: step.name
)
async def test_a_second_replay_fences_the_first_in_its_transaction(topics: Settings, step: ReplayStep) -> None:
    second: list[str] = []
    with running_workers(topics) as workers:
        early = await refuse(topics, workers)
        with pytest.raises(UserError, match="another replay"):
            await replay_rejected(topics, clock_ms=soon_ms, on_step=another_replay_at(step, topics, second))
        assert second == [f"{ORDERS} 0"]
        assert await replayed_ids(topics) == ids(early)
        assert_each_donated_once(await audited(topics, workers), ORDERS)


async def test_what_a_second_replay_has_sent_between_the_search_and_the_first_transaction_is_seen(
    topics: Settings,
) -> None:
    second: list[str] = []
    with running_workers(topics) as workers:
        early = await refuse(topics, workers)
        workers.all[0].stop()
        meanwhile = another_replay_at(ReplayStep.CHECKED, topics, second)
        report = await replay_rejected(topics, clock_ms=soon_ms, on_step=meanwhile)
        assert (second, report.replayed, report.known) == ([f"{ORDERS} 0"], 0, ORDERS)
        assert await replayed_ids(topics) == ids(early)


async def test_three_replays_at_once_send_each_order_once(topics: Settings) -> None:
    with running_workers(topics) as workers:
        early = await refuse(topics, workers)
        done = await asyncio.gather(*(run_replay(topics) for _ in range(3)))
        assert [output for status, output in done if status and "another replay" not in output] == []
        assert any(status == 0 for status, _ in done)
        assert await replayed_ids(topics) == ids(early)
        assert_each_donated_once(await audited(topics, workers), ORDERS)


async def test_an_order_that_its_source_has_sent_again_meanwhile_is_not_replayed(topics: Settings) -> None:
    with running_workers(topics) as workers:
        early = await refuse(topics, workers)
        await send(topics, *early[:5])
        report = await replay_rejected(topics, clock_ms=soon_ms)
        assert (report.replayed, report.known) == (ORDERS - 5, 5)
        assert_each_donated_once(await audited(topics, workers), ORDERS)


async def test_an_order_refused_twice_is_sent_once_and_an_id_with_two_orders_not_at_all(topics: Settings) -> None:
    def others(at: int) -> list[Sendable]:
        twice = an_order("twice", at)
        return [twice, twice, an_order("two", at, fen=2), an_order("two", at, fen=9)]

    with running_workers(topics) as workers:
        early = await refuse(topics, workers, others)
        report = await replay_rejected(topics, clock_ms=soon_ms)
        assert (report.replayed, report.repeats, report.conflicting) == (ORDERS + 1, 2, 1)
        assert await replayed_ids(topics) == sorted([*ids(early), "twice"])
        assert_each_donated_once(await audited(topics, workers), ORDERS + 1)


async def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(topics: Settings) -> None:
    with running_workers(topics) as workers:
        await refuse(topics, workers)
        report = await replay_rejected(topics, dry_run=True, clock_ms=soon_ms)
        assert (report.replayed, await replayed_ids(topics)) == (ORDERS, [])


async def test_only_the_reason_that_is_named_and_never_a_conflict(topics: Settings) -> None:
    with running_workers(topics) as workers:
        await refuse(topics, workers)
        assert (await replay_rejected(topics, Reason.INVALID, clock_ms=soon_ms)).replayed == 0
        with pytest.raises(UserError, match="conflict is never replayed"):
            await replay_rejected(topics, Reason.CONFLICT)
        assert await replayed_ids(topics) == []


def mended_file(folder: Path, *lines: OrderCompleted | bytes) -> Path:
    path = folder / "mended.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else encode_order(line) for line in lines) + b"\n")
    return path


async def test_a_mended_file_goes_in_once_however_often_it_is_said(topics: Settings, tmp_path: Path) -> None:
    """Beyond the horizon, too: the workers have forgotten the orders when it is said for the last time."""
    deployment = topics.model_copy(update={"dedupe_horizon_hours": 1})
    mended = [an_order(f"m{number}") for number in range(ORDERS)]
    path = mended_file(tmp_path, *mended, b"", an_order("nothing", fen=None))
    with running_workers(deployment) as workers:
        workers.start()
        report = await replay_mended(deployment, path)
        assert (report.replayed, report.without_pledge) == (ORDERS, 1)
        assert (await replay_mended(deployment, path)).replayed == 0
        assert_each_donated_once(await audited(deployment, workers), ORDERS)
        partitions = partitions_of([order.buyer_id.encode() for order in mended], 4).tolist()
        sent = {json.loads(value)["order_id"]: partition for partition, _, value, _ in await in_orders(deployment)}
        assert sent == dict(zip([order.order_id for order in mended], partitions, strict=True))
        # Event time moves on by a day on every partition, so that every id is forgotten.
        later = [an_order(f"later{number}", DAY_MS + 24 * HOUR_MS) for number in range(ORDERS)]
        await send(deployment, *later)
        assert_each_donated_once(await audited(deployment, workers), 2 * ORDERS)
        report = await replay_mended(deployment, path)
        assert (report.replayed, report.known) == (0, ORDERS)
        origin, place = report.known_places[0]
        assert origin.startswith("mended.jsonl:")
        assert place.startswith(f"{deployment.topics.donations}-")


async def test_a_mended_order_with_another_time_or_buyer_than_the_one_that_donated_is_not_sent(
    topics: Settings, tmp_path: Path
) -> None:
    other_buyer = OrderCompleted("m1", "another", "m1", DAY_MS, an_order("m1").lines)
    with running_workers(topics) as workers:
        workers.start().wait_for("partition ready", times=8)
        await send(topics, an_order("m0"), an_order("m1"))
        await audited(topics, workers)
        report = await replay_mended(
            topics, mended_file(tmp_path, an_order("m0", DAY_MS * 1_001 // 1_000), other_buyer)
        )
        assert (report.replayed, report.known) == (0, 2)


@pytest.mark.parametrize("step", [ReplayStep.ACKNOWLEDGED, ReplayStep.COMMITTED], ids=lambda step: step.name.lower())
async def test_a_mended_file_whose_replay_was_killed_goes_in_once(
    topics: Settings, tmp_path: Path, step: ReplayStep
) -> None:
    mended = [an_order(f"m{number}") for number in range(ORDERS)]
    path = str(mended_file(tmp_path, *mended))
    status, output = await run_replay(topics, step.name, 2, path)
    assert status == -signal.SIGKILL, output
    status, output = await run_replay(topics, "NONE", 1, path)
    assert status == 0, output
    assert await replayed_ids(topics) == ids(mended)
    with running_workers(topics) as workers:
        workers.start()
        assert_each_donated_once(await audited(topics, workers), ORDERS)


async def test_a_mended_file_with_one_bad_line_sends_nothing_and_names_line_and_field(
    topics: Settings, tmp_path: Path
) -> None:
    bad = encode_order(an_order("m1")).replace(b'"paid_fen":4990', b'"paid_fen":"\x1b[31m4990"')
    path = mended_file(tmp_path, an_order("m0"), b"", bad.replace(b"\x1b", b"\\u001b"), an_order("m0"))
    with pytest.raises(MendedFileError) as raised:
        await replay_mended(topics, path)
    assert [number for number, _ in raised.value.faults] == [3, 4]
    done = await asyncio.to_thread(everycent, topics, "replay-rejected", "--file", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    third, fourth, last = done.stderr.splitlines()
    assert third.endswith("mended.jsonl:3: invalid: Expected `int`, got `str` - at `$.lines[0].paid_fen`")
    assert fourth.endswith("mended.jsonl:4: order 'm0' stands in line 1 already - at `$.order_id`")
    assert last.startswith("everycent: 2 of 3 lines are no orders that pass; nothing was sent.")
    assert await in_orders(topics) == []


def everycent(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams.cli", *arguments]
    return subprocess.run(command, env=environment(settings), capture_output=True, text=True, timeout=60, check=False)


async def test_the_commands_list_replay_and_count(topics: Settings, tmp_path: Path) -> None:
    hostile = b"\x1b]0;owned\x07\x1b[2J[red]\xe2\x80\xae\x00\xff\x9b31m\r\nnext"
    with running_workers(topics) as workers:
        workers.start().wait_for("partition ready", times=8)
        await send(topics, (b"\x1bkey", hostile), (b"b1", b"{}"), (b"b1", None))
        await audited(topics, workers)
        shown = await asyncio.to_thread(everycent, topics, "rejected")
        limited = await asyncio.to_thread(everycent, topics, "rejected", "--limit", "1")
        listed = await asyncio.to_thread(everycent, topics, "rejected", "--json", "--reason", "not-json")
        file = str(mended_file(tmp_path, an_order("m0")))
        replayed = [
            await asyncio.to_thread(everycent, topics, "replay-rejected", "--json", "--file", file) for _ in range(2)
        ]
        assert_each_donated_once(await audited(topics, workers), 1)
    assert [done.stderr for done in (shown, limited, listed, *replayed)] == [""] * 5
    assert all(char.isprintable() for char in shown.stdout.replace("\n", ""))
    assert r"\x1b]0;owned\x07\x1b[2J[red]\u202e\x00\xff\x9b31m\r\nnext" in shown.stdout
    assert len(shown.stdout.splitlines()) == 7
    assert shown.stdout.splitlines()[-1] == "3 rejected: 1 invalid, 2 not-json"
    assert len(limited.stdout.splitlines()) == 3
    assert limited.stdout.splitlines()[-1] == "3 rejected: 1 invalid, 2 not-json"
    *objects, counts = map(json.loads, listed.stdout.splitlines())
    assert counts == {"counts": {"not-json": 2}, "total": 2}
    assert {each["reason"] for each in objects} == {"not-json"}
    assert listed.stdout.isascii()
    assert [json.loads(done.stdout)["replayed"] for done in replayed] == [1, 0]


async def test_what_has_donated_is_known_when_the_groups_offsets_are_lost(topics: Settings) -> None:
    """Another group's name stands for one whose offsets the broker has forgotten."""
    with running_workers(topics) as workers:
        await refuse(topics, workers)
        await replay_rejected(topics, clock_ms=soon_ms)
        await audited(topics, workers)
        forgotten = topics.model_copy(update={"app_id": f"{topics.app_id}-forgotten"})
        report = await replay_rejected(forgotten, clock_ms=soon_ms)
        assert (report.replayed, report.known) == (0, ORDERS)
