"""Records that no stage can read, in the middle of a record batch and by themselves: the others are processed."""

from aiokafka import AIOKafkaProducer

from schemas.order import FixedPledge, OrderCompleted, OrderLine, encode_order
from schemas.rejection import decode_rejection
from streams.engine.connection import client_options
from streams.engine.reader import open_reader
from streams.settings import Settings
from tests.kafka.workers import audited, running_workers

SOME_DAY_MS = 1_605_024_000_000
Records = list[tuple[bytes | None, bytes | None]]

POISON: Records = [
    (b"b1", None),
    (b"b1", b""),
    (b"b1", b"\x00\xff\xfe" * 1_000),
    (b"b1", b"[" * 100_000),
    (b"b1", b'{"order_id":' * 20_000),
    (b"b1", b"1e400"),
    (b"b1", b'{"order_id":"o","buyer_id":"\xed\xa0\x80"}'),
    (b"\xff", b"{}"),
    (None, b"{}"),
    (None, None),
]


def good(first: int, count: int) -> Records:
    lines = (OrderLine(0, "i1", 4_990, FixedPledge("P0001", 2)),)
    orders = [OrderCompleted(f"o{first + at}", "b1", "m1", SOME_DAY_MS + at, lines) for at in range(count)]
    return [(b"b1", encode_order(order)) for order in orders]


async def send_as_one_batch(settings: Settings, records: Records) -> None:
    async with AIOKafkaProducer(
        max_batch_size=1_000_000, compression_type="zstd", **client_options(settings)
    ) as sender:
        batch = sender.create_batch()
        for key, value in records:
            assert batch.append(key=key, value=value, timestamp=None) is not None
        batch.close()
        await (await sender.send_batch(batch, settings.topics.orders, partition=0))


async def test_poison_in_the_middle_of_a_batch_and_a_batch_of_nothing_else_stop_nothing(topics: Settings) -> None:
    batches = [[*good(0, 300), *POISON, *good(300, 300)], POISON, POISON[:1], good(600, 300)]
    with running_workers(topics) as workers:
        workers.start().wait_for("partition ready", times=8)
        for batch in batches:
            await send_as_one_batch(topics, batch)
        report = await audited(topics, workers)
        workers.check_unharmed()
    assert (report.counts.accepted, report.counts.donations) == (900, 900)
    async with open_reader(topics) as log:
        refused = [record async for found in log.read(topics.topics.rejected_orders, 0) for record in found]
    sent = [record for batch in batches for record in batch]
    poisoned = {offset for offset, record in enumerate(sent) if record in POISON}
    assert [(record.key, record.value) for record in refused] == [sent[offset] for offset in sorted(poisoned)]
    assert {decode_rejection(record.headers).source_offset for record in refused} == poisoned
