"""Leaves made in Rust are Python's to the byte, and what Python refuses is refused in the same words."""

import random

import pytest
from aiokafka.errors import CorruptRecordException
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import limits
from schemas.donation import Donation, encode_donation
from streams.ledger.leaf import Salts
from streams.ledger.tiles import TILE_WIDTH, leaves_of, pack_entries
from streams.ledger.tree import complete_root
from streams.ledger_service.leaves import LeafMaker, hashing
from streams.native import extension
from tests.ledger.parts import SALTS, donation, entries
from tests.native.batches import packed
from tests.native.leaves import checked_alike, leaves_of_anything, looked_through, made, made_alike, record
from tests.native.leaves import taken_without_asking as taken_without_asking_at
from tests.native.test_order import NUMBERS, TEXTS

SEQ = 7
VALUE = encode_donation(donation(SEQ))
BUNDLE = pack_entries(entries(0, TILE_WIDTH))
NUMBERED = ["seq", "line", "fen", "donated_at", "source_offset"]
NAMED = ["donation_id", "order_id", "buyer_id", "merchant_id", "item_id", "project_id"]


def taken_without_asking(**changed) -> bool:
    fields = {name: getattr(donation(SEQ), name) for name in Donation.__struct_fields__} | changed
    return taken_without_asking_at(encode_donation(Donation(**fields)), SEQ)


def with_member(name: str, written: bytes, value: bytes = VALUE) -> bytes:
    """`value` with that member written so."""
    start = value.index(b'"%s":' % name.encode()) + len(name) + 3
    end = min(at for at in (value.find(b",", start), value.find(b"}", start)) if at > 0)
    return value[:start] + written + value[end:]


@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 256), (0, 257), (5, 251), (5, 252), (511, 1), (300, 900)])
def test_donations_give_the_same_leaves_wherever_a_fetch_begins_and_ends(first, count, codec):
    hashes, pieces = made_alike([record(seq) for seq in range(first, first + count)], first, codec, 100)
    expected = leaves_of(entries(first, first + count), first)
    assert (hashes, pieces) == (expected.hashes, expected.packed)


def test_nothing_gives_no_leaves():
    fetched = packed([record(0), record(1)]).since(2)
    assert made(fetched, 9, native=True) == made([], 9, native=False) == (b"", [])


def test_a_fetch_is_taken_from_its_position_on():
    fetched = packed([record(seq) for seq in range(40)], batch_records=16)
    assert made(fetched.since(20), 20, native=True) == made([record(seq) for seq in range(20, 40)], 20, native=False)


@pytest.mark.parametrize("name", NUMBERED)
def test_any_number_in_any_place_gives_the_same_leaf_or_refusal(name):
    for number in NUMBERS:
        made_alike([record(SEQ, with_member(name, number))], SEQ)


@pytest.mark.parametrize("name", NAMED)
def test_any_text_in_any_place_gives_the_same_leaf_or_refusal(name):
    for text in TEXTS:
        made_alike([record(SEQ, with_member(name, text))], SEQ)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b" " + VALUE,
        VALUE + b"\n",
        VALUE + b"x",
        VALUE[:-1],
        VALUE.replace(b":", b": "),
        VALUE.replace(b'"line":0,', b""),
        VALUE.replace(b'"line":0,', b'"line":0,"line":0,'),
        VALUE.replace(b'"line":0,', b'"line":0,"x":[1],'),
        VALUE.replace(b'"line":0,"buyer_id":"b7"', b'"buyer_id":"b7","line":0'),
        VALUE.replace(b'"line"', b'"l\\u0069ne"'),
        VALUE.replace(b"b7", b"\xff"),
        VALUE * 2,
    ],
)
def test_any_other_shape_gives_the_same_leaf_or_refusal(value):
    made_alike([record(SEQ, value)], SEQ)


def test_a_gap_a_repeat_and_a_record_without_a_value_are_told_in_the_same_words():
    for seqs in ([0, 1, 3], [0, 1, 1], [1, 2]):
        records = [record(offset, encode_donation(donation(seq))) for offset, seq in enumerate(seqs)]
        outcome = made_alike(records, 0)
        assert outcome.startswith("LeafError: the donation at offset ")
    fetched = packed([type(record(0))(0, 1_000, b"b1", None)])
    assert made(fetched, 0, native=True).startswith("LeafError: the record at offset 0 is not a donation")


def test_an_entry_that_is_too_long_is_told_in_the_same_words():
    value = with_member("donation_id", b'"%b"' % (b"x" * 66_000))
    assert "longer than 65535 bytes" in made_alike([record(SEQ, value)], SEQ)


ANY_TEXT = st.one_of(st.text(max_size=66), st.sampled_from(['"', "\\", 'a\\"b', "\u2028", "😀" * 64, "\x7f", "|"]))


