"""The role `ledger`: follows `donations`, committed records only, and keeps a public log of each partition.

One process is the writer of a folder. Nothing is remembered about Kafka: a log of n leaves goes on with the donation
whose `seq` is n, which is looked for by bisection. So any log folder can be put back, or deleted, and is brought up to
date again, to the same bytes; what was signed before must come out again (`streams.ledger_service.store`).
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.engine.connection import REQUEST_TIMEOUT_MS, client_options, look_at, open_consumer, start_client
from streams.engine.packed import keep_fetched_bytes
from streams.engine.reader import LogReader, Record, fetch_packed
from streams.engine.refusals import explain
from streams.errors import ExitStatus, UserError
from streams.ledger.leaf import LeafError, entries_of
from streams.ledger.notes import Note, NoteError
from streams.ledger.tiles import TileError
from streams.ledger_service.donations import find_donation
from streams.ledger_service.files import Disk, locked, write_durably
from streams.ledger_service.keys import PUBLIC_KEYS, KeyRing, LastSigned, load_keys, log_origin, read_public_keys
from streams.ledger_service.lag import Lag, Silence
from streams.ledger_service.leaves import LeafMaker, hashing
from streams.ledger_service.store import Floor, LogWriter, RefusalError
from streams.metrics_service import LEDGER_METRICS, LedgerStanding, LogStanding, ServiceCollector
from streams.native import is_used
from streams.settings import Settings
from streams.supervision import Service, supervised

logger = structlog.get_logger(__name__)

FETCH_MAX_BYTES = 524_288  # packed, of a partition: at 15 bytes a donation some 30,000 leaves, 11 MB, at once
FETCH_MAX_RECORDS = 20_000  # the same where they are unpacked, in Python
FETCH_MAX_WAIT_MS = 100
UNPUBLISHED_MAX = 131_072  # leaves of one log in memory, some 60 MB; then its publication is waited for
REFUSAL_SHOWN_S = 60.0  # a ledger that refuses stays so long for Prometheus to see it: four scrapes


async def run_ledger(
    settings: Settings, stop: asyncio.Event, partitions: Collection[int] = (), *, until_end: bool = False
) -> None:
    """Keep the logs of `partitions` (none: of all) until `stop` is set; then publish what there is, and return.

    `until_end`: return once all that the topic held at the start is published; without it there is a metrics port.
    Raises UserError for what a person must mend (exit status 2), RefusalError before it would sign what contradicts an
    earlier signature, and UserError with status 3 where the disk or the broker fails: started again it goes on.
    """
    folder = Path(settings.ledger_dir)
    ring = load_keys(Path(settings.ledger_keys))
    with locked(folder, "keeping the ledger"):
        if is_used(settings.native):
            keep_fetched_bytes()
        try:
            async with open_consumer(
                settings, max_partition_fetch_bytes=FETCH_MAX_BYTES, fetch_max_wait_ms=FETCH_MAX_WAIT_MS
            ) as consumer:
                followers = _Followers(settings, ring, consumer)
                if until_end:
                    await followers.run(stop, partitions, until_end=True)
                else:
                    await _run_supervised(settings, followers, stop, partitions)
        except KafkaError as error:
            raise explain(settings, error) from error
        except OSError as error:
            raise UserError(
                f"the ledger in {folder} can't be written: {error}. Mended, it goes on from what is published.",
                ExitStatus.FAILED,
            ) from error


async def _run_supervised(
    settings: Settings, followers: "_Followers", stop: asyncio.Event, partitions: Collection[int]
) -> None:
    """Run with a metrics port. It shows a refusal for a while before that ends the process."""
    collector = ServiceCollector(LEDGER_METRICS, followers.standing)
    with supervised(settings, Service(collector, followers.turns, followers.not_ready)):
        try:
            await followers.run(stop, partitions, until_end=False)
        except RefusalError as error:
            followers.refusals = 1
            if settings.metrics_port:
                logger.error("the ledger stops", error=str(error))  # noqa: TRY400 - a refusal, and no fault of ours
                with suppress(TimeoutError):
                    async with asyncio.timeout(REFUSAL_SHOWN_S):
                        await stop.wait()
            raise


class _Follower:
    """One partition: its log, and the publication that is on its way."""

    def __init__(self, writer: LogWriter, tp: TopicPartition, end: int) -> None:
        self.writer = writer
        self.tp = tp
        self.end = end  # of the topic, at the start
        self.publishing: asyncio.Task[Note] | None = None
        self.due = time.monotonic()
        self.lag = Lag(_now_ms())
        self.told_ms = _now_ms()  # when the last checkpoint went out
        self.published_leaves = writer.size  # of the checkpoint that stands
        self._published_to = 0  # offset in the topic
        self._publishing_to = 0

    async def take(self, records: Sequence[Record], maker: LeafMaker) -> None:
        """Made in a thread: the next fetch is on its way meanwhile."""
        try:
            self.writer.append_leaves(await asyncio.to_thread(maker.make, records, self.writer.size))
        except (LeafError, TileError) as error:
            raise RefusalError(f"{self.tp.topic}-{self.tp.partition}: {error}. The ledger stops before it.") from error

    def begin(self, publishing: "asyncio.Task[Note]", position: int) -> None:
        """A publication of all before the offset `position` is on its way."""
        self.publishing, self._publishing_to = publishing, position

    def ended(self) -> None:
        """The publication that was on its way has ended; raises what it has failed of."""
        assert self.publishing is not None
        self.publishing.result()
        self.publishing = None
        self._published_to = self._publishing_to

    def measure(self, position: int, at_ms: int | None, end: int | None) -> None:
        """Note how far it is: the next offset to take, and where the broker last said that the partition ends."""
        if self.publishing is None and not self.writer.unpublished:
            self._published_to = position
        if at_ms is not None and end is not None:
            self.lag.saw(at_ms, end)
        self.lag.published(self._published_to)

    def standing(self, now_ms: int) -> LogStanding:
        return LogStanding(
            topic=self.tp.topic,
            partition=self.tp.partition,
            leaves=self.writer.size,
            published_leaves=self.published_leaves,
            checkpoint_age_seconds=max(0, now_ms - self.told_ms) / 1_000,
            lag_seconds=self.lag.seconds(now_ms),
        )

    def is_due(self, now: float) -> bool:
        return now >= self.due or self.writer.unpublished >= UNPUBLISHED_MAX


class _Followers:
    """The partitions of this process."""

    def __init__(self, settings: Settings, ring: KeyRing, consumer: AIOKafkaConsumer) -> None:
        self._settings = settings
        self._ring = ring
        self._consumer = consumer
        self._reader = LogReader(consumer)
        self._packed = is_used(settings.native)
        self._maker = LeafMaker(ring.salts, native=settings.native)
        self._disk = Disk()
        self._followers: dict[TopicPartition, _Follower] = {}
        self._producer: AIOKafkaProducer
        self._turns = 0
        self._signing = ExitStack()
        self._silence = Silence(time.monotonic())
        self.refusals = 0

    # For whoever watches; called from any thread.

    def standing(self) -> LedgerStanding:
        now_ms = _now_ms()
        return LedgerStanding([each.standing(now_ms) for each in list(self._followers.values())], self.refusals)

    def turns(self) -> dict[str, int]:
        return {"the ledger": self._turns}

    def not_ready(self) -> list[str]:
        if self.refusals:
            return ["the ledger refuses to sign: its log says why"]
        if not self._followers:
            return ["the logs are being opened"]
        return [
            f"{tp.topic}-{tp.partition}: not all is published that was there at the start"
            for tp, each in list(self._followers.items())
            if not each.lag.has_caught_up
        ]

    async def run(self, stop: asyncio.Event, wanted: Collection[int], *, until_end: bool) -> None:
        topic = self._settings.topics.donations
        there = await self._reader.partitions(topic)
        if unknown := sorted(set(wanted) - set(there)):
            raise UserError(f"--partitions: {topic!r} has {len(there)} partitions, so there is no {unknown[0]}.")
        told = await self._reader.partitions(self._settings.topics.ledger_checkpoints)
        if len(told) < len(there):
            raise UserError(
                f"topic {self._settings.topics.ledger_checkpoints!r} has {len(told)} partitions, but {topic!r} has "
                f"{len(there)}: each log tells its checkpoints on the partition of its number. Add the missing ones."
            )
        self._publish_keys()
        # Not idempotent: a checkpoint that is stored twice says the same twice, and a right to write that is missing is
        # told by its topic, where an idempotent producer hears of the cluster.
        self._producer = AIOKafkaProducer(
            **client_options(self._settings), acks="all", request_timeout_ms=REQUEST_TIMEOUT_MS
        )
        try:
            await start_client(self._producer, self._settings)
            positions = {}
            for partition in sorted(wanted) or there:
                follower, position = await self._open(TopicPartition(topic, partition))
                self._turns += 1
                self._followers[follower.tp] = follower
                positions[follower.tp] = position
            self._consumer.assign(list(positions))
            for tp, position in positions.items():
                self._consumer.seek(tp, position)
            logger.info("ledger starts", folder=self._settings.ledger_dir, logs=len(positions))
            await self._follow(stop, until_end=until_end)
            logger.info("ledger stopped", leaves=sum(each.writer.size for each in self._followers.values()))
        finally:
            for follower in self._followers.values():
                if follower.publishing is not None:  # where one fails, nobody waits for the others
                    await asyncio.wait([follower.publishing])
                    look_at(follower.publishing)
            self._signing.close()
            await self._producer.stop()

    def _publish_keys(self) -> None:
        """Every verifier key that these logs ever had, one a line: old checkpoints still verify with theirs."""
        folder = Path(self._settings.ledger_dir)
        path = folder / PUBLIC_KEYS
        known = read_public_keys(path)
        ours = [str(signer.verifier) for signer in self._ring.signers]
        merged = [*known, *(key for key in ours if key not in known)]
        if merged != known:
            write_durably(self._disk, folder, [(PUBLIC_KEYS, "".join(f"{key}\n" for key in merged).encode())])

    async def _open(self, tp: TopicPartition) -> tuple[_Follower, int]:
        """The log of a partition as it stands, checked against all that remembers it, and where to read on."""
        origin = log_origin(self._settings.ledger_name, tp.partition)
        last_signed = LastSigned(Path(self._settings.ledger_keys), origin, self._disk)
        self._signing.enter_context(last_signed.alone())
        folder = log_folder(self._settings, tp.partition)
        root_of = hashing(self._settings.native).root_of
        writer = LogWriter(folder, origin, self._ring.of(origin), last_signed, self._disk, root_of=root_of)
        told = await self._told(writer, tp.partition)
        note = await asyncio.to_thread(writer.open, [] if told is None else [told])
        end = await self._reader.end_offset(tp.topic, tp.partition)
        position = await self._position(writer, tp, end)
        if note is not None and (told is None or told.checkpoint.size < writer.size):
            await self._tell(tp, note)  # a crash came between the files and the topic
        return _Follower(writer, tp, end), position

    async def _told(self, writer: LogWriter, partition: int) -> Floor | None:
        """The newest checkpoint of the log on `ledger-checkpoints`."""
        topic = self._settings.topics.ledger_checkpoints
        record = await self._reader.last_record(topic, partition)
        if record is None:
            return None
        try:
            return writer.floor_of(Note.parse(record.value or b""), f"the topic {topic!r}")
        except NoteError as error:
            raise RefusalError(f"{topic}-{partition} offset {record.offset} holds no checkpoint: {error}") from error

    async def _position(self, writer: LogWriter, tp: TopicPartition, end: int) -> int:
        """The offset from which on donations are new to the log. Raises RefusalError if the topic isn't the log's."""
        if writer.size == 0:
            return await self._reader.start_offset(tp.topic, tp.partition)
        last = writer.log.entry(writer.size - 1, writer.size)
        name = f"{tp.topic}-{tp.partition}"
        try:
            found = await find_donation(self._reader, tp, writer.size - 1, end)
        except LeafError as error:
            raise RefusalError(f"{name}: {error}. The ledger stops before it.") from error
        if found is None:
            raise RefusalError(
                f"the log {writer.origin!r} has {writer.size} leaves, but {name} doesn't hold the donation with seq "
                f"{writer.size - 1}: donations were lost, or the topic was made anew."
            )
        if entries_of([found], writer.size - 1, self._ring.salts) != [last]:
            raise RefusalError(
                f"the donation with seq {writer.size - 1} on {name} is not the one that the log {writer.origin!r} has: "
                "one of the two was changed, or the donors' secret is another one."
            )
        return int(found.offset) + 1

    async def _follow(self, stop: asyncio.Event, *, until_end: bool) -> None:
        while not stop.is_set():
            self._turns += 1
            fetched = await self._fetch()
            for tp, records in fetched.items():
                await self._followers[tp].take(records, self._maker)
            await self._publish_due()
            await self._check_floors()
            await self._measure()
            if until_end and not fetched and await self._reached_ends():
                break
        for follower in self._followers.values():
            await self._publish(follower)
        for follower in self._followers.values():
            if follower.publishing is not None:
                await follower.publishing

    async def _fetch(self) -> Mapping[TopicPartition, Sequence[Record]]:
        poll_ms = min(200, self._settings.ledger_interval_ms)
        if self._packed:
            return await fetch_packed(self._consumer, poll_ms / 1_000)
        return await self._consumer.getmany(timeout_ms=poll_ms, max_records=FETCH_MAX_RECORDS)  # type: ignore[no-any-return]

    async def _publish_due(self) -> None:
        now = time.monotonic()
        for follower in self._followers.values():
            if follower.publishing is not None and follower.publishing.done():
                follower.ended()
            if follower.is_due(now) and (follower.publishing is None or follower.writer.unpublished >= UNPUBLISHED_MAX):
                await self._publish(follower)
                follower.due = now + self._settings.ledger_interval_ms / 1_000

    async def _publish(self, follower: _Follower) -> None:
        """Begin a publication, after the one that may be on its way."""
        if follower.publishing is not None:
            await follower.publishing
        publication = follower.writer.prepare()
        if publication is None:
            return

        async def write_and_tell() -> Note:
            note = await asyncio.to_thread(follower.writer.write, publication)
            await self._tell(follower.tp, note)
            follower.published_leaves, follower.told_ms = publication.checkpoint.size, _now_ms()
            logger.debug("checkpoint", log=follower.writer.origin, size=publication.checkpoint.size)
            return note

        position = await self._consumer.position(follower.tp)
        follower.begin(asyncio.create_task(write_and_tell()), position)

    async def _tell(self, tp: TopicPartition, note: Note) -> None:
        origin = note.text.partition("\n")[0]
        topic = self._settings.topics.ledger_checkpoints
        await self._producer.send_and_wait(topic, bytes(note), origin.encode(), partition=tp.partition)

    async def _check_floors(self) -> None:
        """Stop where a log can't come to what was signed, as the topic holds less than that."""
        for follower in self._followers.values():
            floor = follower.writer.next_floor
            if floor is not None and await self._consumer.position(follower.tp) >= follower.end:
                raise RefusalError(
                    f"refusing to sign: {floor.source} remembers a signed checkpoint of {floor.checkpoint}, but "
                    f"{follower.tp.topic}-{follower.tp.partition} holds no more than {follower.writer.size} donations."
                )

    async def _measure(self) -> None:
        consumer = self._consumer
        heard = []
        for tp, follower in self._followers.items():
            at_ms = consumer.last_poll_timestamp(tp)
            heard.append(at_ms)
            follower.measure(await consumer.position(tp), at_ms, consumer.last_stable_offset(tp))
        self._silence.heard(heard, time.monotonic())

    async def _reached_ends(self) -> bool:
        return all([await self._consumer.position(tp) >= each.end for tp, each in self._followers.items()])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def log_folder(settings: Settings, partition: int) -> Path:
    """Where the log of a partition lies; the same path below a web address is its prefix."""
    return Path(settings.ledger_dir) / "donations" / str(partition)
