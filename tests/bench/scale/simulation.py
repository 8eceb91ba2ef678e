"""A festival's day on a thousand partitions, second by second, with the measured prices. Pure; one seed, one day.

What is in it: a burst at midnight that fades; partitions of unequal load, one of them far hotter; workers that die,
leave and come back; partitions that move to others (who has fewest; what may stay stays) and stand still until the
session has ended and their state is restored, which takes the new owner's CPU; the price of each order and each commit;
longer commits under a backlog. What is not: the network, the brokers' disks, and what a commit waits for.

Counts of orders are integers: what has arrived is done or waits, exactly, at any second.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streams.engine.limits import BACKLOG_RECORDS, COMMIT_STRETCH
from tests.bench.scale.plan import SECONDS_A_DAY, Plan

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SAMPLE_S = 5  # delays are told from the partitions' standings every so many seconds
BURST_FADES_S = 60  # a burst is a third of itself after so long
SKEW = 0.3  # of the logarithm of a partition's load: the heaviest of a thousand has 2.5 times the mean
HOT_SHARE = 0.005  # of all orders, on one partition: five times its fair share of a thousand
RESTORE_SHARE_MAX = 0.5  # of a worker's time, while it also has orders to do
AWAY_S = (20, 120)  # how long who left or died stays away
CAUGHT_UP_S = 2.0  # caught up is who has less waiting than arrives in so long


@dataclass(frozen=True, slots=True)
class Absence:
    """A worker that goes at `at_s` and is back `away_s` later. One that died is missed when its session ends."""

    worker: int
    at_s: int
    away_s: int
    died: bool


@dataclass(frozen=True, slots=True)
class Day:
    """One day to simulate. `absences` None: drawn from the seed."""

    workers: int
    seed: int = 1
    seconds: int = SECONDS_A_DAY
    absences: tuple[Absence, ...] | None = None
    absences_drawn: int = 24


@dataclass(slots=True)
class Outcome:
    """What the day came to. Delays are from an order's arrival to its commit, which isn't counted; to `SAMPLE_S`."""

    arrived: int
    done: int
    waiting: int
    delay_s: dict[str, float]
    most_waiting: int
    burst_caught_up_s: float | None
    unfinished_s: int
    busiest_worker: float
    mean_busy: float
    moved: int
    longest_stand_s: int
    waiting_by_minute: list[int] = field(default_factory=list)
    arrived_by_minute: list[int] = field(default_factory=list)

    @property
    def is_enough(self) -> bool:
        """Whether these workers carried the day: the burst was caught up, and the end leaves less than a minute's."""
        return self.burst_caught_up_s is not None and self.waiting <= self.arrived_by_minute[-1]


def draw_absences(day: Day) -> tuple[Absence, ...]:
    """Half die and half leave in order; the first dies in the middle of the burst."""
    if day.absences is not None:
        return day.absences
    chance = np.random.default_rng((day.seed, 1))
    drawn = []
    for number in range(min(day.absences_drawn, max(0, 4 * (day.workers - 1)))):
        at_s = 30 if number == 0 else int(chance.integers(day.seconds))
        away_s = int(chance.integers(*AWAY_S))
        drawn.append(Absence(int(chance.integers(day.workers)), at_s, away_s, died=number % 2 == 0))
    return tuple(drawn)


def arrival_rates(plan: Plan, seconds: int) -> Floats:
    """Orders a second, by second: the festival's mean over the day, the burst on top of the hours' rise and fall."""
    at = np.arange(seconds, dtype=np.float64)
    burst = plan["burst_orders_s"] * np.exp(-at / BURST_FADES_S)
    hours = 1 - 0.6 * np.cos(2 * np.pi * (at / SECONDS_A_DAY - 4 / 24))  # least at 4, most at 16 o'clock
    whole = plan["festival_orders_s"] * SECONDS_A_DAY
    rest = max(0.0, whole - plan["burst_orders_s"] * BURST_FADES_S)
    return burst + rest / SECONDS_A_DAY * hours


def shares(partitions: int, seed: int) -> Floats:
    """What part of all orders each partition gets."""
    chance = np.random.default_rng((seed, 2))
    weights = np.exp(SKEW * chance.standard_normal(partitions))
    weights /= weights.sum()
    weights *= 1 - HOT_SHARE if partitions > 1 else 1
    weights[int(chance.integers(partitions))] += HOT_SHARE if partitions > 1 else 0
    return weights


