"""A real Prometheus that scrapes every kind of service answers all that the dashboard and the alerts ask."""

import asyncio
import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from streams.domain.load import LoadPlan
from streams.ledger_service.keys import log_origin, make_keys
from streams.ledger_service.witness_metrics import WITNESS_METRICS
from streams.ledger_service.witness_store import make_witness_key
from streams.metrics import Kind
from streams.metrics_service import METRICS
from streams.monitoring.dashboard import queries
from streams.settings import Settings
from streams.simulation import run_simulation
from tests.deploy.test_alerts import ALERTS, RECORDED
from tests.kafka.scrapes import free_port
from tests.kafka.workers import Workers, audited, running_workers, wait_until
from tests.needs import need

FOLDER = Path(__file__).parents[2] / "deploy/prometheus"
SCRIPT = str(Path(__file__).parent / "local_worker.py")
SCRAPE_S = 1
WINDOW = "2m"  # in place of Grafana's $__rate_interval: all that the test does lies within


class Prometheus:
    """One that runs, asked over HTTP."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"

    def get(self, path: str, **arguments: str) -> Any:
        try:
            with urllib.request.urlopen(
                f"{self._address}{path}?{urllib.parse.urlencode(arguments)}", timeout=30
            ) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{arguments}: {error.read().decode()}") from None

    def ask(self, expression: str) -> list[Any]:
        """The samples that the expression gives now."""
        result: list[Any] = self.get("/api/v1/query", query=expression)["result"]
        return result

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._address}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def running_prometheus(folder: Path, targets: dict[str, list[int]]) -> Iterator[Prometheus]:
    """With the project's own rules, on a port of its own, scraping for each job the ports of `targets`."""
    program = need("prometheus", why="Debian's package `prometheus` brings; it scrapes the workers here")
    configuration = {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": [str(FOLDER / name) for name in ("rules.yml", "alerts.yml")],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
            for job, ports in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    port, log = free_port(), folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=output,
            stderr=output,
        )
    try:
        found = Prometheus(port)
        wait_until(found.is_up, lambda: log.read_text(errors="replace"))
        yield found
    finally:
        process.terminate()
        process.wait(30)


def without_threshold(expression: str) -> list[str]:
    """What an alert compares, its threshold and its conditions left out: the figures that must be there."""
    present = re.sub(r"^absent\((.*)\)$", r"\1", expression)
    return [re.sub(r"\s(?:>=|<=|==|>|<)\s[\d.]+$", "", part) for part in re.split(r"\s+and (?:on \(\) )?", present)]


def test_a_threshold_is_taken_off() -> None:
    assert without_threshold("sum(x) > 0 and on () sum(rate(y[5m])) == 0") == ["sum(x)", "sum(rate(y[5m]))"]
    assert without_threshold("absent(x == 1)") == ["x"]
    assert without_threshold(ALERTS["EverycentLag"]["expr"]) == ["topic:everycent_partition_lag_seconds:max"]


BESIDE = {
    "everycent-audit": ("audit", "--follow"),
    "everycent-server": ("serve",),
    "everycent-ledger": ("ledger", "run"),
    "everycent-witness": ("ledger", "witness"),
}


@contextmanager
def beside_workers(settings: Settings, folder: Path) -> Iterator[dict[str, tuple[int, Workers]]]:
    """The audit, the server, the ledger and a witness of it, each with its metrics port, by the name of its job."""
    ledger = {name: str(folder / name) for name in ("ledger_dir", "ledger_keys", "ledger_index")}
    keys = make_keys(folder / "ledger_keys", [log_origin(settings.ledger_name, number) for number in range(4)])
    (folder / "keys.txt").write_text("".join(f"{key}\n" for key in keys))
    ledger |= {name: str(folder / name) for name in ("witness_dir", "witness_public")}
    make_witness_key(folder / "witness_dir", "charity.test/witness")
    watched = ("--log", ledger["ledger_dir"], "--key", str(folder / "keys.txt"))
    with ExitStack() as stack:
        found = {}
        for job, command in BESIDE.items():
            port = free_port()
            own = settings.model_copy(update={"metrics_port": port, "serve_port": 0, **ledger})
            running = stack.enter_context(running_workers(own))
            more = watched if job == "everycent-witness" else ()
            running.start(*command, *more, command=["-m", "streams.cli"])
            found[job] = port, running
        yield found


