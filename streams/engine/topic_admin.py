"""Makes the contract's topics and checks, before a worker starts, that they are there and fit each other.

Topics are made, and where a demo ends deleted, one at a time; after a crash between two of them it is simply repeated.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, for_code

from schemas.topics import TOPIC_CONFIGS, Topic
from streams.engine.connection import open_admin
from streams.engine.refusals import denied, explain, refuse_hidden
from streams.errors import UserError
from streams.settings import Settings

READY_TIMEOUT_S = 30.0  # from the answer to a creation until every partition has a leader: some 100 ms, if all is well
POLL_INTERVAL_S = 0.05
_NO_ERROR = 0
_ALREADY_EXISTS = 36

# Topics whose partitions of the same number belong together: a split task reads and writes by the number of its
# partition of `orders`, a totals task by that of `project-deltas`.
CO_PARTITIONED = (
    (Topic.ORDERS, Topic.DONATIONS, Topic.REJECTED_ORDERS, Topic.LEDGER_CHECKPOINTS),
    (Topic.PROJECT_DELTAS, Topic.PROJECT_TOTALS),
    (Topic.PROJECTS,),
)

# What a worker asks for before it starts: the ledger's topic is the ledger's alone.
OF_WORKERS = tuple(topic for topic in Topic if topic is not Topic.LEDGER_CHECKPOINTS)


class TopicState(NamedTuple):
    """One topic of the deployment as it is now; `created`: by this call."""

    name: str
    partitions: int
    created: bool


class PartitionCounts(NamedTuple):
    """How many partitions the two stages have to share among workers."""

    orders: int
    totals: int


async def create_topics(
    settings: Settings, partitions: int | None = None, replication: int = 1, *, totals_partitions: int | None = None
) -> list[TopicState]:
    """Make the topics that are missing and wait until all have leaders. Safe to repeat.

    Without `partitions` a missing topic gets as many as those that it belongs with, or else what
    `Topics.partition_count` makes of `settings.partitions`. `totals_partitions`: of the two topics of the totals.
    Raises UserError: no broker, an existing topic with a count that doesn't fit, or the broker refuses.
    """
    async with open_admin(settings) as admin:
        try:
            existing = await _ours(settings, admin)
            wanted = plan(settings, existing, partitions, totals_partitions)
            missing = [topic for topic in Topic if topic not in existing]
            if missing:
                await _create(admin, settings, {topic: wanted[topic] for topic in missing}, replication)
            await _wait_for_leaders(admin, settings, wanted)
        except (KafkaError, OSError, TimeoutError) as error:
            raise explain(settings, error) from error
    return [TopicState(settings.topics.name(topic), wanted[topic], topic in missing) for topic in Topic]


async def check_topics(settings: Settings) -> PartitionCounts:
    """What a worker must know before it starts. Raises UserError: no broker, a topic missing, counts that don't fit."""
    existing = await existing_topics(settings, OF_WORKERS)
    missing = [settings.topics.name(topic) for topic in OF_WORKERS if topic not in existing]
    if missing:
        raise UserError(
            f"the broker at {settings.broker} has no topic {', '.join(map(repr, missing))}. "
            "Make the topics with `everycent topics create`."
        )
    plan(settings, existing)
    return PartitionCounts(existing[Topic.ORDERS], existing[Topic.PROJECT_TOTALS])


async def existing_topics(settings: Settings, asked: Sequence[Topic] = tuple(Topic)) -> dict[Topic, int]:
    """Those of `asked` that there are, with their partition counts. Raises UserError if no broker answers."""
    async with open_admin(settings) as admin:
        try:
            return await _ours(settings, admin, asked)
        except (KafkaError, OSError, TimeoutError) as error:
            raise explain(settings, error) from error


async def delete_topics(settings: Settings) -> None:
    """Take the deployment's topics and all that is on them away, for ever. Raises UserError if the broker doesn't."""
    async with open_admin(settings) as admin:
        try:
            existing = await _ours(settings, admin)
            response = await admin.delete_topics([settings.topics.name(topic) for topic in existing])
        except (KafkaError, OSError, TimeoutError) as error:
            raise explain(settings, error) from error
    for topic, code in response.topic_error_codes:
        if code != _NO_ERROR:
            raise UserError(f"the broker at {settings.broker} doesn't delete {topic!r}: {for_code(code).__name__}")


