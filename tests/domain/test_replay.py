"""Which refused orders may go back, and how they are put together to be sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.limits import FUTURE_TOLERANCE_MS, ORDER_MAX_BYTES
from schemas.order import FixedPledge, OrderCompleted, OrderLine, encode_order
from schemas.rejection import Reason, Refusal
from streams.domain import replay
from streams.domain.replay import CLOCK_MARGIN_MS, Candidate, Round, cut, donates, judge, judge_mended

NOW_MS = 1_605_024_000_000


def an_order(order_id: str = "o1", completed_at: int = NOW_MS, fen: int | None = 2) -> OrderCompleted:
    pledge = None if fen is None else FixedPledge("P1", fen)
    return OrderCompleted(order_id, "b1", "m1", completed_at, (OrderLine(0, "i1", 100, pledge),))


def candidate(order: OrderCompleted, size: int = 1) -> Candidate:
    return Candidate(order, b"b1", b"x" * size, 0, "here")


def test_an_order_passes_once_the_broker_is_sure_to_take_it_however_the_clocks_differ():
    latest = NOW_MS + FUTURE_TOLERANCE_MS - CLOCK_MARGIN_MS
    assert judge(b"b1", encode_order(an_order(completed_at=latest)), NOW_MS) == an_order(completed_at=latest)
    refused = judge(b"b1", encode_order(an_order(completed_at=latest + 1)), NOW_MS)
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.TOO_FAR_IN_FUTURE
    assert "$.completed_at" in refused.detail


@pytest.mark.parametrize("key", [None, b"", b"b2"])
def test_a_wrong_key_is_not_mended_silently_but_a_mended_order_gets_its_buyers(key):
    value = encode_order(an_order())
    assert isinstance(judge(key, value, NOW_MS), Refusal)
    assert judge_mended(value, NOW_MS) == an_order()


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (b"", Reason.NOT_JSON, ""),
        (b"\xff", Reason.NOT_JSON, ""),
        (b'{"buyer_id":1}', Reason.INVALID, "$.buyer_id"),
        (b'{"order_id":"o1"}', Reason.INVALID, "buyer_id"),
        (b'{"order_id":1,"buyer_id":"b1"}', Reason.INVALID, "$.order_id"),
        (b"[" * 100_000, Reason.NOT_JSON, "nested"),
        (b" " * (ORDER_MAX_BYTES + 1), Reason.TOO_LARGE, str(ORDER_MAX_BYTES)),
        (encode_order(an_order(completed_at=NOW_MS * 2)), Reason.TOO_FAR_IN_FUTURE, "$.completed_at"),
    ],
    ids=["empty", "bytes", "buyer", "no buyer", "order", "nested", "large", "future"],
)
def test_what_is_wrong_with_a_mended_order_is_named(value, reason, detail):
    refused = judge_mended(value, NOW_MS)
    assert isinstance(refused, Refusal)
    assert refused.reason is reason
    assert detail in refused.detail


@given(st.binary(max_size=300))
def test_no_bytes_make_a_verdict_fail(value):
    assert judge_mended(value, NOW_MS) is not None


def test_an_order_donates_if_any_line_has_a_pledge():
    assert donates(an_order())
    assert not donates(an_order(fen=None))


def test_a_round_holds_an_id_once_and_holds_back_one_that_stands_for_two_orders():
    batch = Round()
    orders = [an_order("o1"), an_order("o2"), an_order("o1"), an_order("o2", fen=3), an_order("o2"), an_order("o3")]
    for order in orders:
        batch.add(candidate(order))
    assert [each.order.order_id for each in batch.without_conflicts()] == ["o1", "o3"]
    assert (batch.repeats, batch.conflicting) == (3, {"o2"})


def test_a_round_is_full_by_number_or_by_size(monkeypatch):
    monkeypatch.setattr(replay, "ROUND_ORDERS_MAX", 2)
    monkeypatch.setattr(replay, "ROUND_BYTES_MAX", 10)
    by_number, by_size = Round(), Round()
    by_number.add(candidate(an_order("o1")))
    assert not by_number.is_full
    by_number.add(candidate(an_order("o2")))
    assert by_number.is_full
    by_size.add(candidate(an_order("o1"), size=10))
    assert by_size.is_full


@given(st.lists(st.integers(1, 20)), st.integers(1, 5), st.integers(1, 30))
def test_pieces_hold_all_in_their_order_and_stay_within_their_limits(sizes, orders_max, bytes_max):
    candidates = [candidate(an_order(f"o{number}"), size) for number, size in enumerate(sizes)]
    pieces = list(cut(candidates, orders_max, bytes_max))
    assert [each for piece in pieces for each in piece] == candidates
    for piece in pieces:
        assert 1 <= len(piece) <= orders_max
        assert len(piece) == 1 or sum(len(each.value) for each in piece) <= bytes_max
