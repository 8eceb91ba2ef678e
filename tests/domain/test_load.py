"""The load generator: reproducible, as mixed as it says, valid where it means to be, and its sums are right."""

import hashlib
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from schemas.order import FixedPledge, OrderCompleted, RatePledge, decode_order
from schemas.rejection import Reason, Refusal
from streams.domain import load_draws as draws
from streams.domain.load import (
    DEFAULT_START_MS,
    JITTER_MS,
    ORDERS_MAX,
    REPEAT_LOOK_BACK_ORDERS,
    SEED_MAX,
    LoadPlan,
    Scenario,
    expected_sums,
    make_chunk,
    make_chunks,
    planned_times,
)
from streams.domain.load_malformed import FAULTS

HOUR_MS = 3_600_000
PLAN = LoadPlan(40_000, seed=7)
BUSY = replace(PLAN, orders=12_000, repeats_share=0.03, malformed_share=0.05, scenario=Scenario.DOUBLE11)


def records_of(plan, chunk_orders=8_192):
    return [
        record for chunk in make_chunks(plan, chunk_orders) for record in zip(chunk.keys, chunk.values, strict=True)
    ]


def digest_of(plan):
    return hashlib.sha256(repr(records_of(plan)).encode()).hexdigest()


@pytest.fixture(scope="module")
def orders():
    decoded = [decode_order(key, value) for key, value in records_of(PLAN)]
    assert not [refusal for refusal in decoded if isinstance(refusal, Refusal)]
    return decoded


@pytest.fixture(scope="module")
def lines(orders):
    return [line for order in orders for line in order.lines]


# Reproducible


def test_a_plan_gives_these_bytes_on_every_machine_and_release():
    plan = LoadPlan(2_000, seed=20_201_111, repeats_share=0.02, malformed_share=0.02, scenario=Scenario.DOUBLE11)
    assert digest_of(plan) == "d478c8eb5a46f37b339372ab9f10b19a5d6c05522c5d7a34e814530c3d14cc33"


@pytest.mark.parametrize("chunk_orders", [1, 7, 1_000, 8_192])
def test_the_cut_into_chunks_changes_no_record(chunk_orders):
    plan = replace(BUSY, orders=2_500)
    assert records_of(plan, chunk_orders) == records_of(plan, 2_500)


def test_a_longer_run_begins_with_the_shorter_one():
    assert records_of(replace(BUSY, orders=3_000))[:2_000] == records_of(BUSY)[:2_000]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"scenario": Scenario.STEADY},
        {"start_ms": 1},
        {"repeats_share": 0.2},
        {"malformed_share": 0.2},
        {"unpledged_share": 0.2},
    ],
)
def test_every_argument_counts(change):
    assert records_of(replace(BUSY, **change)) != records_of(BUSY)


# Good orders


def test_every_order_is_valid_and_its_lines_are_numbered_apart(orders):
    assert len(orders) == PLAN.orders
    for order in orders:
        assert isinstance(order, OrderCompleted)
        assert len({line.line for line in order.lines}) == len(order.lines)


def test_order_ids_have_19_digits_fit_63_bits_and_are_unique(orders):
    ids = {order.order_id for order in orders}
    assert len(ids) == PLAN.orders
    assert all(len(text) == 19 and text.isdecimal() and int(text) < 2**63 for text in ids)


def test_runs_of_different_seeds_share_no_order_id():
    last, next_first = (
        decode_order(chunk.keys[0], chunk.values[0])
        for chunk in (
            make_chunk(LoadPlan(ORDERS_MAX, seed=SEED_MAX - 1), ORDERS_MAX - 1, 1, np.ones_like),
            make_chunk(LoadPlan(ORDERS_MAX, seed=SEED_MAX), 0, 1, np.ones_like),
        )
    )
    assert isinstance(last, OrderCompleted)
    assert isinstance(next_first, OrderCompleted)
    assert int(last.order_id) < int(next_first.order_id) < 2**63


