import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from streams.engine.leash import Leash

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
PARENT = f"""
import sys, time
from streams.engine.leash import Leash
leash = Leash()
with open(sys.argv[1], "wb") as log:
    print(*(leash.spawn({SLEEP!r}, log).pid for _ in range(3)), flush=True)
time.sleep(600)
"""


@pytest.fixture
def log(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        yield log


def gone(pids, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_die_with_a_parent_that_is_killed(tmp_path, number):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, tmp_path / "log"], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 3
    parent.send_signal(number)
    parent.communicate(timeout=10)
    assert gone(pids)


def test_children_are_not_in_the_group_that_ctrl_c_reaches(log):
    leash = Leash()
    child = leash.spawn(SLEEP, log)
    assert os.getpgid(child.pid) not in {os.getpgid(0), child.pid}
    assert os.getsid(child.pid) == os.getsid(0)
    leash.kill()
    child.wait(10)


def test_kill_ends_all_of_them(log):
    leash = Leash()
    children = [leash.spawn(SLEEP, log) for _ in range(3)]
    leash.kill()
    assert [child.wait(10) for child in children] == [-signal.SIGKILL] * 3


def test_a_released_child_is_left_alone(log):
    leash = Leash()
    child = leash.spawn(SLEEP, log)
    leash.release()
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
    finally:
        child.kill()
        child.wait()


def test_a_child_has_the_environment_and_the_folder_that_it_was_given(tmp_path, log):
    leash = Leash()
    child = leash.spawn(["/bin/sh", "-c", 'echo "$WHO $PWD"'], log, environment={"WHO": "me"}, folder=tmp_path)
    assert child.wait(10) == 0
    leash.release()
    assert (tmp_path / "log").read_text() == f"me {tmp_path}\n"
