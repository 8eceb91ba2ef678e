import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.engine import limits
from streams.settings import PREFIX, Settings
from tests.needs import need

UNITS = sorted((Path(__file__).parents[2] / "deploy/systemd").glob("*.service"))
EXPOSURE_MAX = 15  # of 100; a unit without any hardening has 96
COMMANDS = {
    "everycent-audit": "audit --follow",
    "everycent-ledger": "ledger run",
    "everycent-server": "serve",
    "everycent-witness": "ledger witness --policy /etc/everycent/witness-policy.txt --port 8081",
    "everycent-worker@": "worker",
}


@pytest.fixture(params=UNITS, ids=lambda path: path.stem)
def unit(request):
    return request.param


def read(unit):
    """Its [Service]; of settings that are set several times, the last one."""
    parser = RawConfigParser(strict=False, delimiters="=")
    parser.optionxform = str
    parser.read(unit)
    return parser["Service"]


@pytest.fixture
def service(unit):
    return read(unit)


@pytest.fixture
def installed(unit, tmp_path):
    """The unit as it would lie on a machine, with a program that is there."""
    text = unit.read_text("utf-8").replace("/opt/everycent/bin/everycent", "/usr/bin/env")
    assert text != unit.read_text("utf-8")
    path = tmp_path / unit.name
    path.write_text(text, "utf-8")
    return path


def verify(path):
    command = [need("systemd-analyze", why="checks units"), "verify", "--man=no", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def started(installed):
    """The name under which it is started: of a template an instance."""
    return installed.with_name(installed.name.replace("@.", "@1."))


def about(done, path):
    """What it says of our unit; it may have something to say of the machine's own."""
    return [line for line in done.stderr.splitlines() if path.stem.rstrip("@") in line or str(path.parent) in line]


def test_systemd_takes_the_unit_and_has_nothing_to_say_of_it(installed):
    done = verify(started(installed))
    assert about(done, installed) == [], done.stderr


def test_systemd_has_something_to_say_of_a_wrong_unit(installed):
    installed.write_text(installed.read_text("utf-8").replace("Restart=always", "Restart=sometimes\nNoSuch=1"), "utf-8")
    said = "\n".join(about(verify(started(installed)), installed))
    assert "Failed to parse service r" in said  # of Restart=
    assert "NoSuch" in said


def test_it_can_do_little_to_the_machine(installed):
    program = need("systemd-analyze", why="checks units")
    command = [program, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", installed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_has_more_time_to_end_than_it_takes_at_most_and_is_started_again(service):
    assert int(service["TimeoutStopSec"]) > limits.END_TIMEOUT_S + limits.LEAVE_TIMEOUT_S
    assert service["KillSignal"] == "SIGTERM"
    assert service["Restart"] == "always"


def test_every_setting_that_it_names_exists(unit):
    words = unit.read_text("utf-8").replace("=", " ").replace(")", " ").replace("(", " ").split()
    named = {word for word in words if word.startswith(PREFIX)}
    assert named
    assert named <= {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}


def test_there_is_a_unit_for_every_command_that_never_ends():
    programs = {unit.stem: read(unit)["ExecStart"].split(" ", 1) for unit in UNITS}
    assert {name: words[1] for name, words in programs.items()} == COMMANDS
    for words in programs.values():
        assert CliRunner().invoke(app, [*words[1].split()[:2], "--help"]).exit_code == 0


def test_each_has_a_metrics_port_of_its_own_unless_its_settings_say_otherwise():
    texts = {unit.stem: unit.read_text("utf-8") for unit in UNITS if unit.stem != "everycent-worker@"}
    ports = [text.partition("EVERYCENT_METRICS_PORT=")[2].split()[0] for text in texts.values()]
    assert len({*ports, str(Settings.model_fields["metrics_port"].default)}) == len(UNITS)


def test_the_ledger_may_write_where_its_logs_and_its_keys_are_and_nowhere_else():
    ledger = read(next(unit for unit in UNITS if unit.stem == "everycent-ledger"))
    folders = dict(setting.split("=", 1) for setting in ledger["Environment"].split())
    assert folders["EVERYCENT_LEDGER_DIR"] == ledger["ReadWritePaths"]
    assert folders["EVERYCENT_LEDGER_KEYS"] == f"/var/lib/{ledger['StateDirectory']}"
    assert ledger["StateDirectoryMode"] == "0700"
    assert ledger["ProtectSystem"] == "strict"
    others = [read(unit) for unit in UNITS if unit.stem not in {"everycent-ledger", "everycent-witness"}]
    assert not [each for each in others if {"ReadWritePaths", "StateDirectory"} & set(each)]


def test_a_witness_may_write_where_its_key_and_its_cosignatures_are_and_nowhere_else():
    witness = read(next(unit for unit in UNITS if unit.stem == "everycent-witness"))
    folders = dict(setting.split("=", 1) for setting in witness["Environment"].split())
    assert folders["EVERYCENT_WITNESS_PUBLIC"] == witness["ReadWritePaths"]
    assert folders["EVERYCENT_WITNESS_DIR"] == f"/var/lib/{witness['StateDirectory']}"
    assert witness["StateDirectoryMode"] == "0700"
    assert witness["ProtectSystem"] == "strict"
