"""Connections: how many there may be, what each may send, how long it may take, and what it is told that goes past it.

Of every port that strangers may reach: that of `everycent serve`, and a witness's. aiohttp reads the requests. What it
would answer by itself, as text and with a traceback in the log, goes out as that port's own refusals, since anybody may
send anything. A connection that sends no whole request, or takes no answer, is closed after a while. Nothing survives.
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError, LineTooLong

logger = structlog.get_logger(__name__)

LINE_MAX_BYTES = 8_190  # of one header line
FILES_KEPT_FREE = 128  # of those that a process may open: its own, the broker, what is imported late
FILES_MAX = 1_048_576  # where the system names no limit
SHOWN_MAX_CHARACTERS = 100  # of what a stranger sent, in a log line or a refusal
STOP_TIMEOUT_S = 5.0  # how long open requests may take at the end


@dataclass(frozen=True, slots=True)
class Terms:
    """What a port asks of whoever connects to it."""

    connections_max: int
    request_max_bytes: int
    """Of a whole request; held for each connection until it is whole."""
    idle_s: float
    """After so long a connection that sends no whole request is closed."""
    stuck_s: float
    """... and one that doesn't take its answer."""
    refusal: Callable[[int, str], web.Response]
    """A refusal with this status and reason as the port writes them, with all of its headers."""
    too_few_files: str
    """Told where the system allows fewer connections than that."""


class Room:
    """How many connections there are, and may be; `max_connections` leaves files for what else the process does."""

    def __init__(self, terms: Terms) -> None:
        allowed = raise_file_limit()
        wanted = terms.connections_max
        self.max_connections = min(wanted, max(1, allowed - FILES_KEPT_FREE))
        self.taken = 0
        self._told = False
        if self.max_connections < wanted:
            logger.warning(terms.too_few_files, files=allowed, connections=self.max_connections)

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
    return hard if hard != resource.RLIM_INFINITY else FILES_MAX


class Connection(web.RequestHandler):
    """One connection, as aiohttp has it, within our limits."""

    __slots__ = ("_has_room", "_room", "_terms", "_unread_bytes")

    def __init__(self, manager: web.Server, room: Room, terms: Terms, **options: Any) -> None:
        super().__init__(manager, **options)
        self._room = room
        self._terms = terms
        self._has_room = False
        self._unread_bytes = 0  # come since the last whole request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._has_room = self._room.take()
        if self._has_room:
            super().connection_made(transport)
            return
        assert isinstance(transport, asyncio.Transport)
        self._force_close = True  # what it sends is not looked at
        transport.write(_raw(self._terms.refusal(503, "there are as many connections as may be")))
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
        if self._unread_bytes <= self._terms.request_max_bytes or self._force_close or self.transport is None:
            return
        if not self._request_in_progress:  # or it would stand amid an answer
            why = f"a request is over {self._terms.request_max_bytes:,} bytes"
            self.transport.write(_raw(self._terms.refusal(431, why)))
        self.force_close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """The answer as it goes out; one that isn't taken is given up."""
        if isinstance(resp, web.HTTPException):  # of aiohttp's own, or that a handler has raised
            allowed = resp.headers.get("Allow")
            resp = self._terms.refusal(resp.status, resp.reason)
            if allowed is not None:
                resp.headers["Allow"] = allowed
        transport = self.transport
        try:
            async with asyncio.timeout(self._terms.stuck_s):
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
        logger.debug("a request that isn't HTTP", peer=request.remote, error=str(message)[:SHOWN_MAX_CHARACTERS])
        answer = self._terms.refusal(status, _why(exc, message))
        answer.force_close()
        return answer


def _why(error: BaseException | None, message: str | None) -> str:
    if isinstance(error, LineTooLong):
        return f"a line of the request is over {LINE_MAX_BYTES:,} bytes"
    if isinstance(error, InvalidURLError):
        return "the address is none"
    return f"the request isn't HTTP: {(message or '').partition(':')[0][:SHOWN_MAX_CHARACTERS]}"


def _raw(answer: web.Response) -> bytes:
    """An answer as bytes, where there is no request to answer."""
    assert isinstance(answer.body, bytes)
    fields = {**answer.headers, "Content-Length": str(len(answer.body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {answer.status} {answer.reason}\r\n{head}\r\n".encode() + answer.body


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int, terms: Terms) -> AsyncIterator[int]:
    """Take connections for as long as the block lasts; the port. Raises OSError, UnicodeError: that can't be had."""
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=terms.idle_s, shutdown_timeout=STOP_TIMEOUT_S)
    await runner.setup()
    server, room, loop = runner.server, Room(terms), asyncio.get_running_loop()
    assert server is not None

    def connection() -> Connection:
        return Connection(
            server,
            room,
            terms,
            loop=loop,
            access_log=None,
            keepalive_timeout=terms.idle_s,
            max_line_size=LINE_MAX_BYTES,
            max_field_size=LINE_MAX_BYTES,
            auto_decompress=False,  # nobody asks for packed bodies, so nobody needs to unpack one
        )

    try:
        listener = await loop.create_server(connection, host, port, backlog=1_024)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
    finally:
        await runner.cleanup()
