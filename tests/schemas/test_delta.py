import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.delta import (
    MinuteSum,
    ProjectDelta,
    SourceWatermark,
    decode_delta,
    decode_watermark,
    encode_delta,
    encode_watermark,
)

minute_sums = st.builds(
    MinuteSum,
    start_ms=st.integers(0, 253402300799999),
    fen=st.integers(0, 2**63 - 1),
    donations=st.integers(0, 2**63 - 1),
)


def test_a_minute_takes_three_numbers_and_no_names():
    delta = ProjectDelta((MinuteSum(1605024000000, 2388, 731),))
    assert encode_delta(delta) == b'{"minutes":[[1605024000000,2388,731]]}'


@given(st.lists(minute_sums).map(tuple))
def test_every_delta_comes_back_as_it_went(minutes):
    assert decode_delta(encode_delta(ProjectDelta(minutes))) == ProjectDelta(minutes)


def test_a_minute_that_grew_a_field_is_still_read():
    assert decode_delta(b'{"minutes":[[1,2,3,4]],"more":1}') == ProjectDelta((MinuteSum(1, 2, 3),))


@pytest.mark.parametrize(
    "value",
    [b"{}", b'{"minutes":[[1,2]]}', b'{"minutes":[[1,-2,3]]}', b'{"minutes":[[1,2.0,3]]}', b'{"minutes":[[-1,2,3]]}'],
)
def test_a_wrong_delta_is_refused(value):
    with pytest.raises(msgspec.ValidationError):
        decode_delta(value)


@given(st.integers(0, 2**31), st.integers(0, 253402300799999), st.booleans())
def test_every_watermark_comes_back_as_it_went(source, watermark_ms, idle):
    watermark = SourceWatermark(source, watermark_ms, idle)
    assert decode_watermark(encode_watermark(watermark)) == watermark


def test_a_partition_is_not_idle_unless_said():
    assert decode_watermark(b'{"source":3,"watermark_ms":5}') == SourceWatermark(3, 5, idle=False)


def test_a_delta_is_no_watermark():
    with pytest.raises(msgspec.ValidationError, match="source"):
        decode_watermark(encode_delta(ProjectDelta(())))
