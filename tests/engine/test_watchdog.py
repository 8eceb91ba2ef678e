"""The watchdog: a worker never hangs."""

import asyncio
import threading

from aiokafka import TopicPartition

from streams.engine.watchdog import Watchdog
from streams.errors import ExitStatus

ORDERS_0 = TopicPartition("orders", 0)
ORDERS_1 = TopicPartition("orders", 1)


class Worker:
    """What the watchdog sees of one, tick by tick."""

    def __init__(self, limit_ticks: int = 3) -> None:
        self.unfinished: dict[TopicPartition, object] = {}
        self.ended: list[str] = []
        self.statuses: list[ExitStatus] = []
        self.watchdog = Watchdog(lambda: self.unfinished, limit_ticks, self.end)

    def end(self, message: str, status: ExitStatus) -> None:
        self.ended.append(message)
        self.statuses.append(status)

    def tick(self, times: int = 1, *, loop_turns: bool = True) -> None:
        for _ in range(times):
            if loop_turns:
                self.watchdog.loop_turned()
            self.watchdog.tick()


def test_a_partition_that_stands_still_ends_the_process_and_is_named() -> None:
    worker = Worker()
    worker.unfinished = {ORDERS_0: ("running", 7), ORDERS_1: ("running", 7)}
    for position in range(4):
        worker.unfinished[ORDERS_1] = ("running", position)
        worker.tick()
    assert worker.ended == []
    worker.tick()
    assert len(worker.ended) == 1
    assert "orders-0 has work and made no progress for 3 s" in worker.ended[0]


def test_progress_of_any_kind_is_enough() -> None:
    worker = Worker()
    for position in range(20):
        worker.unfinished = {ORDERS_0: ("running", position // 3)}
        worker.tick()
    assert worker.ended == []


def test_a_partition_with_nothing_to_do_may_stand_for_ever() -> None:
    worker = Worker()
    worker.tick(100)
    assert worker.ended == []


def test_standing_still_is_counted_anew_after_there_was_nothing_to_do() -> None:
    worker = Worker()
    for _ in range(10):
        worker.unfinished = {ORDERS_0: ("running", 7)}
        worker.tick(3)
        worker.unfinished = {}
        worker.tick()
    assert worker.ended == []


def test_an_event_loop_that_does_not_turn_ends_the_process() -> None:
    worker = Worker()
    worker.tick(3, loop_turns=False)
    assert worker.ended == []
    worker.tick(loop_turns=False)
    assert "event loop has not turned" in worker.ended[0]
    assert worker.statuses == [ExitStatus.FAILED]


def test_what_stands_still_is_told_before_it_ends_the_process() -> None:
    worker = Worker(limit_ticks=6)
    worker.unfinished = {ORDERS_0: ("running", 7)}
    worker.tick(3)
    assert worker.watchdog.stalls(3) == []
    worker.tick(2, loop_turns=False)
    assert worker.watchdog.stalls(3) == ["orders-0 has work and made no progress for 3 s (('running', 7))"]
    worker.tick(2, loop_turns=False)
    assert worker.watchdog.stalls(3)[0] == "the event loop has not turned for 4 s"
    assert worker.ended == []
    worker.unfinished = {ORDERS_0: ("running", 8)}
    worker.tick()
    assert worker.watchdog.stalls(3) == []


def test_an_end_that_hangs_is_ended_with_its_own_message_and_status() -> None:
    worker = Worker()
    worker.tick(5)
    worker.watchdog.end_within(4, "asked to end", ExitStatus.OK)
    worker.tick(4)
    assert worker.ended == []
    worker.tick()
    assert (worker.ended, worker.statuses) == (["asked to end"], [ExitStatus.OK])


def test_of_several_limits_of_an_end_the_first_to_pass_counts() -> None:
    worker = Worker()
    worker.watchdog.end_within(10, "all of it", ExitStatus.FAILED)
    worker.tick(2)
    worker.watchdog.end_within(3, "its last part", ExitStatus.OK)
    worker.tick(4)
    assert worker.ended == ["its last part"]
    worker = Worker()
    worker.watchdog.end_within(3, "all of it", ExitStatus.FAILED)
    worker.tick(2)
    worker.watchdog.end_within(10, "its last part", ExitStatus.OK)
    worker.tick(2)
    assert worker.ended == ["all of it"]


def test_standing_still_is_not_judged_while_the_worker_ends() -> None:
    worker = Worker()
    worker.watchdog.end_within(50, "asked to end", ExitStatus.OK)
    worker.unfinished = {ORDERS_0: ("running", 7)}
    worker.tick(20, loop_turns=False)
    assert worker.ended == []


async def test_it_watches_until_the_loop_is_closed() -> None:
    loop = asyncio.new_event_loop()
    before = threading.active_count()
    Watchdog(dict, 10, lambda *_: None).start(loop)
    assert threading.active_count() == before + 1
    loop.close()
    async with asyncio.timeout(30):
        while threading.active_count() > before:  # noqa: ASYNC110 - a thread tells nobody
            await asyncio.sleep(0.05)
