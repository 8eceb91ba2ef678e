import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.fields import ID_FORBIDDEN
from schemas.totals import ProjectTotal, TotalKey, WindowKind, decode_total, decode_total_key, encode_total

EXAMPLE = b"""{"project_id": "P0001", "window": "day", "start_ms": 1605024000000, "end_ms": 1605110400000,
 "start": "2020-11-11T00:00:00+08:00", "fen": 2388, "donations": 731, "late_fen": 0,
 "watermark_ms": 1605030000000, "final": false, "revision": 412}"""

project_ids = st.text(min_size=1, max_size=64, alphabet=st.characters(codec="utf-8")).filter(
    lambda text: ID_FORBIDDEN.search(text) is None
)


def test_the_contracts_example_is_read_as_it_stands():
    assert decode_total(EXAMPLE) == ProjectTotal(
        "P0001",
        WindowKind.DAY,
        1605024000000,
        1605110400000,
        "2020-11-11T00:00:00+08:00",
        2388,
        731,
        0,
        1605030000000,
        False,
        412,
    )


def test_a_total_comes_back_as_it_went_up_to_the_greatest_integer():
    total = ProjectTotal("P1", WindowKind.ALL, 0, None, None, 2**63 - 1, 2**53 + 1, 2**53 + 1, 0, True, 2**63 - 1)
    assert decode_total(encode_total(total)) == total


def test_the_window_of_all_is_written_with_nulls():
    total = ProjectTotal("P1", WindowKind.ALL, 0, None, None, 1, 1, 0, 0, False, 1)
    assert b'"end_ms":null,"start":null' in encode_total(total)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (EXAMPLE.replace(b'"day"', b'"week"'), "$.window"),
        (EXAMPLE.replace(b"2388", b"-1"), "$.fen"),
        (EXAMPLE.replace(b"2388", b"2388.0"), "$.fen"),
        (EXAMPLE.replace(b"2388", b"9223372036854775808"), "$.fen"),
        (EXAMPLE.replace(b'"revision": 412', b'"revised": 412'), "revision"),
    ],
)
def test_a_wrong_field_is_named(wrong, place):
    with pytest.raises(msgspec.ValidationError) as raised:
        decode_total(wrong)
    assert place in str(raised.value)


def test_the_windows_are_listed_shortest_first():
    assert list(WindowKind) == ["minute", "hour", "day", "month", "year", "all"]


def test_a_key_is_written_as_the_contract_says():
    assert TotalKey("P0001", WindowKind.DAY, 1605024000000).encode() == b"P0001|day|1605024000000"
    assert TotalKey("P0001", WindowKind.ALL, 0).encode() == b"P0001|all|0"


@given(project_ids, st.sampled_from(WindowKind), st.integers(0, 253402300799999))
def test_every_key_comes_back_as_it_went(project_id, window, start_ms):
    key = TotalKey(project_id, window, start_ms)
    assert decode_total_key(key.encode()) == key


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"P1",
        b"P1|day",
        b"P1|day|0|",
        b"|day|0",
        b"P1|week|0",
        b"P1|DAY|0",
        b"P1|day|",
        b"P1|day|x",
        b"P1|day|-1",
        b"P1|day|+1",
        b"P1|day|01",
        b"P1|day|1_0",
        b"P1|day| 1",
        b"P1|day|1.0",
        "P1|day|\uff11".encode(),
        b"P\x001|day|1",
        b"P" * 65 + b"|day|1",
        b"\xff|day|1",
    ],
)
def test_no_other_bytes_are_a_key(key):
    with pytest.raises(ValueError, match="not the key of a project total"):
        decode_total_key(key)


@given(st.binary())
def test_bytes_are_refused_as_a_key_or_are_exactly_it(key):
    try:
        found = decode_total_key(key)
    except ValueError:
        return
    assert found.encode() == key
