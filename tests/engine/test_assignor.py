"""Who gets which partition."""

from collections import Counter
from dataclasses import dataclass

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.assignor import TopicwiseStickyAssignor

ORDERS, DELTAS = "orders", "project-deltas"
Assignment = dict[str, set[tuple[str, int]]]


@dataclass
class Cluster:
    """What the assignor asks of aiokafka's cluster metadata."""

    partitions: int

    def topics(self) -> set[str]:
        return {ORDERS, DELTAS}

    def partitions_for_topic(self, topic: str) -> set[int]:
        assert topic in {ORDERS, DELTAS}
        return set(range(self.partitions))


def assign(partitions: int, members: dict[str, list[str]], before: Assignment | None = None) -> Assignment:
    """One generation: each member subscribes to its topics and says what it had before."""
    metadata = {}
    for name, topics in members.items():
        TopicwiseStickyAssignor.member_assignment = None
        if before and name in before:
            TopicwiseStickyAssignor.member_assignment = [_Partition(*tp) for tp in before[name]]
        TopicwiseStickyAssignor.generation = 1
        found = TopicwiseStickyAssignor.metadata(topics)
        metadata[name] = ConsumerProtocolMemberMetadata(found.version, found.subscription, found.user_data)
    assigned = TopicwiseStickyAssignor.assign(Cluster(partitions), metadata)
    TopicwiseStickyAssignor.member_assignment = None
    return {
        name: {(topic, partition) for topic, numbers in assignment.assignment for partition in numbers}
        for name, assignment in assigned.items()
    }


@dataclass(frozen=True)
class _Partition:
    topic: str
    partition: int


def check_even(assigned: Assignment, topic: str, members: list[str], partitions: int) -> None:
    counts = Counter(name for name in members for other, _ in assigned[name] if other == topic)
    every = sorted(number for name in members for other, number in assigned[name] if other == topic)
    assert every == list(range(partitions)), "a partition has no owner, or two"
    assert max(counts.get(name, 0) for name in members) - min(counts.get(name, 0) for name in members) <= 1


@given(partitions=st.integers(1, 40), workers=st.integers(1, 12))
def test_each_topic_is_spread_evenly(partitions: int, workers: int) -> None:
    members = {f"w{number}": [ORDERS, DELTAS] for number in range(workers)}
    assigned = assign(partitions, members)
    for topic in (ORDERS, DELTAS):
        check_even(assigned, topic, list(members), partitions)


def test_one_that_joins_takes_half_of_each_topic_and_no_more_moves() -> None:
    alone = assign(8, {"w0": [ORDERS, DELTAS]})
    both = assign(8, {"w0": [ORDERS, DELTAS], "w1": [ORDERS, DELTAS]}, alone)
    for topic in (ORDERS, DELTAS):
        check_even(both, topic, ["w0", "w1"], 8)
    assert both["w0"] < alone["w0"]


def test_one_that_leaves_gives_to_the_others_and_they_keep_theirs() -> None:
    members = {f"w{number}": [ORDERS, DELTAS] for number in range(3)}
    before = assign(9, members)
    del members["w1"]
    after = assign(9, members, before)
    assert after["w0"] > before["w0"]
    assert after["w2"] > before["w2"]


def test_workers_of_one_role_get_only_their_topic() -> None:
    assigned = assign(4, {"split": [ORDERS], "totals": [DELTAS]})
    assert assigned == {
        "split": {(ORDERS, number) for number in range(4)},
        "totals": {(DELTAS, number) for number in range(4)},
    }
