"""The demo's child processes: the load, and the workers with whoever takes a dead one's place.

Each is an ordinary `everycent` command with a log file of its own. None outlives us (`streams.engine.leash`).
"""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from streams.engine.leash import Leash
from streams.errors import ExitStatus, UserError
from streams.views.demo_screen import WorkerState

EVERYCENT = (sys.executable, "-m", "streams.cli")
STOP_TIMEOUT_S = 25  # a worker gives its running commits 20 s; an orderly end takes one or two
RESTART_PAUSE_S = 1.0
RESTARTS_MAX = 5  # of one worker's place: enough for all that a person kills, and the end of what can't ever run
LOG_TAIL_LINES = 12


class Child:
    """One process and its log."""

    def __init__(self, leash: Leash, command: Sequence[str], log_path: Path, environment: Mapping[str, str]) -> None:
        self.log_path = log_path
        with log_path.open("ab") as log:
            self.process = leash.spawn(command, log, environment=environment)

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative: the signal that killed it."""
        return self.process.poll()

    def log_tail(self) -> str:
        """The last lines of its log, after its name."""
        lines = self.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"the last lines of {self.log_path}:" if lines else f"{self.log_path} is empty", *lines])

    def ask_to_stop(self) -> None:
        """SIGTERM; a frozen one is woken for it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGCONT)

    def wait_or_kill(self, timeout_s: float) -> None:
        try:
            self.process.wait(max(0.0, timeout_s))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port(wanted: int) -> int:
    """A port of this machine that nobody has just now: the wanted one, or else any."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does it
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    return 0


def status_text(exit_status: int) -> str:
    """How a process ended, for people."""
    if exit_status >= 0:
        return f"ended with exit status {exit_status}"
    try:
        return f"was killed by {signal.Signals(-exit_status).name}"
    except ValueError:
        return f"was killed by signal {-exit_status}"


class Crew:
    """The workers. One that dies is started again, as any supervisor would: what it had in work is done again."""

    def __init__(
        self, leash: Leash, count: int, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._leash = leash
        self._command = command
        self._folder = folder
        self._environment = environment
        self._count = count
        self._children: dict[int, Child] = {}  # by number, from 1
        self._restarts: dict[int, int] = {}
        self._due: dict[int, float] = {}  # when a dead one's successor starts, monotonic seconds

    @property
    def states(self) -> tuple[WorkerState, ...]:
        return tuple(
            WorkerState(number, child.process.pid if child.exit_status is None else None)
            for number, child in sorted(self._children.items())
        )

    def start(self) -> None:
        for number in range(1, self._count + 1):
            self._start(number)

    def check(self) -> list[str]:
        """Start again whoever has died; what happened, for people.

        Raises UserError for a worker that says that it can't run at all, or that dies again and again.
        """
        news = []
        for number, child in sorted(self._children.items()):
            status = child.exit_status
            if status is None:
                continue
            if number not in self._due:
                news.append(self._note_death(number, child, status))
            elif time.monotonic() >= self._due[number]:
                del self._due[number]
                self._start(number)
                news.append(f"Worker {number} has been started again, pid {self._children[number].process.pid}.")
        return news

    def stop(self) -> None:
        """SIGTERM to all, then wait until they have left in order."""
        running = [child for child in self._children.values() if child.exit_status is None]
        for child in running:
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in running:
            child.wait_or_kill(deadline - time.monotonic())

    def _start(self, number: int) -> None:
        log_path = self._folder / f"worker-{number}.log"
        self._children[number] = Child(self._leash, self._command, log_path, self._environment)

    def _note_death(self, number: int, child: Child, status: int) -> str:
        what = f"worker {number} (pid {child.process.pid}) {status_text(status)}"
        restarts = self._restarts.get(number, 0)
        if status == ExitStatus.UNUSABLE:
            raise UserError(f"{what}, so starting it again is of no use; {child.log_tail()}", ExitStatus.FAILED)
        if restarts >= RESTARTS_MAX:
            raise UserError(f"{what}, after {restarts} restarts; {child.log_tail()}", ExitStatus.FAILED)
        self._restarts[number] = restarts + 1
        self._due[number] = time.monotonic() + RESTART_PAUSE_S
        killed = status < 0  # then its log knows nothing of it
        return (
            f"{what[0].upper()}{what[1:]}; its log: {child.log_path}" if killed else f"W{what[1:]}; {child.log_tail()}"
        )
