"""The table for people shows every figure that the document holds."""

from tests.bench import tables

RESULT = {"peers": {"figures": {"loop": {"cpu": {"median": 7.5, "min": 7.0, "max": 8.0, "runs": 5}}, "ids": 20_000}}}
DOCUMENT = {
    "machine": {"cpu": "a cpu", "cores": 2, "load_average": [0.1, 0.2, 0.3]},
    "jobs": RESULT,
    "ratios": {"ours / theirs": 0.4},
}


def test_every_figure_is_found_by_its_path_however_deep_it_lies():
    assert dict(tables.figures(RESULT["peers"]["figures"])) == {
        "loop cpu": {"median": 7.5, "min": 7.0, "max": 8.0, "runs": 5},
        "ids": {"median": 20_000},
    }


def test_the_table_shows_medians_spreads_and_ratios(capsys):
    tables.show(DOCUMENT)
    shown = capsys.readouterr().out
    for text in ("loop cpu", "7.5", "20,000", "ours / theirs: 0.4", "load average [0.1, 0.2, 0.3]"):
        assert text in shown
