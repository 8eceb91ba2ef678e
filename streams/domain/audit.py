"""The audit of one partition: every order, what became of it, and whether that is what the contract says.

Sans I/O: `PartitionAudit.run` is a generator that asks for the next records of a log and is sent a batch, or None at
the log's end. It walks `orders`, `donations` and `rejected-orders` of one partition side by side and holds no more than
a batch of each, besides the order ids within the dedupe horizon and the ledger's sums. An audit that follows a running
deployment goes on by `begin` and `go_on` instead, from cut to cut. A crash here loses nothing but the audit's own time.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from schemas.order import are_plain
from schemas.rejection import Reason, Refusal
from streams.domain.audit_findings import Findings
from streams.domain.audit_rejections import RejectionWalk
from streams.domain.audit_rule import AuditRecord, Judge
from streams.domain.audit_totals import Ledger
from streams.domain.audit_walk import DonationWalk, Need, Scope, Steps

__all__ = ["AuditCounts", "Need", "PartitionAudit", "Scope"]


@dataclass(slots=True)
class AuditCounts:
    """What an audit has seen. `orders` = `accepted` + `repeats` + all that were rejected."""

    orders: int = 0
    accepted: int = 0
    no_pledge: int = 0  # accepted, and nothing to give
    repeats: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)
    donations: int = 0
    fen: int = 0
    underived: int = 0  # donations and refusals that can't be derived again: retention has taken their other side

    def add(self, other: "AuditCounts") -> None:
        self.orders += other.orders
        self.accepted += other.accepted
        self.no_pledge += other.no_pledge
        self.repeats += other.repeats
        self.rejected.update(other.rejected)
        self.donations += other.donations
        self.fen += other.fen
        self.underived += other.underived


class PartitionAudit:
    """Audits one partition; differences go to `findings`, what donations there are to `ledger`."""

    def __init__(self, scope: Scope, horizon_ms: int, findings: Findings, ledger: Ledger) -> None:
        self._scope = scope
        self._judge = Judge(horizon_ms)
        self._donations = DonationWalk(scope, findings, ledger, self._judge.gave)
        self._rejected = RejectionWalk(scope, findings)
        self._counts = AuditCounts()

    @property
    def counts(self) -> AuditCounts:
        """What has been seen so far."""
        self._counts.donations = self._donations.donations
        self._counts.fen = self._donations.fen
        self._counts.underived = self._donations.underived + self._rejected.gone
        return self._counts

    @property
    def clock_ms(self) -> int:
        """The newest event time of an order that donated."""
        return self._judge.clock_ms

    @property
    def waiting(self) -> tuple[AuditRecord | None, AuditRecord | None]:
        """The donation and the rejected order that have been read and wait for their orders' turn."""
        return self._donations.waiting, self._rejected.waiting

    def run(self) -> Steps:
        """Walk the logs to their ends. Send a batch of what was asked for, None where that log ends."""
        yield from self.begin()
        yield from self._walk_orders()
        yield from self._donations.finish()
        yield from self._rejected.finish()

    def begin(self) -> Steps:
        """Step over what comes from orders that retention has taken."""
        if self._scope.first_offset > 0:
            yield from self._donations.recall(self._judge.remember)
            yield from self._rejected.skip()

    def go_on(self, cut: int, end_offset: int) -> Steps:
        """Walk the orders from the last cut to this one; what comes from orders beyond it waits for its turn.

        The logs' ends are those of this stretch: all that orders before `cut` gave must lie before them.
        """
        self._scope = replace(self._scope, cut=cut, end_offset=end_offset)
        self._donations.go_on(self._scope)
        self._rejected.go_on(self._scope)
        yield from self._walk_orders()
        yield from self._donations.settle()
        yield from self._rejected.settle()

    def _walk_orders(self) -> Steps:
        judge = self._judge.judge
        donations = self._donations
        counts = self._counts
        while (orders := (yield Need.ORDERS)) is not None:
            plain = are_plain(record.value for record in orders)
            for record in orders:
                verdict = judge(record, donations.seq, plain=plain)
                if verdict is None:
                    counts.repeats += 1
                elif isinstance(verdict, Refusal):
                    counts.rejected[verdict.reason] += 1
                    yield from self._rejected.match(record, verdict.reason)
                else:
                    counts.accepted += 1
                    if verdict:
                        taken = donations.take(record.key, verdict)
                        if taken < len(verdict):
                            yield from donations.match(record.key, verdict[taken:])
                    else:
                        counts.no_pledge += 1
            counts.orders += len(orders)
