"""From cut to cut, as a following audit walks a partition, it finds what the audit of the whole finds."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.rejection import Reason
from streams.domain.audit import Need, PartitionAudit, Scope
from streams.domain.audit_findings import Findings
from streams.domain.audit_totals import Ledger
from tests.domain.audit_world import HOUR_MS, Rec, World, audit, kinds
from tests.domain.test_audit import small_world


def follow(world: World, cuts: list[tuple[int, int]], batch: int = 3) -> tuple[Findings, PartitionAudit]:
    """Walk to each cut in turn; what (cut, ahead) says is there: all that orders before the cut gave, and so much more.

    Orders beyond the cut exist already, and some of what they gave lies in the logs.
    """
    end = world.orders[-1].offset + 1
    found = Findings()
    run = PartitionAudit(Scope(world.partition, 0, 0, 0), 24 * HOUR_MS, found, Ledger())
    positions = dict.fromkeys(Need, 0)
    logs = {Need.ORDERS: world.orders, Need.DONATIONS: world.donations, Need.REJECTED: world.rejected}
    for cut, ahead in [*cuts, (end, len(world.donations))]:
        ends = {
            Need.ORDERS: cut,
            Need.DONATIONS: max(_given(world, world.donations, cut) + ahead, positions[Need.DONATIONS]),
            Need.REJECTED: max(_given(world, world.rejected, cut) + ahead, positions[Need.REJECTED]),
        }
        steps = run.go_on(cut, end)
        need = next(steps)
        while True:
            first = positions[need]
            records = logs[need][first : min(first + batch, ends[need])]
            positions[need] += len(records)
            try:
                need = steps.send(records or None)
            except StopIteration:
                break
    return found, run


def _given(world: World, records: list[Rec], cut: int) -> int:
    """How many of the records come from orders before the cut, as they stand in a faultless log or near it."""
    offsets = [
        msgspec.json.decode(record.value)["source_offset"]
        if records is world.donations
        else int(dict(record.headers)["source-offset"])
        for record in records
    ]
    return max((place + 1 for place, offset in enumerate(offsets) if offset < cut), default=0)


CUTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=6).map(sorted)

FAULTS_OF_A_PARTITION = {
    "none": lambda world: world.orders.copy(),
    "a donation lost": lambda world: world.donations.pop(3),
    "the last donation lost": lambda world: world.donations.pop(),
    "a donation doubled": lambda world: world.donations.insert(4, world.donations[3]),
    "a donation changed by one fen": lambda world: world.alter_donation(1, fen=11),
    "a gap in the numbers": lambda world: world.alter_donation(5, seq=99),
    "a refused order lost": lambda world: world.rejected.pop(0),
    "a refused order doubled": lambda world: world.rejected.insert(1, world.rejected[0]),
    "rejected though acceptable": lambda world: world.rejected.append(world.rejection(world.orders[7], Reason.INVALID)),
    "accepted though rejected": lambda world: world.donations.insert(
        3, world.donations[0]._replace(value=_donation_of_the_refused(world))
    ),
}


def _donation_of_the_refused(world: World) -> bytes:
    donation = msgspec.json.decode(world.donations[0].value)
    return msgspec.json.encode(donation | {"order_id": "bad", "donation_id": "bad:0", "source_offset": 2, "seq": 3})


@given(st.sampled_from(sorted(FAULTS_OF_A_PARTITION)), CUTS, st.integers(1, 4))
def test_from_cut_to_cut_it_finds_what_the_audit_of_the_whole_finds(fault, cuts, batch):
    world = small_world()
    FAULTS_OF_A_PARTITION[fault](world)
    whole, counts, _ = audit(world)
    found, run = follow(world, cuts, batch)
    assert kinds(found) == kinds(whole)
    assert bool(found.total) == (fault != "none")
    assert run.counts == counts
