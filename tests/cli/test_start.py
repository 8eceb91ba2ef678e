import json
import subprocess
import sys

import pytest

from streams.cli import COMMANDS
from streams.native import extension

LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def loaded_by(code):
    """The names of all modules that a Python has loaded after `code`."""
    done = subprocess.run([sys.executable, "-c", f"{code}; {LOADED}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_command_line_loads_no_command_before_one_is_asked_for():
    assert not loaded_by("import streams.cli") & set(COMMANDS.values())


@pytest.mark.skipif(extension is None, reason="the Rust extension isn't built here")
def test_a_worker_loads_neither_other_commands_nor_numpy():
    loaded = loaded_by(
        "from typer.main import get_command; from streams.cli import app; get_command(app).commands['worker'];"
        "import streams.worker; from streams.settings import Settings;"
        "streams.worker.build(Settings(), streams.worker.ALL_ROLES, 1, 1)"
    )
    assert loaded & set(COMMANDS.values()) == {COMMANDS["worker"]}
    assert "numpy" not in loaded


def test_help_lists_every_command_with_what_it_does():
    done = subprocess.run([sys.executable, "-m", "streams.cli", "--help"], capture_output=True, text=True, check=True)
    told = done.stdout.split("Commands:")[1].splitlines()
    begun = [line for line in told if line.startswith("  ") and line[2] != " "]
    assert [line.split()[0] for line in begun] == list(COMMANDS)
    assert all(len(line.split()) > 3 for line in begun)
    assert max(map(len, told)) <= 80


@pytest.mark.parametrize("group", [(), ("ledger",), ("topics",), ("projects",)])
def test_no_line_of_help_is_cut_off(group):
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", *group, "--help"], capture_output=True, text=True, check=True
    )
    assert "..." not in done.stdout.split("Commands:")[1]
