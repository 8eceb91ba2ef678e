from schemas.totals import ProjectTotal, WindowKind, encode_total, key_of
from streams.views.demo_watch import TOP_PROJECTS, RateMeter, RunningTotals


def total(project_id, fen, donations=1, window=WindowKind.ALL):
    return ProjectTotal(
        project_id, window, 0, None, None, fen, donations, 0, watermark_ms=0, final=False, revision=donations
    )


def figures_of(*totals):
    running = RunningTotals()
    for each in totals:
        running.take(key_of(each).encode(), encode_total(each))
    return running.figures(0, 0)


def test_a_newer_total_takes_the_place_of_an_older_one():
    figures = figures_of(total("a", 5, 1), total("b", 7, 2), total("a", 9, 3))
    assert (figures.fen, figures.donations, figures.projects) == (16, 5, 2)


def test_only_totals_of_all_time_count():
    figures = figures_of(total("a", 5), total("a", 5, window=WindowKind.DAY), total("a", 5, window=WindowKind.MINUTE))
    assert figures.fen == 5


def test_the_greatest_amounts_come_first():
    figures = figures_of(*(total(f"p{n}", n) for n in range(1, 30)))
    assert [each.fen for each in figures.top] == list(range(29, 29 - TOP_PROJECTS, -1))


def test_what_is_no_total_is_passed_over():
    running = RunningTotals()
    for key, value in ((None, b"{}"), (b"a|all|0", None), (b"a|all|0", b"no total"), (b"odd", b"{}")):
        running.take(key, value)
    assert running.figures(3, 2).fen == 0


def test_lag_is_what_was_sent_and_not_yet_processed():
    assert RunningTotals().figures(sent=10, processed=4).lag == 6


def test_a_rate_is_of_the_last_seconds_alone():
    meter = RateMeter()
    assert meter.per_second == 0
    for second in range(10):
        meter.add(second * 1_000, 100 * second)
    assert meter.per_second == 100
    for second in range(10, 20):
        meter.add(second * 1_000, 900)
    assert meter.per_second == 0
