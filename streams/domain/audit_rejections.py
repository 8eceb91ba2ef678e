"""The refused orders of a partition, held against what lies in `rejected-orders`: a walk as that of `audit_walk`."""

from collections.abc import Sequence

from schemas.rejection import Reason, Rejection, decode_rejection
from streams.domain.audit_findings import Findings, Kind
from streams.domain.audit_rule import AuditRecord
from streams.domain.audit_walk import LOOK_AHEAD, Cursor, Need, Scope, Steps


class RejectionWalk:
    """Holds the rejected orders of a partition against those that must be refused."""

    def __init__(self, scope: Scope, findings: Findings) -> None:
        self.gone = 0  # refused so long ago that retention has taken the rejected order
        self._scope = scope
        self._findings = findings
        self._cursor = Cursor(Need.REJECTED)
        self._matched = -1

    @property
    def waiting(self) -> AuditRecord | None:
        return self._cursor.waiting

    def go_on(self, scope: Scope) -> None:
        """The logs have grown; the walk goes on in `scope`."""
        self._scope = scope
        self._cursor.ended = False

    def skip(self) -> Steps:
        """Step over the rejected orders that retention has taken from `orders`."""
        while True:
            yield from self._cursor.fill(1)
            found = self._read(self._cursor.records[self._cursor.index]) if self._has_next() else None
            if not isinstance(found, Rejection) or found.source_offset >= self._scope.first_offset:
                return
            self._cursor.index += 1

    def match(self, order: AuditRecord, reason: Reason) -> Steps:
        """The rejected `order`, refused for `reason`, must come next."""
        cursor = self._cursor
        while True:
            yield from cursor.fill(LOOK_AHEAD)
            ahead = cursor.ahead()
            found = [self._read(record) for record in ahead[:1]]
            if not (found and isinstance(found[0], Rejection) and found[0].source_offset == order.offset):
                found += [self._read(record) for record in ahead[1:]]
            position = _find_rejection(ahead, found, order)
            if position is not None:
                for record, rejection in zip(ahead[:position], found[:position], strict=True):
                    self._discard(record, rejection)
                self._compare(ahead[position], found[position], order, reason)
                self._matched = order.offset
                cursor.index += 1
                return
            if not ahead or (isinstance(found[0], Rejection) and found[0].source_offset > order.offset):
                self._miss(order, reason)
                return
            self._discard(ahead[0], found[0])

    def finish(self) -> Steps:
        """What is left comes from orders beyond the cut, or from none."""
        while True:
            yield from self._cursor.fill(1)
            if not self._has_next():
                return
            record = self._cursor.records[self._cursor.index]
            found = self._read(record)
            if isinstance(found, Rejection) and self._scope.cut <= found.source_offset < self._scope.end_offset:
                self._cursor.index += 1
            else:
                self._discard(record, found)

    def settle(self) -> Steps:
        """Discard what comes from no refused order, up to the first that comes from one beyond the cut."""
        while True:
            yield from self._cursor.fill(1)
            record = self._cursor.waiting
            if record is None:
                return
            found = self._read(record)
            if isinstance(found, Rejection) and self._scope.cut <= found.source_offset < self._scope.end_offset:
                return
            self._discard(record, found)

    def _miss(self, order: AuditRecord, reason: Reason) -> None:
        if self._scope.rejected_trimmed and self._matched < 0:
            self.gone += 1
            return
        text = f"the order is refused ({reason}) and isn't in {self._scope.rejected_topic}"
        place = self._scope.order(order.offset)
        self._findings.add(Kind.REJECTION_MISSING, place, f"rejected: {reason}", "nothing", text)

    def _compare(self, record: AuditRecord, found: Rejection | str, order: AuditRecord, reason: Reason) -> None:
        place = self._scope.rejection(record.offset)
        if not isinstance(found, Rejection):
            self._findings.add(Kind.REJECTION_ALTERED, place, "its headers", found, "the headers can't be read")
            return
        checks: list[tuple[str, object, object]] = [
            ("value", order.value, record.value),
            ("key", order.key, record.key),
            ("reason", reason.value, found.reason.value),
            ("source-offset", order.offset, found.source_offset),
            ("rejected-at", order.timestamp, found.rejected_at),
        ]
        wrong = [check for check in checks if check[1] != check[2]]
        if wrong:
            self._findings.add(
                Kind.REJECTION_ALTERED,
                place,
                ", ".join(f"{name}={must!r}" for name, must, _ in wrong),
                ", ".join(f"{name}={is_!r}" for name, _, is_ in wrong),
                f"not what came at {self._scope.order(order.offset)}: {', '.join(name for name, _, _ in wrong)}",
            )

    def _discard(self, record: AuditRecord, found: Rejection | str) -> None:
        place = self._scope.rejection(record.offset)
        self._cursor.index += 1
        if not isinstance(found, Rejection):
            self._findings.add(Kind.REJECTION_UNDUE, place, "nothing", found, "no refused order is meant by this")
        elif found.source_offset == self._matched:
            text = "this refused order lies here already"
            self._findings.add(Kind.REJECTION_DOUBLED, place, "nothing", f"offset {found.source_offset}", text)
        else:
            text = f"the order at offset {found.source_offset} isn't refused, or this is not its place"
            self._findings.add(Kind.REJECTION_UNDUE, place, "nothing", f"rejected: {found.reason}", text)

    def _read(self, record: AuditRecord) -> Rejection | str:
        """What the headers say; text where they can't be read or name another partition."""
        try:
            found = decode_rejection(record.headers)
        except ValueError as error:
            return str(error)
        if (found.source_topic, found.source_partition) != (self._scope.orders_topic, self._scope.partition):
            return f"headers that name {found.source_topic}-{found.source_partition}"
        return found

    def _has_next(self) -> bool:
        return self._cursor.index < len(self._cursor.records)


def _find_rejection(records: Sequence[AuditRecord], found: Sequence[Rejection | str], order: AuditRecord) -> int | None:
    """Where the rejected `order` is: by its offset, else at once, with its bytes but headers that can't be used."""
    for position, rejection in enumerate(found):
        if isinstance(rejection, Rejection) and rejection.source_offset == order.offset:
            return position
    if found and not isinstance(found[0], Rejection) and (records[0].value, records[0].key) == (order.value, order.key):
        return 0
    return None
