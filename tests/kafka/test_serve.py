"""`everycent serve` on the real broker: what workers commit is seen, and restarts and outages show nothing smaller."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from structlog.testing import capture_logs

from schemas.totals import WindowKind
from streams.domain.load import LoadPlan, expected_sums
from streams.engine.connection import client_options, open_admin
from streams.engine.topic_admin import create_topics
from streams.errors import UserError
from streams.serve.server import run_server, serving
from streams.settings import child_environment
from streams.simulation import run_simulation
from streams.views.totals import read_totals
from tests.kafka.workers import running_workers

WAIT_S = 90  # on a machine with nothing else to do it takes two or three
PLAN = LoadPlan(2_000, seed=11)


@pytest.fixture
def served(settings):
    return settings.model_copy(update={"serve_port": 0, "serve_update_interval_ms": 100})


@asynccontextmanager
async def a_client(settings):
    """A server of its own, and a way to ask it: an answer, or None while it has none."""
    async with serving(settings) as (address, working), aiohttp.ClientSession(f"{address}api/v1/") as session:

        async def ask(path, **params):
            for task in working:
                if task.done():
                    task.result()
            async with session.get(path, params=params) as response:
                return await response.json(loads=json.loads) if response.status == 200 else None

        yield ask


async def until(ask, path, condition, **params):
    """The first answer that fulfils the condition."""
    found = None
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = await ask(path, **params)
        if found is not None and condition(found):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{path} never came to that: {found}")


async def test_what_workers_commit_is_shown_to_the_fen_and_a_restart_shows_no_less(topics, served):
    expected = expected_sums(PLAN)
    with running_workers(topics) as workers:
        workers.start()
        async with a_client(served) as ask:
            await run_simulation(topics, PLAN)
            sent_ms = time.time_ns() // 1_000_000
            first = await until(ask, "overview", lambda found: found["all"]["fen"] == expected.fen)
            # Nothing comes any more, but time goes on: all that had been ordered by now is in the figures.
            first = await until(ask, "overview", lambda found: (found["status"]["as_of_ms"] or 0) > sent_ms)
            assert first["all"]["donations"] == expected.donations
            assert not first["is_present"]
            wanted = await read_totals(topics, window=WindowKind.ALL, top=10)
            top = await ask("top", window="all")
            assert [(each["project_id"], each["fen"]) for each in top["projects"]] == [
                (each.total.project_id, each.total.fen) for each in wanted.totals
            ]
        async with a_client(served) as ask:
            again = await until(ask, "overview", lambda _: True)
        for window in ("year", "month", "day", "all"):
            assert again[window] == first[window]
        assert again["status"]["position"] >= first["status"]["position"]
        assert again["status"]["unreadable"] == 0


async def test_orders_that_wait_for_a_worker_make_the_figures_old_and_say_so(topics, served):
    with running_workers(topics) as workers:
        worker = workers.start()
        async with a_client(served) as ask:
            await until(ask, "status", lambda found: found["as_of_ms"])
            worker.kill()
            await asyncio.sleep(0.5)
            await run_simulation(topics, LoadPlan(50, seed=12))
            sent_ms = time.time_ns() // 1_000_000
            found = await until(ask, "status", lambda found: found["now_ms"] > sent_ms + 4_000)
            assert found["as_of_ms"] < sent_ms
            assert found["behind_ms"] > 4_000
            workers.start()
            await until(ask, "status", lambda found: found["as_of_ms"] > sent_ms)
            assert (await ask("overview"))["all"]["fen"] == expected_sums(LoadPlan(50, seed=12)).fen


async def test_a_broker_that_dies_and_comes_back_makes_the_figures_old_and_costs_nothing(own_broker, deployment):
    served = deployment.model_copy(update={"serve_port": 0})
    with running_workers(deployment) as workers:
        workers.start()
        async with a_client(served) as ask:
            await run_simulation(deployment, LoadPlan(100, seed=13))
            fen = expected_sums(LoadPlan(100, seed=13)).fen
            before = await until(ask, "overview", lambda found: found["all"]["fen"] == fen)
            await until(ask, "status", lambda found: found["as_of_ms"] and found["broker_answers"])
            own_broker.kill()
            found = await until(ask, "status", lambda found: found["behind_ms"] > 4_000 and not found["broker_answers"])
            assert (await ask("overview"))["all"] == before["all"]
            own_broker.start()
            await run_simulation(deployment, LoadPlan(100, seed=14))
            both = fen + expected_sums(LoadPlan(100, seed=14)).fen
            after = await until(ask, "overview", lambda each: each["all"]["fen"] == both)
            assert after["status"]["position"] > found["position"]
            await until(ask, "status", lambda each: each["broker_answers"] and each["as_of_ms"] > found["now_ms"])


async def test_without_a_folder_for_the_index_it_says_so_in_one_line(topics, served, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(UserError, match=r"^no folder for the index .*TMPDIR"):
        async with a_client(served):
            pass


async def test_every_topic_that_it_looks_at_must_be_there_at_the_start(topics, served):
    """Or it would say for ever that the broker doesn't answer."""
    async with open_admin(served) as admin:
        await admin.delete_topics([topics.topics.orders])
        while topics.topics.orders in await admin.list_topics():  # noqa: ASYNC110 - the broker's own matter
            await asyncio.sleep(0.1)
    with pytest.raises(UserError, match=rf"{topics.topics.orders}.*doesn't exist"):
        await run_server(served, lambda _: None)


async def test_garbage_on_the_topics_is_left_out_with_one_line_that_says_where_it_lies(topics, served):
    async with AIOKafkaProducer(**client_options(topics)) as producer:
        for number in range(20):
            await producer.send_and_wait(topics.topics.project_totals, b"x" * number, b"nonsense", partition=3)
            await producer.send_and_wait(topics.topics.projects, None, b"P1|")
    with capture_logs() as logs:
        async with a_client(served) as ask:
            found = await until(ask, "overview", lambda found: found["status"]["unreadable"] >= 20)
    assert found["all"]["fen"] == 0
    told = [line for line in logs if line["log_level"] == "warning"]
    assert len(told) == 1
    assert (told[0]["topic"], told[0]["partition"], told[0]["offset"]) in {
        (topics.topics.project_totals, 3, 0),
        (topics.topics.projects, 0, 19),
    }


def start_command(settings, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "serve", *arguments],
        env=child_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_the_command_says_where_it_serves_and_ends_in_order_at_a_signal(settings):
    await create_topics(settings)
    process = start_command(settings, "--port", "0")
    try:
        line = await asyncio.to_thread(process.stdout.readline)
        assert line.startswith("everycent serves at http://127.0.0.1:")
        port = line.strip().rstrip("/").rpartition(":")[2]
        taken = start_command(settings, "--port", port)
        _, errors = await asyncio.to_thread(taken.communicate, timeout=WAIT_S)
        assert taken.returncode == 2
        assert errors.count("\n") == 1
        assert f"can't listen on 127.0.0.1:{port}" in errors
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/api/v1/stream") as response,
        ):
            await response.content.readuntil(b"event: ")
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, WAIT_S) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()
