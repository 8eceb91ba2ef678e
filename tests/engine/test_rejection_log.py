"""Refused orders in the log: a line at once, then one a minute, and none forgotten."""

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from schemas.rejection import Reason, Rejection, encode_rejection
from streams.engine import limits
from streams.engine.rejection_log import RejectionLog
from streams.engine.stage import Output
from tests.kafka.workers import wait_until_async

TOPIC = "rejected-orders"


def refused(tp: TopicPartition, **orders: int) -> Output:
    """What a commit writes that refuses so many orders for each reason."""
    output = Output()
    for name, count in orders.items():
        rejection = Rejection(Reason[name], "detail", tp.topic, tp.partition, 0, 1)
        for _ in range(count):
            output.add(TOPIC, tp.partition, (b"key", b"value", None, encode_rejection(rejection)))
    return output


def told(lines):
    return [(line["partition"], line["reason"], line["orders"]) for line in lines]


async def test_the_first_refused_order_of_a_reason_and_partition_has_its_line_at_once():
    log = RejectionLog(TOPIC)
    with capture_logs() as lines:
        log.note(TopicPartition("orders", 0), refused(TopicPartition("orders", 0), INVALID=3, NOT_JSON=1))
        log.note(TopicPartition("orders", 1), refused(TopicPartition("orders", 1), INVALID=1))
    assert sorted(told(lines)) == [(0, "invalid", 3), (0, "not-json", 1), (1, "invalid", 1)]
    assert {line["log_level"] for line in lines} == {"warning"}


async def test_more_within_a_minute_wait_and_are_told_in_one_line(monkeypatch):
    monkeypatch.setattr(limits, "REFUSED_LINE_EVERY_S", 0.2)
    log, tp = RejectionLog(TOPIC), TopicPartition("orders", 0)
    with capture_logs() as lines:
        for _ in range(5):
            log.note(tp, refused(tp, INVALID=2))
        assert told(lines) == [(0, "invalid", 2)]
        await wait_until_async(lambda: len(lines) == 2)
    assert told(lines) == [(0, "invalid", 2), (0, "invalid", 8)]


async def test_after_a_minute_without_any_the_next_one_has_its_line_at_once(monkeypatch):
    monkeypatch.setattr(limits, "REFUSED_LINE_EVERY_S", 0.05)
    log, tp = RejectionLog(TOPIC), TopicPartition("orders", 0)
    with capture_logs() as lines:
        log.note(tp, refused(tp, INVALID=1))
        await wait_until_async(lambda: log._summaries[tp, "invalid"].next_line is None)
        monkeypatch.setattr(limits, "REFUSED_LINE_EVERY_S", 3600)
        log.note(tp, refused(tp, INVALID=1))
        assert told(lines) == [(0, "invalid", 1), (0, "invalid", 1)]
    log.flush()


async def test_the_end_of_a_worker_tells_what_still_waits():
    log, tp = RejectionLog(TOPIC), TopicPartition("orders", 0)
    with capture_logs() as lines:
        log.note(tp, refused(tp, INVALID=1))
        log.note(tp, refused(tp, INVALID=4))
        log.flush()
        log.flush()
    assert told(lines) == [(0, "invalid", 1), (0, "invalid", 4)]


@pytest.mark.parametrize("output", [Output(), Output({("donations", 0): [(None, b"", None, [])]})])
async def test_a_commit_that_refuses_nothing_has_no_line(output):
    with capture_logs() as lines:
        RejectionLog(TOPIC).note(TopicPartition("orders", 0), output)
    assert lines == []
