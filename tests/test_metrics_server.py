"""The worker's port: metrics, health, readiness."""

import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from streams import metrics_server
from streams.metrics import REBALANCES, PartitionStanding, WorkerMetrics
from streams.metrics_server import Probes, serving
from tests.test_metrics import read

HERE = "127.0.0.1"


class FakeWorker:
    """What stands behind the port."""

    def __init__(self, *standings):
        self.standings = list(standings)
        self.ill, self.unready = [], []
        self.metrics = WorkerMetrics()
        self.metrics.serve_also(lambda: self.standings)

    def serving(self, port):
        return serving(port, self.metrics.registry, Probes(lambda: self.ill, lambda: self.unready), HERE)


def get(port, path):
    """Status, type and body."""
    try:
        with urllib.request.urlopen(f"http://{HERE}:{port}{path}", timeout=5) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def scraped(port):
    return read(get(port, "/metrics")[2])


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return probe.getsockname()[1]


def test_a_scrape_sees_the_partitions_of_that_moment(port):
    worker = FakeWorker(PartitionStanding("orders", 0, is_ready=False))
    with worker.serving(port):
        assert scraped(port)["everycent_partition_ready", "orders", "0"] == 0
        worker.standings = [PartitionStanding("orders", 3, is_ready=True)]
        worker.metrics.count(REBALANCES)
        seen = scraped(port)
    assert seen["everycent_partition_ready", "orders", "3"] == 1
    assert ("everycent_partition_ready", "orders", "0") not in seen
    assert seen["everycent_rebalances_total",] == 1
    assert {"process_cpu_seconds_total", "python_gc_collections_total"} <= {key[0] for key in seen}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_when_all_is_well_a_probe_says_so_in_json(port, path):
    with FakeWorker().serving(port):
        assert get(port, path) == (200, "application/json", '{"status":"ok"}\n')


def test_a_probe_that_fails_says_what_is_wrong(port):
    worker = FakeWorker()
    with worker.serving(port):
        worker.ill = ["the event loop has not turned for 9 s"]
        worker.unready = ["orders-1 is restoring", "orders-2 is starting"]
        status, _, body = get(port, "/healthz")
        assert (status, json.loads(body)) == (503, {"status": "failing", "problems": worker.ill})
        status, _, body = get(port, "/readyz")
        assert (status, json.loads(body)) == (503, {"status": "failing", "problems": worker.unready})
        worker.ill = []
        assert get(port, "/healthz")[0] == 200


def test_any_other_page_is_not_found_and_names_those_that_there_are(port):
    with FakeWorker().serving(port):
        status, _, body = get(port, "/")
    assert status == 404
    assert json.loads(body) == {"pages": ["/metrics", "/healthz", "/readyz"]}


def test_a_probe_is_answered_while_another_client_says_nothing(port):
    with FakeWorker().serving(port), socket.create_connection((HERE, port)):
        assert get(port, "/healthz")[0] == 200


def test_the_port_is_free_again_at_the_end(port):
    for _ in range(2):  # the second one finds port and registry as the first one did
        with capture_logs() as logs, FakeWorker().serving(port):
            assert ("everycent_rebalances_total",) in scraped(port)
        assert logs == []
    with pytest.raises(urllib.error.URLError):
        scraped(port)


def test_a_port_that_is_taken_is_one_warning_that_names_the_way_out(port):
    ran = False
    with FakeWorker(PartitionStanding("first", 0, is_ready=True)).serving(port), capture_logs() as logs:
        with FakeWorker().serving(port):
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
        with FakeWorker().serving(port):
            raise ValueError("the worker's own")

    with pytest.raises(ValueError, match="the worker's own"):
        run()
    with socket.socket() as probe:
        assert probe.connect_ex((HERE, port)) != 0


def test_port_0_serves_nothing():
    before = threading.active_count()
    with capture_logs() as logs, FakeWorker().serving(0):
        assert threading.active_count() == before
    assert logs == []


def test_clients_that_break_off_or_say_nothing_leave_no_traceback(port, monkeypatch, capfd):
    monkeypatch.setattr(metrics_server._Handler, "timeout", 0.2)
    with FakeWorker().serving(port), capture_logs() as logs:
        with socket.create_connection((HERE, port)) as resetting:
            resetting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            resetting.sendall(b"GET /met")
        with socket.create_connection((HERE, port), timeout=30) as silent:
            silent.sendall(b"GET /met")
            assert silent.recv(100) == b""
        while len(logs) < 2:
            time.sleep(0.01)
    assert {line["log_level"] for line in logs} == {"debug"}
    assert capfd.readouterr().err == ""


def test_those_who_hold_connections_keep_nobody_out(port):
    with FakeWorker().serving(port), ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection((HERE, port), timeout=30))
            for _ in range(metrics_server.REQUESTS_MAX + 5)
        ]
        for connection in held:
            connection.sendall(b"GET /met")
        assert get(port, "/healthz")[0] == 200
        assert held[0].recv(100) == b""  # long before it would have been for its silence
