"""The memory of order ids in Rust against its definition: any times, any number of ids, and nothing kept too long."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings

from schemas.order import FixedPledge, OrderCompleted, OrderLine, encode_order
from schemas.rejection import Reason
from streams.engine.packed import finished
from streams.native import extension
from tests.domain.orders import SOME_DAY_MS
from tests.domain.test_dedupe import HORIZON_MS, SLICE_MS, START_MS, Order, expected, streams
from tests.native.batches import records_of
from tests.native.reading import any_splitter

LATEST_MS = 250_000_000_000_000


def order_value(order: Order) -> bytes:
    fen = 100 + (order.fingerprint > 0) - (order.fingerprint < 0)
    line = OrderLine(0, "i1", 1_000, FixedPledge("P1", fen))
    return encode_order(OrderCompleted(order.order_id, "b1", "m1", order.completed_at, (line,)))


def fates(splitter: "extension.Splitter", orders: Iterable[Order]) -> list[str]:
    found = []
    for offset, order in enumerate(orders):
        splitter.fold_record(offset, LATEST_MS, b"b1", order_value(order))
        refused = splitter.take_refused()
        accepted, _, repeats, *_ = splitter.take_counts()
        assert len(refused) + accepted + repeats == 1
        assert all(refusal.reason is Reason.CONFLICT for *_, refusal in refused)
        found.append("new" if accepted else "repeat" if repeats else "conflict")
    return found


def fates_by_the_definition(orders: Sequence[Order]) -> list[str]:
    """A fingerprint covers the order's time, so what comes again at another time conflicts."""
    timed = [order._replace(fingerprint=hash((order.fingerprint, order.completed_at))) for order in orders]
    answers = zip(timed, expected(timed), strict=True)
    return ["new" if a is None else "repeat" if a == order.fingerprint else "conflict" for order, a in answers]


@settings(max_examples=300, deadline=None)
@given(streams())
def test_drawn_orders_meet_the_fates_of_the_definition(orders):
    assert fates(any_splitter(HORIZON_MS), orders) == fates_by_the_definition(orders)


@settings(max_examples=200, deadline=None)
@given(streams())
def test_a_memory_read_back_from_all_donations_goes_on_alike(orders):
    half = len(orders) // 2
    first, restored = any_splitter(HORIZON_MS), any_splitter(HORIZON_MS)
    fates(first, orders[:half])
    for batch in finished(first.take_donations()):
        for _, value, *_ in records_of(batch):
            restored.restore_record(None, value)
    restored.finish_restore(7)
    assert restored.clock_ms == first.clock_ms
    assert fates(restored, orders[half:]) == fates(first, orders[half:])


@pytest.mark.parametrize("step", [1, 8, 16, 23, 24, 25, 191, 192, 193, 255, 256, 257])
def test_ages_are_right_wherever_the_stamps_go_around(step):
    """The clock moves by `step` slices at a time, for longer than stamps take to go around."""
    splitter = any_splitter(HORIZON_MS)
    orders = []
    for turn in range(600 // step + 5):
        now_ms = START_MS + turn * step * SLICE_MS
        orders += [Order(f"t{turn}", 1, now_ms), Order("again", 0, now_ms)]
        back = [turn - slices // step for slices in (24, 25, 192, 232, 256, 280) if slices % step == 0]
        orders += [Order(f"t{then}", 1, START_MS + then * step * SLICE_MS) for then in back if then >= 0]
    assert fates(splitter, orders) == fates_by_the_definition(orders)


def test_a_hundred_thousand_ids_are_all_known_and_no_other_is():
    splitter = any_splitter(HORIZON_MS)
    count = 100_000
    value = order_value(Order("o@", 1, START_MS))
    for number in range(count):
        splitter.fold_record(number, LATEST_MS, b"b1", value.replace(b"@", b"%d" % number))
    assert splitter.take_counts()[:3] == (count, 0, 0)
    assert splitter.ids == count
    for number in range(count):
        splitter.fold_record(number, LATEST_MS, b"b1", value.replace(b"@", b"%d" % number))
    assert splitter.take_counts()[:3] == (0, 0, count)
    for number in range(count):
        splitter.fold_record(number, LATEST_MS, b"b1", value.replace(b"o@", b"x%d" % number))
    assert splitter.take_counts()[:3] == (count, 0, 0)
    assert splitter.ids == 2 * count


def test_what_is_forgotten_leaves_memory():
    splitter = any_splitter(HORIZON_MS)
    most = 0
    for number in range(200_000):  # 10 orders a ms: 2,400 to 2,500 are remembered at a time
        splitter.fold_record(number, LATEST_MS, b"b1", order_value(Order(f"o{number}", 1, START_MS + number // 10)))
        if number % 1_000 == 0:
            splitter.take_donations()
            most = max(most, splitter.ids)
    assert splitter.take_counts()[0] == 200_000
    assert 2_400 <= most <= 2 * 2_500


def test_a_leap_of_time_forgets_all():
    splitter = any_splitter(HORIZON_MS)
    fates(splitter, [Order(f"o{number}", 1, START_MS) for number in range(5_000)])
    fates(splitter, [Order("late", 1, START_MS + 25 * SLICE_MS)])
    assert splitter.ids == 1


def test_ids_a_day_ahead_and_from_the_first_millisecond_are_remembered():
    orders = [Order("o1", 1, 1), Order("o1", 1, 1), Order("o2", 1, SOME_DAY_MS), Order("o2", 1, SOME_DAY_MS)]
    assert fates(any_splitter(86_400_000), orders) == ["new", "repeat", "new", "repeat"]