@settings(max_examples=300)
@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_ids_of_any_characters_give_the_same_leaf_under_any_secret(order_id, buyer_id, item_id, seq, secret):
    one = Donation(f"{order_id}:1", seq, order_id, 1, buyer_id, item_id, item_id, order_id, 5, 1, seq)
    value = encode_donation(one).decode("utf-8", "replace").encode()
    salts = Salts(secret)
    outcomes = []
    for native in (True, False):
        try:
            fetched = packed([record(5, value)]) if native else [record(5, value)]
            leaves = LeafMaker(salts, native=native).make(fetched, seq)
            outcomes.append((leaves.hashes, list(leaves.packed)))
        except ValueError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        *[({name: "x" * limits.ID_MAX_CHARACTERS}, {name: "x" * (limits.ID_MAX_CHARACTERS + 1)}) for name in NAMED[1:]],
        *[({name: "x"}, {name: ""}) for name in NAMED[1:]],
        ({"line": limits.LINE_NUMBER_MAX}, {"line": limits.LINE_NUMBER_MAX + 1}),
        ({"fen": 1}, {"fen": 0}),
        ({"fen": limits.PAID_FEN_MAX}, {"fen": limits.PAID_FEN_MAX + 1}),
        ({"donated_at": limits.EVENT_TIME_MIN_MS}, {"donated_at": limits.EVENT_TIME_MIN_MS - 1}),
        ({"donated_at": limits.EVENT_TIME_MAX_MS}, {"donated_at": limits.EVENT_TIME_MAX_MS + 1}),
        ({"source_offset": limits.INT64_MAX}, {"source_offset": limits.INT64_MAX + 1}),
    ],
)
def test_what_workers_write_is_taken_without_asking_and_the_limits_are_those_of_the_contract(right, wrong):
    assert taken_without_asking(**right)
    fields = {name: getattr(donation(SEQ), name) for name in Donation.__struct_fields__} | wrong
    outcome = made_alike([record(SEQ, encode_donation(Donation(**fields)))], SEQ)
    assert outcome.startswith("LeafError: the record at offset 7 is not a donation")


def test_a_flipped_bit_of_a_fetch_is_found_or_changes_nothing():
    data = packed([record(seq) for seq in range(30)]).data
    expected = made([record(seq) for seq in range(30)], 0, native=False)
    maker = extension.LeafMaker(SALTS.secret, lambda *_: b"\0\0")
    for at in range(8, len(data)):
        harmed = bytearray(data)
        harmed[at] ^= 1 << at % 8
        try:
            found = maker.make(bytes(harmed), [], 0, 0)
        except extension.CorruptRecordsError:
            continue
        assert found in (expected, (b"", []))  # a length that reads too long looks like the end of the fetch


def test_damaged_bytes_are_told_as_aiokafka_tells_them():
    fetched = packed([record(seq) for seq in range(30)])
    fetched.data = fetched.data[:70] + bytes([fetched.data[70] ^ 1]) + fetched.data[71:]
    with pytest.raises(CorruptRecordException):
        LeafMaker(SALTS, native=True).make(fetched, 0)


def test_what_the_judge_raises_ends_it_and_what_it_gives_is_no_bytes_is_told():
    fetched = packed([record(0, b"{")])

    def judge(*_):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        extension.LeafMaker(SALTS.secret, judge).make(fetched.data, [], 0, 0)
    with pytest.raises(TypeError):
        extension.LeafMaker(SALTS.secret, lambda *_: "text").make(fetched.data, [], 0, 0)


def test_without_the_extension_packed_donations_give_the_same():
    records = [record(seq) for seq in range(300)]
    assert made(packed(records), 0, native=False) == made(records, 0, native=False)
    assert hashing(native=False).check_bundle(BUNDLE, TILE_WIDTH, 0) is None


@pytest.mark.parametrize("level", range(9))
def test_roots_of_complete_trees_are_the_same(level):
    hashes = random.Random(level).randbytes(32 << level)
    assert extension.complete_root(hashes) == complete_root(hashes)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 96, 32 * 255, 32 * 256 + 1])
def test_what_is_no_complete_tree_has_no_root(size):
    with pytest.raises(ValueError, match=f"{size} bytes are not"):
        extension.complete_root(bytes(size))


def test_a_bundle_as_it_is_published_is_taken_without_asking():
    assert checked_alike(BUNDLE)
    assert checked_alike(BUNDLE, 100)
    assert checked_alike(BUNDLE + b"more")
    assert not checked_alike(BUNDLE, 257)
    assert not checked_alike(BUNDLE, TILE_WIDTH, 1)
    assert not checked_alike(BUNDLE, TILE_WIDTH, 2**64 - 1)
    assert not checked_alike(b"", 1)
    assert looked_through(BUNDLE, TILE_WIDTH, 0) == leaves_of(entries(0, TILE_WIDTH), 0).hashes


def test_no_changed_byte_of_an_entry_makes_rust_take_what_python_refuses():
    data = pack_entries(entries(0, 2))
    for at in range(len(data)):
        for changed in (data[at] ^ 1, data[at] ^ 32, ord("0"), ord('"'), ord("A"), 0xFF):
            checked_alike(data[:at] + bytes([changed]) + data[at + 1 :], 2)
        checked_alike(data[:at], 2)
        checked_alike(data[:at] + data[at + 1 :], 2)


def test_hostile_donations_and_bundles_give_the_same():
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    leaves_of_anything(random.Random(seed), 300)
