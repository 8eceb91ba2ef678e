"""Connections: how many there may be, what each may send, how long it may take, and what it is told that goes past it.

aiohttp reads the requests. What it would answer by itself, as text and with a traceback in the log, goes out as the
API's own refusals, since anybody may send anything. A connection that sends no whole request, or takes no answer, is
closed after a while. Nothing survives.
"""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError, LineTooLong

from streams.serve import limits
from streams.serve.http import SAME_ORIGIN, SECURITY_HEADERS, problem

logger = structlog.get_logger(__name__)


class Room:
    """How many connections there are, and may be; `max_connections` leaves files for the index and the broker."""

    def __init__(self, watchers_max: int) -> None:
        allowed = raise_file_limit()
        wanted = watchers_max + limits.CONNECTIONS_BESIDE_WATCHERS
        self.max_connections = min(wanted, max(1, allowed - limits.FILES_KEPT_FREE))
        self.taken = 0
        self._told = False
        if self.max_connections < wanted:
            logger.warning(
                "this process may open too few files for EVERYCENT_SERVE_WATCHERS_MAX (ulimit -n)",
                files=allowed,
                connections=self.max_connections,
            )

    def take(self) -> bool:
        """False: there is none left. The log has one line for as long as it stays so."""
        if self.taken >= self.max_connections:
            if not self._told:
                logger.warning("connections are refused: there are as many as may be", connections=self.taken)
            self._told = True
            return False
        self.taken += 1
        return True

    def give_back(self) -> None:
        self.taken -= 1
        self._told = self._told and self.taken > self.max_connections * 0.9


def raise_file_limit() -> int:
    """Ask for as many open files as we may have; how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else limits.FILES_MAX


class Connection(web.RequestHandler):
    """One connection, as aiohttp has it, within our limits."""

    __slots__ = ("_has_room", "_room", "_unread_bytes")

    def __init__(self, manager: web.Server, room: Room, **options: Any) -> None:
        super().__init__(manager, **options)
        self._room = room
        self._has_room = False
        self._unread_bytes = 0  # come since the last whole request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._has_room = self._room.take()
        if self._has_room:
            super().connection_made(transport)
            return
        assert isinstance(transport, asyncio.Transport)
        self._force_close = True  # what it sends is not looked at
        transport.write(_raw(problem(503, "there are as many connections as may be")))
        transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._has_room:
            self._has_room = False
            self._room.give_back()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        self._unread_bytes = 0 if self._request_count != before else self._unread_bytes + len(data)
        if self._unread_bytes <= limits.REQUEST_MAX_BYTES or self._force_close or self.transport is None:
            return
        if not self._request_in_progress:  # or it would stand amid an answer
            self.transport.write(_raw(problem(431, f"a request is over {limits.REQUEST_MAX_BYTES:,} bytes")))
        self.force_close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """The answer as it goes out; one that isn't taken is given up."""
        if isinstance(resp, web.HTTPException):  # of aiohttp's own, from before our handlers were asked
            resp = problem(resp.status, resp.reason)
        transport = self.transport
        try:
            async with asyncio.timeout(limits.WATCHER_STUCK_S):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            if isinstance(transport, asyncio.Transport):
                transport.abort()
            return resp, True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What isn't HTTP is refused as anything else is; only what is our own fault is logged with its traceback."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        logger.debug(
            "a request that isn't HTTP", peer=request.remote, error=str(message)[: limits.SHOWN_MAX_CHARACTERS]
        )
        answer = problem(status, _why(exc, message))
        answer.headers.update({**SECURITY_HEADERS, **SAME_ORIGIN})
        answer.force_close()
        return answer


def _why(error: BaseException | None, message: str | None) -> str:
    if isinstance(error, LineTooLong):
        return f"a line of the request is over {limits.HEADERS_MAX_BYTES:,} bytes"
    if isinstance(error, InvalidURLError):
        return "the address is none"
    return f"the request isn't HTTP: {(message or '').partition(':')[0][: limits.SHOWN_MAX_CHARACTERS]}"


def _raw(answer: web.Response) -> bytes:
    """An answer as bytes, where there is no request to answer."""
    assert isinstance(answer.body, bytes)
    fields = {**answer.headers, **SECURITY_HEADERS, **SAME_ORIGIN}
    fields |= {"Content-Length": str(len(answer.body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {answer.status} {answer.reason}\r\n{head}\r\n".encode() + answer.body


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int, watchers_max: int) -> AsyncIterator[int]:
    """Take connections for as long as the block lasts; the port. Raises OSError, UnicodeError: that can't be had."""
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=limits.IDLE_CONNECTION_S,
        shutdown_timeout=limits.STOP_TIMEOUT_S,
    )
    await runner.setup()
    server, room, loop = runner.server, Room(watchers_max), asyncio.get_running_loop()
    assert server is not None

    def connection() -> Connection:
        return Connection(
            server,
            room,
            loop=loop,
            access_log=None,
            keepalive_timeout=limits.IDLE_CONNECTION_S,
            max_line_size=limits.HEADERS_MAX_BYTES,
            max_field_size=limits.HEADERS_MAX_BYTES,
            auto_decompress=False,  # nobody reads a body, so nobody needs to unpack one
        )

    try:
        listener = await loop.create_server(connection, host, port, backlog=1_024)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
    finally:
        await runner.cleanup()
