"""Others' witness cosigns what our ledger sends, and others' client is answered by our witness: C2SP tlog-witness.

`interop_push/main.go` is the bridge: transparency-dev's witness, of which the public witness network is made.
"""

import asyncio
import json
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streams.ledger.notes import KeyType, Note, SignerKey
from streams.ledger.policy import Policy
from streams.ledger.receipt import make_receipt, verify_receipt
from streams.ledger.submission import parse_cosignatures
from streams.ledger.tree import consistency_proof
from streams.ledger_service.collect import Collector
from streams.ledger_service.receipts import best_note
from streams.ledger_service.remote import Remote
from streams.ledger_service.witness_run import Port, serving_public
from tests.ledger.go import build, go_version
from tests.ledger.parts import ORIGIN, SALTS, SIGNER, donation
from tests.ledger.test_interop_witness import GO, WITNESS
from tests.ledger.witness_parts import W1, GrowingLog, bench

pytestmark = pytest.mark.skipif(go_version() < GO, reason="no Go 1.25 here, whose libraries are the judges")


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    return build("interop_push", tmp_path_factory)


@pytest.fixture
def their_witness(bridge):
    words = [bridge, "serve", str(SIGNER.verifier), WITNESS.secret_text()]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.wait(timeout=10)


def ledger_of(log: GrowingLog, folder: Path) -> Path:
    (folder / "donations").mkdir(parents=True)
    (folder / "donations/0").symlink_to(log.folder)
    return folder


async def test_their_witness_cosigns_each_checkpoint_that_our_ledger_sends_and_receipts_carry_it(
    tmp_path, log, their_witness
):
    ledger = ledger_of(log, tmp_path / "ledger")
    policy = Policy.parse(f"log {SIGNER.verifier}\nwitness w {WITNESS.verifier} {their_witness}\nquorum w\n".encode())
    async with Remote() as remote:
        collector = Collector(ledger, policy, remote, 10)
        for size in (300, 512, 700, 1_025):
            if size > 300:
                log.grow(size)
            (found,) = await collector.collect()
            assert (found.is_met, found.size) == (True, size)
        log.grow(1_500)
        (found,) = await Collector(ledger, policy, remote, 10).collect()  # it knows nothing: 409 and from there
        (found,) = await Collector(ledger, policy, remote, 10).collect()
        assert found.size == 1_500
    note = best_note(log.folder, log.writer.log.note(), 1_499, policy)
    receipt = make_receipt(log.writer.log, note, 1_499, SALTS)
    verified = verify_receipt(bytes(receipt), [], donation(1_499).buyer_id, policy)
    assert [key for key, _ in verified.cosigned_by] == [WITNESS.verifier]


async def test_their_witness_refuses_another_tree_and_we_say_so(tmp_path, log, liar, their_witness):
    rule = f"log {SIGNER.verifier}\nwitness w {WITNESS.verifier} {their_witness}\nquorum w\n"
    policy = Policy.parse(rule.encode())
    async with Remote() as remote:
        (found,) = await Collector(ledger_of(log, tmp_path / "ledger"), policy, remote, 10).collect()
        assert found.is_met
        liar.grow(300)
        for size in (300, 600):
            if size > 300:
                liar.grow(size)
            ledger = ledger_of(liar, tmp_path / f"lying{size}")
            with capture_logs() as lines:
                (found,) = await Collector(ledger, policy, remote, 10).collect()
            assert not found.is_met
            assert "shown another one" in lines[0]["why"]
            (liar.folder / "witness/pending").unlink()


async def test_their_client_is_answered_as_it_expects_in_every_case(tmp_path, log, liar, bridge):
    def sent(log: GrowingLog, old: int, proof=None, note: Note | None = None) -> dict[str, object]:
        note = note or log.writer.log.note()
        size = int(note.text.split("\n")[1])
        if proof is None:
            proof = consistency_proof(log.writer.log.nodes(size), old, size)
        return {"Old": old, "Checkpoint": bytes(note).decode(), "Proof": [b64encode(each).decode() for each in proof]}

    first = log.writer.log.note()
    log.grow(500)
    newest = log.writer.log.note()
    stranger = SignerKey.from_seed(ORIGIN, b"\x09" * 32)
    unknown = newest.text.replace(ORIGIN, "elsewhere.test/log")
    requests = [
        sent(log, 7, (), first),
        sent(log, 0, (), first),
        sent(log, 0, (), newest),
        sent(log, 300, (bytes(32),) * 3),
        sent(log, 501, ()),
        sent(log, 300, None, Note(newest.text, (stranger.sign(newest.text),))),
        sent(log, 0, (), Note(unknown, (SignerKey.from_seed("elsewhere.test/log", b"\x08" * 32).sign(unknown),))),
        sent(log, 300),
        sent(log, 500),
        sent(liar.grow(500), 500, ()),
    ]
    async with (
        bench(tmp_path / "w", "") as witness,
        serving_public(witness.public, Port("127.0.0.1", 0), witness.witness) as address,
    ):
        process = await asyncio.create_subprocess_exec(
            bridge, "push", address, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(json.dumps(requests).encode()), 60)
    answers = json.loads(out)
    assert [(each["Error"], each["Size"]) for each in answers] == [
        ("old size != current", 0),
        ("", 0),
        ("old size != current", 300),
        ("consistency proof invalid", 0),
        ("old size > current", 0),
        ("no valid signatures", 0),
        ("unknown log", 0),
        ("", 0),
        ("", 0),
        ("roots do not match", 0),
    ]
    for at, note in ((1, first), (7, newest), (8, newest)):
        ((key, _),) = parse_cosignatures(note.text, answers[at]["Lines"].encode()).signed_by([W1.verifier])
        assert key.kind is KeyType.COSIGNATURE
