"""A partition's task: restore, then fold and commit for as long as the partition is ours.

Nothing here survives a crash and nothing needs to: all state is read back from the output topics. Any failure before a
commit is through throws away the processor with its state, and a new one restores.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from streams.engine import limits
from streams.engine.batches import RecordBatch, bytes_of
from streams.engine.commit import CommitWork, OnStep, Step, ignore_step
from streams.engine.refusals import explain
from streams.engine.stage import Log, Output, Processor, Stage
from streams.errors import AccessError, BrokerUnavailableError, ExitStatus, UserError
from streams.metrics import (
    COMMIT_RECORDS,
    COMMIT_SECONDS,
    FENCED,
    FOLD_SECONDS,
    NO_FIGURES,
    RESTORE_SECONDS,
    RESTORES,
    Figures,
    WorkerMetrics,
)
from streams.settings import Settings

logger = structlog.get_logger(__name__)


async def _explain_unasked(settings: Settings, error: BaseException) -> UserError:
    """What the error itself says. A worker asks the broker for more (`streams.engine.connection.ask_why`)."""
    return explain(settings, error)


class Writer(Protocol):
    """What a task commits through: `streams.engine.commit.Committer`, or a fake one in simulations."""

    async def start(self) -> None: ...
    async def commit(self, output: Output, position: int) -> None: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What a task needs of the worker around it."""

    open_writer: Callable[[TopicPartition], Writer]
    open_log: Callable[[], AbstractAsyncContextManager[Log]]
    seek: Callable[[TopicPartition, int], Awaitable[None]]  # makes the consumer fetch the partition from that offset
    read_committed: Callable[[TopicPartition], Awaitable[OffsetAndMetadata | None]]  # the group's offset
    on_step: OnStep = ignore_step
    has_backlog: Callable[[], bool] = lambda: False  # this worker is behind by more than live orders bring it
    explain: Callable[[Settings, BaseException], Awaitable[UserError]] = _explain_unasked
    observe: Callable[[CommitWork], AbstractContextManager[object]] = nullcontext  # around each commit: tracing
    on_output: Callable[[TopicPartition, Output], None] = lambda _tp, _output: None  # what a commit has written
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)


class Phase(Enum):
    """Where a task stands."""

    STARTING = "starting"
    RESTORING = "restoring"
    RUNNING = "running"
    PAUSING = "pausing"  # after a failure, before it starts again
    STOPPED = "stopped"


