"""The topics of the contract: names, keys, partition counts and what the broker must be told of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from schemas import limits
from schemas.units import DAY_MS


class Topic(StrEnum):
    """The bare names; `Topics` puts the deployment's prefix before them."""

    ORDERS = "orders"
    DONATIONS = "donations"
    PROJECT_DELTAS = "project-deltas"
    PROJECT_TOTALS = "project-totals"
    REJECTED_ORDERS = "rejected-orders"
    PROJECTS = "projects"
    LEDGER_CHECKPOINTS = "ledger-checkpoints"


# What is summed up before it gets there is little work, so many partitions serve for speed alone: not one is busy at
# 170,000 donations a second. What wants more of them is memory: all totals of a partition are in one worker's.
TOTALS_PARTITIONS_MAX = 16

# Kafka adds a batch header, and a rejected order carries the refused bytes with six headers more: leave both room.
_RECORD_ROOM_BYTES = 2 * limits.ORDER_MAX_BYTES
_REJECTED_ROOM_BYTES = 4 * limits.ORDER_MAX_BYTES
_FOR_EVER = {"retention.ms": "-1", "retention.bytes": "-1"}

# `orders` is stamped by the broker as it appends (LogAppendTime): latency and "too far in the future" are measured from
# there. `project-deltas` and `rejected-orders` keep Kafka's default, and every topic that carries event times as its
# timestamps is kept for ever: retention by record timestamp would delete 2020's segments at once.
TOPIC_CONFIGS: Mapping[Topic, Mapping[str, str]] = {
    Topic.ORDERS: {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(_RECORD_ROOM_BYTES),
        **_FOR_EVER,
    },
    Topic.DONATIONS: {
        "max.message.bytes": str(_RECORD_ROOM_BYTES),
        # A donation's time is its order's, which may be a day ahead; Kafka would refuse what is an hour ahead, and the
        # partition would stand still for ever.
        "message.timestamp.after.max.ms": str(limits.INT64_MAX),
        **_FOR_EVER,
    },
    Topic.PROJECT_DELTAS: {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(_RECORD_ROOM_BYTES),
        "retention.ms": str(7 * DAY_MS),
    },
    Topic.PROJECT_TOTALS: {"cleanup.policy": "compact", "max.message.bytes": str(_RECORD_ROOM_BYTES)},
    Topic.REJECTED_ORDERS: {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(_REJECTED_ROOM_BYTES),
        "retention.ms": str(365 * DAY_MS),
    },
    Topic.PROJECTS: {"cleanup.policy": "compact"},
    # The newest checkpoint of each log stays for ever, the others a week: so long may a follower be away.
    Topic.LEDGER_CHECKPOINTS: {"cleanup.policy": "compact", "min.compaction.lag.ms": str(7 * DAY_MS)},
}


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one deployment, by name with its prefix."""

    prefix: str = ""

    def name(self, topic: Topic) -> str:
        return f"{self.prefix}{topic}"

    @property
    def orders(self) -> str:
        return self.name(Topic.ORDERS)

    @property
    def donations(self) -> str:
        return self.name(Topic.DONATIONS)

    @property
    def project_deltas(self) -> str:
        return self.name(Topic.PROJECT_DELTAS)

    @property
    def project_totals(self) -> str:
        return self.name(Topic.PROJECT_TOTALS)

    @property
    def rejected_orders(self) -> str:
        return self.name(Topic.REJECTED_ORDERS)

    @property
    def projects(self) -> str:
        return self.name(Topic.PROJECTS)

    @property
    def ledger_checkpoints(self) -> str:
        return self.name(Topic.LEDGER_CHECKPOINTS)

    def partition_count(self, topic: Topic, partitions: int) -> int:
        """How many partitions `topic` is made with where a deployment has `partitions` of `orders`.

        Each commit of orders writes to nearly all partitions of `project-deltas`. Were there as many of those as of
        `orders`, the cost of commits would grow with the square of their number.
        """
        if topic in {Topic.PROJECT_DELTAS, Topic.PROJECT_TOTALS}:
            return min(partitions, TOTALS_PARTITIONS_MAX)
        return 1 if topic is Topic.PROJECTS else partitions
