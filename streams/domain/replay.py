"""Which refused orders may go back into `orders`. Pure: a record and the time go in, a verdict comes out.

Nothing is mended here: an order passes as the bytes that it is, or it doesn't.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from schemas import limits
from schemas.order import OrderCompleted, decode_order
from schemas.rejection import Reason, Refusal
from schemas.units import MINUTE_MS

# Whether an order is too far in the future is judged at last by the broker's clock; this one may be ahead by so much.
CLOCK_MARGIN_MS = MINUTE_MS
# What one round holds in memory. Each round looks once through the ledger, so it must be as large as memory allows.
ROUND_ORDERS_MAX = 100_000
ROUND_BYTES_MAX = 64 * 1_048_576


class Candidate(NamedTuple):
    """An order that passes now, and may be sent unless it has donated already."""

    order: OrderCompleted
    key: bytes
    value: bytes
    partition: int  # of `orders`
    origin: str  # where it was found: `rejected-orders-3@17`, or a file's line


class _Buyer(msgspec.Struct):
    buyer_id: str


_decode_buyer = msgspec.json.Decoder(_Buyer).decode


def judge(key: bytes | None, value: bytes | None, now_ms: int) -> OrderCompleted | Refusal:
    """What the workers would say of this record if it were appended to `orders` now; repeats and conflicts apart."""
    order = decode_order(key, value)
    if isinstance(order, Refusal):
        return order
    ahead_ms = order.completed_at - now_ms
    if ahead_ms > limits.FUTURE_TOLERANCE_MS - CLOCK_MARGIN_MS:
        detail = f"{ahead_ms} ms ahead of now; the limit is {limits.FUTURE_TOLERANCE_MS} - at `$.completed_at`"
        return Refusal(Reason.TOO_FAR_IN_FUTURE, detail)
    return order


def judge_mended(value: bytes, now_ms: int) -> OrderCompleted | Refusal:
    """The same for an order without a key: it will get the one that it must have, its buyer's id."""
    if len(value) > limits.ORDER_MAX_BYTES:
        return judge(b"", value, now_ms)
    try:
        key = _decode_buyer(value).buyer_id.encode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        key = b""  # `judge` finds what is wrong before it looks at the key
    return judge(key, value, now_ms)


def donates(order: OrderCompleted) -> bool:
    return any(line.pledge is not None for line in order.lines)


@dataclass(slots=True)
class Round:
    """Candidates by order id, so many that they fit into memory; an id that stands for two orders is held back."""

    candidates: dict[str, Candidate] = field(default_factory=dict)
    repeats: int = 0
    conflicting: set[str] = field(default_factory=set)
    value_bytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.candidates) >= ROUND_ORDERS_MAX or self.value_bytes >= ROUND_BYTES_MAX

    def add(self, candidate: Candidate) -> None:
        order_id = candidate.order.order_id
        held = self.candidates.get(order_id)
        if held is None:
            self.candidates[order_id] = candidate
            self.value_bytes += len(candidate.value)
            return
        self.repeats += 1
        if held.order != candidate.order:
            self.conflicting.add(order_id)

    def without_conflicts(self) -> list[Candidate]:
        return [each for order_id, each in self.candidates.items() if order_id not in self.conflicting]


def cut(candidates: list[Candidate], orders_max: int, bytes_max: int) -> Iterator[list[Candidate]]:
    """`candidates` in pieces of at most so many orders and, but for a single larger one, so many bytes."""
    piece: list[Candidate] = []
    size = 0
    for candidate in candidates:
        if piece and (len(piece) >= orders_max or size + len(candidate.value) > bytes_max):
            yield piece
            piece, size = [], 0
        piece.append(candidate)
        size += len(candidate.value)
    if piece:
        yield piece
