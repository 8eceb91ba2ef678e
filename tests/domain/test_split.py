"""Split: orders become donations, refusals and partial sums."""

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from schemas.limits import FUTURE_TOLERANCE_MS
from schemas.order import FixedPledge, OrderCompleted, OrderLine
from schemas.rejection import Reason
from streams.domain.dedupe import OrderMemory
from streams.domain.programme import donation_fen
from streams.domain.split import SplitOutcome, SplitState, restore_orders, split_orders
from tests.domain.orders import DAY_MS, SOME_DAY_MS, OrderRecord, cut, orders, record_of

HORIZON_MS = DAY_MS


def fresh_state() -> SplitState:
    return SplitState(OrderMemory(HORIZON_MS))


def split(records: list[OrderRecord], state: SplitState | None = None) -> SplitOutcome:
    outcome = SplitOutcome()
    split_orders(state or fresh_state(), records, outcome)
    return outcome


def an_order(order_id: str = "o1", fen: int = 2, completed_at: int = SOME_DAY_MS) -> OrderCompleted:
    return OrderCompleted(order_id, "b1", "m1", completed_at, (OrderLine(0, "i1", 500, FixedPledge("P1", fen)),))


def without_pledge(order_id: str = "o1") -> OrderCompleted:
    return OrderCompleted(order_id, "b1", "m1", SOME_DAY_MS, (OrderLine(0, "i1", 500),))


RECORDS = st.lists(orders(), max_size=30).map(
    lambda found: [record_of(order, offset) for offset, order in enumerate(found)]
)


@given(RECORDS)
def test_every_order_has_exactly_one_fate(records: list[OrderRecord]) -> None:
    outcome = split(records)
    fates = outcome.accepted + outcome.no_pledge + outcome.repeats + len(outcome.refused)
    assert fates == len(records)


@given(RECORDS)
def test_splitting_conserves_the_sums_are_those_of_the_donations(records: list[OrderRecord]) -> None:
    outcome = split(records)
    by_cell: Counter[tuple[str, int]] = Counter()
    counts: Counter[tuple[str, int]] = Counter()
    for donation in outcome.donations:
        cell = (donation.project_id, donation.donated_at // 60_000 * 60_000)
        by_cell[cell] += donation.fen
        counts[cell] += 1
    summed = {(project, minute): cell for project, minutes in outcome.sums.items() for minute, cell in minutes.items()}
    assert {place: cell.fen for place, cell in summed.items()} == by_cell
    assert {place: cell.donations for place, cell in summed.items()} == counts


@given(st.lists(orders(order_ids=st.uuids().map(str)), max_size=20, unique_by=lambda order: order.order_id))
def test_each_pledged_line_of_new_orders_gives_one_donation_by_the_rule(found: list[OrderCompleted]) -> None:
    outcome = split([record_of(order, offset) for offset, order in enumerate(found)])
    expected = [
        (f"{order.order_id}:{line.line}", line.pledge.project_id, donation_fen(line.pledge, line.paid_fen), offset)
        for offset, order in enumerate(found)
        for line in order.lines
        if line.pledge
    ]
    assert [(d.donation_id, d.project_id, d.fen, d.source_offset) for d in outcome.donations] == expected
    assert [d.seq for d in outcome.donations] == list(range(len(expected)))


@given(RECORDS, st.lists(st.integers(0, 1_000), max_size=5))
def test_any_cut_into_batches_gives_the_same_donations_and_refusals(
    records: list[OrderRecord], points: list[int]
) -> None:
    whole = split(records)
    state, pieces = fresh_state(), SplitOutcome()
    for piece in cut(records, points):
        split_orders(state, piece, pieces)
    assert pieces == whole


@given(RECORDS, st.integers(0, 1_000))
def test_a_state_restored_from_the_donations_goes_on_as_if_nothing_had_happened(
    records: list[OrderRecord], point: int
) -> None:
    before, after = records[: point % (len(records) + 1)], records[point % (len(records) + 1) :]
    state = fresh_state()
    first = split(before, state)
    going_on = split(after, state)
    restored = fresh_state()
    restore_orders(restored.memory, first.donations)
    restored.next_seq = len(first.donations)
    assert split(after, restored) == going_on


def test_a_repeat_donates_nothing_within_a_batch_and_across_batches() -> None:
    state = fresh_state()
    outcome = split([record_of(an_order(), 0), record_of(an_order(), 1)], state)
    assert (outcome.accepted, outcome.repeats) == (1, 1)
    later = split([record_of(an_order(), 2)], state)
    assert (later.accepted, later.repeats, later.donations, later.refused) == (0, 1, [], [])


def test_the_same_id_with_other_donations_is_a_conflict() -> None:
    outcome = split([record_of(an_order(fen=2), 0), record_of(an_order(fen=3), 1), record_of(without_pledge(), 2)])
    assert [refusal.reason for _, refusal in outcome.refused] == [Reason.CONFLICT, Reason.CONFLICT]
    assert [donation.fen for donation in outcome.donations] == [2]


def test_an_order_without_pledge_leaves_no_trace() -> None:
    outcome = split([record_of(without_pledge(), 0), record_of(an_order(), 1)])
    assert (outcome.no_pledge, outcome.accepted, outcome.refused) == (1, 1, [])


def test_an_id_is_free_again_after_the_horizon() -> None:
    distant = an_order("o2", completed_at=SOME_DAY_MS + 3 * HORIZON_MS)
    outcome = split([record_of(an_order(), 0), record_of(distant, 1), record_of(an_order(), 2)])
    assert outcome.accepted == 3


def test_an_order_too_far_ahead_of_its_arrival_is_refused_and_moves_nothing() -> None:
    state = fresh_state()
    ahead = an_order(completed_at=SOME_DAY_MS + FUTURE_TOLERANCE_MS + 1)
    on_the_edge = an_order("o2", completed_at=SOME_DAY_MS + FUTURE_TOLERANCE_MS)
    for order, expected in ((ahead, [Reason.TOO_FAR_IN_FUTURE]), (on_the_edge, [])):
        record = record_of(order, 0)
        arrived = OrderRecord(0, SOME_DAY_MS, record.key, record.value)
        assert [refusal.reason for _, refusal in split([arrived], state).refused] == expected
    assert state.memory.clock_ms == SOME_DAY_MS + FUTURE_TOLERANCE_MS


def test_a_bad_record_does_not_touch_its_neighbours() -> None:
    bad = [OrderRecord(1, 0, b"b1", b"{"), OrderRecord(2, 0, None, None), OrderRecord(3, 0, b"b1", b'{"order_id":1}')]
    outcome = split([record_of(an_order("o1"), 0), *bad, record_of(an_order("o2"), 4)])
    assert [record.offset for record, _ in outcome.refused] == [1, 2, 3]
    assert [donation.source_offset for donation in outcome.donations] == [0, 4]


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_no_bytes_stop_the_fold(values: list[bytes]) -> None:
    outcome = split([OrderRecord(offset, 0, b"b1", value) for offset, value in enumerate(values)])
    assert len(outcome.refused) == len(values)
    assert all(a.offset < b.offset for (a, _), (b, _) in itertools.pairwise(outcome.refused))
