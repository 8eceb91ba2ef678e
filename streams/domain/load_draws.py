"""The random part of the load: what each order of a run is, as columns of numbers. Pure: no clock, no state.

Every number is a hash of (seed, column, index) instead of the next one of a generator. So an order depends on the seed
and its index alone: not on how a run is cut into chunks, not on the release of numpy, not on what was drawn before.
"""

from dataclasses import dataclass
from itertools import accumulate
from math import exp
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

IntArray: TypeAlias = NDArray[np.int64]
BitArray: TypeAlias = NDArray[np.uint64]
Mask: TypeAlias = NDArray[np.bool_]

PROJECTS = 30_000
BUYERS = 480_000_000
MERCHANTS = 2_500_000
_ITEMS = 900_000_000

_ZIPF_EXPONENT = 1.02  # gives the hottest of 30,000 projects a tenth of all
_LINE_COUNTS_PERMILLE = (850, 940, 980, 995)  # up to which one, two, three and four lines; five above
_LINES_PER_INDEX = 8  # room in the index of a line's hash; an order has five lines at most
_EXTRA_LINE_PLEDGED_PERCENT = 60  # of an order's lines other than the one that is sure to carry its pledge
_FIXED_2_PERMILLE, _FIXED_10_PERMILLE, _FIXED_100_PERMILLE = 700, 990, 997  # bounds; a rate pledge above
_RATE_BPS_MAX = 500
_PAID_MEDIAN_FEN, _PAID_SIGMA = 4_900, 1.1
_QUANTILES = 4_096

_GAMMA = 0x9E3779B97F4A7C15  # splitmix64, as in java.util.SplittableRandom
_MASK_64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class OrderColumns:
    """Orders and their lines. `line_counts` has one entry an order; the arrays of lines follow one another by order.

    `kind` of a line: 0 without a pledge, 1 fixed (`pledge` in fen), 2 by rate (`pledge` in basis points).
    """

    indices: IntArray
    buyers: IntArray
    merchants: IntArray
    line_counts: IntArray
    lines: IntArray
    items: IntArray
    paid_fen: IntArray
    projects: IntArray
    kinds: IntArray
    pledges: IntArray


NO_PLEDGE, FIXED, RATE = 0, 1, 2

(
    BUYER,
    MERCHANT,
    LINE_COUNT,
    UNPLEDGED,
    SURE_LINE,
    ITEM,
    PAID,
    PROJECT,
    PLEDGED,
    PLEDGE_KIND,
    BPS,
    JITTER,
    REPEAT,
    REPEATED,
    MALFORMED,
    MALFORMED_KIND,
) = range(16)


def _mix_int(value: int) -> int:
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK_64
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK_64
    return value ^ value >> 31


def draw(seed: int, column: int, indices: IntArray) -> BitArray:
    """64 random bits for each index, the same whenever seed, column and index are."""
    key = _mix_int((_mix_int(seed) + (column + 1) * _GAMMA) & _MASK_64)
    bits = indices.astype(np.uint64)
    bits *= np.uint64(_GAMMA)
    bits += np.uint64(key)
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return bits


def below(bits: BitArray, bound: int) -> IntArray:
    """Map random bits to 0 … `bound` - 1; `bound` is under 2^32, which leaves a bias of a billionth."""
    return ((bits >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)).astype(np.int64)


def chance(bits: BitArray, share: float) -> Mask:
    """True for `share` (0 to 1) of all."""
    return (bits >> np.uint64(11)) < np.uint64(round(share * (1 << 53)))


def _zipf_bounds() -> BitArray:
    """The cumulative popularity of the projects, in 2^53rds."""
    cumulative = list(accumulate(rank**-_ZIPF_EXPONENT for rank in range(1, PROJECTS + 1)))
    return np.array([int(part / cumulative[-1] * (1 << 53)) for part in cumulative], dtype=np.uint64)


def _paid_quantiles() -> IntArray:
    """What was paid, in fen, from the cheapest to the dearest: log-normal."""
    normal = NormalDist(0.0, _PAID_SIGMA)
    shares = ((step + 0.5) / (_QUANTILES + 1) for step in range(_QUANTILES + 1))
    return np.array([round(_PAID_MEDIAN_FEN * exp(normal.inv_cdf(share))) for share in shares], dtype=np.int64)


