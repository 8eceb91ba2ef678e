"""One worker process: the real runtime with its tasks, and a fake consumer that feeds them.

The consumer keeps the one promise that a `RecordBatch` makes (its records are what the log holds between its offsets)
and no other: batches come late, twice, or from before a seek or a rebalance, and some never come.
"""

import asyncio
import dataclasses
import random
from collections import deque
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from aiokafka.structs import OffsetAndMetadata

from streams.engine.batches import RecordBatch
from streams.engine.commit import Step
from streams.engine.refusals import explain
from streams.engine.runtime import Runtime
from streams.errors import UserError
from streams.settings import Settings
from tests.simulation.clients import SimulatedLog, SimulatedProducer, opened
from tests.simulation.clock import Killed, Process
from tests.simulation.kafka import PartitionLog
from tests.simulation.network import Line

if TYPE_CHECKING:
    from tests.simulation.world import World

HELD_BACK_POLL_S = 0.03  # how soon a partition whose task wants nothing is looked at again


async def explained(settings: Settings, error: BaseException) -> UserError:
    """Without asking a broker: there is no network here."""
    return explain(settings, error)


class WorkerProcess(Process):
    """A process with a worker in it."""

    def __init__(self, world: "World", number: int) -> None:
        super().__init__(f"worker {number}")
        self.world = world
        self.crash_at: tuple[Step, str, int] | None = None  # the step, the topic, and how many commits until then
        self.leaving = False
        self._told_s = 0.0
        self._clients: dict[str, int] = {}
        self._orders: deque[tuple[int, frozenset[TopicPartition]]] = deque()
        self._ordered = asyncio.Event()
        self.consumer = SimulatedConsumer(self, world.chance_of(self.name, "consumer"))
        self.runtime = self.context.run(Runtime, world.settings, world.stages, self._on_step)
        self.runtime._services = dataclasses.replace(
            self.runtime._services, open_log=self._open_log, read_committed=self._read_committed, explain=explained
        )
        self._start(self._follow_assignments())
        self._start(self._watch())

    def _start(self, running: Any) -> None:
        self.world.tasks.append(self.world.loop.create_task(running, context=self.context))

    def tell_assignment(self, generation: int, tps: frozenset[TopicPartition], delay_s: float) -> None:
        """Tell it after a while what it has from this generation of the group on; in the order of generations."""
        self._told_s = max(self._told_s, self.world.loop.time() + delay_s)
        self.world.loop.after(self._told_s - self.world.loop.time(), self._receive, generation, tps)

    def _receive(self, generation: int, tps: frozenset[TopicPartition]) -> None:
        self._orders.append((generation, tps))
        self._ordered.set()

    def kill(self) -> None:
        """As kill -9: nothing runs any more, and nobody is told."""
        self.world.tell(f"{self.name} is killed")
        self.dead = True
        self.world.loop.freeze(self)
        self.consumer.close()

    def leave(self) -> None:
        """As on SIGTERM: finish the running commits and be gone."""
        self.leaving = True
        self._start(self._finish())

    async def _finish(self) -> None:
        await self.runtime.finish()
        self.world.tell(f"{self.name} has left in order")
        self.kill()

    async def _follow_assignments(self) -> None:
        while True:
            await self._ordered.wait()
            self._ordered.clear()
            while self._orders and not self.leaving:
                generation, tps = self._orders.popleft()
                self.consumer.assign(tps)
                await self.runtime.assign(self.consumer, sorted(tps), generation)

    async def _watch(self) -> None:
        try:
            await self.runtime.wait_failed()
        except (Killed, asyncio.CancelledError):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a task can't go on after is a finding
            self.world.judge.fail(f"{self.name} ended by itself: {error!r}", error)

    def _on_step(self, step: Step, tp: TopicPartition) -> None:
        if self.world.verbose:
            self.world.tell(f"{self.name} {tp.topic}-{tp.partition}: {step.name.lower()}")
        if self.crash_at is None or self.dead:
            return
        at, topic, commits = self.crash_at
        if at is step and topic == tp.topic:
            if commits > 0:
                self.crash_at = (at, topic, commits - 1)
                return
            self.world.tell(f"{self.name} {topic} is about to die at step {step.name}")
            self.kill()
            raise Killed

    # What the runtime and its tasks use of the cluster.

    def new_producer(self, transactional_id: str) -> SimulatedProducer:
        line, chance = self._new_client(transactional_id)
        return SimulatedProducer(self.world.cluster, line, chance, transactional_id)

    def _open_log(self) -> Any:
        return opened(SimulatedLog(self.world.cluster, *self._new_client("log")))

    async def _read_committed(self, tp: TopicPartition) -> OffsetAndMetadata | None:
        line, chance = self._new_client(f"offset {tp.topic} {tp.partition}")
        cluster = self.world.cluster
        nothing = OffsetAndMetadata(-1, "")
        if chance.random() < self.world.faults.stale_offset:
            before = chance.choice(cluster.past_offsets.get(tp, [nothing]))
            return await line.ask(lambda: chance.choice((nothing, OffsetAndMetadata(0, ""), before)))
        return await line.ask(lambda: cluster.offsets.get(tp, nothing))

    def _new_client(self, kind: str) -> tuple[Line, random.Random]:
        count = self._clients[kind] = self._clients.get(kind, 0) + 1
        chance = self.world.chance_of(self.name, kind, count)
        return Line(self.world.loop, self.world.weather, self, chance), chance


