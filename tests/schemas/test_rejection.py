import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rejection import DETAIL_MAX_CHARACTERS, Reason, Rejection, decode_rejection, encode_rejection

REJECTION = Rejection(Reason.INVALID, "Expected `int` - at `$.fen`", "orders", 3, 70012, 1605024000000)
HEADERS = {
    "reason": b"invalid",
    "detail": b"Expected `int` - at `$.fen`",
    "source-topic": b"orders",
    "source-partition": b"3",
    "source-offset": b"70012",
    "rejected-at": b"1605024000000",
}

rejections = st.builds(
    Rejection,
    reason=st.sampled_from(Reason),
    detail=st.text(max_size=DETAIL_MAX_CHARACTERS, alphabet=st.characters(codec="utf-8")),
    source_topic=st.text(alphabet="abc.-_", min_size=1),
    source_partition=st.integers(0, 2**31 - 1),
    source_offset=st.integers(0, 2**63 - 1),
    rejected_at=st.integers(0, 2**63 - 1),
)


def test_the_headers_are_those_of_the_contract():
    assert dict(encode_rejection(REJECTION)) == HEADERS


def test_the_reasons_stand_in_the_order_in_which_they_are_checked():
    assert list(Reason) == ["too-large", "not-json", "invalid", "too-far-in-future", "conflict"]


@given(rejections)
def test_every_rejection_comes_back_as_it_went(rejection):
    assert decode_rejection(encode_rejection(rejection)) == rejection


@pytest.mark.parametrize("character", ["x", "é", "订", "😀"])
def test_a_long_detail_is_cut_between_characters(character):
    rejection = REJECTION._replace(detail=character * (DETAIL_MAX_CHARACTERS + 1))
    assert decode_rejection(encode_rejection(rejection)).detail == character * DETAIL_MAX_CHARACTERS


def test_a_detail_that_is_no_text_is_still_written():
    rejection = REJECTION._replace(detail="half a pair: \ud800")
    assert decode_rejection(encode_rejection(rejection)).detail == "half a pair: ?"


def test_headers_that_we_dont_know_are_ignored():
    assert decode_rejection([*HEADERS.items(), ("trace", b"\xff")]) == REJECTION


@pytest.mark.parametrize("name", HEADERS)
def test_a_missing_header_is_named(name):
    with pytest.raises(ValueError, match=name):
        decode_rejection([(at, value) for at, value in HEADERS.items() if at != name])


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("value", [None, b"\xff"])
def test_a_header_that_is_no_text_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        decode_rejection(list({**HEADERS, name: value}.items()))


@pytest.mark.parametrize("name", ["reason", "source-partition", "source-offset", "rejected-at"])
@pytest.mark.parametrize("value", [b"", b"x"])
def test_a_header_with_a_wrong_value_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        decode_rejection(list({**HEADERS, name: value}.items()))
