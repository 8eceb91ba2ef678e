"""One soak: load, probes, restarts and memory side by side, and the audit at the end."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.engine.connection import group_offsets, open_admin, open_consumer
from streams.engine.reader import LogReader
from streams.settings import Settings
from streams.views.audit import run_audit
from tests.kafka.workers import Workers
from tests.soak.crew import Crew
from tests.soak.figures import MB, Restart, Sights, spread
from tests.soak.load import Load
from tests.soak.plan import EventClock, SoakPlan, event_start_ms
from tests.soak.probes import Probes, open_probes

TELL_EVERY_S = 10
POLL_S = 0.1  # how exactly the end of a restart's window is known
LOAD_START_TIMEOUT_S = 60
VISIBLE_TIMEOUT_S = 120
AUDIT_WAIT_S = 600
KINDS = (signal.SIGTERM, signal.SIGKILL)

Tell = Callable[[str], None]


async def run_soak(settings: Settings, plan: SoakPlan, workers: Workers, tell: Tell) -> Sights:
    """Soak `workers` on `settings` (those of `soak_settings`, topics made), and give all that was seen.

    Raises AssertionError if the workers don't start or end again and again, or if the load ends by itself.
    """
    crew = Crew(workers, plan.workers)
    await crew.wait_ready()
    now_ms = time.time_ns() // 1_000_000
    start_ms = event_start_ms(now_ms, settings.timezone, int(plan.seconds * 1_000) * plan.event_speed)
    clock = EventClock(now_ms, start_ms, plan.event_speed)
    with TemporaryDirectory(prefix="everycent-soak-") as folder:
        load = Load(settings, plan, clock, Path(folder))
        try:
            async with open_probes(settings) as probes, _open_backlog(settings) as backlog:
                sights = await _Soak(plan, crew=crew, load=load, probes=probes, backlog=backlog, tell=tell).run(clock)
        finally:
            load.kill()
    tell("no more orders; auditing")
    report = await run_audit(settings, wait_s=AUDIT_WAIT_S)
    crew.stop()
    sights.audit = report.to_json()
    sights.suspicious_lines, sights.warnings = crew.suspicious_lines(), crew.warnings()
    return sights


class _Soak:
    """The part of a soak during which orders come."""

    def __init__(self, plan: SoakPlan, *, crew: Crew, load: Load, probes: Probes, backlog: "_Backlog", tell: Tell):
        self._plan, self._crew, self._load = plan, crew, load
        self._probes, self._backlog, self._tell = probes, backlog, tell
        self._restarts: list[Restart] = []
        self._started = 0.0

    async def run(self, clock: EventClock) -> Sights:
        plan, stop = self._plan, asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._crew.watch())
            assert await _wait_until(lambda: bool(self._load.progress()), LOAD_START_TIMEOUT_S), (
                "the load doesn't start"
            )
            self._started = time.monotonic()
            reading = group.create_task(self._probes.read())
            sending = group.create_task(self._probes.send(plan.probe_every_ms, clock, plan.seed, stop))
            telling = group.create_task(self._keep_telling())
            await self._restart_all()
            await _sleep_until(self._started + plan.seconds)
            ended = time.monotonic()
            load = await self._load.stop()
            stop.set()
            await sending
            await _wait_until(lambda: self._probes.visible == self._probes.sent, VISIBLE_TIMEOUT_S)
            for task in (watching, reading, telling):
                task.cancel()
        return Sights(
            started_s=self._started,
            ended_s=ended,
            orders_per_second=plan.orders_per_second,
            load=load,
            probes_sent=self._probes.sent,
            probes=self._probes.seen(),
            restarts=self._restarts,
            steady=self._crew.steady,
            lives=self._crew.lives,
            restart_every_s=plan.restart_every_s,
            faults=[*self._crew.faults, *self._probes.faults],
        )

    async def _restart_all(self) -> None:
        others = self._plan.workers - 1
        for index, at_s in enumerate(self._plan.restarts_at_s):
            await _sleep_until(self._started + at_s)
            worker, kind = 2 + index % others, KINDS[index // others % len(KINDS)]
            restart = Restart(worker, kind.name, time.monotonic())
            self._restarts.append(restart)
            await self._crew.restart(worker, kind)
            if await self._wait_settled(restart, restart.at_s + self._plan.restart_every_s):
                self._tell(
                    f"worker {worker}, {kind.name}: settled {restart.settled_s - restart.at_s:.1f} s, drained "
                    f"{restart.drained_s - restart.at_s:.1f} s after the signal"
                )
            else:
                self._tell(f"worker {worker}, {kind.name}: not settled and drained before the next restart")

    async def _wait_settled(self, restart: Restart, deadline_s: float) -> bool:
        """Wait until the new worker has its partitions, and then until all that had come is done, stage by stage."""
        left_s = deadline_s - time.monotonic()
        if not await _wait_until(lambda: self._crew.has_settled(restart.worker), left_s):
            return False
        restart.settled_s = time.monotonic()
        try:
            async with asyncio.timeout(deadline_s - time.monotonic()):
                for topic in self._backlog.stages:
                    await self._backlog.wait_done(topic)
        except TimeoutError:
            return False
        restart.drained_s = time.monotonic()
        return True

    async def _keep_telling(self) -> None:
        told = 0
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            seen = self._probes.seen_since(told)
            told += len(seen)
            found = spread([probe.latency_s for probe in seen])
            seconds = int(time.monotonic() - self._started)
            memory = ", ".join(f"{rss / MB:.0f} MB" for rss in self._crew.memory())
            self._tell(
                f"[{seconds // 60:02d}:{seconds % 60:02d}] {self._load.progress()['orders']:,} orders; "
                f"{len(seen)} probes came out, p50 {found['p50']} s, max {found['max']} s; workers {memory}; "
                f"{len(self._restarts)} restarts"
            )


class _Backlog:
    """What has come and isn't committed yet, by the group's own offsets."""

    def __init__(self, settings: Settings, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> None:
        self._group, self._admin, self._consumer = settings.app_id, admin, consumer
        self.stages = (settings.topics.orders, settings.topics.project_deltas)

    async def wait_done(self, topic: str) -> None:
        """Wait until all that the topic holds now, as readers of committed records see it, is committed."""
        tps = [TopicPartition(topic, partition) for partition in await LogReader(self._consumer).partitions(topic)]
        ends = await self._consumer.end_offsets(tps)
        while True:
            done = await group_offsets(self._admin, self._group, tps)
            if all(tp in done and done[tp].offset >= end for tp, end in ends.items()):
                return
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def _open_backlog(settings: Settings) -> AsyncIterator[_Backlog]:
    async with open_admin(settings) as admin, open_consumer(settings) as consumer:
        yield _Backlog(settings, admin, consumer)


async def _sleep_until(at_s: float) -> None:
    await asyncio.sleep(at_s - time.monotonic())


async def _wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for it; False if it doesn't come true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
