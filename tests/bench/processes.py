"""Processes that are measured: their CPU and memory as the system counts them, and the moments that their logs name.

Ours, and those of the engines beside it.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import psutil

from streams.errors import UserError
from streams.settings import Settings
from tests.kafka.workers import environment

LOG_POLL_S = 0.005  # how late a moment in the log may be noticed: at most so much CPU goes uncounted
STOP_TIMEOUT_S = 30
LOG_TAIL_CHARACTERS = 3_000


class Sample(NamedTuple):
    """A moment, and what the whole process (user and system, every thread) had used by then."""

    at_s: float
    cpu_s: float


class MeasuredProcess:
    """A process of its own, its log (stdout and stderr) in a file. It has no children, or `sample` would miss them."""

    def __init__(self, settings: Settings, log: Path, command: Sequence[str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, env=environment(settings), stdout=output, stderr=output, cwd=log.parent
            )
        self._usage = psutil.Process(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def sample(self) -> Sample:
        """Raises UserError, with the end of its log, if it has died."""
        if self._process.poll() is not None:
            raise self.failed(f"the process ended with status {self._process.returncode}")
        usage = self._usage.cpu_times()
        return Sample(time.monotonic(), usage.user + usage.system)

    def has_children(self) -> bool:
        return bool(self._usage.children())

    def peak_memory_mb(self) -> float | None:
        """The most resident memory that it ever had, MB of 10^6 bytes; None where the system doesn't say."""
        status = Path(f"/proc/{self.pid}/status")
        if not status.exists():
            return None
        kilobytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(kilobytes) * 1_024 / 1_000_000

    def text(self) -> str:
        return self._log.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Our own log lines (EVERYCENT_LOG_FORMAT=json) with that event, oldest first."""
        lines = (json.loads(line) for line in self.text().splitlines() if line.startswith('{"'))
        return [line for line in lines if line["event"] == name]

    async def wait_for(self, text: str, times: int = 1, timeout_s: float = 120) -> Sample:
        """Wait until the log holds `text` so often, and sample."""
        await self.wait_until(lambda: self.text().count(text) >= times, timeout_s, f"no {text!r} in its log")
        return self.sample()

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.sample()  # it lives
            if time.monotonic() > deadline:
                raise self.failed(f"{complaint} within {timeout_s:.0f} s")
            await asyncio.sleep(LOG_POLL_S)

    def failed(self, what: str) -> UserError:
        return UserError(f"{what}; its log ends with:\n{self.text()[-LOG_TAIL_CHARACTERS:]}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that doesn't help; harmless if it has ended."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def measured_process(
    settings: Settings, *arguments: str, program: Sequence[str] = (sys.executable,)
) -> Iterator[MeasuredProcess]:
    """A running process, by default a Python; stopped at the end."""
    with TemporaryDirectory(prefix="everycent-bench-") as folder:
        process = MeasuredProcess(settings, Path(folder) / "log", [*program, *arguments])
        try:
            yield process
        finally:
            process.stop()


def worker(settings: Settings, roles: str = "split,totals") -> Any:
    """A worker as `everycent worker` runs it, to be used in a `with`."""
    return measured_process(settings, "-m", "streams.cli", "worker", "--roles", roles)
