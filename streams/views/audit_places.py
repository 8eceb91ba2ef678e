"""The places that a following audit reads: how far each has come, and what it may say of it.

No alarm may be false, though the parts of a transaction become visible one after another, workers die in the middle and
the logs are never seen at the same moment. So each statement rests on a *promise*, made from one `Measure`:

- what the workers have committed (first);
- then where the topics end, with the records of open transactions. All that was committed has its output below that;
- the promise is *ripe* when no transaction is open below those ends any more: then what isn't there never came.

Only then is the stretch walked. Nothing survives a crash, and nothing is written.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from aiokafka import TopicPartition

from schemas.donation import decode_donation
from schemas.rejection import decode_rejection
from schemas.topics import Topics
from schemas.totals import POSITION_HEADER
from streams.domain.audit import Need, PartitionAudit
from streams.domain.audit_running import RunningTotals
from streams.domain.audit_walk import Steps
from streams.engine.reader import LogReader, Record
from streams.errors import UserError

STRETCH_MAX_ORDERS = 200_000  # of one partition at a time: others get their turn, and sums stay small

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Measure:
    """Where everything stood, in the order in which it was asked. `at_s` is the time before, by the loop's clock."""

    at_s: float
    committed: Offsets  # by the workers' group
    written: Offsets  # ends, with what is open
    stable: Offsets  # ends, without; those of `orders` were asked last


@dataclass(frozen=True, slots=True)
class OrdersPromise:
    """All that orders before `cut` gave lies before the two ends; no order beyond `orders_end` had given anything."""

    at_s: float
    cut: int
    orders_end: int
    donations_end: int
    rejected_end: int


class OrdersPlace:
    """One partition of `orders`, with its donations and its rejected orders."""

    def __init__(self, topics: Topics, partition: int, audit: PartitionAudit, starts: tuple[int, int, int]) -> None:
        self.audit = audit
        self.orders = TopicPartition(topics.orders, partition)
        self.donations = TopicPartition(topics.donations, partition)
        self.rejected = TopicPartition(topics.rejected_orders, partition)
        self.as_of_s: float | None = None  # all that was committed then has been checked
        self._positions = dict(zip(Need, starts, strict=True))  # the next offsets to read
        self._cut = starts[0]  # all orders before it have been judged
        self._has_begun = False
        self._promise: OrdersPromise | None = None
        self._target = 0
        self._steps: Steps | None = None
        self._need = Need.ORDERS

    @property
    def read_to(self) -> int:
        """Grows with what is read."""
        return sum(self._positions.values())

    @property
    def checked(self) -> dict[TopicPartition, int]:
        """For each topic the offset before which all is checked."""
        donation, rejected = self.audit.waiting
        return {
            self.orders: self._cut,
            self.donations: donation.offset if donation else self._positions[Need.DONATIONS],
            self.rejected: rejected.offset if rejected else self._positions[Need.REJECTED],
        }

    def promise(self, measure: Measure) -> None:
        """Take the measure, which was begun after all that has been read here, for the next promise if it's time."""
        orders_end = measure.stable[self.orders]
        if orders_end < self._cut:
            raise UserError(
                f"{self.orders.topic}-{self.orders.partition} ends at {orders_end}, the audit has come to {self._cut}: "
                "the topic was made again. Start the audit again."
            )
        if self._promise is None:
            done = [measure.committed.get(self.orders, 0), *self._seen()]
            cut = max((offset for offset in done if self._cut <= offset <= orders_end), default=self._cut)
            self._promise = OrdersPromise(
                measure.at_s, cut, orders_end, measure.written[self.donations], measure.written[self.rejected]
            )

    def _seen(self) -> list[int]:
        """What the records that wait say of how far the workers are: their commits have been made.

        One that can't be read says nothing; the audit tells of it in its turn.
        """
        donation, rejected = self.audit.waiting
        seen = []
        with suppress(ValueError):
            if donation is not None:
                seen.append(decode_donation(donation.value or b"").source_offset + 1)
        with suppress(ValueError):
            if rejected is not None:
                seen.append(decode_rejection(rejected.headers).source_offset + 1)
        return seen

    def is_ripe(self, measure: Measure) -> bool:
        promise = self._promise
        return (
            promise is not None
            and measure.stable[self.donations] >= promise.donations_end
            and measure.stable[self.rejected] >= promise.rejected_end
        )

    async def go_on(self, readers: Mapping[Need, LogReader]) -> bool:
        """Walk the next stretch of what is promised; True if some is left. After an error it goes on where it was."""
        promise = self._promise
        assert promise is not None
        if self._steps is None:
            if self._is_new(promise):
                self._target = min(promise.cut, self._cut + STRETCH_MAX_ORDERS)
                self._steps = self._walk(promise)
                self._need = next(self._steps)
            else:
                self._target = promise.cut
        if self._steps is not None:
            await self._read(self._steps, promise, readers)
            self._steps = None
            self._cut = self._target
        if self._target < promise.cut:
            return True
        self._promise = None
        self.as_of_s = promise.at_s
        return False

    def _is_new(self, promise: OrdersPromise) -> bool:
        positions = self._positions
        return (
            not self._has_begun
            or promise.cut > self._cut
            or promise.donations_end > positions[Need.DONATIONS]
            or promise.rejected_end > positions[Need.REJECTED]
        )

    def _walk(self, promise: OrdersPromise) -> Steps:
        if not self._has_begun:
            yield from self.audit.begin()
            self._has_begun = True
        yield from self.audit.go_on(self._target, promise.orders_end)

    async def _read(self, steps: Steps, promise: OrdersPromise, readers: Mapping[Need, LogReader]) -> None:
        ends = {
            Need.ORDERS: (self.orders, self._target),
            Need.DONATIONS: (self.donations, promise.donations_end),
            Need.REJECTED: (self.rejected, promise.rejected_end),
        }
        logs = {
            need: readers[need].read(place.topic, place.partition, self._positions[need], end)
            for need, (place, end) in ends.items()
        }
        while True:
            batch = await anext(logs[self._need], None)
            self._positions[self._need] = batch[-1].offset + 1 if batch else ends[self._need][1]
            try:
                self._need = steps.send(batch)
            except StopIteration:
                return


