"""Puts orders back into `orders`, so that said twice is done once.

What makes it exact: the truth about an order is not kept beside the topics, it *is* the topics. An order has been
replayed, or has come in some other way, if a donation with its id stands in `donations`, or if an acceptable order with
its id lies in `orders` beyond what the workers have processed. Such an order is not sent again. No marker, no group
offset and no file can be lost, go stale or disagree, and it holds after a day as after ten years, when the workers have
long forgotten the id. The steps:

1. FENCED: the producer starts under the one transactional id of all replays, `{app_id}-replay-rejected`. The broker
   first ends whatever transaction another replay had open, and takes nothing from it any more.
2. CHECKED: `OrderSearch.start` looks for the orders' ids. In this order, so that nothing falls between two looks:
   the cut (how far the workers have come); the high watermarks of `donations` and `orders`; wait until no transaction
   is open below those; read `donations` to there, and `orders` from the cut to there.
3. For each transaction: `OrderSearch.advance` looks at what has come to `orders` since, (BEGUN) begin, (SENT) send,
   (ACKNOWLEDGED) await every send, (COMMITTED) commit.

- Killed before the commit: the broker aborts what was sent, no committed read sees it, and the next run sends it.
  Killed after it, or the commit's answer lost: the orders lie in `orders`, and the next run finds them there.
- Two at once: the second one to do step 1 fences the first, whose next transaction fails. What the first has committed
  by then, the second finds in step 2.
- An order that the source itself sends in the very moment of a replay is told by the workers, as any repeat.

Orders without a pledge would leave no trace in `donations`; they have nothing to give and are not replayed at all.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from enum import IntEnum

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from schemas import limits as contract
from schemas.donation import decode_donation
from schemas.order import OrderCompleted, decode_order
from schemas.rejection import decode_rejection
from streams.domain.replay import Candidate
from streams.engine import limits
from streams.engine.connection import (
    client_options,
    give_up_transaction,
    group_offsets,
    look_at,
    open_admin,
    start_client,
    stop_producer,
    telling_its_end,
    transactional_producer,
)
from streams.engine.reader import LogReader, open_reader
from streams.engine.refusals import explain, is_denial
from streams.errors import UserError
from streams.settings import Settings

# A transaction holds back the workers' reads of `orders` while it is open: it must be short.
TRANSACTION_ORDERS_MAX = 5_000
TRANSACTION_BYTES_MAX = 8 * 1_048_576
SETTLE_POLL_S = 0.05
SETTLE_WAIT_S = 45.0  # longer than a killed client's transaction stays open (15 s) and the broker's look for it (10 s)


class ReplayStep(IntEnum):
    """The steps of a replay, in order. Each is reported when it is done."""

    FENCED = 1
    CHECKED = 2
    BEGUN = 3
    SENT = 4
    ACKNOWLEDGED = 5
    COMMITTED = 6


OnReplayStep = Callable[[ReplayStep], None]


def ignore_replay_step(step: ReplayStep) -> None:
    """What production does at each step: nothing. Fault tests put a crash here."""


class ReplayWriter:
    """Sends orders in transactions, one replay of a deployment at a time."""

    def __init__(self, settings: Settings, on_step: OnReplayStep) -> None:
        self._settings = settings
        self._topic = settings.topics.orders
        self._on_step = on_step
        self._producer = transactional_producer(settings, f"{settings.app_id}-replay-rejected")

    async def start(self) -> None:
        """Step 1: fence every other replay of this deployment. Raises UserError if it can't connect or mustn't."""
        await start_client(self._producer, self._settings)
        self._on_step(ReplayStep.FENCED)

    async def stop(self) -> None:
        await stop_producer(self._producer)

    async def send(self, candidates: Sequence[Candidate]) -> None:
        """Send all of them or none. Raises UserError; what it says may be repeated safely in any case."""
        try:
            async with asyncio.timeout(limits.TRANSACTION_TIMEOUT_MS / 1_000):
                with telling_its_end(self._producer):
                    await self._send(candidates)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise UserError(
                "another replay has started meanwhile and has taken over; what this one had sent counts once. "
                "Wait until the other one has ended; run this again if it wasn't meant to do the same."
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            if is_denial(error):
                raise explain(self._settings, error) from error
            raise UserError(
                f"the broker didn't take the orders ({error!r}). Run this again: what it has taken isn't sent twice."
            ) from error

    async def _send(self, candidates: Sequence[Candidate]) -> None:
        producer = self._producer
        await producer.begin_transaction()
        self._on_step(ReplayStep.BEGUN)
        try:
            acknowledgements = [
                await producer.send(
                    self._topic,
                    each.value,
                    each.key,
                    partition=each.partition,
                    headers=[("replayed-from", each.origin.encode("utf-8", "replace"))],
                )
                for each in candidates
            ]
            self._on_step(ReplayStep.SENT)
            for each in acknowledgements:
                each.add_done_callback(look_at)
            await asyncio.gather(*acknowledgements)
            self._on_step(ReplayStep.ACKNOWLEDGED)
        except BaseException as error:
            await give_up_transaction(producer, error)
            raise
        await producer.commit_transaction()
        self._on_step(ReplayStep.COMMITTED)


class _OrderId(msgspec.Struct):
    order_id: str


_decode_order_id = msgspec.json.Decoder(_OrderId).decode  # a third of the time of decoding the whole donation


class OrderSearch:
    """Finds which of some order ids have donated, or will as soon as the workers come to them.

    `found` maps those to where they were found. Memory: the ids that are looked for.
    """

    def __init__(
        self, settings: Settings, reader: LogReader, uncommitted: AIOKafkaConsumer, admin: AIOKafkaAdminClient
    ) -> None:
        self.found: dict[str, str] = {}
        self._group = settings.app_id
        self._topics = settings.topics
        self._reader = reader
        self._uncommitted = uncommitted
        self._admin = admin
        self._wanted: Collection[str] = ()
        self._positions: dict[int, int] = {}  # by partition of `orders`: from where on it has not been looked at

    async def start(self, wanted: Collection[str], donated_since_ms: int | None) -> None:
        """Look for the ids in all that there is now.

        Donations earlier than `donated_since_ms` (event time) may be passed over; None: the whole ledger is read.
        """
        self._wanted = wanted
        self.found = {}
        donations = self._topics.donations
        for topic in (donations, self._topics.rejected_orders):  # one that is denied would be waited for in vain
            await self._reader.partitions(topic)
        partitions = await self._reader.partitions(self._topics.orders)
        self._positions = await self._cuts(partitions)
        ends = await self._settled_ends([TopicPartition(donations, partition) for partition in partitions])
        for place, end in ends.items():
            await self._search_donations(place.partition, end, donated_since_ms)
        await self.advance()

    async def advance(self) -> None:
        """Look at what has come to `orders` since; every new donation is an order's that lies there."""
        topic = self._topics.orders
        ends = await self._settled_ends([TopicPartition(topic, partition) for partition in self._positions])
        for place, end in ends.items():
            async for records in self._reader.read(topic, place.partition, self._positions[place.partition], end):
                for record in records:
                    order = decode_order(record.key, record.value)
                    if (
                        isinstance(order, OrderCompleted)
                        and order.order_id in self._wanted
                        and order.completed_at - record.timestamp <= contract.FUTURE_TOLERANCE_MS
                    ):
                        self.found.setdefault(order.order_id, f"{topic}-{place.partition}@{record.offset}")
            self._positions[place.partition] = max(end, self._positions[place.partition])

    async def _cuts(self, partitions: Sequence[int]) -> dict[int, int]:
        """For each partition an offset of `orders` up to which everything has been processed.

        The group's offset may be lost or reset, so what the workers have written counts too, as it does for them.
        """
        orders = self._topics.orders
        cuts = {partition: await self._reader.start_offset(orders, partition) for partition in partitions}
        for place, committed in (await group_offsets(self._admin, self._group)).items():
            if place.topic == orders and place.partition in cuts:
                cuts[place.partition] = max(cuts[place.partition], committed.offset)
        for partition in partitions:
            donation = await self._reader.last_record(self._topics.donations, partition)
            refused = await self._reader.last_record(self._topics.rejected_orders, partition)
            # An unreadable record promises nothing; more of `orders` is read then.
            with suppress(ValueError, msgspec.DecodeError):
                if donation is not None:
                    cuts[partition] = max(cuts[partition], decode_donation(donation.value or b"").source_offset + 1)
            with suppress(ValueError):
                if refused is not None:
                    cuts[partition] = max(cuts[partition], decode_rejection(refused.headers).source_offset + 1)
        return cuts

    async def _search_donations(self, partition: int, end: int, since_ms: int | None) -> None:
        topic = self._topics.donations
        start: int | None = None
        if since_ms is not None:
            start = await self._reader.offset_for_time(topic, partition, since_ms)
            if start is None:
                return
        wanted, found = self._wanted, self.found
        async for records in self._reader.read(topic, partition, start, end):
            for record in records:
                try:
                    order_id = _decode_order_id(record.value or b"").order_id
                except (msgspec.DecodeError, UnicodeError) as error:
                    raise UserError(
                        f"{topic}-{partition}@{record.offset} is no donation ({error}): with a broken ledger nothing "
                        "is replayed. See `everycent audit`."
                    ) from error
                if order_id in wanted:
                    found.setdefault(order_id, f"{topic}-{partition}@{record.offset}")
            await asyncio.sleep(0)  # decoding millions must not keep a signal waiting

    async def _settled_ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The ends for committed reads, once all that is written now is committed or aborted."""
        written: dict[TopicPartition, int] = await self._uncommitted.end_offsets(places)
        deadline = asyncio.get_running_loop().time() + SETTLE_WAIT_S
        while True:
            settled = {place: await self._reader.end_offset(place.topic, place.partition) for place in places}
            held = [place for place in places if settled[place] < written[place]]
            if not held:
                return settled
            if asyncio.get_running_loop().time() > deadline:
                raise UserError(
                    f"a transaction on {held[0].topic}-{held[0].partition} has been open for {SETTLE_WAIT_S:.0f} s, so "
                    "that nobody can tell what has come; nothing more was sent. Run this again when it has ended."
                )
            await asyncio.sleep(SETTLE_POLL_S)


@asynccontextmanager
async def open_search(settings: Settings) -> AsyncIterator[OrderSearch]:
    """A search on connections of its own. Raises UserError if no broker answers."""
    uncommitted = AIOKafkaConsumer(enable_auto_commit=False, auto_offset_reset="none", **client_options(settings))
    async with open_reader(settings) as reader, open_admin(settings) as admin:
        try:
            await start_client(uncommitted, settings)
            yield OrderSearch(settings, reader, uncommitted, admin)
        except (KafkaError, OSError) as error:
            raise explain(settings, error) from error
        finally:
            await uncommitted.stop()
