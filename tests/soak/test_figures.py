import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from schemas.units import HOUR_MS
from tests.soak.crew import is_suspicious
from tests.soak.figures import Life, Memory, Probe, Restart, Sights, percentile
from tests.soak.plan import EventClock, SoakPlan, event_start_ms

MINUTE_S = 60.0
CONSERVED = {"conserved": True, "reason": "every donation and every total is what the orders give"}


def sights(**other):
    """A run of 20 minutes that shows all that it must, with a restart from 60 to 75 s; but for what `other` says."""
    calm = [Probe(at_s, at_s + 0.8) for at_s in (1.0, 50.0, 100.0, 1_000.0)]
    found = {
        "started_s": 0.0,
        "ended_s": 20 * MINUTE_S,
        "orders_per_second": 5_000.0,
        "load": {"orders": 6_000_000, "seconds": 1_200.0},
        "probes_sent": 5,
        "probes": [*calm, Probe(61.0, 74.0)],
        "restarts": [Restart(2, "SIGKILL", 60.0, 70.0, 75.0)],
        "steady": Life(1, 0.0, [Memory(float(at_s), 300_000_000) for at_s in range(1_200)]),
        "lives": [],
        "restart_every_s": MINUTE_S,
        "faults": [],
        "audit": CONSERVED,
    }
    return Sights(**{**found, **other})


def missed(found):
    return [each.name for each in found.criteria() if not each.is_met]


def leaking(bytes_a_second, most=10**9):
    return Life(1, 0.0, [Memory(float(at_s), 200_000_000 + min(most, at_s * bytes_a_second)) for at_s in range(1_200)])


def test_a_run_that_shows_all_that_it_must_misses_nothing():
    assert missed(sights()) == []
    assert json.loads(json.dumps(sights().to_json()))["restarts"]["SIGKILL"]["held_back_s"]["max"] == 13.0


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"audit": {"conserved": False, "reason": "3 differences"}}, "the audit says conserved"),
        ({"audit": {"conserved": None, "reason": "on their way"}}, "the audit says conserved"),
        ({"probes_sent": 6}, "every probe became visible"),
        ({"faults": ["worker 1 ended unasked, with status 3"]}, "no livelock, no error, no unasked end"),
        ({"suspicious_lines": ["Possible livelock"]}, "no livelock, no error, no unasked end"),
        ({"load": {"orders": 5_000_000, "seconds": 1_200.0}}, "at least 98% of 5,000 orders a second"),
        ({"probes": [Probe(1.0, 2.6)] * 5}, "p99 outside restarts at most 1.5 s"),
        ({"probes": [Probe(61.0, 62.0)] * 5}, "p99 outside restarts at most 1.5 s"),
        ({"steady": leaking(30_000)}, "memory after the first quarter grows by less than 5%"),
        ({"steady": Life(1, 0.0)}, "memory after the first quarter grows by less than 5%"),
    ],
)
def test_what_is_missing_is_named_and_nothing_else(other, name):
    assert missed(sights(**other)) == [name]


def test_a_window_that_never_ends_takes_all_later_probes_with_it_and_is_a_miss():
    found = sights(restarts=[Restart(2, "SIGTERM", 60.0, 70.0)])
    assert "each restart settled and drained before the next one" in missed(found)
    assert [round(latency, 3) for latency in found.outside()] == [0.8, 0.8]


def test_memory_that_fills_within_the_first_quarter_is_no_leak():
    assert missed(sights(steady=leaking(1_000_000, most=300_000_000))) == []


def test_a_probe_belongs_to_a_window_if_it_was_under_way_at_any_moment_of_it():
    restart = [Restart(2, "SIGTERM", 60.0, 62.0, 65.0)]
    for probe, within in [
        (Probe(58.0, 59.9), False),
        (Probe(59.5, 60.1), True),
        (Probe(61.0, 62.0), True),
        (Probe(64.9, 66.0), True),
        (Probe(65.1, 66.0), False),
    ]:
        assert bool(sights(probes=[probe], restarts=restart).within(restart)) is within, probe


def test_a_percentile_is_a_value_that_was_seen():
    values = [float(value) for value in range(1, 201)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (100.0, 198.0, 200.0)
    assert percentile([3.0], 99) == 3.0
    assert percentile([], 99) is None


@pytest.mark.parametrize(
    ("line", "suspicious"),
    [
        ('{"event": "Possible livelock: stopped processing", "level": "warning"}', True),
        ("Traceback (most recent call last):", True),
        ('{"event": "anything", "level": "error"}', True),
        ("everycent: orders-3 has work and made no progress for 300 s", True),
        ('{"event": "partition ready", "level": "info"}', False),
        ('{"event": "fenced: another worker owns this partition", "level": "warning"}', False),
        ('{"reason": "invalid", "orders": 3, "event": "orders refused", "level": "warning"}', False),
        ('{"event": "given up for now; will restore and go on", "error": "KafkaError()", "level": "warning"}', False),
    ],
)
def test_a_worker_that_hung_or_failed_is_known_by_its_log(line, suspicious):
    assert is_suspicious(line) is suspicious


def test_event_time_fills_and_turns_over_all_memory_within_the_first_quarter():
    plan = SoakPlan()
    assert plan.event_speed * plan.seconds / 4 > 2.5 * 3_600 - 1  # an hour that is kept for one more, and lateness
    assert len(plan.restarts_at_s) == 19
    assert EventClock(1_000, 5_000, 30).at(1_002) == 5_060


@pytest.mark.parametrize("hour", range(24))
def test_event_time_stays_on_one_day_ahead_of_the_clock_and_less_than_a_day_ahead(hour):
    now_ms = int(datetime(2020, 11, 11, hour, 17, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()) * 1_000
    start_ms = event_start_ms(now_ms, "Asia/Shanghai", 10 * HOUR_MS)
    days = {
        datetime.fromtimestamp(at_ms / 1_000, ZoneInfo("Asia/Shanghai")).date()
        for at_ms in (start_ms, start_ms + 10 * HOUR_MS)
    }
    assert len(days) == 1
    assert start_ms > now_ms
    assert start_ms + 10 * HOUR_MS - now_ms < 24 * HOUR_MS


@pytest.mark.parametrize(
    "wrong",
    [{"workers": 1}, {"restart_every_s": 1.0}, {"seconds": 90.0}, {"seconds": 40_000.0}, {"orders_per_second": 0}],
)
def test_a_plan_that_cannot_be_done_is_refused(wrong):
    with pytest.raises(ValueError, match="--"):
        SoakPlan(**wrong)
