"""A consumer worker: puts settings, stages and agents together and runs them until it is told to stop.

`everycent worker` runs it, and so does Faust's own command, `faust -A streams.worker worker`: the attribute `app` is
made when it is asked for, so importing this module does nothing.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError

from streams import __version__
from streams.agents.split_orders import add_split_agent, split_stage
from streams.agents.total_projects import add_totals_agent, totals_stage
from streams.engine import limits
from streams.engine.app import create_faust_app
from streams.engine.commit import OnStep, ignore_step
from streams.engine.compatibility import check_versions
from streams.engine.memory import keep_tidy
from streams.engine.refusals import explain
from streams.engine.runtime import Runtime
from streams.engine.topic_admin import check_topics
from streams.engine.tracing import open_tracer
from streams.engine.watchdog import Watchdog
from streams.errors import ExitStatus, UserError
from streams.logs import configure_logs
from streams.metrics_server import ALL_INTERFACES, Probes, serving
from streams.native import is_used
from streams.settings import Settings, load_settings

logger = structlog.get_logger(__name__)

# Folded in Python, a batch makes tens of thousands of small objects that reference counting frees; hardly any is part
# of a cycle, and with Python's default thresholds the cycle collector took 12% of a worker's time. Folded in the
# extension it makes a handful, and those that are in cycles (Faust's events, aiokafka's batches) hold large bytes.
COLLECT_EVERY_OBJECTS = 50_000
COLLECT_EVERY_OBJECTS_NATIVE = 1_000


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
    partitions = {settings.topics.orders: sources, settings.topics.project_deltas: totals_partitions}
    runtime = Runtime(settings, [stages[role] for role in roles], on_step, partitions, open_tracer(settings))
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

    A signal counts from the first moment, also while no broker answers. The end is watched until the event loop is
    closed. Raises UserError for what a person can mend; any other exception is a bug or a broken invariant, and the
    worker must not go on.
    """
    stop_asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop_asked.set)
    check_versions()
    checking = asyncio.ensure_future(check_topics(settings))
    await _wait_for_first(checking, stop_asked.wait())
    if stop_asked.is_set():
        logger.info("worker stopped before it started")
        return ExitStatus.OK
    counts = checking.result()
    app, runtime = build(settings, roles, counts.orders, counts.totals, on_step)
    logger.info(
        "worker starts",
        version=__version__,
        broker=settings.broker,
        app_id=settings.app_id,
        roles=[str(role) for role in roles],
    )
    if settings.native and not is_used(settings.native):
        logger.warning("the Rust extension isn't installed: folds run in Python, to the same bytes but slower")
    with supervised(settings, runtime, metrics_address) as watchdog:
        try:
            await _run_until_stopped(app, runtime, stop_asked)
        except (KafkaError, OSError) as error:
            raise explain(settings, error) from error
        finally:
            await _finish(runtime, watchdog, sys.exception())
            await app.stop()
    logger.info("worker stopped")
    return ExitStatus.OK


async def _run_until_stopped(app: faust.App, runtime: Runtime, stop_asked: asyncio.Event) -> None:
    """Start, and wait for a signal, also during the start; raise what a task, or Faust itself, can't go on after."""
    starting = asyncio.ensure_future(app.start())  # waits for the group's first assignment, however long that takes
    for others in ([starting], []):
        await _wait_for_first(stop_asked.wait(), runtime.wait_failed(), app.wait_until_stopped(), *others)
        if stop_asked.is_set():
            return
        if app.crash_reason is not None:
            raise app.crash_reason


async def _finish(runtime: Runtime, watchdog: Watchdog, error: BaseException | None) -> None:
    """Finish the running commits; `error` is why, if not a signal. From here on the process surely ends."""
    cause = [] if error is None else [str(error) if isinstance(error, UserError) else repr(error)]
    status = error.exit_status if isinstance(error, UserError) else ExitStatus.FAILED
    watchdog.end_within(
        limits.END_TIMEOUT_S,
        " ".join([*cause, f"The worker didn't end in order within {limits.END_TIMEOUT_S} s and was ended at once."]),
        status,
    )
    await runtime.finish()
    watchdog.end_within(
        limits.LEAVE_TIMEOUT_S,
        " ".join([*cause, "The worker ended without leaving its group: the broker doesn't answer."]),
        ExitStatus.OK if error is None else status,
    )


async def _wait_for_first(*awaitables: Awaitable[object]) -> None:
    """Wait until one of them ends, cancel the others, and raise what it raised."""
    waiters = [asyncio.ensure_future(each) for each in awaitables]
    done, pending = await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
    for waiter in pending:
        waiter.cancel()
    for waiter in done:
        waiter.result()


@contextmanager
def supervised(settings: Settings, runtime: Runtime, metrics_address: str) -> Iterator[Watchdog]:
    """What stands beside a worker's tasks, whoever runs them: metrics, a watchdog, memory that is tidied up."""
    keep_tidy()
    tune_garbage_collection(settings)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_report_loop_error)
    watchdog = Watchdog(runtime.unfinished, settings.stall_timeout_s)
    watchdog.start(loop)
    watching_ends = loop.create_task(runtime.watch_ends(), name="ends")
    try:
        unhealthy_after_s = settings.stall_timeout_s // limits.HEALTH_STALL_PART
        probes = Probes(health=lambda: watchdog.stalls(unhealthy_after_s), readiness=runtime.not_ready)
        runtime.metrics.serve_also(runtime.standings)
        with serving(settings.metrics_port, runtime.metrics.registry, probes, metrics_address):
            yield watchdog
    finally:
        watching_ends.cancel()


def _report_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody waited for, as Python reports it, without what a failed producer of aiokafka leaves behind.

    Each of its sends and its transaction is a future of its own, of which the task has heard the first that failed; and
    requests that were on their way when it died find it dead.
    """
    future = context.get("future")
    if isinstance(future, asyncio.Task):
        left_behind = getattr(future.get_coro(), "__qualname__", "").startswith("Sender.")
    else:
        left_behind = future is not None and isinstance(context.get("exception"), KafkaError)
    if left_behind:
        logger.debug("left behind by a producer that failed", error=repr(context.get("exception")))
    else:
        loop.default_exception_handler(context)


def tune_garbage_collection(settings: Settings) -> None:
    """Keep what stands from being looked through again and again, and look as often as a fold's garbage asks for.

    What an import leaves behind in cycles (300 kB) is frozen with it: to look for that takes 0.1 s of a start.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY_OBJECTS_NATIVE if is_used(settings.native) else COLLECT_EVERY_OBJECTS, 5, 5)


def create_app(metrics_address: str = ALL_INTERFACES) -> faust.App:
    """The app for Faust's own command line, with every role."""
    settings = load_settings()
    configure_logs(settings)
    check_versions()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        counts = runner.run(check_topics(settings))
    app, runtime = build(settings, ALL_ROLES, counts.orders, counts.totals)

    @app.task
    async def supervise() -> None:
        with supervised(settings, runtime, metrics_address) as watchdog:
            try:
                await _wait_for_first(runtime.wait_failed(), app.wait_until_stopped())
            except UserError as error:
                await app.crash(error)
            finally:
                await _finish(runtime, watchdog, app.crash_reason)

    return app


def __getattr__(name: str) -> Any:
    if name == "app":
        try:
            return create_app()
        except UserError as error:
            raise SystemExit(f"everycent: {error}") from None
    raise AttributeError(name)
