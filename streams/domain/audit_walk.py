"""Two logs side by side: what must be there, derived order by order, and what is there, record by record.

Both logs are in the order of the source offset, so one record of what is there is held against one of what must be. On
a difference the walk looks a few records ahead to see what is missing and what is too much, and goes on behind it: one
fault gives one or two findings, not one for each record that follows.

A walk is a generator that asks for records (`Need`) and is sent a batch, or None at the end of the log. It holds one
batch and `LOOK_AHEAD` records at the most.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import msgspec

from schemas.donation import Donation, decode_donation, encode_donation
from streams.domain.audit_findings import Findings, Kind
from streams.domain.audit_rule import AuditRecord
from streams.domain.audit_totals import Ledger

LOOK_AHEAD = 32  # records; a difference further apart than this counts as one missing and one too much


class Need(Enum):
    """Which log a walk wants more of."""

    ORDERS = "orders"
    DONATIONS = "donations"
    REJECTED = "rejected"


Batch: TypeAlias = Sequence[AuditRecord] | None
Steps: TypeAlias = Generator[Need, Batch, None]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which orders of one partition are audited: those from `first_offset` to `cut`, exclusive.

    `end_offset` is where `orders` ended when the other logs were read to: nothing can come from an order beyond it.
    `rejected_trimmed`: retention has taken the oldest rejected orders already.
    """

    partition: int
    first_offset: int
    cut: int
    end_offset: int
    orders_topic: str = "orders"
    donations_topic: str = "donations"
    rejected_topic: str = "rejected-orders"
    rejected_trimmed: bool = False

    def order(self, offset: int) -> str:
        return f"{self.orders_topic}-{self.partition}@{offset}"

    def donation(self, offset: int) -> str:
        return f"{self.donations_topic}-{self.partition}@{offset}"

    def rejection(self, offset: int) -> str:
        return f"{self.rejected_topic}-{self.partition}@{offset}"


class Cursor:
    """The next records of a log."""

    __slots__ = ("ended", "index", "need", "records")

    def __init__(self, need: Need) -> None:
        self.need = need
        self.records: Sequence[AuditRecord] = ()
        self.index = 0
        self.ended = False

    def fill(self, count: int) -> Steps:
        """Ask for records until `count` lie ahead or the log ends."""
        while not self.ended and len(self.records) - self.index < count:
            batch = yield self.need
            if batch is None:
                self.ended = True
            else:
                ahead = self.records[self.index :]
                self.records = [*ahead, *batch] if ahead else batch
                self.index = 0

    def ahead(self) -> Sequence[AuditRecord]:
        return self.records[self.index : self.index + LOOK_AHEAD]

    @property
    def waiting(self) -> AuditRecord | None:
        """The record at the cursor, if it has been read."""
        return self.records[self.index] if self.index < len(self.records) else None


