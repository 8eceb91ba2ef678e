"""The metrics themselves: what a scrape says of a worker's counts and partitions."""

import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streams import __version__, metrics, metrics_service
from streams.metrics import (
    COMMIT_RECORDS,
    DEDUPE_IDS,
    DONATIONS,
    ORDERS,
    REBALANCES,
    TABLE_ENTRIES,
    WATERMARK_DELAY_SECONDS,
    WORKER_METRICS,
    Kind,
    Metric,
    PartitionStanding,
    WorkerMetrics,
)
from streams.metrics_service import (
    AUDIT_METRICS,
    LEDGER_METRICS,
    METRICS,
    SERVE_METRICS,
    AuditStanding,
    LedgerStanding,
    LogStanding,
    ServeStanding,
    ServiceCollector,
)

BASE_UNITS = {"seconds", "fen", "orders", "donations", "records", "offsets", "offset", "ids", "totals", "none"}
BASE_UNITS |= {"watchers", "leaves"}
EVENTS = {"restores", "fences", "assignments", "findings", "refusals"}


def read(text):
    """Every sample as {(name, label values...): value}, the labels in our order: the text has them sorted."""
    order = ("version", "topic", "partition", "outcome", "reason", "stage", "window", "le")
    return {
        (sample.name, *(sample.labels[name] for name in order if name in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def collected(*standings, worker=None):
    """What a scrape would read, without what the library knows of process and Python."""
    worker = worker or WorkerMetrics()
    worker.serve_also(lambda: list(standings))
    samples = read(generate_latest(worker.registry).decode())
    return {key: value for key, value in samples.items() if key[0].startswith("everycent_")}


def partitions(samples):
    return {key: value for key, value in samples.items() if key[0].startswith("everycent_partition_")}


def test_a_partition_shows_what_is_known_of_it_and_nothing_else():
    samples = collected(
        PartitionStanding("orders", 0, is_ready=True, position=120, lag=20, lag_s=1.5),
        PartitionStanding("orders", 1, is_ready=True, position=7),
        PartitionStanding("deltas", 0, is_ready=False),
    )
    assert partitions(samples) == {
        ("everycent_partition_ready", "orders", "0"): 1,
        ("everycent_partition_ready", "orders", "1"): 1,
        ("everycent_partition_ready", "deltas", "0"): 0,
        ("everycent_partition_position", "orders", "0"): 120,
        ("everycent_partition_position", "orders", "1"): 7,
        ("everycent_partition_lag", "orders", "0"): 20,
        ("everycent_partition_lag_seconds", "orders", "0"): 1.5,
    }
    assert samples["everycent_build_info", __version__] == 1


def test_a_lag_of_nothing_is_shown():
    samples = collected(PartitionStanding("orders", 0, is_ready=True, position=0, lag=0, lag_s=0.0))
    assert samples["everycent_partition_lag", "orders", "0"] == 0
    assert samples["everycent_partition_lag_seconds", "orders", "0"] == 0
    assert samples["everycent_partition_position", "orders", "0"] == 0


def test_what_partitions_hold_is_summed_over_the_worker():
    samples = collected(
        PartitionStanding("orders", 0, True, levels={(DEDUPE_IDS,): 30}),
        PartitionStanding("orders", 1, True, levels={(DEDUPE_IDS,): 4}),
        PartitionStanding("deltas", 0, True, levels={(TABLE_ENTRIES, "day"): 5, (TABLE_ENTRIES, "all"): 2}),
        PartitionStanding("deltas", 1, True, levels={(TABLE_ENTRIES, "day"): 6}),
    )
    assert samples["everycent_dedupe_ids",] == 34
    assert samples["everycent_table_entries", "day"] == 11
    assert samples["everycent_table_entries", "all"] == 2


def test_the_watermark_that_is_farthest_behind_counts():
    now_ms = int(time.time() * 1_000)
    samples = collected(
        PartitionStanding("deltas", 0, True, levels={(WATERMARK_DELAY_SECONDS,): now_ms - 60_000}),
        PartitionStanding("deltas", 1, True, levels={(WATERMARK_DELAY_SECONDS,): now_ms - 600_000}),
    )
    assert 600 <= samples["everycent_watermark_delay_seconds",] < 660


def test_without_partitions_no_level_is_claimed():
    names = {key[0] for key in collected()}
    assert not names & {"everycent_dedupe_ids", "everycent_table_entries", "everycent_watermark_delay_seconds"}


def test_every_known_label_begins_at_0_so_that_its_first_increase_is_seen():
    samples = collected()
    for metric in WORKER_METRICS:
        if metric.kind is Kind.COUNTER:
            for value in [value for values in metric.labels.values() for value in values] or [None]:
                assert samples[(metric.name, value) if value else (metric.name,)] == 0


def test_what_is_added_and_observed_is_shown():
    worker = WorkerMetrics()
    worker.add({(ORDERS, "accepted"): 3, (ORDERS, "repeat"): 0, (DONATIONS,): 4})
    worker.add({(ORDERS, "accepted"): 2})
    worker.count(REBALANCES)
    worker.observe(COMMIT_RECORDS, 50, "split")
    samples = collected(worker=worker)
    assert samples["everycent_orders_total", "accepted"] == 5
    assert samples["everycent_orders_total", "repeat"] == 0
    assert samples["everycent_donations_total",] == 4
    assert samples["everycent_rebalances_total",] == 1
    assert samples["everycent_commit_records_bucket", "split", "10.0"] == 0
    assert samples["everycent_commit_records_bucket", "split", "100.0"] == 1
    assert samples["everycent_commit_records_sum", "split"] == 50


def test_two_workers_of_one_process_count_apart():
    first, second = WorkerMetrics(), WorkerMetrics()
    first.count(REBALANCES)
    assert collected(worker=second)["everycent_rebalances_total",] == 0


def test_no_series_says_when_a_counter_was_made():
    assert not [key for key in collected() if key[0].endswith("_created")]


def test_every_metric_stands_in_the_list_once():
    modules = vars(metrics) | vars(metrics_service)
    defined = [value for value in modules.values() if isinstance(value, Metric)]
    assert sorted(metric.name for metric in defined) == sorted(metric.name for metric in METRICS)
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_wants_it_and_says_what_it_is(metric):
    assert metric.name.startswith("everycent_")
    assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER)
    assert metric.unit in BASE_UNITS | EVENTS
    assert (metric.unit == "seconds") is metric.name.endswith("_seconds")
    assert metric.help.endswith(".")
    assert bool(metric.buckets) is (metric.kind is Kind.HISTOGRAM)
    assert set(metric.labels) <= {"topic", "partition", "stage", "outcome", "reason", "window", "version", "kind"}


def shown(service_metrics, standing):
    """What a scrape of a service would read."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector(service_metrics, lambda: standing))
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }
    assert samples.pop(("everycent_build_info", __version__)) == 1
    return {(key[0].removeprefix("everycent_"), *key[1:]): value for key, value in samples.items()}


def test_the_following_audit_shows_its_verdict_its_findings_of_each_kind_and_how_far_it_is():
    standing = AuditStanding({"donation-missing": 0, "total-wrong": 0}, {("orders", 3): 120}, 1.5)
    assert shown(AUDIT_METRICS, standing) == {
        ("audit_conserved",): 1,
        ("audit_findings_total", "donation-missing"): 0,
        ("audit_findings_total", "total-wrong"): 0,
        ("audit_checked_offset", "3", "orders"): 120,
        ("audit_lag_seconds",): 1.5,
    }
    found = shown(AUDIT_METRICS, AuditStanding({"donation-missing": 0, "total-wrong": 2}, {}, 1.5))
    assert found["audit_conserved",] == 0
    assert found["audit_findings_total", "total-wrong"] == 2


def test_the_server_shows_how_old_its_figures_are_and_to_how_many_it_shows_them():
    assert shown(SERVE_METRICS, ServeStanding(7, 2.5, broker_answers=False, left_records=30, unreadable=1)) == {
        ("serve_watchers",): 7,
        ("serve_delay_seconds",): 2.5,
        ("serve_broker_answers",): 0,
        ("serve_left_records",): 30,
        ("serve_unreadable_total",): 1,
    }


def test_the_ledger_shows_each_log_and_a_refusal():
    assert shown(LEDGER_METRICS, LedgerStanding([LogStanding("donations", 2, 50, 40, 3.5, 1.5)])) == {
        ("ledger_leaves", "2", "donations"): 50,
        ("ledger_published_leaves", "2", "donations"): 40,
        ("ledger_checkpoint_age_seconds", "2", "donations"): 3.5,
        ("ledger_lag_seconds", "2", "donations"): 1.5,
        ("ledger_refusals_total",): 0,
    }
    assert shown(LEDGER_METRICS, LedgerStanding(refusals=1)) == {("ledger_refusals_total",): 1}
