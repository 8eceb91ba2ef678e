"""Who gets which partition: sticky, and even in each topic for itself.

A partition of `orders` is several times the work of one of `project-deltas`. aiokafka's sticky assignor balances the
bare number of partitions, and gave one worker all of the one topic and another one all of the other (measured).
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


class TopicwiseStickyAssignor(StickyPartitionAssignor):  # type: ignore[misc]
    """aiokafka's sticky assignor, applied to one topic after the other."""

    name = "everycent-topicwise-sticky"

    @classmethod
    def assign(
        cls, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Assign every partition of the topics that the members subscribe to."""
        assigned: dict[str, list[tuple[str, list[int]]]] = defaultdict(list)
        for topic in sorted({topic for member in members.values() for topic in member.subscription}):
            subscribed = {
                name: ConsumerProtocolMemberMetadata(member.version, [topic], member.user_data)
                for name, member in members.items()
                if topic in member.subscription
            }
            for name, assignment in super().assign(cluster, subscribed).items():
                assigned[name].extend(assignment.assignment)
        return {name: ConsumerProtocolMemberAssignment(cls.version, assigned[name], b"") for name in members}
