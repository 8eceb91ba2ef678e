"""Signed notes: the published examples, and whatever is wrong with one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import KeyType, Note, NoteError, SignerKey, VerifierKey, sign_note
from tests.ledger.parts import ORIGIN, SIGNER

# C2SP signed-note's own example.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
# The example of Go's golang.org/x/mod/sumdb/note: its private key too.
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
TEXT = Checkpoint(ORIGIN, 5, b"\x01" * 32).text()


def test_the_specifications_example_verifies():
    note = Note.parse(EXAMPLE)
    key = VerifierKey.parse(EXAMPLE_KEY)
    assert str(key) == EXAMPLE_KEY
    assert [found for found, _ in note.signed_by([key])] == [key]
    assert bytes(note) == EXAMPLE


def test_gos_example_is_signed_to_the_same_byte():
    signer = SignerKey.parse(GO_PRIVATE)
    assert str(signer.verifier) == GO_PUBLIC
    assert signer.secret_text() == GO_PRIVATE
    text = GO_NOTE.rpartition("\n\n")[0] + "\n"
    assert bytes(sign_note(text, [signer])).decode() == GO_NOTE


def test_a_key_shows_nothing_of_its_secret():
    signer = SignerKey.parse(GO_PRIVATE)
    assert "AYEKFALV" not in repr(signer) + str(signer)
    damaged = GO_PRIVATE[:-3] + "###"
    with pytest.raises(NoteError) as error:
        SignerKey.parse(damaged)
    assert "AYEKFALV" not in str(error.value)


@given(st.integers(0, len(bytes(sign_note(TEXT, [SIGNER]))) - 1), st.integers(1, 255))
def test_a_note_with_any_byte_changed_is_refused_or_signed_by_nobody_known(at, by):
    data = bytearray(bytes(sign_note(TEXT, [SIGNER])))
    data[at] ^= by
    try:
        assert Note.parse(bytes(data)).signed_by([SIGNER.verifier]) == []
    except NoteError:
        return


def test_signatures_of_others_are_passed_over_also_under_our_name_or_with_our_id():
    namesake = SignerKey.from_seed(ORIGIN, b"\x08" * 32)
    note = sign_note(TEXT, [namesake, SIGNER])
    assert [key for key, _ in note.signed_by([SIGNER.verifier])] == [SIGNER.verifier]
    assert sign_note(TEXT, [namesake]).signed_by([SIGNER.verifier]) == []


def test_two_keys_of_a_log_may_sign_and_either_verifies():
    newer = SignerKey.from_seed(ORIGIN, b"\x08" * 32)
    note = Note.parse(bytes(sign_note(TEXT, [SIGNER, newer])))
    for signer in (SIGNER, newer):
        assert [key for key, _ in note.signed_by([signer.verifier])] == [signer.verifier]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n\xe2\x80\x94 name\n",
        b"te\x00xt\n\n" + EXAMPLE[-100:],
        b"\xff\n\n",
        EXAMPLE[:-1],
    ],
)
def test_what_is_no_note_is_refused(data):
    with pytest.raises(NoteError):
        Note.parse(data)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "name",
        "a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        EXAMPLE_KEY.replace("530d903a", "530d903b"),
        EXAMPLE_KEY.replace("foo", "bar"),
        EXAMPLE_KEY[:-1],
    ],
)
def test_what_is_no_verifier_key_is_refused(key):
    with pytest.raises(NoteError):
        VerifierKey.parse(key)


def test_a_cosignature_bears_its_time_and_doesnt_pass_for_a_logs_signature():
    witness = SignerKey.from_seed("witness.test/w1", b"\x09" * 32, KeyType.COSIGNATURE)
    note = sign_note(TEXT, [SIGNER]).with_signatures([witness.cosign(TEXT, 1_679_315_147)])
    assert len(note.signed_by([SIGNER.verifier, witness.verifier])) == 2
    later = bytearray(note.signatures[1].data)
    later[7] ^= 1
    moved = note.with_signatures([])
    changed = type(moved.signatures[1])(witness.verifier.name, witness.verifier.id, bytes(later))
    with pytest.raises(NoteError, match="doesn't fit"):
        sign_note(TEXT, [SIGNER]).with_signatures([changed]).signed_by([witness.verifier])
    with pytest.raises(NoteError):
        witness.sign(TEXT)
    with pytest.raises(NoteError):
        SIGNER.cosign(TEXT, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n5\n",
        "a\n05\nAAAA\n",
        "a\n5\nAAAA\n",
        TEXT.replace("\n5\n", "\n-5\n"),
        TEXT[:-1],
        TEXT.replace("\n5\n", "\n\n5\n"),
    ],
)
def test_what_is_no_checkpoint_is_refused(text):
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


def test_a_checkpoint_may_have_further_lines():
    checkpoint = Checkpoint.parse(TEXT + "more\n")
    assert checkpoint.extensions == ("more",)
    assert checkpoint.text() == TEXT + "more\n"