def plan(
    settings: Settings,
    existing: Mapping[Topic, int],
    partitions: int | None = None,
    totals_partitions: int | None = None,
) -> dict[Topic, int]:
    """How many partitions each topic has or must get. Raises UserError where existing ones don't fit."""
    name = settings.topics.name
    wanted: dict[Topic, int] = {}
    for group in CO_PARTITIONED:
        first = next((topic for topic in group if topic in existing), None)
        default = settings.topics.partition_count(group[0], partitions or settings.partitions)
        asked = partitions
        if group[0] is Topic.PROJECT_DELTAS:
            default, asked = totals_partitions or default, totals_partitions
        count = default if first is None else existing[first]
        for topic in group:
            if first is not None and existing.get(topic, count) != count:
                raise UserError(
                    f"topic {name(topic)!r} has {existing[topic]} partitions, but {name(first)!r} has {count}, and "
                    "they must have as many: partitions of the same number belong together. Recreate the wrong one."
                )
            if asked is not None and topic in existing and count != default:
                raise UserError(
                    f"topic {name(topic)!r} has {count} partitions already, not {default}. "
                    "Keys would move to other partitions, so that can't be changed; name what is there, or nothing."
                )
            wanted[topic] = count
    return wanted


async def _ours(
    settings: Settings, admin: AIOKafkaAdminClient, asked: Sequence[Topic] = tuple(Topic)
) -> dict[Topic, int]:
    """Those of `asked` that are there. Raises TopicAuthorizationFailedError if one may be hidden from us."""
    counts = await _partition_counts(admin)
    names = {topic: settings.topics.name(topic) for topic in asked}
    await refuse_hidden(admin._client, [name for name in names.values() if name not in counts])  # noqa: SLF001 - see there
    return {topic: counts[name] for topic, name in names.items() if name in counts}


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    # All topics, not ours by name: to be asked for a topic by name makes some brokers create it.
    described: list[dict[str, Any]] = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in described if topic["error_code"] == _NO_ERROR}


async def _create(
    admin: AIOKafkaAdminClient, settings: Settings, missing: Mapping[Topic, int], replication: int
) -> None:
    response = await admin.create_topics(
        [
            NewTopic(settings.topics.name(topic), partitions, replication, topic_configs=dict(TOPIC_CONFIGS[topic]))
            for topic, partitions in missing.items()
        ]
    )
    for topic, code, *details in response.topic_errors:
        if code not in {_NO_ERROR, _ALREADY_EXISTS}:  # somebody else may just have made it; its count is checked next
            if for_code(code) is TopicAuthorizationFailedError:
                raise denied(settings, "topic", [topic], "Create")
            why = next((detail for detail in details if detail), for_code(code).__name__)
            raise UserError(f"the broker at {settings.broker} doesn't create topic {topic!r}: {why}")


async def _wait_for_leaders(admin: AIOKafkaAdminClient, settings: Settings, wanted: Mapping[Topic, int]) -> None:
    """Metadata lags behind a creation; until it has caught up, clients would report unknown topics."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        described = {topic["topic"]: topic for topic in await admin.describe_topics()}
        waiting = [
            name
            for topic, count in wanted.items()
            if not _has_leaders(described.get(name := settings.topics.name(topic)), count)
        ]
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise UserError(
                f"topic {waiting[0]!r} doesn't have {wanted[Topic(waiting[0].removeprefix(settings.topic_prefix))]} "
                f"partitions with a leader each after {READY_TIMEOUT_S:.0f} s; look at the broker's log"
            )
        await asyncio.sleep(POLL_INTERVAL_S)


def _has_leaders(described: dict[str, Any] | None, count: int) -> bool:
    return (
        described is not None
        and described["error_code"] == _NO_ERROR
        and len(described["partitions"]) == count
        and all(part["error_code"] == _NO_ERROR and part["leader"] >= 0 for part in described["partitions"])
    )
