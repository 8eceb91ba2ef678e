"""Realistic load: the records of `orders` that a plan says, as bytes. Pure, seeded, reproducible.

A chunk of records is a function of the plan and the indices of its orders, so the same plan gives the same bytes
whichever way it is cut, and any part of it can be made again. Repeats and malformed records come on top of the plan's
orders, which are all valid: exactly those are what must be accepted (`expected_sums`).

The random numbers come from `load_draws`, the faults of malformed records from `load_malformed`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from schemas import limits
from schemas.units import HOUR_MS, MINUTE_MS
from streams.domain import load_draws as draws
from streams.domain.load_draws import IntArray, OrderColumns
from streams.domain.load_malformed import FAULTS, OVERSIZED

DEFAULT_START_MS = 1_605_024_000_000  # 2020-11-11T00:00:00+08:00
DEFAULT_UNPLEDGED_SHARE = 0.02
CHUNK_ORDERS = 8_192  # costs some 10 MB while it is made; larger chunks aren't faster
REPEAT_LOOK_BACK_ORDERS = 5_000  # a repeat is of one of so many orders before it
STEADY_ORDERS_PER_SECOND = 317  # a normal day
DOUBLE11_TIMES = 15
JITTER_MS = 3_000  # orders reach us out of order by so much

# An order id is 19 digits that fit 63 bits: 10^18 + seed · 10^11 + index. So runs of different seeds share no id.
_ORDER_ID_BASE = 10**18
_IDS_PER_SEED = 10**11
SEED_MAX = 81_999_999
ORDERS_MAX = 9 * 10**10
_MALFORMED_INDEX_BASE = ORDERS_MAX  # malformed records take ids of their own, so that mended ones are new orders
_OVERSIZED_SHARE = 1 / 500  # of the malformed: each is a megabyte

# Double 11 by minute of the hour, in orders: 8, 5, 3 and 2 times the mean in the first four, 3/4 of it in the others.
_MEAN_PER_MINUTE = STEADY_ORDERS_PER_SECOND * DOUBLE11_TIMES * 60
_PER_MINUTE: IntArray = np.array(
    [_MEAN_PER_MINUTE * 4 * times // 4 for times in (8, 5, 3, 2)] + [_MEAN_PER_MINUTE * 3 // 4] * 56
)
_BEFORE_MINUTE: IntArray = np.concatenate(([0], np.cumsum(_PER_MINUTE)))

_ORDER = b'{"order_id":"%d","buyer_id":"b%d","merchant_id":"m%d","completed_at":%d,"lines":[%b]}'
_BARE_LINE = b'{"line":%d,"item_id":"i%d","paid_fen":%d}'
_NULL_LINE = b'{"line":%d,"item_id":"i%d","paid_fen":%d,"pledge":null}'
_FIXED_LINE = b'{"line":%d,"item_id":"i%d","paid_fen":%d,"pledge":{"kind":"fixed","project_id":"P%05d","fen":%d}}'
_RATE_LINE = b'{"line":%d,"item_id":"i%d","paid_fen":%d,"pledge":{"kind":"rate","project_id":"P%05d","bps":%d}}'

EventTimes: TypeAlias = Callable[[IntArray], IntArray]
"""The event time (ms) of each order, by its index."""


class Scenario(StrEnum):
    """How fast event time goes by."""

    STEADY = "steady"
    DOUBLE11 = "double11"


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """All that decides a run's records. Shares are of the orders, 0 to 1. Raises ValueError, naming the field."""

    orders: int
    seed: int = 1
    scenario: Scenario = Scenario.STEADY
    start_ms: int = DEFAULT_START_MS
    repeats_share: float = 0.0
    malformed_share: float = 0.0
    unpledged_share: float = DEFAULT_UNPLEDGED_SHARE

    def __post_init__(self) -> None:
        if not 0 <= self.orders <= ORDERS_MAX:
            raise ValueError(f"orders: {self.orders} is not between 0 and {ORDERS_MAX}")
        if not 0 <= self.seed <= SEED_MAX:
            raise ValueError(f"seed: {self.seed} is not between 0 and {SEED_MAX}")
        for name in ("repeats", "malformed", "unpledged"):
            share = getattr(self, f"{name}_share")
            if not 0 <= share <= 1:  # also refuses NaN
                raise ValueError(f"{name}: {share} is not between 0 and 1")
        if self.start_ms < limits.EVENT_TIME_MIN_MS or self.end_ms > limits.EVENT_TIME_MAX_MS:
            raise ValueError("start: the orders' times don't fit between 1970 and 9999")

    @property
    def end_ms(self) -> int:
        """No order's event time is later."""
        last = np.array([max(self.orders - 1, 0)], dtype=np.int64)
        return int(_regular_times(self, last)[0]) + JITTER_MS


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records in the order of sending, with what they amount to: `donations` and `fen` are the good orders'."""

    keys: list[bytes | None]
    values: list[bytes | None]
    orders: int
    repeats: int
    malformed: int
    donations: int
    fen: int


