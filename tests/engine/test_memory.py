"""What is free goes back to the system."""

import asyncio
import subprocess
import sys

import pytest
from faust.types import TP

from streams.engine import memory
from streams.engine.runtime import Runtime
from streams.engine.stage import Stage
from streams.engine.task import Services
from streams.settings import Settings
from tests.engine.parts import NoState, nothing, open_log


class Idle:
    """A writer that has nothing to write."""

    async def start(self) -> None: ...
    async def commit(self, *_: object) -> None: ...
    async def stop(self) -> None: ...


FREED = """
import ctypes, resource
from pathlib import Path
from streams.engine.memory import give_back

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
SIZE = 65_536  # small enough not to be a mapping of its own
blocks = [libc.malloc(SIZE) for _ in range(1_600)]
for block in blocks:
    ctypes.memset(block, 1, SIZE)
for number, block in enumerate(blocks):
    if number % 16:  # every sixteenth stays, so that the heap can't just be cut
        libc.free(block)
before = resident_mb()
give_back()
print(before - resident_mb())
"""


LARGE = """
import ctypes
from streams.engine.memory import LARGE_BYTES, keep_tidy

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype, libc.free.argtypes = Info, ctypes.c_void_p, [ctypes.c_void_p]
if TIDY:
    keep_tidy()
for _ in range(3):  # glibc raises its threshold when a mapping is freed
    libc.free(libc.malloc(4 * LARGE_BYTES))
before = libc.mallinfo2().hblks
libc.malloc(2 * LARGE_BYTES)
print(libc.mallinfo2().hblks - before)
"""


AGAIN = """
import ctypes, resource
from streams.engine.memory import keep_tidy

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
keep_tidy()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for _ in range(100):
    blocks = [libc.malloc(size) for size in (262_144, 1_048_576, 2_097_152)]
    for block, size in zip(blocks, (262_144, 1_048_576, 2_097_152)):
        ctypes.memset(block, 1, size)
    for block in blocks:
        libc.free(block)
print((faults() - before) * resource.getpagesize() / 1e6)
"""


@pytest.mark.skipif(memory._SET is None, reason="this C library has no mallopt")
def test_blocks_of_fetches_and_batches_come_from_memory_that_the_worker_has_already() -> None:
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 30  # MB that were new, of 341 that were taken


@pytest.mark.skipif(memory._SET is None, reason="this C library has no mallopt")
@pytest.mark.parametrize(("tidy", "mappings"), [(True, "1"), (False, "0")])
def test_large_blocks_stay_mappings_of_their_own_for_as_long_as_a_worker_lives(tidy: bool, mappings: str) -> None:
    program = f"TIDY = {tidy}\n{LARGE}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == mappings


@pytest.mark.skipif(memory._TRIM is None, reason="this C library has no malloc_trim")
def test_memory_that_is_free_between_what_stays_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 80  # of 98 MB that were freed


def test_where_the_c_library_cannot_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_TRIM", None)
    monkeypatch.setattr(memory, "_SET", None)
    memory.keep_tidy()
    memory.give_back()


async def test_memory_is_given_back_once_for_all_partitions_that_leave_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[None] = []
    monkeypatch.setattr("streams.engine.runtime.give_back", lambda: given.append(None))
    monkeypatch.setattr("streams.engine.limits.GIVE_BACK_AFTER_S", 1)
    runtime = Runtime(Settings(), [Stage("x", "orders", lambda _: NoState())])
    runtime._services = Services(lambda _: Idle(), open_log, nothing, nothing)
    await runtime.assign(None, {TP("orders", partition) for partition in range(3)}, 1)
    await runtime.assign(None, {TP("orders", 0)}, 2)
    await runtime.assign(None, set(), 3)
    await asyncio.sleep(2.5)
    assert len(given) == 1