def reassign(owners: Ints, present: list[int]) -> Ints:
    """Sticky and even: who has too many gives, who has fewest takes; partitions of nobody go first."""
    new = owners.copy()
    if not present:
        new[:] = -1
        return new
    least, more = divmod(len(owners), len(present))
    kept: dict[int, list[int]] = {worker: [] for worker in present}
    free: list[int] = []
    for partition, owner in enumerate(owners.tolist()):
        if owner in kept:
            kept[owner].append(partition)
        else:
            free.append(partition)
    by_load = sorted(present, key=lambda worker: -len(kept[worker]))
    for rank, worker in enumerate(by_load):
        quota = least + (rank < more)
        free += kept[worker][quota:]
        del kept[worker][quota:]
    for rank, worker in enumerate(by_load):
        quota = least + (rank < more)
        while len(kept[worker]) < quota:
            partition = free.pop(0)
            kept[worker].append(partition)
            new[partition] = worker
    return new


class _Group:
    """Who owns what, who is there, and which partitions still stand still."""

    def __init__(self, plan: Plan, day: Day, weights: Floats) -> None:
        self.plan = plan
        partitions = len(weights)
        self.owners: Ints = np.full(partitions, -1, dtype=np.int64)
        self.there = set(range(day.workers))
        self.known = set(self.there)  # whom the group believes to be there
        self.owners = reassign(self.owners, sorted(self.known))
        self.restore_us: Floats = np.zeros(partitions)  # what a partition's restore still takes
        self.stood: Ints = np.zeros(partitions, dtype=np.int64)
        self.longest_stand_s = 0
        self.moved = 0
        self.changes = self._changes(day)
        ids = plan["horizon_ids"] * weights
        totals = (plan["long_totals"] + plan["hour_totals"] + plan["minute_totals"]) / partitions
        self._restore_us = ids * plan["restore_us_per_id"] + totals * plan["restore_us_per_total"]

    def _changes(self, day: Day) -> dict[int, list[tuple[str, int]]]:
        changes: dict[int, list[tuple[str, int]]] = {}
        session, start = round(self.plan["session_s"]), max(1, round(self.plan["worker_start_s"]))
        free_at: dict[int, int] = {}
        for absence in sorted(draw_absences(day), key=lambda each: each.at_s):
            if absence.at_s < free_at.get(absence.worker, 0):
                continue  # it is away already
            missed = absence.at_s + (session if absence.died else 0)
            back = max(absence.at_s + absence.away_s, missed) + start
            free_at[absence.worker] = back + 1
            for at, what in ((absence.at_s, "goes"), (missed, "missed"), (back, "comes")):
                changes.setdefault(at, []).append((what, absence.worker))
        return changes

    def change(self, at_s: int) -> None:
        """What happens to the group in this second."""
        happens = self.changes.get(at_s, ())
        for what, worker in happens:
            if what == "goes":
                self.there.discard(worker)
            elif what == "missed":
                self.known.discard(worker)
            else:
                self.there.add(worker)
                self.known.add(worker)
        if any(what != "goes" for what, _ in happens):
            before = self.owners
            self.owners = reassign(before, sorted(self.known))
            moved = np.flatnonzero(self.owners != before)
            self.restore_us[moved] = self._restore_us[moved]
            self.moved += len(moved)

    def working(self, workers: int) -> NDArray[np.bool_]:
        """Which workers are there."""
        mask = np.zeros(workers, dtype=bool)
        mask[sorted(self.there)] = True
        return mask


def simulate(plan: Plan, day: Day) -> Outcome:
    """Let the day go by."""
    partitions = int(plan["partitions"])
    weights = shares(partitions, day.seed)
    rates = arrival_rates(plan, day.seconds)
    chance = np.random.default_rng((day.seed, 3))
    group = _Group(plan, day, weights)
    waiting: Ints = np.zeros(partitions, dtype=np.int64)
    arrived, done = np.zeros(partitions, dtype=np.int64), np.zeros(partitions, dtype=np.int64)
    arrived_at, done_at = [arrived.astype(np.int32)], [done.astype(np.int32)]  # a partition's: far below 2^31
    waiting_at: Ints = np.zeros(day.seconds, dtype=np.int64)
    busy_us: Floats = np.zeros(day.workers)
    for second in range(day.seconds):
        group.change(second)
        came = chance.poisson(rates[second] * weights)
        waiting += came
        arrived += came
        served, used_us = _serve(plan, group, waiting, day.workers)
        waiting -= served
        done += served
        busy_us += used_us
        waiting_at[second] = waiting.sum()
        if (second + 1) % SAMPLE_S == 0:
            arrived_at.append(arrived.astype(np.int32))
            done_at.append(done.astype(np.int32))
    busy = busy_us / (day.seconds * 1e6)
    return Outcome(
        arrived=int(arrived.sum()),
        done=int(done.sum()),
        waiting=int(waiting.sum()),
        delay_s=_delays(np.array(arrived_at), np.array(done_at)),
        most_waiting=int(waiting_at.max()),
        burst_caught_up_s=_caught_up(waiting_at, rates),
        unfinished_s=int((waiting_at > CAUGHT_UP_S * rates).sum()),
        busiest_worker=float(busy.max()),
        mean_busy=float(busy.mean()),
        moved=group.moved,
        longest_stand_s=group.longest_stand_s,
        waiting_by_minute=waiting_at[59::60].tolist(),
        arrived_by_minute=[round(float(rates[first : first + 60].sum())) for first in range(0, day.seconds, 60)],
    )


