"""What a person sees while the ledger is looked through for a donation: how far, how long yet, and the way out."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

QUIET_S = 2.0  # what is over by then is told by nobody
TERMINAL_EVERY_S = 0.5
LINES_EVERY_S = 15.0  # where lines stay, as in a journal


class SearchProgress:
    """To be called as `streams.ledger_service.receipts.Searched`, and closed behind it."""

    def __init__(self, to: TextIO | None = None, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._to = to or sys.stderr
        self._clock_s = clock_s
        self._since_s = self._told_s = clock_s()
        self._has_begun = False

    def __call__(self, searched: int, total: int) -> None:
        now_s = self._clock_s()
        taken_s = now_s - self._since_s
        if taken_s < QUIET_S or not searched:
            return
        terminal = self._to.isatty()
        if not self._has_begun:
            print(
                f"The index lacks {total:,} leaves of the ledger, which are looked through one by one. "
                "`everycent ledger index` makes that a matter of milliseconds, once and for all.",
                file=self._to, flush=True,
            )  # fmt: skip
        elif now_s - self._told_s < (TERMINAL_EVERY_S if terminal else LINES_EVERY_S):
            return
        self._has_begun, self._told_s = True, now_s
        left_s = taken_s * (total - searched) / searched
        text = f"{searched:,} of {total:,} leaves looked through, {_lasts(left_s)} more at the most"
        print(f"\r{text:<78}" if terminal else text, end="" if terminal else "\n", file=self._to, flush=True)

    def close(self) -> None:
        """End the line that changes on a terminal."""
        if self._has_begun and self._to.isatty():
            print(file=self._to, flush=True)


def _lasts(s: float) -> str:
    minutes, seconds = divmod(round(s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