_ZIPF_BOUNDS = _zipf_bounds()
_PAID_QUANTILES = _paid_quantiles()


def draw_orders(seed: int, unpledged_share: float, indices: IntArray) -> OrderColumns:
    """The orders of a run at `indices`; `unpledged_share` of all orders carry no pledge at all."""
    line_counts = 1 + np.searchsorted(
        _LINE_COUNTS_PERMILLE, below(draw(seed, LINE_COUNT, indices), 1_000), side="right"
    ).astype(np.int64)
    ends = np.cumsum(line_counts)
    lines = np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int64) - np.repeat(ends - line_counts, line_counts)
    line_indices = np.repeat(indices * _LINES_PER_INDEX, line_counts) + lines
    merchant_bits = below(draw(seed, MERCHANT, indices), 1 << 31)
    kinds, pledges = _draw_pledges(seed, unpledged_share, indices, line_counts, lines, line_indices)
    quantile = draw(seed, PAID, line_indices)
    step = below(quantile, _QUANTILES)
    part = (quantile & np.uint64(0xFFFF)).astype(np.int64)
    paid_fen = _PAID_QUANTILES[step] + ((_PAID_QUANTILES[step + 1] - _PAID_QUANTILES[step]) * part >> 16)
    return OrderColumns(
        indices=indices,
        buyers=1 + below(draw(seed, BUYER, indices), BUYERS),
        merchants=1 + ((merchant_bits * merchant_bits >> 31) * MERCHANTS >> 31),  # a square: some sell far more
        line_counts=line_counts,
        lines=lines,
        items=1 + below(draw(seed, ITEM, line_indices), _ITEMS),
        paid_fen=np.maximum(paid_fen, np.where(kinds == FIXED, pledges, 1)),
        projects=1 + _draw_projects(seed, line_indices),
        kinds=kinds,
        pledges=pledges,
    )


def _draw_projects(seed: int, line_indices: IntArray) -> IntArray:
    return np.searchsorted(_ZIPF_BOUNDS[:-1], draw(seed, PROJECT, line_indices) >> np.uint64(11), side="right")


def _draw_pledges(  # noqa: PLR0913, PLR0917 - all of them are columns of the same orders
    seed: int,
    unpledged_share: float,
    indices: IntArray,
    line_counts: IntArray,
    lines: IntArray,
    line_indices: IntArray,
) -> tuple[IntArray, IntArray]:
    """Kind and size of each line's pledge: one line of a pledged order is sure to have one, the others often do."""
    sure_line = (below(draw(seed, SURE_LINE, indices), 1 << 31) * line_counts) >> 31
    pledged = below(draw(seed, PLEDGED, line_indices), 100) < _EXTRA_LINE_PLEDGED_PERCENT
    pledged |= lines == np.repeat(sure_line, line_counts)
    pledged &= np.repeat(~chance(draw(seed, UNPLEDGED, indices), unpledged_share), line_counts)
    permille = below(draw(seed, PLEDGE_KIND, line_indices), 1_000)
    by_rate = permille >= _FIXED_100_PERMILLE
    pledges = np.where(
        permille < _FIXED_2_PERMILLE,
        2,
        np.where(
            permille < _FIXED_10_PERMILLE,
            10,
            np.where(by_rate, 1 + below(draw(seed, BPS, line_indices), _RATE_BPS_MAX), 100),
        ),
    )
    kinds = np.where(pledged, np.where(by_rate, RATE, FIXED), NO_PLEDGE)
    return kinds, np.where(pledged, pledges, 0)


def donations_fen(orders: OrderColumns) -> IntArray:
    """The donation of each line, 0 where there is none: the contract's rule once more, for checking the pipeline.

    By rate: half up to a whole fen, at least 2 fen, never more than was paid.
    """
    by_rate = np.maximum((orders.paid_fen * orders.pledges + 5_000) // 10_000, 2)
    given = np.where(orders.kinds == RATE, by_rate, orders.pledges)
    return np.where(orders.kinds == NO_PLEDGE, 0, np.minimum(given, orders.paid_fen))
