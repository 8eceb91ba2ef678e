"""Keeping a worker's memory to what it uses.

Fetched bytes, record batches and what a restore reads are large and gone soon; state is small and stays. Side by side
on one heap they leave holes: after some rebalances a third of a worker's memory was free, and none of it given back.
So blocks as large as grown tables are mappings of their own, which go back to the system at once; all threads share one
heap; and what the rest leaves behind is given back when partitions have come or gone. Blocks of a fetch or of a record
batch, one a millisecond, come from the heap again and again: as mappings they cost a tenth of the worker's CPU, for
the system clears each page of a new one.
"""

import ctypes
from collections.abc import Callable
from typing import Any

# glibc's names and numbers (malloc.h); other C libraries needn't have them.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
LARGE_BYTES = 4 * 1_048_576  # above a fetch of eight partitions; glibc would go from 128 KiB up to 32 MiB by itself
KEPT_BYTES = 16 * 1_048_576  # free at the heap's end: what fetches and commits take and leave by turns

_LIBC: Any = ctypes.CDLL(None)
_TRIM: Callable[[int], int] | None = getattr(_LIBC, "malloc_trim", None)
_SET: Callable[[int, int], int] | None = getattr(_LIBC, "mallopt", None)


def keep_tidy() -> None:
    """To be called once, at a worker's start. Where the C library can't, do nothing."""
    if _SET is not None:
        _SET(M_ARENA_MAX, 1)
        _SET(M_MMAP_THRESHOLD, LARGE_BYTES)
        _SET(M_TRIM_THRESHOLD, KEPT_BYTES)


def give_back() -> None:
    """Take some milliseconds to return what is free. Where the C library can't, do nothing."""
    if _TRIM is not None:
        _TRIM(0)
