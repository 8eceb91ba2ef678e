"""A consumer worker: puts settings, stages and agents together and runs them until it is told to stop.

`everycent worker` runs it, and so does Faust's own command, `faust -A streams.worker worker`: the attribute `app` is
made when it is asked for, so importing this module does nothing.
"""

import asyncio
import gc
import signal
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError

from streams.agents.split_orders import add_split_agent, split_stage
from streams.agents.total_projects import add_totals_agent, totals_stage
from streams.engine.app import create_faust_app
from streams.engine.commit import OnStep, ignore_step
from streams.engine.compatibility import check_versions
from streams.engine.connection import unreachable
from streams.engine.runtime import Runtime
from streams.engine.topic_admin import check_topics
from streams.engine.watchdog import Watchdog
from streams.errors import ExitStatus, UserError
from streams.logs import configure_logs
from streams.metrics import ALL_INTERFACES, serving_metrics
from streams.settings import Settings, load_settings

logger = structlog.get_logger(__name__)

# A batch makes tens of thousands of small objects that reference counting frees; hardly any is part of a cycle. With
# Python's default thresholds the cycle collector took 12% of a worker's time.
COLLECT_EVERY_OBJECTS = 50_000


class Role(StrEnum):
    """What a worker does: which stages it runs."""

    SPLIT = "split"
    TOTALS = "totals"


ALL_ROLES = tuple(Role)


def build(
    settings: Settings, roles: Sequence[Role], sources: int, totals_partitions: int, on_step: OnStep = ignore_step
) -> tuple[faust.App, Runtime]:
    """The Faust app with the agents of `roles`, and the runtime behind it."""
    stages = {
        Role.SPLIT: split_stage(settings, totals_partitions),
        Role.TOTALS: totals_stage(settings, sources),
    }
    add_agent = {Role.SPLIT: add_split_agent, Role.TOTALS: add_totals_agent}
    runtime = Runtime(settings, [stages[role] for role in roles], on_step)
    app = create_faust_app(settings, runtime)
    for role in roles:
        add_agent[role](app, runtime, settings)
    return app, runtime


async def run_worker(
    settings: Settings,
    roles: Sequence[Role] = ALL_ROLES,
    on_step: OnStep = ignore_step,
    metrics_address: str = ALL_INTERFACES,
) -> ExitStatus:
    """Run a worker until SIGTERM or SIGINT, then finish the running commits and leave the group in order.

    Raises UserError for what a person can mend; any other exception is a bug or a broken invariant, and the worker must
    not go on.
    """
    check_versions()
    counts = await check_topics(settings)
    stop_asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop_asked.set)
    app, runtime = build(settings, roles, counts.orders, counts.totals, on_step)
    tune_garbage_collection()
    logger.info("worker starts", broker=settings.broker, app_id=settings.app_id, roles=[str(role) for role in roles])
    watchdog = Watchdog(runtime.unfinished, settings.stall_timeout_s)
    with serving_metrics(settings.metrics_port, runtime.standings, metrics_address):
        watchdog.start(asyncio.get_running_loop())
        try:
            await app.start()
            await _until_stopped(app, runtime, stop_asked)
        except (KafkaError, OSError) as error:
            raise unreachable(settings, error) from error
        finally:
            await app.stop()
            watchdog.stop()
    logger.info("worker stopped")
    return ExitStatus.OK


async def _until_stopped(app: faust.App, runtime: Runtime, stop_asked: asyncio.Event) -> None:
    """Wait for a signal; raise what a task, or Faust itself, can't go on after."""
    waiters = [
        asyncio.ensure_future(stop_asked.wait()),
        asyncio.ensure_future(runtime.wait_failed()),
        asyncio.ensure_future(app.wait_until_stopped()),
    ]
    done, pending = await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
    for waiter in pending:
        waiter.cancel()
    for waiter in done:
        waiter.result()
    if app.crash_reason is not None:
        raise app.crash_reason


def tune_garbage_collection() -> None:
    """Keep what stands from being looked through again and again, and look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY_OBJECTS, 5, 5)


def create_app(metrics_address: str = ALL_INTERFACES) -> faust.App:
    """The app for Faust's own command line, with every role."""
    settings = load_settings()
    configure_logs(settings)
    check_versions()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        counts = runner.run(check_topics(settings))
    app, runtime = build(settings, ALL_ROLES, counts.orders, counts.totals)

    @app.task
    async def serve_until_failure() -> None:
        with serving_metrics(settings.metrics_port, runtime.standings, metrics_address):
            try:
                await runtime.wait_failed()
            except UserError as error:
                await app.crash(error)

    return app


def __getattr__(name: str) -> Any:
    if name == "app":
        try:
            return create_app()
        except UserError as error:
            raise SystemExit(f"everycent: {error}") from None
    raise AttributeError(name)
