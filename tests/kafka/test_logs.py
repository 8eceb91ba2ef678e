"""What a real worker logs: every line an object, and each event with the partition and the offsets that it is about."""

import json

from streams.settings import Settings
from tests.kafka.workers import REPOSITORY, WorkerProcess, audited, load, running_workers


def lines(worker: WorkerProcess) -> list[dict[str, object]]:
    """Every one of them must be an object: what a library writes past the pipeline would fail here."""
    return [json.loads(line) for line in worker.text().splitlines()]


def events(worker: WorkerProcess, name: str) -> list[dict[str, object]]:
    return [line for line in lines(worker) if str(line["event"]).startswith(name)]


async def test_every_commit_restore_and_assignment_has_its_line_by_partition_and_offset(
    topics: Settings, tmp_path
) -> None:
    """With debug on, the lines of commits form a chain of offsets for each partition, with no gap."""
    debug = topics.model_copy(update={"log_format": "json", "log_level": "debug"})
    await load(topics, 1_000, seed=21, malformed_share=0.1)
    worker = WorkerProcess(debug, tmp_path / "worker.log", ["-m", "streams.cli", "worker"], REPOSITORY)
    try:
        worker.wait_for("partition ready", times=8)
        await audited(topics)
        assert worker.stop() == 0, worker.text()
    finally:
        if worker.process.poll() is None:
            worker.kill()
    assert [line["assigned"] for line in events(worker, "assignment") if line["partitions"]][-1] == {
        topics.topics.orders: "0-3",
        topics.topics.project_deltas: "0-3",
    }
    ready = events(worker, "partition ready")
    assert len(ready) == 8
    assert all(isinstance(line["restore_s"], float) for line in ready)
    position = {(line["topic"], line["partition"]): line["position"] for line in ready}
    commits = events(worker, "committed")
    for line in commits:
        place = line["topic"], line["partition"]
        assert line["first_offset"] == position[place]
        position[place] = line["position"]
    assert sum(line["records"] for line in commits if line["topic"] == topics.topics.orders) >= 1_000

    refused = events(worker, "orders refused")
    assert {line["topic"] for line in refused} == {topics.topics.orders}
    total = await rejected_count(topics)
    assert sum(line["orders"] for line in refused) == total > 0


async def rejected_count(settings: Settings) -> int:
    report = await audited(settings)
    return report.counts.rejected.total()


async def test_a_worker_at_info_tells_of_no_single_commit(topics: Settings) -> None:
    await load(topics, 500, seed=22)
    with running_workers(topics.model_copy(update={"log_format": "json"})) as workers:
        worker = workers.start()
        worker.wait_for("partition ready", times=8)
        await audited(topics, workers)
        assert worker.stop() == 0, worker.text()
        assert events(worker, "worker starts")[0]["version"]
        assert events(worker, "worker stopped")
        assert not events(worker, "committed")
