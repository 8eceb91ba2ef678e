"""The index's folder goes with its server, and that of a killed one with the next."""

import os
import subprocess
import sys
import tempfile
import time

import pytest

from streams.serve.folder import PREFIX, YOUNG_S, temporary_folder

HOLD = """
import sys, time
from streams.serve.folder import temporary_folder
with temporary_folder() as folder:
    (folder / "totals.sqlite").write_bytes(bytes(1_000))
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def parent(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def made_long_ago(folder):
    before_s = time.time() - YOUNG_S - 10
    os.utime(folder, (before_s, before_s))


def test_what_a_killed_server_left_is_removed_by_the_next_and_what_a_running_one_has_is_not(parent):
    environment = {**os.environ, "TMPDIR": str(parent)}
    servers = [
        subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for server in servers:
        server.stdout.readline()
    killed, running = servers
    killed.kill()
    killed.communicate(timeout=60)
    assert len(list(parent.iterdir())) == 2
    for folder in parent.iterdir():
        made_long_ago(folder)
    with temporary_folder() as folder:
        left = set(parent.iterdir())
        assert folder in left
        assert len(left) == 2
        made_long_ago(folder)
        with temporary_folder() as other:
            assert set(parent.iterdir()) == left | {other}
    running.communicate(b"", timeout=60)
    assert list(parent.iterdir()) == []


def test_what_is_young_another_thing_or_leads_elsewhere_stays(parent, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "kept").touch()
    made_long_ago(elsewhere)
    (parent / f"{PREFIX}link").symlink_to(elsewhere)
    (parent / f"{PREFIX}file").touch()
    made_long_ago(parent / f"{PREFIX}file")
    (parent / f"{PREFIX}young").mkdir()
    (parent / "another").mkdir()
    made_long_ago(parent / "another")
    os.utime(parent / f"{PREFIX}link", (0, 0), follow_symlinks=False)
    before = set(parent.iterdir())
    with temporary_folder():
        pass
    assert set(parent.iterdir()) == before
    assert (elsewhere / "kept").exists()
