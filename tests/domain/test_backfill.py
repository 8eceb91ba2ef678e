"""A year of orders played in one go gives the totals that the same orders gave live, in small pieces with restarts.

What may differ is what says when things came, not what was given: `revision`, `watermark_ms`, `late_fen`, and `final`
where a source fell idle. docs/contract.md says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from zlib import crc32

import msgspec
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from schemas.delta import MinuteSum, ProjectDelta, SourceWatermark, decode_delta, encode_delta
from schemas.donation import Donation
from schemas.order import FixedPledge, OrderCompleted, OrderLine, RatePledge
from schemas.totals import TotalKey, WindowKind, decode_total, encode_total, key_of
from streams.domain.dedupe import OrderMemory
from streams.domain.split import SplitOutcome, SplitState, restore_orders, split_orders
from streams.domain.totals import TotalsState
from streams.domain.windows import Calendar
from tests.domain.orders import DAY_MS, OrderRecord, record_of

HOUR_MS = 3_600_000
SOURCES = 2
PARTITIONS = 2  # of totals
LATENESS_MS = 600_000
RETENTION_MS = {WindowKind.MINUTE: 48 * HOUR_MS, WindowKind.HOUR: 40 * DAY_MS}
YEAR_START_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z
ZONES = ("Asia/Shanghai", "America/New_York", "Australia/Lord_Howe")  # two of them change their clocks
LONG = {WindowKind.DAY, WindowKind.MONTH, WindowKind.YEAR, WindowKind.ALL}

BUYERS = [next(f"b{at}" for at in range(100) if crc32(b"b%d" % at) % SOURCES == source) for source in range(SOURCES)]

calendar = cache(Calendar)


@dataclass
class Source:
    """A partition of `orders`, and what split has made of it."""

    records: list[OrderRecord]
    position: int = 0
    state: SplitState = field(default_factory=lambda: SplitState(OrderMemory(24 * HOUR_MS)))
    donations: list[Donation] = field(default_factory=list)

    def restart(self) -> None:
        self.state = SplitState(OrderMemory(24 * HOUR_MS), len(self.donations))
        restore_orders(self.state.memory, self.donations)


@dataclass
class Totals:
    """A partition of `project-deltas`, and the newest record of each key that totals has written."""

    state: TotalsState
    deltas: list[tuple[str, bytes] | SourceWatermark] = field(default_factory=list)
    position: int = 0
    newest: dict[TotalKey, bytes] = field(default_factory=dict)
    released: int = 0


class Deployment:
    """Split and totals over logs in memory, each commit when a test says so."""

    def __init__(self, zone: str, orders: Sequence[OrderCompleted]) -> None:
        self._zone = zone
        by_source: list[list[OrderRecord]] = [[] for _ in range(SOURCES)]
        for order in orders:
            records = by_source[crc32(order.buyer_id.encode()) % SOURCES]
            records.append(replace(record_of(order, len(records)), timestamp=YEAR_START_MS + 400 * DAY_MS))
        self.sources = [Source(records) for records in by_source]
        self.totals = [Totals(self._fresh()) for _ in range(PARTITIONS)]

    def _fresh(self) -> TotalsState:
        return TotalsState(calendar(self._zone), SOURCES, RETENTION_MS)

    def commit_split(self, number: int, count: int, *, idle: bool = False) -> None:
        source = self.sources[number]
        outcome = SplitOutcome()
        split_orders(source.state, source.records[source.position : source.position + count], outcome)
        source.position = min(source.position + count, len(source.records))
        source.donations += outcome.donations
        for project_id, minutes in outcome.sums.items():
            sums = tuple(MinuteSum(start_ms, cell.fen, cell.donations) for start_ms, cell in minutes.items())
            self.totals[crc32(project_id.encode()) % PARTITIONS].deltas.append(
                (project_id, encode_delta(ProjectDelta(sums)))
            )
        mark = SourceWatermark(number, max(source.state.memory.clock_ms - LATENESS_MS, 0), idle)
        for totals in self.totals:
            totals.deltas.append(mark)

    def commit_totals(self, number: int, count: int) -> None:
        totals = self.totals[number]
        for record in totals.deltas[totals.position : totals.position + count]:
            if isinstance(record, SourceWatermark):
                totals.state.advance(record)
            else:
                totals.state.add_delta(record[0], decode_delta(record[1]))
        totals.position = min(totals.position + count, len(totals.deltas))
        outcome = totals.state.take_outcome()
        totals.newest.update((key_of(total), encode_total(total)) for total in outcome.totals)
        for key in outcome.tombstones:
            del totals.newest[key]
            totals.released += 1

    def play_round(self, count: int) -> None:
        """A commit of each source, and then of each partition of totals with all that there is."""
        for number in range(SOURCES):
            self.commit_split(number, count)
        for number, totals in enumerate(self.totals):
            self.commit_totals(number, len(totals.deltas))

    def restart_totals(self, number: int) -> None:
        totals = self.totals[number]
        metadata = totals.state.watermarks.encode()
        totals.state = self._fresh()
        for wire in totals.newest.values():
            totals.state.restore(decode_total(wire))
        totals.state.watermarks.restore(metadata)
        totals.state.finish_restore()

    def finish(self) -> "Deployment":
        self.play_round(max(len(source.records) for source in self.sources))
        return self

    def wires(self) -> dict[TotalKey, bytes]:
        return {key: wire for totals in self.totals for key, wire in totals.newest.items()}


def without(wires: dict[TotalKey, bytes], **fields: object) -> dict[TotalKey, bytes]:
    """The totals as bytes, with `fields` set to the same everywhere."""
    return {key: encode_total(msgspec.structs.replace(decode_total(wire), **fields)) for key, wire in wires.items()}


WHAT_CAME_WHEN = {"revision": 0, "watermark_ms": 0, "late_fen": 0}

PLEDGES = st.one_of(
    st.none(),
    st.builds(FixedPledge, st.sampled_from(["P1", "P2", "P3"]), st.integers(1, 200)),
    st.builds(RatePledge, st.sampled_from(["P1", "P2", "P3"]), st.integers(1, 10_000)),
)


def one_each(number: int, at_ms: int) -> list[OrderCompleted]:
    """An order for each source, so that its watermark is heard."""
    lines = (OrderLine(0, "i1", 100, FixedPledge("P1", 5)),)
    return [OrderCompleted(f"each-{number}-{buyer}", buyer, "m1", at_ms, lines) for buyer in BUYERS]


@st.composite
def years(draw: st.DrawFn, latest_ms: int) -> list[OrderCompleted]:
    """A year of orders as they came: in about the order of their times, some late by up to `latest_ms`, some again."""
    orders = one_each(0, YEAR_START_MS)
    now_ms = YEAR_START_MS
    steps = st.sampled_from([0, 1_000, 59_000, HOUR_MS, 3 * DAY_MS, 11 * DAY_MS, 50 * DAY_MS])
    for number, step_ms in enumerate(draw(st.lists(steps, min_size=6, max_size=30))):
        now_ms = min(now_ms + step_ms, YEAR_START_MS + 366 * DAY_MS - 1)
        if draw(st.integers(0, 6)) == 0:
            again = draw(st.sampled_from(orders))
            orders.append(again if draw(st.booleans()) else msgspec.structs.replace(again, merchant_id="m2"))
            continue
        late_ms = draw(st.sampled_from([0, 0, 30_000, 3 * HOUR_MS, latest_ms]))
        pledges = draw(st.lists(PLEDGES, min_size=1, max_size=3))
        lines = tuple(OrderLine(at, "i1", draw(st.integers(1, 10**6)), pledge) for at, pledge in enumerate(pledges))
        buyer = draw(st.sampled_from(BUYERS))
        orders.append(OrderCompleted(f"o{number}", buyer, "m1", max(now_ms - late_ms, 1), lines))
    return orders + one_each(1, now_ms + draw(st.sampled_from([0, 0, HOUR_MS, 49 * HOUR_MS, 50 * DAY_MS])))


COUNTS = st.integers(1, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("split"), st.integers(0, SOURCES - 1), COUNTS),
        st.tuples(st.just("totals"), st.integers(0, PARTITIONS - 1), COUNTS),
        st.tuples(st.just("round"), st.just(0), COUNTS),
        st.tuples(st.just("restart split"), st.integers(0, SOURCES - 1), st.just(0)),
        st.tuples(st.just("restart totals"), st.integers(0, PARTITIONS - 1), st.just(0)),
    ),
    min_size=8,
    max_size=60,
)


def live(
    zone: str, orders: list[OrderCompleted], steps: list[tuple[str, int, int]], *, idle: bool = False
) -> Deployment:
    deployment = Deployment(zone, orders)
    for what, which, count in steps:
        if what == "split":
            deployment.commit_split(which, count, idle=idle and count == 1)
        elif what == "totals":
            deployment.commit_totals(which, count)
        elif what == "round":
            deployment.play_round(count)
        elif what == "restart split":
            deployment.sources[which].restart()
        else:
            deployment.restart_totals(which)
    return deployment.finish()


@settings(max_examples=300)
@given(st.sampled_from(ZONES), years(latest_ms=47 * HOUR_MS), STEPS)
def test_a_backfill_in_one_go_gives_the_totals_of_live_play_byte_for_byte(
    zone: str, orders: list[OrderCompleted], steps: list[tuple[str, int, int]]
) -> None:
    backfill, played = Deployment(zone, orders).finish(), live(zone, orders, steps)
    assert without(played.wires(), **WHAT_CAME_WHEN) == without(backfill.wires(), **WHAT_CAME_WHEN)
    assert [source.donations for source in played.sources] == [source.donations for source in backfill.sources]


@settings(max_examples=300)
@given(st.sampled_from(ZONES), years(latest_ms=60 * DAY_MS), STEPS)
def test_days_and_longer_are_the_same_however_late_orders_came_and_whoever_was_idle(
    zone: str, orders: list[OrderCompleted], steps: list[tuple[str, int, int]]
) -> None:
    backfill, played = Deployment(zone, orders).finish(), live(zone, orders, steps, idle=True)
    of_backfill, of_live = (
        {key: wire for key, wire in without(each.wires(), **WHAT_CAME_WHEN, final=False).items() if key.window in LONG}
        for each in (backfill, played)
    )
    assert of_live == of_backfill


@pytest.mark.parametrize(
    "reached",
    [
        lambda played: any(decode_total(wire).late_fen for wire in played.wires().values()),
        lambda played: any(decode_total(wire).final for key, wire in played.wires().items() if key.window in LONG),
        lambda played: sum(totals.released for totals in played.totals) > 5,
        lambda played: sum(len(source.records) - len(source.donations) for source in played.sources) > 2,
    ],
    ids=["late", "final", "released", "repeated"],
)
def test_such_years_reach_what_could_make_a_difference(reached: Callable[[Deployment], bool]) -> None:
    found = find(
        st.tuples(st.sampled_from(ZONES), years(latest_ms=47 * HOUR_MS), STEPS),
        lambda drawn: reached(live(*drawn)),
        settings=settings(max_examples=2_000, phases=[Phase.generate]),
    )
    assert found