async def test_every_query_of_dashboard_and_alerts_gets_an_answer(topics: Settings, tmp_path: Path) -> None:
    need("prometheus", why="Debian's package `prometheus` brings; it scrapes the workers here")
    first, second = (topics.model_copy(update={"metrics_port": free_port()}) for _ in range(2))
    with (
        running_workers(first) as workers,
        running_workers(second) as others,
        beside_workers(topics, tmp_path) as beside,
    ):
        leaving, staying = others.start(command=[SCRIPT]), workers.start(command=[SCRIPT])
        for worker in (leaving, staying):
            worker.wait_for("partition ready")
        targets = {job: [port] for job, (port, _) in beside.items()}
        targets["everycent-workers"] = [first.metrics_port, second.metrics_port]
        with running_prometheus(tmp_path, targets) as prometheus:

            def is_shared() -> bool:
                return len(prometheus.ask("everycent_partition_ready == 1")) == 2 * topics.partitions

            wait_until(is_shared, lambda: workers.logs() + others.logs())
            await asyncio.sleep(3 * SCRAPE_S)  # counters are seen before they grow
            for seed in range(3):
                await run_simulation(topics, LoadPlan(3_000, seed=seed, repeats_share=0.05, malformed_share=0.05))
                await asyncio.sleep(2 * SCRAPE_S)
            assert leaving.stop() == 0  # the other one restores its partitions, which are figures too
            staying.wait_for("partition ready", 2 * topics.partitions)
            report = await audited(topics, workers)
            check_answers(prometheus, asked_of(prometheus))
            check_rules(prometheus)
            (share,) = prometheus.ask("everycent_rejected_orders:ratio_rate5m")
            assert 0 < float(share["value"][1]) < 1
            (conserved,) = prometheus.ask("everycent_audit_conserved")
            assert conserved["value"][1] == "1"
            published = "sum(everycent_ledger_published_leaves)"
            wait_until(lambda: prometheus.ask(published)[0]["value"][1] == str(report.counts.donations), workers.logs)
        workers.check_unharmed()
        for _, service in beside.values():
            service.check_unharmed()


def asked_of(prometheus: Prometheus) -> list[str]:
    """Every query there is, after `up` has been looked at: it stands for itself."""
    assert {sample["metric"]["job"] for sample in prometheus.ask("up")} == {*BESIDE, "everycent-workers"}
    return [
        *(query.replace("$__rate_interval", WINDOW) for query in queries()),
        *(rule["expr"] for rule in RECORDED.values()),
        *(part for alert in ALERTS.values() for part in without_threshold(alert["expr"])),
        *(
            f"{metric.name}{'_bucket' if metric.kind is Kind.HISTOGRAM else ''}"
            for metric in (*METRICS, *WITNESS_METRICS)
        ),
    ]


def check_answers(prometheus: Prometheus, asked: list[str]) -> None:
    """Each gives figures, none of them NaN. Within the time in which the rules are evaluated some more times."""
    silent: list[str] = []

    def all_answer() -> bool:
        silent[:] = [query for query in asked if not any(is_figure(sample) for sample in prometheus.ask(query))]
        return not silent

    wait_until(all_answer, lambda: f"no answer to {silent}")


def is_figure(sample: Any) -> bool:
    return sample["value"][1] not in {"NaN", "+Inf", "-Inf"}


def check_rules(prometheus: Prometheus) -> None:
    """Prometheus has evaluated each without an error, and calls nobody: all is well here."""
    groups = prometheus.get("/api/v1/rules")["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert rules.keys() == ALERTS.keys() | RECORDED.keys()
    assert {rule["health"] for rule in rules.values()} == {"ok"}, rules
    assert [name for name, rule in rules.items() if rule.get("state") == "firing"] == []
