"""Real workers as processes of their own, to be killed, frozen and stopped; and the audit as judge."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from streams.domain.load import LoadPlan, expected_sums
from streams.settings import Settings, child_environment
from streams.simulation import run_simulation
from streams.views.audit import AuditReport, run_audit

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 240  # for what takes a second or two where nothing else runs: only what fails waits so long


def environment(settings: Settings, code: Path = REPOSITORY) -> dict[str, str]:
    """This process's environment with `settings` in it, as a worker reads them; `code`: where its packages are."""
    return {**child_environment(settings), "PYTHONPATH": str(code)}


class WorkerProcess:
    """One worker, its log in a file."""

    def __init__(self, settings: Settings, log: Path, command: Sequence[str], code: Path = REPOSITORY) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                env=environment(settings, code),
                stdout=output,
                stderr=output,
                cwd=log.parent,
            )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until the log holds `text` so often."""

        def is_there() -> bool:
            ended = self.process.poll()  # looked at first: what a worker says last may be what is waited for
            found = self.text().count(text) >= times
            assert found or ended is None, f"it ended with {ended} and no {text!r} in:\n{self.text()}"
            return found

        wait_until(is_there, lambda: f"no {text!r} in:\n{self.text()}")


class Workers:
    """The workers of one test; whatever still runs at its end is killed."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self.all: list[WorkerProcess] = []

    def start(
        self,
        *arguments: str,
        command: Sequence[str] = ("-m", "streams.cli", "worker"),
        native: bool | None = None,
        code: Path = REPOSITORY,
    ) -> WorkerProcess:
        """`native`: whether it folds in Rust, where it isn't as the settings say; `code`: where its version is."""
        native = self._settings.native if native is None else native
        settings = self._settings.model_copy(update={"log_level": "info", "native": native})
        worker = WorkerProcess(settings, self._folder / f"worker-{len(self.all)}.log", [*command, *arguments], code)
        self.all.append(worker)
        return worker

    def start_crashing(self, step: str, topic: str, commits: int) -> WorkerProcess:
        """A worker that kills itself at `step` of its commit number `commits` (from 1) of a partition of `topic`."""
        script = str(Path(__file__).parent / "crashing_worker.py")
        return self.start(step, topic, str(commits), command=[script])

    def start_patched(self, *arguments: str) -> WorkerProcess:
        """A worker with other limits: see `patched_worker.py`."""
        return self.start(*arguments, command=[str(Path(__file__).parent / "patched_worker.py")])

    def check_unharmed(self) -> None:
        """All of them run still, and none has met what it has no word for."""
        assert [worker.process.poll() for worker in self.all] == [None] * len(self.all), self.logs()
        assert "Traceback" not in self.logs(), self.logs()

    def logs(self) -> str:
        return "\n".join(f"--- {worker.log.name}\n{worker.text()}" for worker in self.all)


@contextmanager
def running_workers(settings: Settings) -> Iterator[Workers]:
    with TemporaryDirectory(prefix="everycent-workers-") as folder:
        workers = Workers(settings, Path(folder))
        try:
            yield workers
        finally:
            for worker in workers.all:
                with suppress(ProcessLookupError):
                    worker.process.kill()
                worker.process.wait(10)


def wait_until(condition: Callable[[], bool], describe: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(describe())
        time.sleep(0.05)


async def wait_until_async(condition: Callable[[], bool]) -> None:
    """The same where the event loop has to turn meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def load(settings: Settings, orders: int, seed: int, **plan: float) -> None:
    """Send a seeded load."""
    await run_simulation(settings, LoadPlan(orders, seed=seed, **plan))


async def audited(settings: Settings, workers: Workers | None = None) -> AuditReport:
    """The audit's report once the workers are done; fails with the first differences and the workers' logs."""
    report = await run_audit(settings, wait_s=PATIENCE_S)
    assert report.conserved, "\n".join(
        [report.reason, *(finding.text for finding in report.findings), workers.logs() if workers else ""]
    )
    return report


async def audited_as_planned(settings: Settings, plan: LoadPlan, workers: Workers) -> AuditReport:
    """Besides being conserved, the figures are those that the load was made to give."""
    report = await audited(settings, workers)
    expected = expected_sums(plan)
    assert (report.counts.donations, report.counts.fen) == (expected.donations, expected.fen)
    return report


def drawn_seed() -> int:
    """A new seed, printed: pytest shows it where the test fails. Put the number here to play it again."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    return seed
