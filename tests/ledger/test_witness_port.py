"""What strangers do to a witness's own port: it costs little, and keeps nothing from being cosigned."""

import asyncio
import gzip
from contextlib import asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from streams.ledger.submission import SUBMISSION_MAX_BYTES
from streams.ledger_service import witness_run
from streams.ledger_service.witness_run import Port, serving_public
from tests.ledger.witness_parts import bench

PACKED = gzip.compress(bytes(20_000_000))


@pytest.fixture
async def port(tmp_path, log):
    async with bench(tmp_path / "w", log.folder) as witness:
        await witness.look()

        @asynccontextmanager
        async def serving():
            async with serving_public(witness.public, Port("127.0.0.1", 0), witness.witness) as address:
                yield int(address.rpartition(":")[2])

        yield serving


async def ask(port, raw):
    """All that comes until the server closes: head, and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    async with asyncio.timeout(30):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head.decode(), body.decode()


def post(body=b"", fields=b"", method=b"POST"):
    return method + b" /add-checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + fields + b"\r\n" + body


async def test_a_connection_that_sends_nothing_or_half_a_request_is_closed(port, monkeypatch):
    monkeypatch.setattr(witness_run, "IDLE_CONNECTION_S", 0.2)
    async with port() as number:
        assert await ask(number, b"") == ("", "")
        assert await ask(number, b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\n") == ("", "")


async def test_half_a_submission_is_waited_for_no_longer_than_it_takes(port, monkeypatch):
    monkeypatch.setattr(witness_run, "SUBMISSION_TIMEOUT_S", 0.2)
    async with port() as number:
        head, _ = await ask(number, post(b"old 0\n", b"Content-Length: 100\r\n"))
        assert head.startswith("HTTP/1.1 408")


async def test_more_connections_than_may_be_are_refused_in_one_line_and_the_files_are_there_again(port, monkeypatch):
    monkeypatch.setattr(witness_run, "CONNECTIONS_MAX", 3)
    whole = b"GET /witness.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    async with port() as number:
        held = [await asyncio.open_connection("127.0.0.1", number) for _ in range(3)]
        for reader, writer in held:
            writer.write(whole)
            await reader.readuntil(b"\r\n\r\n")  # it's taken once it has been heard
        with capture_logs() as logs:
            for _ in range(5):
                head, body = await ask(number, b"")
                assert head.startswith("HTTP/1.1 503")
                assert body.count("\n") == 1
        assert [line["event"] for line in logs] == ["connections are refused: there are as many as may be"]
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(30):
            while not (await ask(number, whole.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))[0].startswith(
                "HTTP/1.1 200"
            ):
                pass


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (post(bytes(SUBMISSION_MAX_BYTES + 1), b"Content-Length: 65537\r\n"), 413),
        (post(b"10001\r\n" + bytes(0x10001) + b"\r\n", b"Transfer-Encoding: chunked\r\n"), 413),
        (post(PACKED, b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(PACKED)), 400),
        (post(b"ZZ\r\n", b"Transfer-Encoding: chunked\r\n"), 400),
        (post(b"", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        (post(fields=b"X: " + b"a" * 9_000 + b"\r\n"), 400),
        (post(fields=b"".join(b"X%d: a\r\n" % number for number in range(200))), 400),
        (post(method=b"DELETE"), 405),
        (post(method=b"FOO"), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /../../witness-key HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
    ],
    ids=range(11),
)
async def test_what_is_no_submission_is_refused_in_one_line_and_logs_no_traceback(port, caplog, raw, status):
    async with port() as number:
        with capture_logs() as logs:
            head, body = await ask(number, raw)
        assert head.split()[1] == str(status), head
        assert "text/plain" in head
        assert body.endswith("\n")
        assert body.count("\n") == 1
        assert len(body) < 200
        assert [line for line in logs if line["log_level"] != "debug"] == []
    assert "Traceback" not in caplog.text


async def test_a_body_without_an_end_is_cut_off(port):
    async with port() as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(post(fields=b"Transfer-Encoding: chunked\r\n"))
        sent = 0
        with suppress(ConnectionError):
            async with asyncio.timeout(30):
                while sent < 50_000_000:
                    writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                    await writer.drain()
                    sent += 0x10000
        assert sent < 50_000_000
        reader.feed_eof()
        assert (await ask(number, post(b"old 0\n", b"Content-Length: 6\r\n")))[0].startswith("HTTP/1.1 400")
