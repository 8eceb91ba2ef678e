"""The current totals on a real broker: the newest of each key, filtered, ordered, and as the very bytes."""

import asyncio
import io
import json

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from rich.console import Console

from schemas.totals import ProjectTotal, WindowKind
from streams.engine.connection import client_options, open_admin
from streams.errors import UserError
from streams.views.names import read_names
from streams.views.totals import CurrentTotal, read_totals, totals_table
from tests.domain.audit_world import HOUR_MS, NOON_MS, Line, World
from tests.kafka.audit_topics import Plan, add_totals, send, send_outcome, writer
from tests.kafka.test_audit import everycent


@pytest.fixture
async def plan(topics):
    plan = Plan([World(partition) for partition in range(4)])
    plan.worlds[0].accept("o0", Line("P1", 2), Line("P10", 12_345))
    plan.worlds[0].accept("o1", Line("P1", 10), at_ms=NOON_MS + 24 * HOUR_MS)
    plan.worlds[1].accept("o2", Line("P2", 7))
    add_totals(plan)
    await send_outcome(topics, plan, commit=False)
    # The broker says that it commits, and shows it a moment later; on a busy machine that can be seen.
    while len((await read_totals(topics)).totals) < sum(map(len, plan.totals.values())):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return plan


def places(current):
    return [(each.total.project_id, each.total.window.value, each.total.fen) for each in current.totals]


async def test_all_totals_come_by_project_and_window(topics, plan):
    current = await read_totals(topics)
    assert len(current.totals) == 6 + 6 + 3 + 6
    assert places(current)[:10] == [
        *[("P1", "minute", 2), ("P1", "minute", 10), ("P1", "hour", 2), ("P1", "hour", 10), ("P1", "day", 2)],
        *[("P1", "day", 10), ("P1", "month", 12), ("P1", "year", 12), ("P1", "all", 12), ("P10", "minute", 12_345)],
    ]
    assert current.unreadable == 0


async def test_filters_name_one_project_exactly_and_one_kind_of_window(topics, plan):
    assert places(await read_totals(topics, project_id="P1", window=WindowKind.DAY)) == [
        ("P1", "day", 2),
        ("P1", "day", 10),
    ]
    assert (await read_totals(topics, project_id="P")).totals == ()
    assert places(await read_totals(topics, window=WindowKind.ALL)) == [
        ("P1", "all", 12),
        ("P10", "all", 12_345),
        ("P2", "all", 7),
    ]


async def test_top_gives_the_greatest_amounts_first(topics, plan):
    assert places(await read_totals(topics, window=WindowKind.ALL, top=2)) == [
        ("P10", "all", 12_345),
        ("P1", "all", 12),
    ]


async def test_newer_records_replace_and_tombstones_remove(topics, plan):
    partition, record = next(
        (partition, record)
        for partition, records in plan.totals.items()
        for record in records
        if record.key == b"P2|all|0"
    )
    newer = record._replace(value=msgspec.json.encode(json.loads(record.value) | {"fen": 9, "revision": 2}))
    minute = next(each for each in plan.totals[partition] if each.key.startswith(b"P2|minute|"))
    async with writer(topics) as producer, producer.transaction():
        changes = [newer, minute._replace(value=None), record._replace(key=b"P2|broken", value=b"{}")]
        await send(producer, topics.topics.project_totals, partition, changes, timed=True)
    current = await read_totals(topics, project_id="P2")
    assert places(current)[-1] == ("P2", "all", 9)
    assert "minute" not in [each.total.window for each in current.totals]
    assert current.unreadable == 1


async def test_the_table_shows_yuan(topics, plan):
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(totals_table((await read_totals(topics, project_id="P10", window=WindowKind.DAY)).totals, {}))
    shown = console.export_text()
    assert "123.45" in shown
    assert "2020-11-11 " in shown
    assert "name" not in shown
    assert "late" not in shown


def test_a_narrow_terminal_cuts_nothing_off():
    starts = {WindowKind.MINUTE: "2020-11-11 15:30", WindowKind.DAY: "2020-11-11", WindowKind.MONTH: "2020-11"}
    start = "2020-11-11T15:30:00+08:00"
    wires = [
        CurrentTotal(ProjectTotal("P00001", kind, 1, 2, start, 1_234_567, 98_765, 0, 0, final=True, revision=1), b"")
        for kind in (*starts, WindowKind.YEAR)
    ]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(totals_table(wires, {"P00001": "A long name of a project that goes over several lines"}))
    shown = console.export_text()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    for text in (*starts.values(), "2020 ", "12,345.67", "98,765", "A long name"):
        assert text in shown


async def test_the_table_shows_the_names_that_are_known_and_nothing_that_a_terminal_would_obey(topics, plan):
    records = [
        (b"P1", b'{"project_id":"P1","name":"\xe5\x85\x8d\xe8\xb4\xb9\xe5\x8d\x88\xe9\xa4\x90 [bold]"}'),
        (b"P10", b'{"project_id":"P10","name":"gone"}'),
        (b"P10", None),
        (b"P2", b'{"project_id":"P2","name":"\\u001b[31mred"}'),
        (b"P2x", b'{"project_id":"P2","name":"another\'s"}'),
        (b"P3", b"{"),
    ]
    async with AIOKafkaProducer(**client_options(topics)) as producer:
        for key, value in records:
            await producer.send_and_wait(topics.topics.projects, value, key)
    assert await read_names(topics) == {"P1": "免费午餐 [bold]", "P2": "\x1b[31mred"}
    done = await everycent(topics, "totals", "--window", "all")
    assert (done.returncode, done.stderr) == (0, "")
    assert "免费午餐 [bold]" in done.stdout
    assert "\\x1b[31mred" in done.stdout
    assert "\x1b" not in done.stdout
    assert "gone" not in done.stdout


async def test_totals_are_shown_without_names_where_there_is_no_topic_of_them(topics, plan):
    async with open_admin(topics) as admin:
        await admin.delete_topics([topics.topics.projects])
        while topics.topics.projects in await admin.list_topics():  # noqa: ASYNC110 - the broker's own matter
            await asyncio.sleep(0.1)
    done = await everycent(topics, "totals", "--top", "1", "--window", "all")
    assert done.returncode == 0
    assert "123.45" in done.stdout
    assert done.stderr.startswith("without the projects' names: topic ")


async def test_the_command_prints_the_very_bytes_one_object_a_line(topics, plan):
    done = await everycent(topics, "totals", "--json", "--project", "P2")
    assert (done.returncode, done.stderr) == (0, "")
    wire = [each.wire.decode() for each in (await read_totals(topics, project_id="P2")).totals]
    assert done.stdout.splitlines() == wire
    done = await everycent(topics, "totals", "--top", "1", "--window", "all")
    assert "123.45" in done.stdout


async def test_a_missing_topic_is_told(settings):
    with pytest.raises(UserError, match="doesn't exist"):
        await read_totals(settings)
