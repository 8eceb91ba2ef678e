"""HTTP: the API, the events and the page's files. Handlers only translate; what is answered is the state's business.

Read-only: GET and HEAD, no body, no cookie, no log-in. Every answer bears the security headers.
"""

import asyncio
import hashlib
import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
import orjson
import structlog
from aiohttp import ETag, web
from aiohttp.web import ContentCoding

from schemas.limits import EVENT_TIME_MAX_MS
from streams.serve import limits
from streams.serve.answers import Problem
from streams.serve.aside import Aside
from streams.serve.hub import OVERVIEW, Hub, Seen
from streams.serve.openapi import openapi_document
from streams.serve.page_files import FILES_PATH, PAGE_PATHS, PageFile, page_files
from streams.serve.routes import BASE, OPENAPI_PATH, ROUTES, STREAM_PATH, STREAM_QUESTION, Route
from streams.serve.state import NotFoundError, State

logger = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
SAME_ORIGIN = {"Cross-Origin-Resource-Policy": "same-origin"}
AS_OF_HEADER = "As-Of-Ms"
_JSON = "application/json"
_ZERO_WEIGHT = re.compile(r"q\s*=\s*0(\.0*)?", re.IGNORECASE)


@dataclass(slots=True)
class Service:
    """What the handlers share."""

    state: State
    hub: Hub
    clock_ms: Callable[[], int]
    watchers_max: int
    cors_origins: frozenset[str] = frozenset()
    watching: set[asyncio.Task[Any]] = field(default_factory=set)
    aside: Aside = field(default_factory=Aside)


SERVICE = web.AppKey("service", Service)
PAGE = web.AppKey("page", PageFile)


def make_app(service: Service) -> web.Application:
    """The application, with every path that it has."""
    app = web.Application(middlewares=[_answer_problems], client_max_size=1_024)
    app[SERVICE] = service
    app.on_response_prepare.append(_add_headers)
    app.on_shutdown.append(_end_watching)
    app.on_cleanup.append(_end_aside)
    for route in ROUTES:
        app.router.add_get(f"{BASE}{route.path}", _api_handler(route))
    app.router.add_get(STREAM_PATH, _stream, allow_head=False)
    document = orjson.dumps(openapi_document())
    app.router.add_get(OPENAPI_PATH, _fixed(PageFile(document, b"", _JSON, _tag(document))))
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    files = page_files()
    app[PAGE] = files["index.html"]
    for path in PAGE_PATHS:
        app.router.add_get(path, _fixed(app[PAGE]))
    for name, file in files.items():
        app.router.add_get(f"{FILES_PATH}{name}", _fixed(file))
    return app


# Around every request


@web.middleware
async def _answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals as JSON; what is our own fault is logged, and told without its traceback."""
    try:
        if len(request.raw_path) > limits.QUERY_MAX_BYTES:
            return problem(414, "the address is too long")
        return await handler(request)
    except NotFoundError as error:
        return problem(404, str(error))
    except web.HTTPException as error:
        if error.status == 404 and _asks_for_page(request):
            page = request.app[PAGE]
            headers = {"Content-Type": page.content_type, "Cache-Control": "no-store"}
            return web.Response(body=page.content, status=404, headers=headers)
        found = problem(error.status, f"{error.reason}: {request.method} {request.path}")
        if "Allow" in error.headers:
            found.headers["Allow"] = error.headers["Allow"]
        return found
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        logger.exception("a request failed", path=request.path)
        return problem(500, "this server met an error of its own; its log says which")


def _asks_for_page(request: web.Request) -> bool:
    """Whether it is a person at a browser's address line, to whom the page says that there is nothing there."""
    return "text/html" in request.headers.get("Accept", "") and not request.path.startswith(f"{BASE}/")


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if response.status >= HTTPStatus.BAD_REQUEST:  # a file that went meanwhile, or a range that it hasn't
        response.headers["Cache-Control"] = "no-store"
    service = request.app[SERVICE]
    origin = request.headers.get("Origin")
    is_api = request.path.startswith(f"{BASE}/")
    if service.cors_origins and is_api:
        varies = response.headers.get("Vary")
        response.headers["Vary"] = f"{varies}, Origin" if varies else "Origin"
    if is_api and origin in service.cors_origins:
        response.headers["Access-Control-Allow-Origin"] = str(origin)
        response.headers["Access-Control-Expose-Headers"] = f"ETag, {AS_OF_HEADER}"
    else:
        response.headers.update(SAME_ORIGIN)


def problem(status: int, text: str, state: State | None = None) -> web.Response:
    """A refusal, in the form that all have."""
    body = msgspec.json.encode(Problem(text, state.rebuilding if state else None))
    headers = {"Cache-Control": "no-store"}
    if status == 503:
        headers["Retry-After"] = "1"
    return web.Response(body=body, status=status, content_type=_JSON, headers=headers)


# The API


