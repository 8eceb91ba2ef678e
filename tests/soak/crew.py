"""The workers under a little supervisor: whoever ends is started again at once, as systemd would.

The first worker is the steady one, which is never restarted: it lives long enough for a leak to show. The others are
restarted in turn, by SIGTERM and by kill -9.
"""

import asyncio
import json
import re
import signal
import time
from dataclasses import dataclass, field

import psutil

from streams.errors import ExitStatus
from tests.kafka.workers import WorkerProcess, Workers
from tests.soak.figures import Life, Memory

POLL_S = 0.02  # how soon a worker that ended is noticed
SAMPLE_EVERY_S = 1.0
START_TIMEOUT_S = 60
END_TIMEOUT_S = 40  # a worker's own limit is 30
REPORTED_LINES_MAX = 50
_SUSPICIOUS = re.compile(r"livelock|stall|made no progress|has not turned|traceback|\berror\b|critical", re.IGNORECASE)
# An outage or a partition that moves is told as a warning, with the library's error in it: that is no fault.
_EXPECTED = ("fenced: another worker owns this partition", "given up for now")


@dataclass(slots=True)
class _Place:
    """A worker's place: one process after the other."""

    number: int
    worker: WorkerProcess
    life: Life
    restarting: bool = False  # its end is wanted
    lives: list[Life] = field(default_factory=list)


class Crew:
    """All workers of a soak."""

    def __init__(self, workers: Workers, count: int) -> None:
        self._workers = workers
        self.faults: list[str] = []
        self._places = [self._open(number) for number in range(1, count + 1)]

    @property
    def steady(self) -> Life:
        return self._places[0].life

    @property
    def lives(self) -> list[Life]:
        """Every process that there was, but for the steady one."""
        return [life for place in self._places[1:] for life in place.lives]

    def has_settled(self, number: int) -> bool:
        """True if the worker of that place has partitions, and each is restored and runs."""
        events = _events(self._places[number - 1].worker)
        at = max((index for index, event in enumerate(events) if event["event"] == "assignment"), default=None)
        if at is None or not events[at]["partitions"]:
            return False
        ready = {(event["topic"], event["partition"]) for event in events if event["event"] == "partition ready"}
        return len(ready) >= events[at]["partitions"]

    async def wait_ready(self) -> None:
        """Wait until every worker has its partitions."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not all(self.has_settled(place.number) for place in self._places):
            self._check()
            assert time.monotonic() < deadline, f"the workers don't get ready:\n{self._workers.logs()}"
            await asyncio.sleep(POLL_S)

    async def restart(self, number: int, kind: signal.Signals) -> None:
        """End the worker of that place and start it again at once."""
        place = self._places[number - 1]
        place.restarting = True
        started = time.monotonic()
        place.worker.signal(kind)
        while place.worker.process.poll() is None:
            if time.monotonic() - started > END_TIMEOUT_S:
                self.faults.append(f"worker {number} didn't end within {END_TIMEOUT_S} s after {kind.name}")
                place.worker.kill()
            await asyncio.sleep(POLL_S)
        if kind is signal.SIGTERM:
            self._note_end(place, place.worker.process.returncode)
        self._succeed(place)
        place.restarting = False

    async def watch(self) -> None:
        """Start again whoever ends unasked, and take down every worker's memory, for ever."""
        sampled = 0.0
        while True:
            self._check()
            now = time.monotonic()
            if now - sampled >= SAMPLE_EVERY_S:
                sampled = now
                for place in self._places:
                    _sample(place, now)
            await asyncio.sleep(POLL_S)

    def memory(self) -> list[int]:
        """Resident bytes of each worker, as seen last."""
        return [place.life.memory[-1].rss if place.life.memory else 0 for place in self._places]

    def stop(self) -> None:
        """SIGTERM to all, one after the other."""
        for place in self._places:
            self._note_end(place, place.worker.stop())

    def suspicious_lines(self) -> list[str]:
        """What stands in the logs of a worker that hung or failed; the first of it."""
        found = [
            f"{worker.log.name}: {line}"
            for worker in self._workers.all
            for line in worker.text().splitlines()
            if is_suspicious(line)
        ]
        return found[:REPORTED_LINES_MAX]

    def warnings(self) -> dict[str, int]:
        """How often each warning stands in the logs."""
        counts: dict[str, int] = {}
        for worker in self._workers.all:
            for event in _events(worker):
                if event.get("level") == "warning":
                    counts[event["event"]] = counts.get(event["event"], 0) + 1
        return dict(sorted(counts.items()))

    def _check(self) -> None:
        for place in self._places:
            status = place.worker.process.poll()
            if status is not None and not place.restarting:
                self.faults.append(f"worker {place.number} ended unasked, with status {status}")
                assert len(self.faults) < REPORTED_LINES_MAX, (
                    f"the workers end again and again:\n{self._workers.logs()}"
                )
                self._succeed(place)

    def _note_end(self, place: _Place, status: int) -> None:
        if status != ExitStatus.OK:
            self.faults.append(f"worker {place.number} ended with status {status} after SIGTERM")

    def _open(self, number: int) -> _Place:
        life = Life(number, time.monotonic())
        return _Place(number, self._workers.start(), life, lives=[life])

    def _succeed(self, place: _Place) -> None:
        place.worker = self._workers.start()
        place.life = Life(place.number, time.monotonic())
        place.lives.append(place.life)


def is_suspicious(line: str) -> bool:
    """True for a line of a worker's log that no healthy run holds."""
    return bool(_SUSPICIOUS.search(line)) and not any(expected in line for expected in _EXPECTED)


def _events(worker: WorkerProcess) -> list[dict[str, object]]:
    """The log's lines that are whole and ours."""
    complete = worker.text().rpartition("\n")[0].splitlines()
    return [json.loads(line) for line in complete if line.startswith('{"')]


def _sample(place: _Place, now: float) -> None:
    try:
        rss = psutil.Process(place.worker.process.pid).memory_info().rss
    except psutil.NoSuchProcess:
        return
    if rss:  # a process that has ended, but wasn't waited for yet, has none
        place.life.memory.append(Memory(now, rss))
