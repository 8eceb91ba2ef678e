import msgspec
import pytest

from schemas.donation import Donation, decode_donation, encode_donation

EXAMPLE = b"""{"donation_id": "1400000000000000001:0", "seq": 81723, "order_id": "1400000000000000001", "line": 0,
 "buyer_id": "b350371", "merchant_id": "m20403", "item_id": "i1", "project_id": "P0001", "fen": 2,
 "donated_at": 1605024000000, "source_offset": 70012}"""

DONATION = Donation(
    donation_id="1400000000000000001:0",
    seq=81723,
    order_id="1400000000000000001",
    line=0,
    buyer_id="b350371",
    merchant_id="m20403",
    item_id="i1",
    project_id="P0001",
    fen=2,
    donated_at=1605024000000,
    source_offset=70012,
)


def test_the_contracts_example_is_read_as_it_stands():
    assert decode_donation(EXAMPLE) == DONATION


def test_a_donation_comes_back_as_it_went():
    assert decode_donation(encode_donation(DONATION)) == DONATION


def test_a_donation_is_written_with_its_fields_in_the_order_of_the_contract():
    assert encode_donation(DONATION) == EXAMPLE.replace(b": ", b":").replace(b", ", b",").replace(b",\n ", b",")


def test_fields_that_we_dont_know_are_ignored():
    assert decode_donation(EXAMPLE.replace(b'"seq"', b'"charity_id": "c1", "seq"')) == DONATION


@pytest.mark.parametrize("field", Donation.__struct_fields__)
def test_every_field_must_be_there(field):
    with pytest.raises(msgspec.ValidationError, match=field):
        decode_donation(EXAMPLE.replace(b'"%s"' % field.encode(), b'"_%s"' % field.encode()))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fen", b"0"),
        ("fen", b"-2"),
        ("fen", b"2.0"),
        ("fen", b"1000000000001"),
        ("fen", b'"2"'),
        ("line", b"65536"),
        ("seq", b"-1"),
        ("seq", b"9223372036854775808"),
        ("source_offset", b"-1"),
        ("donated_at", b"0"),
        ("donated_at", b"253402300800000"),
        ("project_id", b'""'),
    ],
)
def test_a_field_out_of_range_is_named(field, value):
    whole = msgspec.json.decode(EXAMPLE, type=dict[str, msgspec.Raw])
    wrong = msgspec.json.encode({**whole, field: msgspec.Raw(value)})
    with pytest.raises(msgspec.ValidationError) as raised:
        decode_donation(wrong)
    assert f"$.{field}" in str(raised.value)


def test_a_donation_is_frozen():
    with pytest.raises(AttributeError):
        DONATION.fen = 3  # type: ignore[misc]
