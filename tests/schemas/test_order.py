import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import limits
from schemas.fields import ID_FORBIDDEN
from schemas.order import FixedPledge, OrderCompleted, OrderLine, RatePledge, decode_order, encode_order
from schemas.rejection import Reason, Refusal

MISSING: Any = object()


def line(**changes):
    found = {"line": 0, "item_id": "i1", "paid_fen": 4990, "pledge": {"kind": "fixed", "project_id": "P1", "fen": 2}}
    return _changed(found, changes)


def order(**changes):
    found = {"order_id": "o1", "buyer_id": "b1", "merchant_id": "m1", "completed_at": 1605024000000, "lines": [line()]}
    return _changed(found, changes)


def _changed(found, changes):
    return {name: value for name, value in {**found, **changes}.items() if value is not MISSING}


def value_of(**changes):
    return json.dumps(order(**changes)).encode()


def refusal_of(value, key=b"b1"):
    refusal = decode_order(key, value)
    assert isinstance(refusal, Refusal), refusal
    return refusal


def accepted(value, key=b"b1"):
    found = decode_order(key, value)
    assert isinstance(found, OrderCompleted), found
    return found


def test_the_contracts_example_is_read_as_it_stands():
    value = b"""{"order_id": "1400000000000000001", "buyer_id": "b350371", "merchant_id": "m20403",
     "completed_at": 1605024000000, "lines": [
      {"line": 0, "item_id": "i1", "paid_fen": 4990, "pledge": {"kind": "fixed", "project_id": "P0001", "fen": 2}},
      {"line": 1, "item_id": "i2", "paid_fen": 12900, "pledge": {"kind": "rate", "project_id": "P0002", "bps": 30}},
      {"line": 2, "item_id": "i3", "paid_fen": 100, "pledge": null}]}"""
    assert accepted(value, b"b350371") == OrderCompleted(
        "1400000000000000001",
        "b350371",
        "m20403",
        1605024000000,
        (
            OrderLine(0, "i1", 4990, FixedPledge("P0001", 2)),
            OrderLine(1, "i2", 12900, RatePledge("P0002", 30)),
            OrderLine(2, "i3", 100, None),
        ),
    )


def test_a_line_without_a_pledge_is_an_ordinary_item():
    assert accepted(value_of(lines=[line(pledge=MISSING)])).lines[0].pledge is None


def test_fields_that_we_dont_know_are_ignored_at_every_level():
    pledge = {"kind": "rate", "project_id": "P1", "bps": 1, "x": [1]}
    assert accepted(value_of(lines=[line(pledge=pledge, x={"y": None})], x=1.5)).lines[0].pledge == RatePledge("P1", 1)


