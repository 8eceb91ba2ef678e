import socket
import threading
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from streams import __version__
from streams.metrics import AuditCollector, AuditStanding, PartitionStanding, WorkerCollector, serving_metrics

HERE = "127.0.0.1"


class FakeRuntime:
    def __init__(self, *standings):
        self.now = list(standings)

    def standings(self):
        return self.now


def read(text):
    """Every sample as {(name, label values...): value}, the labels in our order: the text has them sorted."""
    order = ("version", "topic", "partition")
    return {
        (sample.name, *(sample.labels[name] for name in order if name in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def collected(runtime):
    registry = CollectorRegistry()
    registry.register(WorkerCollector(runtime.standings))
    return read(generate_latest(registry).decode())


def scraped(port):
    with urllib.request.urlopen(f"http://{HERE}:{port}/metrics", timeout=5) as answer:
        return read(answer.read().decode())


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return probe.getsockname()[1]


def test_a_partition_shows_what_is_known_of_it_and_nothing_else():
    runtime = FakeRuntime(
        PartitionStanding("orders", 0, is_ready=True, position=120, lag=20),
        PartitionStanding("orders", 1, is_ready=True, position=7),
        PartitionStanding("deltas", 0, is_ready=False),
    )
    assert collected(runtime) == {
        ("everycent_build_info", __version__): 1,
        ("everycent_partition_ready", "orders", "0"): 1,
        ("everycent_partition_ready", "orders", "1"): 1,
        ("everycent_partition_ready", "deltas", "0"): 0,
        ("everycent_partition_position", "orders", "0"): 120,
        ("everycent_partition_position", "orders", "1"): 7,
        ("everycent_partition_lag", "orders", "0"): 20,
    }


def test_a_lag_of_nothing_is_shown():
    runtime = FakeRuntime(PartitionStanding("orders", 0, is_ready=True, position=0, lag=0))
    assert collected(runtime)["everycent_partition_lag", "orders", "0"] == 0
    assert collected(runtime)["everycent_partition_position", "orders", "0"] == 0


def test_a_scrape_sees_the_partitions_of_that_moment(port):
    runtime = FakeRuntime(PartitionStanding("orders", 0, is_ready=False))
    with serving_metrics(port, runtime.standings, HERE):
        assert scraped(port)["everycent_partition_ready", "orders", "0"] == 0
        runtime.now = [PartitionStanding("orders", 3, is_ready=True)]
        seen = scraped(port)
    assert seen["everycent_partition_ready", "orders", "3"] == 1
    assert ("everycent_partition_ready", "orders", "0") not in seen


def test_the_port_is_free_again_at_the_end(port):
    for _ in range(2):  # the second one finds port and registry as the first one did
        with capture_logs() as logs, serving_metrics(port, FakeRuntime().standings, HERE):
            assert ("everycent_build_info", __version__) in scraped(port)
        assert logs == []
    with pytest.raises(urllib.error.URLError):
        scraped(port)


def test_a_port_that_is_taken_is_one_warning_that_names_the_way_out(port):
    ran = False
    with (
        serving_metrics(port, FakeRuntime(PartitionStanding("first", 0, is_ready=True)).standings, HERE),
        capture_logs() as logs,
    ):
        with serving_metrics(port, FakeRuntime().standings, HERE):
            ran = True
        assert ("everycent_partition_ready", "first", "0") in scraped(port), "the first worker's go on"
    assert ran
    (warning,) = logs
    assert warning["log_level"] == "warning"
    assert warning["port"] == port
    assert "EVERYCENT_METRICS_PORT" in warning["event"]
    assert "0 for none" in warning["event"]


def test_a_failure_of_the_worker_comes_through_and_frees_the_port(port):
    def run():
        with serving_metrics(port, FakeRuntime().standings, HERE):
            raise ValueError("the worker's own")

    with pytest.raises(ValueError, match="the worker's own"):
        run()
    with socket.socket() as probe:
        assert probe.connect_ex((HERE, port)) != 0


def test_port_0_serves_nothing():
    before = threading.active_count()
    with capture_logs() as logs, serving_metrics(0, FakeRuntime().standings, HERE):
        assert threading.active_count() == before
    assert logs == []


def test_the_following_audit_shows_its_verdict_its_findings_of_each_kind_and_how_far_it_is():
    standing = AuditStanding({"donation-missing": 0, "total-wrong": 0}, {("orders", 3): 120}, 1.5)
    registry = CollectorRegistry()
    registry.register(AuditCollector(lambda: standing))

    def value(name, **labels):
        return registry.get_sample_value(name, labels)

    assert value("everycent_audit_conserved") == 1
    assert value("everycent_audit_findings_total", kind="total-wrong") == 0
    assert value("everycent_audit_checked_offset", topic="orders", partition="3") == 120
    assert value("everycent_audit_lag_seconds") == 1.5
    assert value("everycent_build_info", version=__version__) == 1
    standing = AuditStanding({"donation-missing": 0, "total-wrong": 2}, {}, 1.5)
    assert value("everycent_audit_conserved") == 0
    assert value("everycent_audit_findings_total", kind="total-wrong") == 2
