import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from schemas.topics import Topic
from streams.engine.connection import client_options, open_admin
from streams.engine.reader import open_reader
from streams.engine.topic_admin import PartitionCounts, check_topics, create_topics, existing_topics
from streams.errors import UserError
from streams.settings import Settings


async def make(settings: Settings, counts: dict[Topic, int]) -> None:
    async with open_admin(settings) as admin:
        await admin.create_topics([NewTopic(settings.topics.name(topic), n, 1) for topic, n in counts.items()])
    async with asyncio.timeout(30):  # metadata lags behind a creation
        while await existing_topics(settings) != counts:  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.05)


async def test_creating_makes_every_topic_of_the_contract_and_repeating_changes_nothing(settings):
    first = await create_topics(settings)
    assert [state.name for state in first] == [settings.topics.name(topic) for topic in Topic]
    assert {state.partitions for state in first if state.name != settings.topics.projects} == {4}
    assert all(state.created for state in first)

    again = await create_topics(settings)
    assert again == [state._replace(created=False) for state in first]
    assert await check_topics(settings) == PartitionCounts(orders=4, totals=4)


async def test_a_missing_topic_gets_as_many_partitions_as_those_that_it_belongs_with(settings):
    await make(settings, {Topic.ORDERS: 3})
    states = {state.name: state for state in await create_topics(settings)}
    assert states[settings.topics.donations] == (settings.topics.donations, 3, True)
    assert states[settings.topics.orders] == (settings.topics.orders, 3, False)
    assert await check_topics(settings) == PartitionCounts(orders=3, totals=4)


async def test_an_existing_topic_with_another_count_than_asked_for_is_refused_and_nothing_is_made(settings):
    await make(settings, {Topic.DONATIONS: 3})
    with pytest.raises(UserError, match=rf"'{settings.topics.donations}' has 3 partitions already, not 5"):
        await create_topics(settings, partitions=5)
    with pytest.raises(UserError, match=settings.topics.orders):
        await check_topics(settings)


async def test_many_partitions_of_orders_get_few_of_totals_unless_told_otherwise(settings):
    async with asyncio.timeout(60):
        await create_topics(settings, partitions=20)
    assert await check_topics(settings) == PartitionCounts(orders=20, totals=16)
    await create_topics(settings, partitions=20)  # what is there is right
    with pytest.raises(UserError, match=rf"'{settings.topics.project_deltas}' has 16 partitions already, not 20"):
        await create_topics(settings, partitions=20, totals_partitions=20)

    other = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}more-"})
    await create_topics(other, partitions=2, totals_partitions=3)
    assert await check_topics(other) == PartitionCounts(orders=2, totals=3)


@pytest.mark.parametrize(
    ("topic", "partner"),
    [
        (Topic.DONATIONS, Topic.ORDERS),
        (Topic.REJECTED_ORDERS, Topic.ORDERS),
        (Topic.LEDGER_CHECKPOINTS, Topic.ORDERS),
        (Topic.PROJECT_TOTALS, Topic.PROJECT_DELTAS),
    ],
)
async def test_topics_that_belong_together_with_different_counts_are_refused_by_name(settings, topic, partner):
    await make(settings, {other: 1 if other is topic else 2 for other in Topic})
    name = settings.topics.name
    if topic is Topic.LEDGER_CHECKPOINTS:  # the ledger's matter, and no worker's
        await check_topics(settings)
    else:
        with pytest.raises(UserError, match=rf"'{name(topic)}' has 1 partitions, but '{name(partner)}' has 2"):
            await check_topics(settings)
    with pytest.raises(UserError, match=rf"'{name(topic)}' has 1 partitions, but '{name(partner)}' has 2"):
        await create_topics(settings)


async def test_a_check_names_every_missing_topic(settings):
    await make(settings, {topic: 2 for topic in Topic if topic not in {Topic.ORDERS, Topic.PROJECTS}})
    with pytest.raises(UserError, match=rf"no topic '{settings.topics.orders}', '{settings.topics.projects}'"):
        await check_topics(settings)


async def test_a_worker_needs_no_topic_of_the_ledger(settings):
    await make(settings, {topic: 2 for topic in Topic if topic is not Topic.LEDGER_CHECKPOINTS})
    assert await check_topics(settings) == PartitionCounts(orders=2, totals=2)


async def test_a_refusal_of_the_broker_is_told_in_its_own_words(settings):
    with pytest.raises(UserError, match=r"(?i)replication"):
        await create_topics(settings, replication=3)


async def test_orders_are_stamped_by_the_broker_and_donations_keep_their_event_time(topics):
    event_time_ms = 1_605_024_000_000
    producer = AIOKafkaProducer(**client_options(topics))
    await producer.start()
    try:
        for topic in (topics.topics.orders, topics.topics.donations):
            await producer.send_and_wait(topic, b"x", partition=0, timestamp_ms=event_time_ms)
    finally:
        await producer.stop()
    async with open_reader(topics) as reader:
        order = await reader.last_record(topics.topics.orders, 0)
        donation = await reader.last_record(topics.topics.donations, 0)
    assert order.timestamp > event_time_ms
    assert donation.timestamp == event_time_ms
