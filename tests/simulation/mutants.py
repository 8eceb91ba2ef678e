"""Ways to break the engine, its folds or the broker below it, each of which the simulation must notice.

Every mutant is a mistake that somebody could make; each is the name of a test.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

import streams.agents.split_partition
import streams.domain.dedupe
import streams.domain.split
import tests.simulation.world
from schemas import limits
from streams.agents.split_processor import SplitProcessor
from streams.agents.totals_processor import TotalsProcessor
from streams.domain.totals import TotalsState
from streams.engine.batches import RecordBatch
from streams.engine.commit import Committer
from streams.engine.task import PartitionTask
from tests.simulation.clients import SimulatedLog
from tests.simulation.worker import SimulatedConsumer, WorkerProcess

Patch = tuple[Any, str, Any]
MUTANTS: dict[str, Callable[[], list[Patch]]] = {}


def mutant(make: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    MUTANTS[make.__name__] = make
    return make


@contextmanager
def broken_by(name: str) -> Iterator[None]:
    """Within, the mutant's changes are made."""
    patches = [*MUTANTS[name](), (tests.simulation.world, "NATIVE_SHARE", 0.0)]  # they break the rules in Python
    before = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in patches]
    try:
        for owner, attribute, value in patches:
            setattr(owner, attribute, value)
        yield
    finally:
        for owner, attribute, value in before:
            setattr(owner, attribute, value)


# Who may write


@mutant
def a_transactional_id_for_each_worker_fences_nobody() -> list[Patch]:
    real = WorkerProcess.new_producer
    return [(WorkerProcess, "new_producer", lambda self, name: real(self, f"{name}-{self.name}"))]


@mutant
def the_state_is_restored_before_the_others_are_fenced() -> list[Patch]:
    real = Committer.commit

    async def start(self: Committer) -> None:
        self._started = False

    async def commit(self: Committer, output: Any, position: int) -> None:
        if not self._started:
            await self._producer.start()
            self._started = True
        await real(self, output, position)

    return [(Committer, "start", start), (Committer, "commit", commit)]


# The commit


@mutant
def the_commit_does_not_wait_for_acknowledgements() -> list[Patch]:
    async def commit(self: Committer, output: Any, position: int) -> None:
        await self._producer.begin_transaction()
        await self._send(output)
        await self._producer.send_offsets_to_transaction({self._tp: OffsetAndMetadata(position, "")}, self._group_id)
        await self._producer.commit_transaction()

    return [(Committer, "commit", commit)]


@mutant
def a_failed_commit_counts() -> list[Patch]:
    real = Committer.commit

    async def commit(self: Committer, output: Any, position: int) -> None:
        try:
            await real(self, output, position)
        except ProducerFenced:
            raise
        except KafkaError:
            self._producer._in_transaction = False

    return [(Committer, "commit", commit)]


@mutant
def a_commit_whose_answer_is_lost_is_made_again() -> list[Patch]:
    real = Committer.commit

    async def commit(self: Committer, output: Any, position: int) -> None:
        try:
            await real(self, output, position)
        except ProducerFenced:
            raise
        except KafkaError:
            self._producer._in_transaction = False
            await real(self, output, position)

    return [(Committer, "commit", commit)]


@mutant
def outputs_and_offset_are_two_transactions() -> list[Patch]:
    async def commit(self: Committer, output: Any, position: int) -> None:
        producer = self._producer
        for part in ({key: value} for key, value in output.records.items()):
            await producer.begin_transaction()
            await asyncio.gather(*await self._send(type(output)(part)))
            await producer.commit_transaction()
        await producer.begin_transaction()
        await producer.send_offsets_to_transaction({self._tp: OffsetAndMetadata(position, "")}, self._group_id)
        await producer.commit_transaction()

    return [(Committer, "commit", commit)]


# What is read


@mutant
def a_restore_reads_aborted_records() -> list[Patch]:
    return [(SimulatedLog, "committed", False)]


