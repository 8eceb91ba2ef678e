from tests.bench import serve_index
from tests.bench.watchers import measure


def test_a_small_run_of_the_watchers_bench_shows_every_watcher_the_newest_state():
    found = measure(watchers=60, slow=5, seconds=4.0, interval_s=0.25)
    assert found["fewest_events_of_a_watcher"] > 0
    assert found["events"] >= 55 * found["fewest_events_of_a_watcher"]
    assert found["late_ms"]["p50"] >= 0
    assert found["server_mb_at_the_end"] < found["server_mb_before"] + 60


def test_a_small_run_of_the_index_bench_reads_every_total():
    assert serve_index.measure(2_000)["totals_a_second"] > 0
