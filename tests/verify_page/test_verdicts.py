"""The page's verifier and the one in Python give the same verdict on the same bytes, in a real Chromium."""

import random

import pytest

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.leaf import decode_leaf, encode_leaf
from streams.ledger.notes import KeyType, Note, Signature, SignerKey, sign_note
from streams.ledger.receipt import Promise, Receipt, make_receipt
from streams.ledger.tree import EMPTY_ROOT
from tests.ledger.parts import ORIGIN, SALTS, SIGNER, published_log
from tests.verify_page.parts import a_page, same_verdicts, write_page

SIZE = 700
BUYER = "b9"  # who gave donation 300
OTHER = SignerKey.from_seed("everycent.test/donations/1", b"\x07" * 32)
NAMESAKE = SignerKey.from_seed(ORIGIN, b"\x01" * 32)
WITNESS = SignerKey.from_seed("witness.test", b"\x05" * 32, KeyType.COSIGNATURE)
KEYS = (SIGNER.verifier,)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return published_log(tmp_path_factory.mktemp("log"), SIZE)


@pytest.fixture(scope="module")
def receipt(log):
    return make_receipt(log.log, log.log.note(), 300, SALTS)


@pytest.fixture
async def page(tmp_path):
    async with a_page(write_page(tmp_path)) as page:
        yield page


def changed(receipt: Receipt, **fields) -> bytes:
    values = {name: getattr(receipt, name) for name in ("index", "proof", "note", "entry", "salt")}
    return bytes(Receipt(**{**values, **fields}))


async def test_a_right_receipt_of_every_kind_of_place_in_the_tree_is_right(page, log):
    receipts = [bytes(make_receipt(log.log, log.log.note(), index, SALTS)) for index in range(0, SIZE, 3)]
    assert set(await same_verdicts(page, receipts, KEYS, None)) == {None}
    assert set(await same_verdicts(page, receipts[100:101], KEYS, BUYER)) == {None}


async def test_every_byte_changed_in_any_of_two_ways_is_caught_with_the_promise_that_python_names(page, receipt):
    data, tampered = bytes(receipt), []
    for at in range(len(data)):
        for flip in (1 << at % 8, 0x15):
            other = bytearray(data)
            other[at] ^= flip
            tampered.append(bytes(other))
    seen = await same_verdicts(page, tampered, KEYS, BUYER)
    assert len(seen) == 2 * len(data)
    assert set(seen) == {Promise.FORM, Promise.SIGNATURE, Promise.INCLUSION, Promise.DONOR}


async def test_every_byte_taken_out_or_doubled_and_any_end_cut_off_is_caught(page, receipt):
    data = bytes(receipt)
    tampered = [data[:at] + data[at + 1 :] for at in range(len(data))]
    tampered += [data[:at] for at in range(len(data))]
    tampered += [data[: at + 1] + data[at:] for at in range(len(data))]
    assert None not in await same_verdicts(page, tampered, KEYS, BUYER)


async def test_lines_that_are_swapped_left_out_doubled_or_another_receipts_are_caught(page, receipt, log):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    lines = bytes(receipt).splitlines(keepends=True)
    others = [
        line
        for index in (0, 301, 699)
        for line in bytes(make_receipt(log.log, log.log.note(), index, SALTS)).splitlines(keepends=True)
    ]
    tampered = []
    while len(tampered) < 500:
        mixed = list(lines)
        for _ in range(chance.randint(1, 3)):
            at, to = chance.randrange(len(mixed)), chance.randrange(len(mixed))
            match chance.randrange(4):
                case 0:
                    mixed[at], mixed[to] = mixed[to], mixed[at]
                case 1:
                    del mixed[at]
                case 2:
                    mixed.insert(to, mixed[at])
                case 3:
                    mixed[at] = chance.choice(others)
        if mixed != lines:
            tampered.append(b"".join(mixed))
    # A signature that stands twice is one: the format asks for that. Up to three are added above.
    harmless = {bytes(receipt) + lines[-1] * more for more in range(1, 4)}
    tampered += sorted(harmless)
    for mixed, verdict in zip(tampered, await same_verdicts(page, tampered, KEYS, BUYER), strict=True):
        assert (verdict is None) == (mixed in harmless)


async def test_what_was_changed_is_named(page, receipt, log):
    leaf = decode_leaf(receipt.entry)
    richer = encode_leaf(type(leaf)(**{**{n: getattr(leaf, n) for n in leaf.__struct_fields__}, "fen": 999}))
    larger, other = Checkpoint(ORIGIN, SIZE + 1, log.root_at(SIZE)), Checkpoint(ORIGIN, SIZE, EMPTY_ROOT)
    forged = {
        changed(receipt, entry=richer): "inclusion",
        changed(receipt, index=301): "inclusion",
        changed(receipt, index=SIZE): "inclusion",
        changed(receipt, proof=receipt.proof[:-1]): "inclusion",
        changed(receipt, proof=(*receipt.proof, EMPTY_ROOT)): "inclusion",
        changed(receipt, proof=(EMPTY_ROOT,) * 65): "form",
        changed(receipt, proof=receipt.proof[::-1]): "inclusion",
        changed(receipt, salt=bytes(32)): "donor",
        changed(receipt, note=Note(larger.text(), receipt.note.signatures)): "signature",
        changed(receipt, note=sign_note(other.text(), [SIGNER])): "inclusion",
    }
    assert await same_verdicts(page, list(forged), KEYS, BUYER) == list(forged.values())


async def test_another_key_another_logs_key_and_a_witness_alone_are_no_signature_and_a_witness_beside_is(page, receipt):
    note, text = receipt.note, receipt.note.text
    cosigned = note.with_signatures([WITNESS.cosign(text, 1_605_024_000)])
    early = Note(text, (WITNESS.cosign(text, 1), *note.signatures))
    moved = Signature("witness.test", WITNESS.verifier.id, (2).to_bytes(8, "big") + early.signatures[0].data[8:])
    cases = [
        (note, (NAMESAKE,), "signature"),
        (note, (OTHER,), "signature"),
        (note, (WITNESS,), "signature"),
        (sign_note(text, [OTHER]), (SIGNER, OTHER), "signature"),
        (sign_note(text, [SIGNER, OTHER]), (SIGNER, OTHER), "signature"),
        (sign_note(text, [OTHER, NAMESAKE, SIGNER]), (SIGNER,), None),
        (cosigned, (SIGNER,), None),
        (cosigned, (WITNESS, SIGNER), None),
        (early, (SIGNER, WITNESS), None),
        (Note(text, (moved, *note.signatures)), (SIGNER, WITNESS), "signature"),
        (Note(text, (moved, *note.signatures)), (SIGNER,), None),
        (
            Note(text, (Signature("witness.test", WITNESS.verifier.id, b"x"), *note.signatures)),
            (WITNESS, SIGNER),
            "signature",
        ),
        (Note(text, (*note.signatures, Signature(ORIGIN, SIGNER.verifier.id, b"later"))), (SIGNER,), None),
        (Note(text, (Signature(ORIGIN, SIGNER.verifier.id, b"sooner"), *note.signatures)), (SIGNER,), "signature"),
        (Note(text, note.signatures * 100), (SIGNER,), None),
        (Note(text, note.signatures * 101), (SIGNER,), "form"),
    ]
    for number, (noted, keys, verdict) in enumerate(cases):
        found = await same_verdicts(page, [changed(receipt, note=noted)], [key.verifier for key in keys], BUYER)
        assert found == [verdict], number
