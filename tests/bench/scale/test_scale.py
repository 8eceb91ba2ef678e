"""The plan past this machine: its arithmetic, the simulated days, and that the page says what was worked out."""

import json
from itertools import pairwise
from math import ceil

import numpy as np
import pytest

from tests.bench.growth.plots import PLOTS_FOLDER
from tests.bench.pages import number
from tests.bench.scale import plots
from tests.bench.scale.__main__ import DAYS_FILE, PAGE
from tests.bench.scale.costs import COSTS_FILE, LiveLoad, load_costs, part_price
from tests.bench.scale.page import digest, fill
from tests.bench.scale.plan import SECTIONS, work_out
from tests.bench.scale.simulation import Absence, Day, arrival_rates, draw_absences, reassign, shares, simulate

COSTS = load_costs()
# The simulation is tried with prices of its own: what is measured anew must not move what is tried.
PRICES = COSTS | {
    "worker_start_s": 3,
    "restore_us_per_total": 1,
    "restore_us_per_id": 2,
    "worker_us_per_order": 4,
    "worker_us_per_part": 400,
}
HALF_AN_HOUR = 1_800


def small_plan(**changed):
    """A hundred partitions, a tenth of the load: half an hour goes by in a tenth of a second."""
    tenth = {"donations_a_year": 1e9, "burst_donations_s": 17_000, "partitions": 100, "totals_partitions": 10}
    return work_out(PRICES, **(tenth | changed))


def day(workers, **changed):
    return Day(workers, **({"seed": 3, "seconds": HALF_AN_HOUR} | changed))


def test_the_plan_is_what_a_person_works_out_by_hand():
    plan = work_out(COSTS)
    assert plan["mean_donations_s"] == pytest.approx(317.1, abs=0.1)
    assert plan["burst_orders_s"] == pytest.approx(170_000 / 1.12)
    fan_out = 16 * (1 - (15 / 16) ** (170_000 / 2_000))  # of 2,000 commits a second, 85 donations each
    parts = 2_000 * (1 + fan_out) + 32
    cores = (170_000 / 1.12 * COSTS["worker_us_per_order"] + parts * COSTS["worker_us_per_part"]) / 1e6
    assert plan["burst_worker_cores"] == pytest.approx(cores)
    assert plan["ledger_tb_a_year"] == pytest.approx(1e10 * COSTS["donation_bytes"] * 3 / 1e12)
    assert plan["workers_by_cpu"] == ceil(cores / 0.5)


def test_more_donations_never_ask_for_less():
    plans = [work_out(COSTS, donations_a_year=volume, burst_donations_s=volume / 6e4) for volume in (1e9, 1e10, 1e11)]
    for name in ("workers", "brokers", "ledger_tb_a_year", "backfill_h", "horizon_ids", "written_mb_s"):
        found = [plan[name] for plan in plans]
        assert found == sorted(found), name


def test_an_assumption_that_there_is_none_of_is_refused():
    with pytest.raises(ValueError, match="no assumption is called 'donation_a_year'"):
        work_out(COSTS, donation_a_year=1)


def test_no_name_stands_twice_in_the_plan():
    names = [line.name for lines in SECTIONS.values() for line in lines]
    assert len(names) == len(set(names))
    assert not set(names) & COSTS.keys()


def test_the_price_of_a_commits_part_is_what_is_left_once_each_order_has_its_own():
    loads = [LiveLoad(orders, parts, 0, 0, {}) for orders, parts in ((1_000, 10), (1_000, 400), (9_000, 100))]
    assert part_price(loads, [3 * load.orders + 70 * load.parts for load in loads], 3) == pytest.approx(70)
    assert part_price(loads, [2 * load.orders for load in loads], 3) == 0


@pytest.mark.parametrize("seed", range(5))
def test_what_has_arrived_is_done_or_waits_whatever_workers_do(seed):
    outcome = simulate(small_plan(), day(3, seed=seed))
    assert outcome.arrived == outcome.done + outcome.waiting
    assert outcome.arrived > 0
    assert outcome.moved > 0


def test_a_day_is_the_same_whenever_its_seed_is():
    assert simulate(small_plan(), day(3)) == simulate(small_plan(), day(3))
    assert simulate(small_plan(), day(3)) != simulate(small_plan(), day(3, seed=4))


