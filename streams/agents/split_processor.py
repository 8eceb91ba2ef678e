"""One partition of `orders`: what `split` folds and writes. In Python, and the reference for the extension."""

from collections.abc import AsyncIterator, Sequence

from aiokafka import ConsumerRecord

from schemas.delta import MinuteSum, ProjectDelta, encode_delta
from schemas.donation import Donation, encode_donation
from schemas.records import LogRecord
from streams.agents.foreign import only_ours
from streams.agents.split_partition import SplitPartition, read_donation
from streams.domain.dedupe import OrderMemory
from streams.domain.split import SplitOutcome, SplitState, restore_orders, split_orders
from streams.engine import limits
from streams.engine.stage import NO_HEADERS, Outgoing, Output
from streams.metrics import DEDUPE_IDS, Figures
from streams.settings import Settings

PROJECTS_CACHED_MAX = 1_000_000  # projects whose partition is remembered; tens of thousands exist
FOLD_RECORDS = 1_024  # orders in work at once: as many as stay in a core's cache (a fifth less CPU than 4,096)


class SplitProcessor(SplitPartition):
    """The reference."""

    commit_max_records = limits.COMMIT_MAX_RECORDS

    def __init__(self, settings: Settings, partition: int, totals_partitions: int) -> None:
        super().__init__(settings, partition, totals_partitions)
        self._state = SplitState(OrderMemory(self._horizon_ms))
        self._outcome = SplitOutcome()
        self._donations: list[Outgoing] = []
        self._partition_of: dict[str, int] = {}

    async def _restore_state(self, next_seq: int, tail: AsyncIterator[Sequence[ConsumerRecord]]) -> None:
        self._state.next_seq = next_seq
        memory = self._state.memory
        donations: list[Donation] = []
        async for batch in tail:
            with only_ours(self._topics.donations, self._partition, batch, read_donation):
                donations += [read_donation(record) for record in batch]
            # The last order may go on in the next batch.
            whole = len(donations)
            while whole and donations[whole - 1].source_offset == donations[-1].source_offset:
                whole -= 1
            restore_orders(memory, donations[:whole])
            del donations[:whole]
        restore_orders(memory, donations)

    def fold(self, records: Sequence[LogRecord]) -> None:
        self._idle = False
        for start in range(0, len(records), FOLD_RECORDS):
            split_orders(self._state, records[start : start + FOLD_RECORDS], self._outcome)
            # Written down at once, as bytes: a commit's donations as objects would take four times the memory.
            donations, self._outcome.donations = self._outcome.donations, []
            self._donations += [
                (donation.buyer_id.encode(), encode_donation(donation), donation.donated_at, NO_HEADERS)
                for donation in donations
            ]

    def take_output(self, position: int) -> Output:  # noqa: ARG002 - each donation carries its own source offset
        outcome, self._outcome = self._outcome, SplitOutcome()
        output = Output()
        if self._donations:
            output.records[self._topics.donations, self._partition] = self._donations
            self._donations = []
        if outcome.refused:
            output.records[self._topics.rejected_orders, self._partition] = [
                self._rejected(record.offset, record.timestamp, record.key, record.value, refusal)
                for record, refusal in outcome.refused
            ]
        self._add_deltas(output, outcome)
        output.counts = self._figures(outcome.counts, [refusal for _, refusal in outcome.refused])
        return output

    def levels(self) -> Figures:
        return {(DEDUPE_IDS,): len(self._state.memory)}

    def _add_deltas(self, output: Output, outcome: SplitOutcome) -> None:
        topic = self._topics.project_deltas
        told = set()
        for project_id, minutes in outcome.sums.items():
            key = project_id.encode()
            partition = self._partition_of.get(project_id)
            if partition is None:
                partition = self._remember_partition(project_id, key)
            told.add(partition)
            sums = tuple(MinuteSum(start_ms, cell.fen, cell.donations) for start_ms, cell in minutes.items())
            output.add(topic, partition, (key, encode_delta(ProjectDelta(sums)), None, NO_HEADERS))
        mark, lone_mark = self._mark(self._state.memory.clock_ms, outcome.oldest_ms)
        for partition in range(self._totals_partitions):
            value = mark if partition in told else lone_mark
            if value is not None:
                output.add(topic, partition, (None, value, None, NO_HEADERS))

    def _remember_partition(self, project_id: str, key: bytes) -> int:
        if len(self._partition_of) >= PROJECTS_CACHED_MAX:
            self._partition_of.clear()
        partition = self._partition_of[project_id] = self._find_partition(key)
        return partition
