"""The metrics of a real worker, asked for as Prometheus does."""

import socket
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from streams.engine.reader import open_reader
from streams.settings import Settings
from tests.kafka.workers import audited, load, running_workers, wait_until

SCRIPT = str(Path(__file__).parent / "local_worker.py")
Samples = dict[tuple[str, str, int], float]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int) -> tuple[Samples, set[str]]:
    """The values of the partitions' metrics by name, topic and partition; and the names of all metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = {
        (sample.name.removeprefix("everycent_partition_"), sample.labels["topic"], int(sample.labels["partition"])): (
            sample.value
        )
        for family in families
        if family.name.startswith("everycent_partition_")
        for sample in family.samples
    }
    return samples, {family.name for family in families}


async def test_a_worker_tells_where_its_partitions_stand_until_it_ends(topics: Settings) -> None:
    await load(topics, 5_000, seed=21)
    port = free_port()
    with running_workers(topics.model_copy(update={"metrics_port": port})) as workers:
        worker = workers.start(command=[SCRIPT])
        worker.wait_for("partition ready", 2 * topics.partitions)
        await audited(topics, workers)
        names = topics.topics
        inputs = [(topic, n) for topic in (names.orders, names.project_deltas) for n in range(topics.partitions)]

        def caught_up() -> bool:
            samples = scrape(port)[0]
            return all(samples.get(("lag", *tp)) == 0 for tp in inputs)

        wait_until(caught_up, 30, lambda: f"{scrape(port)[0]}\n{worker.text()}")
        samples, metrics = scrape(port)
        assert {key[1:] for key in samples} == set(inputs)
        assert all(samples["ready", *tp] == 1 for tp in inputs)
        async with open_reader(topics) as log:
            for topic, partition in inputs[: topics.partitions]:  # nobody writes orders any more
                assert samples["position", topic, partition] == await log.end_offset(topic, partition)
        assert {"everycent_build_info", "process_cpu_seconds", "python_info", "python_gc_collections"} <= metrics
        assert worker.stop() == 0
        assert "Traceback" not in worker.text()
