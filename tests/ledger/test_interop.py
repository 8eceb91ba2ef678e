"""Others' software judges our ledger, and ours judges theirs: Go's sumdb/note and tlog, transparency-dev/merkle.

`interop/main.go` is the bridge. Its libraries come through Go's module proxy, pinned in `interop/go.sum`.
"""

import json
import shutil
import subprocess
from base64 import b64decode, b64encode

import pytest

from streams.ledger.notes import Note, VerifierKey, sign_note
from streams.ledger.published import checkpoint_of
from streams.ledger.tree import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from tests.ledger.go import build
from tests.ledger.parts import SIGNER, entries, publish, writer

SIZE = 1_000
LEAVES = [(at, size) for size in (1, 2, 255, 256, 257, SIZE) for at in sorted({0, size // 3, size - 1})]
GROWTHS = [(old, new) for new in (2, 256, 257, SIZE) for old in sorted({1, new // 2, new - 1, new})]

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="no Go here, whose libraries are the judges")


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    return build("interop", tmp_path_factory)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    opened = writer(tmp_path_factory.mktemp("log"))
    opened.open()
    opened.append(entries(0, SIZE))
    publish(opened)
    return opened


def text(value: bytes) -> str:
    return b64encode(value).decode()


def inclusion(log, index: int, size: int, name: str, **changes):
    nodes = log.log.nodes(SIZE)
    proof = inclusion_proof(nodes, index, size)
    return {
        "Name": name,
        "Index": index,
        "Size": size,
        "Leaf": text(leaf_hash(entries(index, index + 1)[0])),
        "Root": text(tree_root(nodes, size)),
        "Proof": [text(each) for each in proof],
        **changes,
    }


def consistency(log, old: int, new: int, name: str, **changes):
    nodes = log.log.nodes(SIZE)
    return {
        "Name": name,
        "Old": old,
        "New": new,
        "OldRoot": text(tree_root(nodes, old)),
        "NewRoot": text(tree_root(nodes, new)),
        "Proof": [text(each) for each in consistency_proof(nodes, old, new)],
        **changes,
    }


@pytest.fixture(scope="module")
def judged(bridge, log):
    note = bytes(log.log.note()).decode()
    zeros = text(bytes(32))
    given = {
        "VerifierKey": str(SIGNER.verifier),
        "SignerKey": SIGNER.secret_text(),
        "Notes": {"ours": note, "another size": note.replace(f"\n{SIZE}\n", f"\n{SIZE + 1}\n")},
        "Text": log.log.note().text,
        "Inclusions": [
            *(inclusion(log, at, size, f"leaf {at} of {size}") for at, size in LEAVES),
            inclusion(log, 5, SIZE, "WRONG leaf", Leaf=zeros),
            inclusion(log, 5, SIZE, "WRONG root", Root=zeros),
            inclusion(log, 5, SIZE, "WRONG index", Index=6),
            inclusion(log, 5, SIZE, "WRONG length", Proof=inclusion(log, 5, SIZE, "")["Proof"][1:]),
        ],
        "Consistencies": [
            *(consistency(log, old, new, f"{old} to {new}") for old, new in GROWTHS),
            consistency(log, 300, SIZE, "WRONG old root", OldRoot=zeros),
            consistency(log, 300, SIZE, "WRONG new root", NewRoot=zeros),
            consistency(log, 300, SIZE, "WRONG length", Proof=consistency(log, 300, SIZE, "")["Proof"][1:]),
        ],
        "Entries": [text(each) for each in entries(0, SIZE)],
        "Folder": str(log.folder),
        "Root": text(log.root_at(SIZE)),
    }
    done = subprocess.run([bridge], input=json.dumps(given), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_gos_note_opens_our_checkpoint_and_no_other(judged, log):
    assert judged["Opened"] == {"ours": log.log.note().text}


def test_both_libraries_take_our_proofs_and_refuse_those_that_were_changed(judged):
    assert {name for name in judged["Refused"] if not name.startswith("WRONG")} == {"another size"}
    assert (
        len([name for name in judged["Refused"] if name.startswith("WRONG")]) == 6
    )  # of two kinds, one name is shared
    assert not any("THEY DISAGREE" in reason for reason in judged["Refused"].values())


def test_gos_own_tile_reader_makes_its_proofs_from_our_files(judged):
    """It checks every tile against the root; `interop/main.go` compares with proofs from hashes of its own."""
    assert not [name for name in judged["Refused"] if name.startswith("tiles")]
    assert len(judged["Inclusions"]) > 40


def test_go_signs_to_the_same_bytes_and_our_code_opens_its_note(judged, log):
    assert judged["Note"].encode() == bytes(log.log.note()) == bytes(sign_note(log.log.note().text, [SIGNER]))
    note = Note.parse(judged["Note"].encode())
    assert [key for key, _ in note.signed_by([VerifierKey.parse(str(SIGNER.verifier))])] == [SIGNER.verifier]


def test_gos_roots_are_ours_at_every_size(judged, log):
    roots = [b64decode(root) for root in judged["Roots"]]
    assert roots == [log.root_at(size) for size in range(SIZE + 1)]
    assert roots[-1] == checkpoint_of(log.log.note()).root


def test_our_code_takes_gos_proofs_and_makes_the_same(judged, log):
    nodes = log.log.nodes(SIZE)
    for each in judged["Inclusions"]:
        proof = [b64decode(hash_) for hash_ in each["Proof"]]
        verify_inclusion(b64decode(each["Leaf"]), each["Index"], each["Size"], proof, b64decode(each["Root"]))
        assert proof == inclusion_proof(nodes, each["Index"], each["Size"])
    for each in judged["Consistencies"]:
        proof = [b64decode(hash_) for hash_ in each["Proof"]]
        verify_consistency(each["Old"], b64decode(each["OldRoot"]), each["New"], b64decode(each["NewRoot"]), proof)
        assert proof == consistency_proof(nodes, each["Old"], each["New"])