@dataclass(slots=True)
class ExpectedSums:
    """What a run must come to once each of its orders is accepted once."""

    orders: int = 0
    donations: int = 0
    fen: int = 0
    fen_by_project: dict[str, int] = field(default_factory=dict)
    donations_by_project: dict[str, int] = field(default_factory=dict)


def planned_times(plan: LoadPlan) -> EventTimes:
    """Event times as the plan's scenario has them, each late by up to `JITTER_MS`."""

    def times(indices: IntArray) -> IntArray:
        return _regular_times(plan, indices) + draws.below(draws.draw(plan.seed, draws.JITTER, indices), JITTER_MS)

    return times


def make_chunks(plan: LoadPlan, chunk_orders: int = CHUNK_ORDERS) -> Iterator[Chunk]:
    """All records of the run. How it is cut into chunks changes no record."""
    times = planned_times(plan)
    for first in range(0, plan.orders, chunk_orders):
        yield make_chunk(plan, first, min(chunk_orders, plan.orders - first), times)


def make_chunk(plan: LoadPlan, first: int, count: int, times: EventTimes) -> Chunk:
    """Orders `first` to `first + count - 1`, each followed by the repeat and the malformed record that fall to it.

    `times` is asked for these orders and for up to `REPEAT_LOOK_BACK_ORDERS` before the last of them.
    """
    indices = np.arange(first, first + count, dtype=np.int64)
    columns = draws.draw_orders(plan.seed, plan.unpledged_share, indices)
    keys, values = _render(plan.seed, columns, times(indices))
    given_fen = draws.donations_fen(columns)
    records: tuple[list[bytes | None], list[bytes | None]] = ([*keys], [*values])
    after = [indices]
    repeats = _repeats(plan, indices)
    if len(repeats):
        back = draws.below(draws.draw(plan.seed, draws.REPEATED, repeats), 1 << 31)
        repeated = repeats - (back * np.minimum(repeats + 1, REPEAT_LOOK_BACK_ORDERS) >> 31)
        again = draws.draw_orders(plan.seed, plan.unpledged_share, repeated)
        _extend(records, *_render(plan.seed, again, times(repeated)))
        after.append(repeats)
    malformed = indices[draws.chance(draws.draw(plan.seed, draws.MALFORMED, indices), plan.malformed_share)]
    if len(malformed):
        _extend(records, *_spoil(plan, malformed, times(malformed)))
        after.append(malformed)
    if len(after) > 1:
        sequence = np.argsort(np.concatenate(after), kind="stable").tolist()
        records = ([records[0][at] for at in sequence], [records[1][at] for at in sequence])
    return Chunk(
        keys=records[0],
        values=records[1],
        orders=count,
        repeats=len(repeats),
        malformed=len(malformed),
        donations=int(np.count_nonzero(given_fen)),
        fen=int(given_fen.sum()),
    )


def expected_sums(plan: LoadPlan) -> ExpectedSums:
    """Add up the run from its numbers, without making a record."""
    sums = ExpectedSums(orders=plan.orders)
    fen_by_project = np.zeros(draws.PROJECTS + 1, dtype=np.int64)
    donations_by_project = np.zeros(draws.PROJECTS + 1, dtype=np.int64)
    for first in range(0, plan.orders, CHUNK_ORDERS):
        indices = np.arange(first, min(first + CHUNK_ORDERS, plan.orders), dtype=np.int64)
        columns = draws.draw_orders(plan.seed, plan.unpledged_share, indices)
        given_fen = draws.donations_fen(columns)
        np.add.at(fen_by_project, columns.projects, given_fen)
        np.add.at(donations_by_project, columns.projects, given_fen > 0)
    for project in np.flatnonzero(donations_by_project).tolist():
        name = f"P{project:05d}"
        sums.fen_by_project[name] = int(fen_by_project[project])
        sums.donations_by_project[name] = int(donations_by_project[project])
    sums.donations = int(donations_by_project.sum())
    sums.fen = int(fen_by_project.sum())
    return sums


