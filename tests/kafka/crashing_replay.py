"""A replay that kills itself, as kill -9 would, at a step: STEP NUMBER_OF_TIMES [MENDED_FILE]. STEP `NONE`: never."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from streams import replay
from streams.domain.replay import CLOCK_MARGIN_MS
from streams.engine.replay import ReplayStep
from streams.replay import now_ms, replay_mended, replay_rejected
from streams.settings import load_settings


def soon_ms() -> int:
    """The test's orders become acceptable within seconds: it doesn't wait for a margin meant for clocks that differ."""
    return now_ms() + CLOCK_MARGIN_MS


def main() -> None:
    name, times = sys.argv[1], int(sys.argv[2])
    replay.TRANSACTION_ORDERS_MAX = 5  # several transactions for the orders of a test
    seen = 0

    def crash(reached: ReplayStep) -> None:
        nonlocal seen
        if reached.name == name:
            seen += 1
            if seen == times:
                os.kill(os.getpid(), signal.SIGKILL)

    settings = load_settings()
    if len(sys.argv) > 3:
        report = asyncio.run(replay_mended(settings, Path(sys.argv[3]), on_step=crash, clock_ms=soon_ms))
    else:
        report = asyncio.run(replay_rejected(settings, on_step=crash, clock_ms=soon_ms))
    print(report.replayed, report.known)


if __name__ == "__main__":
    main()