@mutant
def the_consumer_reads_aborted_records() -> list[Patch]:
    return [(SimulatedConsumer, "committed", False)]


@mutant
def batches_are_not_trimmed_to_the_position() -> list[Patch]:
    return [(RecordBatch, "since", lambda self, _position: self.records)]


@mutant
def old_batches_are_folded_again() -> list[Patch]:
    return [(PartitionTask, "_fold_next", _fold_next(old=True, gap=False))]


@mutant
def gaps_are_passed_over() -> list[Patch]:
    return [(PartitionTask, "_fold_next", _fold_next(old=False, gap=True))]


def _fold_next(*, old: bool, gap: bool) -> Any:
    async def fold_next(self: PartitionTask, processor: Any, deadline: float) -> int | None:
        while True:
            batch = await self._next_batch(deadline)
            if batch is None:
                return None
            if batch.next_offset <= self.position and not old:
                continue
            if batch.base_offset > self.position and not gap:
                await self._close_gap(batch)
                continue
            records = batch.records if old else batch.since(self.position)
            processor.fold(records)
            self.position = max(self.position, batch.next_offset)
            self._folding = True
            if records:
                return len(records)

    return fold_next


# What is restored


@mutant
def the_groups_offset_alone_says_where_to_go_on() -> list[Patch]:
    real = PartitionTask._restore

    async def restore(self: PartitionTask, processor: Any, log: Any) -> int:
        await real(self, processor, log)
        offset = await self._services.read_committed(self.tp)
        return 0 if offset is None or offset.offset < 0 else offset.offset

    return [(PartitionTask, "_restore", restore)]


@mutant
def the_position_of_refused_orders_is_forgotten() -> list[Patch]:
    real = streams.agents.split_partition.decode_rejection
    return [(streams.agents.split_partition, "decode_rejection", lambda found: real(found)._replace(source_offset=-1))]


@mutant
def the_position_of_totals_is_forgotten() -> list[Patch]:
    real = TotalsProcessor.restore

    async def restore(self: TotalsProcessor, log: Any, metadata: str) -> int | None:
        await real(self, log, metadata)
        return None

    return [(TotalsProcessor, "restore", restore)]


@mutant
def order_ids_are_not_restored() -> list[Patch]:
    async def restore_state(self: SplitProcessor, next_seq: int, tail: Any) -> None:
        self._state.next_seq = next_seq

    return [(SplitProcessor, "_restore_state", restore_state)]


@mutant
def order_ids_of_half_the_horizon_are_restored() -> list[Patch]:
    return [
        (
            streams.agents.split_partition,
            "restore_from_ms",
            lambda horizon_ms, last: max(0, (last // (horizon_ms // 24) - 12) * (horizon_ms // 24)),
        )
    ]


# The rules


@mutant
def rates_are_rounded_down() -> list[Patch]:
    real = streams.domain.split.donation_fen

    def donation_fen(pledge: Any, paid_fen: int) -> int:
        bps = getattr(pledge, "bps", None)
        return real(pledge, paid_fen) if bps is None else min(max(paid_fen * bps // 10_000, 2), paid_fen)

    return [(streams.domain.split, "donation_fen", donation_fen)]


@mutant
def the_horizon_is_a_slice_too_short() -> list[Patch]:
    return [(streams.domain.dedupe, "SLICES", 23)]


@mutant
def orders_from_the_future_are_taken() -> list[Patch]:
    return [(limits, "FUTURE_TOLERANCE_MS", 10**18)]


@mutant
def late_donations_are_dropped() -> list[Patch]:
    real = TotalsState._add
    return [
        (
            TotalsState,
            "_add",
            lambda self, table, name, minute: None if table.final else real(self, table, name, minute),
        )
    ]


@mutant
def revisions_start_again_after_a_restart() -> list[Patch]:
    real = TotalsState.finish_restore

    def finish_restore(self: TotalsState) -> None:
        for table in self._tables.values():
            for entry in table.entries.values():
                entry.revision = 0
        real(self)

    return [(TotalsState, "finish_restore", finish_restore)]
