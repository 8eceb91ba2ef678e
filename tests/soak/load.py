"""The load as a process of its own, so that making orders holds up no probe: `python -m tests.soak.load`.

Live orders at a rate, with few repeats and malformed ones, until SIGTERM; what has been sent so far stands as a line of
JSON on stdout, once a second, and what the broker has as the last one.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from streams.domain.load import ORDERS_MAX, LoadPlan
from streams.settings import Settings, load_settings
from streams.simulation import Progress, run_simulation
from tests.kafka.workers import REPOSITORY, environment
from tests.soak.plan import MALFORMED_SHARE, REPEATS_SHARE, EventClock, SoakPlan

TELL_EVERY_S = 1.0
STOP_TIMEOUT_S = 60


class Load:
    """The process."""

    def __init__(self, settings: Settings, plan: SoakPlan, clock: EventClock, folder: Path) -> None:
        self._lines, self._errors = folder / "load.jsonl", folder / "load.log"
        command = [sys.executable, "-m", "tests.soak.load", "--rate", str(plan.orders_per_second)]
        command += ["--seed", str(plan.seed), "--clock", str(clock.origin_ms), str(clock.start_ms), str(clock.speed)]
        with self._lines.open("wb") as lines, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command, env=environment(settings), stdout=lines, stderr=errors, cwd=REPOSITORY
            )

    def progress(self) -> dict[str, Any]:
        """What it said last; empty before its first word. Raises AssertionError if it has died."""
        status = self._process.poll()
        assert status in {None, 0}, f"the load ended with status {status}:\n{self._errors.read_text()}"
        complete = self._lines.read_bytes().rpartition(b"\n")[0].splitlines()
        return dict(json.loads(complete[-1])) if complete else {}

    async def stop(self) -> dict[str, Any]:
        """Send no more; what the broker has."""
        self._process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)
        return self.progress()

    def kill(self) -> None:
        """Harmless if it has ended."""
        self._process.kill()
        self._process.wait(10)


async def _send(settings: Settings, plan: LoadPlan, rate: float, clock: EventClock) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    told = 0.0

    def tell(progress: Progress) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            _print(progress)

    _print(
        await run_simulation(
            settings, plan, orders_per_second=rate, live=True, clock_ms=clock.now_ms, stop=stop, on_progress=tell
        )
    )


def _print(progress: Progress) -> None:
    names = ("orders", "repeats", "malformed", "donations", "fen", "seconds")
    print(json.dumps({name: getattr(progress, name) for name in names}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.load", description=__doc__)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--clock", type=int, nargs=3, required=True, metavar=("ORIGIN_MS", "START_MS", "SPEED"))
    options = parser.parse_args()
    plan = LoadPlan(ORDERS_MAX, seed=options.seed, repeats_share=REPEATS_SHARE, malformed_share=MALFORMED_SHARE)
    asyncio.run(_send(load_settings(), plan, options.rate, EventClock(*options.clock)))


if __name__ == "__main__":
    main()