def test_buyers_merchants_and_projects_stay_in_their_ranges(orders, lines):
    buyers = [int(order.buyer_id.removeprefix("b")) for order in orders]
    merchants = [int(order.merchant_id.removeprefix("m")) for order in orders]
    projects = [int(line.pledge.project_id.removeprefix("P")) for line in lines if line.pledge]
    assert 1 <= min(buyers) < 1_000_000
    assert 470_000_000 < max(buyers) <= 480_000_000
    assert 1 <= min(merchants) < 1_000
    assert 2_400_000 < max(merchants) <= 2_500_000
    assert min(projects) == 1
    assert 29_000 < max(projects) <= 30_000


def test_the_hottest_project_has_a_tenth_of_all_and_the_next_half_of_that(lines):
    counts = Counter(line.pledge.project_id for line in lines if line.pledge)
    (first, first_count), (second, second_count) = counts.most_common(2)
    assert (first, second) == ("P00001", "P00002")
    assert first_count / counts.total() == pytest.approx(0.10, abs=0.005)
    assert second_count / counts.total() == pytest.approx(0.05, abs=0.005)


def test_most_orders_have_one_line_and_none_more_than_five(orders):
    counts = Counter(len(order.lines) for order in orders)
    assert set(counts) == {1, 2, 3, 4, 5}
    assert counts[1] / PLAN.orders == pytest.approx(0.85, abs=0.01)


def test_pledges_are_mixed_as_the_programme_has_them(lines):
    pledges = [line.pledge for line in lines if line.pledge]
    fixed = Counter(pledge.fen for pledge in pledges if isinstance(pledge, FixedPledge))
    rates = [pledge.bps for pledge in pledges if isinstance(pledge, RatePledge)]
    assert set(fixed) == {2, 10, 100}
    assert fixed[2] / len(pledges) == pytest.approx(0.70, abs=0.01)
    assert fixed[10] / len(pledges) == pytest.approx(0.29, abs=0.01)
    assert fixed[100] / len(pledges) == pytest.approx(0.007, abs=0.0015)
    assert len(rates) / len(pledges) == pytest.approx(0.003, abs=0.001)
    assert 1 <= min(rates) <= 50
    assert 450 <= max(rates) <= 500


def test_some_orders_give_nothing_and_in_the_others_some_lines(orders):
    pledged = [(sum(line.pledge is not None for line in order.lines), len(order.lines)) for order in orders]
    silent = sum(count == 0 for count, _ in pledged)
    partly = sum(0 < count < of for count, of in pledged)
    assert silent / PLAN.orders == pytest.approx(PLAN.unpledged_share, abs=0.003)
    assert partly / PLAN.orders == pytest.approx(0.07, abs=0.01)


@pytest.mark.parametrize(("share", "giving"), [(0.0, 3_000), (1.0, 0)])
def test_the_share_of_orders_that_give_nothing_can_be_set(share, giving):
    plan = LoadPlan(3_000, unpledged_share=share)
    decoded = [decode_order(key, value) for key, value in records_of(plan)]
    assert sum(any(line.pledge for line in order.lines) for order in decoded) == giving


def test_an_ordinary_line_has_a_null_pledge_or_none_at_all():
    values = [value for _, value in records_of(LoadPlan(1_000, unpledged_share=1.0))]
    null = sum(b'"pledge":null' in value for value in values)
    assert 0 < null < len(values)


