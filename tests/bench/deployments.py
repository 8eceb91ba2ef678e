"""A deployment for one run: its topics, its backlog of orders, when it is drained, and whether its totals are right."""

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError

from schemas.donation import decode_donation
from schemas.topics import Topic
from schemas.totals import WindowKind, decode_total, decode_total_key
from streams.domain.load import ExpectedSums, LoadPlan, expected_sums
from streams.engine.connection import open_admin
from streams.engine.reader import LogReader, open_reader
from streams.engine.topic_admin import create_topics, existing_topics
from streams.errors import UserError
from streams.settings import Settings
from streams.simulation import run_simulation
from tests.bench.processes import MeasuredProcess, Sample

DRAIN_POLL_S = 0.05  # one request to the broker
STALLED_POLLS_MAX = 1_200  # a minute without progress, and the run is given up
DIFFERENCES_MAX = 5
DELETION_TIMEOUT_S = 60

expected = cache(expected_sums)


@asynccontextmanager
async def deployment(broker: str, partitions: int, totals_partitions: int | None = None) -> AsyncIterator[Settings]:
    """Topics, group and transactions of this run's own; production's defaults, or the environment's, for all else.

    The topics are deleted at the end: what the broker does in the background with them must not burden the next run.
    """
    unique = uuid.uuid4().hex[:8]
    settings = Settings(
        broker=broker,
        topic_prefix=f"bench{unique}-",
        app_id=f"bench-{unique}",
        partitions=partitions,
        metrics_port=_free_port(),  # on, as in production, but no two workers can share one
        log_level="info",
        log_format="json",  # moments are read from it
    )
    await create_topics(settings, totals_partitions=totals_partitions)
    try:
        yield settings
    finally:
        await delete_topics(settings, [settings.topics.name(topic) for topic in Topic])


async def empty_outputs(settings: Settings) -> None:
    """Delete and make again every topic but `orders`, so that another engine can begin on the same orders."""
    await delete_topics(settings, [settings.topics.name(topic) for topic in Topic if topic is not Topic.ORDERS])
    deadline = time.monotonic() + DELETION_TIMEOUT_S
    while set(await existing_topics(settings)) != {Topic.ORDERS}:
        if time.monotonic() > deadline:
            raise UserError(f"topics that were deleted are still there after {DELETION_TIMEOUT_S} s")
        await asyncio.sleep(DRAIN_POLL_S)
    await create_topics(settings)


async def delete_topics(settings: Settings, names: Sequence[str]) -> None:
    async with open_admin(settings) as admin:
        await admin.delete_topics(list(names))


async def load_backlog(settings: Settings, plan: LoadPlan) -> None:
    """All of the plan's orders, before anybody eats them."""
    sent = await run_simulation(settings, plan)
    if sent.orders != plan.orders:
        raise UserError(f"only {sent.orders} of {plan.orders} orders could be sent")


async def ends(reader: LogReader, topic: str) -> dict[TopicPartition, int]:
    return {
        TopicPartition(topic, partition): await reader.end_offset(topic, partition)
        for partition in await reader.partitions(topic)
    }


async def log_lengths(settings: Settings) -> dict[str, int]:
    """How long the topics have become, markers of transactions included: what the orders made us write."""
    topics = (Topic.ORDERS, Topic.DONATIONS, Topic.PROJECT_DELTAS, Topic.PROJECT_TOTALS)
    async with open_reader(settings) as reader:
        return {str(topic): sum((await ends(reader, settings.topics.name(topic))).values()) for topic in topics}


