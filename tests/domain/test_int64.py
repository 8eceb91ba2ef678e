"""Amounts up to 64 bits keep every fen from the order to the total, and beyond them nothing is written."""

import itertools
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.delta import MinuteSum, ProjectDelta, decode_delta, encode_delta
from schemas.donation import decode_donation, encode_donation
from schemas.limits import INT64_MAX, LINES_MAX, PAID_FEN_MAX
from schemas.order import FixedPledge, OrderCompleted, OrderLine, encode_order
from schemas.totals import ProjectTotal, WindowKind, decode_total, encode_total, key_of
from streams.domain.audit_totals import Ledger
from streams.domain.audit_windows import AuditCalendar
from streams.domain.dedupe import OrderMemory
from streams.domain.split import SplitOutcome, SplitState, split_orders
from streams.domain.totals import TotalsState
from streams.domain.windows import MINUTE_MS, Calendar
from streams.engine.limits import COMMIT_MAX_RECORDS_PACKED
from streams.engine.transport import PARTITION_FETCH_MAX_BYTES
from streams.views.money import format_yuan
from tests.domain.orders import DAY_MS, SOME_DAY_MS, OrderRecord

YEARLY_FEN = 10**18
CALENDAR = Calendar("Asia/Shanghai")


def fresh_state() -> TotalsState:
    return TotalsState(CALENDAR, 1, {})


def publish(state: TotalsState, *sums: MinuteSum, project_id: str = "P1") -> list[bytes]:
    """As a worker does it, over the wire: the totals that a commit of these partial sums writes."""
    state.add_delta(project_id, decode_delta(encode_delta(ProjectDelta(sums))))
    return [encode_total(total) for total in state.take_outcome().totals]


@given(st.lists(st.integers(1, YEARLY_FEN // 4), min_size=1, max_size=8), st.integers(0, 8))
def test_totals_of_a_billion_billion_fen_are_exact_through_commits_and_restores(
    amounts: list[int], restart: int
) -> None:
    state, newest = fresh_state(), {}
    for number, fen in enumerate(amounts):
        if number == restart:
            state = fresh_state()
            for wire in newest.values():
                state.restore(decode_total(wire))
            state.finish_restore()
        for wire in publish(state, MinuteSum(SOME_DAY_MS + number * MINUTE_MS, fen, 1)):
            newest[key_of(decode_total(wire))] = wire
    year = next(wire for key, wire in newest.items() if key.window is WindowKind.YEAR)
    assert b'"fen":%d,' % sum(amounts) in year
    assert json.loads(year)["fen"] == sum(amounts)


def test_a_commit_cannot_hold_more_than_64_bits_of_one_projects_minute() -> None:
    # A commit is full at so many orders, which the last fetch may pass; none of 200 lines packs to less than 30 bytes.
    orders_max = COMMIT_MAX_RECORDS_PACKED + PARTITION_FETCH_MAX_BYTES // 30
    assert orders_max * LINES_MAX * PAID_FEN_MAX <= INT64_MAX


def test_the_largest_orders_give_exact_sums_within_one_commit_and_the_audits_ledger_agrees() -> None:
    fens = itertools.cycle(PAID_FEN_MAX - less for less in range(7))
    orders = [
        OrderCompleted(
            f"o{number}",
            "b1",
            "m1",
            SOME_DAY_MS,
            tuple(OrderLine(line, "i1", PAID_FEN_MAX, FixedPledge("P1", next(fens))) for line in range(LINES_MAX)),
        )
        for number in range(60)
    ]
    records = [OrderRecord(at, SOME_DAY_MS, b"b1", encode_order(order)) for at, order in enumerate(orders)]
    outcome = SplitOutcome()
    split_orders(SplitState(OrderMemory(DAY_MS)), records, outcome)
    expected = sum(line.pledge.fen for order in orders for line in order.lines if isinstance(line.pledge, FixedPledge))
    assert int(float(expected)) != expected, "a double would hold it: the test shows nothing"
    [cell] = outcome.sums["P1"].values()
    assert (cell.fen, cell.donations) == (expected, 60 * LINES_MAX)
    ledger = Ledger()
    for donation in outcome.donations:
        found = decode_donation(encode_donation(donation))
        ledger.add(found.project_id, found.donated_at, found.fen)
    assert {fen for _, fen, _ in ledger.windows("P1", AuditCalendar("Asia/Shanghai"))} == {expected}
    wires = publish(fresh_state(), MinuteSum(SOME_DAY_MS, cell.fen, cell.donations))
    assert {json.loads(wire)["fen"] for wire in wires} == {expected}


def test_the_last_fen_that_64_bits_hold_is_published() -> None:
    state = fresh_state()
    publish(state, MinuteSum(SOME_DAY_MS, INT64_MAX - 1, 1))
    wires = publish(state, MinuteSum(SOME_DAY_MS, 1, 1))
    assert {decode_total(wire).fen for wire in wires} == {INT64_MAX}


@pytest.mark.parametrize(
    ("sums", "place"),
    [
        ([MinuteSum(SOME_DAY_MS, INT64_MAX, 1), MinuteSum(SOME_DAY_MS, 1, 1)], "the minute from 2020-11-11T00:00:00"),
        ([MinuteSum(SOME_DAY_MS, INT64_MAX, 1), MinuteSum(SOME_DAY_MS + DAY_MS, 1, 1)], "the month from 2020-11-01T"),
        ([MinuteSum(SOME_DAY_MS, INT64_MAX, 1), MinuteSum(SOME_DAY_MS + 365 * DAY_MS, 1, 1)], "all time"),
    ],
)
def test_one_fen_more_stops_with_the_project_and_the_window_in_one_line(sums: list[MinuteSum], place: str) -> None:
    state = fresh_state()
    publish(state, sums[0], project_id="P0001")
    with pytest.raises(OverflowError) as raised:
        publish(state, sums[1], project_id="P0001")
    assert "project 'P0001'" in str(raised.value)
    assert f"in {place}" in str(raised.value)
    assert f"is {2**63} fen" in str(raised.value)


@pytest.mark.parametrize("fen", [2**53 - 1, 2**53 + 1, YEARLY_FEN + 1, INT64_MAX])
def test_what_is_written_for_programs_has_plain_integers(fen: int) -> None:
    total = ProjectTotal("P1", WindowKind.YEAR, 0, 1, "x", fen, fen, fen, 0, False, fen)
    digits = b"%d" % fen
    assert encode_total(total).count(b":" + digits + b",") + encode_total(total).count(b":" + digits + b"}") == 4
    assert decode_total(encode_total(total)) == total
    assert orjson.dumps({"fen": fen}) == json.dumps({"fen": fen}, separators=(",", ":")).encode() == b'{"fen":%d}' % fen
    assert orjson.loads(encode_total(total))["fen"] == json.loads(encode_total(total))["fen"] == fen
    assert format_yuan(fen).replace(",", "").replace(".", "") == str(fen)


@pytest.mark.parametrize("written", [b"1.0", b"1e3", b"9223372036854775808", b"-1", b'"1"'])
def test_a_total_or_partial_sum_of_another_kind_is_not_read(written: bytes) -> None:
    total = encode_total(ProjectTotal("P1", WindowKind.ALL, 0, None, None, 7, 1, 0, 0, False, 1))
    assert decode_total(total)
    with pytest.raises(ValueError, match=r"\$\.fen"):
        decode_total(total.replace(b'"fen":7', b'"fen":' + written))
    with pytest.raises(ValueError, match=r"\$\.minutes"):
        decode_delta(b'{"minutes":[[0,%b,1]]}' % written)
