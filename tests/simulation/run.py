"""Runs seeds, one after the other, and says how to see a failing one again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from tests.simulation.clients import simulated_producers
from tests.simulation.world import World

COMMAND = "python -m tests.simulation --seed {seed} -v"


@contextmanager
def _engine_log(world: World) -> Iterator[None]:
    """The engine's own log lines with virtual times, or none."""

    def tell(_logger: object, _name: str, event: dict) -> dict:
        what = event.pop("event")
        rest = " ".join(f"{name}={value}" for name, value in event.items())
        world.tell(f"    {what} {rest}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[tell],
        wrapper_class=structlog.make_filtering_bound_logger(0 if world.verbose else 50),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def run_seed(seed: int, *, tell: Callable[[str], None] | None = None, world: World | None = None) -> None:
    """Run one seed. Raises WrongError if a promise was broken. `world`: the seed's own, to be looked at afterwards."""
    world = world or World(seed, tell)
    with simulated_producers(), _engine_log(world):
        world.run()
