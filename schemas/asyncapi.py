"""The AsyncAPI 3.0 document of the contract: which topic holds what under which key, who writes it and who reads it.

A pure function from the records' schemas to the document; `schemas.documents` writes it to its file. Nothing here can
be lost in a crash.
"""

from typing import Any, NamedTuple

from schemas.fields import ID_PATTERN
from schemas.limits import ID_MAX_CHARACTERS
from schemas.topics import TOPIC_CONFIGS, Topic
from schemas.totals import POSITION_HEADER, WindowKind

ASYNCAPI_VERSION = "3.0.0"
KAFKA_BINDING_VERSION = "0.5.0"

Part = dict[str, Any]

_ID_KEY: Part = {"type": "string", "minLength": 1, "maxLength": ID_MAX_CHARACTERS, "pattern": ID_PATTERN}
_CONTENT_TYPES = {"RejectedOrder": "application/octet-stream", "LedgerCheckpoint": "text/plain; charset=utf-8"}
_WINDOWS = "|".join(WindowKind)


class Message(NamedTuple):
    """One kind of record: what its value, key and headers are."""

    name: str
    payload: Part
    summary: str
    key: Part | None
    headers: Part | None = None


class Channel(NamedTuple):
    """One topic: what it's for, and its records."""

    topic: Topic
    description: str
    messages: tuple[Message, ...]


class Operation(NamedTuple):
    """One part of the project that writes (`send`) or reads (`receive`) a topic."""

    name: str
    action: str
    topic: Topic
    summary: str


def _record(name: str) -> Part:
    return {"$ref": f"#/components/schemas/{name}"}


def _key(of: str, schema: Part = _ID_KEY) -> Part:
    return {**schema, "description": of}


CHANNELS = (
    Channel(
        Topic.ORDERS,
        "Completed orders, in. The broker stamps them as it appends them. The number of partitions is set at creation.",
        (
            Message(
                "OrderCompleted",
                _record("OrderCompleted"),
                "An order was completed. The source may send it again, unchanged; the second copy donates nothing.",
                _key("The order's `buyer_id`; an order under another key is refused."),
            ),
        ),
    ),
    Channel(
        Topic.DONATIONS,
        "The ledger, kept for ever. As many partitions as `orders`, and each donation on the partition with the number"
        " of its order's. Kafka timestamp = `donated_at`.",
        (Message("Donation", _record("Donation"), "One line of an order gave this.", _key("The donor: `buyer_id`.")),),
    ),
    Channel(
        Topic.PROJECT_DELTAS,
        "Internal: the partial sums of each commit, and the watermarks that follow them.",
        (
            Message(
                "ProjectDelta",
                _record("ProjectDelta"),
                "What one commit holds for one project, by minute.",
                _key("The project: `project_id`."),
            ),
            Message(
                "SourceWatermark", _record("SourceWatermark"), "How far one partition of `orders` is; no key.", None
            ),
        ),
    ),
    Channel(
        Topic.PROJECT_TOTALS,
        "Running totals, upserted: the newest record of a key is the truth. Compacted. A record without a value means"
        " that the window was released from memory some time after it became final; its last total stood.",
        (
            Message(
                "ProjectTotal",
                _record("ProjectTotal"),
                "What a project has received in a window, by now.",
                _key(
                    "`project_id|window|start_ms`",
                    {"type": "string", "pattern": f"^[^|]{{1,{ID_MAX_CHARACTERS}}}\\|({_WINDOWS})\\|(0|[1-9][0-9]*)$"},
                ),
                {
                    "type": "object",
                    "properties": {
                        POSITION_HEADER: {
                            "type": "string",
                            "pattern": "^[0-9]+$",
                            "description": "Offset of `project-deltas` up to which (exclusive) the total is good.",
                        }
                    },
                },
            ),
        ),
    ),
    Channel(
        Topic.REJECTED_ORDERS,
        "What was refused, byte for byte, with the reason in the headers. A bad record never stops the stream.",
        (
            Message(
                "RejectedOrder",
                {"description": "The bytes that came. They may not be JSON, and they may be missing."},
                "A record of `orders` that gave no donation.",
                {"description": "The refused record's own key, untouched; it may be missing."},
                _record("RejectedOrderHeaders"),
            ),
        ),
    ),
    Channel(
        Topic.PROJECTS,
        "Reference data, in. One partition, compacted.",
        (Message("Project", _record("Project"), "A charity project.", _key("The project: `project_id`.")),),
    ),
    Channel(
        Topic.LEDGER_CHECKPOINTS,
        "The signed checkpoints of the public ledger, each on the partition with the number of its log's partition of"
        " `donations`. Compacted: the newest of each log stays. Written once all that it covers is durable.",
        (
            Message(
                "LedgerCheckpoint",
                {"type": "string", "description": "A signed note (C2SP tlog-checkpoint), as text."},
                "A log has grown to this size, with this root.",
                {"type": "string", "minLength": 1, "description": "The log's origin, the note's first line."},
            ),
        ),
    ),
)

