from streams.domain.freshness import MARKS_MAX, Freshness, Look


def look(at_ms, *, orders_end, orders_done=0, deltas_done=0, deltas_end=0, totals_end=0):
    """One partition of each topic."""
    return Look({0: orders_done}, {0: deltas_done}, {0: deltas_end}, {0: totals_end}, at_ms, {0: orders_end})


def test_nothing_is_said_before_a_mark_has_come_through():
    fresh = Freshness()
    fresh.look(look(1_000, orders_end=5), {0: 0})
    assert fresh.as_of_ms is None


def test_a_mark_goes_through_orders_deltas_and_totals_in_turn():
    fresh = Freshness()
    fresh.look(look(1_000, orders_end=5), {0: 0})
    fresh.look(look(2_000, orders_end=5, orders_done=5, deltas_end=7), {0: 0})
    assert fresh.as_of_ms is None
    fresh.look(look(3_000, orders_end=5, orders_done=5, deltas_done=7, deltas_end=7, totals_end=9), {0: 8})
    assert fresh.as_of_ms is None
    fresh.read({0: 9})
    assert fresh.as_of_ms == 1_000


def test_an_order_that_waits_holds_the_moment_back_however_far_the_rest_is():
    fresh = Freshness()
    for second in range(1, 60):
        fresh.look(look(second * 1_000, orders_end=5, orders_done=4, deltas_done=9, deltas_end=9), {0: 99})
    assert fresh.as_of_ms is None


def test_every_partition_counts():
    fresh = Freshness()
    fresh.look(Look({}, {}, {0: 0, 1: 0}, {0: 0}, 1_000, {0: 3, 1: 3}), {0: 0})
    for done in ({0: 3}, {0: 3, 1: 2}):
        fresh.look(Look(done, {0: 9, 1: 9}, {0: 0, 1: 0}, {0: 0}, 2_000, {0: 3, 1: 3}), {0: 0})
    assert fresh.as_of_ms is None


def test_marks_are_bounded_and_go_on_after_a_long_outage():
    fresh = Freshness()
    for second in range(10 * MARKS_MAX):
        fresh.look(look(second, orders_end=5), {0: 0})
    for second in range(10 * MARKS_MAX, 10 * MARKS_MAX + 5):
        fresh.look(look(second, orders_end=5, orders_done=5), {0: 0})
    assert fresh.as_of_ms >= 10 * MARKS_MAX
