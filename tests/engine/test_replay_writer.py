"""What a replay says of a transaction that failed."""

import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from schemas.order import OrderCompleted, OrderLine
from streams.domain.replay import Candidate
from streams.engine.replay import ReplayWriter, ignore_replay_step
from streams.errors import UserError
from streams.settings import Settings


class FailingProducer:
    """Takes nothing, and can't even give up."""

    _txn_manager = None

    def __init__(self) -> None:
        self._txn_manager = self

    def is_fatal_error(self) -> bool:
        return False

    async def begin_transaction(self) -> None: ...

    async def send(self, *_: object, **__: object) -> None:
        raise MessageSizeTooLargeError("the first")

    async def abort_transaction(self) -> None:
        raise KafkaConnectionError("the second")


async def test_a_failing_abort_does_not_hide_what_failed_first() -> None:
    writer = ReplayWriter(Settings(), ignore_replay_step)
    await writer.stop()  # what never started needs no broker
    writer._producer = FailingProducer()
    order = OrderCompleted("o1", "b1", "m1", 1, (OrderLine(0, "i1", 100),))
    with pytest.raises(UserError, match="the first"):
        await writer.send([Candidate(order, b"b1", b"{}", 0, "somewhere")])
