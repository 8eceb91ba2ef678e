"""The rule that turns a line with a pledge into a donation."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.order import FixedPledge, RatePledge
from streams.domain.programme import donation_fen

PAID = st.integers(1, 10**12)


@pytest.mark.parametrize(
    ("bps", "paid_fen", "expected_fen"),
    [
        (30, 12_900, 39),  # 38.7
        (30, 1_150, 3),  # 3.45
        (50, 700, 4),  # 3.5 rounds half up
        (50, 500, 3),  # 2.5 rounds half up, not to even
        (50, 499, 2),  # 2.495
        (1, 100, 2),  # 0.01: the programme's minimum
        (1, 1, 1),  # the minimum, but never more than was paid
        (10_000, 12_345, 12_345),
        (10_000, 10**12, 10**12),
    ],
)
def test_a_rate_is_rounded_half_up_with_a_minimum(bps: int, paid_fen: int, expected_fen: int) -> None:
    assert donation_fen(RatePledge("P1", bps), paid_fen) == expected_fen


@given(fen=st.integers(1, 10**12), paid_fen=PAID)
def test_a_fixed_pledge_gives_its_amount_but_never_more_than_was_paid(fen: int, paid_fen: int) -> None:
    assert donation_fen(FixedPledge("P1", fen), paid_fen) == min(fen, paid_fen)


@given(bps=st.integers(1, 10_000), paid_fen=PAID)
def test_a_rate_is_within_half_a_fen_of_the_exact_share_unless_a_bound_holds(bps: int, paid_fen: int) -> None:
    given_fen = donation_fen(RatePledge("P1", bps), paid_fen)
    exact = Fraction(paid_fen * bps, 10_000)
    assert 1 <= given_fen <= paid_fen
    assert given_fen in {2, paid_fen} or -Fraction(1, 2) < given_fen - exact <= Fraction(1, 2)


@given(bps=st.integers(1, 9_999), paid_fen=PAID)
def test_a_higher_rate_never_gives_less(bps: int, paid_fen: int) -> None:
    assert donation_fen(RatePledge("P1", bps), paid_fen) <= donation_fen(RatePledge("P1", bps + 1), paid_fen)