def test_no_line_was_paid_less_than_its_fixed_pledge_and_prices_spread(lines):
    for line in lines:
        if isinstance(line.pledge, FixedPledge):
            assert line.paid_fen >= line.pledge.fen
    paid_fen = sorted(line.paid_fen for line in lines)
    assert paid_fen[len(paid_fen) // 2] == pytest.approx(4_900, rel=0.03)
    assert paid_fen[0] < 200
    assert paid_fen[-1] > 100_000


def test_an_order_of_one_line_takes_some_220_bytes():
    sizes = [len(value) for _, value in records_of(PLAN)[:2_000] if value.count(b'"line"') == 1]
    assert 210 <= sum(sizes) / len(sizes) <= 235


# Event times


def test_a_steady_day_has_317_orders_a_second_slightly_out_of_order(orders):
    times = [order.completed_at for order in orders]
    assert min(times) >= DEFAULT_START_MS
    assert max(times) <= PLAN.end_ms
    assert times != sorted(times)
    for second in range(10, 100, 10):
        begin = DEFAULT_START_MS + second * 1_000
        assert sum(begin <= at < begin + 10_000 for at in times) == pytest.approx(3_170, rel=0.05)
    late = [earlier - later for earlier, later in pairwise(times)]
    assert max(late) < JITTER_MS


def test_double11_has_15_times_a_normal_day_over_an_hour():
    per_hour = 317 * 15 * 3_600
    indices = np.arange(0, 3 * per_hour, 1_000)
    times = planned_times(LoadPlan(1, scenario=Scenario.DOUBLE11))(indices)
    for hour in range(3):
        begin = DEFAULT_START_MS + hour * HOUR_MS
        in_hour = np.count_nonzero((times >= begin) & (times < begin + HOUR_MS))
        assert in_hour * 1_000 == pytest.approx(per_hour, rel=0.005)


@pytest.mark.parametrize("start_ms", [DEFAULT_START_MS, DEFAULT_START_MS + 1_234_567])
def test_double11_bursts_at_the_top_of_the_hour_wherever_it_starts(start_ms):
    indices = np.arange(0, 2 * 317 * 15 * 3_600, 1_000)
    plan = LoadPlan(1, scenario=Scenario.DOUBLE11, start_ms=start_ms)
    times = planned_times(plan)(indices)
    assert times.min() >= start_ms
    assert times[0] < start_ms + JITTER_MS
    top = DEFAULT_START_MS + HOUR_MS
    first_minute = np.count_nonzero((times >= top) & (times < top + 60_000)) * 1_000
    quiet_minute = np.count_nonzero((times >= top + 1_800_000) & (times < top + 1_860_000)) * 1_000
    assert first_minute == pytest.approx(8 * 317 * 15 * 60, rel=0.05)
    assert quiet_minute == pytest.approx(0.75 * 317 * 15 * 60, rel=0.05)


def test_event_times_never_run_backwards_but_for_the_jitter():
    indices = np.arange(0, 40_000_000, 997)
    for scenario in Scenario:
        times = planned_times(LoadPlan(1, scenario=scenario))(indices)
        assert np.diff(times).min() > -JITTER_MS


# Expected sums


def slow_sums(plan):
    """The same sums from the bytes, one line after the other."""
    fen_by_project, donations = Counter(), Counter()
    for key, value in records_of(replace(plan, repeats_share=0.0, malformed_share=0.0)):
        order = decode_order(key, value)
        for line in order.lines:
            if line.pledge is None:
                continue
            if isinstance(line.pledge, FixedPledge):
                fen = min(line.pledge.fen, line.paid_fen)
            else:
                whole, rest = divmod(line.paid_fen * line.pledge.bps, 10_000)
                fen = min(max(whole + (1 if rest >= 5_000 else 0), 2), line.paid_fen)
            fen_by_project[line.pledge.project_id] += fen
            donations[line.pledge.project_id] += 1
    return fen_by_project, donations


def test_expected_sums_are_those_of_the_bytes():
    sums = expected_sums(PLAN)
    fen_by_project, donations = slow_sums(PLAN)
    assert sums.orders == PLAN.orders
    assert sums.fen_by_project == fen_by_project
    assert sums.donations_by_project == donations
    assert (sums.fen, sums.donations) == (fen_by_project.total(), donations.total())


def test_repeats_and_malformed_records_change_no_expected_sum():
    assert expected_sums(BUSY) == expected_sums(replace(BUSY, repeats_share=0.0, malformed_share=0.0))


def test_chunks_say_what_they_amount_to():
    chunks = list(make_chunks(BUSY, 1_000))
    sums = expected_sums(BUSY)
    assert sum(chunk.orders for chunk in chunks) == sums.orders
    assert sum(chunk.donations for chunk in chunks) == sums.donations
    assert sum(chunk.fen for chunk in chunks) == sums.fen
    for chunk in chunks:
        assert len(chunk.keys) == len(chunk.values) == chunk.orders + chunk.repeats + chunk.malformed


def test_a_tiny_price_bounds_a_donation_by_rate():
    line = draws.OrderColumns(
        **{name: np.array([1, 1, 1]) for name in draws.OrderColumns.__slots__ if name not in {"paid_fen", "pledges"}}
        | {"kinds": np.array([draws.RATE] * 3)},
        paid_fen=np.array([1, 100, 3_150]),
        pledges=np.array([500, 1, 100]),
    )
    assert draws.donations_fen(line).tolist() == [1, 2, 32]  # the price; the least; half up


# Repeats and malformed records


def test_repeats_are_earlier_orders_byte_for_byte_and_not_far_back():
    plan = replace(PLAN, repeats_share=0.05)
    seen, repeats = {}, 0
    for at, record in enumerate(records_of(plan)):
        if record in seen:
            repeats += 1
            assert at - seen[record] <= REPEAT_LOOK_BACK_ORDERS * 1.06  # the repeats in between count too
        else:
            seen[record] = at
    assert len(seen) == plan.orders
    assert repeats / plan.orders == pytest.approx(0.05, abs=0.005)


def test_there_are_no_repeats_and_no_malformed_records_by_default():
    assert len(set(records_of(PLAN))) == PLAN.orders


def test_malformed_records_come_in_the_share_that_was_asked_for_and_all_are_refused():
    plan = replace(PLAN, malformed_share=0.05)
    decoded = [decode_order(key, value) for key, value in records_of(plan)]
    refusals = [refusal for refusal in decoded if isinstance(refusal, Refusal)]
    assert len(decoded) - len(refusals) == plan.orders
    assert len(refusals) / plan.orders == pytest.approx(0.05, abs=0.005)
    assert {refusal.reason for refusal in refusals} == {Reason.NOT_JSON, Reason.INVALID, Reason.TOO_LARGE}


def test_malformed_records_are_of_every_kind_and_rarely_a_megabyte():
    decoded = [decode_order(key, value) for key, value in records_of(LoadPlan(20_000, malformed_share=0.2))]
    details = Counter(
        refusal.detail if refusal.reason is Reason.INVALID else refusal.reason
        for refusal in decoded
        if isinstance(refusal, Refusal)
    )
    assert 1 <= details[Reason.TOO_LARGE] <= 25
    assert len(details) > len(FAULTS) // 2


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_is_refused_for_its_reason(fault):
    for key, value in records_of(LoadPlan(200, seed=3)):
        refusal = decode_order(*fault.apply(key, value))
        assert isinstance(refusal, Refusal), fault.name
        assert refusal.reason is fault.reason


# Plans


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"orders": -1}, "orders"),
        ({"orders": ORDERS_MAX + 1}, "orders"),
        ({"seed": -1}, "seed"),
        ({"seed": SEED_MAX + 1}, "seed"),
        ({"repeats_share": 1.01}, "repeats"),
        ({"malformed_share": float("nan")}, "malformed"),
        ({"unpledged_share": -0.1}, "unpledged"),
        ({"start_ms": 0}, "start"),
        ({"start_ms": 253_402_300_799_999}, "start"),
    ],
)
def test_a_plan_that_cannot_be_names_what_is_wrong(wrong, named):
    with pytest.raises(ValueError, match=f"^{named}:"):
        LoadPlan(**{"orders": 10} | wrong)


def test_a_run_of_no_orders_has_no_records():
    assert records_of(LoadPlan(0)) == []
    assert expected_sums(LoadPlan(0)).orders == 0
