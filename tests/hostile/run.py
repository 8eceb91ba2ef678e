"""Hostile records through real workers, and what came out held against the oracle, byte for byte."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from zlib import crc32

from aiokafka import AIOKafkaProducer

from schemas.order import decode_order
from schemas.rejection import Refusal
from schemas.totals import WindowKind
from streams.engine.connection import client_options
from streams.engine.reader import LogReader, Record, open_reader
from streams.settings import Settings
from streams.views.audit import AuditReport, run_audit
from streams.views.totals import read_totals
from tests.hostile.oracle import Fates, Partition
from tests.hostile.records import KeyValue, endless_records
from tests.kafka.workers import Workers

CHUNK_RECORDS = 500
SENDING = {"enable_idempotence": True, "compression_type": "zstd", "max_batch_size": 262_144}
DRAIN_TIMEOUT_S = 600


@dataclass
class Figures:
    """What a run came to, by the oracle, which everything else was found to agree with."""

    sent: int = 0
    sent_bytes: int = 0
    bad: int = 0  # of those sent, as single records: conflicts and what is too far in the future not counted
    rejected: Counter[str] = field(default_factory=Counter)
    donations: int = 0
    fen: int = 0
    repeats: int = 0
    checksum: int = 0  # of all keys and values, whatever their order

    def to_json(self) -> dict[str, object]:
        found = {**vars(self), "rejected": dict(sorted(self.rejected.items()))}
        del found["checksum"]
        return found


async def run_hostile(
    settings: Settings, seed: int, bad: int, workers: Workers, tell: Callable[[str], None] = print
) -> Figures:
    """One worker takes in at least `bad` bad records, and others, and goes on; all that it made of them is right."""
    worker = workers.start()
    figures = await send_hostile(settings, seed, bad, tell)
    tell(f"{figures.sent:,} sent; waiting for the worker, then comparing")
    await verify(settings, figures)
    assert worker.process.poll() is None, f"the worker has ended:\n{worker.text()}"
    log = worker.text()
    assert "Traceback" not in log, log
    assert "given up for now" not in log, log
    return figures


async def send_hostile(settings: Settings, seed: int, bad: int, tell: Callable[[str], None] = print) -> Figures:
    """Send records of `seed` into `orders` until `bad` bad ones are among them."""
    figures = Figures()
    records = endless_records(seed)
    async with open_reader(settings) as log:
        partitions = len(await log.partitions(settings.topics.orders))
    async with AIOKafkaProducer(**client_options(settings), **SENDING) as producer:
        while figures.bad < bad:
            chunk = list(islice(records, CHUNK_RECORDS))
            sent = []
            for partition in range(partitions):
                ours = [record for record in chunk if crc32(record[0] or b"") % partitions == partition]
                sent += await send_batches(producer, settings.topics.orders, partition, ours)
            before = figures.sent
            figures.sent += len(chunk)
            figures.sent_bytes += sum(len(value or b"") for _, value in chunk)
            figures.bad += sum(map(is_bad, chunk))
            figures.checksum += sum(int.from_bytes(_digest(*record)) for record in chunk)
            await asyncio.gather(*sent)
            if figures.sent // 20_000 > before // 20_000:
                tell(f"{figures.sent:,} sent, {figures.bad:,} of them bad")
    return figures


async def send_batches(
    producer: AIOKafkaProducer, topic: str, partition: int, records: list[KeyValue]
) -> list[asyncio.Future[object]]:
    """As whole batches: `send` refuses a record that has neither key nor value, which Kafka does not."""
    sent = []
    batch = producer.create_batch()
    for key, value in records:
        if batch.append(timestamp=None, key=key, value=value) is None:  # full
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            assert batch.append(timestamp=None, key=key, value=value) is not None, "the first one always fits"
    if batch.record_count():
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    return sent


def is_bad(record: KeyValue) -> bool:
    return isinstance(decode_order(*record), Refusal)  # quick; the oracle counts again


async def verify(settings: Settings, figures: Figures) -> AuditReport:
    """Wait until the workers are done; then every donation, refusal and total must be what the oracle says."""
    report = await run_audit(settings, wait_s=DRAIN_TIMEOUT_S)
    assert report.exit_status == 0, "\n".join([report.reason, *(finding.text for finding in report.findings)])
    by_project: Counter[str] = Counter()
    arrived = checksum = 0
    async with open_reader(settings) as log:
        for partition in await log.partitions(settings.topics.orders):
            fates, records, digests = await _verify_partition(settings, log, partition)
            arrived += records
            checksum += digests
            figures.rejected.update(reason for _, reason in fates.rejected)
            figures.donations += len(fates.donations)
            figures.fen += sum(donation["fen"] for donation in fates.donations)
            figures.repeats += fates.repeats
            for donation in fates.donations:
                by_project[donation["project_id"]] += donation["fen"]
    assert figures.bad == sum(figures.rejected[reason] for reason in ("too-large", "not-json", "invalid"))
    assert (arrived, checksum) == (figures.sent, figures.checksum), "the broker has other records than were sent"
    totals = await read_totals(settings, window=WindowKind.ALL)
    assert totals.unreadable == 0
    shown = {total["project_id"]: total["fen"] for total in (json.loads(each.wire) for each in totals.totals)}
    assert shown == by_project
    return report


async def _verify_partition(settings: Settings, log: LogReader, number: int) -> tuple[Fates, int, int]:
    """What the oracle says of the partition, and of its orders their number and the sum of their digests."""
    topics = settings.topics
    oracle = Partition(settings.dedupe_horizon_hours * 3_600_000)
    orders: dict[int, tuple[bytes, int]] = {}  # of those to be refused: offset -> what the record was, when it came
    records = digests = 0
    async for batch in log.read(topics.orders, number):
        for record in batch:
            digest = _digest(record.key, record.value)
            records, digests = records + 1, digests + int.from_bytes(digest)
            before = len(oracle.fates.rejected)
            oracle.take(record.offset, record.timestamp, record.key, record.value)
            if len(oracle.fates.rejected) > before:
                orders[record.offset] = digest, record.timestamp
    fates = oracle.fates
    expected = [
        {
            "bytes": orders[offset][0],
            "reason": reason.encode(),
            "source-topic": topics.orders.encode(),
            "source-partition": b"%d" % number,
            "source-offset": b"%d" % offset,
            "rejected-at": b"%d" % orders[offset][1],
        }
        for offset, reason in fates.rejected
    ]
    rejected = [_rejection(record) async for batch in log.read(topics.rejected_orders, number) for record in batch]
    _assert_same(rejected, expected, f"{topics.rejected_orders}-{number}")
    donations = [json.loads(record.value) async for batch in log.read(topics.donations, number) for record in batch]
    _assert_same(donations, fates.donations, f"{topics.donations}-{number}")
    return fates, records, digests


def _rejection(record: Record) -> dict[str, bytes]:
    headers = dict(record.headers)
    assert headers.pop("detail"), "a refusal without a word for a person"
    return {"bytes": _digest(record.key, record.value), **headers}


def _digest(key: bytes | None, value: bytes | None) -> bytes:
    """Key and value, byte for byte, in little room: a run has hundreds of megabytes of them."""
    return hashlib.sha256(repr((key, value is None)).encode() + (value or b"")).digest()


def _assert_same(found: list[dict[str, object]], expected: list[dict[str, object]], where: str) -> None:
    for index, (one, other) in enumerate(zip(found, expected, strict=False)):
        assert one == other, f"{where}: record {index} is {one}, expected {other}"
    assert len(found) == len(expected), f"{where} has {len(found)} records, expected {len(expected)}"
