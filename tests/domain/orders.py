"""Orders for the tests of the pure rules: a strategy, and records as the folds take them."""

import itertools
from dataclasses import dataclass

from hypothesis import strategies as st

from schemas.order import FixedPledge, OrderCompleted, OrderLine, RatePledge, encode_order

DAY_MS = 86_400_000
SOME_DAY_MS = 1_605_024_000_000  # 2020-11-11T00:00:00+08:00


@dataclass(frozen=True)
class OrderRecord:
    """A record of `orders` as a consumer gives it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


PLEDGES = st.one_of(
    st.none(),
    st.builds(FixedPledge, st.sampled_from(["P1", "P2", "P3"]), st.integers(1, 200)),
    st.builds(RatePledge, st.sampled_from(["P1", "P2", "P3"]), st.integers(1, 10_000)),
)


FEW_IDS = st.sampled_from([f"o{number}" for number in range(12)])


@st.composite
def orders(draw: st.DrawFn, order_ids: st.SearchStrategy[str] | None = None) -> OrderCompleted:
    """An order of up to four lines within two days; ids from a small set, so that repeats and conflicts happen."""
    lines = draw(st.lists(st.tuples(st.integers(1, 100_000), PLEDGES), min_size=1, max_size=4))
    return OrderCompleted(
        order_id=draw(FEW_IDS if order_ids is None else order_ids),
        buyer_id=draw(st.sampled_from(["b1", "b2"])),
        merchant_id="m1",
        completed_at=draw(st.integers(SOME_DAY_MS, SOME_DAY_MS + 2 * DAY_MS)),
        lines=tuple(OrderLine(index, f"i{index}", paid, pledge) for index, (paid, pledge) in enumerate(lines)),
    )


def record_of(order: OrderCompleted, offset: int) -> OrderRecord:
    """The order as a record appended when it was completed."""
    return OrderRecord(offset, order.completed_at, order.buyer_id.encode(), encode_order(order))


def cut(items: list, points: list[int]) -> list[list]:
    """`items` in the pieces that `points` (any integers) cut them into, empty ones included."""
    places = sorted({point % (len(items) + 1) for point in points} | {0, len(items)})
    return [items[start:end] for start, end in itertools.pairwise(places)]
