"""The commands for rejected orders where no broker is needed to say what is wrong."""

import os
import subprocess
import sys

import pytest

from schemas import limits
from schemas.order import FixedPledge, OrderCompleted, OrderLine, encode_order
from streams.domain.replay import ROUND_BYTES_MAX


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EVERYCENT_")}
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        env={**inherited, "EVERYCENT_BROKER": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def good(order_id: str) -> bytes:
    return encode_order(
        OrderCompleted(order_id, "b1", "m1", 1_605_024_000_000, (OrderLine(0, "i1", 100, FixedPledge("P1", 2)),))
    )


@pytest.mark.parametrize("command", [("rejected",), ("replay-rejected",), ("replay-rejected", "--dry-run")])
def test_without_a_broker_one_line_and_status_2(command):
    done = run(*command)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("everycent: no Kafka broker answers at 127.0.0.1:1")


def test_a_file_is_checked_to_its_end_before_anybody_is_asked(tmp_path):
    path = tmp_path / "mended.jsonl"
    hostile = b'{"order_id":"\x1b[31m"}'
    large = good("o3")[:-1] + b" " * limits.ORDER_MAX_BYTES + b"}"
    path.write_bytes(b"\r\n".join([good("o1"), b"", b"nonsense", good("o2"), hostile, large, good("o4")]))
    done = run("replay-rejected", "--file", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    *faults, last = done.stderr.splitlines()
    assert [fault.removeprefix(f"{path}:").split(":")[:2] for fault in faults] == [
        ["3", " not-json"],
        ["5", " not-json"],
        ["6", " too-large"],
    ]
    assert "\x1b" not in done.stderr
    assert last == ("everycent: 3 of 6 lines are no orders that pass; nothing was sent. Mend them and run it again.")


def test_a_file_without_fault_gets_as_far_as_the_broker(tmp_path):
    path = tmp_path / "mended.jsonl"
    path.write_bytes(good("o1"))
    assert "no Kafka broker answers" in run("replay-rejected", "--file", str(path)).stderr


def test_of_a_file_with_many_faults_the_first_are_named_and_all_are_counted(tmp_path):
    path = tmp_path / "mended.jsonl"
    path.write_bytes(b"{\n" * 500)
    lines = run("replay-rejected", "--file", str(path)).stderr.splitlines()
    assert len(lines) == 21
    assert "500 of 500 lines" in lines[-1]


@pytest.mark.parametrize("name", [".", "missing.jsonl"])
def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path, name):
    done = run("replay-rejected", "--file", str(tmp_path / name))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("everycent: can't read ")


def test_a_file_too_large_to_be_checked_as_a_whole_is_told_to_be_split(tmp_path):
    path = tmp_path / "mended.jsonl"
    with path.open("wb") as file:
        file.write(good("o1") + b"\n")
        file.truncate(ROUND_BYTES_MAX * 2)
    done = run("replay-rejected", "--file", str(path))
    assert done.returncode == 2
    assert "64 MiB" in done.stderr
    assert "Split it" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reason", "conflict"), "a conflict is never replayed"),
        (("--reason", "invalid", "--file", "x"), "name one of them"),
        (("--reason", "whim"), "Invalid value for '--reason'"),
    ],
)
def test_what_cannot_be_asked_for_is_told_at_once(arguments, message):
    done = run("replay-rejected", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_help_shows_examples_and_what_is_promised():
    shown = run("replay-rejected", "--help").stdout
    assert "replay-rejected --dry-run" in shown
    assert "Safe to repeat" in shown
    assert "mended.jsonl" in run("rejected", "--help").stdout
