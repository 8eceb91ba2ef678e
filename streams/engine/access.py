"""The least rights that each role needs on a broker that grants them one by one (Kafka's ACLs). They stand only here.

A right to read or to write includes the one to describe. Nobody needs a right on the cluster: idempotent and
transactional producers are let in by their right to write.
"""

import shlex
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from schemas.topics import Topic
from streams.settings import Settings


class AccessRole(StrEnum):
    """Who comes to the broker. Each is a principal of its own; one that has two roles needs the rights of both."""

    ADMIN = "admin"
    SOURCE = "source"
    WORKER = "worker"
    READER = "reader"
    AUDITOR = "auditor"
    REPLAYER = "replayer"
    SERVER = "server"
    REGISTRAR = "registrar"
    LEDGER = "ledger"


ROLE_COMMANDS = {
    AccessRole.ADMIN: "topics create, topics list",
    AccessRole.SOURCE: "simulate, or whatever else sends orders",
    AccessRole.WORKER: "worker, with any roles",
    AccessRole.READER: "totals, audit, rejected, topics list",
    AccessRole.AUDITOR: "audit, audit --follow",
    AccessRole.REPLAYER: "replay-rejected",
    AccessRole.SERVER: "serve",
    AccessRole.REGISTRAR: "projects import",
    AccessRole.LEDGER: "ledger run, ledger fsck",
}


class Resource(StrEnum):
    """What a right is on, as the options of kafka-acls are called."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"


class Operation(StrEnum):
    """What a right allows, as kafka-acls calls it."""

    READ = "Read"
    WRITE = "Write"
    DESCRIBE = "Describe"
    CREATE = "Create"


class Right(NamedTuple):
    """One right: an ACL less its principal. `prefixed`: on all whose name begins so."""

    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False


def rights(role: AccessRole, settings: Settings) -> tuple[Right, ...]:
    """The rights of a role in the deployment of `settings`: with any of them missing, it can't do its work."""
    topic_rights: dict[AccessRole, list[tuple[Topic, Operation]]] = {
        AccessRole.ADMIN: [
            (topic, operation) for topic in Topic for operation in (Operation.CREATE, Operation.DESCRIBE)
        ],
        AccessRole.SOURCE: [(Topic.ORDERS, Operation.WRITE)],
        AccessRole.WORKER: [
            (Topic.ORDERS, Operation.READ),
            *_both(Topic.DONATIONS),
            *_both(Topic.PROJECT_DELTAS),
            *_both(Topic.PROJECT_TOTALS),
            *_both(Topic.REJECTED_ORDERS),
            # It refuses to start where a topic of the contract, but for the ledger's, is missing.
            (Topic.PROJECTS, Operation.DESCRIBE),
        ],
        AccessRole.READER: [
            *((topic, Operation.READ) for topic in Topic if topic is not Topic.LEDGER_CHECKPOINTS),
            (Topic.LEDGER_CHECKPOINTS, Operation.DESCRIBE),  # it looks whether it is there, no more
        ],
        AccessRole.AUDITOR: [
            (topic, Operation.READ) for topic in Topic if topic not in (Topic.PROJECTS, Topic.LEDGER_CHECKPOINTS)
        ],
        AccessRole.REPLAYER: [
            *_both(Topic.ORDERS),
            (Topic.DONATIONS, Operation.READ),
            (Topic.REJECTED_ORDERS, Operation.READ),
        ],
        AccessRole.SERVER: [
            (Topic.PROJECT_TOTALS, Operation.READ),
            (Topic.PROJECTS, Operation.READ),
            # Of these it wants the ends alone, but looks whether what lies before them is more than markers.
            (Topic.ORDERS, Operation.READ),
            (Topic.PROJECT_DELTAS, Operation.READ),
        ],
        AccessRole.REGISTRAR: [*_both(Topic.PROJECTS)],
        AccessRole.LEDGER: [(Topic.DONATIONS, Operation.READ), *_both(Topic.LEDGER_CHECKPOINTS)],
    }
    topics = [Right(Resource.TOPIC, settings.topics.name(topic), operation) for topic, operation in topic_rights[role]]
    return (*topics, *_group_rights(role, settings), *_transaction_rights(role, settings))


def _both(topic: Topic) -> tuple[tuple[Topic, Operation], ...]:
    return (topic, Operation.READ), (topic, Operation.WRITE)


# They see by its offsets how far the workers have come.
_LOOK_AT_THE_GROUP = {AccessRole.READER, AccessRole.AUDITOR, AccessRole.REPLAYER, AccessRole.SERVER}


def _group_rights(role: AccessRole, settings: Settings) -> Iterator[Right]:
    if role is AccessRole.WORKER:
        yield Right(Resource.GROUP, settings.app_id, Operation.READ)
    elif role in _LOOK_AT_THE_GROUP:
        yield Right(Resource.GROUP, settings.app_id, Operation.DESCRIBE)


def _transaction_rights(role: AccessRole, settings: Settings) -> Iterator[Right]:
    if role is AccessRole.WORKER:  # an id for each partition of its input
        for topic in (settings.topics.orders, settings.topics.project_deltas):
            yield Right(Resource.TRANSACTIONAL_ID, f"{settings.app_id}-{topic}-", Operation.WRITE, prefixed=True)
    elif role is AccessRole.REPLAYER:
        yield Right(Resource.TRANSACTIONAL_ID, f"{settings.app_id}-replay-rejected", Operation.WRITE)


def acl_commands(role: AccessRole, settings: Settings, principal: str) -> list[str]:
    """What an operator types: a command of Kafka's own `kafka-acls.sh` for each thing that `role` has rights on."""
    operations: dict[tuple[Resource, str, bool], list[str]] = {}
    for right in rights(role, settings):
        operations.setdefault((right.resource, right.name, right.prefixed), []).append(right.operation)
    return [
        shlex.join(
            [
                *("kafka-acls.sh", "--bootstrap-server", settings.broker, "--add", "--allow-principal", principal),
                *(word for operation in allowed for word in ("--operation", operation)),
                *(f"--{resource}", name),
                *(("--resource-pattern-type", "prefixed") if prefixed else ()),
            ]
        )
        for (resource, name, prefixed), allowed in operations.items()
    ]
