"""Answers that take long, made one after the other in a thread of their own: meanwhile everybody else is answered."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from streams.serve import limits

T = TypeVar("T")


class Aside:
    """The thread, and how many wait for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "everycent-aside")
        self._waiting = 0

    async def make(self, answer: Callable[[], T]) -> T | None:
        """The answer; None where too many wait."""
        if self._waiting >= limits.SEARCHES_WAITING_MAX:
            return None
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, answer)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the answer that is being made be finished, and make no further one."""
        self._thread.shutdown(cancel_futures=True)
