"""`everycent demo` as people run it: a process of its own, no terminal, ended in every way that there is."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from schemas.topics import Topic
from streams.demo import DemoPlan, run_demo
from streams.demo_processes import STOP_TIMEOUT_S
from streams.engine.topic_admin import existing_topics
from streams.errors import ExitStatus, UserError
from streams.settings import Settings
from tests.kafka.workers import PATIENCE_S, REPOSITORY

VERDICT = r"Every cent counted once: 3,000 orders, [\d,]+ donations, [\d,.]+ yuan; audit: conserved"
MARK = "TEST_RUN"  # in the environment of the demo and of all that it starts


class DemoProcess:
    """One demo; what it started is known by its environment."""

    def __init__(self, tmp_path, *arguments, broker=None):
        self.mark = uuid.uuid4().hex
        self.folder = tmp_path
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERYCENT_")}
        environment |= {"TMPDIR": str(tmp_path), MARK: self.mark, "PYTHONPATH": str(REPOSITORY)}
        if broker is not None:
            environment["EVERYCENT_BROKER"] = broker
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "demo", "--seed", "7", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines = []

    def read_until(self, pattern):
        """Read its output up to the line that has `pattern`."""
        for line in self.process.stdout:
            self.lines.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no {pattern!r} in:\n{self.text}")

    def finish(self):
        """Its exit status, once it has ended by itself."""
        rest, _ = self.process.communicate(timeout=PATIENCE_S)
        self.lines.append(rest)
        return self.process.returncode

    @property
    def text(self):
        return "".join(self.lines)

    def started(self, what=""):
        """The living processes of this demo, without itself, whose command line has `what`."""
        found = []
        for each in psutil.process_iter():
            with suppress(psutil.Error):
                ours = each.environ().get(MARK) == self.mark and each.pid != self.process.pid
                if ours and each.status() != psutil.STATUS_ZOMBIE and what in " ".join(each.cmdline()):
                    found.append(each)
        return found

    def wait_gone(self):
        deadline = time.monotonic() + PATIENCE_S
        while left := self.started():
            assert time.monotonic() < deadline, left
            time.sleep(0.1)


@pytest.fixture
def start(tmp_path):
    demos = []

    def start(*arguments, broker=None):
        demos.append(DemoProcess(tmp_path, *arguments, broker=broker))
        return demos[-1]

    yield start
    for demo in demos:
        demo.process.kill()
        demo.process.communicate()
        for left in demo.started():
            left.kill()


@pytest.fixture
def in_process(tmp_path, monkeypatch):
    """For demos in this process: their folders go where tests' folders go, and signals are given back."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


class Said:
    """Remembers what a demo says."""

    interval_s = 0.2

    def __init__(self):
        self.said = []
        self.shown = []

    def say(self, text):
        self.said.append(text)

    def show(self, snapshot):
        self.shown.append(snapshot)

    def close(self):
        pass


def topics_on(broker, prefix):
    return asyncio.run(existing_topics(Settings(broker=broker, topic_prefix=prefix)))


def test_once_ends_with_the_verdict_and_leaves_nothing_behind(start):
    demo = start("--orders", "3000", "--once")
    demo.read_until("Starting a real Apache Kafka")
    assert demo.finish() == 0, demo.text
    assert re.search(VERDICT, demo.text)
    assert re.search(r"done: 3,000 of 3,000 orders sent, 3,000 processed", demo.text)
    assert "2 of 2 workers" in demo.text
    assert demo.started() == []
    assert list(demo.folder.iterdir()) == []


def test_a_demo_that_is_killed_takes_broker_and_workers_with_it(start):
    demo = start("--orders", "3000")
    demo.read_until("live, 500 orders a second")
    assert len(demo.started("kafka.Kafka")) == 1
    assert len(demo.started("worker")) == 2
    assert len(demo.started("simulate")) == 1
    demo.process.kill()
    demo.wait_gone()


def test_a_demo_serves_the_page_and_takes_it_away_at_its_end(start, broker):
    with socket.socket() as usual:
        with suppress(OSError):  # somebody else's page has the usual port, on this machine or from here on
            usual.bind(("127.0.0.1", 8080))
            usual.listen()
        demo = start("--orders", "3000", broker=broker)
        told = demo.read_until("Watch it live in a browser")
    assert "(port 8080 is taken)" in told
    address = re.search(r"http://127.0.0.1:\d+/", told).group()
    demo.read_until("live, 500 orders a second")
    with urllib.request.urlopen(f"{address}api/v1/overview", timeout=60) as answer:
        assert json.load(answer)["all"]["donations"] > 3_000
    with urllib.request.urlopen(address, timeout=60) as answer:
        assert b"everycent" in answer.read()
    demo.process.send_signal(signal.SIGINT)
    assert demo.finish() == 0, demo.text
    assert demo.started() == []
    assert list(demo.folder.iterdir()) == []


