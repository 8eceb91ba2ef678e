"""Resident memory of this process, MB of 10^6 bytes."""

import resource
from pathlib import Path

MEGABYTE = 1_000_000


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / MEGABYTE, 1)


def peak_mb() -> float:
    # Not getrusage: its maximum is inherited from whoever started this process.
    status = Path("/proc/self/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(kilobytes) * 1_024 / MEGABYTE, 1)
