"""Orders of a wanted shape: so many projects, pledged lines, bytes; and what they must come to. Pure and seeded.

A lap is drawn once and replayed as often as it takes: each replay has order ids and event times of its own, so a
backlog of any length costs the loader little, and its sums are the lap's by the number of replays. Event time goes as
on a festival's day. A larger order has more lines without a pledge, under ids as long as the contract allows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from streams.domain import load_draws as draws
from streams.domain.load import DEFAULT_START_MS, DOUBLE11_TIMES, STEADY_ORDERS_PER_SECOND, ExpectedSums

ORDERS_PER_SECOND = STEADY_ORDERS_PER_SECOND * DOUBLE11_TIMES  # of event time
LAP_ORDERS_MAX = 1_000_000  # held in memory as bytes: some 200 MB
CHUNK_ORDERS = 8_192
PLAIN_ORDER_BYTES = 220  # about what an order of one line takes

_ZIPF_EXPONENT = 1.02  # as in the load generator: of 30,000 projects the hottest has a tenth
_ORDER_ID_BASE = 10**18
_PAID_FEN_MIN, _PAID_FEN_SPAN = 100, 50_000
_PLEDGES_FEN, _PLEDGE_BOUNDS = np.array([2, 10, 100]), np.array([700, 990])  # permille, as in the load generator
_LINES_PER_ORDER_MAX = 32
_FILLER_ID_HEX = 64

_ORDER = b'{"order_id":"%d","buyer_id":"%b","merchant_id":"m%d","completed_at":%d,"lines":[%b]}'
_LINE = b'{"line":%d,"item_id":"i%d","paid_fen":%d,"pledge":{"kind":"fixed","project_id":"P%07d","fen":%d}}'
_FILLER = b'{"line":%d,"item_id":"%b","paid_fen":4900}'
_FILLER_BYTES = len(_FILLER % (10, b"x" * _FILLER_ID_HEX)) + 1


@dataclass(frozen=True, slots=True)
class Shape:
    """All that decides the orders of a run, and what works on them. `order_bytes` is about what an order has."""

    orders: int
    partitions: int = 8
    projects: int = 30_000
    lines: int = 1
    order_bytes: int = PLAIN_ORDER_BYTES
    workers: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.lines <= _LINES_PER_ORDER_MAX:
            raise ValueError(f"lines: {self.lines} is not between 1 and {_LINES_PER_ORDER_MAX}")
        if self.orders > self.lap_orders and self.orders % self.lap_orders:
            raise ValueError(f"orders: {self.orders} is not a multiple of {self.lap_orders}")

    @property
    def lap_orders(self) -> int:
        """How many orders are drawn, before they are replayed."""
        return min(self.orders, LAP_ORDERS_MAX)

    @property
    def laps(self) -> int:
        return self.orders // self.lap_orders


@dataclass(frozen=True, slots=True)
class Lap:
    """What doesn't change from replay to replay; of the sums, what one lap comes to."""

    buyers: list[bytes]
    merchants: list[int]
    lines: list[bytes]
    sums: ExpectedSums


