"""What must come out, said a second time and plainly, from the input alone. Shares no code with what it judges.

The zone is Asia/Shanghai after 1991: eight hours ahead of UTC, always.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.simulation.orders import Line, Order

DAY_MS = 86_400_000
SHANGHAI_AHEAD = timedelta(hours=8)
SHANGHAI_AHEAD_MS = 8 * 3_600_000


@dataclass(frozen=True)
class Gift:
    """What is true of a donation."""

    donation_id: str
    seq: int
    order_id: str
    line: int
    buyer_id: str
    merchant_id: str
    item_id: str
    project_id: str
    fen: int
    donated_at: int
    source_offset: int


def gift_fen(line: Line) -> int:
    if line.fixed_fen is not None:
        return min(line.fixed_fen, line.paid_fen)
    exact, rest = divmod(line.paid_fen * line.bps, 10_000)
    rounded = exact + 1 if 2 * rest >= 10_000 else exact
    return min(max(rounded, 2), line.paid_fen)


def windows_of(ms: int) -> dict[str, int]:
    """Kind and start of each window that holds the moment."""
    local = datetime.fromtimestamp(ms // 1_000, UTC) + SHANGHAI_AHEAD
    midnight = datetime(local.year, local.month, local.day, tzinfo=UTC)

    def start_ms(local_start: datetime) -> int:
        return int(local_start.timestamp()) * 1_000 - SHANGHAI_AHEAD_MS

    return {
        "minute": ms // 60_000 * 60_000,
        "hour": ms // 3_600_000 * 3_600_000,
        "day": start_ms(midnight),
        "month": start_ms(midnight.replace(day=1)),
        "year": start_ms(midnight.replace(month=1, day=1)),
        "all": 0,
    }


class PartitionModel:
    """What one partition of `orders` gives. Grows with its input."""

    def __init__(self, horizon_ms: int, sums: dict[tuple[str, str, int], list[int]]) -> None:
        self.gifts: list[Gift] = []
        self.refused: list[tuple[int, str]] = []  # source offset and reason
        self._slice_ms = horizon_ms // 24
        self._clock_ms = 0
        self._known: dict[str, tuple[int, object]] = {}
        self._sums = sums

    def take(self, offset: int, appended_ms: int, meaning: Order | str) -> None:
        if isinstance(meaning, str):
            self.refused.append((offset, meaning))
            return
        order = meaning
        if order.completed_at > appended_ms + DAY_MS:
            self.refused.append((offset, "too-far-in-future"))
            return
        gifts = self._gifts_of(order, offset)
        said = [(order.buyer_id, order.merchant_id, order.completed_at)]
        said += [(gift.line, gift.item_id, gift.project_id, gift.fen) for gift in gifts]
        stamp, said_before = self._known.get(order.order_id, (None, None))
        if stamp is not None and self._clock_ms // self._slice_ms - stamp <= 24:
            if not gifts or said != said_before:
                self.refused.append((offset, "conflict"))
            return
        if gifts:
            self._clock_ms = max(self._clock_ms, order.completed_at)
            self._known[order.order_id] = (self._clock_ms // self._slice_ms, said)
            self.gifts += gifts
            for gift in gifts:
                for kind, start_ms in windows_of(gift.donated_at).items():
                    total = self._sums[gift.project_id, kind, start_ms]
                    total[0] += gift.fen
                    total[1] += 1

    def _gifts_of(self, order: Order, offset: int) -> list[Gift]:
        gifts: list[Gift] = []
        for line in order.lines:
            if line.project_id is not None:
                seq = len(self.gifts) + len(gifts)
                gifts.append(
                    Gift(
                        f"{order.order_id}:{line.line}",
                        seq,
                        order.order_id,
                        line.line,
                        order.buyer_id,
                        order.merchant_id,
                        line.item_id,
                        line.project_id,
                        gift_fen(line),
                        order.completed_at,
                        offset,
                    )
                )
        return gifts


class Model:
    """All partitions, and the sums by project, kind of window and its start: fen and number of donations."""

    def __init__(self, partitions: int, horizon_ms: int) -> None:
        self.sums: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])
        self.partitions = [PartitionModel(horizon_ms, self.sums) for _ in range(partitions)]
