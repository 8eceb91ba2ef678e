"""A client's line to the cluster: requests that take time, get lost, arrive late, or whose answers get lost.

What a client has sent reaches the cluster whether or not the client still lives or is frozen.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, RequestTimedOutError

from tests.simulation.clock import Killed, Process, VirtualLoop

CLIENT_ERRORS = (RequestTimedOutError, NodeNotReadyError, KafkaConnectionError)


@dataclass(slots=True)
class Weather:
    """How the network does just now: chances for each request. `over`: the run has ended, nobody is answered."""

    trouble: float = 0.0
    slow: float = 0.0
    over: bool = False


class Line:
    """One client's connection, with a chance of its own: no client's moments depend on another one's order."""

    def __init__(self, loop: VirtualLoop, weather: Weather, process: Process, chance: random.Random) -> None:
        self._loop = loop
        self._weather = weather
        self._process = process
        self._chance = chance

    async def ask(self, effect: Callable[[], Any]) -> Any:
        return await self.send(effect)[0]

    def send(self, effect: Callable[[], Any], not_before_s: float = 0.0) -> tuple["asyncio.Future[Any]", float]:
        """Send a request that has `effect` at the cluster; the answer, and when the request arrives at the latest.

        Sent with `not_before_s`, it arrives after that moment: requests of one producer to one partition keep order.
        """
        weather, chance, loop = self._weather, self._chance, self._loop
        if weather.over or self._process.dead:
            raise Killed
        answer = loop.create_future()
        way_s = chance.uniform(0.1, 3.0) if chance.random() < weather.slow else chance.uniform(0.001, 0.02)
        arrives_s = max(loop.time() + way_s, not_before_s)
        if chance.random() < weather.trouble:
            fate = chance.choice(("lost", "unanswered", "late"))
            error = chance.choice(CLIENT_ERRORS)()
            gives_up_s = arrives_s + chance.uniform(0.05, 2.0)
            loop.after(gives_up_s - loop.time(), self._fail, answer, error)
            if fate == "late":
                arrives_s = gives_up_s + chance.uniform(0.0, 3.0)
            if fate != "lost":
                loop.after(arrives_s - loop.time(), self._arrive, effect, None)
            return answer, arrives_s
        loop.after(arrives_s - loop.time(), self._arrive, effect, answer)
        return answer, arrives_s

    def _arrive(self, effect: Callable[[], Any], answer: "asyncio.Future[Any] | None") -> None:
        if self._weather.over:
            self._answer(answer, None, Killed())
            return
        try:
            result = effect()
        except Exception as error:  # noqa: BLE001 - it is the answer
            self._answer(answer, None, error)
            return
        if isinstance(result, asyncio.Future):
            result.add_done_callback(lambda done: self._pass_on(answer, done))
        else:
            self._answer(answer, result, None)

    def _pass_on(self, answer: "asyncio.Future[Any] | None", done: "asyncio.Future[Any]") -> None:
        error = done.exception()
        self._answer(answer, None if error else done.result(), error)

    def _answer(self, answer: "asyncio.Future[Any] | None", result: Any, error: BaseException | None) -> None:
        if answer is not None:
            delay_s = self._chance.uniform(0.001, 0.01)
            if error is not None:
                self._loop.after(delay_s, self._fail, answer, error)
            else:
                self._loop.after(delay_s, self._succeed, answer, result)

    def _succeed(self, answer: "asyncio.Future[Any]", result: Any) -> None:
        if not answer.done():
            answer.set_result(result)

    def _fail(self, answer: "asyncio.Future[Any]", error: BaseException) -> None:
        if not answer.done():
            answer.set_exception(error)
