import pytest

from schemas import limits
from schemas.topics import TOPIC_CONFIGS, Topic, Topics

NAMES = ["orders", "donations", "project-deltas", "project-totals", "rejected-orders", "projects", "ledger-checkpoints"]


def test_the_topics_are_those_of_the_contract():
    assert list(Topic) == NAMES


def test_a_prefix_stands_before_every_name():
    topics = Topics("eu.")
    named = [
        topics.orders,
        topics.donations,
        topics.project_deltas,
        topics.project_totals,
        topics.rejected_orders,
        topics.projects,
        topics.ledger_checkpoints,
    ]
    assert named == [f"eu.{name}" for name in NAMES]
    assert [topics.name(topic) for topic in Topic] == named


def test_without_a_prefix_the_names_are_bare():
    assert [Topics().name(topic) for topic in Topic] == NAMES


@pytest.mark.parametrize(("partitions", "of_totals"), [(1, 1), (8, 8), (16, 16), (17, 16), (256, 16)])
def test_the_ledger_and_the_rejected_have_the_partitions_of_orders_the_totals_few_and_the_reference_data_one(
    partitions, of_totals
):
    counts = {topic: Topics().partition_count(topic, partitions) for topic in Topic}
    assert counts.pop(Topic.PROJECTS) == 1
    assert {counts.pop(Topic.PROJECT_DELTAS), counts.pop(Topic.PROJECT_TOTALS)} == {of_totals}
    assert set(counts.values()) == {partitions}


def test_every_topic_says_what_the_broker_must_keep():
    assert set(TOPIC_CONFIGS) == set(Topic)


@pytest.mark.parametrize("topic", [Topic.ORDERS, Topic.DONATIONS])
def test_what_is_stamped_years_ago_is_never_deleted_for_its_age(topic):
    assert TOPIC_CONFIGS[topic]["retention.ms"] == "-1"
    assert TOPIC_CONFIGS[topic]["retention.bytes"] == "-1"


@pytest.mark.parametrize("topic", [Topic.PROJECT_DELTAS, Topic.REJECTED_ORDERS])
def test_what_is_deleted_by_age_is_stamped_by_the_broker(topic):
    assert TOPIC_CONFIGS[topic]["message.timestamp.type"] == "LogAppendTime"
    assert int(TOPIC_CONFIGS[topic]["retention.ms"]) > 0


@pytest.mark.parametrize("topic", [Topic.PROJECT_TOTALS, Topic.PROJECTS, Topic.LEDGER_CHECKPOINTS])
def test_what_is_upserted_is_compacted_and_not_deleted(topic):
    assert TOPIC_CONFIGS[topic]["cleanup.policy"] == "compact"


def test_what_may_be_refused_fits_whole_into_the_topic_of_the_refused():
    largest = int(TOPIC_CONFIGS[Topic.ORDERS]["max.message.bytes"])
    assert largest > limits.ORDER_MAX_BYTES
    assert int(TOPIC_CONFIGS[Topic.REJECTED_ORDERS]["max.message.bytes"]) > largest
