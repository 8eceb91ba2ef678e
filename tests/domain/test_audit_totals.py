"""Totals are held against the ledger's sums: each planted fault is found, what may be absent may be absent."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.limits import EVENT_TIME_MAX_MS
from schemas.totals import TotalKey, WindowKind
from streams.domain.audit_totals import Ledger
from tests.domain.audit_world import HOUR_MS, NOON_MS, Line, Rec, World, audit_totals, kinds, total_record, write_totals

DAY_MS = 24 * HOUR_MS


def donated(*gifts: tuple[str, int, int]) -> tuple[Ledger, list[Rec]]:
    """A ledger and its totals of (project, fen, time)."""
    world = World()
    ledger = Ledger()
    for project_id, fen, at_ms in gifts:
        world.accept(f"o{len(world.orders)}", Line(project_id, fen), at_ms=at_ms)
        ledger.add(project_id, at_ms, fen)
    totals = write_totals(world.donation(index) for index in range(len(world.donations)))
    return ledger, [total_record(offset, total) for offset, total in enumerate(totals)]


def small() -> tuple[Ledger, list[Rec]]:
    return donated(("P1", 2, NOON_MS), ("P1", 10, NOON_MS + 1), ("P1", 2, NOON_MS + 40 * DAY_MS), ("P2", 7, NOON_MS))


def altered(record: Rec, **fields) -> Rec:
    total = msgspec.json.decode(record.value or b"")
    return record._replace(value=msgspec.json.encode(total | fields))


def find(records: list[Rec], key: str) -> int:
    return next(index for index, record in enumerate(records) if (record.key or b"").startswith(key.encode()))


def test_right_totals_have_no_findings():
    findings, run = audit_totals(*small())
    assert findings.kept == ()
    assert run.checked == 10 + 6  # the 40 days between lie in one year


@given(
    st.lists(
        st.tuples(st.sampled_from(["P1", "P2", "P3"]), st.integers(1, 10**12), st.integers(1, 4_000_000_000_000)),
        max_size=30,
    )
)
def test_any_donations_add_up_to_the_totals_of_the_calendar(gifts):
    assert audit_totals(*donated(*gifts))[0].kept == ()


@pytest.mark.parametrize("kind", list(WindowKind))
@pytest.mark.parametrize(
    ("field", "by"), [("fen", 1), ("fen", -1), ("donations", 1), ("late_fen", 1_000), ("end_ms", 1)]
)
def test_a_total_off_by_one_is_found(kind, field, by):
    ledger, records = small()
    index = find(records, f"P1|{kind}|")
    total = msgspec.json.decode(records[index].value)
    records[index] = altered(records[index], **{field: (total[field] or 0) + by})
    findings = audit_totals(ledger, records)[0]
    assert kinds(findings) == {"total-wrong": 1}
    assert field in findings.kept[0].text


@pytest.mark.parametrize("kind", list(WindowKind))
def test_a_missing_total_is_found(kind):
    ledger, records = small()
    del records[find(records, f"P2|{kind}|")]
    assert kinds(audit_totals(ledger, records)[0]) == {"total-missing": 1}


def test_a_wrong_text_of_the_start_is_found():
    ledger, records = small()
    index = find(records, "P1|day|")
    records[index] = altered(records[index], start="2020-11-11T00:00:00+08:00")
    assert kinds(audit_totals(ledger, records)[0]) == {"total-wrong": 1}


@pytest.mark.parametrize("gift", [("P3", 2, NOON_MS), ("P1", 2, NOON_MS + 90 * DAY_MS)])
def test_a_total_for_nothing_is_found(gift):
    ledger, records = small()
    more = donated(gift)[1]
    there = {record.key for record in records}
    undue = [record._replace(offset=100 + record.offset) for record in more if record.key not in there]
    assert kinds(audit_totals(ledger, records + undue)[0]) == {"total-undue": len(undue)}


def test_a_total_in_another_partition_is_found_and_doesnt_count():
    ledger, records = small()
    findings, run = audit_totals(ledger, records, partition_of=lambda project_id: int(project_id == "P2"))
    assert kinds(findings) == {"total-misplaced": 6}
    assert run.checked == 10


def test_a_key_that_isnt_the_values_is_found():
    ledger, records = small()
    index = find(records, "P2|all|")
    records[index] = records[index]._replace(key=b"P2|all|5")
    assert kinds(audit_totals(ledger, records)[0]) == {"total-misplaced": 1, "total-missing": 1}


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff"])
def test_a_record_that_is_no_total_is_found(value):
    ledger, records = small()
    records.append(Rec(99, 0, b"P1|all|0", value))
    assert kinds(audit_totals(ledger, records)[0]) == {"total-unreadable": 1}


def test_the_newest_record_of_a_key_counts():
    ledger, records = small()
    index = find(records, "P2|all|")
    records.append(altered(records[index], fen=8, revision=2)._replace(offset=50))
    assert kinds(audit_totals(ledger, records)[0]) == {"total-wrong": 1}
    records.append(altered(records[index], fen=8, revision=3)._replace(offset=51))
    records.insert(0, altered(records[index], fen=1, revision=0)._replace(offset=0))
    assert kinds(audit_totals(ledger, records)[0]) == {"total-wrong": 1}


@pytest.mark.parametrize("fields", [{"fen": 9}, {"donations": 2}, {"revision": 5}])
def test_a_total_that_goes_back_is_found(fields):
    ledger, records = small()
    index = find(records, "P2|all|")
    records.insert(index, altered(records[index], **fields))
    assert kinds(audit_totals(ledger, records)[0]) == {"total-went-back": 1}


@pytest.mark.parametrize(("kind", "retention_ms"), [("minute", 48 * HOUR_MS), ("hour", 960 * HOUR_MS)])
def test_a_short_window_may_be_gone_after_its_retention_and_not_before(kind, retention_ms):
    ledger, records = small()
    index = find(records, f"P2|{kind}|")
    end_ms = msgspec.json.decode(records[index].value)["end_ms"]
    tombstone = records.pop(index)._replace(value=None, offset=60)
    for early_ms, expected in [(0, {}), (1, {"total-missing": 1})]:
        last = altered(records[-1], watermark_ms=end_ms + retention_ms - early_ms)
        findings, run = audit_totals(ledger, [*records[:-1], last, tombstone])
        assert kinds(findings) == expected
        assert run.released == 1 - early_ms


@pytest.mark.parametrize("kind", ["day", "month", "year", "all"])
def test_a_long_window_is_never_released(kind):
    ledger, records = small()
    key = records[find(records, f"P2|{kind}|")].key
    records[0] = altered(records[0], watermark_ms=EVENT_TIME_MAX_MS)
    assert kinds(audit_totals(ledger, [*records, Rec(90, 0, key, None)])[0]) == {"total-missing": 1}


def test_a_total_that_is_there_again_after_its_release_must_be_right():
    ledger, records = small()
    index = find(records, "P1|minute|")
    again = altered(records[index], fen=10, donations=1)._replace(offset=70)
    records = [*records, records[index]._replace(value=None, offset=69), again]
    assert kinds(audit_totals(ledger, records)[0]) == {"total-wrong": 1}


def test_a_total_that_was_written_anew_meanwhile_isnt_missed():
    ledger, records = small()
    key = records.pop(find(records, "P2|all|")).key or b""
    assert audit_totals(ledger, records, changed=frozenset({key}))[0].kept == ()


def test_a_donation_at_the_end_of_the_time_line_is_audited_like_any():
    ledger = Ledger()
    ledger.add("P1", EVENT_TIME_MAX_MS, 2)
    findings, _ = audit_totals(ledger, [])
    assert kinds(findings) == {"total-missing": 6}
    assert TotalKey("P1", WindowKind.ALL, 0).encode().decode() in " ".join(each.text for each in findings.kept)