@pytest.mark.parametrize("seed", range(5))
def test_more_workers_catch_up_no_later_and_keep_nobody_waiting_longer(seed):
    busy = small_plan(burst_donations_s=600_000)  # more than one worker does at once
    found = [simulate(busy, day(workers, seed=seed, absences=())) for workers in (1, 2, 4, 8)]
    caught_up = [outcome.burst_caught_up_s for outcome in found]
    assert caught_up[0] > 60
    assert caught_up == sorted(caught_up, reverse=True)
    for before, after in pairwise(found):
        assert after.most_waiting <= before.most_waiting
        assert after.delay_s["p99"] <= before.delay_s["p99"]


def test_too_few_workers_fall_behind_further_and_further():
    per_worker = 1e6 / PRICES["worker_us_per_order"]
    over = small_plan(donations_a_year=1e9 * 2.0 * per_worker / work_out(PRICES)["festival_orders_s"] * 10)
    outcome = simulate(over, day(1, absences=()))
    assert not outcome.is_enough
    assert outcome.burst_caught_up_s is None
    assert outcome.waiting_by_minute == sorted(outcome.waiting_by_minute)
    assert outcome.busiest_worker == pytest.approx(1, abs=0.01)
    assert simulate(over, day(8, absences=())).is_enough


def test_partitions_of_a_worker_that_died_stand_still_for_its_session_and_a_restore():
    plan = small_plan()
    quiet = simulate(plan, day(3, absences=()))
    died = simulate(plan, day(3, absences=(Absence(0, 600, 10_000, died=True),)))
    left = simulate(plan, day(3, absences=(Absence(0, 600, 10_000, died=False),)))
    assert quiet.moved == 0
    assert quiet.longest_stand_s <= 1
    assert died.longest_stand_s >= plan["session_s"]
    assert left.longest_stand_s < died.longest_stand_s
    assert died.arrived == died.done + died.waiting


def test_with_nobody_left_everything_waits():
    outcome = simulate(small_plan(), day(1, absences=(Absence(0, 0, 10_000, died=False),)))
    assert (outcome.done, outcome.waiting) == (0, outcome.arrived)
    assert not outcome.is_enough


@pytest.mark.parametrize("seed", range(20))
def test_an_assignment_is_even_and_moves_no_more_than_it_must(seed):
    chance = np.random.default_rng(seed)
    partitions, workers = int(chance.integers(1, 200)), int(chance.integers(1, 12))
    owners = reassign(np.full(partitions, -1, dtype=np.int64), list(range(workers)))
    present = sorted(chance.choice(workers, int(chance.integers(1, workers + 1)), replace=False).tolist())
    after = reassign(owners, present)
    counts = [int((after == worker).sum()) for worker in present]
    assert sum(counts) == partitions
    assert max(counts) - min(counts) <= 1
    orphans = int((~np.isin(owners, present)).sum())
    assert int((after != owners).sum()) == orphans  # who stays has at most what it is to have now


def test_loads_are_skewed_and_come_to_the_whole():
    found = shares(1_000, 1)
    assert found.sum() == pytest.approx(1)
    assert found.max() > 5 / 1_000
    rates = arrival_rates(work_out(COSTS), 86_400)
    assert rates[0] > 150_000
    assert rates.sum() == pytest.approx(work_out(COSTS)["festival_day_orders"], rel=0.01)


def test_workers_die_and_leave_and_the_first_dies_in_the_burst():
    drawn = draw_absences(Day(10))
    assert drawn[0].at_s < 60
    assert {absence.died for absence in drawn} == {True, False}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0123, "0.0123"),
        (3.14159, "3.14"),
        (1_000, "1,000"),
        (123_456.7, "123,000"),
        (1e10, "10,000,000,000"),
    ],
)
def test_numbers_of_the_page_have_three_digits_unless_they_are_whole(value, text):
    assert number(value) == text


def test_the_page_says_what_the_prices_and_the_days_come_to():
    costs, days = json.loads(COSTS_FILE.read_text()), json.loads(DAYS_FILE.read_text())
    assert days["costs"] == digest(COSTS), "the days were simulated with other prices: make scale"
    page = PAGE.read_text()
    assert fill(page, costs, work_out(COSTS), days["days"]) == page, "make scale"


def test_the_planned_workers_are_enough_on_the_simulated_day_and_fewer_are_not():
    days = json.loads(DAYS_FILE.read_text())["days"]
    assert days[0]["workers"] == work_out(COSTS)["workers"]
    assert [found["is_enough"] for found in days] == [True, False]


def test_the_plot_of_the_burst_is_drawn_from_the_days_that_are_kept():
    days = json.loads(DAYS_FILE.read_text())["days"]
    assert plots.digest(days) in (PLOTS_FOLDER / "scale-burst.svg").read_text(), "make scale"
