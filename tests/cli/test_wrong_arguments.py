"""What a person gives a command wrongly, or the system denies it: one line, status 2, and no traceback.

Each command runs as a process, as what is tested is also how it ends.
"""

import functools
import subprocess

import pytest

from tests.cli import command
from tests.ledger.parts import SIGNER

NO_TEXT = b"\xff\xfe"
ID = "1000000500000000001:0"
ENDLESS = "/dev/zero"


run = functools.partial(command.run, timeout_s=60)


def told(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, (done.stdout, done.stderr)
    (line,) = done.stderr.splitlines()
    assert line.startswith("everycent: ")
    return line


@pytest.mark.parametrize(
    "command",
    [
        ("verify", __file__, "--key", str(SIGNER.verifier), "--buyer", NO_TEXT),
        ("receipt", NO_TEXT),
        ("link", ID, "--buyer", NO_TEXT),
        ("witness-keygen", NO_TEXT),
    ],
    ids=lambda command: command[0],
)
def test_an_argument_that_is_no_text_is_told(command):
    assert r"the argument '\udcff\udcfe' isn't UTF-8" in told(run("ledger", *command))


@pytest.mark.parametrize(
    ("setting", "command"),
    [
        ("EVERYCENT_WITNESS_DIR", ("witness-keygen", "w")),
        ("EVERYCENT_LEDGER_KEYS", ("keygen", "--partitions", "1")),
        ("EVERYCENT_LEDGER_KEYS", ("link-keygen",)),
        ("EVERYCENT_LEDGER_KEYS", ("run",)),
        ("EVERYCENT_LEDGER_KEYS", ("link", ID)),
    ],
    ids=str,
)
def test_a_folder_that_cannot_be_one_is_named(setting, command, tmp_path):
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / "folder")
    assert f"{folder}" in told(run("ledger", *command, **{setting: folder}))


@pytest.mark.parametrize(
    ("command", "setting"),
    [(("run",), "EVERYCENT_LEDGER_DIR"), (("seal", "2020-11-11"), "EVERYCENT_LEDGER_DIR")],
    ids=str,
)
def test_a_ledgers_folder_that_cannot_be_made_is_named(command, setting, tmp_path):
    keys = str(tmp_path / "keys")
    assert run("ledger", "keygen", "--partitions", "1", EVERYCENT_LEDGER_KEYS=keys).returncode == 0
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / "folder")
    line = told(run("ledger", *command, EVERYCENT_LEDGER_KEYS=keys, **{setting: folder}))
    assert folder in line
    assert "Not a directory" in line


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("verify", ENDLESS, "--key", str(SIGNER.verifier)), 1),
        (("verify", __file__, "--key", ENDLESS), 2),
        (("verify", __file__, "--key", str(SIGNER.verifier), "--policy", ENDLESS), 2),
        (("evidence", ENDLESS, "--key", str(SIGNER.verifier)), 2),
    ],
    ids=str,
)
def test_a_file_without_an_end_is_not_read_to_its_end(command, status):
    done = run("ledger", *command)
    assert done.returncode == status, done.stderr
    assert "more than" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("address", ["http://[", "http://a:99999", "http://:80", "", "ftp://a", "http://a/?b"])
def test_an_address_that_is_none_is_told(address):
    line = told(run("ledger", "witness", "--log", address, "--key", str(SIGNER.verifier), "--once"))
    assert "--log: " in line


def test_a_site_that_is_none_is_told():
    assert "--site: 'http://[' is no address" in told(run("ledger", "link", ID, "--site", "http://["))
