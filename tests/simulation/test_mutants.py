"""The simulation can fail: it finds each of these mistakes, and soon."""

import pytest

from tests.simulation.judge import WrongError
from tests.simulation.mutants import MUTANTS, broken_by
from tests.simulation.run import run_seed

RUNS_MAX = 400


@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_noticed_if(name: str) -> None:
    with broken_by(name):
        for seed in range(RUNS_MAX):
            try:
                run_seed(seed)
            except WrongError:
                return
    pytest.fail(f"{RUNS_MAX} runs and nobody noticed")
