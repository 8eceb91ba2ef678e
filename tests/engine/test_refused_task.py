"""A running worker that the broker refuses ends with what it was told; one whose broker is away goes on trying."""

import asyncio

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from faust.types import TP

from streams.engine.runtime import Runtime
from streams.engine.task import Phase, Services
from streams.errors import AccessError, BrokerUnavailableError, ExitStatus, UserError
from streams.settings import Settings
from tests.engine.parts import nothing, open_log
from tests.engine.test_finish import AT_ONCE_S, FOR_EVER_S, Writer, a_runtime, until_phase


class FailingWriter(Writer):
    """Can't start."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__([])
        self._error = error

    async def start(self) -> None:
        raise self._error


async def failing(error: KafkaError, **services: object) -> Runtime:
    runtime = a_runtime(Services(lambda _: FailingWriter(error), open_log, nothing, nothing, **services))
    await runtime.assign(None, {TP("orders", 0)}, 1)
    return runtime


async def refused(_settings: Settings, _error: BaseException) -> UserError:
    return AccessError("the broker refuses the user 'worker'")


async def test_a_password_that_no_longer_opens_the_broker_ends_the_worker_to_be_started_again() -> None:
    runtime = await failing(KafkaConnectionError("Unable to bootstrap"), explain=refused)
    with pytest.raises(AccessError, match="refuses the user 'worker'") as ended:
        await asyncio.wait_for(runtime.wait_failed(), 30)
    assert ended.value.exit_status is ExitStatus.FAILED


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (TopicAuthorizationFailedError("donations"), "a right on the topic 'donations'"),
        (TopicAuthorizationFailedError({"b", "a"}), "a right on the topics 'a', 'b'"),
        (GroupAuthorizationFailedError("everycent"), "a right on the group 'everycent'"),
    ],
)
async def test_a_right_that_is_taken_away_ends_the_worker_with_what_it_was_on(error: KafkaError, named: str) -> None:
    runtime = await failing(error)
    with pytest.raises(AccessError) as ended:
        await asyncio.wait_for(runtime.wait_failed(), 30)
    assert named in str(ended.value)
    assert ended.value.exit_status is ExitStatus.FAILED


async def test_a_broker_that_is_away_is_waited_for() -> None:
    asked = asyncio.Event()

    async def away(_settings: Settings, _error: BaseException) -> UserError:
        asked.set()
        return BrokerUnavailableError("nobody answers")

    runtime = await failing(KafkaConnectionError("Unable to bootstrap"), explain=away)
    await asyncio.wait_for(asked.wait(), 30)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(runtime.wait_failed(), 0.3)
    await runtime.finish()


async def test_a_stop_does_not_wait_for_what_the_broker_has_to_say() -> None:
    async def silent(_settings: Settings, _error: BaseException) -> UserError:
        await asyncio.sleep(FOR_EVER_S)
        raise AssertionError

    runtime = await failing(KafkaConnectionError("Unable to bootstrap"), explain=silent)
    await asyncio.sleep(0.01)
    await until_phase(runtime, Phase.PAUSING)
    async with asyncio.timeout(AT_ONCE_S):
        await runtime.finish()
    assert runtime.tasks == []
