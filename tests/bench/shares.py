"""Where a worker's CPU goes, stage by stage, of samples that Linux's `perf` took of it: `python -m tests.bench.shares`.

    perf record -F 2000 -g -p PID           # of a worker that works off a backlog; Ctrl-C ends it
    perf script -F comm,pid,tid,ip,sym,dso | python -m tests.bench.shares

The kernel's part is told apart by system call, the rest by the library that was running. What Python did stands in no
such sample: `py-spy record --native --format raw` says it.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

SYSTEM_CALLS = {
    "send": ("sendto", "sendmsg"),
    "receive": ("recvfrom", "recvmsg"),
    "map and unmap memory": ("mmap", "munmap", "mremap", "brk", "madvise"),
    "wait for sockets": ("epoll_wait", "epoll_ctl", "poll"),
    "threads wait for each other": ("futex",),
}
LIBRARIES = {
    "_everycent": "the extension",
    "libpython": "Python",
    "libc.so": "the C library: copies, comparisons, blocks",
}


def shares(lines: Iterable[str]) -> dict[str, float]:
    """The share of each stage of all samples in what `perf script` prints, largest first."""
    found = Counter(_stage(frames) for frames in _samples(lines))
    return {stage: count / found.total() for stage, count in found.most_common()}


def _samples(lines: Iterable[str]) -> Iterator[list[str]]:
    """The frames of each sample, innermost first: symbol, and in brackets what it is part of."""
    frames: list[str] | None = None
    for line in lines:
        if not line.strip():
            if frames:
                yield frames
            frames = None
        elif frames is None:
            frames = []  # the line that names the thread
        else:
            frames.append(line.strip().partition(" ")[2])
    if frames:
        yield frames


def _stage(frames: Sequence[str]) -> str:
    of_kernel = [frame.partition("+")[0].partition(" ")[0] for frame in frames if "[kernel" in frame]
    if not of_kernel:
        library = frames[0].rpartition("(")[2]
        return next((stage for part, stage in LIBRARIES.items() if part in library), "other libraries")
    if any("page_fault" in name for name in of_kernel):
        return "kernel: page faults"
    for stage, calls in SYSTEM_CALLS.items():
        if any(name.endswith(f"_sys_{call}") for name in of_kernel for call in calls):
            return f"kernel: {stage}"
    return "kernel: all else"


def main() -> None:
    for stage, share in shares(sys.stdin).items():
        print(f"{share:6.1%}  {stage}")


if __name__ == "__main__":
    main()
