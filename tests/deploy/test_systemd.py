import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from streams.engine import limits
from streams.settings import PREFIX, Settings
from tests.needs import need

UNIT = Path(__file__).parents[2] / "deploy/systemd/everycent-worker@.service"
EXPOSURE_MAX = 15  # of 100; a unit without any hardening has 96


@pytest.fixture
def service():
    unit = RawConfigParser(strict=False, delimiters="=")
    unit.optionxform = str
    unit.read(UNIT)
    return unit["Service"]


@pytest.fixture
def installed(tmp_path):
    """The unit as it would lie on a machine, with a program that is there."""
    text = UNIT.read_text("utf-8").replace("/opt/everycent/bin/everycent", "/usr/bin/env")
    assert text != UNIT.read_text("utf-8")
    path = tmp_path / UNIT.name
    path.write_text(text, "utf-8")
    return path


def verify(path):
    command = [need("systemd-analyze", why="checks units"), "verify", "--man=no", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def about(done, path):
    """What it says of our unit; it may have something to say of the machine's own."""
    return [line for line in done.stderr.splitlines() if path.stem.rstrip("@") in line or str(path.parent) in line]


def test_systemd_takes_the_unit_and_has_nothing_to_say_of_it(installed):
    done = verify(installed.with_name("everycent-worker@1.service"))
    assert about(done, installed) == [], done.stderr


def test_systemd_has_something_to_say_of_a_wrong_unit(installed):
    installed.write_text(installed.read_text("utf-8").replace("Restart=always", "Restart=sometimes\nNoSuch=1"), "utf-8")
    said = "\n".join(about(verify(installed.with_name("everycent-worker@1.service")), installed))
    assert "Failed to parse service r" in said  # of Restart=
    assert "NoSuch" in said


def test_a_worker_can_do_little_to_the_machine(installed):
    program = need("systemd-analyze", why="checks units")
    command = [program, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", installed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_has_more_time_to_end_than_it_takes_at_most_and_is_started_again(service):
    assert int(service["TimeoutStopSec"]) > limits.END_TIMEOUT_S + limits.LEAVE_TIMEOUT_S
    assert service["KillSignal"] == "SIGTERM"
    assert service["Restart"] == "always"


def test_every_setting_that_it_names_exists():
    words = UNIT.read_text("utf-8").replace("=", " ").replace(")", " ").replace("(", " ").split()
    named = {word for word in words if word.startswith(PREFIX)}
    assert named
    assert named <= {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
