"""The leaf's form: to the byte, without the buyer, and openable by the receipt's salt."""

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.donation import Donation
from streams.ledger.leaf import Leaf, LeafError, Salts, decode_leaf, donor_of, encode_leaf, entries_of, leaf_of
from tests.ledger.parts import SALTS, donation, entries, records

IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="|"), min_size=1, max_size=64)


def test_a_leaf_to_the_byte():
    assert encode_leaf(leaf_of(donation(3), SALTS)) == (
        b'{"donated_at":1605024000003,"donation_id":"1400000000000000003:0",'
        b'"donor":"3fbed3654307fedd76e703124a7342973585eb6616c736d427798ba056a694fe","fen":5,"item_id":"i1","line":0,'
        b'"merchant_id":"m20403","order_id":"1400000000000000003","project_id":"P0003","seq":3,"source_offset":14}'
    )


@given(IDS, IDS, IDS, st.integers(0, 2**53), st.integers(1, 10**12))
def test_the_form_is_that_of_rfc_8785(order, item, buyer, seq, fen):
    """For text without control characters Python's own JSON, with sorted names and no spaces, is that form."""
    leaf = leaf_of(Donation(f"{order}:7", seq, order, 7, buyer, item, item, order, fen, 1, seq), SALTS)
    entry = encode_leaf(leaf)
    as_dict = {name: getattr(leaf, name) for name in Leaf.__struct_fields__}
    assert entry.decode() == json.dumps(as_dict, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert decode_leaf(entry) == leaf


def test_the_commitment_is_what_the_documents_say():
    secret, one = bytes(range(32)), donation(0)
    salt = hmac.digest(secret, one.donation_id.encode(), "sha256")
    assert Salts(secret).of(one.donation_id) == salt
    assert leaf_of(one, SALTS).donor == hashlib.sha256(salt + one.buyer_id.encode()).hexdigest()
    assert donor_of(salt, one.buyer_id) != donor_of(salt, "b1")


@given(st.text(max_size=200), st.binary(min_size=32, max_size=32))
def test_salts_are_hmac_by_the_standard_library(donation_id, secret):
    donation_id = donation_id.encode("utf-8", "replace").decode()
    assert Salts(secret).of(donation_id) == hmac.digest(secret, donation_id.encode(), "sha256")


def test_no_entry_holds_the_buyer_and_one_buyers_donations_have_nothing_in_common():
    same = [leaf_of(donation(seq), SALTS).donor for seq in (0, 97, 194)]
    assert {donation(seq).buyer_id for seq in (0, 97, 194)} == {"b0"}
    assert len(set(same)) == 3
    assert all(b"buyer" not in entry for entry in entries(0, 200))


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"{}",
        b" " + entries(0, 1)[0],
        entries(0, 1)[0].replace(b'"fen":2', b'"fen": 2'),
        entries(0, 1)[0].replace(b'"fen":2', b'"fen":2.0'),
        entries(0, 1)[0].replace(b"}", b',"x":1}'),
        entries(0, 1)[0].replace(b'"i1"', b'"\\u0069\\u0031"'),
        entries(0, 1)[0].replace(b'"fen":2,', b'"fen":1,"fen":2,'),
        entries(0, 1)[0].replace(b'","fen"', b'\\n","fen"'),  # a new line behind the commitment
    ],
)
def test_what_is_not_in_its_one_right_form_is_no_leaf(entry):
    with pytest.raises(LeafError):
        decode_leaf(entry)


def test_a_gap_a_repeat_and_a_record_that_is_no_donation_are_told_with_their_offsets():
    for wrong in (records(0, 3) + records(4, 5), records(0, 3) + records(2, 3)):
        with pytest.raises(LeafError, match=r"has seq \d, but 3 must come"):
            entries_of(wrong, 0, SALTS)
    broken = records(0, 1)
    broken[0].value = b"{"
    with pytest.raises(LeafError, match="offset 0 is not a donation"):
        entries_of(broken, 0, SALTS)
