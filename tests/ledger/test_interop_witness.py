"""Others' software judges our witnesses' cosignatures, and ours judges theirs: transparency-dev's, and torchwood.

`interop_witness/main.go` is the bridge, a module of its own as these libraries ask for a newer Go than the others.
"""

import json
import subprocess
import time
from base64 import b64encode

import pytest

from streams.ledger.notes import KeyType, Note, SignerKey, VerifierKey, cosigned_at_s
from streams.ledger.policy import Policy
from streams.ledger.receipt import make_receipt, verify_receipt
from tests.ledger.go import BUILD_TIMEOUT_S, build, go_version
from tests.ledger.parts import SALTS, SIGNER, donation, entries, publish, writer

GO = (1, 25)  # what interop_witness/go.mod asks for
SEED = b"\x41" * 32
WITNESS = SignerKey.from_seed("charity.example/witness", SEED, KeyType.COSIGNATURE)
AT_S = 1_790_000_000
LIBRARIES = ("formats", "torchwood")


pytestmark = pytest.mark.skipif(go_version() < GO, reason="no Go 1.25 here, whose libraries are the judges")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    opened = writer(tmp_path_factory.mktemp("log"))
    opened.open()
    opened.append(entries(0, 300))
    publish(opened)
    return opened


@pytest.fixture(scope="module")
def judged(log, tmp_path_factory):
    program = build("interop_witness", tmp_path_factory)
    note = log.log.note()
    ours = note.with_signatures([WITNESS.cosign(note.text, AT_S)])
    later = (AT_S + 1).to_bytes(8, "big")
    signature = ours.signatures[1]
    forged = type(signature)(signature.name, signature.key_id, later + signature.data[8:])
    extended = Note(note.text + "an extension line\n", ())
    given = {
        "LogKey": str(SIGNER.verifier),
        "WitnessKey": str(WITNESS.verifier),
        "WitnessPriv": WITNESS.secret_text(),
        "WitnessName": WITNESS.verifier.name,
        "Seed": b64encode(SEED).decode(),
        "Checkpoint": bytes(note).decode(),
        "Notes": {
            "ours": bytes(ours).decode(),
            "WITH extension": bytes(
                Note(extended.text, (SIGNER.sign(extended.text), WITNESS.cosign(extended.text, AT_S)))
            ).decode(),
            "WRONG time": bytes(Note(note.text, (*note.signatures, forged))).decode(),
            "WRONG text": bytes(Note(note.text.replace("\n300\n", "\n301\n"), ours.signatures)).decode(),
        },
    }
    done = subprocess.run([program], input=json.dumps(given), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("library", LIBRARIES)
def test_they_take_our_cosignature_with_its_time_and_refuse_those_that_were_changed(judged, library):
    names = [SIGNER.verifier.name, WITNESS.verifier.name]
    assert judged["Judged"][library] == {
        "ours": {"Signers": names, "At": AT_S},
        "WITH extension": {"Signers": names, "At": AT_S},
    }
    assert judged["Refused"][library].keys() == {"WRONG time", "WRONG text"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_our_code_takes_their_cosignature_and_a_receipt_with_it_meets_a_policy(judged, log, library):
    note = Note.parse(judged["Cosigned"][library].encode())
    ((key, signature),) = note.signed_by([WITNESS.verifier])
    assert key == WITNESS.verifier
    assert abs(cosigned_at_s(signature) - time.time()) < BUILD_TIMEOUT_S
    # What they signed at that time, we sign to the same bytes.
    assert WITNESS.cosign(note.text, cosigned_at_s(signature)) == signature
    policy = Policy.parse(f"log {SIGNER.verifier}\nwitness w {WITNESS.verifier}\nquorum w\n".encode())
    receipt = make_receipt(log.log, note, 7, SALTS)
    assert verify_receipt(bytes(receipt), [], donation(7).buyer_id, policy).cosigned_by


def test_a_witnesss_verifier_key_is_written_as_they_write_it(judged):
    assert judged["Keys"]["torchwood"] == str(WITNESS.verifier)
    assert VerifierKey.parse(judged["Keys"]["torchwood"]) == WITNESS.verifier
