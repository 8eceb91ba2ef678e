"""What a stage of the pipeline gives the engine: where its input is, and for each partition a processor.

One more stage means a fold, an agent file and its topics; nothing in the engine changes.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiokafka import ConsumerRecord

from schemas.records import LogRecord
from streams.metrics import Figures, Metric

HeaderList = list[tuple[str, bytes]]  # aiokafka wants a list and doesn't change it
NO_HEADERS: HeaderList = []


# One record to write: key, value, timestamp in ms (None: the time of writing), headers. A bare tuple: four are made for
# each order, and a named one costs eight times as much.
Outgoing = tuple[bytes | None, bytes | None, int | None, HeaderList]


@dataclass(slots=True)
class Output:
    """All that one commit writes: records by destination (topic, partition), each list in the order of writing.

    `batches` are finished record batches, as `streams.engine.packed.finished` gives them, likewise.
    `metadata` (up to some 4,000 bytes) is kept with the committed offset and handed to `restore` again; it may be lost
    together with the group's offsets, so nothing that a figure depends on may stand there alone.
    Once it is committed, `counts` are added to their counters, and how long ago the moments in `began_ms` (since the
    epoch) were is observed.
    """

    records: dict[tuple[str, int], list[Outgoing]] = field(default_factory=dict)
    batches: dict[tuple[str, int], list[Any]] = field(default_factory=dict)
    metadata: str = ""
    counts: Figures = field(default_factory=dict)
    began_ms: Sequence[tuple[Metric, int]] = ()

    @property
    def record_count(self) -> int:
        finished: int = sum(batch.record_count() for batches in self.batches.values() for batch in batches)
        return finished + sum(map(len, self.records.values()))

    def add(self, topic: str, partition: int, record: Outgoing) -> None:
        self.records.setdefault((topic, partition), []).append(record)


class Log(Protocol):
    """The committed records of the topics, as `streams.engine.reader.LogReader` reads them."""

    async def start_offset(self, topic: str, partition: int) -> int: ...
    async def end_offset(self, topic: str, partition: int) -> int: ...
    async def offset_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int | None: ...
    async def last_record(self, topic: str, partition: int) -> ConsumerRecord | None: ...
    def read(
        self, topic: str, partition: int, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[ConsumerRecord]]: ...


class Processor(Protocol):
    """One partition's state and rules. The engine calls it from one task; after any failure it makes a new one."""

    commit_max_records: int
    """How many records of the input may wait in it for one commit."""

    async def restore(self, log: Log, metadata: str) -> int | None:
        """Read the state back from the output topics; the input position that it is good up to, None where unknown."""

    def fold(self, records: Sequence[LogRecord]) -> None:
        """Take in the next records of the input, synchronously, changing the state and what the next commit writes."""

    def take_output(self, position: int) -> Output:
        """What the records folded since the last call give; `position` is the input offset it is good up to."""

    def fold_idle(self) -> bool:
        """Called once when the input has had nothing for a while; True if there is something to commit now."""

    def levels(self) -> Figures:
        """How much it holds now, for gauges; asked when it is restored and then now and then."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the pipeline: a name, its input topic, and how to open one partition of it."""

    name: str
    source_topic: str
    open_partition: Callable[[int], Processor]
