"""One run: a cluster, workers that come and go, orders over time, faults; then calm, and the judge's word."""

import asyncio
import random
from collections.abc import Callable

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams.agents.split_orders import split_stage
from streams.agents.total_projects import totals_stage
from streams.engine.commit import Step
from streams.settings import Settings
from tests.simulation.clock import NothingHappensError, VirtualLoop
from tests.simulation.faults import Faults, draw_faults
from tests.simulation.judge import Judge, WrongError
from tests.simulation.kafka import Cluster
from tests.simulation.model import Model
from tests.simulation.network import Weather
from tests.simulation.orders import HOUR_MS, Source
from tests.simulation.worker import WorkerProcess

WALL_START_MS = 1_763_900_000_000  # some moment of 2025
CALM_LIMIT_S = 240.0  # so long after the last fault all must have come out
CALM_STEP_S = 1.0
NATIVE_SHARE = 0.5  # of the runs fold in the extension, the others in Python
AFTERTHOUGHT_S = 12.0  # and so long after that nothing more may come


class World:
    """Everything that one seed decides."""

    def __init__(self, seed: int, tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.verbose = tell is not None
        self._tell = tell
        chance = self._chance = self.chance_of("world")
        self.loop = VirtualLoop()
        self.faults, self._weights = draw_faults(chance)
        self.weather = Weather(trouble=chance.choice((0.0, 0.0, 0.01, 0.05)), slow=chance.choice((0.0, 0.0, 0.05)))
        native = self.chance_of("native").random() < NATIVE_SHARE
        self.settings = self._draw_settings(chance).model_copy(update={"native": native})
        self._sources, self._targets = chance.choice((1, 2, 3)), chance.choice((1, 2))
        self.stages = [split_stage(self.settings, self._targets), totals_stage(self.settings, self._sources)]
        self.cluster = Cluster(self.loop, WALL_START_MS, self.chance_of("cluster"))
        self._model = Model(self._sources, self.settings.dedupe_horizon_hours * HOUR_MS)
        self.judge = Judge(
            self.settings.topics,
            self._model,
            released_after_ms={
                "minute": self.settings.minute_retention_hours * HOUR_MS,
                "hour": self.settings.hour_retention_hours * HOUR_MS,
            },
        )
        self._make_topics()
        self._source = Source(self.chance_of("orders"), WALL_START_MS, self._sources)
        self.tasks: list[asyncio.Task[None]] = []
        self.workers: list[WorkerProcess] = []  # those that live
        self._everyone: list[WorkerProcess] = []
        self._generation = 0
        self._owner: dict[TopicPartition, WorkerProcess] = {}
        self._calm = False

    def chance_of(self, *name: object) -> random.Random:
        return random.Random(f"{self.seed} {name}")

    def tell(self, what: str) -> None:
        if self._tell is not None:
            self._tell(f"{self.loop.time():10.4f}  {what}")

    @staticmethod
    def _draw_settings(chance: random.Random) -> Settings:
        short = chance.random() < 0.4
        return Settings(
            app_id="simulated",
            topic_prefix="",
            timezone="Asia/Shanghai",
            commit_interval_ms=chance.choice((10, 50, 500)),
            dedupe_horizon_hours=chance.choice((1, 24)),
            allowed_lateness_ms=chance.choice((0, 60_000, 600_000)),
            idle_after_ms=chance.choice((300, 3_000)),
            session_timeout_ms=chance.choice((1_000, 10_000)),
            minute_retention_hours=1 if short else 24 * 366,
            hour_retention_hours=2 if short else 24 * 3_660,
        )

    def _make_topics(self) -> None:
        topics, add = self.settings.topics, self.cluster.add_topic
        add(topics.orders, self._sources, append_time=True)
        add(topics.donations, self._sources, append_time=False)
        add(topics.rejected_orders, self._sources, append_time=True)
        add(topics.project_deltas, self._targets, append_time=True)
        add(topics.project_totals, self._targets, append_time=False)
        self._orders = self.cluster.of_topic(topics.orders)
        self.inputs = self._orders + self.cluster.of_topic(topics.project_deltas)
        for topic in (topics.donations, topics.rejected_orders, topics.project_totals):
            for log in self.cluster.of_topic(topic):
                self.judge.watch(log)

    # The run

    def run(self) -> None:
        """Raise WrongError if a promise was broken."""
        asyncio.events.set_event_loop(None)
        try:
            self._plan()
            self.loop.run_until_complete(self._play())
        except NothingHappensError:
            self.judge.fail("everybody waits for somebody, for ever")
        finally:
            self._clean_up()
        if self.judge.failure is not None:
            raise self.judge.failure

    def _plan(self) -> None:
        chance, after = self._chance, self.loop.after
        self._length_s = chance.uniform(4.0, 20.0)
        for _ in range(chance.choice((1, 2, 3))):
            self._start_worker()
        after(0.0, self._rebalance)
        for _ in range(chance.choice((5, 20, 40))):
            after(chance.uniform(0, self._length_s) if chance.random() < 0.9 else 0.0, self._arrive)
        events, weights = zip(*self._weights.items(), strict=True)
        for event in chance.choices(events, weights, k=chance.choice((0, 3, 8, 15, 30))):
            after(chance.uniform(0, self._length_s), self._happen, getattr(self, f"_{event}"))

    async def _play(self) -> None:
        await self._until(self._length_s)
        self._calm_down()
        ends_s = self.loop.time() + CALM_LIMIT_S
        while missing := self.judge.missing():
            await self._until(self.loop.time() + CALM_STEP_S)
            if self.loop.time() > ends_s:
                raise WrongError(f"not done {CALM_LIMIT_S:.0f} s after the last fault: {missing[:3]}")
        await self._until(self.loop.time() + AFTERTHOUGHT_S)
        if missing := self.judge.missing():
            raise WrongError(f"was complete, and is no more: {missing[:3]}")

    async def _until(self, time_s: float) -> None:
        while (left_s := time_s - self.loop.time()) > 0:
            await asyncio.sleep(min(left_s, CALM_STEP_S))
            if self.judge.failure is not None:
                raise self.judge.failure

    def _clean_up(self) -> None:
        """End every coroutine, those of the killed included, with nobody seeing what they do."""
        self.weather.over = True
        for worker in self._everyone:
            worker.dead = True
            worker.crash_at = None
            self.loop.thaw(worker)
        for _ in range(5):
            left = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            try:
                self.loop.run_until_complete(asyncio.wait(left, timeout=100))
            except NothingHappensError:
                continue
        self.loop.close()

    # What happens

    def _happen(self, event: Callable[[], None]) -> None:
        if not self._calm:
            event()

    def _arrive(self) -> None:
        wall_ms = self.cluster.wall_ms()
        for _ in range(self._chance.choice((1, 1, 3, 8))):
            log = self._chance.choice(self._orders)
            given = self._source.next_input(log.tp.partition, wall_ms)
            # The judge knows before the workers can.
            self.judge.take_input(log.tp.partition, len(log.records), wall_ms, given)
            log.append((given.key, given.value, None, []), wall_ms)

    def _start_worker(self) -> None:
        worker = WorkerProcess(self, len(self._everyone) + 1)
        self.tell(f"{worker.name} starts")
        self.workers.append(worker)
        self._everyone.append(worker)

    def _rebalance(self) -> None:
        self._forget_dead()
        chance = self._chance
        if not self.workers:
            self._start_worker()
        absent = [worker for worker in self.workers if worker.leaving or chance.random() < self.faults.zombie]
        members = [worker for worker in self.workers if worker not in absent]
        if not members:
            self._start_worker()
            members = [self.workers[-1]]
        self._generation += 1
        sticky = chance.random() < 0.6
        for log in self.inputs:
            if not (sticky and self._owner.get(log.tp) in members):
                self._owner[log.tp] = chance.choice(members)
        for worker in members:
            tps = frozenset(tp for tp, owner in self._owner.items() if owner is worker)
            self.tell(f"generation {self._generation}: {worker.name} has {sorted(f'{t}-{p}' for t, p in tps)}")
            worker.tell_assignment(self._generation, tps, chance.choice((0.0, 0.2, 3.0)) if not self._calm else 0.0)

    def _forget_dead(self) -> None:
        self.workers = [worker for worker in self.workers if not worker.dead]

    def _kill(self) -> None:
        self._forget_dead()
        if self.workers:
            self._chance.choice(self.workers).kill()
        self._replace()

    def _crash(self) -> None:
        """An owner will die at some step of some commit."""
        self._forget_dead()
        tp = self._chance.choice(self.inputs).tp
        owner = self._owner.get(tp)
        if owner in self.workers:
            owner.crash_at = (self._chance.choice(list(Step)), tp.topic, self._chance.choice((0, 0, 2)))
        self._replace()

    def _replace(self) -> None:
        """A supervisor starts another worker after a while, and the group notices."""
        self.loop.after(self._chance.uniform(0.1, 3.0), self._happen, self._start_worker_if_few)
        self.loop.after(self._chance.uniform(0.5, 5.0), self._happen, self._rebalance)

    def _start_worker_if_few(self) -> None:
        self._forget_dead()
        if len(self.workers) < 3:
            self._start_worker()

    def _freeze(self) -> None:
        self._forget_dead()
        running = [worker for worker in self.workers if worker.runs]
        if running:
            worker = self._chance.choice(running)
            self.tell(f"{worker.name} freezes")
            self.loop.freeze(worker)
            self.loop.after(self._chance.choice((0.3, 3.0, 20.0)) * self._chance.random(), self._wake, worker)
            if self._chance.random() < 0.7:
                self._replace()

    def _wake(self, worker: WorkerProcess) -> None:
        if not worker.dead and not worker.runs:
            self.tell(f"{worker.name} wakes")
            self.loop.thaw(worker)

    def _leave(self) -> None:
        self._forget_dead()
        if self.workers:
            self._chance.choice(self.workers).leave()
        self._replace()

    def _lose_offset(self) -> None:
        self.cluster.offsets.pop(self._chance.choice(self.inputs).tp, None)

    def _reset_offset(self) -> None:
        self.cluster.offsets[self._chance.choice(self.inputs).tp] = OffsetAndMetadata(0, "")

    def _compact(self) -> None:
        for log in self.cluster.of_topic(self.settings.topics.project_totals):
            log.compact()

    def _storm(self) -> None:
        """For a while most requests fail."""
        before, self.weather.trouble = self.weather.trouble, 0.5
        self.loop.after(self._chance.uniform(0.2, 4.0), self._end_storm, before)

    def _end_storm(self, trouble: float) -> None:
        if not self._calm:
            self.weather.trouble = trouble

    def _calm_down(self) -> None:
        self.tell("calm")
        self._calm = True
        self.faults = Faults()
        self.weather.trouble = self.weather.slow = 0.0
        for worker in self.workers:
            worker.crash_at = None
            self._wake(worker)
        self._rebalance()
