"""The rules of the contract, written a second time: what an order must give.

The audit judges the writers, so it shares nothing with them but the decoding in `schemas`. Where the two disagree, one
of them is wrong; that is the point. Pure and in memory: a crash means that the audit starts again.
"""

from collections.abc import Sequence
from typing import Protocol

from schemas.donation import Donation
from schemas.limits import FUTURE_TOLERANCE_MS
from schemas.order import FixedPledge, OrderCompleted, OrderLine, decode_order
from schemas.rejection import Headers, Reason, Refusal
from streams.domain.audit_memory import GivenOrders

RATE_MINIMUM_FEN = 2
HORIZON_SLICES = 24  # order ids are forgotten by slices of the horizon, not one by one


class AuditRecord(Protocol):
    """What the audit reads of a record of any topic."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


def pledged_fen(line: OrderLine) -> int:
    """What the line gives, in fen. The rule: docs/contract.md, programme `charity-items`."""
    pledge = line.pledge
    if pledge is None:
        return 0
    if isinstance(pledge, FixedPledge):
        return min(pledge.fen, line.paid_fen)
    whole, rest = divmod(line.paid_fen * pledge.bps, 10_000)
    if rest >= 5_000:  # half up
        whole += 1
    whole = max(whole, RATE_MINIMUM_FEN)
    return min(whole, line.paid_fen)


def derive(order: OrderCompleted, source_offset: int, seq: int) -> list[Donation]:
    """The donations of an accepted order, in the order of its lines; the first one's number is `seq`."""
    order_id, buyer_id, merchant_id, completed_at = (
        order.order_id,
        order.buyer_id,
        order.merchant_id,
        order.completed_at,
    )
    donations = []
    for line in order.lines:
        pledge = line.pledge
        if pledge is not None:
            donations.append(
                Donation(
                    f"{order_id}:{line.line}",
                    seq,
                    order_id,
                    line.line,
                    buyer_id,
                    merchant_id,
                    line.item_id,
                    pledge.project_id,
                    pledged_fen(line),
                    completed_at,
                    source_offset,
                )
            )
            seq += 1
    return donations


class Judge:
    """Says of each order of one partition, in offset order, what it must give.

    Remembers the orders that donated within the dedupe horizon: 64 bits of what they gave, by order id. (Two different
    gifts look the same once in 2^64; the bits differ from process to process.)
    """

    def __init__(self, horizon_ms: int) -> None:
        self._slice_ms = horizon_ms // HORIZON_SLICES
        self._given = GivenOrders(HORIZON_SLICES)
        self.clock_ms = 0  # the newest event time of an order that donated

    def __len__(self) -> int:
        return len(self._given)

    def judge(self, record: AuditRecord, seq: int, *, plain: bool = False) -> list[Donation] | Refusal | None:
        """The donations that must be there (none at all without a pledge), a refusal, or None for a repeat.

        `plain`: as `decode_order` takes it.
        """
        order = decode_order(record.key, record.value, plain=plain)
        if isinstance(order, Refusal):
            return order
        if order.completed_at - record.timestamp > FUTURE_TOLERANCE_MS:
            return Refusal(Reason.TOO_FAR_IN_FUTURE, f"completed_at {order.completed_at}, arrived {record.timestamp}")
        donations = derive(order, record.offset, seq)
        before = self._given.get(order.order_id)
        if before is None:
            if donations:
                self.remember(donations)
            return donations
        if donations and _digest(donations) == before:
            return None
        return Refusal(Reason.CONFLICT, f"order {order.order_id} gave other donations before")

    def remember(self, donations: Sequence[Donation]) -> None:
        """An order gave these `donations`: it is known from now on, until the horizon has passed."""
        self.clock_ms = max(self.clock_ms, donations[0].donated_at)
        self._given.put(donations[0].order_id, _digest(donations), self.clock_ms // self._slice_ms)

    def gave(self, order_id: str) -> bool:
        """True if the order is remembered as one that donated."""
        return self._given.get(order_id) is not None


def _digest(donations: Sequence[Donation]) -> int:
    first = donations[0]
    gifts: tuple[str | int, ...] = (first.line, first.item_id, first.project_id, first.fen)
    for each in donations[1:]:
        gifts += (each.line, each.item_id, each.project_id, each.fen)
    return hash((first.buyer_id, first.merchant_id, first.donated_at, gifts)) & 0xFFFF_FFFF_FFFF_FFFF
