"""What a job is told, and how it tells people what it does."""

import sys
from dataclasses import dataclass

from streams.domain.load import LoadPlan, Scenario
from tests.bench.engines import DEFAULT_VARIANT, Engine, Variant


@dataclass(frozen=True, slots=True)
class PeerOptions:
    """Which engines run side by side, how much of a warm-up each has, and what is counted."""

    engines: tuple[Engine, ...] = tuple(Engine)
    warm_orders: int = 12_000_000
    segment_orders: int = 2_000_000
    segments: int = 5
    variant: Variant = DEFAULT_VARIANT

    @property
    def backlog(self) -> int:
        """The orders that are needed; after the last counted run some are left, so that it ends in full swing."""
        return self.warm_orders + (self.segments + 1) * self.segment_orders


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
    peers: PeerOptions = PeerOptions()
    index_ids: int = 1_000_000  # of the ledger's index

    def plan(self, orders: int) -> LoadPlan:
        """The load of a run over so many orders."""
        return LoadPlan(orders, seed=self.seed, scenario=self.scenario)


def say(text: str) -> None:
    """For people: stdout is the JSON's."""
    print(text, file=sys.stderr, flush=True)
