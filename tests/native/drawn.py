"""Drawn orders of few ids, at times that jump by slices and beyond the horizon; and where a stream of them is cut."""

from hypothesis import strategies as st

from schemas.order import OrderCompleted, OrderLine, encode_order
from schemas.units import HOUR_MS
from streams.domain.dedupe import SLICES
from tests.domain.orders import DAY_MS, PLEDGES, SOME_DAY_MS, OrderRecord

HORIZON_MS = HOUR_MS  # the shortest that settings allow
SLICE_MS = HORIZON_MS // SLICES

AHEAD_MS = st.one_of(
    st.integers(0, 2 * SLICE_MS),
    st.integers(-2 * HORIZON_MS, 2 * SLICE_MS),
    st.integers(HORIZON_MS - 2 * SLICE_MS, HORIZON_MS + 2 * SLICE_MS),
    st.sampled_from([SLICE_MS, 16 * SLICE_MS, 24 * SLICE_MS, 25 * SLICE_MS, 192 * SLICE_MS, 232 * SLICE_MS]),
    st.sampled_from([255 * SLICE_MS, 256 * SLICE_MS, 257 * SLICE_MS, 2_560 * SLICE_MS]),
)
ARRIVES_AFTER_MS = st.sampled_from([0, 0, 0, 5_000, -DAY_MS, -DAY_MS - 1, -2 * DAY_MS])
IDS = st.sampled_from(["o1", "o2", "o3", "o4", "o5", "o6", "o7", '"o"', "o\\8", "订单9", "é" * 64, "/</script>"])
BUYERS = st.sampled_from(["b1", "b1", "b2", '买家"'])
LINES = st.lists(st.tuples(st.integers(1, 300), PLEDGES), min_size=1, max_size=3)


@st.composite
def order_records(draw: st.DrawFn) -> list[OrderRecord]:
    """Records of one partition, offsets with gaps; a few are nothing that could be read."""
    records, clock_ms, offset = [], SOME_DAY_MS, draw(st.sampled_from([0, 7, 2**40]))
    drawn = st.tuples(IDS, BUYERS, LINES, AHEAD_MS, ARRIVES_AFTER_MS, st.sampled_from([1, 1, 1, 2, 50]))
    for order_id, buyer_id, lines, ahead_ms, after_ms, step in draw(st.lists(drawn, min_size=1, max_size=80)):
        completed_at = clock_ms + ahead_ms
        value: bytes | None = encode_order(
            OrderCompleted(
                order_id,
                buyer_id,
                "m1",
                completed_at,
                tuple(OrderLine(index, f"i{index}", paid, pledge) for index, (paid, pledge) in enumerate(lines)),
            )
        )
        if step == 50:
            value = draw(st.sampled_from([None, b"", b"{", b"[]", value, (value or b"") + b" \n"]))
        records.append(OrderRecord(offset, completed_at + after_ms, buyer_id.encode(), value))
        offset += step
        if after_ms >= -DAY_MS:
            clock_ms = max(clock_ms, completed_at)
    return records


CHANCE = st.integers(0, 2**32)  # seeds what needn't shrink: cuts, codecs, restarts
