"""What stands beside the loops of a service (the following audit, the server, the ledger): metrics, health, its end.

Each loop counts its turns. One that turns is healthy, also while it waits for a broker that is away: it asks again and
again. One that doesn't hangs, whatever in: `/healthz` says so after half of `EVERYCENT_STALL_TIMEOUT_S`, and after all
of it the process ends, to be started again. Nothing here survives, and nothing needs to.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from streams.engine import limits
from streams.engine.watchdog import End, Watchdog, end_process
from streams.metrics import register
from streams.metrics_server import ALL_INTERFACES, Probes, Problems, serving
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """What is watched. All of it is called from other threads."""

    collector: Collector
    turns: Callable[[], Mapping[str, int]]
    """By the name of each loop, a number that differs from the last one whenever it has got on."""
    readiness: Problems
    """What there is to wait for still, in words for a person."""


@contextmanager
def supervised(
    settings: Settings, service: Service, *, metrics_address: str = ALL_INTERFACES, end: End = end_process
) -> Iterator[None]:
    """Serve the metrics port inside the block, and watch the loops; after it they end, and are not watched."""
    watching = [True]
    watchdog = Watchdog(lambda: service.turns() if watching else {}, settings.stall_timeout_s, end)
    watchdog.start(asyncio.get_running_loop())
    unhealthy_after_s = settings.stall_timeout_s // limits.HEALTH_STALL_PART
    probes = Probes(health=lambda: watchdog.stalls(unhealthy_after_s), readiness=service.readiness)
    try:
        registry = register(CollectorRegistry(), service.collector)
        with serving(settings.metrics_port, registry, probes, metrics_address):
            yield
    finally:
        watching.clear()