class DonationWalk:
    """Holds the donations of a partition against what its orders must give."""

    def __init__(self, scope: Scope, findings: Findings, ledger: Ledger, gave: Callable[[str], bool]) -> None:
        self.seq = 0  # the number that the donation at the cursor must have
        self.donations = 0
        self.fen = 0
        self.underived = 0  # of orders that retention has taken
        self._scope = scope
        self._findings = findings
        self._ledger = ledger
        self._gave = gave
        self._cursor = Cursor(Need.DONATIONS)

    @property
    def waiting(self) -> AuditRecord | None:
        return self._cursor.waiting

    def go_on(self, scope: Scope) -> None:
        """The logs have grown; the walk goes on in `scope`."""
        self._scope = scope
        self._cursor.ended = False

    def recall(self, remember: Callable[[Sequence[Donation]], None]) -> Steps:
        """Count the donations of the orders that retention has taken; hand each order's to `remember`."""
        order: list[Donation] = []
        while True:
            yield from self._cursor.fill(1)
            donation = _read(self._cursor.records[self._cursor.index]) if self._has_next() else None
            if donation is None or donation.source_offset >= self._scope.first_offset:
                break
            if order and order[0].source_offset != donation.source_offset:
                remember(order)
                order = []
            order.append(donation)
            self._check_seq(self._cursor.records[self._cursor.index], donation)
            self._take(donation)
            self.underived += 1
        if order:
            remember(order)

    def take(self, key: bytes | None, expected: Sequence[Donation]) -> int:
        """Step over those of one order's `expected` donations that come next in what has been read; how many.

        Where nothing is wrong that is all of them, mostly; `match` does the others.
        """
        cursor = self._cursor
        records, index = cursor.records, cursor.index
        end = len(records)
        for taken, donation in enumerate(expected):
            if index >= end:
                return taken
            record = records[index]
            if (
                record.value != encode_donation(donation)
                or record.timestamp != donation.donated_at
                or record.key != key
                or donation.seq != self.seq
            ):
                return taken
            index = cursor.index = index + 1
            self.seq += 1
            self.donations += 1
            self.fen += donation.fen
            self._ledger.add(donation.project_id, donation.donated_at, donation.fen)
        return len(expected)

    def match(self, key: bytes | None, expected: Sequence[Donation]) -> Steps:
        """The `expected` donations of one order must come next."""
        while expected:
            yield from self._cursor.fill(1)
            taken = self.take(key, expected)
            if not taken:
                yield from self._explain(key, expected[0])
                taken = 1
            expected = expected[taken:]

    def finish(self) -> Steps:
        """What is left comes from orders beyond the cut, or from none."""
        while True:
            yield from self._cursor.fill(1)
            if not self._has_next():
                return
            record = self._cursor.records[self._cursor.index]
            donation = _read(record)
            if donation is None or not self._scope.cut <= donation.source_offset < self._scope.end_offset:
                self._discard(record, donation)
            else:
                self._check_seq(record, donation)
                self._cursor.index += 1

    def settle(self) -> Steps:
        """Discard what comes from no order, up to the first that comes from one beyond the cut."""
        while True:
            yield from self._cursor.fill(1)
            record = self._cursor.waiting
            donation = _read(record) if record else None
            if record is None or (donation and self._scope.cut <= donation.source_offset < self._scope.end_offset):
                return
            self._discard(record, donation)

    def _explain(self, key: bytes | None, expected: Donation) -> Steps:
        """The record at the cursor isn't, byte for byte, what must come next: find out why."""
        cursor = self._cursor
        while True:
            yield from cursor.fill(LOOK_AHEAD)
            ahead = cursor.ahead()
            found = [_read(record) for record in ahead]
            position = _find_donation(found, expected)
            if position is not None:
                for record, donation in zip(ahead[:position], found[:position], strict=True):
                    self._discard(record, donation)
                self._compare(ahead[position], found[position], key, expected)
                return
            if not ahead or (found[0] is not None and found[0].source_offset >= expected.source_offset):
                text = f"order {expected.order_id} is accepted, its line {expected.line} has no donation"
                place = self._scope.order(expected.source_offset)
                self._findings.add(Kind.DONATION_MISSING, place, _describe(expected), "nothing", text)
                return
            self._discard(ahead[0], found[0])

    def _compare(self, record: AuditRecord, found: Donation | None, key: bytes | None, expected: Donation) -> None:
        assert found is not None
        self._check_seq(record, found)
        wrong = [
            (name, getattr(expected, name), getattr(found, name))
            for name in Donation.__struct_fields__
            if name != "seq" and getattr(expected, name) != getattr(found, name)
        ]
        if record.timestamp != expected.donated_at:
            wrong.append(("timestamp", expected.donated_at, record.timestamp))
        if record.key != key:
            wrong.append(("key", key, record.key))
        if wrong:
            self._findings.add(
                Kind.DONATION_ALTERED,
                self._scope.donation(record.offset),
                ", ".join(f"{name}={must}" for name, must, _ in wrong),
                ", ".join(f"{name}={is_}" for name, _, is_ in wrong),
                f"donation {expected.donation_id} isn't what its order gives",
            )
        self._take(found)

    def _discard(self, record: AuditRecord, found: Donation | None) -> None:
        """Report and step over a record that must not be here."""
        place = self._scope.donation(record.offset)
        if found is None:
            self._findings.add(Kind.DONATION_UNREADABLE, place, "a donation", record.value, "this is no donation")
            self.seq += 1
            self._cursor.index += 1
            return
        self._check_seq(record, found)
        if self._gave(found.order_id):
            text = f"order {found.order_id} has given all that it gives: this is one more"
            self._findings.add(Kind.DONATION_DOUBLED, place, "nothing", _describe(found), text)
        else:
            text = f"no accepted order at offset {found.source_offset} gives this here"
            self._findings.add(Kind.DONATION_UNDUE, place, "nothing", _describe(found), text)
        self._take(found)

    def _take(self, found: Donation) -> None:
        """Step over the record; the ledger counts what is there, whether it should be or not."""
        self._cursor.index += 1
        self.donations += 1
        self.fen += found.fen
        self._ledger.add(found.project_id, found.donated_at, found.fen)

    def _check_seq(self, record: AuditRecord, found: Donation) -> None:
        if found.seq != self.seq:
            what = "a gap" if found.seq > self.seq else "a repeat"
            text = f"{what} in the numbers of the partition's donations"
            self._findings.add(Kind.SEQ_BROKEN, self._scope.donation(record.offset), self.seq, found.seq, text)
        self.seq = found.seq + 1

    def _has_next(self) -> bool:
        return self._cursor.index < len(self._cursor.records)


def _read(record: AuditRecord) -> Donation | None:
    try:
        return decode_donation(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _describe(donation: Donation) -> str:
    return f"{donation.donation_id}: {donation.fen} fen to {donation.project_id}"


def _find_donation(found: Sequence[Donation | None], expected: Donation) -> int | None:
    """Where `expected` is: by offset and id, else by offset and line (id altered), else by id (offset altered)."""
    by_line = by_id = None
    for position, donation in enumerate(found):
        if donation is None:
            continue
        same_offset = donation.source_offset == expected.source_offset
        if donation.donation_id == expected.donation_id:
            if same_offset:
                return position
            by_id = position if by_id is None else by_id
        elif by_line is None and same_offset and donation.line == expected.line:
            by_line = position
    return by_line if by_line is not None else by_id
