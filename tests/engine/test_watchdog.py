"""The watchdog: a worker never hangs."""

from aiokafka import TopicPartition

from streams.engine.watchdog import Watchdog

ORDERS_0 = TopicPartition("orders", 0)
ORDERS_1 = TopicPartition("orders", 1)


class Worker:
    """What the watchdog sees of one, tick by tick."""

    def __init__(self, limit_ticks: int = 3) -> None:
        self.unfinished: dict[TopicPartition, object] = {}
        self.ended: list[str] = []
        self.watchdog = Watchdog(lambda: self.unfinished, limit_ticks, self.ended.append)

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