@dataclass(frozen=True, slots=True)
class LookTargets:
    """What must have been read before a look may end."""

    donations: Offsets  # in the totals that it noted are none beyond these
    deltas_end: int  # of the donations that it noted are no partial sums beyond this


class TotalsPlace:
    """One partition of `project-totals`, and how far its partial sums have been worked in."""

    def __init__(self, topics: Topics, partition: int, running: RunningTotals, start: int) -> None:
        self.running = running
        self.totals = TopicPartition(topics.project_totals, partition)
        self.deltas = TopicPartition(topics.project_deltas, partition)
        self.as_of_s: float | None = None
        self.checked = start  # all before it has been checked
        self._position = start
        self._said = 0  # position in the partial sums that the newest total is good up to
        self._promise: tuple[int, int] | None = None  # partial sums before the one are in totals before the other
        self._done = 0  # all partial sums before it are in the totals that have been read
        self._look_at = (0.0, 0)  # when it began, and how far the totals had been read
        self._targets: LookTargets | None = None

    @property
    def read_to(self) -> int:
        """Grows with what is read."""
        return self._position

    @property
    def awaits_sums(self) -> bool:
        """True while the look waits for partial sums to be worked in."""
        return self._targets is not None and self._done < self._targets.deltas_end

    def promise(self, measure: Measure, donations: list[TopicPartition]) -> None:
        """Take the measure for what is next."""
        if self._promise is None:
            done = max(measure.committed.get(self.deltas, 0), self._said)
            self._promise = done, measure.written[self.totals]
        if self.running.is_looking and self._targets is None:
            ends = {place: measure.written[place] for place in donations}
            self._targets = LookTargets(ends, measure.written[self.deltas])

    async def read(self, reader: LogReader, measure: Measure) -> None:
        """Read what is new."""
        end = measure.stable[self.totals]
        async for records in reader.read(self.totals.topic, self.totals.partition, self._position, end):
            self.running.take(records)
            self._position = records[-1].offset + 1
            self._said = max(self._said, _position_said(records[-1]))
        self._position = max(self._position, end)
        self.running.reach_end()
        if self._promise is not None and self._position >= self._promise[1]:
            self._done, self._promise = self._promise[0], None

    async def look(self, reader: LogReader, measure: Measure, checked: Offsets, newest_ms: int) -> None:
        """End the look if it may end, and begin the next one."""
        targets = self._targets
        if targets is not None and all(checked[place] >= end for place, end in targets.donations.items()):
            done = self._done >= targets.deltas_end or await self._are_marks(reader, measure, targets.deltas_end)
            if done:
                self.running.end_look(newest_ms)
                self._targets = None
                self.as_of_s, self.checked = self._look_at
        if not self.running.is_looking:
            self._look_at = measure.at_s, self._position
            if not self.running.begin_look():
                self.as_of_s, self.checked = self._look_at

    async def _are_marks(self, reader: LogReader, measure: Measure, end: int) -> bool:
        """True if there is no partial sum in what hasn't been worked in: watermarks and ends of transactions."""
        topic, partition = self.deltas
        if measure.stable[self.deltas] < end:
            return False
        start = max(self._done, await reader.start_offset(topic, partition))
        async for records in reader.read(topic, partition, start, end):
            if any(record.key is not None for record in records):
                return False
        return True


def _position_said(record: Record) -> int:
    for name, value in record.headers:
        if name == POSITION_HEADER and value is not None and value.isdigit():
            return int(value)
    return 0
