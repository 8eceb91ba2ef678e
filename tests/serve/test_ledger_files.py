"""The public ledger's files over HTTP: each with how long it may be kept, and nothing else that lies beside them."""

import asyncio
import socket

import pytest

from streams.ledger.tiles import Bundle, Tile
from streams.serve.http import SECURITY_HEADERS
from streams.serve.ledger_files import add_ledger_files
from tests.ledger.parts import entries, publish, writer
from tests.serve.world import serving_state

SECRET = b"nobody's business"


@pytest.fixture
def ledger(tmp_path):
    """A log as partition 0, and what else may lie about."""
    log = writer(tmp_path)
    log.open()
    log.append(entries(0, 300))
    publish(log)
    folder = tmp_path / "ledger"
    (folder / "donations").mkdir(parents=True)
    log.folder.rename(folder / "donations" / "0")
    for name in (".lock", "donations/0/.aside/0", "donations/0/notes.txt", "keys.txt.swp", "seals/notes/7", "keys.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(SECRET)
    (tmp_path / "signing-keys").write_bytes(SECRET)
    return folder


@pytest.fixture
async def api(tmp_path, ledger):
    async with serving_state(tmp_path / "state", prepare=lambda app: add_ledger_files(app, ledger)) as api:
        yield api


async def test_every_file_of_a_log_is_served_as_it_lies_there_and_may_be_kept_as_long_as_it_stays(api, ledger):
    paths = [Tile(0, 0).path, Tile(0, 1, 44).path, Tile(1, 0, 1).path, Bundle(0).path, Bundle(1, 44).path]
    for name, kept, kind in (
        *((f"donations/0/{path}", "public, max-age=31536000, immutable", "application/octet-stream") for path in paths),
        ("donations/0/checkpoint", "public, max-age=1", "text/plain; charset=utf-8"),
        ("seals/notes/7", "public, max-age=31536000, immutable", "text/plain; charset=utf-8"),
        ("keys.txt", "public, max-age=1", "text/plain; charset=utf-8"),
    ):
        response, body = await api.get(f"/ledger/{name}")
        assert response.status == 200, name
        assert body == (ledger / name).read_bytes()
        assert (response.headers["Cache-Control"], response.headers["Content-Type"]) == (kept, kind)
        assert response.headers.items() >= SECURITY_HEADERS.items()


async def test_a_checkpoint_that_was_replaced_is_seen_at_once_and_one_that_was_not_costs_no_body(api, ledger):
    response, first = await api.get("/ledger/donations/0/checkpoint")
    again, body = await api.get("/ledger/donations/0/checkpoint", **{"If-None-Match": response.headers["ETag"]})
    assert (again.status, body) == (304, b"")
    (ledger / "new").write_bytes(first + b"more")
    (ledger / "new").rename(ledger / "donations/0/checkpoint")
    _, second = await api.get("/ledger/donations/0/checkpoint")
    assert second == first + b"more"


async def test_a_range_that_a_file_has_may_be_kept_and_the_refusal_of_another_may_not(api):
    path = f"/ledger/donations/0/{Tile(0, 0).path}"
    whole = (await api.get(path))[1]
    response, body = await api.get(path, Range="bytes=32-63")
    assert (response.status, body) == (206, whole[32:64])
    assert "immutable" in response.headers["Cache-Control"]
    for wanted in ("bytes=8192-", "bytes=5-2", "bytes=0-1,4-5", "x"):
        response, _ = await api.get(path, Range=wanted)
        assert (response.status, response.headers["Cache-Control"]) == (416, "no-store")


async def raw(port: int, path: str) -> bytes:
    """As no client library would send it."""
    reader, writer_ = await asyncio.open_connection("127.0.0.1", port, family=socket.AF_INET)
    writer_.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer_.close()
    return answer


@pytest.mark.parametrize(
    "path",
    [
        "", ".lock", "donations/0/.aside/0", "donations/0/notes.txt", "keys.txt.swp", "donations/0/", "donations/0",
        "../signing-keys", "donations/../../signing-keys", "%2e%2e/signing-keys", "..%2fsigning-keys",
        "donations/0/tile/0/../../../../../signing-keys", "donations/0/tile/0/..%2f..%2f..%2f..%2f..%2fsigning-keys",
        "/etc/passwd", "%2fetc/passwd", "donations/00/checkpoint", "donations/0/tile/8/000", "donations/0/tile/0/0",
        "donations/0/checkpoint%00", "donations/0/checkpoint%0a", "donations/0/tile/0/999", "donations/7/checkpoint",
    ],
)  # fmt: skip
async def test_nothing_but_a_ledgers_own_files_is_served(api, path):
    answer = await raw(api.client.port, f"/ledger/{path}")
    assert answer.split()[1] in {b"404", b"400"}
    assert SECRET not in answer


async def test_without_the_setting_there_is_no_ledger(tmp_path):
    async with serving_state(tmp_path) as api:
        assert (await api.get("/ledger/keys.txt"))[0].status == 404