def test_a_demo_whose_broker_dies_says_so_and_keeps_its_log(start):
    demo = start("--orders", "3000")
    demo.read_until("live, 500 orders a second")
    demo.started("kafka.Kafka")[0].kill()
    assert demo.finish() == ExitStatus.FAILED
    log = re.search(r"everycent: the broker died; its log: (\S+)", demo.text)[1]
    assert Path(log).stat().st_size > 0
    assert demo.started() == []


def test_a_killed_worker_is_started_again_and_every_cent_still_counts_once(start, broker):
    demo = start("--orders", "3000", "--once", broker=broker)
    demo.read_until("orders sent")
    demo.started("worker")[0].kill()
    assert demo.finish() == 0, demo.text
    assert re.search(r"Worker \d \(pid \d+\) was killed by SIGKILL", demo.text)
    assert re.search(r"Worker \d has been started again", demo.text)
    assert re.search(VERDICT, demo.text)
    assert demo.started() == []


def test_a_named_broker_is_used_and_left_as_it_was(start, broker):
    demo = start("--orders", "3000", broker=broker)
    prefix = re.search(r"topics of the demo's own: (\S+)…", demo.read_until("Using the broker"))[1]
    demo.read_until("live, 500 orders a second")
    assert demo.started("kafka.Kafka") == []
    assert len(topics_on(broker, prefix)) == len(Topic)
    demo.process.send_signal(signal.SIGINT)
    assert demo.finish() == 0, demo.text
    assert re.search(r"Ended in order after \d+ s: [\d,]+ orders processed", demo.text)
    assert topics_on(broker, prefix) == {}
    assert demo.started() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_interrupted_before_the_verdict_claims_none(start, broker, number):
    demo = start("--orders", "50000", broker=broker)
    demo.read_until("orders sent")
    demo.process.send_signal(number)
    assert demo.finish() == 128 + number, demo.text
    assert "Interrupted before the audit's verdict" in demo.text
    assert "conserved" not in demo.text
    assert demo.started() == []
    assert list(demo.folder.iterdir()) == []


def test_a_second_signal_ends_it_at_once(start, broker):
    demo = start("--orders", "3000", broker=broker)
    demo.read_until("live, 500 orders a second")
    for worker in demo.started("worker"):
        worker.suspend()
    demo.started("simulate")[0].suspend()
    demo.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    before = time.monotonic()
    demo.process.send_signal(signal.SIGINT)
    demo.finish()
    assert time.monotonic() - before < STOP_TIMEOUT_S / 2, "it waited for its workers"
    demo.wait_gone()


def test_a_worker_that_cannot_run_at_all_ends_the_demo_with_its_last_words(in_process, broker):
    command = (sys.executable, "-c", "import sys; print('no such thing'); sys.exit(2)")
    output = Said()
    plan = DemoPlan(3_000, 2, seed=7, once=True, worker_command=command)
    with pytest.raises(UserError, match=r"(?s)worker \d .* exit status 2.*worker-\d\.log:\nno such thing") as raised:
        run_demo(Settings(broker=broker), plan, output, own_broker=False)
    assert raised.value.exit_status == ExitStatus.FAILED
    assert any("Kept for a closer look" in text for text in output.said)
    assert not any("conserved" in text for text in output.said)


def test_a_worker_that_dies_again_and_again_ends_the_demo(in_process, broker, monkeypatch):
    monkeypatch.setattr("streams.demo_processes.RESTART_PAUSE_S", 0.05)
    command = (sys.executable, "-c", "import sys; print('not today'); sys.exit(3)")
    output = Said()
    with pytest.raises(UserError, match=r"(?s)exit status 3, after 5 restarts.*not today") as raised:
        run_demo(Settings(broker=broker), DemoPlan(3_000, 1, 7, True, worker_command=command), output, own_broker=False)
    assert raised.value.exit_status == ExitStatus.FAILED
    assert sum("has been started again" in text for text in output.said) == 5


def test_no_broker_where_one_is_named_is_one_line(start):
    demo = start("--orders", "3000", "--once", broker="127.0.0.1:1")
    assert demo.finish() == ExitStatus.UNUSABLE
    assert "everycent: no Kafka broker answers at 127.0.0.1:1" in demo.text
    assert "Traceback" not in demo.text
    assert list(demo.folder.iterdir()) == []