FIELDS_WITH_A_FAULT = [
    ("order_id", order(order_id=MISSING)),
    ("order_id", order(order_id=None)),
    ("order_id", order(order_id=7)),
    ("$.order_id", order(order_id="")),
    ("$.order_id", order(order_id="x" * 65)),
    ("buyer_id", order(buyer_id=MISSING)),
    ("$.buyer_id", order(buyer_id=["b1"])),
    ("merchant_id", order(merchant_id=MISSING)),
    ("$.merchant_id", order(merchant_id={})),
    ("completed_at", order(completed_at=MISSING)),
    ("$.completed_at", order(completed_at=0)),
    ("$.completed_at", order(completed_at=-1)),
    ("$.completed_at", order(completed_at=253402300800000)),
    ("$.completed_at", order(completed_at=1605024000000.0)),
    ("$.completed_at", order(completed_at="1605024000000")),
    ("$.completed_at", order(completed_at=True)),
    ("lines", order(lines=MISSING)),
    ("$.lines", order(lines=None)),
    ("$.lines", order(lines={})),
    ("$.lines", order(lines=[])),
    ("$.lines", order(lines=[line(line=number) for number in range(201)])),
    ("$.lines[0]", order(lines=["line"])),
    ("`line` - at `$.lines[0]`", order(lines=[line(line=MISSING)])),
    ("$.lines[1].line", order(lines=[line(), line(line=-1)])),
    ("$.lines[0].line", order(lines=[line(line=65536)])),
    ("$.lines[0].line", order(lines=[line(line=False)])),
    ("`item_id` - at `$.lines[0]`", order(lines=[line(item_id=MISSING)])),
    ("$.lines[0].item_id", order(lines=[line(item_id="")])),
    ("`paid_fen` - at `$.lines[0]`", order(lines=[line(paid_fen=MISSING)])),
    ("$.lines[0].paid_fen", order(lines=[line(paid_fen=0)])),
    ("$.lines[0].paid_fen", order(lines=[line(paid_fen=10**12 + 1)])),
    ("$.lines[0].paid_fen", order(lines=[line(paid_fen=49.9)])),
    ("$.lines[0].paid_fen", order(lines=[line(paid_fen=2**63)])),
    ("$.lines[0].paid_fen", order(lines=[line(paid_fen=2**64)])),
    ("$.lines[0].paid_fen", order(lines=[line(paid_fen=-(2**63) - 1)])),
    ("$.lines[0].pledge", order(lines=[line(pledge=[])])),
    ("`kind` - at `$.lines[0].pledge`", order(lines=[line(pledge={"project_id": "P1", "fen": 2})])),
    ("$.lines[0].pledge.kind", order(lines=[line(pledge={"kind": "gift", "project_id": "P1", "fen": 2})])),
    ("`project_id` - at `$.lines[0].pledge`", order(lines=[line(pledge={"kind": "fixed", "fen": 2})])),
    ("$.lines[0].pledge.project_id", order(lines=[line(pledge={"kind": "fixed", "project_id": "", "fen": 2})])),
    ("`fen` - at `$.lines[0].pledge`", order(lines=[line(pledge={"kind": "fixed", "project_id": "P1", "bps": 2})])),
    ("$.lines[0].pledge.fen", order(lines=[line(pledge={"kind": "fixed", "project_id": "P1", "fen": 0})])),
    ("$.lines[0].pledge.fen", order(lines=[line(pledge={"kind": "fixed", "project_id": "P1", "fen": 10**12 + 1})])),
    ("$.lines[0].pledge.bps", order(lines=[line(pledge={"kind": "rate", "project_id": "P1", "bps": 0})])),
    ("$.lines[0].pledge.bps", order(lines=[line(pledge={"kind": "rate", "project_id": "P1", "bps": 10001})])),
    ("$.lines[0].pledge.bps", order(lines=[line(pledge={"kind": "rate", "project_id": "P1", "bps": 0.5})])),
]


@pytest.mark.parametrize(("place", "faulty"), FIELDS_WITH_A_FAULT)
def test_a_field_that_is_missing_or_wrong_is_named(place, faulty):
    refusal = refusal_of(json.dumps(faulty).encode())
    assert refusal.reason is Reason.INVALID
    assert place in refusal.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"completed_at": 1},
        {"completed_at": 253402300799999},
        {"order_id": "x" * 64},
        {"order_id": "订" * 64},
        {"order_id": "😀" * 64},
        {"order_id": " "},
        {"merchant_id": "商家-42é"},
        {"lines": [line(line=number) for number in range(200)]},
        {"lines": [line(line=65535, paid_fen=1)]},
        {"lines": [line(paid_fen=10**12)]},
        {"lines": [line(pledge={"kind": "fixed", "project_id": "P1", "fen": 10**12})]},
        {"lines": [line(pledge={"kind": "rate", "project_id": "P1", "bps": 10000})]},
    ],
)
def test_the_limits_themselves_are_within(changes):
    assert encode_order(accepted(value_of(**changes)))


@pytest.mark.parametrize("text", ["x" * 65, "订" * 65, "😀" * 65])
def test_an_id_is_counted_in_characters_not_in_bytes(text):
    assert "$.order_id" in refusal_of(value_of(order_id=text)).detail
    assert accepted(value_of(order_id=text[:64])).order_id == text[:64]


CONTROL_CHARACTERS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]


@pytest.mark.parametrize("character", [*CONTROL_CHARACTERS, "|"])
@pytest.mark.parametrize("escaped", [True, False])
def test_an_id_with_a_control_character_or_a_bar_is_refused_however_it_is_written(character, escaped):
    written = f"\\u{ord(character):04x}" if escaped else character
    value = json.dumps(order(order_id="o-1")).replace("o-1", f"o{written}1").encode()
    refusal = refusal_of(value)
    if not escaped and character < " ":  # JSON has no control characters as they are
        assert refusal.reason is Reason.NOT_JSON
    else:
        assert refusal == (Reason.INVALID, "Expected an id without control characters and `|` - at `$.order_id`")


@pytest.mark.parametrize(
    ("place", "faulty"),
    [
        ("$.order_id", order(order_id="a|b")),
        ("$.buyer_id", order(buyer_id="a|b")),
        ("$.merchant_id", order(merchant_id="a|b")),
        ("$.lines[1].item_id", order(lines=[line(), line(line=1, item_id="a|b")])),
        (
            "$.lines[0].pledge.project_id",
            order(lines=[line(pledge={"kind": "fixed", "project_id": "a|b", "fen": 2})]),
        ),
        ("$.lines[0].pledge.project_id", order(lines=[line(pledge={"kind": "rate", "project_id": "a|b", "bps": 2})])),
    ],
)
def test_every_id_is_held_to_the_rule(place, faulty):
    refusal = refusal_of(json.dumps(faulty).encode(), key=faulty["buyer_id"].encode())
    assert refusal.reason is Reason.INVALID
    assert f"`{place}`" in refusal.detail


