"""Which checkpoint a witness takes, and what it makes of those who fail, lie, or answer with nonsense."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from streams.errors import UserError
from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import Note, SignerKey, sign_note
from streams.ledger_service import remote as remote_module
from streams.ledger_service import witness as witness_module
from streams.ledger_service.files import Disk, write_durably
from streams.ledger_service.remote import Remote, RemoteError, check_address
from streams.ledger_service.witness import Outcome
from streams.ledger_service.witness_run import Port, serving_public
from streams.ledger_service.witness_store import EVIDENCE_MAX, published_path
from tests.ledger.parts import ORIGIN
from tests.ledger.witness_parts import STALE_S, bench, published

COSIGNED, UNCHANGED, DOUBTFUL, UNREACHABLE, ALARM = Outcome


# Which checkpoint


def ask_for(log, note: Note | None) -> None:
    """What the log wants to be cosigned."""
    if note is None:
        (log.folder / "witness/pending").unlink()
    else:
        write_durably(Disk(), log.folder, [("witness/pending", bytes(note))])


async def test_all_witnesses_cosign_the_pending_checkpoint_and_do_not_run_ahead_of_it(witness, log):
    pending = log.writer.log.note()
    ask_for(log, pending)
    log.grow(400)
    assert await witness.look() is COSIGNED
    assert published(witness).text == pending.text
    assert await witness.look() is UNCHANGED
    ask_for(log, log.writer.log.note())
    log.grow(450)
    assert await witness.look() is COSIGNED
    assert witness.size == 400


async def test_a_pending_checkpoint_behind_what_was_cosigned_is_waited_out_while_the_log_grows(witness, log, liar):
    old = log.writer.log.note()
    log.grow(400)
    await witness.look()
    ask_for(log, old)
    log.grow(500)
    assert await witness.look(STALE_S * 2) is UNCHANGED
    assert witness.size == 400
    ask_for(log, None)
    assert await witness.look() is COSIGNED
    ask_for(log, old)  # and that cover is no place to hide another log behind
    for size in (300, 400, 500, 600):
        liar.grow(size)
    liar.take_place_of(log)
    assert await witness.look() is ALARM


# Who can't be reached, and who answers with nonsense


async def test_a_log_that_fails_in_any_way_is_unreachable_and_no_alarm(tmp_path, log, http):
    address, _, failing = http
    cut = web.Response(body=b"everycent.test")

    async def status(_):
        return web.Response(status=503)

    async def endless(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(bytes(10_000))
        return response

    async def cut_off(request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"x")
        request.transport.close()
        return response

    async def around(request):
        raise web.HTTPFound(str(request.url))

    async def nonsense(_):
        return cut

    async with bench(tmp_path / "w", address) as witness:
        await witness.look()
        for answer, wanted in (
            (status, UNREACHABLE), (endless, UNREACHABLE), (cut_off, UNREACHABLE), (around, UNREACHABLE),
            (nonsense, DOUBTFUL),
        ):  # fmt: skip
            failing["checkpoint"] = answer
            assert await witness.look(STALE_S + 1) is wanted, answer
        assert not witness.evidence()
        failing.clear()
        log.grow(400)
        assert await witness.look() is COSIGNED
    async with bench(tmp_path / "nobody", "http://127.0.0.1:1") as witness:
        assert await witness.look() is UNREACHABLE


async def drip(request):
    """An answer that begins at once and never ends."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x")
        await asyncio.sleep(0.05)


