"""A policy is read as C2SP tlog-policy has it, and a receipt carries what it asks for or fails by `witnesses`."""

import itertools
import json

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.errors import UserError
from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import KeyType, Note, SignerKey
from streams.ledger.policy import Policy, PolicyError
from streams.ledger.receipt import Promise, Receipt, ReceiptError, make_receipt, verify_receipt
from streams.ledger_service.files import Disk, write_durably
from streams.ledger_service.receipts import best_note
from tests.ledger.parts import ORIGIN, SALTS, SIGNER, donation, entries, publish, writer

WITNESSES = [
    SignerKey.from_seed(f"w{number}.test", bytes([0x30 + number]) * 32, KeyType.COSIGNATURE) for number in range(4)
]
W0, W1, W2, W3 = (witness.verifier for witness in WITNESSES)
AT_S = 1_790_000_000
LINES = "".join(f"witness w{number} {witness.verifier}\n" for number, witness in enumerate(WITNESSES))


def policy(rest: str, *, log: bool = True) -> Policy:
    return Policy.parse(f"{f'log {SIGNER.verifier}' if log else ''}\n{LINES}{rest}".encode())


def test_a_policy_is_read_with_its_logs_witnesses_and_addresses():
    text = (
        f"# ours\n\t log {SIGNER.verifier}  https://a.example/ledger \n\nwitness charity\t{W0} https://b.example\n"
        f"witness \xff {W1}\nquorum charity"
    )
    read = Policy.parse(text.encode("latin-1"))
    assert [(log.key, log.url) for log in read.logs] == [(SIGNER.verifier, "https://a.example/ledger")]
    assert [(each.name, each.url) for each in read.witnesses] == [("charity", "https://b.example"), ("\\xff", "")]
    assert read.is_met_by([W0])
    assert not read.is_met_by([W1])


@pytest.mark.parametrize(
    ("rest", "needed"),
    [
        ("quorum none\n", lambda _: True),
        ("quorum w2\n", lambda on: W2 in on),
        ("group g any w0 w1 w2 w3\nquorum g\n", lambda on: len(on) >= 1),
        ("group g all w0 w1 w2 w3\nquorum g\n", lambda on: len(on) == 4),
        ("group g 2 w0 w1 w2\nquorum g\n", lambda on: len(on - {W3}) >= 2),
        (
            "group a any w0 w1\ngroup b all w2 w3\ngroup g all a b\nquorum g\n",
            lambda on: on & {W0, W1} and on >= {W2, W3},
        ),
    ],
)  # fmt: skip
def test_a_quorum_is_met_by_exactly_those_sets_of_witnesses_that_the_rule_says(rest, needed):
    read = policy(rest)
    for count in range(5):
        for cosigners in itertools.combinations([W0, W1, W2, W3], count):
            assert read.is_met_by(cosigners) == bool(needed(set(cosigners))), cosigners


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("", "has no line `quorum`"),
        ("quorum nobody\n", "no line before this one defines 'nobody'"),
        ("quorum none\nquorum none\n", "there is a quorum already"),
        ("quorum w0 w1\n", "a quorum is"),
        ("group g 3 w0 w1\nquorum g\n", "of which 3 can't be"),
        ("group g 0 w0 w1\nquorum g\n", "'0' is none of"),
        ("group g 01 w0 w1\nquorum g\n", "'01' is none of"),
        ("group g any\nquorum g\n", "a group is"),
        ("group g any w0 w0\nquorum g\n", "may be of one only"),
        ("group g any w0\ngroup h any w0\nquorum g\n", "may be of one only"),
        ("group g any h\ngroup h any g\nquorum g\n", "no line before this one defines 'h'"),
        ("group w0 any w1\nquorum w0\n", "the name 'w0' is taken"),
        ("group none any w1\nquorum none\n", "the name 'none' is taken"),
        ("group g any none\nquorum g\n", "defines 'none'"),
        (f"witness again {W0}\nquorum w0\n", "stands twice"),
        (f"log {SIGNER.verifier}\nquorum w0\n", "stands twice"),
        (f"log {W0}\nquorum none\n", "is of type 0x04; a log has one of 0x01"),
        (f"witness x {SIGNER.verifier}\nquorum none\n", "is of type 0x01; a witness has one of 0x04"),
        ("log nonsense\nquorum none\n", "not a verifier key"),
        ("threshold 2\nquorum none\n", "'threshold' is none of"),
        ("quorum none\r\n", "control character"),
    ],
)
def test_what_is_wrong_is_told(rest, told):
    with pytest.raises(PolicyError, match=told):
        policy(rest)


def test_a_policy_may_hold_far_more_than_the_format_asks_for():
    keys = [SignerKey.from_seed("w", number.to_bytes(32, "big"), KeyType.COSIGNATURE) for number in range(500)]
    lines = "".join(f"witness n{at} {key.verifier}\n" for at, key in enumerate(keys))
    names = " ".join(f"n{at}" for at in range(500))
    read = Policy.parse(f"{lines}group g 251 {names}\nquorum g\n".encode())
    assert read.is_met_by([key.verifier for key in keys[:251]])
    assert not read.is_met_by([key.verifier for key in keys[:250]])


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    opened = writer(tmp_path_factory.mktemp("log"))
    opened.open()
    for _ in range(2):
        opened.append(entries(opened.size, opened.size + 300))
        publish(opened)
    return opened


