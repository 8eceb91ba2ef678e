"""Writes the worlds of tests.domain.audit_world to a real broker as a worker would: in transactions, with offsets."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import murmur2

from schemas.rejection import decode_rejection, encode_rejection
from streams.engine.connection import client_options
from streams.engine.reader import open_reader
from streams.settings import Settings
from tests.domain.audit_world import Rec, World, total_record, write_totals


@dataclass
class Plan:
    """What stands on the topics: faultless until a test changes it."""

    worlds: list[World]
    totals: dict[int, list[Rec]] = field(default_factory=dict)
    deltas: list[Rec] = field(default_factory=list)  # not yet consumed


def add_totals(plan: Plan) -> None:
    """The totals of all donations, each in its partition, as many as there are worlds."""
    partitions = len(plan.worlds)
    donations = [world.donation(index) for world in plan.worlds for index in range(len(world.donations))]
    plan.totals = {partition: [] for partition in range(partitions)}
    for total in write_totals(donations):
        records = plan.totals[(murmur2(total.project_id.encode()) & 0x7FFFFFFF) % partitions]
        records.append(total_record(len(records), total))


async def send(producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[Rec], *, timed: bool) -> None:
    futures = [
        await producer.send(
            topic,
            record.value,
            record.key,
            partition=partition,
            timestamp_ms=record.timestamp if timed else None,
            headers=list(record.headers),
        )
        for record in records
    ]
    for future in futures:
        await future


async def send_orders(settings: Settings, plan: Plan) -> None:
    """Send the orders, then take over the times at which the broker took them."""
    topic = settings.topics.orders
    async with AIOKafkaProducer(**client_options(settings)) as producer:
        for world in plan.worlds:
            await send(producer, topic, world.partition, world.orders, timed=False)
    async with open_reader(settings) as reader:
        for world in plan.worlds:
            times = [record.timestamp async for batch in reader.read(topic, world.partition) for record in batch]
            world.orders = [record._replace(timestamp=time) for record, time in zip(world.orders, times, strict=True)]
            times_by_offset = {record.offset: record.timestamp for record in world.orders}
            world.rejected = [_readdress(record, topic, times_by_offset) for record in world.rejected]


def _readdress(record: Rec, topic: str, times: dict[int, int]) -> Rec:
    rejection = decode_rejection(record.headers)
    there = rejection._replace(source_topic=topic, rejected_at=times[rejection.source_offset])
    return record._replace(headers=encode_rejection(there))


def writer(settings: Settings, name: str = "writer") -> AIOKafkaProducer:
    return AIOKafkaProducer(transactional_id=f"{settings.app_id}-{name}", **client_options(settings))


async def send_outcome(settings: Settings, plan: Plan, *, commit: bool = True) -> None:
    """All that workers make of the orders in one transaction, the offsets with it."""
    topics = settings.topics
    async with writer(settings) as producer, producer.transaction():
        for world in plan.worlds:
            await send(producer, topics.donations, world.partition, world.donations, timed=True)
            await send(producer, topics.rejected_orders, world.partition, world.rejected, timed=False)
        for partition, totals in plan.totals.items():
            await send(producer, topics.project_totals, partition, totals, timed=True)
        await send(producer, topics.project_deltas, 0, plan.deltas, timed=False)
        if commit:
            offsets = {TopicPartition(topics.orders, world.partition): len(world.orders) for world in plan.worlds}
            await producer.send_offsets_to_transaction(offsets, settings.app_id)


async def publish(settings: Settings, plan: Plan) -> None:
    await send_orders(settings, plan)
    await send_outcome(settings, plan)
