import importlib.metadata
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from streams.cli import app
from streams.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
SERVING = ["worker", "audit", "server", "ledger"]
METRICS_PORT = Settings.model_fields["metrics_port"].default

# What the Kafka image can't do without: it writes its configuration into its own folder as it starts.
WRITABLE = {"kafka"}


def read_yaml(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def dockerfile():
    return (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()


def compose_command():
    """A `compose` of version 2 or newer, or None: `docker` alone may be a client without it, and 1 knows less."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        version = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
        if version.returncode == 0 and int(version.stdout.strip().removeprefix("v").split(".")[0]) >= 2:
            return command
    return None


def test_the_file_fits_the_schema_of_compose():
    carrier = importlib.metadata.distribution("check-jsonschema")  # for the schema that it carries; nothing of it runs
    vendored = Path(str(carrier.locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")))
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    errors = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(COMPOSE)]
    assert errors == []


def test_docker_compose_takes_the_file():
    command = compose_command()
    if command is None:
        pytest.skip("no docker compose here; the schema test stands in for it")
    done = subprocess.run([*command, "config", "-q"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_that_is_not_ours_is_pinned(name):
    image = SERVICES[name]["image"]
    if name in OURS:
        assert image == "everycent:local"
    else:
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", image)


def test_the_broker_is_the_official_image_in_kraft_mode():
    assert SERVICES["kafka"]["image"] == "apache/kafka:4.1.1"
    environment = SERVICES["kafka"]["environment"]
    assert environment["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert not any("ZOOKEEPER" in name for name in environment)
    assert environment["KAFKA_LOG_DIRS"] in [mount.split(":")[1] for mount in SERVICES["kafka"]["volumes"]]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_the_rights_that_it_needs_and_no_more(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is (name not in WRITABLE)
    assert "privileged" not in service
    assert re.fullmatch(r"\d+[mg]", service["deploy"]["resources"]["limits"]["memory"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_runs_as_a_user_that_is_named_and_is_not_root(name):
    user, _, group = SERVICES[name]["user"].partition(":")
    assert user not in {"", "0", "root"}
    assert group != "0" or name == "grafana"  # its image's files belong to the group of root; the user is not root


def test_our_image_names_the_same_user_before_anything_runs_in_it():
    users = [line.split()[1] for line in dockerfile() if line.startswith("USER ")]
    assert users == [SERVICES[name]["user"] for name in OURS[:1]]
    assert {SERVICES[name]["user"] for name in OURS} == set(users)
    last_stage = dockerfile()[max(n for n, line in enumerate(dockerfile()) if line.startswith("FROM ")) :]
    after = last_stage[last_stage.index(f"USER {users[0]}") :]
    assert not [line for line in after if line.startswith(("RUN ", "COPY ", "ADD "))]
    assert not re.search(r"(?i)password|secret|token", "\n".join(dockerfile()))


def test_no_secret_stands_in_the_compose_file():
    secrets = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields if name.endswith(("password", "secret"))]
    assert secrets
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert not [name for name in secrets if name in text]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_listens_beyond_this_machine(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_there_can_be_many_workers():
    worker = SERVICES["worker"]
    assert not {"container_name", "ports", "hostname"} & set(worker)
    assert worker["deploy"]["replicas"] > 1


@pytest.mark.parametrize("name", OURS)
def test_every_setting_that_is_set_exists(name):
    ours = {variable for variable in SERVICES[name]["environment"] if variable.startswith(PREFIX)}
    assert ours
    assert ours <= {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}


def test_the_workers_find_the_broker_at_an_address_that_it_advertises():
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    broker = SERVICES["worker"]["environment"]["EVERYCENT_BROKER"]
    assert f"INTERNAL://{broker}" in advertised.split(",")


@pytest.mark.parametrize("name", SERVING)
def test_what_serves_waits_for_the_broker_and_the_topics_and_says_how_it_is(name):
    waits = {at: how["condition"] for at, how in SERVICES[name]["depends_on"].items()}
    assert waits.pop("ledger-keys", "service_completed_successfully") == "service_completed_successfully"
    assert waits == {"kafka": "service_healthy", "topics": "service_completed_successfully"}
    assert SERVICES[name]["environment"]["EVERYCENT_METRICS_PORT"] == str(METRICS_PORT)
    assert f"http://127.0.0.1:{METRICS_PORT}/healthz" in SERVICES[name]["healthcheck"]["test"][-1]
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_the_broker_is_asked_for_its_health_and_topics_are_tried_again():
    assert SERVICES["kafka"]["healthcheck"]["test"]
    assert SERVICES["topics"]["restart"] == "on-failure"


def test_every_command_that_never_ends_is_run_and_those_are_commands_that_there_are():
    commands = {name: SERVICES[name]["command"] for name in SERVING}
    assert commands == {
        "worker": ["worker"],
        "audit": ["audit", "--follow"],
        "server": ["serve"],
        "ledger": ["ledger", "run"],
    }
    for command in [*commands.values(), SERVICES["ledger-keys"]["command"]]:
        done = CliRunner().invoke(app, [*command, "--help"])
        assert done.exit_code == 0, done.output


def test_the_page_is_reached_from_this_machine():
    environment = SERVICES["server"]["environment"]
    assert environment["EVERYCENT_SERVE_HOST"] == "0.0.0.0"  # of the container
    assert SERVICES["server"]["ports"] == [f"127.0.0.1:8080:{environment['EVERYCENT_SERVE_PORT']}"]


def test_there_is_one_ledger_that_keeps_its_logs_and_its_keys_in_volumes_of_their_own():
    ledger, keys = SERVICES["ledger"], SERVICES["ledger-keys"]
    assert ledger["deploy"]["replicas"] == 1
    mounts = dict(reversed(mount.split(":")) for mount in ledger["volumes"])
    folders = [ledger["environment"][f"EVERYCENT_LEDGER_{name}"] for name in ("DIR", "KEYS")]
    assert [mounts[folder] for folder in folders] == ["ledger-data", "ledger-keys"]
    server = SERVICES["server"]
    assert server["volumes"] == [f"ledger-data:{server['environment']['EVERYCENT_SERVE_LEDGER_DIR']}:ro"]
    assert keys["volumes"] == [f"ledger-keys:{folders[1]}"]
    assert keys["command"] == ["ledger", "keygen"]
    assert keys["environment"] == ledger["environment"]
    owner = SERVICES["ledger"]["user"].split(":")
    (made,) = [line for line in dockerfile() if "install -d" in line]
    assert all(folder in made for folder in folders)
    assert f"-o {owner[0]} -g {owner[1]}" in made


def test_the_load_comes_only_when_it_is_asked_for():
    assert [name for name, service in SERVICES.items() if service.get("profiles")] == ["simulate"]


def test_every_volume_is_declared_and_every_file_that_is_mounted_is_there():
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert mount.endswith(":ro"), f"{name}: {mount}"
            else:
                assert source in COMPOSE["volumes"], f"{name}: {source}"


def test_prometheus_finds_the_workers_by_name_on_their_metrics_port():
    jobs = {job["job_name"]: job for job in read_yaml("deploy/prometheus/prometheus.yml")["scrape_configs"]}
    (found,) = jobs["everycent-workers"]["dns_sd_configs"]
    assert found["names"] == ["worker"]
    assert found["type"] == "A"
    assert str(found["port"]) == SERVICES["worker"]["environment"]["EVERYCENT_METRICS_PORT"] == str(METRICS_PORT)


def test_prometheus_asks_every_other_service_of_ours_by_name_and_misses_it_where_it_is_away():
    jobs = {job["job_name"]: job for job in read_yaml("deploy/prometheus/prometheus.yml")["scrape_configs"]}
    for name in SERVING[1:]:
        assert jobs[f"everycent-{name}"]["static_configs"] == [{"targets": [f"{name}:{METRICS_PORT}"]}]


def test_grafana_asks_prometheus_and_looks_for_dashboards_where_they_are_mounted():
    (source,) = read_yaml("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert SERVICES[host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    (provider,) = read_yaml("deploy/grafana/provisioning/dashboards/everycent.yml")["providers"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]


def test_our_image_is_built_from_the_dockerfile_and_runs_a_worker_as_nobody_in_particular():
    assert {SERVICES[name]["build"]["dockerfile"] for name in OURS} == {"deploy/Dockerfile"}
    lines = dockerfile()
    assert lines[-2:] == ['ENTRYPOINT ["everycent"]', 'CMD ["worker"]']
    (user,) = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert int(user.split(":")[0]) > 0
    assert any("PYTHONUNBUFFERED=1" in line for line in lines if line.startswith("ENV "))


def test_the_image_is_pinned_and_of_a_python_that_the_project_takes():
    bases = {line.split()[1] for line in dockerfile() if line.startswith("FROM ")}
    toolchain, interpreter = sorted(bases - {"rust", "build"}, reverse=True)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", interpreter)
    assert re.fullmatch(r"rust:1\.\d+\.\d+-slim-\w+", toolchain)
    assert (
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"] == ">=3.11"
    )


def test_the_image_has_the_extension_or_is_not_made():
    assert any("from streams.native import extension; assert extension" in line for line in dockerfile())


def test_what_the_image_copies_reaches_the_builder():
    let_in = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    copied = set()
    for line in dockerfile():
        if line.startswith("COPY ") and "--from=" not in line:
            copied.update(line.split()[1:-1])
    assert copied == let_in
    assert {"schemas", "streams", "pyproject.toml"} <= copied