def make_lap(shape: Shape) -> Lap:
    """Draw the orders of a lap."""
    indices = np.arange(shape.lap_orders, dtype=np.int64)
    at = np.repeat(indices * _LINES_PER_ORDER_MAX, shape.lines) + np.tile(np.arange(shape.lines), shape.lap_orders)
    popularity = draws.draw(shape.seed, draws.PROJECT, at) >> np.uint64(11)
    projects = 1 + np.searchsorted(_zipf_bounds(shape.projects)[:-1], popularity, side="right")
    kinds = draws.below(draws.draw(shape.seed, draws.PLEDGE_KIND, at), 1_000)
    fen = _PLEDGES_FEN[np.searchsorted(_PLEDGE_BOUNDS, kinds, side="right")]
    paid_fen = _PAID_FEN_MIN + draws.below(draws.draw(shape.seed, draws.PAID, at), _PAID_FEN_SPAN)
    items = 1 + draws.below(draws.draw(shape.seed, draws.ITEM, at), 900_000_000)
    numbers = np.tile(np.arange(shape.lines), shape.lap_orders)
    columns = (numbers.tolist(), items.tolist(), paid_fen.tolist(), projects.tolist(), fen.tolist())
    rendered = [_LINE % row for row in zip(*columns, strict=True)]
    lines = [b",".join(rendered[first : first + shape.lines]) for first in range(0, len(rendered), shape.lines)]
    buyers = 1 + draws.below(draws.draw(shape.seed, draws.BUYER, indices), draws.BUYERS)
    merchants = 1 + draws.below(draws.draw(shape.seed, draws.MERCHANT, indices), draws.MERCHANTS)
    return Lap(
        [b"b%d" % buyer for buyer in buyers.tolist()],
        merchants.tolist(),
        _filled(shape, lines),
        _sums(shape, projects, fen),
    )


def replays(shape: Shape, lap: Lap) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Keys and values of all orders, in chunks."""
    for first in range(0, shape.orders, shape.lap_orders):
        for start in range(0, shape.lap_orders, CHUNK_ORDERS):
            end = min(start + CHUNK_ORDERS, shape.lap_orders)
            numbers = range(first + start, first + end)
            times = [DEFAULT_START_MS + number * 1_000 // ORDERS_PER_SECOND for number in numbers]
            ids = range(_ORDER_ID_BASE + first + start, _ORDER_ID_BASE + first + end)
            keys = lap.buyers[start:end]
            rows = zip(ids, keys, lap.merchants[start:end], times, lap.lines[start:end], strict=True)
            yield keys, [_ORDER % row for row in rows]


def expected_sums(shape: Shape, lap: Lap) -> ExpectedSums:
    """What all replays together must come to."""
    one = lap.sums
    return ExpectedSums(
        shape.orders,
        one.donations * shape.laps,
        one.fen * shape.laps,
        {name: fen * shape.laps for name, fen in one.fen_by_project.items()},
        {name: given * shape.laps for name, given in one.donations_by_project.items()},
    )


def _filled(shape: Shape, lines: list[bytes]) -> list[bytes]:
    """Each order with as many unpledged lines as bring it nearest to the wanted size; no two ids are the same."""
    missing = shape.order_bytes - PLAIN_ORDER_BYTES
    fillers = max(0, round(missing / _FILLER_BYTES))
    if fillers == 0:
        return lines
    chance = np.random.default_rng(shape.seed)
    half = _FILLER_ID_HEX // 2
    filled = []
    for line in lines:
        text = chance.bytes(half * fillers).hex().encode()
        ids = (text[at * _FILLER_ID_HEX : (at + 1) * _FILLER_ID_HEX] for at in range(fillers))
        filled.append(b",".join([line, *(_FILLER % (shape.lines + at, name) for at, name in enumerate(ids))]))
    return filled


def _sums(shape: Shape, projects: NDArray[np.int64], fen: NDArray[np.int64]) -> ExpectedSums:
    fen_by_project = np.bincount(projects, weights=fen).astype(np.int64)  # exact: a float holds 2^53
    given = np.bincount(projects)
    names = {number: f"P{number:07d}" for number in np.flatnonzero(given).tolist()}
    return ExpectedSums(
        shape.lap_orders,
        int(given.sum()),
        int(fen.sum()),
        {name: int(fen_by_project[number]) for number, name in names.items()},
        {name: int(given[number]) for number, name in names.items()},
    )


@cache
def _zipf_bounds(projects: int) -> NDArray[np.uint64]:
    """The cumulative popularity of the projects, in 2^53rds."""
    cumulative = np.cumsum(np.arange(1, projects + 1, dtype=np.float64) ** -_ZIPF_EXPONENT)
    bounds: NDArray[np.uint64] = (cumulative / cumulative[-1] * (1 << 53)).astype(np.uint64)
    return bounds
