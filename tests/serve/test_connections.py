"""What strangers do to the port itself: whatever they send is answered as the API answers, and costs little."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from streams import connections
from streams.connections import listening
from streams.serve import limits
from streams.serve.connections import terms
from streams.serve.http import SECURITY_HEADERS, make_app
from streams.serve.routes import STREAM_PATH
from tests.serve.world import serving_state


@asynccontextmanager
async def a_port(folder, watchers_max=50, **options):
    async with (
        serving_state(folder, **options) as api,
        listening(make_app(api.service), "127.0.0.1", 0, terms(watchers_max)) as port,
    ):
        yield port


async def ask(port, raw):
    """All that comes until the server closes: head, and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode(), body


def get(target=b"/", method=b"GET", version=b"HTTP/1.1", fields=b"", body=b""):
    return method + b" " + target + b" " + version + b"\r\nHost: x\r\nConnection: close\r\n" + fields + b"\r\n" + body


def assert_is_a_refusal(head, body, status):
    first, *fields = head.split("\r\n")
    assert first.split()[1] == str(status), head
    given = dict(field.split(": ", 1) for field in fields)
    assert SECURITY_HEADERS.items() <= given.items()
    assert given["Cross-Origin-Resource-Policy"] == "same-origin"
    assert given["Content-Type"].startswith("application/json")
    error = json.loads(body)["error"]
    assert error
    assert "\n" not in error
    assert len(error) < 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (get(b"/\xff\xfe"), 400),
        (get(b"/api/v1/project?id=\xff"), 400),
        (get(b"/\x00"), 400),
        (get(b"/" + b"a" * 9_000), 400),
        (get(b"http://h:999999/api/v1/status"), 400),
        (get(b"http://[::1/api/v1/status"), 400),
        (get(b"no-slash"), 400),
        (get(method=b"FOO"), 400),
        (get(version=b"HTTP/9.9"), 400),
        (get(fields=b"X: a\x00b\r\n"), 400),
        (get(fields=b"X: a\r\n b\r\n"), 400),
        (get(fields=b"X : a\r\n"), 400),
        (get(fields=b"X: " + b"a" * 9_000 + b"\r\n"), 400),
        (get(fields=b"".join(b"X%d: a\r\n" % number for number in range(200))), 400),
        (get(fields=b"Host: y\r\n"), 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (get(method=b"POST", fields=b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", body=b"0\r\n\r\n"), 400),
        (get(method=b"POST", fields=b"Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
        (get(method=b"POST", fields=b"Content-Length: -5\r\n"), 400),
        (get(method=b"POST", fields=b"Transfer-Encoding: chunked\r\n", body=b"ZZ\r\n"), 400),
        (get(fields=b"Expect: a-miracle\r\n"), 417),
    ],
    ids=str,
)
async def test_what_isnt_http_is_refused_as_the_api_refuses_and_logs_no_traceback(tmp_path, raw, status):
    async with a_port(tmp_path) as port:
        with capture_logs() as logs:
            assert_is_a_refusal(*await ask(port, raw), status)
        assert [line for line in logs if line["log_level"] != "debug"] == []


async def test_a_body_that_says_it_is_packed_and_isnt_is_none_of_our_business(tmp_path, caplog):
    raw = get(b"/api/v1/status", fields=b"Content-Encoding: gzip\r\nContent-Length: 3\r\n", body=b"abc")
    async with a_port(tmp_path) as port:
        head, body = await ask(port, raw)
        assert head.startswith("HTTP/1.1 200")
        assert json.loads(body)["state"] == "live"
    assert "Traceback" not in caplog.text


async def test_a_request_without_an_end_is_cut_off_before_it_fills_the_memory(tmp_path):
    lines = b"".join(b"X%d: %b\r\n" % (number, b"a" * 4_000) for number in range(20))
    async with a_port(tmp_path) as port:
        assert_is_a_refusal(*await ask(port, b"GET / HTTP/1.1\r\n" + lines), 431)


async def test_a_connection_that_sends_nothing_or_half_a_request_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "IDLE_CONNECTION_S", 0.2)
    async with a_port(tmp_path) as port:
        assert await ask(port, b"") == ("", b"")
        assert await ask(port, b"GET / HTTP/1.1\r\nHost: x\r\n") == ("", b"")


async def test_an_answer_that_isnt_taken_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "WATCHER_STUCK_S", 0.2)
    loop = asyncio.get_running_loop()
    async with a_port(tmp_path) as port:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.setblocking(False)
            await loop.sock_connect(connection, ("127.0.0.1", port))
            requests = (
                b"GET /page/vendor/source-serif-4/source-serif-4-latin-opsz-normal.woff2 HTTP/1.1\r\nHost: x\r\n\r\n"
                * 500
            )
            await loop.sock_sendall(connection, requests)
            await asyncio.sleep(2)
            received = 0
            async with asyncio.timeout(30):
                while some := await loop.sock_recv(connection, 65_536):
                    received += len(some)
        assert received > 0
        whole = len((await ask(port, get(b"/page/vendor/source-serif-4/source-serif-4-latin-opsz-normal.woff2")))[1])
    assert whole > 20_000
    assert received < 250 * whole  # what the kernel held by then, and no more


async def test_more_connections_than_may_be_are_refused_and_told_of_once(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "CONNECTIONS_BESIDE_WATCHERS", 3)
    async with a_port(tmp_path, watchers_max=0) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for _, writer in held:  # they're taken once they have been heard
            writer.write(f"GET {STREAM_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        for reader, _ in held:
            await reader.readuntil(b"event: ")
        with capture_logs() as logs:
            for _ in range(5):
                assert_is_a_refusal(*await ask(port, b""), 503)
        assert [line["event"] for line in logs] == ["connections are refused: there are as many as may be"]
        held[0][1].close()
        await held[0][1].wait_closed()
        async with asyncio.timeout(30):
            while (await ask(port, get(b"/healthz")))[0].startswith("HTTP/1.1 503"):
                pass
        for _, writer in held:
            writer.close()


async def test_a_process_that_may_open_few_files_takes_fewer_connections_and_says_so(monkeypatch):
    monkeypatch.setattr(connections, "raise_file_limit", lambda: 1_024)
    with capture_logs() as logs:
        assert connections.Room(terms(4_000)).max_connections == 1_024 - connections.FILES_KEPT_FREE
    assert logs[0]["log_level"] == "warning"
    assert "ulimit -n" in logs[0]["event"]
