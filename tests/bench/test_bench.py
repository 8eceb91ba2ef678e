"""The harness itself: that its figures are what they say, and that it doesn't let wrong output count."""

import json
import os
import subprocess
import sys

import pytest

from streams.domain.load import LoadPlan, Scenario
from streams.native import extension
from tests.bench.deployments import deployment, differences, load_backlog, wait_drained
from tests.bench.figures import figure, ratio, slopes
from tests.bench.machine import REPOSITORY
from tests.bench.processes import worker
from tests.bench.stages import make_rounds, measure, stages


def test_a_figure_is_the_median_with_its_spread():
    assert figure([3.0, 1.0, 2.00049]) == {"median": 2.0, "min": 1.0, "max": 3.0, "runs": 3}


def test_a_target_is_met_or_not():
    assert figure([9.0], at_most=10)["met"]
    assert not figure([11.0], at_most=10)["met"]
    assert not figure([9.0], at_least=10)["met"]


@pytest.mark.skipif(extension is None, reason="the extension is not built")
def test_each_stage_of_the_hot_path_is_measured_over_orders_that_are_all_compact():
    rounds = make_rounds(3_000, Scenario.DOUBLE11, 2)
    found = measure(rounds, 1)
    rows = stages(found["ns"])
    assert len(rows) == len(dict(rows)) == 10
    assert sum(ns for _, ns in rows) > 100
    assert 1 < found["written"]["donations"] < 1.3
    for fetches in rounds[0]:
        for data, position in fetches:
            compact, plain, odd = extension.readings(data, [], position)
            assert compact > 0 == plain + odd


def test_without_a_run_there_is_no_figure():
    with pytest.raises(ValueError, match="no run counted"):
        figure([])


def test_what_a_run_costs_once_falls_out_of_the_slope():
    small = [{"cpu_seconds": 5 + 0.01 * 100, "orders": 100}]
    large = [{"cpu_seconds": 5 + 0.01 * 900, "orders": 900}]
    assert slopes(small, large, "cpu_seconds", "orders") == pytest.approx([0.01])


def test_a_ratio_says_how_many_times_ours_theirs_is():
    assert ratio({"median": 10}, {"median": 670}) == 67


async def test_output_counts_only_if_it_is_right_to_the_fen(broker):
    plan = LoadPlan(300, seed=5)
    async with deployment(broker, 2) as settings:
        await load_backlog(settings, plan)
        with worker(settings) as process:
            await process.wait_for("partition ready")
            done = await wait_drained(settings, process)
        assert done.cpu_s > 0
        assert await differences(settings, plan) == []
        assert await differences(settings, LoadPlan(300, seed=6))
        assert await differences(settings, LoadPlan(301, seed=5))


def test_the_bench_prints_one_json_document(broker):
    command = ["-m", "tests.bench", "--json", "--only", "everycent", "--only", "dedupe", "--only", "memory"]
    sizes = ["--orders", "500", "--ids", "20000", "--runs", "1"]
    done = subprocess.run(
        [sys.executable, *command, *sizes],
        cwd=REPOSITORY,
        env={**os.environ, "EVERYCENT_BROKER": broker},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["machine"].keys() >= {"cpu", "cores", "python", "kafka", "libraries"}
    job = document["jobs"]["everycent"]
    assert job["right"]
    assert job["seed"] == 1
    assert {run["orders"] for run in job["runs"]} == {100, 500}
    memory = document["jobs"]["memory"]["figures"]
    assert extension is None or memory["peak_memory_mb"]["median"] > 30
    assert job["figures"]["cpu_us_per_order"].keys() >= {"median", "min", "max", "runs", "target_at_most", "met"}
    assert job["figures"].keys() >= {"orders_per_second", "cpu_us_per_further_order"}
    figures = document["jobs"]["dedupe"]["figures"]
    assert figures["ids"] == 20_000
    assert (figures["native"] is None) == (extension is None)
    assert extension is None or figures["native"]["ids"] == 20_000
