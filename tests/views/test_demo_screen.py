import io
from dataclasses import replace

import pytest
from rich.console import Console

from schemas.totals import ProjectTotal, WindowKind
from streams.cli.demo import Screen
from streams.views.demo_screen import DemoSnapshot, WorkerState, plain_line, render, top_line
from streams.views.demo_watch import Figures


def total(number, fen, donations):
    return ProjectTotal(
        f"P{number:05d}", WindowKind.ALL, 0, None, None, fen, donations, 0, watermark_ms=0, final=False, revision=1
    )


FIGURES = Figures(
    sent=123_456,
    processed=100_000,
    donations=109_876,
    fen=1_234_567,
    projects=17_001,
    top=tuple(total(n, 100_000 - n, 5_000) for n in range(1, 11)),
)
SNAPSHOT = DemoSnapshot(
    "orders come in",
    elapsed_s=65,
    orders_wanted=200_000,
    figures=FIGURES,
    sent_per_second=51_234,
    processed_per_second=23_456,
    workers=(WorkerState(1, 4001), WorkerState(2, 4002)),
    hint="Kill a worker (kill -9 PID) and see that every cent is still counted once. Ctrl-C ends the demo.",
)
VERDICT = "Every cent counted once: 200,000 orders, 219,812 donations, 12,345.67 yuan; audit: conserved"


def screen(snapshot, width=80, height=24):
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(render(snapshot, width, height))
    return console.file.getvalue()


def test_the_screen_shows_every_figure():
    text = screen(SNAPSHOT)
    for shown in (
        *("orders come in", "01:05", "123,456", "51,234/s", "100,000", "23,456/s", "23,456", "109,876"),
        *("17,001 projects", "12,345.67", "2 of 2", "4001, 4002", "P00001", "999.99", "5,000"),
    ):
        assert shown in text
    assert "…" not in text


def test_greatest_amounts_are_shown_in_full():
    most = replace(FIGURES, sent=9_999_999_999, processed=9_999_999_999, donations=9_999_999_999, fen=99_999_999_999)
    text = screen(replace(SNAPSHOT, figures=most))
    assert text.count("9,999,999,999") == 3
    assert "999,999,999.99" in text


@pytest.mark.parametrize("height", [16, 24, 50])
@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("verdict", ["", VERDICT])
def test_the_screen_fits_its_terminal(width, height, verdict):
    lines = screen(replace(SNAPSHOT, verdict=verdict), width, height).splitlines()
    assert len(lines) < height
    assert max(map(len, lines)) <= width


def test_a_taller_terminal_shows_more_projects():
    assert "P00010" not in screen(SNAPSHOT, height=24)
    assert "P00010" in screen(SNAPSHOT, height=40)


def test_the_bars_stand_for_the_share_of_the_orders():
    done = replace(SNAPSHOT, figures=replace(FIGURES, sent=200_000, processed=50_000), orders_wanted=200_000)
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")
    console.print(render(done, 100, 40))
    sent, processed = (line for line in console.file.getvalue().splitlines() if "━" in line)
    green = "\x1b[32m"
    assert sent.split(green)[1].startswith("━" * 40)
    assert processed.split(green)[1].startswith("━" * 10 + "\x1b")


def test_a_command_to_copy_is_one_line_however_narrow_the_terminal_is():
    console = Console(file=io.StringIO(), width=40)
    command = "  EVERYCENT_BROKER=127.0.0.1:26639 everycent totals --window all --top 10"
    Screen(console).say(command)
    assert console.file.getvalue() == f"{command}\n"


def test_a_load_without_end_has_no_bars():
    assert "━" not in screen(replace(SNAPSHOT, orders_wanted=None))


def test_a_dead_worker_is_seen():
    text = screen(replace(SNAPSHOT, workers=(WorkerState(1, None), WorkerState(2, 4002))))
    assert "1 of 2" in text
    assert "pid starting again, 4002" in text


def test_a_name_of_a_project_is_never_taken_for_markup():
    bold = ProjectTotal("[bold]P", WindowKind.ALL, 0, None, None, 1, 1, 0, watermark_ms=0, final=False, revision=1)
    assert "[bold]P" in screen(replace(SNAPSHOT, figures=replace(FIGURES, top=(bold,))))


def test_a_line_shows_every_figure():
    assert plain_line(SNAPSHOT) == (
        "[01:05] orders come in: 123,456 of 200,000 orders sent, 100,000 processed (23,456/s), lag 23,456, "
        "109,876 donations, 12,345.67 yuan, 2 of 2 workers"
    )


def test_the_projects_that_got_most_are_told_in_one_line():
    assert top_line(FIGURES, 2) == "Most went to: P00001 999.99 yuan, P00002 999.98 yuan."
