"""Keeping a worker's memory to what it uses.

Fetched bytes, record batches and what a restore reads are large and gone soon; state is small and stays. Side by side
on one heap they leave holes: after some rebalances a third of a worker's memory was free, and none of it given back.
So large blocks are mappings of their own, which go back to the system at once; all threads share one heap; and what
small blocks leave behind is given back when partitions have come or gone.
"""

import ctypes
from collections.abc import Callable
from typing import Any

# glibc's names and numbers (malloc.h); other C libraries needn't have them.
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
LARGE_BYTES = 128 * 1024  # glibc's own first threshold, which it would raise up to 32 MiB by itself

_LIBC: Any = ctypes.CDLL(None)
_TRIM: Callable[[int], int] | None = getattr(_LIBC, "malloc_trim", None)
_SET: Callable[[int, int], int] | None = getattr(_LIBC, "mallopt", None)


def keep_tidy() -> None:
    """To be called once, at a worker's start. Where the C library can't, do nothing."""
    if _SET is not None:
        _SET(M_ARENA_MAX, 1)
        _SET(M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Take some milliseconds to return what is free. Where the C library can't, do nothing."""
    if _TRIM is not None:
        _TRIM(0)
