"""The audit passes what is faultless, however it is cut into batches, and finds each planted fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.order import FixedPledge, OrderLine, RatePledge
from schemas.rejection import Reason
from streams.domain.audit_rule import pledged_fen
from tests.domain.audit_world import APPENDED_AT, HOUR_MS, NOON_MS, Line, Rec, World, audit, kinds

DAY_MS = 24 * HOUR_MS


def small_world() -> World:
    """Nine orders: five give seven donations, one gives none, one is a repeat, two are refused."""
    world = World()
    world.accept("o0", Line("P1", 2))
    world.accept("o1", Line("P1", 10), Line("P2", 2))
    world.refuse(Reason.NOT_JSON, b"{")
    world.accept("o3", None)
    world.accept("o4", Line("P2", 100), None, Line("P3", 7))
    world.send(world.order_value("o1", [Line("P1", 10), Line("P2", 2)], NOON_MS))  # again, unchanged
    world.refuse(Reason.CONFLICT, world.order_value("o0", [Line("P1", 3)], NOON_MS))
    world.accept("o7", Line("P1", 2))
    world.accept("o8", Line("P1", 2))
    return world


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_faultless_partition_has_no_findings_and_right_counts(batch):
    findings, counts, _ = audit(small_world(), batch=batch)
    assert findings.kept == ()
    assert (counts.orders, counts.accepted, counts.no_pledge, counts.repeats) == (9, 6, 1, 1)
    assert counts.rejected == {Reason.NOT_JSON: 1, Reason.CONFLICT: 1}
    assert (counts.donations, counts.fen) == (7, 125)


@given(st.lists(st.sampled_from(["one", "three", "none", "repeat", "bad"]), max_size=60), st.integers(1, 70))
def test_any_faultless_partition_passes_in_any_cut(actions, batch):
    world = World()
    sent = []
    for number, action in enumerate(actions):
        lines = {"one": [Line("P1", 2)], "three": [Line("P1", 2), None, Line("P2", 1)], "none": [None]}.get(action)
        if lines is not None:
            world.accept(f"o{number}", *lines, at_ms=NOON_MS + number)
            if action != "none":
                sent.append(world.orders[-1].value)
        elif action == "bad":
            world.refuse(Reason.INVALID, b"{}")
        elif sent:
            world.send(sent[number % len(sent)])
    findings, counts, _ = audit(world, batch=batch)
    assert findings.kept == ()
    assert counts.orders == len(world.orders)
    assert counts.donations == len(world.donations)


def test_no_orders_at_all_are_conserved():
    findings, counts, _ = audit(World())
    assert findings.total == 0
    assert counts.orders == 0


# --- the rule


@pytest.mark.parametrize(
    ("pledge", "paid_fen", "fen"),
    [
        (FixedPledge("P", 2), 4_990, 2),
        (FixedPledge("P", 200), 100, 100),
        (RatePledge("P", 30), 12_900, 39),  # 38.7
        (RatePledge("P", 30), 11_500, 35),  # 34.5, half up
        (RatePledge("P", 30), 11_499, 34),
        (RatePledge("P", 1), 100, 2),  # the minimum
        (RatePledge("P", 1), 1, 1),  # never more than was paid
        (RatePledge("P", 10_000), 10**12, 10**12),
    ],
)
def test_a_pledge_gives_what_the_contract_says(pledge, paid_fen, fen):
    assert pledged_fen(OrderLine(0, "i", paid_fen, pledge)) == fen


def test_a_line_without_a_pledge_gives_nothing():
    assert pledged_fen(OrderLine(0, "i", 100, None)) == 0


# --- repeats and the horizon: 24 h, in slices of an hour; the clock is the newest event time that donated


@pytest.mark.parametrize(("later_ms", "known"), [(24 * HOUR_MS, True), (25 * HOUR_MS - 1, True), (25 * HOUR_MS, False)])
def test_an_order_is_known_until_its_slice_is_more_than_24_behind(later_ms, known):
    world = World()
    world.accept("old", Line("P1", 2), at_ms=NOON_MS)
    world.accept("new", Line("P1", 2), at_ms=NOON_MS + later_ms)
    again = world.order_value("old", [Line("P1", 2)], NOON_MS)
    if known:
        world.send(again)
    else:
        world.accept("old", Line("P1", 2), at_ms=NOON_MS)
    findings, counts, _ = audit(world)
    assert findings.kept == ()
    assert counts.repeats == int(known)


def test_an_old_order_is_remembered_by_the_clock_at_which_it_came():
    world = World()
    world.accept("new", Line("P1", 2), at_ms=NOON_MS)
    world.accept("late", Line("P1", 2), at_ms=NOON_MS - 1_000 * DAY_MS)
    world.send(world.order_value("late", [Line("P1", 2)], NOON_MS - 1_000 * DAY_MS))
    assert audit(world)[0].kept == ()


def test_an_order_that_gave_nothing_is_not_remembered():
    world = World()
    world.accept("o", None)
    world.accept("o", Line("P1", 2))
    world.refuse(Reason.CONFLICT, world.order_value("o", [None], NOON_MS))
    assert audit(world)[0].kept == ()


def test_an_order_too_far_in_the_future_neither_donates_nor_moves_the_clock():
    world = World()
    world.accept("o0", Line("P1", 2))
    world.accept("edge", Line("P1", 2), at_ms=APPENDED_AT + DAY_MS)
    far = world.order_value("far", [Line("P1", 2)], APPENDED_AT + DAY_MS + 1)
    world.refuse(Reason.TOO_FAR_IN_FUTURE, far)
    world.refuse(Reason.TOO_FAR_IN_FUTURE, far)
    assert audit(world)[0].kept == ()


# --- planted faults among donations


def test_a_missing_donation_is_found_once_and_so_is_the_gap():
    for index in range(6):
        world = small_world()
        world.donations.pop(index)
        assert kinds(audit(world)[0]) == {"donation-missing": 1, "seq-broken": 1}
    world.donations = small_world().donations[:-1]
    assert kinds(audit(world)[0]) == {"donation-missing": 1}


def test_a_missing_donation_is_found_where_the_numbers_hide_it():
    world = small_world()
    world.donations.pop(2)
    for index in range(6):
        world.alter_donation(index, seq=index)
    assert kinds(audit(world)[0]) == {"donation-missing": 1}


@pytest.mark.parametrize("where", [0, 3, 6, 7])
def test_a_doubled_donation_is_found(where):
    world = small_world()
    world.donations.insert(where, world.donations[min(where, 6)])
    found = kinds(audit(world)[0])
    assert found.pop("donation-doubled") == 1
    assert set(found) <= {"seq-broken"}


def test_a_doubled_donation_with_a_number_of_its_own_is_found():
    world = small_world()
    world.donations.append(world.donations[3])
    world.alter_donation(7, seq=7)
    findings = audit(world)[0]
    assert kinds(findings) == {"donation-doubled": 1}
    assert "o4:0: 100 fen to P2" in findings.kept[0].found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fen", 11),
        ("donation_id", "o1:5"),
        ("order_id", "o9"),
        ("line", 3),
        ("buyer_id", "b2"),
        ("merchant_id", "m2"),
        ("item_id", "i9"),
        ("project_id", "P9"),
        ("donated_at", NOON_MS + 1),
        ("source_offset", 0),
        ("source_offset", 2),
        ("source_offset", 10**9),
    ],
)
def test_an_altered_field_is_found_and_named(field, value):
    world = small_world()
    world.alter_donation(1, **{field: value})
    findings = audit(world)[0]
    assert kinds(findings) == {"donation-altered": 1}
    assert findings.kept[0].place == "donations-0@1"
    assert f"{field}={value}" in findings.kept[0].found


@pytest.mark.parametrize(("seq", "faults"), [(2, 2), (0, 2), (99, 2)])
def test_an_altered_number_is_found(seq, faults):
    world = small_world()
    world.alter_donation(1, seq=seq)
    assert kinds(audit(world)[0]) == {"seq-broken": faults}


@pytest.mark.parametrize(("field", "value"), [("timestamp", NOON_MS + 1), ("key", b"b2"), ("key", None)])
def test_a_wrong_timestamp_or_key_of_a_donation_is_found(field, value):
    world = small_world()
    world.donations[2] = world.donations[2]._replace(**{field: value})
    findings = audit(world)[0]
    assert kinds(findings) == {"donation-altered": 1}
    assert findings.kept[0].found == f"{field}={value}"


@pytest.mark.parametrize("value", [None, b"", b"[]", b"\xff", b'{"fen": 1.5}'])
def test_a_record_that_is_no_donation_is_found(value):
    world = small_world()
    world.donations[2] = world.donations[2]._replace(value=value)
    assert kinds(audit(world)[0]) == {"donation-unreadable": 1, "donation-missing": 1}


@pytest.mark.parametrize(("source_offset", "order_id"), [(2, "o2"), (3, "o3"), (6, "conflict"), (77, "nowhere")])
def test_a_donation_of_an_order_that_gives_none_is_found(source_offset, order_id):
    world = small_world()
    kept = world.donations[5:]
    del world.donations[5:]
    world.donate(order_id, 0, Line("P1", 2), NOON_MS, source_offset)
    world.donations.extend(kept)
    for index in range(len(world.donations)):
        world.alter_donation(index, seq=index)
    assert kinds(audit(world)[0]) == {"donation-undue": 1}


def test_a_donation_of_a_repeated_order_is_found():
    world = small_world()
    kept = world.donations[5:]
    del world.donations[5:]
    world.donate("o1", 0, Line("P1", 10), NOON_MS, 5)
    world.donate("o1", 1, Line("P2", 2), NOON_MS, 5)
    world.donations.extend(kept)
    for index in range(len(world.donations)):
        world.alter_donation(index, seq=index)
    assert kinds(audit(world)[0]) == {"donation-doubled": 2}


def test_swapped_donations_are_found():
    world = small_world()
    world.donations[1], world.donations[2] = world.donations[2], world.donations[1]
    world.alter_donation(1, seq=1)
    world.alter_donation(2, seq=2)
    assert audit(world)[0].total > 0


@given(st.data())
def test_one_fault_is_never_silent_and_never_a_flood(data):
    world = World()
    for number in range(200):
        world.accept(f"o{number}", *[Line("P1", 2)] * (1 + number % 3), at_ms=NOON_MS + number)
    index = data.draw(st.integers(0, len(world.donations) - 1))
    fault = data.draw(st.sampled_from(["drop", "double", "fen", "move", "phantom"]))
    if fault == "drop":
        world.donations.pop(index)
    elif fault == "double":
        world.donations.insert(index, world.donations[data.draw(st.integers(0, index))])
    elif fault == "fen":
        world.alter_donation(index, fen=3)
    elif fault == "move":
        world.alter_donation(index, source_offset=10**6)
    else:
        world.donations.insert(index, world.donations[index])
        world.alter_donation(index, source_offset=10**6, donation_id="x:0", order_id="x")
    findings = audit(world, batch=data.draw(st.integers(1, 50)))[0]
    assert 1 <= findings.total <= 3


def test_a_long_run_of_missing_or_doubled_donations_is_counted_one_by_one():
    world = World()
    for number in range(300):
        world.accept(f"o{number}", Line("P1", 2), at_ms=NOON_MS + number)
    whole = list(world.donations)
    world.donations = whole[:100] + whole[200:]
    assert kinds(audit(world)[0]) == {"donation-missing": 100, "seq-broken": 1}
    world.donations = whole[:200] + whole[100:]
    findings = audit(world)[0]
    assert kinds(findings) == {"donation-doubled": 100, "seq-broken": 1}
    assert len(findings.kept) == 21


# --- planted faults among rejected orders


def test_a_lost_rejected_order_is_found():
    for index in range(2):
        world = small_world()
        world.rejected.pop(index)
        assert kinds(audit(world)[0]) == {"rejection-missing": 1}


@pytest.mark.parametrize("index", [0, 1])
def test_a_doubled_rejected_order_is_found(index):
    world = small_world()
    world.rejected.insert(index, world.rejected[index])
    assert kinds(audit(world)[0]) == {"rejection-doubled": 1}


@pytest.mark.parametrize(("field", "value"), [("value", b"["), ("key", None), ("key", b"b2"), ("headers", ())])
def test_an_altered_rejected_order_is_found(field, value):
    world = small_world()
    world.rejected[0] = world.rejected[0]._replace(**{field: value})
    assert kinds(audit(world)[0]) == {"rejection-altered": 1}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("reason", b"invalid"),
        ("reason", b"because"),
        ("rejected-at", b"1"),
        ("source-topic", b"x"),
        ("source-partition", b"1"),
        ("source-offset", b"x"),
    ],
)
def test_a_wrong_header_of_a_rejected_order_is_found(header, value):
    world = small_world()
    headers = [(name, value if name == header else old) for name, old in world.rejected[0].headers]
    world.rejected[0] = world.rejected[0]._replace(headers=headers)
    assert kinds(audit(world)[0]) == {"rejection-altered": 1}


@pytest.mark.parametrize("offset", [1, 5, 99])
def test_a_rejected_order_that_was_never_refused_is_found(offset):
    world = small_world()
    phantom = world.rejection(Rec(offset, APPENDED_AT, b"b1", b"{"), Reason.NOT_JSON)
    world.rejected.insert(1, phantom)
    assert kinds(audit(world)[0]) == {"rejection-undue": 1}


def test_an_order_that_was_refused_instead_of_accepted_is_found_on_both_sides():
    world = small_world()
    world.donations.pop()
    world.rejected.append(world.rejection(world.orders[-1], Reason.INVALID))
    assert kinds(audit(world)[0]) == {"donation-missing": 1, "rejection-undue": 1}


# --- the cut


def test_what_is_newer_than_the_cut_is_left_out():
    findings, counts, _ = audit(small_world(), cut=5)
    assert findings.kept == ()
    assert (counts.orders, counts.donations) == (5, 5)


def test_the_numbers_are_checked_beyond_the_cut_too():
    world = small_world()
    world.alter_donation(6, seq=7)
    assert kinds(audit(world, cut=5)[0]) == {"seq-broken": 1}


def test_orders_that_retention_took_are_recalled_from_their_donations():
    world = small_world()
    world.orders = [record for record in world.orders if record.offset >= 3]
    findings, counts, _ = audit(world)
    assert findings.kept == ()  # the repeat and the conflict are of orders that are gone
    assert (counts.orders, counts.repeats, counts.donations, counts.underived) == (6, 1, 7, 3)


def test_rejected_orders_that_retention_took_are_not_missed():
    world = small_world()
    world.rejected.pop(0)
    findings, counts, _ = audit(world, rejected_trimmed=True)
    assert findings.kept == ()
    assert counts.underived == 1
