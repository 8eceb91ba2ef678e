"""What the audit, the server and the ledger say of themselves on their metrics ports, on a real broker."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.engine.topic_admin import create_topics
from streams.ledger_service.follow import run_ledger
from streams.ledger_service.keys import log_origin, make_keys
from streams.ledger_service.store import RefusalError
from streams.settings import Settings
from tests.kafka.scrapes import probe, scrape
from tests.kafka.test_ledger import keep, put
from tests.kafka.test_prometheus import BESIDE, beside_workers, free_port
from tests.kafka.workers import Workers, audited, load, running_workers, wait_until

AWAY_S = 12  # longer than the time after which a loop that hangs is unhealthy, and the process ended
STALL_S = 10


@contextmanager
def ready_services(settings: Settings, folder: Path) -> Iterator[dict[str, tuple[int, Workers]]]:
    with beside_workers(settings, folder) as beside:

        def all_ready() -> bool:
            return all(probe(port, "readyz") == (200, []) for port, _ in beside.values())

        wait_until(all_ready, lambda: "\n".join(service.logs() for _, service in beside.values()))
        yield beside


async def test_a_broker_that_is_away_makes_no_service_unhealthy_and_they_go_on(deployment, own_broker, tmp_path):
    settings = deployment.model_copy(update={"stall_timeout_s": STALL_S})
    with running_workers(deployment) as workers:
        workers.start()
        await load(deployment, 2_000, 1)
        await audited(deployment, workers)
        with ready_services(settings, tmp_path) as beside:
            await asyncio.to_thread(own_broker.kill)
            until = time.monotonic() + AWAY_S
            while time.monotonic() < until:
                assert {job: probe(port, "healthz") for job, (port, _) in beside.items()} == dict.fromkeys(
                    BESIDE, (200, [])
                )
                await asyncio.sleep(0.5)
            assert scrape(beside["everycent-server"][0])["serve_broker_answers",] == 0
            assert scrape(beside["everycent-audit"][0])["audit_lag_seconds",] > AWAY_S / 2
            assert scrape(beside["everycent-ledger"][0])["ledger_lag_seconds", deployment.topics.donations, "0"] > (
                AWAY_S / 2
            )
            await asyncio.to_thread(own_broker.start)
            await load(deployment, 2_000, 2)
            report = await audited(deployment, workers)

            def published() -> float:
                found = scrape(beside["everycent-ledger"][0])
                return sum(value for name, value in found.items() if name[0] == "ledger_published_leaves")

            ledger = beside["everycent-ledger"][1]
            await asyncio.to_thread(wait_until, lambda: published() == report.counts.donations, ledger.logs)
            for _, service in beside.values():
                service.check_unharmed()


async def test_what_waits_for_the_workers_is_healthy_and_the_server_is_ready_while_its_figures_are_old(
    topics, tmp_path
):
    with running_workers(topics) as workers:
        worker = workers.start()
        await load(topics, 1_000, 3)
        await audited(topics, workers)
        with ready_services(topics, tmp_path) as beside:
            worker.kill()
            await load(topics, 1_000, 4)
            port = beside["everycent-server"][0]
            wait_until(lambda: scrape(port)["serve_delay_seconds",] > 3, lambda: str(scrape(port)))
            assert {probe(at, page)[0] for at, _ in beside.values() for page in ("healthz", "readyz")} == {200}


async def test_a_ledger_that_refuses_shows_it_for_a_while_and_then_ends(settings, tmp_path, monkeypatch):
    make_keys(tmp_path / "keys", [log_origin(settings.ledger_name, number) for number in range(4)])
    folders = {"ledger_dir": str(tmp_path / "ledger"), "ledger_keys": str(tmp_path / "keys")}
    deployment = settings.model_copy(update=folders)
    await create_topics(deployment)
    await put(deployment, range(20))
    await keep(deployment)
    other = deployment.model_copy(update={"topic_prefix": f"{settings.topic_prefix}x-", "metrics_port": free_port()})
    await create_topics(other)
    await put(other, range(15))
    monkeypatch.setattr("streams.ledger_service.follow.REFUSAL_SHOWN_S", 3.0)
    refusing = asyncio.create_task(run_ledger(other, asyncio.Event()))
    async with asyncio.timeout(60):
        while (await asyncio.to_thread(probe, other.metrics_port, "readyz"))[1] != [
            "the ledger refuses to sign: its log says why"
        ]:
            assert not refusing.done()
            await asyncio.sleep(0.05)
    found = await asyncio.to_thread(scrape, other.metrics_port)
    assert found["ledger_refusals_total",] == 1
    with pytest.raises(RefusalError, match="doesn't hold the donation with seq 19"):
        await refusing