def test_a_bar_or_an_escape_outside_the_ids_does_no_harm():
    assert accepted(value_of(note='a|b\n\x7f"'))


def test_an_escaped_letter_is_the_letter():
    assert accepted(value_of().replace(b'"o1"', b'"\\u006f1"')).order_id == "o1"
    assert accepted(value_of().replace(b'"order_id"', b'"order\\u005fid"')).order_id == "o1"


def test_line_numbers_must_be_unique_but_need_no_order():
    refusal = refusal_of(value_of(lines=[line(line=3), line(line=1), line(line=3)]))
    assert refusal.reason is Reason.INVALID
    assert "$.lines[...].line" in refusal.detail
    assert [at.line for at in accepted(value_of(lines=[line(line=3), line(line=1)])).lines] == [3, 1]


@pytest.mark.parametrize("key", [None, b"", b"b2", b"B1", b"b1 ", b"o1", b"\xff", b'"b1"'])
def test_the_key_must_be_the_buyer(key):
    refusal = refusal_of(value_of(), key)
    assert refusal.reason is Reason.INVALID
    assert "at key" in refusal.detail


def test_the_key_is_utf8():
    assert accepted(value_of(buyer_id="买家"), "买家".encode())
    assert accepted(json.dumps(order(buyer_id="买家"), ensure_ascii=False).encode(), "买家".encode())


NOT_JSON = [
    b"",
    b"   ",
    b"order",
    b"{",
    b"{]",
    b"'{}'",
    value_of()[:-1],
    value_of() + b" x",
    value_of() + value_of(),
    value_of().replace(b"1605024000000", b"NaN"),
    value_of().replace(b"1605024000000", b"Infinity"),
    value_of().replace(b"1605024000000", b"01605024000000"),
    value_of().replace(b"4990", b"0x137e"),
    value_of()[:-1] + b",}",
    value_of().decode().encode("utf-16"),
    b"\xef\xbb\xbf" + value_of(),
    b"\x00",
    b"\x1f\x8b\x08\x00",
]


@pytest.mark.parametrize("value", NOT_JSON)
def test_what_is_not_json_is_called_so(value):
    refusal = refusal_of(value)
    assert refusal.reason is Reason.NOT_JSON
    assert refusal.detail


@pytest.mark.parametrize("value", [b"null", b"[]", b"1", b'"order"', b"true"])
def test_json_that_is_no_object_is_invalid(value):
    refusal = refusal_of(value)
    assert refusal.reason is Reason.INVALID
    assert "Expected `object`" in refusal.detail


def test_a_tombstone_is_refused_in_words():
    assert refusal_of(None).reason is Reason.NOT_JSON
    assert "tombstone" in refusal_of(None).detail


