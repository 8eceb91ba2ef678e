from aiokafka import TopicPartition

from streams.engine.runtime import ranges_of


def test_partitions_of_an_assignment_are_written_as_ranges_by_topic():
    given = [TopicPartition("orders", number) for number in (5, 0, 2, 1)] + [TopicPartition("project-deltas", 7)]
    assert ranges_of(given) == {"orders": "0-2,5", "project-deltas": "7"}


def test_no_partition_is_no_range():
    assert ranges_of([]) == {}
