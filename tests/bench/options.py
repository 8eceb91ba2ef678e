"""What a job is told, and how it tells people what it does."""

import sys
from dataclasses import dataclass

from streams.domain.load import LoadPlan, Scenario


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes of a bench; `broker` is where Kafka is."""

    broker: str
    orders: int
    peer_orders: int
    entries: int
    ids: int
    runs: int
    seed: int
    audit: bool
    scenario: Scenario = Scenario.STEADY
    seconds: float = 60

    def plan(self, orders: int) -> LoadPlan:
        """The load of a run over so many orders."""
        return LoadPlan(orders, seed=self.seed, scenario=self.scenario)


def say(text: str) -> None:
    """For people: stdout is the JSON's."""
    print(text, file=sys.stderr, flush=True)
