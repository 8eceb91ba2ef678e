"""The memory of order ids against a plain dictionary, in any cut into batches and over any restart."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.dedupe import OrderMemory
from streams.domain.horizon import SLICES, restore_from_ms

SLICE_MS = 10
HORIZON_MS = SLICES * SLICE_MS
START_MS = 1_605_024_000_000


class Order(NamedTuple):
    order_id: str
    fingerprint: int
    completed_at: int


class PlainMemory:
    """The definition, word by word."""

    def __init__(self) -> None:
        self.clock_ms = 0
        self.stamps: dict[str, tuple[int, int]] = {}

    def known(self, order_id: str) -> int | None:
        fingerprint, stamp = self.stamps.get(order_id, (None, -(10**9)))
        return fingerprint if self.clock_ms // SLICE_MS - stamp <= SLICES else None

    def remember(self, order: Order) -> None:
        self.clock_ms = max(self.clock_ms, order.completed_at)
        self.stamps[order.order_id] = (order.fingerprint, self.clock_ms // SLICE_MS)


def expected(orders: Iterable[Order]) -> list[int | None]:
    memory, answers = PlainMemory(), []
    for order in orders:
        answers.append(memory.known(order.order_id))
        if answers[-1] is None:
            memory.remember(order)
    return answers


def answers_of(memory: OrderMemory, batches: Iterable[Sequence[Order]]) -> list[int | None]:
    answers = []
    for batch in batches:
        memory.recall([order.order_id for order in batch])
        for order in batch:
            answers.append(memory.known(order.order_id))
            if answers[-1] is None:
                memory.remember(*order)
    return answers


def cut(orders: Sequence[Order], cuts: Iterable[int]) -> list[Sequence[Order]]:
    edges = [0, *sorted(min(edge, len(orders)) for edge in cuts), len(orders)]
    return [orders[start:end] for start, end in pairwise(edges)]


def all_alike(order_ids: Iterable[str]) -> Iterable[int]:
    return [-(2**63) for _ in order_ids]


def in_three(order_ids: Iterable[str]) -> Iterable[int]:
    return [(hash(order_id) % 3 - 1) * (2**63 - 1) for order_id in order_ids]


ahead_ms = st.one_of(
    st.integers(0, 2 * SLICE_MS),
    st.integers(0, 2 * SLICE_MS),
    st.integers(-2 * HORIZON_MS, 0),
    st.integers(HORIZON_MS - 2 * SLICE_MS, HORIZON_MS + 2 * SLICE_MS),
    st.sampled_from([SLICE_MS, 16 * SLICE_MS, 232 * SLICE_MS, 256 * SLICE_MS, 2_560 * SLICE_MS]),
)


@st.composite
def streams(draw: st.DrawFn) -> list[Order]:
    """Orders of few ids, so that they come again; most a little later than all before, some late, some far on."""
    orders, clock_ms = [], START_MS
    drawn = st.tuples(st.integers(0, 8), st.integers(-1, 1), ahead_ms)
    least = draw(st.sampled_from([0, 30, 80]))  # left alone, lists are short
    for name, fingerprint, ahead in draw(st.lists(drawn, min_size=least, max_size=120)):
        orders.append(Order(f"o{name}", fingerprint * (2**63 - 1), clock_ms + ahead))
        clock_ms = max(clock_ms, clock_ms + ahead)
    return orders


memories = st.builds(
    lambda options, recent_min, small_min: OrderMemory(
        HORIZON_MS, recent_min=recent_min, small_min=small_min, **options
    ),
    st.sampled_from([{}, {"first_hashes": all_alike}, {"first_hashes": in_three}]),
    st.sampled_from([0, 2, 5, 1_000]),
    st.sampled_from([0, 4, 1_000]),
)
cuts = st.lists(st.integers(0, 120), max_size=30)


@settings(max_examples=200)
@given(streams(), cuts, memories)
def test_any_cut_into_batches_gives_the_answers_of_a_plain_dictionary(orders, edges, memory):
    assert answers_of(memory, cut(orders, edges)) == expected(orders)


@settings(max_examples=200)
@given(streams(), cuts, cuts, st.integers(0, 120), st.tuples(memories, memories))
def test_a_restart_from_the_end_of_donations_changes_no_answer(orders, edges, pieces, stop, two_memories):
    never_stopped, restored = two_memories
    before = answers_of(never_stopped, cut(orders[:stop], edges))
    donations = [order for order, answer in zip(orders, before, strict=False) if answer is None]
    if donations:
        from_ms = restore_from_ms(HORIZON_MS, donations[-1].completed_at)
        first = next(index for index, order in enumerate(donations) if order.completed_at >= from_ms)
        for piece in cut(donations[first:], pieces):
            restored.remember_many(*([list(column) for column in zip(*piece, strict=True)] or [[], [], []]))
    assert restored.clock_ms == never_stopped.clock_ms
    after = answers_of(never_stopped, cut(orders[stop:], edges))
    assert answers_of(restored, cut(orders[stop:], edges)) == after
    assert before + after == expected(orders)


@pytest.mark.parametrize("recent_min", [0, 1_000])
@pytest.mark.parametrize(
    ("first_at", "clock_ms", "known"),
    [
        (START_MS, START_MS + HORIZON_MS, 7),
        (START_MS, START_MS + HORIZON_MS + SLICE_MS - 1, 7),
        (START_MS, START_MS + HORIZON_MS + SLICE_MS, None),
        (START_MS + SLICE_MS - 1, START_MS + SLICE_MS - 1 + HORIZON_MS, 7),
        (START_MS + SLICE_MS - 1, START_MS + SLICE_MS + HORIZON_MS, None),
        (START_MS, START_MS + 10_000 * HORIZON_MS, None),
    ],
)
def test_an_id_is_remembered_for_the_horizon_and_a_slice_at_most(recent_min, first_at, clock_ms, known):
    memory = OrderMemory(HORIZON_MS, recent_min=recent_min)
    memory.recall(["a"])
    memory.remember("a", 7, first_at)
    memory.recall(["a", "b"])
    assert memory.known("a") == 7
    memory.remember("b", 8, clock_ms)
    assert memory.known("a") == known  # forgotten in the middle of a batch, too
    memory.recall(["a", "b"])
    assert (memory.known("a"), memory.known("b")) == (known, 8)


def test_a_late_order_is_remembered_from_the_clock_not_from_its_own_time():
    memory = OrderMemory(HORIZON_MS)
    memory.remember("now", 1, START_MS)
    memory.remember("late", 2, START_MS - 10 * HORIZON_MS)
    assert memory.clock_ms == START_MS
    memory.remember("next", 3, START_MS + HORIZON_MS)
    assert memory.known("late") == 2


def test_a_forgotten_id_does_not_come_back_when_its_stamp_has_gone_around():
    memory = OrderMemory(HORIZON_MS, recent_min=3)
    memory.recall([])
    for order_id in "abcd":
        memory.remember(order_id, 1, START_MS)
    # 16 slices an order: the dictionary never has enough to be packed, so nothing is merged on the way.
    for step in range(1, 100):
        memory.recall(["a"])
        assert (memory.known("a") is None) == (step > 2)
        memory.remember(f"later {step}", 1, START_MS + 16 * step * SLICE_MS)


@pytest.mark.parametrize("leap", [256, 2_560, 256 + SLICES])
def test_a_leap_of_time_forgets_all_though_stamps_go_around(leap):
    memory = OrderMemory(HORIZON_MS, recent_min=0)
    later = Order("b", 2, START_MS + leap * SLICE_MS)
    batches = [[Order("a", 1, START_MS)], [later], [Order("a", 3, later.completed_at)]]
    assert answers_of(memory, batches) == [None, None, None]


def test_ids_of_several_slices_that_are_packed_at_once_keep_their_stamps():
    memory = OrderMemory(HORIZON_MS, recent_min=20)
    orders = [Order(f"o{number}", number, START_MS + number * SLICE_MS) for number in range(SLICES)]
    answers_of(memory, [orders, [Order("last", 0, START_MS + (SLICES + 10) * SLICE_MS)]])
    memory.recall([order.order_id for order in orders])
    assert [memory.known(order.order_id) for order in orders] == [None] * 10 + [*range(10, SLICES)]


def test_ids_of_one_first_hash_are_told_apart():
    memory = OrderMemory(HORIZON_MS, first_hashes=all_alike, recent_min=10, small_min=100)
    orders = [Order(f"o{number}", number, START_MS) for number in range(500)]
    assert answers_of(memory, [orders[:250], orders[250:], []]) == [None] * 500
    others = [f"x{number}" for number in range(500)]
    memory.recall([order.order_id for order in orders] + others)
    assert [memory.known(order.order_id) for order in orders] == list(range(500))
    assert [memory.known(order_id) for order_id in others] == [None] * 500


def test_what_is_forgotten_leaves_memory():
    memory = OrderMemory(HORIZON_MS, recent_min=100, small_min=500)
    most = 0
    for start in range(0, 100_000, 50):  # 10 orders a ms: 2,500 are remembered at a time
        batch = [Order(f"o{number}", number, START_MS + number // 10) for number in range(start, start + 50)]
        assert answers_of(memory, [batch]) == [None] * 50
        most = max(most, len(memory))
    assert 2_400 <= most <= 2_500 + 100 + 500 + 50 + 100


def test_a_restore_begins_with_the_oldest_donation_that_is_remembered():
    assert restore_from_ms(HORIZON_MS, START_MS + SLICE_MS - 1) == START_MS - HORIZON_MS
    assert restore_from_ms(HORIZON_MS, START_MS + SLICE_MS) == START_MS - HORIZON_MS + SLICE_MS
    assert restore_from_ms(HORIZON_MS, HORIZON_MS - 1) == 0


def test_a_restore_over_a_leap_of_time_remembers_nothing_from_before_it():
    memory = OrderMemory(HORIZON_MS)
    memory.remember_many(["a", "b"], [1, 2], [START_MS, START_MS + 256 * SLICE_MS])
    memory.recall(["a", "b"])
    assert (memory.known("a"), memory.known("b")) == (None, 2)


def test_a_restore_of_many_pieces_remembers_the_last_horizon():
    count = 100_000
    memory = OrderMemory(HORIZON_MS)
    ids = [f"o{number}" for number in range(count)]
    memory.remember_many(ids, range(count), [START_MS + number // 200 for number in range(count)])
    assert memory.clock_ms == START_MS + 499
    memory.recall(ids)
    first_remembered = ((499 // SLICE_MS) - SLICES) * SLICE_MS * 200
    assert [memory.known(order_id) for order_id in ids] == [None] * first_remembered + [*range(first_remembered, count)]


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="as many fingerprints and times as order ids"):
        OrderMemory(HORIZON_MS).remember_many(["a", "b"], [1, 2], [START_MS])


def test_a_horizon_too_short_to_be_cut_is_refused():
    with pytest.raises(ValueError, match="23 ms"):
        OrderMemory(SLICES - 1)
