"""A proxy between workers and the broker that holds back, alters or swallows answers, or cuts the line before them.

It understands of Kafka's protocol only what every request and answer begins with: the length, the request's kind, and
the number that an answer shares with its request. It runs in a thread of its own, so tests may block.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from io import BytesIO
from typing import Any, Self

from aiokafka.protocol import metadata, produce
from aiokafka.protocol.api import Response


class Api(IntEnum):
    """The kinds of request that faults are made for."""

    PRODUCE = 0
    FETCH = 1
    METADATA = 3
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class Cut(Exception):  # noqa: N818 - not an error: what a fault wants
    """The line is cut and the answer lost, after the broker has done what was asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer on its way: of what kind and version, and its bytes from the number on."""

    api: int
    version: int
    payload: bytes


_RESPONSES = {
    (response.API_KEY, response.API_VERSION): response
    for module in (produce, metadata)
    for response in vars(module).values()
    if isinstance(response, type) and issubclass(response, Response) and hasattr(response, "API_VERSION")
}

# What becomes of an answer: the bytes that the client gets, after as long as it takes; or raise Cut.
Fault = Callable[[Answer], Awaitable[bytes]]


def late(seconds: float) -> Fault:
    """The answer comes so much later, and all others of its connection behind it."""

    async def fault(answer: Answer) -> bytes:
        await asyncio.sleep(seconds)
        return answer.payload

    return fault


async def lost(_answer: Answer) -> bytes:
    """The connection breaks instead of the answer."""
    raise Cut


async def never(_answer: Answer) -> bytes:
    """The connection stays open, and nothing comes any more."""
    await asyncio.Event().wait()
    raise AssertionError


def altered(change: Callable[[Any], Any]) -> Fault:
    """The answer with `change(its topics)` for its topics: lists of tuples, as aiokafka reads them."""

    async def fault(answer: Answer) -> bytes:
        response = _RESPONSES[answer.api, answer.version]
        read = response.decode(BytesIO(answer.payload[4:]))
        read.topics = change(read.topics)
        return answer.payload[:4] + bytes(read.encode())

    return fault


@dataclass
class _Plan:
    """A fault for some answers of a kind: those for which `strikes` says so, by their number from 0."""

    fault: Fault
    strikes: Callable[[int], bool]
    seen: int = 0
    struck: int = 0


@dataclass
class KafkaProxy:
    """Listens at a port of its own and passes everything to the broker's. Used as a context manager."""

    listen_port: int
    broker_port: int
    plans: dict[Api, _Plan] = field(default_factory=dict)

    def set(self, api: Api, fault: Fault, strikes: Callable[[int], bool] = lambda _: True) -> None:
        """From now on `fault` befalls the answers of that kind for which `strikes(number from 0)` holds."""
        self.plans[api] = _Plan(fault, strikes)

    def clear(self) -> dict[Api, int]:
        """No more faults; how many answers of each kind were struck. What is held back stays so."""
        struck = {api: plan.struck for api, plan in self.plans.items()}
        self.plans = {}
        return struck

    def cut_all(self) -> None:
        """Cut every connection."""
        self._call(self._cut_all())

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._connections: set[asyncio.Task[None]] = set()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", self.listen_port))
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self._call(self._cut_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _cut_all(self) -> None:
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        broker_out = None
        try:
            broker_in, broker_out = await asyncio.open_connection("127.0.0.1", self.broker_port, limit=2**24)
            asked: dict[bytes, tuple[int, int]] = {}  # by number: kind and version of what has no answer yet
            directions = [
                asyncio.ensure_future(self._pass_requests(client_in, broker_out, asked)),
                asyncio.ensure_future(self._pass_answers(broker_in, client_out, asked)),
            ]
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                await asyncio.gather(*directions, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the broker is away, or the test cuts the line
        finally:
            self._connections.discard(task)
            for writer in (client_out, broker_out):
                if writer is not None:
                    writer.close()

    async def _pass_requests(
        self, client: asyncio.StreamReader, broker: asyncio.StreamWriter, asked: dict[bytes, tuple[int, int]]
    ) -> None:
        while True:
            request = await _read_frame(client)
            asked[request[4:8]] = (int.from_bytes(request[:2]), int.from_bytes(request[2:4]))
            await _write_frame(broker, request)

    async def _pass_answers(
        self, broker: asyncio.StreamReader, client: asyncio.StreamWriter, asked: dict[bytes, tuple[int, int]]
    ) -> None:
        with suppress(Cut):
            while True:
                payload = await _read_frame(broker)
                answer = Answer(*asked.pop(payload[:4]), payload)
                plan = self.plans.get(answer.api)
                if plan is not None:
                    number, plan.seen = plan.seen, plan.seen + 1
                    if plan.strikes(number):
                        plan.struck += 1
                        payload = await plan.fault(answer)
                await _write_frame(client, payload)


async def _read_frame(stream: asyncio.StreamReader) -> bytes:
    return await stream.readexactly(int.from_bytes(await stream.readexactly(4)))


async def _write_frame(stream: asyncio.StreamWriter, payload: bytes) -> None:
    stream.write(len(payload).to_bytes(4) + payload)
    await stream.drain()
