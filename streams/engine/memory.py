"""Giving memory that isn't in use any more back to the system.

What a restore read and what a partition that left was made of lies between what stays, in pieces. The C library keeps
such pieces for later, for ever: after some rebalances a third of a worker's memory was free, and none of it given back.
"""

import ctypes
from collections.abc import Callable

_TRIM: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, others needn't


def give_back() -> None:
    """Take some milliseconds to return what is free. Where the C library can't, do nothing."""
    if _TRIM is not None:
        _TRIM(0)
