"""Split: orders become donations, refusals and partial sums.

Pure: the same orders in the same order give the same donations, whatever the batches they come in and however often the
state was restored between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from schemas import limits
from schemas.donation import Donation
from schemas.order import OrderCompleted, are_plain, decode_order
from schemas.records import LogRecord
from schemas.rejection import Reason, Refusal
from schemas.units import MINUTE_MS
from streams.domain.programme import donation_fen

if TYPE_CHECKING:  # the extension's worker has a memory of its own, and is spared numpy
    from streams.domain.dedupe import OrderMemory


@dataclass(slots=True)
class SplitState:
    """What one partition of `orders` must remember: all of it stands in `donations`."""

    memory: "OrderMemory"
    next_seq: int = 0


@dataclass(slots=True)
class MinuteCell:
    """What one project received in one minute within one commit."""

    fen: int
    donations: int


class SplitCounts(NamedTuple):
    """What the orders of one commit came to, but for those that were refused, in numbers."""

    accepted: int  # orders that donated
    no_pledge: int
    repeats: int
    donations: int
    fen: int
    oldest_ms: int | None  # when the first of those that donated was appended


@dataclass(slots=True)
class SplitOutcome:
    """What the orders of one commit came to."""

    donations: list[Donation] = field(default_factory=list)
    refused: list[tuple[LogRecord, Refusal]] = field(default_factory=list)
    sums: dict[str, dict[int, MinuteCell]] = field(default_factory=dict)  # project id -> minute's start, ms
    accepted: int = 0  # orders that donated
    no_pledge: int = 0
    repeats: int = 0
    oldest_ms: int | None = None

    @property
    def counts(self) -> SplitCounts:
        cells = [cell for minutes in self.sums.values() for cell in minutes.values()]
        donations, fen = sum(cell.donations for cell in cells), sum(cell.fen for cell in cells)
        return SplitCounts(self.accepted, self.no_pledge, self.repeats, donations, fen, self.oldest_ms)


def split_orders(state: SplitState, records: Sequence[LogRecord], outcome: SplitOutcome) -> None:
    """Fold `records`, the next ones of the partition, into `state` and add what they give to `outcome`.

    Never raises for anything that a record may hold: what isn't a valid order is refused by name.
    """
    plain = are_plain(record.value for record in records)
    decoded = [decode_order(record.key, record.value, plain=plain) for record in records]
    state.memory.recall([order.order_id for order in decoded if isinstance(order, OrderCompleted)])
    for record, order in zip(records, decoded, strict=True):
        if isinstance(order, Refusal):
            outcome.refused.append((record, order))
        else:
            _split_order(state, record, order, outcome)


def _split_order(state: SplitState, record: LogRecord, order: OrderCompleted, outcome: SplitOutcome) -> None:
    completed_at = order.completed_at
    ahead_ms = completed_at - record.timestamp
    if ahead_ms > limits.FUTURE_TOLERANCE_MS:
        outcome.refused.append((record, too_far_in_future(ahead_ms)))
        return
    donations = donations_of(order, state.next_seq, record.offset)
    print_ = fingerprint(donations)
    known = state.memory.known(order.order_id)
    if known is not None:
        if known == print_:
            outcome.repeats += 1
        else:
            outcome.refused.append((record, conflict(order.order_id)))
        return
    if not donations:
        outcome.no_pledge += 1
        return
    # After this point the order must count.
    outcome.accepted += 1
    if outcome.oldest_ms is None or record.timestamp < outcome.oldest_ms:
        outcome.oldest_ms = record.timestamp
    state.memory.remember(order.order_id, print_, completed_at)
    state.next_seq += len(donations)
    outcome.donations.extend(donations)
    _add_to_sums(outcome.sums, donations, completed_at)


def too_far_in_future(ahead_ms: int) -> Refusal:
    """The refusal of an order that completed `ahead_ms` after it arrived."""
    detail = f"{ahead_ms} ms ahead of its arrival; the limit is {limits.FUTURE_TOLERANCE_MS} - at `$.completed_at`"
    return Refusal(Reason.TOO_FAR_IN_FUTURE, detail)


def conflict(order_id: str) -> Refusal:
    """The refusal of an order whose id is remembered with other donations."""
    return Refusal(Reason.CONFLICT, f"order {order_id!r} came before and would now give other donations")


def donations_of(order: OrderCompleted, first_seq: int, source_offset: int) -> list[Donation]:
    """The donations that an accepted order gives, one for each line with a pledge, in the order of its lines."""
    donations: list[Donation] = []
    for line in order.lines:
        pledge = line.pledge
        if pledge is not None:
            donations.append(
                Donation(
                    f"{order.order_id}:{line.line}",
                    first_seq + len(donations),
                    order.order_id,
                    line.line,
                    order.buyer_id,
                    order.merchant_id,
                    line.item_id,
                    pledge.project_id,
                    donation_fen(pledge, line.paid_fen),
                    order.completed_at,
                    source_offset,
                )
            )
    return donations


def fingerprint(donations: Sequence[Donation]) -> int:
    """64 bits of all that the donations of one order say, but for where they lie; keyed to this process."""
    if not donations:
        return 0
    first = donations[0]
    said = (first.buyer_id, first.merchant_id, first.donated_at, first.line, first.item_id, first.project_id, first.fen)
    if len(donations) == 1:  # nine orders of ten
        return hash(said)
    return hash((said, *[(d.line, d.item_id, d.project_id, d.fen) for d in donations[1:]]))


def restore_orders(memory: "OrderMemory", donations: Sequence[Donation]) -> None:
    """Remember again the orders that gave `donations`, a run of the partition's log that holds whole orders."""
    orders = [list(group) for _, group in groupby(donations, key=attrgetter("source_offset"))]
    memory.remember_many(
        [order[0].order_id for order in orders],
        [fingerprint(order) for order in orders],
        [order[0].donated_at for order in orders],
    )


def _add_to_sums(sums: dict[str, dict[int, MinuteCell]], donations: list[Donation], completed_at: int) -> None:
    minute_ms = completed_at - completed_at % MINUTE_MS
    for donation in donations:
        minutes = sums.get(donation.project_id)
        if minutes is None:
            sums[donation.project_id] = {minute_ms: MinuteCell(donation.fen, 1)}
        elif (cell := minutes.get(minute_ms)) is None:
            minutes[minute_ms] = MinuteCell(donation.fen, 1)
        else:
            cell.fen += donation.fen
            cell.donations += 1