class PartitionTask:
    """Owns one input partition in this process."""

    def __init__(
        self,
        settings: Settings,
        stage: Stage,
        partition: int,
        services: Services,
    ) -> None:
        self.tp = TopicPartition(stage.source_topic, partition)
        self.phase = Phase.STARTING
        self.position = 0  # the next input offset to fold
        self.committed = 0  # the input offset that the last commit was good up to
        self.levels: Figures = NO_FIGURES  # how much it holds, as of a commit; replaced, never changed
        self._levels_due = 0.0  # when it is to be asked again, by the loop's clock
        self._fresh_s = 0.0  # all that was appended before this time is committed; 0: not known yet
        self._ready_s = 0.0  # since when it runs
        self._folded_ms = 0  # when what was folded last was appended
        self._settings = settings
        self._stage = stage
        self._services = services
        self._inbox: deque[RecordBatch] = deque()
        self._arrived = asyncio.Event()
        self._stop_asked = asyncio.Event()
        self._failures = 0
        self._folding = False  # something is folded that isn't committed
        self._folded_bytes = 0  # since the last commit
        self._rested_at = 0.0  # when the next commit may begin, by the loop's clock
        self._group_is_behind = False  # its offset was lost or set back: the state knows better
        self._log = logger.bind(topic=self.tp.topic, partition=self.tp.partition)

    # What others call. `wants_records` is called from the consumer's thread and only reads.

    def wants_records(self) -> bool:
        return (
            self.phase is Phase.RUNNING
            and not self._stop_asked.is_set()
            and len(self._inbox) < limits.INBOX_MAX_BATCHES
        )

    @property
    def progress(self) -> tuple[Phase, int, int]:
        """Changes whenever the task gets on."""
        return self.phase, self.position, self.committed

    def is_behind(self, end_offset: int | None) -> bool:
        """True if there is something to do: a start to finish, records to fold or a commit to make."""
        if self.phase is Phase.RESTORING:
            return False  # may take as long as there is to read; a read without records gives up by itself
        if self.phase is not Phase.RUNNING:
            return self.phase is not Phase.STOPPED
        return self._folding or (end_offset is not None and end_offset > self.position)

    def note_caught_up(self) -> None:
        """Told now and then that there is nothing to do, from any thread."""
        self._fresh_s = time.time()

    @property
    def lag_s(self) -> float:
        """All that was appended longer ago than so is committed. Before the first commit: since when it is ready."""
        return max(time.time() - (self._fresh_s or self._ready_s), 0.0)

    def accept(self, batch: RecordBatch) -> None:
        """Take a batch in; it is judged by its offsets when its turn comes."""
        if self.phase is Phase.RUNNING:
            self._inbox.append(batch)
            self._arrived.set()

    def stop(self) -> None:
        """Ask the task to finish the running commit, with all that is folded, and end."""
        self._stop_asked.set()
        self._arrived.set()

    async def run(self) -> None:
        """Live until stopped. Raises only what starting again can't mend: bugs, broken invariants, lost input."""
        try:
            while not self._stop_asked.is_set():
                try:
                    await self._live()
                except (ProducerFenced, InvalidProducerEpoch):
                    self._services.metrics.count(FENCED, self._stage.name)
                    self._log.warning(
                        "fenced: another worker owns this partition, or the broker gave us up",
                        position=self.position,
                        committed=self.committed,
                    )
                    await self._pause(limits.FENCED_PAUSE_HEARTBEATS * self._settings.heartbeat_interval_ms / 1_000)
                except (KafkaError, AccessError, BrokerUnavailableError, OSError) as error:
                    self.phase = Phase.PAUSING  # the broker may take its time to say why: a stop needn't wait for it
                    told = await self._services.explain(self._settings, error)
                    if isinstance(told, AccessError):
                        raise AccessError(str(told), ExitStatus.FAILED) from error
                    pause_s = limits.RESTART_BACKOFF_S[min(self._failures, len(limits.RESTART_BACKOFF_S) - 1)]
                    self._log.warning("given up for now; will restore and go on", error=repr(error), pause_s=pause_s)
                    self._failures += 1
                    await self._pause(pause_s)
        finally:
            self.phase = Phase.STOPPED
            self._inbox.clear()

    async def _pause(self, seconds: float) -> None:
        self.phase = Phase.PAUSING
        self._inbox.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop_asked.wait(), seconds)

    async def _live(self) -> None:
        self.phase = Phase.STARTING
        self._folding = self._group_is_behind = False
        self._folded_bytes = 0
        processor = self._stage.open_partition(self.tp.partition)
        writer = self._services.open_writer(self.tp)
        try:
            await writer.start()  # first of all: from here on nobody else can write
            self.phase = Phase.RESTORING
            began = asyncio.get_running_loop().time()
            async with self._services.open_log() as log:
                self.position = self.committed = await self._restore(processor, log)
            took_s = asyncio.get_running_loop().time() - began
            self._services.metrics.count(RESTORES, self._stage.name)
            self._services.metrics.observe(RESTORE_SECONDS, took_s, self._stage.name)
            self._take_levels(processor)
            await self._services.seek(self.tp, self.position)
            self._ready_s = time.time()
            self.phase = Phase.RUNNING
            self._log.info("partition ready", position=self.position, restore_s=round(took_s, 3))
            if self._group_is_behind:  # mended at once: until the next order comes, all lag and all audits go by it
                await self._commit(processor, writer, 0)
            await self._fold_and_commit(processor, writer)
        finally:
            await writer.stop()

    async def _restore(self, processor: Processor, log: Log) -> int:
        """Bring the state back and say from which offset to go on: the greater of what the group and the state know."""
        offset = await self._services.read_committed(self.tp)
        of_group = None if offset is None or offset.offset < 0 else offset.offset
        of_state = await processor.restore(log, "" if offset is None else offset.metadata)
        start = await log.start_offset(self.tp.topic, self.tp.partition)
        end = await log.end_offset(self.tp.topic, self.tp.partition)
        position = max(of_group or 0, of_state or 0)
        if of_state is not None and (of_group or 0) < of_state:
            self._group_is_behind = True
            self._log.warning(
                "the group's offset is behind the state; the state counts", group=of_group, state=of_state
            )
        if position > end:
            raise UserError(
                f"{self.tp.topic}-{self.tp.partition} ends at offset {end}, but it was already processed up to "
                f"{position}: the topic was deleted or cut. Restore it, or start anew with another EVERYCENT_APP_ID "
                "and EVERYCENT_TOPIC_PREFIX.",
                ExitStatus.FAILED,
            )
        if of_group is None and of_state is None:
            return start
        self._refuse_gap(position, start)
        return position

    def _refuse_gap(self, position: int, start: int) -> None:
        if start > position:
            raise UserError(
                f"records {position} to {start - 1} of {self.tp.topic}-{self.tp.partition} were deleted before they "
                "were processed. Raise the topic's retention; the lost records must be sent again.",
                ExitStatus.FAILED,
            )

    async def _fold_and_commit(self, processor: Processor, writer: Writer) -> None:
        loop = asyncio.get_running_loop()
        idle_s = self._settings.idle_after_ms / 1_000
        idle = False
        while not self._stop_asked.is_set():
            folded = await self._fold_next(processor, loop.time() + idle_s)
            if folded is None:
                self._take_levels(processor)
                if idle or self._stop_asked.is_set() or not processor.fold_idle():
                    continue
                idle = True
            else:
                idle = False
                started = loop.time()
                while (
                    folded < processor.commit_max_records
                    and self._folded_bytes < limits.COMMIT_MAX_BYTES
                    and not self._stop_asked.is_set()
                ):
                    more = await self._fold_next(processor, self._commit_due(started))
                    if more is None:
                        break
                    folded += more
            await self._commit(processor, writer, folded or 0)

    def _commit_due(self, folded_at: float) -> float:
        """When what was first folded at `folded_at` is to be committed, by the loop's clock.

        A commit costs the same however little is in it. So the next one waits until this partition has rested for some
        times as long as the last one took: few orders come out soon, and where commits get slow, because much is going
        on here or at the broker, there are fewer of them. Under a backlog nobody waits for any single order.
        """
        interval_s = self._settings.commit_interval_ms / 1_000
        if self._services.has_backlog():
            return folded_at + interval_s * limits.COMMIT_STRETCH
        return min(folded_at + interval_s, self._rested_at)

    async def _commit(self, processor: Processor, writer: Writer, folded: int) -> None:
        """Commit what the last `folded` records gave, and the position behind them."""
        clock = asyncio.get_running_loop().time
        work = CommitWork(self.tp, self.committed, self.position, folded, self._folded_bytes)
        with self._services.observe(work):
            self._services.on_step(Step.FOLDED, self.tp)
            started = clock()
            output = processor.take_output(self.position)
            began = clock()
            await writer.commit(output, self.position)
            self._rested_at = clock() + limits.COMMIT_REST * (clock() - began)
            self.committed = self.position
            self._measure(output, folded, clock() - started)
            if clock() >= self._levels_due:
                self._take_levels(processor)
            self._log.debug("committed", **work.fields, written=output.record_count)
            self._folding = False
            self._folded_bytes = 0
            self._failures = 0
            self._services.on_step(Step.COUNTED, self.tp)
        self._services.on_output(self.tp, output)

    def _take_levels(self, processor: Processor) -> None:
        self.levels = processor.levels()
        self._levels_due = asyncio.get_running_loop().time() + limits.LEVELS_EVERY_S

    def _measure(self, output: Output, folded: int, seconds: float) -> None:
        """Count what is committed, and only that."""
        metrics, stage, now_s = self._services.metrics, self._stage.name, time.time()
        metrics.add(output.counts)
        metrics.observe(COMMIT_SECONDS, seconds, stage)
        metrics.observe(COMMIT_RECORDS, folded, stage)
        for metric, began_ms in output.began_ms:
            metrics.observe(metric, max(now_s - began_ms / 1_000, 0.0))
        self._fresh_s = max(self._fresh_s, min(self._folded_ms / 1_000, now_s))

    async def _fold_next(self, processor: Processor, deadline: float) -> int | None:
        """Fold one batch; how many records it held for us, or None if none came before `deadline`."""
        while True:
            batch = await self._next_batch(deadline)
            if batch is None:
                return None
            if batch.next_offset <= self.position:
                continue  # from before a rebalance or a seek: all of it is folded
            if batch.base_offset > self.position:
                await self._close_gap(batch)
                continue
            records = batch.since(self.position)
            self._folded_ms = batch.appended_ms or self._folded_ms
            started_s = time.perf_counter()
            processor.fold(records)
            self._services.metrics.observe(FOLD_SECONDS, time.perf_counter() - started_s, self._stage.name)
            self.position = batch.next_offset
            self._folding = self._folding or bool(records)
            self._folded_bytes += bytes_of(records)
            if records:
                return len(records)

    async def _next_batch(self, deadline: float) -> RecordBatch | None:
        loop = asyncio.get_running_loop()
        while not self._inbox:
            self._arrived.clear()
            left = deadline - loop.time()
            if self._stop_asked.is_set() or left <= 0:
                return None
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except TimeoutError:
                return None
        if loop.time() >= deadline:
            return None
        await asyncio.sleep(0)  # folding is long: let heartbeats and other partitions in between
        return self._inbox.popleft() if self._inbox else None

    async def _close_gap(self, batch: RecordBatch) -> None:
        """Go back for what was fetched but never reached us; give up loudly if the broker no longer has it."""
        self._inbox.clear()
        async with self._services.open_log() as log:
            self._refuse_gap(self.position, await log.start_offset(self.tp.topic, self.tp.partition))
        self._log.info("going back for records that did not arrive", position=self.position, got=batch.base_offset)
        await self._services.seek(self.tp, self.position)
