"""Traces of commits: what a real worker tells of them on the real broker, what it costs when off, what goes wrong."""

import http.server
import json
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from schemas.topics import Topic
from streams.engine.commit import Step
from streams.settings import Settings
from tests.kafka.workers import REPOSITORY, audited, environment, load, running_workers

ORDERS = 3_000


async def test_each_commit_is_one_span_with_its_offsets_and_its_steps(topics: Settings, tmp_path: Path) -> None:
    await load(topics, ORDERS, seed=4711)
    file = tmp_path / "spans.jsonl"
    script = str(Path(__file__).parent / "tracing_worker.py")
    patient = topics.model_copy(update={"tracing": True, "session_timeout_ms": 60_000})
    with running_workers(patient) as workers:
        worker = workers.start(str(file), command=[script])
        worker.wait_for("partition ready", times=8)
        await audited(topics, workers)
        assert worker.stop() == 0, worker.text()
    spans = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert {span["name"] for span in spans} == {"commit"}
    assert {span["resource"]["attributes"]["service.name"] for span in spans} == {topics.app_id}
    steps = [step.name.lower() for step in Step]
    # A commit that failed, as one may on a busy machine, is a span as well: it ends with what it failed of.
    failed = [span for span in spans if span["status"]["status_code"] == "ERROR"]
    assert all(span["events"][-1]["name"] == "exception" for span in failed)
    spans = [span for span in spans if span not in failed]
    assert all([event["name"] for event in span["events"]] == steps for span in spans)

    attributes = [span["attributes"] for span in spans]
    assert {each["topic"] for each in attributes} == {topics.topics.orders, topics.topics.project_deltas}
    of_orders = [each for each in attributes if each["topic"] == topics.topics.name(Topic.ORDERS)]
    assert sum(each["records"] for each in of_orders) == ORDERS
    assert all(each["bytes"] > 0 for each in of_orders if each["records"])
    for topic, partition in {(each["topic"], each["partition"]) for each in attributes}:
        chain = [each for each in attributes if (each["topic"], each["partition"]) == (topic, partition)]
        assert all(before["next_offset"] == after["first_offset"] for before, after in pairwise(chain))


async def test_spans_go_to_the_collector_that_the_standard_variable_names(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: list[str] = []
    bodies: list[bytes] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not on the test's screen."""

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
            monkeypatch.setenv("OTEL_SERVICE_NAME", "named-by-the-operator")
            await load(topics, 200, seed=4712)
            with running_workers(topics.model_copy(update={"tracing": True})) as workers:
                worker = workers.start()
                worker.wait_for("partition ready", times=8)
                await audited(topics, workers)
                assert worker.stop() == 0, worker.text()
        finally:
            server.shutdown()
            thread.join()
    assert paths
    assert set(paths) == {"/v1/traces"}
    assert all(b"named-by-the-operator" in body for body in bodies)


async def test_a_collector_that_is_away_costs_no_order_and_holds_up_no_end(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    await load(topics, 200, seed=4713)
    with running_workers(topics.model_copy(update={"tracing": True})) as workers:
        worker = workers.start()
        worker.wait_for("partition ready", times=8)
        await audited(topics, workers)
        assert worker.stop() == 0, worker.text()
        assert "was ended at once" not in worker.text()


def run(code: str, **settings: bool) -> subprocess.CompletedProcess[str]:
    given = Settings(broker="127.0.0.1:1", metrics_port=0, **settings)
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(given),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


BUILD = "from streams.worker import ALL_ROLES, build, load_settings; build(load_settings(), ALL_ROLES, 1, 1)"


def test_a_worker_without_tracing_imports_nothing_of_opentelemetry() -> None:
    done = run(f"import sys; {BUILD}; print([name for name in sys.modules if name.startswith('opentelemetry')])")
    assert done.stdout == "[]\n", done.stderr
    on = run(f"import sys; {BUILD}; print('opentelemetry.sdk.trace' in sys.modules)", tracing=True)
    assert on.stdout == "True\n", on.stderr


def test_tracing_without_its_package_is_one_line_that_says_how_to_get_it() -> None:
    hidden = "import sys; sys.modules['opentelemetry'] = None; "
    done = run(
        f"{hidden}from streams.errors import UserError\ntry:\n {BUILD}\nexcept UserError as e:\n print(e)", tracing=True
    )
    assert done.stdout.startswith("EVERYCENT_TRACING is on, but OpenTelemetry isn't installed"), done.stderr
    assert "pip install 'everycent[otel]'" in done.stdout
    assert done.stdout.count("\n") == 1
