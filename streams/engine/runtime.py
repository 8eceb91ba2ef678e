"""The tasks of one worker: which partitions run here, what comes in for them, and how all of it ends.

A task outlives a rebalance that leaves its partition here. Whoever else may get a partition fences us first, so a task
that goes on for a while after it lost its partition can do no harm.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from streams.engine import limits
from streams.engine.batches import RecordBatch
from streams.engine.commit import Committer, OnStep, ignore_step
from streams.engine.connection import ask_why, group_offsets, open_admin
from streams.engine.ends import EndWatch
from streams.engine.memory import give_back
from streams.engine.reader import open_reader
from streams.engine.refusals import explain, is_denial
from streams.engine.rejection_log import RejectionLog
from streams.engine.stage import Log, Stage
from streams.engine.task import PartitionTask, Phase, Services
from streams.engine.tracing import CommitTracer
from streams.errors import AccessError, ExitStatus, partitions_added
from streams.metrics import REBALANCES, PartitionStanding, WorkerMetrics
from streams.native import is_used
from streams.settings import Settings

logger = structlog.get_logger(__name__)


class Runtime:
    """Starts, keeps and ends a worker's partition tasks."""

    def __init__(
        self,
        settings: Settings,
        stages: Sequence[Stage],
        on_step: OnStep = ignore_step,
        partitions: Mapping[str, int] | None = None,
        tracer: CommitTracer | None = None,
    ) -> None:
        """`partitions`: how many each input topic had when the topics were checked; an assignment must lie within."""
        self._failure: BaseException | None = None  # what this worker can't go on after
        self._failed = asyncio.Event()
        self._settings = settings
        self._stages = {stage.source_topic: stage for stage in stages}
        self._partitions = partitions or {}
        self._tracer = tracer
        self._rejections = RejectionLog(settings.topics.rejected_orders)
        self.metrics = WorkerMetrics()
        self._services = Services(
            open_writer=lambda tp: Committer(settings, tp, tracer.after(on_step) if tracer else on_step),
            open_log=self._open_log,
            seek=self._seek,
            read_committed=self._read_committed,
            on_step=tracer.after(on_step) if tracer else on_step,
            has_backlog=self._has_backlog,
            explain=ask_why,
            observe=tracer.commit if tracer else nullcontext,
            on_output=self._rejections.note,
            metrics=self.metrics,
        )
        self._tasks: dict[TopicPartition, PartitionTask] = {}
        self._running: dict[TopicPartition, asyncio.Task[None]] = {}
        self._ends = EndWatch(settings, lambda: list(self._tasks))
        self._generation = 0
        self._giving_back: asyncio.TimerHandle | None = None
        self._finished = False
        self._consumer: Any = None

    @property
    def tasks(self) -> Sequence[PartitionTask]:
        return list(self._tasks.values())

    def wants_records(self, tp: TopicPartition) -> bool:
        """True if the partition's task takes a batch now. Called from the consumer's thread."""
        task = self._tasks.get(tp)
        return task is not None and task.wants_records()

    def unfinished(self) -> dict[TopicPartition, object]:
        """For each partition that has something to do, a mark that changes as it gets on. Called from any thread.

        The others are noted as caught up; the watchdog asks once a second, so their lag in seconds is known so well.
        """
        behind: dict[TopicPartition, object] = {}
        for tp, task in list(self._tasks.items()):
            end = self._end_offset(tp)
            if task.is_behind(end):
                behind[tp] = task.progress
            elif end is not None and task.phase is Phase.RUNNING:
                task.note_caught_up()
        return behind

    def not_ready(self) -> list[str]:
        """Why this worker isn't ready, for a person; nothing once all that it was assigned is restored."""
        if self._finished:
            return ["the worker is ending"]
        if not self._generation:
            return ["the group has assigned nothing yet"]
        waiting = [task for task in self.tasks if task.phase is not Phase.RUNNING]
        return [f"{task.tp.topic}-{task.tp.partition} is {task.phase.value}" for task in waiting]

    def standings(self) -> list[PartitionStanding]:
        """Where each partition stands, for the metrics. Called from any thread and only reads."""
        return [self._standing(task) for task in self.tasks]

    def accept(self, batch: RecordBatch) -> None:
        """Hand a batch to its partition's task; without one it is dropped, for whoever has it will fetch it again."""
        task = self._tasks.get(batch.tp)
        if task is not None:
            task.accept(batch)

    async def assign(self, consumer: Any, assigned: Iterable[TP], generation: int) -> None:
        """Make the running tasks those of `assigned`.

        A task is kept only if this worker took part in every generation since it started: else another one may have
        owned the partition in between, and its state is old.
        """
        if self._finished:
            return  # the group may well give us something while we are leaving it
        self._consumer = consumer
        wanted = {TopicPartition(tp.topic, tp.partition) for tp in assigned if tp.topic in self._stages}
        added = [tp for tp in wanted if tp.partition >= self._partitions.get(tp.topic, tp.partition + 1)]
        if added:
            topic, partition = min(added)
            self.fail(partitions_added(topic, partition, self._partitions[topic]))
            return
        took_part = generation == self._generation + 1
        self._generation = generation
        kept = wanted & self._running.keys() if took_part else set()
        await self._drop(self._running.keys() - kept, limits.STOP_TIMEOUT_S)
        for tp in sorted(wanted - kept):
            self._start(tp)
        self.metrics.count(REBALANCES)
        logger.info(
            "assignment", generation=generation, partitions=len(wanted), kept=len(kept), assigned=ranges_of(wanted)
        )

    async def watch_ends(self) -> None:
        """Ask where the partitions end until cancelled, so that lag shows also when nothing is fetched any more."""
        await self._ends.run()

    async def wait_failed(self) -> None:
        """Wait for as long as all is well, then raise what a task can't go on after."""
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    async def finish(self) -> None:
        """Let every task commit what it has folded, then end them all. One that hasn't folded yet ends at once."""
        self._finished = True
        for tp, task in self._tasks.items():
            task.stop()
            if task.phase is not Phase.RUNNING:  # a start or a restore may take minutes, and gives nothing
                self._running[tp].cancel()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=limits.STOP_TIMEOUT_S)
        await self._drop(list(self._running), limits.ABORT_TIMEOUT_S)
        self._rejections.flush()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)

    def _start(self, tp: TopicPartition) -> None:
        task = PartitionTask(self._settings, self._stages[tp.topic], tp.partition, self._services)
        running = asyncio.get_running_loop().create_task(task.run(), name=f"{tp.topic}-{tp.partition}")
        running.add_done_callback(self._on_end)
        self._tasks[tp], self._running[tp] = task, running

    def fail(self, error: BaseException) -> None:
        """End the worker: it can't go on after this."""
        told = AccessError(str(explain(self._settings, error)), ExitStatus.FAILED) if is_denial(error) else error
        self._failure = self._failure or told
        self._failed.set()

    def _on_end(self, running: asyncio.Task[None]) -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            self.fail(error)

    async def _drop(self, tps: Iterable[TopicPartition], timeout_s: float) -> None:
        running = []
        for tp in list(tps):
            self._tasks.pop(tp).stop()  # a cancellation may be lost in a failing abort: then the task ends by this
            running.append(self._running.pop(tp))
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=timeout_s)
            self._give_back_soon()

    @asynccontextmanager
    async def _open_log(self) -> AsyncIterator[Log]:
        async with open_reader(self._settings, packed=is_used(self._settings.native)) as log:
            yield log
        self._give_back_soon()

    def _give_back_soon(self) -> None:
        """Once for all partitions that come or go together."""
        if self._giving_back is not None:
            self._giving_back.cancel()
        self._giving_back = asyncio.get_running_loop().call_later(limits.GIVE_BACK_AFTER_S, give_back)

    def _has_backlog(self) -> bool:
        """True if a partition is further from its end than live orders ever bring it.

        That batches wait doesn't say so: one fetch brings some for many partitions, and all but one wait their turn.
        """
        return any(
            task.phase is Phase.RUNNING and (self._end_offset(tp) or 0) - task.position > limits.BACKLOG_RECORDS
            for tp, task in self._tasks.items()
        )

    def _standing(self, task: PartitionTask) -> PartitionStanding:
        if task.phase is not Phase.RUNNING:  # what it knew may be old: another worker may have gone on from there
            return PartitionStanding(task.tp.topic, task.tp.partition, is_ready=False)
        end = self._end_offset(task.tp)
        lag = lag_s = None
        if end is not None:
            # Markers of transactions behind the last record are passed over, but get no commit of their own.
            is_behind = task.is_behind(end)
            lag, lag_s = (max(0, end - task.committed), task.lag_s) if is_behind else (0, 0.0)
        return PartitionStanding(task.tp.topic, task.tp.partition, True, task.position, lag, lag_s, task.levels)

    def _end_offset(self, tp: TopicPartition) -> int | None:
        consumer = self._consumer._thread._consumer  # noqa: SLF001 - only reads what the last fetch said
        try:
            fetched: int | None = consumer.last_stable_offset(tp)
        except (AssertionError, AttributeError, IllegalStateError):  # not assigned just now: a rebalance is under way
            fetched = None
        asked = self._ends.get(tp)
        return fetched if asked is None else max(fetched or 0, asked)

    async def _seek(self, tp: TopicPartition, offset: int) -> None:
        await self._consumer.seek_wait({TP(tp.topic, tp.partition): offset})

    async def _read_committed(self, tp: TopicPartition) -> OffsetAndMetadata | None:
        async with open_admin(self._settings) as admin:
            offsets = await group_offsets(admin, self._settings.app_id, [tp])
        return offsets.get(tp)


def ranges_of(tps: Iterable[TopicPartition]) -> dict[str, str]:
    """Partitions as people write them, by topic: `{"orders": "0-3,5"}`. There may be thousands."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for topic, partition in sorted(tps):
        of_topic = ranges.setdefault(topic, [])
        if of_topic and of_topic[-1][1] == partition - 1:
            of_topic[-1] = (of_topic[-1][0], partition)
        else:
            of_topic.append((partition, partition))
    return {
        topic: ",".join(str(first) if first == last else f"{first}-{last}" for first, last in of_topic)
        for topic, of_topic in ranges.items()
    }