def cosigned(note: Note, *witnesses: SignerKey) -> Note:
    return note.with_signatures([witness.cosign(note.text, AT_S) for witness in witnesses])


TWO = "group g 2 w0 w1 w2\nquorum g\n"


def test_a_receipt_with_enough_cosignatures_verifies_and_says_whose_and_when(log):
    data = bytes(make_receipt(log.log, cosigned(log.log.note(), WITNESSES[0], WITNESSES[2]), 300, SALTS))
    verified = verify_receipt(data, [], donation(300).buyer_id, policy(TWO))
    assert verified.cosigned_by == ((W0, AT_S), (W2, AT_S))
    assert verify_receipt(data, [SIGNER.verifier]).cosigned_by == ()


def tampered(note: Note, at_s: int) -> Note:
    """With a cosignature whose time was changed."""
    (*others, last) = cosigned(note, *WITNESSES[:2]).signatures
    return Note(note.text, (*others, type(last)(last.name, last.key_id, at_s.to_bytes(8, "big") + last.data[8:])))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda note: note, "cosigned by none of its witnesses"),
        (lambda note: cosigned(note, WITNESSES[0]), "cosigned by w0$"),
        (lambda note: cosigned(note, WITNESSES[0], WITNESSES[0]), "cosigned by w0$"),
        (lambda note: cosigned(note, WITNESSES[0], WITNESSES[3]), "cosigned by w0, w3$"),
        (lambda note: cosigned(note, SignerKey.from_seed("w0.test", b"\1" * 32, KeyType.COSIGNATURE)), "by none"),
        (lambda note: tampered(note, AT_S + 1), "doesn't fit the text"),
        (lambda note: note.with_signatures(cosigned(Note("other\n", ()), *WITNESSES).signatures), "doesn't fit"),
    ],
)  # fmt: skip
def test_too_few_doubled_foreign_and_changed_cosignatures_fail_by_their_name(log, make, told):
    data = bytes(make_receipt(log.log, make(log.log.note()), 300, SALTS))
    with pytest.raises(ReceiptError, match=told) as error:
        verify_receipt(data, [], None, policy(TWO))
    assert error.value.promise is Promise.WITNESSES
    verify_receipt(data, [SIGNER.verifier])  # without a policy it's as good as before


def test_cosignatures_make_up_for_no_log(log):
    other = Checkpoint(ORIGIN, 600, bytes(32))
    forged = make_receipt(log.log, log.log.note(), 300, SALTS)
    note = cosigned(Note(other.text(), forged.note.signatures), *WITNESSES)
    with pytest.raises(ReceiptError) as error:
        verify_receipt(bytes(Receipt(300, forged.proof, note, forged.entry, forged.salt)), [], None, policy(TWO))
    assert error.value.promise is Promise.SIGNATURE


def test_a_receipt_takes_the_newest_checkpoint_that_meets_the_policy_and_covers_the_leaf(log, tmp_path):
    newest = log.log.note()
    older = writer(tmp_path)
    older.open()
    older.append(entries(0, 300))
    old = cosigned(publish(older), *WITNESSES[:2])
    write_durably(Disk(), tmp_path / "log", [("witness/checkpoint", bytes(old))])
    folder = tmp_path / "log"
    assert best_note(folder, newest, 299, policy(TWO)) == old
    assert best_note(folder, newest, 300, policy(TWO)) is None
    assert best_note(folder, newest, 299, None) == old
    assert best_note(folder, newest, 300, None) == newest
    assert best_note(folder, newest, 299, policy("quorum none\n")) == newest
    pending = cosigned(newest, *WITNESSES[:2])
    write_durably(Disk(), folder, [("witness/pending", bytes(pending))])
    assert best_note(folder, newest, 299, policy(TWO)) == pending


def run(*words):
    return CliRunner().invoke(app, ["ledger", *map(str, words)])


def test_the_command_applies_a_policy_and_says_what_is_wrong_with_one(log, tmp_path):
    file, rule = tmp_path / "mine.tlog-proof", tmp_path / "policy.txt"
    file.write_bytes(bytes(make_receipt(log.log, cosigned(log.log.note(), *WITNESSES[:2]), 300, SALTS)))
    rule.write_text(f"log {SIGNER.verifier}\n{LINES}{TWO}")
    done = run("verify", file, "--policy", rule)
    assert done.exit_code == 0, done.output
    assert "witnesses  'g' is met: cosigned by w0 (2026-09-21T14:13:20Z), w1 (2026-09-21T14:13:20Z)" in done.output
    as_json = json.loads(run("verify", file, "--policy", rule, "--json").output)
    assert [each["at_s"] for each in as_json["cosigned_by"]] == [AT_S, AT_S]
    rule.write_text(f"log {SIGNER.verifier}\n{LINES}quorum w3\n")
    done = run("verify", file, "--policy", rule)
    assert done.exit_code == 1
    assert done.output.startswith("NOT VALID: the promise of its witnesses fails. The policy asks for 'w3'")
    for text, words, told in (
        ("quorum x\n", ("--policy", rule), "line 1: no line before"),
        ("quorum none\n", ("--policy", rule), "whose receipt"),
        ("", (), "whose receipt"),
        ("", ("--policy", tmp_path / "nothing"), "can't be read"),
    ):
        rule.write_text(text)
        done = run("verify", file, *words)
        assert isinstance(done.exception, UserError)
        assert told in str(done.exception)