async def committed(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """The group's offsets, as far as it has any."""
    try:
        offsets = await admin.list_consumer_group_offsets(group)
    except (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError, GroupLoadInProgressError):
        return {}  # a fresh broker has yet to make the topic that groups are kept in
    return {tp: found.offset for tp, found in offsets.items() if found.offset >= 0}


async def wait_drained(settings: Settings, process: MeasuredProcess) -> Sample:
    """Wait until all orders and partial sums are committed; the sample is of the moment at which that is seen."""
    orders, deltas = settings.topics.orders, settings.topics.project_deltas
    async with open_admin(settings) as admin, open_reader(settings) as reader:
        backlog = await ends(reader, orders)
        before, stalled = -1, 0
        while True:
            offsets = await committed(admin, settings.app_id)
            sample = process.sample()
            if reached(offsets, backlog) and not await pending(reader, offsets, await ends(reader, deltas)):
                return sample
            progress = sum(offsets.values())
            stalled = stalled + 1 if progress == before else 0
            if stalled > STALLED_POLLS_MAX:
                raise process.failed(f"the worker stands still at {offsets}; the orders end at {backlog}")
            before = progress
            await asyncio.sleep(DRAIN_POLL_S)


def reached(offsets: Mapping[TopicPartition, int], ends_: Mapping[TopicPartition, int]) -> bool:
    return all(offsets.get(tp, 0) >= end for tp, end in ends_.items())


async def pending(
    reader: LogReader, offsets: Mapping[TopicPartition, int], ends_: Mapping[TopicPartition, int]
) -> bool:
    """Whether any partial sum is left: watermarks have no key, markers of transactions are no records."""
    for tp, end in ends_.items():
        async for records in reader.read(tp.topic, tp.partition, offsets.get(tp, 0), end):
            if any(record.key is not None for record in records):
                return True
    return False


async def differences(
    settings: Settings, plan: LoadPlan, *, totals_topic: str | None = None, whole_ledger: bool = False
) -> list[str]:
    """Where the ledger and the totals, in each kind of window, differ from what the plan must come to; to the fen."""
    return await differences_from(settings, expected(plan), totals_topic=totals_topic, whole_ledger=whole_ledger)


async def differences_from(
    settings: Settings, must: ExpectedSums, *, totals_topic: str | None = None, whole_ledger: bool = False
) -> list[str]:
    """The same against sums that are known otherwise.

    `totals_topic`: where the totals lie, if not in `project-totals`. `whole_ledger`: read each donation, where our own
    are told by the last one's number.
    """
    async with open_reader(settings) as reader:
        check = _whole_ledger_differences if whole_ledger else _ledger_differences
        found = await check(reader, settings.topics.donations, must)
        sums, released = await _window_sums(reader, totals_topic or settings.topics.project_totals)
    wanted = {name: (fen, must.donations_by_project[name]) for name, fen in must.fen_by_project.items()}
    for kind in WindowKind:
        if kind in released:
            continue  # a window that left memory left the topic too, and stands in the longer ones
        for project_id in sorted(wanted.keys() | sums[kind].keys()):
            is_, should = sums[kind].get(project_id, (0, 0)), wanted.get(project_id, (0, 0))
            if is_ != should:
                found.append(f"{project_id} by {kind}: {is_} (fen, donations) instead of {should}")
    return found[:DIFFERENCES_MAX]


async def _ledger_differences(reader: LogReader, topic: str, must: ExpectedSums) -> list[str]:
    donations = 0
    for partition in await reader.partitions(topic):
        last = await reader.last_record(topic, partition)
        donations += 0 if last is None else decode_donation(last.value or b"").seq + 1
    return [] if donations == must.donations else [f"{donations} donations instead of {must.donations}"]


async def _whole_ledger_differences(reader: LogReader, topic: str, must: ExpectedSums) -> list[str]:
    """Every donation once: numbered without a gap, no id twice, each project's sum as it must be."""
    found: list[str] = []
    fen_by_project: dict[str, int] = {}
    donations = 0
    for partition in await reader.partitions(topic):
        seq, ids = 0, set()
        async for records in reader.read(topic, partition):
            for record in records:
                donation = decode_donation(record.value or b"")
                if donation.seq != seq:
                    found.append(f"donations {partition}: number {donation.seq} where {seq} must be")
                seq = donation.seq + 1
                ids.add(hash(donation.donation_id))
                fen_by_project[donation.project_id] = fen_by_project.get(donation.project_id, 0) + donation.fen
        donations += len(ids)
    if donations != must.donations:
        found.append(f"{donations} donations instead of {must.donations}")
    if fen_by_project != must.fen_by_project:
        found.append(f"{sum(fen_by_project.values())} fen in donations instead of {must.fen}, or other projects'")
    return found


async def _window_sums(
    reader: LogReader, topic: str
) -> tuple[dict[WindowKind, dict[str, tuple[int, int]]], set[WindowKind]]:
    """By kind of window and project, what the newest totals add up to; and the kinds of which some were released."""
    newest: dict[bytes, tuple[str, WindowKind, int, int]] = {}
    released: set[WindowKind] = set()
    for partition in await reader.partitions(topic):
        async for records in reader.read(topic, partition):
            for record in records:
                assert record.key is not None
                if record.value is None:
                    newest.pop(record.key, None)
                    released.add(decode_total_key(record.key).window)
                else:
                    total = decode_total(record.value)
                    newest[record.key] = (total.project_id, total.window, total.fen, total.donations)
    sums: dict[WindowKind, dict[str, tuple[int, int]]] = {kind: {} for kind in WindowKind}
    for project_id, kind, fen, donations in newest.values():
        more_fen, more_donations = sums[kind].get(project_id, (0, 0))
        sums[kind][project_id] = (fen + more_fen, donations + more_donations)
    return sums, released


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
