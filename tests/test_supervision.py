"""What stands beside the loops of the audit, the server and the ledger."""

import asyncio
import json
import socket

import pytest

from streams.engine import watchdog
from streams.errors import ExitStatus
from streams.metrics_service import LEDGER_METRICS, LedgerStanding, ServiceCollector
from streams.settings import Settings
from streams.supervision import Service, supervised
from tests.test_metrics_server import HERE, get

TICKS = 20  # of the watchdog, until it ends what hangs
TICK_S = 0.05  # all of them take longer than the metrics' server takes to stop, which the event loop waits for


@pytest.fixture
def settings(monkeypatch):
    monkeypatch.setattr(watchdog, "TICK_S", TICK_S)
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        port = probe.getsockname()[1]
    return Settings().model_copy(update={"metrics_port": port, "stall_timeout_s": TICKS})


class Loop:
    """One that turns unless it hangs."""

    def __init__(self):
        self.turns, self.hangs, self.waits_for, self.ended = 0, False, [], []

    async def run(self):
        while True:
            await asyncio.sleep(0.005)
            self.turns += not self.hangs

    def supervised(self, settings):
        collector = ServiceCollector(LEDGER_METRICS, LedgerStanding)
        service = Service(collector, lambda: {"the ledger": self.turns}, lambda: self.waits_for)
        return supervised(settings, service, metrics_address=HERE, end=lambda *what: self.ended.append(what))


async def until(condition):
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - what is waited for is another thread's
            await asyncio.sleep(0.01)


async def test_a_loop_that_turns_is_healthy_and_one_that_hangs_is_named_and_then_ended(settings):
    loop = Loop()
    running = asyncio.create_task(loop.run())
    with loop.supervised(settings):
        port = settings.metrics_port
        await asyncio.sleep(3 * TICKS * TICK_S)
        assert (await asyncio.to_thread(get, port, "/healthz"))[0] == 200
        assert loop.ended == []
        loop.hangs = True
        await until(lambda: get(port, "/healthz")[0] == 503)
        (problem,) = json.loads((await asyncio.to_thread(get, port, "/healthz"))[2])["problems"]
        assert problem.startswith("the ledger has work and made no progress for ")
        await until(lambda: loop.ended)
        message, status = loop.ended[0]
        assert message.startswith("the ledger has work")
        assert status is ExitStatus.FAILED
        loop.hangs = False
        await until(lambda: get(port, "/healthz")[0] == 200)
    running.cancel()


async def test_it_is_ready_once_there_is_nothing_to_wait_for_and_shows_its_metrics(settings):
    loop = Loop()
    loop.waits_for = ["the logs are being opened"]
    with loop.supervised(settings):
        status, _, body = await asyncio.to_thread(get, settings.metrics_port, "/readyz")
        assert (status, json.loads(body)["problems"]) == (503, loop.waits_for)
        loop.waits_for = []
        assert (await asyncio.to_thread(get, settings.metrics_port, "/readyz"))[0] == 200
        text = (await asyncio.to_thread(get, settings.metrics_port, "/metrics"))[2]
        assert "everycent_ledger_refusals_total 0" in text
        assert "process_cpu_seconds_total" in text


async def test_after_the_block_a_loop_that_has_ended_is_no_loop_that_hangs(settings):
    loop = Loop()
    with loop.supervised(settings):
        pass
    await asyncio.sleep(3 * TICKS * TICK_S)
    assert loop.ended == []
