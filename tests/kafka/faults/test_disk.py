"""The broker's disk fills up: it ends, the workers say that it is away, and go on when it has room and is back."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.domain.load import LoadPlan
from streams.engine.embedded_broker import EmbeddedBroker
from streams.engine.topic_admin import create_topics
from streams.settings import Settings
from streams.simulation import run_simulation
from tests.kafka.workers import audited_as_planned, drawn_seed, running_workers

DISK = "256m"
LEFT_BYTES = 2_000_000


@pytest.fixture
def small_disk_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker whose data lie on a small file system of its own."""
    disk = tmp_path / "broker" / "kafka"
    disk.mkdir(parents=True)
    if shutil.which("mount") is None:
        pytest.skip("there is no `mount` here, so no small disk to be had")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk can't be mounted here: {mounted.stderr.strip()}")
    try:
        with EmbeddedBroker(tmp_path / "broker") as broker:
            yield broker
    finally:
        subprocess.run(["umount", str(disk)], check=True)
        shutil.rmtree(tmp_path / "broker")


@pytest.fixture
async def deployment(small_disk_broker: EmbeddedBroker, settings: Settings) -> Settings:
    settings = settings.model_copy(update={"broker": small_disk_broker.address, "stall_timeout_s": 60})
    await create_topics(settings)
    return settings


async def test_a_disk_that_fills_up_is_told_and_with_room_again_all_goes_on(
    small_disk_broker: EmbeddedBroker, deployment: Settings
) -> None:
    plan = LoadPlan(60_000, seed=drawn_seed(), repeats_share=0.01, malformed_share=0.01)
    disk = small_disk_broker.data_dir / "kafka"
    with running_workers(deployment) as workers:
        for worker in (workers.start(), workers.start()):
            worker.wait_for("partition ready", times=1)
        room = os.statvfs(disk)
        filler = disk / "filler"
        filler.write_bytes(bytes(room.f_bavail * room.f_bsize - LEFT_BYTES))
        sending = asyncio.create_task(run_simulation(deployment, plan, orders_per_second=10_000))
        await asyncio.to_thread(small_disk_broker.wait)  # it ends by itself
        assert "No space left on device" in small_disk_broker.log_path.read_text()
        for worker in workers.all:
            await asyncio.to_thread(worker.wait_for, "the broker doesn't answer, so everything waits for it")
        assert [worker.process.poll() for worker in workers.all] == [None, None], workers.logs()

        filler.unlink()
        await asyncio.to_thread(small_disk_broker.start)
        await sending
        await audited_as_planned(deployment, plan, workers)
        for worker in workers.all:
            await asyncio.to_thread(worker.wait_for, "the broker answers again")
        workers.check_unharmed()
