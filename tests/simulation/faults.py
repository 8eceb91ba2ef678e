"""Which faults a run meets, and how often: drawn once for a run, each kind in or out, so that runs differ in kind."""

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Faults:
    """Chances for each batch, offset read or assignment."""

    drop: float = 0.0  # a batch never arrives
    delay: float = 0.0  # a batch arrives late, others before it
    repeat: float = 0.0  # a batch comes again, perhaps much later
    jump: float = 0.0  # an assignment moves the place where the consumer fetches
    stale_offset: float = 0.0  # the group's offset is read as it was some time before, as 0, or as lost
    zombie: float = 0.0  # a worker isn't in the next generation of the group and doesn't know it


# What happens to the world from time to time; the weight of each is drawn.
EVENTS = ("rebalance", "kill", "crash", "freeze", "leave", "lose_offset", "reset_offset", "compact", "storm")


def draw_faults(chance: random.Random) -> tuple[Faults, dict[str, float]]:
    """The chances, and the weights of the events."""

    def rate(*rates: float) -> float:
        return chance.choice(rates) if chance.random() < 0.5 else 0.0

    faults = Faults(
        drop=rate(0.02, 0.2),
        delay=rate(0.1, 0.5),
        repeat=rate(0.1, 0.4),
        jump=rate(0.5, 1.0),
        stale_offset=rate(0.2, 1.0),
        zombie=rate(0.2, 0.6),
    )
    weights = {event: chance.uniform(0.2, 1.0) if chance.random() < 0.6 else 0.0 for event in EVENTS}
    weights["rebalance"] += 0.1
    weights["crash"] *= 3
    return faults, weights