def _serve(plan: Plan, group: _Group, waiting: Ints, workers: int) -> tuple[Ints, Floats]:
    """What is done of the waiting orders in a second, and what CPU each worker used for all that it did."""
    there = group.working(workers)
    owners = np.maximum(group.owners, 0)
    owned = (group.owners >= 0) & there[owners]
    budget_us = np.where(there, 1e6, 0.0)
    restoring = owned & (group.restore_us > 0)
    used_us = _restore(group, owners, restoring, waiting, budget_us)
    group.stood = np.where(owned & ~restoring, 0, group.stood + 1)
    group.longest_stand_s = max(group.longest_stand_s, int(group.stood.max()))
    ready = owned & (group.restore_us <= 0)
    open_orders = np.where(ready, waiting, 0)
    stretch = np.where(open_orders > BACKLOG_RECORDS, COMMIT_STRETCH, 1)
    commits = np.minimum(open_orders, 1 / (plan["commit_interval_s"] * stretch))
    parts = commits * (1 + fan_out(plan, open_orders / np.maximum(commits, 1e-9)))
    totals_parts = min(plan["totals_partitions"] / plan["commit_interval_s"], float(parts.sum()))
    commit_us = np.bincount(owners, parts, workers) + there * totals_parts / max(1, int(there.sum()))
    commit_us *= plan["worker_us_per_part"]
    commit_us = np.minimum(commit_us, budget_us - used_us)
    orders_us = plan["worker_us_per_order"]
    room = (budget_us - used_us - commit_us) / orders_us
    wanted = np.bincount(owners, open_orders, workers)
    part = np.minimum(1.0, room / np.maximum(wanted, 1))
    served = np.where(part[owners] >= 1, open_orders, (open_orders * part[owners]).astype(np.int64))
    return served, used_us + commit_us + np.bincount(owners, served, workers) * orders_us


def fan_out(plan: Plan, orders: Floats) -> Floats:
    """To how many partitions of the totals a commit of so many orders writes."""
    partitions = plan["totals_partitions"]
    spread: Floats = partitions * (1 - (1 - 1 / partitions) ** (orders * plan["donations_per_order"]))
    return spread


def _restore(group: _Group, owners: Ints, restoring: NDArray[np.bool_], waiting: Ints, budget_us: Floats) -> Floats:
    """Restore for a while, one partition of a worker after the other; half of the time where orders wait elsewhere."""
    used_us = np.zeros(len(budget_us))
    if not restoring.any():
        return used_us
    for worker in np.unique(owners[restoring]).tolist():
        mine = owners == worker
        others_wait = bool((waiting[mine & ~restoring] > 0).any())
        left_us = budget_us[worker] * (RESTORE_SHARE_MAX if others_wait else 1.0)
        for partition in np.flatnonzero(mine & restoring).tolist():
            takes_us = min(left_us - used_us[worker], group.restore_us[partition])
            group.restore_us[partition] -= takes_us
            used_us[worker] += takes_us
    return used_us


def _caught_up(waiting_at: Ints, rates: Floats) -> float | None:
    """Seconds from the burst's beginning until no more waits than arrives in a moment; None: never."""
    caught_up = np.flatnonzero(waiting_at <= CAUGHT_UP_S * rates)
    behind = np.flatnonzero(waiting_at > CAUGHT_UP_S * rates)
    if not len(behind):
        return 0.0
    later = caught_up[caught_up > behind[0]]
    return float(later[0] + 1) if len(later) else None


def _delays(arrived: Ints, done: Ints) -> dict[str, float]:
    """Percentiles of the time that an order waited, to `SAMPLE_S`: until its partition had done all before it and it.

    What was still waiting at the end has waited until the end at least.
    """
    samples = len(arrived)
    counts = np.zeros(samples, dtype=np.int64)  # orders by how many samples they waited
    for came, went in zip(arrived.T, done.T, strict=True):
        done_at = np.minimum(np.searchsorted(went, came), samples - 1)
        waited = done_at[1:] - np.arange(1, samples)
        np.add.at(counts, np.maximum(waited, 0), np.diff(came))
    cumulative = np.cumsum(counts)
    wanted = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {
        name: float(np.searchsorted(cumulative, share * cumulative[-1]) * SAMPLE_S) for name, share in wanted.items()
    }