def _api_handler(route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        service = request.app[SERVICE]
        question = _question(request, route.question)
        if isinstance(question, web.Response):
            return question
        if route.needs_figures and not service.state.is_live:
            return problem(503, "the totals are being read back after a start", service.state)
        make = partial(route.answer, service.state, question, service.clock_ms())
        answer = await service.aside.make(make) if route.is_slow else make()
        if answer is None:
            return problem(503, "too many searches just now")
        return _answer(request, answer, service.state.freshness.as_of_ms)

    return handle


def _question(request: web.Request, shape: type[msgspec.Struct]) -> Any:
    """The parameters; or the refusal."""
    if len(set(request.query)) < len(request.query):
        return problem(400, "a parameter stands twice")
    try:
        return msgspec.convert(dict(request.query), shape, strict=False)
    except msgspec.ValidationError as error:
        return problem(400, str(error))


def _answer(request: web.Request, answer: msgspec.Struct, as_of_ms: int | None) -> web.Response:
    """JSON with a weak ETag: of all but `status`, which changes by itself; so As-Of-Ms says it beside a 304 as well."""
    body = msgspec.json.encode(answer)
    status = getattr(answer, "status", None)
    tag = _tag(body if status is None else body.replace(msgspec.json.encode(status), b"", 1))
    headers = {"Cache-Control": "no-cache", "ETag": f'W/"{tag}"', "Vary": "Accept-Encoding"}
    if as_of_ms is not None:
        headers[AS_OF_HEADER] = str(as_of_ms)
    if _has_tag(request, tag):
        return web.Response(status=304, headers=headers)
    response = web.Response(body=body, content_type=_JSON, headers=headers)
    if takes_gzip(request):
        response.enable_compression(ContentCoding.gzip)
    return response


def _tag(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=12).hexdigest()


def _has_tag(request: web.Request, tag: str) -> bool:
    try:
        given: tuple[ETag, ...] = request.if_none_match or ()
    except ValueError:
        return False
    return any(each.value in {tag, "*"} for each in given)


def _fixed(file: PageFile) -> Handler:
    """A file that stays the same for as long as the server runs."""

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {"Cache-Control": "no-cache", "ETag": f'"{file.etag}"', "Vary": "Accept-Encoding"}
        if _has_tag(request, file.etag):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.content_type
        if file.packed and takes_gzip(request):
            return web.Response(body=file.packed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=file.content, headers=headers)

    return handle


def takes_gzip(request: web.Request) -> bool:
    """Whether it names gzip, and not with the weight 0, which says: not that (RFC 9110, 12.5.3)."""
    for each in request.headers.get("Accept-Encoding", "").split(","):
        name, _, weight = each.partition(";")
        if name.strip().lower() == "gzip":
            return _ZERO_WEIGHT.fullmatch(weight.strip()) is None
    return False


async def _healthz(_: web.Request) -> web.StreamResponse:
    """It runs."""
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.StreamResponse:
    """It has read everything back and the broker answers."""
    state = request.app[SERVICE].state
    if state.is_live and state.broker_answers:
        return web.Response(text="ready\n")
    why = "the broker doesn't answer" if state.is_live else "the totals are being read back after a start"
    return problem(503, why, state)


# Events


async def _stream(request: web.Request) -> web.StreamResponse:
    service = request.app[SERVICE]
    question = _question(request, STREAM_QUESTION)
    if isinstance(question, web.Response):
        return question
    if service.hub.watchers >= service.watchers_max:
        return problem(503, f"{service.watchers_max} watch already, and no more may")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    channel = OVERVIEW if question.project is None else question.project
    task = asyncio.current_task()
    assert task is not None
    service.watching.add(task)
    service.hub.watch(channel)
    try:
        await response.prepare(request)
        with suppress(ConnectionError):
            await _send_events(request, response, service.hub, channel)
    finally:
        service.hub.leave(channel)
        service.watching.discard(task)
    return response


async def _send_events(request: web.Request, response: web.StreamResponse, hub: Hub, channel: str) -> None:
    """The newest event whenever the watcher has taken the one before; until it has gone."""
    transport = request.transport
    if transport is None:
        return
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.SEND_BUFFER_BYTES)
    clock_s = asyncio.get_running_loop().time
    seen = Seen(_last_event_id(request), clock_s)
    taken_s = clock_s()
    await response.write(b"retry: 1000\n\n")
    while not transport.is_closing():
        if transport.get_write_buffer_size() == 0:
            await response.write(hub.event_for(channel, seen))
            taken_s = clock_s()
        elif clock_s() - taken_s > limits.WATCHER_STUCK_S:
            transport.abort()
            return
        await hub.next_turn()


def _last_event_id(request: web.Request) -> int:
    text = request.headers.get("Last-Event-ID", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < len(str(EVENT_TIME_MAX_MS)) + 4 else 0


async def _end_watching(app: web.Application) -> None:
    for task in list(app[SERVICE].watching):
        task.cancel()


async def _end_aside(app: web.Application) -> None:
    app[SERVICE].aside.close()