OPERATIONS = (
    Operation("splitReadsOrders", "receive", Topic.ORDERS, "split turns each line with a pledge into a donation."),
    Operation("splitWritesDonations", "send", Topic.DONATIONS, "split writes the donations of a commit."),
    Operation("splitWritesDeltas", "send", Topic.PROJECT_DELTAS, "split writes a commit's partial sums."),
    Operation("splitWritesRejected", "send", Topic.REJECTED_ORDERS, "split puts aside what it refuses."),
    Operation("splitRestoresDonations", "receive", Topic.DONATIONS, "split restores its state from the ledger's tail."),
    Operation("totalsReadsDeltas", "receive", Topic.PROJECT_DELTAS, "totals folds the partial sums into windows."),
    Operation("totalsWritesTotals", "send", Topic.PROJECT_TOTALS, "totals writes each window that changed."),
    Operation("totalsRestoresTotals", "receive", Topic.PROJECT_TOTALS, "totals restores its state from its output."),
    Operation("auditReadsOrders", "receive", Topic.ORDERS, "audit derives every donation again."),
    Operation("auditReadsDonations", "receive", Topic.DONATIONS, "audit compares each donation and each `seq`."),
    Operation("auditReadsTotals", "receive", Topic.PROJECT_TOTALS, "audit compares each total to the fen."),
    Operation("auditReadsRejected", "receive", Topic.REJECTED_ORDERS, "audit finds each refused order."),
    Operation("viewReadsTotals", "receive", Topic.PROJECT_TOTALS, "the views show the totals."),
    Operation("viewReadsProjects", "receive", Topic.PROJECTS, "the views show the projects' names."),
    Operation("simulateWritesOrders", "send", Topic.ORDERS, "simulate makes a realistic load."),
    Operation("replayReadsRejected", "receive", Topic.REJECTED_ORDERS, "replay-rejected takes what was mended."),
    Operation("replayWritesOrders", "send", Topic.ORDERS, "replay-rejected puts it back."),
    Operation("ledgerReadsDonations", "receive", Topic.DONATIONS, "the ledger makes a leaf of each donation."),
    Operation("ledgerWritesCheckpoints", "send", Topic.LEDGER_CHECKPOINTS, "the ledger tells what it has signed."),
    Operation(
        "ledgerReadsCheckpoints", "receive", Topic.LEDGER_CHECKPOINTS, "the ledger looks at its start what was signed."
    ),
)


def asyncapi_document(schemas: dict[str, Part], contract_version: int) -> Part:
    """The whole document. `schemas`: components by name, which refer to each other as `#/components/schemas/…`."""
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "id": f"urn:everycent:asyncapi:{contract_version}",
        "info": {
            "title": "everycent",
            "version": f"{contract_version}.0.0",
            "description": (
                "Orders in, donations and running totals out: every cent counted once. Amounts are integers of fen"
                " (1/100 yuan), times are integer milliseconds since the epoch, UTC. Readers ignore fields that they"
                " don't know, and integers are written without a fraction or an exponent. What the workers"
                " write is transactional: read with isolation.level=read_committed."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{bootstrapServer}",
                "protocol": "kafka",
                "description": "The deployment's Kafka: EVERYCENT_BROKER.",
                "variables": {"bootstrapServer": {"default": "127.0.0.1:9092"}},
            }
        },
        "channels": {channel.topic.value: _channel(channel) for channel in CHANNELS},
        "operations": {operation.name: _operation(operation) for operation in OPERATIONS},
        "components": {
            "messages": {message.name: _message(message) for channel in CHANNELS for message in channel.messages},
            "schemas": {name: _as_draft_07(schema) for name, schema in schemas.items()},
        },
    }


def _channel(channel: Channel) -> Part:
    kafka: Part = {
        "topicConfiguration": _configuration(channel.topic),
        "bindingVersion": KAFKA_BINDING_VERSION,
    }
    if channel.topic is Topic.PROJECTS:
        kafka = {"partitions": 1, **kafka}
    return {
        "address": f"{{topicPrefix}}{channel.topic}",
        "description": channel.description,
        "parameters": {
            "topicPrefix": {"description": "The deployment's EVERYCENT_TOPIC_PREFIX, empty by default.", "default": ""}
        },
        "messages": {message.name: {"$ref": f"#/components/messages/{message.name}"} for message in channel.messages},
        "bindings": {"kafka": kafka},
    }


def _configuration(topic: Topic) -> Part:
    """What the broker is told of the topic, in the types that AsyncAPI wants: numbers, and a list of policies."""
    found: Part = {}
    for name, value in sorted(TOPIC_CONFIGS[topic].items()):
        if name == "cleanup.policy":
            found[name] = value.split(",")
        else:
            found[name] = int(value) if value.lstrip("-").isdecimal() else value
    return found


def _message(message: Message) -> Part:
    found: Part = {"name": message.name, "summary": message.summary, "payload": message.payload}
    if message.name in _CONTENT_TYPES:
        found["contentType"] = _CONTENT_TYPES[message.name]
    if message.headers is not None:
        found["headers"] = message.headers
    kafka: Part = {"bindingVersion": KAFKA_BINDING_VERSION}
    if message.key is not None:
        kafka = {"key": message.key, **kafka}
    return {**found, "bindings": {"kafka": kafka}}


def _operation(operation: Operation) -> Part:
    return {
        "action": operation.action,
        "channel": {"$ref": f"#/channels/{operation.topic}"},
        "summary": operation.summary,
    }


def _as_draft_07(part: Any) -> Any:
    """AsyncAPI's schemas are those of draft 07, where a tuple's `prefixItems` are called `items`."""
    if isinstance(part, list):
        return [_as_draft_07(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {("items" if name == "prefixItems" else name): _as_draft_07(value) for name, value in part.items()}
