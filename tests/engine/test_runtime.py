"""What a runtime tells of its partitions."""

from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition

from streams.agents.split_orders import split_stage
from streams.engine.batches import RecordBatch
from streams.engine.limits import BACKLOG_RECORDS
from streams.engine.runtime import Runtime
from streams.engine.task import PartitionTask, Phase
from streams.metrics import PartitionStanding
from streams.settings import Settings

ORDERS_0 = TopicPartition("orders", 0)


def runtime_of_one(phase: Phase, end: int | None, *, position: int = 0, committed: int = 0) -> Runtime:
    """A runtime with one task, at `position`, whose consumer last saw the partition's `end`."""
    settings = Settings()
    stage = split_stage(settings, 1)
    runtime = Runtime(settings, [stage])
    consumer = SimpleNamespace(last_stable_offset=lambda _tp: end)
    runtime._consumer = SimpleNamespace(_thread=SimpleNamespace(_consumer=consumer))
    task = PartitionTask(settings, stage, 0, runtime._services)
    task.phase, task.position, task.committed = phase, position, committed
    runtime._tasks[ORDERS_0] = task
    return runtime


def standing(phase: Phase, end: int | None, *, position: int = 0, committed: int = 0) -> PartitionStanding:
    (found,) = runtime_of_one(phase, end, position=position, committed=committed).standings()
    return found


def test_lag_is_what_is_not_committed_yet() -> None:
    found = standing(Phase.RUNNING, 150, position=120, committed=100)
    assert (found.is_ready, found.position, found.lag) == (True, 120, 50)


def test_markers_behind_the_last_record_are_no_lag() -> None:
    assert standing(Phase.RUNNING, 103, position=103, committed=100).lag == 0


def test_an_end_that_was_seen_before_the_commit_gives_no_lag_below_zero() -> None:
    assert standing(Phase.RUNNING, 90, position=100, committed=100).lag == 0


def test_lag_is_unknown_until_the_end_was_seen() -> None:
    expected = PartitionStanding("orders", 0, is_ready=True, position=100, lag=None)
    assert standing(Phase.RUNNING, None, position=100, committed=100) == expected


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.RUNNING])
def test_nothing_but_its_name_is_known_of_a_partition_that_is_not_ready(phase: Phase) -> None:
    assert standing(phase, 150, position=120, committed=100) == PartitionStanding("orders", 0, is_ready=False)


def test_a_batch_that_waits_its_turn_is_no_backlog() -> None:
    runtime = runtime_of_one(Phase.RUNNING, 700, position=100)
    runtime.accept(RecordBatch(ORDERS_0, 100, 400, []))
    assert not runtime._has_backlog()


def test_a_partition_far_from_its_end_is_a_backlog() -> None:
    assert runtime_of_one(Phase.RUNNING, 100 + BACKLOG_RECORDS + 1, position=100)._has_backlog()
    assert not runtime_of_one(Phase.RUNNING, 100 + BACKLOG_RECORDS, position=100)._has_backlog()


def test_there_is_no_backlog_while_the_end_is_not_known_or_the_partition_not_ready() -> None:
    assert not runtime_of_one(Phase.RUNNING, None)._has_backlog()
    assert not runtime_of_one(Phase.RESTORING, 10 * BACKLOG_RECORDS)._has_backlog()


def test_a_worker_is_not_ready_before_its_first_assignment() -> None:
    assert Runtime(Settings(), []).not_ready() == ["the group has assigned nothing yet"]


@pytest.mark.parametrize("phase", Phase)
def test_a_worker_is_ready_when_all_that_it_was_assigned_is_restored(phase: Phase) -> None:
    runtime = runtime_of_one(phase, 100)
    runtime._generation = 1
    assert runtime.not_ready() == ([] if phase is Phase.RUNNING else [f"orders-0 is {phase.value}"])


async def test_a_worker_that_was_assigned_nothing_is_ready_until_it_ends() -> None:
    runtime = Runtime(Settings(), [])
    await runtime.assign(None, set(), 1)
    assert runtime.not_ready() == []
    await runtime.finish()
    assert runtime.not_ready() == ["the worker is ending"]


def test_who_has_nothing_to_do_is_noted_as_caught_up() -> None:
    runtime = runtime_of_one(Phase.RUNNING, 100, position=100, committed=100)
    (task,) = runtime.tasks
    before = task.lag_s
    assert runtime.unfinished() == {}
    assert task.lag_s < before
    assert task.lag_s < 30


@pytest.mark.parametrize(("phase", "end"), [(Phase.RUNNING, 101), (Phase.RUNNING, None), (Phase.RESTORING, 100)])
def test_who_has_something_to_do_or_may_have_is_not(phase: Phase, end: int | None) -> None:
    runtime = runtime_of_one(phase, end, position=100, committed=100)
    (task,) = runtime.tasks
    runtime.unfinished()
    assert task.lag_s > 10**9, "since the epoch: nothing is known"