def _regular_times(plan: LoadPlan, indices: IntArray) -> IntArray:
    """Event times without the jitter: orders evenly spaced, in double11 within each minute of the hour."""
    if plan.scenario is Scenario.STEADY:
        return plan.start_ms + indices * 1_000 // STEADY_ORDERS_PER_SECOND
    into_hour_ms = plan.start_ms % HOUR_MS
    minute, into_minute_ms = divmod(into_hour_ms, MINUTE_MS)
    skipped = int(_BEFORE_MINUTE[minute] + _PER_MINUTE[minute] * into_minute_ms // MINUTE_MS)
    hours, rest = np.divmod(indices + skipped, int(_BEFORE_MINUTE[-1]))
    minutes = np.searchsorted(_BEFORE_MINUTE, rest, side="right") - 1
    in_minute_ms = (rest - _BEFORE_MINUTE[minutes]) * MINUTE_MS // _PER_MINUTE[minutes]
    times: IntArray = plan.start_ms - into_hour_ms + hours * HOUR_MS + minutes * MINUTE_MS + in_minute_ms
    return times.clip(min=plan.start_ms)  # the division by which `skipped` came about rounds down


def _repeats(plan: LoadPlan, indices: IntArray) -> IntArray:
    """The orders after which an earlier one is sent again."""
    return indices[draws.chance(draws.draw(plan.seed, draws.REPEAT, indices), plan.repeats_share)]


def _spoil(plan: LoadPlan, after: IntArray, times: IntArray) -> tuple[list[bytes | None], list[bytes | None]]:
    """One malformed record for each index in `after`."""
    columns = draws.draw_orders(plan.seed, plan.unpledged_share, after + _MALFORMED_INDEX_BASE)
    bits = draws.draw(plan.seed, draws.MALFORMED_KIND, after)
    kinds = np.where(draws.chance(bits << np.uint64(32), _OVERSIZED_SHARE), OVERSIZED, draws.below(bits, OVERSIZED))
    keys, values = _render(plan.seed, columns, times)
    spoilt = [FAULTS[kind].apply(key, value) for kind, key, value in zip(kinds.tolist(), keys, values, strict=True)]
    return [key for key, _ in spoilt], [value for _, value in spoilt]


def _extend(
    records: tuple[list[bytes | None], list[bytes | None]],
    keys: list[bytes] | list[bytes | None],
    values: list[bytes] | list[bytes | None],
) -> None:
    records[0].extend(keys)
    records[1].extend(values)


def _render(seed: int, columns: OrderColumns, times: IntArray) -> tuple[list[bytes], list[bytes]]:
    """Keys and values. Bytes by template: an encoder of objects would cost several times as much."""
    lines = _render_lines(columns)
    if len(lines) > len(columns.indices):
        starts = (np.cumsum(columns.line_counts) - columns.line_counts).tolist()
        counts = columns.line_counts.tolist()
        lines = [
            lines[start] if count == 1 else b",".join(lines[start : start + count])
            for start, count in zip(starts, counts, strict=True)
        ]
    buyers = columns.buyers.tolist()
    order_ids = (columns.indices + (_ORDER_ID_BASE + seed * _IDS_PER_SEED)).tolist()
    merchants, completed_at = columns.merchants.tolist(), times.tolist()
    values = [_ORDER % row for row in zip(order_ids, buyers, merchants, completed_at, lines, strict=True)]
    return [b"b%d" % buyer for buyer in buyers], values


def _render_lines(columns: OrderColumns) -> list[bytes]:
    names = ("lines", "items", "paid_fen", "projects", "pledges")
    rows = zip(*(getattr(columns, name).tolist() for name in names), strict=True)
    kinds = columns.kinds.tolist()
    return [
        _FIXED_LINE % row if kind == draws.FIXED else _render_other_line(kind, row)
        for kind, row in zip(kinds, rows, strict=True)
    ]


def _render_other_line(kind: int, row: tuple[int, int, int, int, int]) -> bytes:
    """A line by rate, or one without a pledge: the contract lets `pledge` be null or absent, so both come."""
    if kind == draws.RATE:
        return _RATE_LINE % row
    return (_NULL_LINE if row[1] % 2 else _BARE_LINE) % row[:3]