async def test_a_log_or_a_peer_that_answers_byte_by_byte_is_given_up_in_time(tmp_path, log, http, monkeypatch):
    monkeypatch.setattr(witness_module, "LOOK_MAX_S", 0.5)
    monkeypatch.setattr(witness_module, "PEER_LOOK_MAX_S", 0.5)
    address, _, failing = http
    failing["checkpoint"] = drip
    async with bench(tmp_path / "w", address) as witness:
        with capture_logs() as logs:
            async with asyncio.timeout(20):
                assert await witness.look() is UNREACHABLE
        assert [line["error"] for line in logs] == ["it takes longer than 0 s"]
    app = web.Application()
    app.router.add_get("/{path:.+}", drip)
    async with TestServer(app) as peer, bench(tmp_path / "v", log.folder, peers=[peer.make_url("/w")] * 2) as witness:
        turns = witness.witness.turns
        async with asyncio.timeout(20):
            assert await witness.look() is COSIGNED
        assert witness.witness.turns == turns + 3  # a watchdog sees that it gets on


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 \x1b[2J\x1b]0;owned\x07 \x9b31m\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 " + b"a" * 8_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 x\r\nContent-Length: 0\r\nLocation: http://[::\x9b31m\r\n\r\n",
        b"\x00\x01\x1b[2J\r\n" * 1_000,
    ],
    ids=["reason", "long", "redirect", "nothing"],
)
async def test_what_a_stranger_says_is_one_short_line_that_no_terminal_obeys(answer):
    async def speak(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server, Remote() as remote:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(RemoteError) as caught:
            await remote.get(address, "checkpoint")
        line = str(caught.value)
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 1_000


async def test_an_answer_that_takes_too_long_is_said_to(http, monkeypatch):
    address, _, failing = http
    failing["checkpoint"] = drip
    monkeypatch.setattr(remote_module, "TIMEOUT_S", 0.5)
    async with Remote() as remote:
        with pytest.raises(RemoteError, match="can't be read: it takes too long"):
            await remote.get(address, "checkpoint")


async def test_a_peer_that_fails_or_lies_keeps_no_log_from_being_cosigned(tmp_path, log):
    forged = sign_note(Checkpoint(ORIGIN, 300, bytes(32)).text(), [SignerKey.from_seed(ORIGIN, b"\x05" * 32)])
    peer = tmp_path / "peer"
    for data in (b"nonsense", bytes(forged), b""):
        write_durably(Disk(), peer, [(published_path(ORIGIN), data)])
        async with bench(tmp_path / f"w{len(data)}", log.folder, peers=[peer, "http://127.0.0.1:1"]) as witness:
            assert await witness.look() is COSIGNED
            assert not witness.evidence()


async def test_whoever_shows_nonsense_cannot_fill_the_disk_with_evidence(witness, log):
    await witness.look()
    swapped = SignerKey.from_seed(ORIGIN, b"\x66" * 32)
    for size in range(EVIDENCE_MAX + 20):
        note = sign_note(Checkpoint(ORIGIN, 1_000 + size, bytes(32)).text(), [swapped])
        (log.folder / "checkpoint").write_bytes(bytes(note))
        assert await witness.look() is ALARM
    assert len(witness.evidence()) == EVIDENCE_MAX


async def test_what_a_witness_publishes_is_served_and_nothing_else(witness, log):
    await witness.look()
    (witness.public / "secret").write_bytes(b"x")
    async with serving_public(witness.public, Port("127.0.0.1", 0)) as address, Remote() as remote:
        for path in ("witness.txt", "logs.txt", published_path(ORIGIN)):
            assert await remote.get(address, path) == (witness.public / path).read_bytes()
        for path in (
            "secret",
            ".lock",
            "../private/witness-key",
            "%2e%2e/private/witness-key",
            "logs/",
            "logs/x/checkpoint",
        ):
            with pytest.raises((LookupError, RemoteError)):
                await remote.get(address, path)
        port = int(address.rpartition(":")[2])
        with pytest.raises(UserError, match="can't listen"):
            async with serving_public(witness.public, Port("127.0.0.1", port)):
                pass


@pytest.mark.parametrize("address", ["ftp://x/y", "https:///x", "http://x/y?z", "https://x/#a"])
def test_an_address_that_leads_nowhere_is_told(address):
    with pytest.raises(UserError, match="--log: "):
        check_address(address, "--log")


async def test_a_file_address_is_a_folder(tmp_path, log):
    async with bench(tmp_path / "w", f"file://{log.folder}") as witness:
        assert await witness.look() is COSIGNED
        await asyncio.sleep(0)
