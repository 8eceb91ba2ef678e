"""The growth bench: that its orders are what their shape says, that it judges rightly, and that plots fit figures."""

import json
from dataclasses import replace

import pytest

from schemas.order import OrderCompleted, decode_order
from streams.domain.programme import donation_fen
from tests.bench.growth import load
from tests.bench.growth.__main__ import PAGE
from tests.bench.growth.load import Shape, expected_sums, make_lap, replays
from tests.bench.growth.page import fill
from tests.bench.growth.plots import GROWTH_FILE, PLOTS_FOLDER, digest, draw_step, plot_name, short
from tests.bench.growth.run import Broker, run_shape
from tests.bench.growth.steps import judgement, point, steps

SHAPES = [Shape(200), Shape(200, lines=20), Shape(50, order_bytes=10_000), Shape(300, projects=3)]

KEPT = json.loads(GROWTH_FILE.read_text())["steps"]


def orders_of(shape):
    lap = make_lap(shape)
    for keys, values in replays(shape, lap):
        for key, value in zip(keys, values, strict=True):
            order = decode_order(key, value)
            assert isinstance(order, OrderCompleted), order
            yield order, len(value)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_order_is_valid_and_all_of_them_come_to_the_expected_sums(shape):
    must = expected_sums(shape, make_lap(shape))
    fen, given = {}, {}
    for order, _ in orders_of(shape):
        for line in order.lines:
            if line.pledge is not None:
                name = line.pledge.project_id
                fen[name] = fen.get(name, 0) + donation_fen(line.pledge, line.paid_fen)
                given[name] = given.get(name, 0) + 1
    assert (fen, given) == (must.fen_by_project, must.donations_by_project)
    assert (must.orders, must.donations, must.fen) == (shape.orders, sum(given.values()), sum(fen.values()))


@pytest.mark.parametrize("order_bytes", [220, 1_000, 3_000, 10_000])
def test_an_order_is_about_as_large_as_its_shape_says(order_bytes):
    sizes = [size for _, size in orders_of(Shape(50, order_bytes=order_bytes))]
    assert sum(sizes) / len(sizes) == pytest.approx(order_bytes, abs=80)


def test_replays_of_a_lap_have_ids_and_later_times_of_their_own(monkeypatch):
    monkeypatch.setattr(load, "LAP_ORDERS_MAX", 100)
    found = [order for order, _ in orders_of(Shape(300))]
    assert len({order.order_id for order in found}) == 300
    assert [order.completed_at for order in found] == sorted(order.completed_at for order in found)
    assert [order.buyer_id for order in found[:100]] == [order.buyer_id for order in found[200:]]
    assert expected_sums(Shape(300), make_lap(Shape(300))).donations == 300


def test_a_shape_that_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="lines: 0"):
        Shape(10, lines=0)
    with pytest.raises(ValueError, match="orders: 1500000 is not a multiple"):
        Shape(1_500_000)


def test_each_step_changes_one_thing_and_the_number_of_orders_at_most():
    for step in steps():
        first = next(iter(step.shapes.values()))
        for value, shape in step.shapes.items():
            assert step.is_length or getattr(shape, step.name) == value
            changed = {"orders": first.orders} | ({} if step.is_length else {step.name: getattr(first, step.name)})
            assert replace(shape, **changed) == first


def points(values, costs):
    return [
        {
            "value": value,
            "orders": 1_000,
            "cpu_us_per_order": cost,
            "orders_per_second": 1 / cost,
            "peak_memory_mb": 100,
        }
        for value, cost in zip(values, costs, strict=True)
    ]


def test_a_cost_that_grows_as_its_cause_is_linear_and_one_that_grows_faster_is_told():
    linear = judgement(points([1, 2, 20], [3, 6, 60]), is_length=False)
    assert linear["cpu"] == {"exponents": [1.0, 1.0], "worst": 1.0, "is_at_most_linear": True}
    assert linear["memory"]["worst"] == 0
    worse = judgement(points([1, 2, 4], [3, 6, 24]), is_length=False)
    assert worse["cpu"] == {"exponents": [1.0, 2.0], "worst": 2.0, "is_at_most_linear": False}
    assert not worse["seconds"]["is_at_most_linear"]


def test_a_backlog_is_judged_by_its_whole_cost():
    grown = [{**each, "orders": each["value"]} for each in points([100, 1_000, 10_000], [3, 3, 6])]
    found = judgement(grown, is_length=True)
    assert found["cpu"]["exponents"] == [1.0, 1.3]
    assert not found["cpu"]["is_at_most_linear"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.4567, "0.457"), (220, "220"), (1_500, "1.5 k"), (1e6, "1 M"), (123_456, "123 k")]
)
def test_numbers_on_plots_are_short(value, text):
    assert short(value) == text


def test_the_same_figures_give_the_same_plot_to_the_byte(tmp_path):
    step = next(iter(KEPT.values()))
    for name in ("a.svg", "b.svg"):
        draw_step(step, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("name", KEPT)
def test_each_plot_is_drawn_from_the_figures_that_are_kept(name):
    step = KEPT[name]
    assert digest(step) in (PLOTS_FOLDER / plot_name(name)).read_text(), "make growth"


@pytest.mark.parametrize("name", KEPT)
def test_the_kept_figures_follow_from_the_kept_runs_and_each_run_was_right(name):
    step = KEPT[name]
    assert all(run["differences"] == [] for run in step["runs"])
    assert step["judgement"] == judgement(step["points"], is_length=step["is_length"])
    field = "orders" if step["is_length"] else name
    for each in step["points"]:
        assert each == point(each["value"], [run for run in step["runs"] if run["shape"][field] == each["value"]])


def test_the_page_shows_the_figures_that_are_kept():
    page = PAGE.read_text()
    assert fill(page, json.loads(GROWTH_FILE.read_text())) == page, "make growth"


async def test_a_run_is_measured_and_right_to_the_fen(broker):
    run = await run_shape(Broker(broker), Shape(400, partitions=2, lines=2, workers=2))
    assert run["differences"] == []
    assert run["cpu_seconds"] > 0
    assert run["donations"] == 800