class SimulatedConsumer:
    """What `Runtime` uses of Faust's consumer, and the fetching behind it."""

    committed = True  # fetches committed records only

    def __init__(self, worker: WorkerProcess, chance: random.Random) -> None:
        self._worker = worker
        self._world = worker.world
        self._chance = chance
        self._positions: dict[TopicPartition, int] = {}
        self._polls: set[TopicPartition] = set()  # partitions that will be looked at
        self._thread = self
        self._consumer = self  # `Runtime` asks the consumer's thread's consumer for the last stable offset
        for log in self._world.inputs:
            log.listeners.append(self._on_stable)

    def close(self) -> None:
        for log in self._world.inputs:
            if self._on_stable in log.listeners:
                log.listeners.remove(self._on_stable)

    def assign(self, tps: frozenset[TopicPartition]) -> None:
        """Where it fetches from now is anyone's guess; the tasks will say where they stand."""
        for tp in sorted(tps):
            stable = self._world.cluster.logs[tp].stable
            if tp not in self._positions or self._chance.random() < self._world.faults.jump:
                self._positions[tp] = self._chance.randint(0, max(stable - 1, 0))  # what is left shows a gap
            self._poll_soon(tp)
        for tp in self._positions.keys() - tps:
            del self._positions[tp]

    async def seek_wait(self, offsets: dict[Any, int]) -> None:
        await asyncio.sleep(self._chance.uniform(0, 0.01))
        for found, offset in offsets.items():
            tp = TopicPartition(found.topic, found.partition)
            if tp not in self._positions:
                raise IllegalStateError(f"{tp} is not assigned")
            self._positions[tp] = offset
            self._poll_soon(tp)

    def last_stable_offset(self, tp: TopicPartition) -> int:
        return self._world.cluster.logs[tp].stable

    def _on_stable(self, log: PartitionLog, _before: int) -> None:
        self._poll_soon(log.tp)

    def _poll_soon(self, tp: TopicPartition, delay_s: float = 0.0) -> None:
        if tp not in self._polls and tp in self._positions:
            self._polls.add(tp)
            delay_s += self._chance.uniform(0.001, 0.02)
            self._world.loop.call_later(delay_s, self._poll, tp, context=self._worker.context)

    def _poll(self, tp: TopicPartition) -> None:
        self._polls.discard(tp)
        position = self._positions.get(tp)
        stable = self._world.cluster.logs[tp].stable
        if position is None or position >= stable:
            return
        if not self._worker.runtime.wants_records(tp):
            self._poll_soon(tp, HELD_BACK_POLL_S)
            return
        end = min(stable, position + self._chance.choice((1, 2, 5, 20, 1_000)))
        records = self._world.cluster.logs[tp].read(position, end, committed=self.committed)
        batch = RecordBatch(tp, position, end, records)
        self._positions[tp] = end
        self._deliver(batch, more=end < stable)
        self._poll_soon(tp)

    def _deliver(self, batch: RecordBatch, *, more: bool) -> None:
        faults, chance, loop = self._world.faults, self._chance, self._world.loop
        if more and chance.random() < faults.drop:  # what comes next shows the gap
            return
        delay_s = chance.uniform(0, 0.5) if chance.random() < faults.delay else 0.0
        if delay_s:
            loop.call_later(delay_s, self._hand_over, batch, context=self._worker.context)
        else:
            self._hand_over(batch)
        if chance.random() < faults.repeat:
            loop.call_later(chance.uniform(0, 8.0), self._hand_over, batch, context=self._worker.context)

    def _hand_over(self, batch: RecordBatch) -> None:
        self._worker.runtime.accept(batch)
