"""Drawn orders of few ids, at times that jump by slices and beyond the horizon; and where a stream of them is cut."""

import random

from hypothesis import strategies as st

from schemas.delta import MinuteSum, ProjectDelta, SourceWatermark, encode_delta, encode_watermark
from schemas.order import FixedPledge, OrderCompleted, OrderLine, RatePledge, encode_order
from schemas.units import HOUR_MS, MINUTE_MS
from streams.domain.horizon import SLICES
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


def random_orders(rng: random.Random, count: int) -> list[OrderRecord]:
    """Like `order_records`, for long runs: some hundred ids at times that mostly go on slowly."""
    records, clock_ms = [], SOME_DAY_MS
    for offset in range(count):
        ahead_ms = rng.choice([0, 0, 0, 1_000, -SLICE_MS, SLICE_MS, rng.randrange(-2 * HORIZON_MS, 2 * SLICE_MS)])
        if rng.random() < 0.003:
            ahead_ms = rng.choice([16, 23, 24, 25, 192, 231, 232, 255, 256, 257, 2_560]) * SLICE_MS
        pledges = rng.choices(
            [None, FixedPledge("P1", rng.randrange(1, 3)), RatePledge("P2", 30)], k=rng.choice([1, 1, 3])
        )
        lines = tuple(OrderLine(index, "i1", rng.choice([1, 2, 500]), pledge) for index, pledge in enumerate(pledges))
        order_id, buyer_id = f"o{rng.randrange(300)}", f"b{rng.randrange(2)}"
        order = OrderCompleted(order_id, buyer_id, "m1", clock_ms + ahead_ms - (clock_ms + ahead_ms) % SLICE_MS, lines)
        records.append(OrderRecord(offset, clock_ms + DAY_MS, buyer_id.encode(), encode_order(order)))
        clock_ms = max(clock_ms, order.completed_at)
    return records


def random_deltas(rng: random.Random, count: int, sources: int) -> list[OrderRecord]:
    """Sums and watermarks of many projects over months; some come late, some for what is released."""
    records, now_ms = [], SOME_DAY_MS
    for offset in range(count):
        now_ms += rng.choice([0, 0, MINUTE_MS, MINUTE_MS, 40 * MINUTE_MS, DAY_MS if offset % 50 == 0 else 0])
        if rng.random() < 0.3:
            mark = SourceWatermark(rng.randrange(sources), now_ms - MINUTE_MS, rng.random() < 0.1)
            records.append(OrderRecord(offset, 1, None, encode_watermark(mark)))
            continue
        ago_ms = rng.choice([0, 0, 0, 90 * MINUTE_MS, 5 * HOUR_MS, 400 * DAY_MS])
        delta = ProjectDelta((MinuteSum(now_ms - ago_ms, rng.randrange(1, 10**9), 2),))
        records.append(OrderRecord(offset, 1, b"P%d" % rng.randrange(60), encode_delta(delta)))
    return records