INVALID_UTF8 = [b"\xff", b"\xc3\x28", b"\xe4\xb9", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"]


@pytest.mark.parametrize("raw", INVALID_UTF8)
@pytest.mark.parametrize("place", [b'"o1"', b'"P1"', b'"a field that we don\'t know"', b'"its name"'])
def test_invalid_utf8_is_refused_wherever_it_stands(raw, place):
    value = value_of(x="a field that we don't know", **{"its name": 1})
    assert place in value
    assert refusal_of(value.replace(place, b'"' + raw + b'"')).reason is Reason.NOT_JSON


@pytest.mark.parametrize("escape", [b"\\ud800", b"\\udfff", b"\\ud83dx", b"\\ud83d\\ud83d", b"\\ud83d\\n"])
@pytest.mark.parametrize("place", [b"o1", b"unknown"])
def test_half_a_surrogate_pair_is_not_text(escape, place):
    assert refusal_of(value_of(x="unknown").replace(place, escape + b"x")).reason is Reason.NOT_JSON


def test_a_whole_surrogate_pair_is_one_character():
    value = value_of().replace(b'"o1"', b'"' + b"\\ud83d\\ude00" * 64 + b'"')
    assert accepted(value).order_id == "😀" * 64


def test_of_a_field_that_stands_twice_the_last_counts():
    assert accepted(value_of().replace(b'"o1"', b'"o1", "order_id": "o2"')).order_id == "o2"


def test_an_integer_of_any_length_is_refused_or_ignored():
    digits = b"9" * 10_000
    assert "$.completed_at" in refusal_of(value_of().replace(b"1605024000000", digits)).detail
    assert accepted(value_of(x=0).replace(b'"x": 0', b'"x": ' + digits))


def nested(levels):
    """An order with an unknown field, `levels` deep all in all."""
    return value_of(x="@").replace(b'"@"', b"[" * (levels - 1) + b"]" * (levels - 1))


def decode_from_a_deep_stack(frames, value):
    return decode_order(b"b1", value) if frames == 0 else decode_from_a_deep_stack(frames - 1, value)


@pytest.mark.parametrize("frames", [0, 300])
def test_depth_is_refused_at_the_same_level_whoever_calls(frames):
    assert isinstance(decode_from_a_deep_stack(frames, nested(limits.NESTING_MAX)), OrderCompleted)
    refusal = decode_from_a_deep_stack(frames, nested(limits.NESTING_MAX + 1))
    assert refusal == (Reason.NOT_JSON, "nested deeper than 500 levels")


def test_brackets_in_text_and_side_by_side_are_not_depth():
    assert accepted(value_of(x='[{"[\\' * 1_000))
    assert accepted(value_of(x=[[]] * 10_000))


@pytest.mark.parametrize(
    "value",
    [b"[" * 2**20, b'{"a":' * 200_000, b'"' + b'\\"' * 500_000 + b"[" * 501, b"[" * 501 + b'"' * 1_000_001],
)
def test_a_megabyte_made_to_be_slow_is_refused_all_the_same(value):
    assert refusal_of(value).reason is Reason.NOT_JSON


def padded(size):
    value = value_of(x="")
    return value.replace(b'"x": ""', b'"x": "' + b"a" * (size - len(value)) + b'"')


def test_an_order_may_take_a_mebibyte_and_not_a_byte_more():
    assert accepted(padded(1_048_576))
    assert refusal_of(padded(1_048_577)) == (Reason.TOO_LARGE, "1048577 bytes; the limit is 1048576")


def test_too_large_goes_before_not_json_before_invalid():
    broken = b'{"order_id": 1, '
    assert refusal_of(broken + b" " * 2**20).reason is Reason.TOO_LARGE
    assert refusal_of(broken).reason is Reason.NOT_JSON
    assert refusal_of(broken + b'"x": "\xff"}').reason is Reason.NOT_JSON
    assert refusal_of(broken + b'"x": 1}').reason is Reason.INVALID


def test_types_go_before_ids_before_line_numbers_before_the_key():
    def detail(**changes):
        return refusal_of(value_of(**changes), b"someone else").detail

    twice = [line(), line()]
    assert "$.merchant_id" in detail(merchant_id=1, order_id="a|b", lines=twice)
    assert "$.order_id" in detail(order_id="a|b", lines=twice)
    assert "$.lines[...].line" in detail(lines=twice)
    assert "at key" in detail()


ids = st.text(min_size=1, max_size=64, alphabet=st.characters(codec="utf-8")).filter(
    lambda text: ID_FORBIDDEN.search(text) is None
)
pledges = st.one_of(
    st.none(),
    st.builds(FixedPledge, project_id=ids, fen=st.integers(1, 10**12)),
    st.builds(RatePledge, project_id=ids, bps=st.integers(1, 10_000)),
)
order_lines = st.builds(
    OrderLine, line=st.integers(0, 65_535), item_id=ids, paid_fen=st.integers(1, 10**12), pledge=pledges
)
orders = st.builds(
    OrderCompleted,
    order_id=ids,
    buyer_id=ids,
    merchant_id=ids,
    completed_at=st.integers(1, 253402300799999),
    lines=st.lists(order_lines, min_size=1, max_size=20, unique_by=lambda at: at.line).map(tuple),
)


@given(orders)
def test_every_valid_order_comes_back_as_it_went(given_order):
    assert decode_order(given_order.buyer_id.encode(), encode_order(given_order)) == given_order


@given(st.one_of(st.none(), st.binary()), st.one_of(st.none(), st.binary()))
def test_no_bytes_raise(key, value):
    assert isinstance(decode_order(key, value), Refusal)


@given(st.data())
def test_no_damage_to_an_order_raises(data):
    value = bytearray(value_of(x="é|", lines=[line(), line(line=1)]))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(value)))
        value[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    found = decode_order(b"b1", bytes(value))
    if isinstance(found, OrderCompleted):  # what was accepted must be an order: it survives its own encoding
        assert decode_order(b"b1", encode_order(found)) == found
