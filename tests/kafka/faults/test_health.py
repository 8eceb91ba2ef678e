"""Whether a worker is alive and ready, asked of its port while it really isn't."""

from pathlib import Path

from streams.settings import Settings
from tests.kafka.faults.proxy import Api, KafkaProxy, never
from tests.kafka.scrapes import free_port, probe, scrape
from tests.kafka.workers import Workers, audited, load, running_workers, wait_until

FOLDER = Path(__file__).parents[1]
LOCAL = str(FOLDER / "local_worker.py")
STALL_TIMEOUT_S = 40  # so a probe fails after 20 s, and a test has as much to mend it


def with_port(settings: Settings) -> Settings:
    return settings.model_copy(update={"metrics_port": free_port(), "stall_timeout_s": STALL_TIMEOUT_S})


def until(settings: Settings, page: str, status: int, workers: Workers) -> list[str]:
    """Wait until the page answers so; the problems that it names."""
    port = settings.metrics_port
    wait_until(lambda: probe(port, page)[0] == status, lambda: f"{probe(port, page)}\n{workers.logs()}")
    return probe(port, page)[1]


async def test_a_worker_whose_event_loop_stands_is_not_healthy_and_is_again_when_it_turns(
    topics: Settings, tmp_path: Path
) -> None:
    settings = with_port(topics)
    blocking = tmp_path / "blocking"
    blocking.touch()
    with running_workers(settings) as workers:
        worker = workers.start(str(blocking), command=[str(FOLDER / "slow_worker.py")])
        worker.wait_for("partition ready", 2 * settings.partitions)
        assert probe(settings.metrics_port, "healthz") == (200, [])
        await load(settings, 500, seed=5)
        problems = until(settings, "healthz", 503, workers)
        assert problems[0].startswith("the event loop has not turned for ")
        blocking.unlink()
        assert until(settings, "healthz", 200, workers) == []
        await audited(settings, workers)
        assert worker.stop() == 0


async def test_a_worker_with_a_partition_that_is_stuck_is_not_healthy_and_names_it(
    deployment: Settings, proxied: Settings, proxy: KafkaProxy
) -> None:
    settings = with_port(proxied)
    with running_workers(settings) as workers:
        worker = workers.start(command=[LOCAL])
        worker.wait_for("partition ready", 2 * settings.partitions)
        proxy.set(Api.END_TXN, never)
        await load(deployment, 3_000, seed=7)
        problems = until(settings, "healthz", 503, workers)
        assert problems
        for problem in problems:
            assert problem.startswith((f"{settings.topics.orders}-", f"{settings.topics.project_deltas}-"))
            assert "has work and made no progress for " in problem
        samples = scrape(settings.metrics_port)
        stuck = [
            key for key in samples if key[0] == "partition_lag_seconds" and samples[key] >= STALL_TIMEOUT_S / 2 - 2
        ]
        assert {key[1] for key in stuck} >= {settings.topics.orders}, "the lag in seconds says so too"
        assert probe(settings.metrics_port, "readyz") == (200, []), "it is restored, only stuck"
        proxy.clear()
        proxy.cut_all()
        assert until(settings, "healthz", 200, workers) == []
        await audited(deployment, workers)
        workers.check_unharmed()


async def test_a_worker_is_ready_once_all_that_it_was_assigned_is_restored(
    deployment: Settings, proxied: Settings, proxy: KafkaProxy
) -> None:
    settings = with_port(proxied)
    await load(deployment, 500, seed=9)
    with running_workers(settings) as workers:
        proxy.set(Api.INIT_PRODUCER_ID, never)
        worker = workers.start(command=[LOCAL])
        names = (settings.topics.orders, settings.topics.project_deltas)
        starting = {f"{topic}-{partition} is starting" for topic in names for partition in range(settings.partitions)}
        port = settings.metrics_port
        wait_until(
            lambda: set(probe(port, "readyz")[1]) == starting, lambda: f"{probe(port, 'readyz')} {workers.logs()}"
        )
        assert probe(port, "healthz") == (200, []), "it takes its time, and isn't stuck"
        proxy.clear()
        proxy.cut_all()
        assert until(settings, "readyz", 200, workers) == []
        await audited(deployment, workers)
        assert worker.stop() == 0
