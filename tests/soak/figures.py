"""What a soak is judged by: pure sums over what was seen. Moments are seconds of one monotonic clock."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

P99_MAX_S = 1.5
GROWTH_MAX = 0.05
RATE_MIN = 0.98  # of what was asked for: less load is another test
QUARTER, TENTH = 0.25, 0.1
MB = 1_000_000


class Probe(NamedTuple):
    """An order that was sent, and seen in a total."""

    sent_s: float
    visible_s: float

    @property
    def latency_s(self) -> float:
        return self.visible_s - self.sent_s


class Memory(NamedTuple):
    """Resident bytes of a process at a moment."""

    at_s: float
    rss: int


@dataclass(slots=True)
class Life:
    """One process in a worker's place."""

    worker: int
    started_s: float
    memory: list[Memory] = field(default_factory=list)

    def rss_at_age(self, age_s: float) -> int | None:
        """The first sample from that age on; None if it didn't grow so old."""
        return next((rss for at_s, rss in self.memory if at_s - self.started_s >= age_s), None)


@dataclass(slots=True)
class Restart:
    """A restart, and the window around it; what hasn't happened is None."""

    worker: int
    kind: str
    at_s: float  # the signal
    settled_s: float | None = None  # the new process has its partitions, all restored
    drained_s: float | None = None  # and all that had come by then is done, by both stages: the window's end


@dataclass(frozen=True, slots=True)
class Criterion:
    """What a soak must show, and what it showed."""

    name: str
    is_met: bool
    found: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "met": self.is_met, "found": self.found}


@dataclass(slots=True)
class Sights:
    """All that was seen of one run."""

    started_s: float
    ended_s: float
    orders_per_second: float
    load: dict[str, Any]
    probes_sent: int
    probes: list[Probe]
    restarts: list[Restart]
    steady: Life
    lives: list[Life]
    restart_every_s: float
    faults: list[str]
    suspicious_lines: list[str] = field(default_factory=list)
    warnings: dict[str, int] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)

    def outside(self) -> list[float]:
        """Latencies of the probes that were under way in no restart's window, s."""
        return [probe.latency_s for probe in self.probes if not any(touches(probe, each) for each in self.restarts)]

    def within(self, restarts: Iterable[Restart]) -> list[float]:
        """Latencies of the probes that were under way in one of these windows, s."""
        chosen = list(restarts)
        return [probe.latency_s for probe in self.probes if any(touches(probe, each) for each in chosen)]

    def growth(self) -> tuple[int, int] | None:
        """The steady worker's memory, bytes: the median over the tenth of the run that follows its first quarter, and
        over its last tenth, outside restarts; None where a tenth has no sample."""
        calm = [
            sample for sample in self.steady.memory if not any(_covers(each, sample.at_s) for each in self.restarts)
        ]
        length = self.ended_s - self.started_s
        spans = ((QUARTER, QUARTER + TENTH), (1 - TENTH, 1.0))
        found = [
            [rss for at_s, rss in calm if start <= (at_s - self.started_s) / length <= end] for start, end in spans
        ]
        return (int(median(found[0])), int(median(found[1]))) if all(found) else None

    def criteria(self) -> list[Criterion]:
        outside, unsettled = self.outside(), [each for each in self.restarts if each.drained_s is None]
        p99, growth = percentile(outside, 99), self.growth()
        grown = None if growth is None else growth[1] / growth[0] - 1
        rate = self.load["orders"] / (self.load["seconds"] or math.inf)
        trouble = [*self.faults, *self.suspicious_lines]
        lost = self.probes_sent - len(self.probes)
        return [
            Criterion("the audit says conserved", self.audit["conserved"] is True, self.audit["reason"]),
            Criterion("every probe became visible", lost == 0, f"{lost} of {self.probes_sent} did not"),
            Criterion("no livelock, no error, no unasked end", not trouble, "; ".join(trouble) or "none"),
            Criterion(
                "each restart settled and drained before the next one", not unsettled, f"{len(unsettled)} did not"
            ),
            Criterion(
                f"at least {RATE_MIN:.0%} of {self.orders_per_second:,.0f} orders a second",
                rate >= RATE_MIN * self.orders_per_second,
                f"{rate:,.0f}",
            ),
            Criterion(
                f"p99 outside restarts at most {P99_MAX_S} s",
                p99 is not None and p99 <= P99_MAX_S,
                "no probe" if p99 is None else f"{p99:.3f} s",
            ),
            Criterion(
                f"memory after the first quarter grows by less than {GROWTH_MAX:.0%}",
                grown is not None and grown < GROWTH_MAX,
                "too short a run" if grown is None else f"{grown:+.1%}",
            ),
        ]

    def to_json(self) -> dict[str, Any]:
        growth = self.growth()
        return {
            "criteria": [each.to_json() for each in self.criteria()],
            "load": self.load,
            "probes": {"sent": self.probes_sent, "visible": len(self.probes)},
            "latency_s": {
                "outside_restarts": spread(self.outside()),
                "within_restarts": spread(self.within(self.restarts)),
            },
            "restarts": {kind: self._restarts_of(kind) for kind in sorted({each.kind for each in self.restarts})},
            "each_restart": [self._restart(each) for each in self.restarts],
            "steady_worker_mb": {
                "after_first_quarter": None if growth is None else round(growth[0] / MB, 1),
                "at_the_end": None if growth is None else round(growth[1] / MB, 1),
                "most": round(max((rss for _, rss in self.steady.memory), default=0) / MB, 1),
            },
            "restarted_workers_mb": {
                "at_age_s": self.restart_every_s / 2,
                "each": [
                    None if rss is None else round(rss / MB, 1)
                    for rss in (life.rss_at_age(self.restart_every_s / 2) for life in self.lives)
                ],
            },
            "faults": self.faults,
            "suspicious_lines": self.suspicious_lines,
            "warnings": self.warnings,
            "audit": self.audit,
        }

    def _restarts_of(self, kind: str) -> dict[str, Any]:
        chosen = [self._restart(each) for each in self.restarts if each.kind == kind]
        names = ("held_back_s", "settled_after_s", "drained_after_s")
        values = {name: [each[name] for each in chosen if each[name] is not None] for name in names}
        return {"count": len(chosen), **{name: spread(found) for name, found in values.items()}}

    def _restart(self, restart: Restart) -> dict[str, Any]:
        return {
            "worker": restart.worker,
            "kind": restart.kind,
            "at_s": round(restart.at_s - self.started_s, 1),
            "held_back_s": _rounded(max(self.within([restart]), default=None)),
            "settled_after_s": _rounded(_since(restart.at_s, restart.settled_s)),
            "drained_after_s": _rounded(_since(restart.at_s, restart.drained_s)),
        }


def touches(probe: Probe, restart: Restart) -> bool:
    """True if the probe was under way at some moment of the restart's window."""
    return probe.visible_s >= restart.at_s and probe.sent_s <= _end(restart)


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The least value that so many percent of them don't exceed; None of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def spread(values: Sequence[float]) -> dict[str, Any]:
    named = {"p50": percentile(values, 50), "p99": percentile(values, 99), "max": max(values, default=None)}
    return {"count": len(values), **{name: _rounded(value) for name, value in named.items()}}


def _covers(restart: Restart, at_s: float) -> bool:
    return restart.at_s <= at_s <= _end(restart)


def _end(restart: Restart) -> float:
    return math.inf if restart.drained_s is None else restart.drained_s


def _since(start_s: float, end_s: float | None) -> float | None:
    return None if end_s is None else end_s - start_s


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
