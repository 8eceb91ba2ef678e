"""The worker's port: its metrics for Prometheus, and whether it is alive and ready, for whoever supervises it.

`/metrics`, `/healthz` and `/readyz`. The last two answer 200 with `{"status":"ok"}`, or 503 with the problems, in words
for a person. They are answered in the server's own threads, so also while the event loop stands.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from socket import SHUT_RDWR
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = structlog.get_logger(__name__)

PAGES = ("/metrics", "/healthz", "/readyz")
ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - Prometheus asks from another container or machine
REQUEST_TIMEOUT_S = 10  # a client that says nothing holds a thread no longer
REQUESTS_MAX = 32  # at a time: a Prometheus and some probes

Problems = Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Probes:
    """What is wrong, in words for a person; nothing when all is well. Called from the server's threads."""

    health: Problems
    readiness: Problems


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request: a slow reader of metrics must not hold up a health check.

    There are `REQUESTS_MAX` at most. One more ends the oldest: whoever sends a byte now and then keeps nobody out.
    """

    daemon_threads = True
    block_on_close = False  # or every thread would be kept, to wait for

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: dict[Any, None] = {}  # sockets, oldest first
        self._lock = Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[request] = None
            oldest = next(iter(self._open)) if len(self._open) > REQUESTS_MAX else None
            if oldest is not None:
                del self._open[oldest]
                with suppress(OSError):  # it has gone by itself
                    oldest.shutdown(SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """A client that went away or said nothing is no news; the library would print a traceback."""
        error = sys.exception()
        if isinstance(error, OSError):
            logger.debug("a request of the metrics' port broke off", peer=client_address, error=repr(error))
        else:
            logger.error("a request of the metrics' port failed", exc_info=error)


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_S

    def log_message(self, *_: object) -> None:
        """Every few seconds a line that says nothing."""


def make_app(registry: CollectorRegistry, probes: Probes) -> "WSGIApplication":
    """The WSGI application behind the port."""
    answers = (make_wsgi_app(registry), partial(_answer, probes.health), partial(_answer, probes.readiness))
    pages: dict[str, Any] = dict(zip(PAGES, answers, strict=True))

    def route(environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        page = pages.get(environ["PATH_INFO"], _not_found)
        return page(environ, start_response)

    return route


def _answer(problems: Problems, _environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    found = list(problems())
    if found:
        return _json(start_response, HTTPStatus.SERVICE_UNAVAILABLE, {"status": "failing", "problems": found})
    return _json(start_response, HTTPStatus.OK, {"status": "ok"})


def _not_found(_environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    return _json(start_response, HTTPStatus.NOT_FOUND, {"pages": PAGES})


def _json(start_response: "StartResponse", status: HTTPStatus, value: dict[str, Any]) -> list[bytes]:
    body = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


@contextmanager
def serving(port: int, registry: CollectorRegistry, probes: Probes, address: str = ALL_INTERFACES) -> Iterator[None]:
    """Serve on `port` inside the block; 0: don't.

    A port that can't be had is a warning: several workers on one machine are common, and orders matter more.
    """
    if port == 0:
        yield
        return
    try:
        server = make_server(address, port, make_app(registry, probes), _Server, _Handler)
    except OSError as error:
        logger.warning(
            "no metrics: the port can't be had; set EVERYCENT_METRICS_PORT to another one, or to 0 for none",
            port=port,
            error=str(error),
        )
        yield
        return
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
