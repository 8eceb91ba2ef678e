"""What is generated from the metrics."""

import shutil
from pathlib import Path

from streams.metrics_service import METRICS
from streams.monitoring.__main__ import documents, drift, main

ROOT = Path(__file__).parents[2]


def test_the_page_has_every_metric_with_its_help_unit_and_labels():
    text = documents()["docs/metrics.md"]
    for metric in METRICS:
        section = text.split(f"\n## {metric.name}\n")[1].split("\n## ")[0]
        assert metric.help in section
        assert f"unit: {metric.unit}." in section
        assert all(f"`{label}`" in section for label in metric.labels)


def test_the_repository_holds_what_the_code_says():
    assert drift(ROOT) == []


def test_a_file_that_was_changed_by_hand_is_named_and_written_anew(tmp_path, capsys):
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0
    for name in documents():
        path = tmp_path / name
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        assert main(["--root", str(tmp_path), "--check"]) == 1
        assert name in capsys.readouterr().err
        assert main(["--root", str(tmp_path)]) == 0
    shutil.rmtree(tmp_path / "docs")
    assert "docs/metrics.md isn't what the code says" in drift(tmp_path)
