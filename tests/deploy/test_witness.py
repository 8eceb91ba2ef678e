"""A witness's deployments, which stand by themselves: whoever runs one isn't whoever runs the ledger."""

import importlib.metadata
import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from streams.cli import app
from streams.engine import limits
from streams.ledger.policy import Policy
from streams.ledger_service.witness_run import logs_of_policy
from streams.settings import PREFIX, Settings
from tests.deploy.kubernetes import ROOT, one, rendered

COMPOSE = yaml.safe_load((ROOT / "deploy/witness/docker-compose.yml").read_text("utf-8"))
FOLDERS = ("EVERYCENT_WITNESS_DIR", "EVERYCENT_WITNESS_PUBLIC")
SETTINGS = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
METRICS_PORT = Settings.model_fields["metrics_port"].default


@pytest.fixture
def objects():
    return rendered("witness")


@pytest.fixture
def pod(objects):
    return one(objects, "StatefulSet")["spec"]["template"]["spec"]


def is_command(words):
    done = CliRunner().invoke(app, [*words[:2], "--help"])
    assert done.exit_code == 0
    return all(re.search(rf"{word}\b", done.output) for word in words if word.startswith("--"))


def test_the_compose_file_fits_the_schema_and_runs_one_witness_and_its_key():
    carrier = importlib.metadata.distribution("check-jsonschema")  # for the schema that it carries; nothing of it runs
    vendored = Path(str(carrier.locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")))
    schema = json.loads(vendored.read_text("utf-8"))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(COMPOSE)] == []
    key, witness = COMPOSE["services"]["key"], COMPOSE["services"]["witness"]
    assert is_command(key["command"])
    assert is_command(witness["command"])
    assert witness["deploy"]["replicas"] == 1
    assert witness["depends_on"] == {"key": {"condition": "service_completed_successfully"}}
    assert f"127.0.0.1:{METRICS_PORT}/healthz" in witness["healthcheck"]["test"][-1]
    for service in (key, witness):
        assert {name for name in service["environment"] if name.startswith(PREFIX)} <= SETTINGS
        assert (service["cap_drop"], service["read_only"], service["user"]) == (["ALL"], True, "10001:10001")
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_in_compose_what_a_witness_keeps_lies_in_volumes_that_the_image_has_folders_for():
    witness, key = COMPOSE["services"]["witness"], COMPOSE["services"]["key"]
    mounts = {mount.split(":")[1]: mount.split(":")[0] for mount in witness["volumes"]}
    private, public = (witness["environment"][name] for name in FOLDERS)
    assert (mounts[private], mounts[public]) == ("witness-private", "witness-public")
    assert set(COMPOSE["volumes"]) == {"witness-private", "witness-public"}
    assert key["volumes"] == [f"witness-private:{private}"]
    dockerfile = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    assert re.search(rf"-m 700 [^\n]*{private}(?=[ \n])", dockerfile)
    assert re.search(rf"-m 755 [^\n]*{public}(?=[ \n])", dockerfile)


def test_the_policies_that_are_to_be_changed_are_alike_and_can_be_read():
    policies = [(ROOT / f"deploy/{folder}/policy.txt").read_bytes() for folder in ("witness", "kubernetes/witness")]
    assert policies[0] == policies[1]
    policy = Policy.parse(policies[0])
    assert len(logs_of_policy(policy)) == 2
    assert policy.is_met_by([])


def test_in_kubernetes_there_is_one_that_keeps_its_key_and_has_the_least_rights(objects, pod):
    spec = one(objects, "StatefulSet")["spec"]
    assert spec["replicas"] == 1
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (container,), (init,) = pod["containers"], pod["initContainers"]
    assert is_command(container["args"])
    assert is_command(init["args"])
    given = {each["name"]: each["value"] for each in container["env"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {mounts[given[name].rpartition("/")[0]] for name in FOLDERS} == {"witness"}
    assert {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]} == {"witness"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert pod["terminationGracePeriodSeconds"] > limits.END_TIMEOUT_S + limits.LEAVE_TIMEOUT_S
    for each in (container, init):
        assert each["env"] == container["env"]
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_in_kubernetes_its_settings_exist_and_its_name_and_policy_are_what_the_folder_says(objects, pod):
    maps = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}
    (settings,) = [data for data in maps.values() if "WITNESS_NAME" in data]
    assert {name for name in settings if name.startswith(PREFIX)} <= SETTINGS
    assert pod["initContainers"][0]["args"][-1] == "$(WITNESS_NAME)"
    (policy,) = [each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each]
    assert maps[policy]["policy.txt"].encode() == (ROOT / "deploy/witness/policy.txt").read_bytes()


def test_in_kubernetes_it_is_reached_and_watched_on_the_ports_that_it_has(objects, pod):
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"metrics": METRICS_PORT, "http": int(container["args"][-1])}
    selector = one(objects, "Service")["spec"]["selector"]
    labels = one(objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= labels.items()
    policy = one(objects, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == ["metrics", "http"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 443}
    monitored = one(objects, "ServiceMonitor")["spec"]
    assert monitored["selector"]["matchLabels"].items() <= one(objects, "Service")["metadata"]["labels"].items()
