"""Our seams in Faust's aiokafka transport: committed records only, in batches, and only for partitions that want them.

Faust reads uncommitted records unless its own exactly_once is on, and it counts single records. The consumer thread
here reads committed ones and takes whole fetched batches with the offsets that they cover. A partition gets none before
its task has restored its state, and none while its inbox is full: that is the whole of flow control.
"""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.units import DAY_MS
from streams.engine import connection
from streams.engine.assignor import TopicwiseStickyAssignor
from streams.engine.batches import RecordBatch
from streams.engine.lenient import accept_any_header_names
from streams.engine.packed import as_it_is, keep_fetched_bytes, take_packed
from streams.engine.refusals import DENIALS, is_denial
from streams.native import is_used
from streams.settings import Settings

BATCH_MAX_RECORDS = 2_048  # bounds one fold's hold of the event loop (some 30 ms) and the records in memory
PARTITION_FETCH_MAX_BYTES = 256 * 1024  # packed; an order of the largest size still comes through, alone
FETCH_MAX_WAIT_MS = 250  # an idle fetch returns so often, so a partition that starts to want records waits no longer
HELD_BACK_POLL_S = 0.01  # how soon a partition that was held back is looked at again
REBALANCE_TIMEOUT_MS = 30_000
COORDINATOR_LOOK_S = 0.5  # how soon it is noticed that the group may not be joined

Wants = Callable[[TopicPartition], bool]
Fail = Callable[[BaseException], None]


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer thread with our consumer and our way of taking what it fetched.

    A right that the broker denies ends the worker through `Transport.fail`. Faust would write a traceback for the right
    to read, and wait for ever without the right to join the group.
    """

    _looking: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        await super().on_start()
        self._looking = asyncio.get_running_loop().create_task(self._look_at_coordinator())

    async def on_thread_stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        await super().on_thread_stop()

    async def _look_at_coordinator(self) -> None:
        """Before there is an assignment nobody fetches, and nobody else hears what the coordinator has to say."""
        coordinator = self._consumer._coordinator  # noqa: SLF001
        while not is_denial(error := coordinator._pending_exception):  # noqa: ASYNC110, SLF001 - it tells nobody
            await asyncio.sleep(COORDINATOR_LOOK_S)
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.parent_loop.call_soon_threadsafe(self.transport.fail, error)

    def _create_worker_consumer(self, transport: "Transport") -> AIOKafkaConsumer:
        settings = transport.settings
        self._keeps_packed = is_used(settings.native)
        accept_any_header_names()
        if self._keeps_packed:
            keep_fetched_bytes()
        self._assignor = TopicwiseStickyAssignor  # what a worker holds it keeps: less to restore
        return AIOKafkaConsumer(
            **connection.client_options(settings),
            group_id=self.app.conf.id,
            client_id=self.app.conf.broker_client_id,
            partition_assignment_strategy=[TopicwiseStickyAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=PARTITION_FETCH_MAX_BYTES,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            max_poll_interval_ms=DAY_MS,  # progress is watched by the tasks; a fetch may wait for them
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            request_timeout_ms=connection.REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=connection.METADATA_MAX_AGE_MS,
        )

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,  # noqa: ARG002 - Faust's signature
    ) -> dict[TP, RecordBatch]:
        """What has been fetched for the partitions that want records; empty after `timeout` seconds without any."""
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher  # noqa: SLF001 - the seam that this class is
        if consumer._closed or fetcher._closed:  # noqa: SLF001
            raise driver.ConsumerStoppedError
        try:
            return await self._take_within(fetcher, active_partitions, timeout or 0)
        except DENIALS as error:
            self._fail(error)
            await asyncio.sleep(COORDINATOR_LOOK_S)  # the worker is about to end, and Faust would ask again at once
            return {}

    async def _take_within(self, fetcher: Any, active_partitions: set[TP], seconds: float) -> dict[TP, RecordBatch]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        with fetcher._subscriptions.fetch_context():  # noqa: SLF001
            while True:
                if fetcher._subscriptions.reassignment_in_progress:  # noqa: SLF001
                    await fetcher._subscriptions.wait_for_assignment()  # noqa: SLF001
                batches, held_back = self._take_batches(fetcher, active_partitions)
                remaining = deadline - loop.time()
                if batches or remaining <= 0 or not self.consumer.flow_active:
                    return batches
                waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
                await asyncio.wait([waiter], timeout=min(remaining, HELD_BACK_POLL_S) if held_back else remaining)
                if not waiter.done():
                    waiter.cancel()
                elif not fetcher._closed:  # noqa: SLF001
                    waiter.result()  # raises what the coordinator met, such as a refused authorization
                else:
                    return {}

    def _take_batches(self, fetcher: Any, active_partitions: set[TP]) -> tuple[dict[TP, RecordBatch], bool]:
        """Take one batch of each partition that wants one, and say whether any that doesn't has something."""
        wants = self.transport.wants
        batches: dict[TP, RecordBatch] = {}
        held_back = False
        for tp in list(fetcher._records):  # noqa: SLF001
            if tp not in active_partitions:
                if not fetcher._subscriptions.is_assigned(tp):  # noqa: SLF001
                    del fetcher._records[tp]  # noqa: SLF001
                continue
            if not wants(tp):
                held_back = True
                continue
            fetched = fetcher._records[tp]  # noqa: SLF001
            if type(fetched) is not FetchResult:
                if batches:
                    break  # hand over what there is; the error is raised at the next call
                self._done_with(fetcher, tp)
                fetched.check_raise()
                continue
            batch = self._take_batch(tp, fetched)
            if not fetched.has_more():
                self._done_with(fetcher, tp)
            if batch is not None:
                batches[TP(tp.topic, tp.partition)] = batch
        return batches, held_back

    def _take_batch(self, tp: TopicPartition, fetched: FetchResult) -> RecordBatch | None:
        if self._keeps_packed:
            packed = take_packed(tp, fetched)
            return None if packed is None else RecordBatch(tp, packed.position, packed.next_offset, packed)
        if not fetched.has_more() or not fetched.check_assignment(tp):
            return None
        unread = fetched._partition_records  # noqa: SLF001
        base_offset = unread.next_fetch_offset
        unread._consumer_record = as_it_is  # noqa: SLF001
        records = fetched.getall(BATCH_MAX_RECORDS)
        next_offset = unread.next_fetch_offset
        return None if next_offset == base_offset else RecordBatch(tp, base_offset, next_offset, records)

    @staticmethod
    def _done_with(fetcher: Any, tp: TopicPartition) -> None:
        del fetcher._records[tp]  # noqa: SLF001
        fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001 - ask for more


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, running our thread."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class Producer(driver.Producer):  # type: ignore[misc]
    """Faust's own producer. Nothing is sent through it, but it connects, so it must know how."""

    def _settings_auth(self) -> dict[str, Any]:
        return connection.client_options(self.transport.settings)


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with our consumer.

    `wants` says whether a partition takes records now, and is thread-safe; `fail` is told, in the worker's own thread,
    what the worker can't go on after.
    """

    Consumer: ClassVar[type] = Consumer
    Producer: ClassVar[type] = Producer

    def __init__(self, *args: Any, settings: Settings, wants: Wants, fail: Fail, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings
        self.wants = wants
        self.fail = fail
