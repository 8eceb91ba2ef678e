"""Running totals: in any order of arrival what is right raises no alarm, and each planted fault is found."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.totals import WindowKind
from streams.domain.audit_findings import Findings
from streams.domain.audit_running import KEPT_MS, RunningTotals
from streams.domain.audit_totals import Ledger
from streams.domain.audit_windows import AuditCalendar
from tests.domain.audit_world import APPENDED_AT, HOUR_MS, NOON_MS, Rec, kinds, utc_window
from tests.domain.test_audit_totals import altered, donated, find

DAY_MS = 24 * HOUR_MS
RETENTION_MS = {WindowKind.MINUTE: 48 * HOUR_MS, WindowKind.HOUR: 960 * HOUR_MS}


class Run:
    """One partition, and what was found in it."""

    def __init__(self, partition: int = 0) -> None:
        self.findings = Findings()
        self.totals = RunningTotals(
            "project-totals", partition, self.findings, lambda _project: 0, RETENTION_MS, calendar=AuditCalendar("UTC")
        )

    def count(self, ledger: Ledger) -> None:
        for project_id in ledger.projects():
            self.totals.count(project_id, ledger)

    def take(self, *records: Rec) -> None:
        self.totals.take(records)
        self.totals.reach_end()

    def look(self, newest_ms: int = NOON_MS + 400 * DAY_MS) -> dict[str, int]:
        """All that was to come has come: one look from beginning to end. What was found so far."""
        if self.totals.begin_look():
            self.totals.end_look(newest_ms)
        self.totals.reach_end()
        return kinds(self.findings)


def small() -> tuple[Ledger, list[Rec]]:
    return donated(("P1", 2, NOON_MS), ("P1", 10, NOON_MS + 1), ("P1", 2, NOON_MS + 40 * DAY_MS), ("P2", 7, NOON_MS))


def tombstone(key: bytes, offset: int = 100) -> Rec:
    return Rec(offset, APPENDED_AT, key, None)


def test_right_totals_have_no_findings():
    ledger, records = small()
    run = Run()
    run.count(ledger)
    run.take(*records)
    assert run.look() == {}
    assert run.totals.checked == len(records)
    assert run.look() == {}, "and nothing is left to look at"
    assert run.totals.checked == len(records)


@pytest.mark.parametrize("kind", list(WindowKind))
@pytest.mark.parametrize("by", [("fen", 1), ("fen", -1), ("donations", 1), ("donations", -1)])
def test_a_total_off_by_one_is_found(kind, by):
    field, by_ = by
    ledger, records = small()
    at = find(records, f"P1|{kind}")
    records[at] = altered(records[at], **{field: msgspec.json.decode(records[at].value)[field] + by_})
    run = Run()
    run.count(ledger)
    run.take(*records)
    assert run.look()["total-wrong"] >= 1


@pytest.mark.parametrize("kind", list(WindowKind))
def test_a_missing_total_is_found(kind):
    ledger, records = small()
    missing = records.pop(find(records, f"P2|{kind}"))
    run = Run()
    run.count(ledger)
    run.take(*records)
    assert run.look().pop("total-missing") == 1
    assert f"P2|{kind}" in run.findings.kept[-1].text or missing.key.decode() in run.findings.kept[0].text


def test_a_total_for_nothing_is_found():
    ledger, records = small()
    undue, more = donated(("P3", 5, NOON_MS))
    run = Run()
    run.count(ledger)
    run.take(*records, *more)
    assert run.look() == {"total-undue": 6}
    run.count(undue)
    assert run.look() == {"total-undue": 6}, "a finding is final"


@pytest.mark.parametrize("field", ["end_ms", "start", "late_fen"])
def test_wrong_bounds_and_more_late_fen_than_fen_are_found(field):
    ledger, records = small()
    at = find(records, "P2|day")
    wrong = {"end_ms": NOON_MS, "start": "2020-11-11", "late_fen": 8}[field]
    records[at] = altered(records[at], **{field: wrong})
    run = Run()
    run.count(ledger)
    run.take(*records)
    assert run.look() == {"total-wrong": 1}


def test_a_total_of_a_window_that_the_calendar_doesnt_have_is_found():
    _, records = donated(("P1", 2, NOON_MS))
    day = altered(records[find(records, "P1|day")], start_ms=NOON_MS)
    run = Run()
    run.take(day._replace(key=f"P1|day|{NOON_MS}".encode()))
    assert run.look() == {"total-undue": 1}


def test_a_total_that_goes_back_is_found_at_once():
    ledger, records = small()
    run = Run()
    run.count(ledger)
    run.take(*records)
    at = find(records, "P2|all")
    run.take(altered(records[at], revision=2)._replace(offset=200))
    assert kinds(run.findings) == {}
    run.take(altered(records[at], revision=2)._replace(offset=201))
    assert kinds(run.findings) == {"total-went-back": 1}


def test_a_fault_is_found_at_the_next_look_though_the_first_was_right():
    ledger, records = small()
    run = Run()
    run.count(ledger)
    run.take(*records)
    assert run.look() == {}
    at = find(records, "P2|minute")
    run.take(altered(records[at], fen=8, revision=2)._replace(offset=300))
    assert run.look() == {"total-wrong": 1}
    assert run.findings.kept[0].place == "project-totals-0@300"


def test_months_that_differ_from_all_time_are_found_where_donations_never_cease():
    """Always more donations are counted than are in the totals, so no look can tell."""
    ledger, records = small()
    run = Run()
    run.count(ledger)
    at = find(records, "P1|month")
    records[at] = altered(records[at], fen=msgspec.json.decode(records[at].value)["fen"] + 1)
    run.totals.begin_look()
    run.count(small()[0])
    run.take(*records)
    run.totals.end_look(NOON_MS)
    assert kinds(run.findings) == {}
    run.totals.reach_end()
    assert kinds(run.findings) == {"total-wrong": 1}


# --- release, and what is let go


def test_released_minutes_are_no_fault_and_what_comes_for_them_later_isnt_either():
    ledger, records = donated(("P1", 2, NOON_MS))
    late_ms = NOON_MS + 10 * DAY_MS
    later, more = donated(("P1", 3, late_ms))
    run = Run()
    run.count(ledger)
    run.take(*records)
    minute = records[find(records, "P1|minute")].key
    shared = [
        record for record in more if b"|minute|" in record.key or b"|hour|" in record.key or b"|day|" in record.key
    ]
    run.take(*(altered(record, watermark_ms=late_ms)._replace(offset=500 + n) for n, record in enumerate(shared)))
    run.take(tombstone(minute))
    run.count(later)
    longer = [record for record in records if record.key.split(b"|")[1] in {b"month", b"year", b"all"}]
    run.take(*(altered(r, fen=5, donations=2, revision=2)._replace(offset=600 + n) for n, r in enumerate(longer)))
    assert run.look(late_ms) == {}
    run.count(donated(("P1", 4, NOON_MS))[0])
    run.take(*(altered(r, fen=9, donations=3, revision=3)._replace(offset=700 + n) for n, r in enumerate(longer)))
    assert run.look(late_ms) == {}


def test_a_minute_that_is_released_before_its_time_is_found():
    ledger, records = donated(("P1", 2, NOON_MS))
    run = Run()
    run.count(ledger)
    run.take(*records, tombstone(records[find(records, "P1|minute")].key))
    assert run.look(NOON_MS + 47 * HOUR_MS) == {"total-missing": 1}


@pytest.mark.parametrize("kind", ["day", "month", "year", "all"])
def test_a_day_or_longer_that_is_released_is_found(kind):
    ledger, records = donated(("P1", 2, NOON_MS))
    run = Run()
    run.count(ledger)
    run.take(*records, tombstone(records[find(records, f"P1|{kind}")].key))
    assert run.look() == {"total-missing": 1}


def test_windows_that_are_long_past_are_let_go_so_memory_doesnt_grow_with_time():
    """A project gets a donation every six minutes for twelve days of event time."""
    run = Run()
    sums: dict[bytes, list[int]] = {}
    sizes = []
    for number in range(12 * 24 * 10):
        at_ms = NOON_MS + number * 6 * 60_000
        ledger, records = donated(("P1", 2, at_ms))
        run.count(ledger)
        commit = []
        for place, record in enumerate(records):
            found = sums.setdefault(record.key, [0, 0])
            found[0] += 2
            found[1] += 1
            newest = altered(record, fen=found[0], donations=found[1], revision=found[1], watermark_ms=at_ms)
            commit.append(newest._replace(offset=number * 10 + place))
        run.take(*commit)
        assert run.look(at_ms) == {}
        sizes.append(len(run.totals))
    days_kept = KEPT_MS[WindowKind.DAY] // DAY_MS
    assert len(sums) > 3_000
    assert max(sizes) <= 12 + 8 + (days_kept + 2) + 3, "minutes of an hour, some hours, the days, and what stays"


# --- any order of arrival


@given(st.data())
def test_whatever_comes_first_what_is_right_raises_no_alarm(data):
    """Donations come one by one; the totals of a prefix come later or sooner than they are counted."""
    gifts = data.draw(
        st.lists(
            st.tuples(st.sampled_from(["P1", "P2"]), st.integers(1, 50), st.integers(0, 3 * DAY_MS)),
            min_size=1,
            max_size=12,
        )
    )
    run = Run()
    state = {"written": 0, "counted": 0, "summed": 0}
    revisions: dict[bytes, int] = {}
    looking: tuple[int, int] | None = None
    offset = 0
    for _ in range(data.draw(st.integers(0, 40))):
        step = data.draw(st.sampled_from(["write", "count", "sum", "begin", "end"]))
        if step == "write":
            state["written"] = min(state["written"] + 1, len(gifts))
        elif step == "count" and state["counted"] < state["written"]:
            project_id, fen, after_ms = gifts[state["counted"]]
            ledger = Ledger()
            ledger.add(project_id, NOON_MS + after_ms, fen)
            run.count(ledger)
            state["counted"] += 1
        elif step == "sum" and state["summed"] < state["written"]:
            project_id, _fen, after_ms = gifts[state["summed"]]
            state["summed"] += 1
            prefix = [(p, f, NOON_MS + a) for p, f, a in gifts[: state["summed"]]]
            changed = {f"{project_id}|{kind}|{utc_window(kind, NOON_MS + after_ms)[0]}".encode() for kind in WindowKind}
            for record in donated(*prefix)[1]:
                if record.key in changed:
                    revisions[record.key] = revisions.get(record.key, 0) + 1
                    offset += 1
                    run.totals.take([altered(record, revision=revisions[record.key])._replace(offset=offset)])
            run.totals.reach_end()
        elif step == "begin" and looking is None and run.totals.begin_look():
            looking = (state["summed"], state["counted"])
        elif (
            step == "end"
            and looking is not None
            # What the totals held then is counted, and what was counted then is in the totals.
            and state["counted"] >= looking[0]
            and state["summed"] >= looking[1]
        ):
            run.totals.end_look(NOON_MS + 4 * DAY_MS)
            looking = None
    assert run.findings.kept == ()


def test_totals_in_another_partition_are_found():
    run = Run(partition=1)
    run.take(small()[1][0])
    assert run.look() == {"total-misplaced": 1}
