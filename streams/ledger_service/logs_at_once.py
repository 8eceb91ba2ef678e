"""Several logs at a time, not all: each asks for files, of one machine perhaps."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

LOGS_AT_ONCE = 8
Log = TypeVar("Log")
Found = TypeVar("Found")


async def of_each(logs: Sequence[Log], look: Callable[[Log], Awaitable[Found]]) -> list[Found]:
    """What `look` finds at each, in their order. Raises what it raises, once those beside it are done."""
    found: list[Found] = []
    for start in range(0, len(logs), LOGS_AT_ONCE):
        looks = [look(log) for log in logs[start : start + LOGS_AT_ONCE]]
        for result in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            found.append(result)
    return found
