"""A new version takes over from the old one, and back, under load: nothing lost, nothing doubled, no long wait.

The old one is the code of an earlier commit (OLD) where the history has it, else this commit's under another version;
its workers fold in Python, as nothing builds its extension, so the two write with different code in any case.
"""

import asyncio
import io
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from streams.domain.load import LoadPlan
from streams.engine.reader import open_reader
from streams.settings import Settings
from streams.simulation import run_simulation
from tests.kafka.workers import REPOSITORY, WorkerProcess, Workers, audited, drawn_seed, running_workers
from tests.needs import need

OLD = "451722b72c19"
ORDERS_MAX, RATE = 1_000_000, 300  # the load ends when all are changed
# An orderly change takes some seconds. Only this much is asserted, so that a busy machine can't make it fail: none of
# them has waited until Kafka missed a worker, as after a kill. That takes the session, longer here than by default.
SESSION_S = 60


@pytest.fixture(scope="module")
def old_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the old version's code."""
    need("git", why="has the old version")
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this is no git checkout, so there is no old version at hand")
    folder = tmp_path_factory.mktemp("old-version")
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{OLD}^{{commit}}"], cwd=REPOSITORY, capture_output=True, check=False
    )
    commit = OLD if known.returncode == 0 else "HEAD"
    packed = subprocess.run(
        ["git", "archive", commit, "schemas", "streams"], cwd=REPOSITORY, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    version = folder / "streams/__init__.py"
    version.write_text(version.read_text("utf-8").replace('__version__ = "', '__version__ = "0.0.'), "utf-8")
    return folder


def code_of(worker: WorkerProcess) -> Path:
    """Where a running worker has its code from: nothing but the truth would do here."""
    environment = Path(f"/proc/{worker.process.pid}/environ").read_bytes().split(b"\0")
    (path,) = [entry.partition(b"=")[2].decode() for entry in environment if entry.startswith(b"PYTHONPATH=")]
    shown = subprocess.run(
        [worker.process.args[0], "-c", "import streams; print(streams.__file__)"],
        env={"PYTHONPATH": path},
        cwd=worker.log.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(shown.stdout.strip()).parents[1]


async def roll(workers: Workers, running: list[WorkerProcess], code: Path, native: bool) -> list[WorkerProcess]:
    """Put workers of the version in `code` in the place of those that run, one by one, each ready before one leaves."""
    rolled = []
    for old in running:
        new = workers.start(code=code, native=native)
        rolled.append(new)
        await asyncio.to_thread(new.wait_for, "partition ready", 1)
        assert code_of(new) == code
        assert await asyncio.to_thread(old.stop) == 0, old.text()
    return rolled


@asynccontextmanager
async def measuring_waits(settings: Settings) -> AsyncIterator[list[float]]:
    """The waits (s) between new donations of the same partition, as a reader of committed records sees them."""
    waits: list[float] = []

    async def watch() -> None:
        async with open_reader(settings) as reader:
            seen: dict[int, tuple[int, float]] = {}
            while True:
                for partition in range(settings.partitions):
                    end = await reader.end_offset(settings.topics.donations, partition)
                    offset, since = seen.get(partition, (end, time.monotonic()))
                    if end > offset:
                        waits.append(time.monotonic() - since)
                    if end > offset or partition not in seen:
                        seen[partition] = end, time.monotonic()
                await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    try:
        yield waits
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def test_a_new_version_takes_over_from_the_old_one_and_back_under_load_and_loses_nothing(
    topics: Settings, old_version: Path
) -> None:
    plan = LoadPlan(ORDERS_MAX, seed=drawn_seed(), repeats_share=0.01, malformed_share=0.01)
    stop = asyncio.Event()
    with running_workers(topics.model_copy(update={"session_timeout_ms": SESSION_S * 1_000})) as workers:
        old = [workers.start(code=old_version, native=False) for _ in range(2)]
        for worker in old:
            await asyncio.to_thread(worker.wait_for, "partition ready", 4)
        assert {code_of(worker) for worker in old} == {old_version}
        loading = asyncio.create_task(run_simulation(topics, plan, orders_per_second=RATE, stop=stop))
        async with measuring_waits(topics) as waits:
            new = await roll(workers, old, REPOSITORY, native=True)
            back = await roll(workers, new, old_version, native=False)
            await roll(workers, back, REPOSITORY, native=True)
            stop.set()
            sent = await loading
        report = await audited(topics, workers)
        assert (report.counts.donations, report.counts.fen) == (sent.donations, sent.fen)
        assert sent.orders < ORDERS_MAX, "the load ended before the workers were changed: nothing is shown"
        assert len(waits) > 100
        assert max(waits) < SESSION_S, f"a partition stood still for {max(waits):.1f} s"
        print(f"longest wait {max(waits):.1f} s")
        assert "Traceback" not in workers.logs(), workers.logs()
