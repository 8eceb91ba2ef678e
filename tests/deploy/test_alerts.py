"""Alerts, recording rules and dashboard as files: valid, complete, about metrics that there are."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from streams.ledger_service.witness_metrics import WITNESS_METRICS
from streams.metrics import Kind
from streams.metrics_service import METRICS
from streams.monitoring.dashboard import ROWS, SOURCE, queries
from tests.needs import need

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/prometheus"
RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")


def rules(name):
    groups = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
RECORDED = {rule["record"]: rule for rule in rules("rules.yml")}
SERIES = {
    f"{metric.name}{ending}"
    for metric in (*METRICS, *WITNESS_METRICS)
    for ending in (("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",))
}
OF_PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
OF_PROMETHEUS = {"up"}
ASKED = [*queries(), *(rule["expr"] for rule in [*ALERTS.values(), *RECORDED.values()])]


def series_of(expression):
    """The names of all series that it asks for."""
    asked = set(re.findall(r"(?<![\w:])(?:\w+:)?(?:everycent|process)_\w+(?::\w+)?", expression))
    return asked | set(re.findall(r"\bup(?={)", expression))


def promtool():
    return need("promtool", why="Debian's package `prometheus` brings; it tests the alerts")


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_prometheus_takes_its_configuration_with_both_files_of_rules():
    done = run(promtool(), "check", "config", "deploy/prometheus/prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


def test_the_rules_lie_where_compose_mounts_the_configuration():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert "./deploy/prometheus:/etc/prometheus:ro" in services["prometheus"]["volumes"]
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    assert sorted(configuration["rule_files"]) == sorted(
        path.name for path in FOLDER.glob("*.yml") if path.name != "prometheus.yml"
    )


def test_each_alert_fires_when_it_should_and_not_before():
    done = run(promtool(), "test", "rules", "tests/deploy/alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_is_shown_to_fire_and_to_keep_still(name):
    tests = yaml.safe_load((ROOT / "tests/deploy/alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"] if case["alertname"] == name]
    assert any(case.get("exp_alerts") for case in cases)
    assert any(not case.get("exp_alerts") for case in cases)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(name):
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_each_alert_has_its_section_of_the_runbook_and_each_section_its_alert():
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.DOTALL | re.MULTILINE))
    assert list(sections) == list(ALERTS)
    for name, text in sections.items():
        positions = [text.find(f"**{part}.**") for part in ("Means", "Look at", "Do")]
        assert -1 < positions[0] < positions[1] < positions[2], name


def test_every_row_of_the_dashboard_that_the_runbook_names_is_there():
    named = set(re.findall(r"(?<!\*)\*([A-Z]\w+)\*(?!\*)", RUNBOOK))
    assert named
    assert named <= set(ROWS)


@pytest.mark.parametrize("expression", ASKED)
def test_everything_asked_is_a_metric_that_there_is(expression):
    asked = series_of(expression)
    assert asked
    assert asked <= SERIES | OF_PROCESS | OF_PROMETHEUS | set(RECORDED)


def test_everything_recorded_is_asked_for():
    asked = {name for expression in ASKED for name in series_of(expression)}
    assert set(RECORDED) <= asked


def test_the_dashboard_asks_the_data_source_that_is_provisioned_where_it_is_mounted():
    text = (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    (source,) = yaml.safe_load(text)["datasources"]
    assert (source["uid"], source["type"]) == (SOURCE.uid, SOURCE.type_val)
    board = json.loads((ROOT / "deploy/grafana/dashboards/everycent.json").read_text(encoding="utf-8"))
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert [panel["id"] for panel in board["panels"]] == list(range(1, len(board["panels"]) + 1))
    assert all(panel["datasource"]["uid"] == SOURCE.uid for panel in panels)
    assert [target["expr"] for panel in panels for target in panel["targets"]] == queries()
