import copy
import importlib.util
import subprocess
import sys

import pytest
import yaml

from schemas.topics import TOPIC_CONFIGS, Topic
from streams.engine import limits
from streams.engine.access import AccessRole, rights
from streams.settings import PREFIX, Settings
from tests.deploy.kubernetes import FOLDER, ROOT, one, problems, rendered

FOLDERS = ["base", "strimzi", "overlays/example"]
SETTINGS = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
DEFAULTS = Settings.model_construct()


@pytest.fixture
def example():
    return rendered("overlays/example")


@pytest.fixture
def pod(example):
    return one(example, "Deployment")["spec"]["template"]["spec"]


@pytest.fixture
def worker(pod):
    (container,) = pod["containers"]
    return container


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_fits_the_schema_of_its_kind(folder):
    objects = rendered(folder)
    assert {f"{each['kind']} {each['metadata']['name']}": problems(each) for each in objects if problems(each)} == {}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ["spec", "replica"], 2),
        ("PodDisruptionBudget", ["spec", "maxUnavailable"], []),
        ("NetworkPolicy", ["spec", "egres"], []),
        ("ScaledObject", ["spec", "maxReplicaCount"], "many"),
        ("ScaledObject", ["spec", "maxReplicas"], 3),
        ("ServiceMonitor", ["spec", "endpoint"], []),
        ("TriggerAuthentication", ["spec", "secretTargetRef"], [{"parameter": "x"}]),
        ("KafkaTopic", ["spec", "partitions"], 0),
        ("KafkaUser", ["spec", "authorization", "type"], "all"),
    ],
)
def test_the_schemas_refuse_a_wrong_value_and_an_unknown_field(example, kind, path, value):
    wrong = copy.deepcopy(next(each for each in example if each["kind"] == kind))
    assert problems(wrong) == []
    place = wrong
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert problems(wrong) != []


def test_a_worker_has_the_rights_that_it_needs_and_no_more(pod, worker):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert worker["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    dockerfile = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}\n" in dockerfile


def test_the_probes_ask_for_health_and_readiness_on_the_metrics_port(worker):
    asked = {name: worker[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: at["path"] for name, at in asked.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {at["port"] for at in asked.values()} == {"metrics"}
    assert worker["ports"] == [{"name": "metrics", "containerPort": Settings.model_fields["metrics_port"].default}]


def test_a_worker_has_more_time_to_end_than_it_takes_at_most(pod):
    assert pod["terminationGracePeriodSeconds"] > limits.END_TIMEOUT_S + limits.LEAVE_TIMEOUT_S


def test_a_new_worker_is_ready_before_an_old_one_leaves(example):
    strategy = one(example, "Deployment")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_a_worker_asks_for_one_core_and_is_bounded_in_memory_alone(worker):
    assert worker["resources"]["requests"]["cpu"] == "1"
    assert set(worker["resources"]["limits"]) == {"memory"}


def test_there_are_never_more_workers_than_partitions_and_their_number_is_the_scalers_alone(example):
    scaler = one(example, "ScaledObject")["spec"]
    assert scaler["scaleTargetRef"]["name"] == one(example, "Deployment")["metadata"]["name"]
    partitions = {
        each["metadata"]["name"]: each["spec"]["partitions"] for each in example if each["kind"] == "KafkaTopic"
    }
    assert {trigger["metadata"]["topic"] for trigger in scaler["triggers"]} == {Topic.ORDERS, Topic.PROJECT_DELTAS}
    for trigger in scaler["triggers"]:
        assert scaler["maxReplicaCount"] <= partitions[trigger["metadata"]["topic"]]
        assert trigger["metadata"]["consumerGroup"] == DEFAULTS.app_id
    assert "replicas" not in one(example, "Deployment")["spec"]


def test_workers_come_quickly_and_go_slowly(example):
    behavior = one(example, "ScaledObject")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 10 * behavior["scaleUp"]["stabilizationWindowSeconds"]
    (step,) = behavior["scaleDown"]["policies"]
    assert step["value"] == 1


def test_what_selects_workers_selects_them_and_nothing_else(example):
    labels = one(example, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        one(example, "Deployment")["spec"]["selector"]["matchLabels"],
        one(example, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(example, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        one(example, "Service")["spec"]["selector"],
    ]
    assert all(selector and selector.items() <= labels.items() for selector in selectors)
    service = one(example, "Service")
    monitored = one(example, "ServiceMonitor")["spec"]
    assert monitored["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [at["port"] for at in monitored["endpoints"]] == [port["name"] for port in service["spec"]["ports"]]


def test_a_worker_is_reached_by_prometheus_alone_and_reaches_names_and_kafka_alone(example):
    policy = one(example, "NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    (ingress,) = policy["ingress"]
    assert [port["port"] for port in ingress["ports"]] == ["metrics"]
    assert all(rule["to"] and rule["ports"] for rule in policy["egress"])
    reached = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    broker = one(example, "ConfigMap")["data"]["EVERYCENT_BROKER"]
    assert reached == {53, int(broker.rpartition(":")[2])}


def test_every_setting_exists_and_no_secret_is_one_of_them(example, worker):
    settings = one(example, "ConfigMap")["data"]
    given = {*settings, *(each["name"] for each in worker["env"])}
    assert {name for name in given if name.startswith(PREFIX)} == given <= SETTINGS
    assert not [name for name in settings if name.endswith(("PASSWORD", "SECRET"))]
    assert all(set(each) == {"name", "valueFrom"} for each in worker["env"])
    assert [each["configMapRef"]["name"] for each in worker["envFrom"]] == [
        one(example, "ConfigMap")["metadata"]["name"]
    ]


def test_the_settings_of_the_example_are_accepted_and_its_files_are_mounted(example, worker, monkeypatch):
    for name, value in one(example, "ConfigMap")["data"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EVERYCENT_BROKER_SASL_PASSWORD", "of the secret")
    cafile = Settings().broker_ssl_cafile
    assert any(cafile.startswith(f"{mount['mountPath']}/") for mount in worker["volumeMounts"])


def test_the_worker_signs_in_as_the_user_of_its_role_and_the_scaler_as_the_one_that_reads(example, worker):
    names = {each["metadata"]["name"] for each in example if each["kind"] == "KafkaUser"}
    login = one(example, "ConfigMap")["data"]["EVERYCENT_BROKER_SASL_USERNAME"]
    (password,) = worker["env"]
    assert login == password["valueFrom"]["secretKeyRef"]["name"] == f"everycent-{AccessRole.WORKER}"
    reader = f"everycent-{AccessRole.READER}"
    secrets = {
        each["parameter"]: each["name"] for each in one(example, "TriggerAuthentication")["spec"]["secretTargetRef"]
    }
    assert secrets["password"] == reader
    assert {login, reader} <= names


def strimzi():
    spec = importlib.util.spec_from_file_location("generate", FOLDER / "strimzi/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_topics_and_users_for_strimzi_are_what_the_code_says():
    done = subprocess.run(
        [sys.executable, FOLDER / "strimzi/generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_file_that_is_not_what_the_code_says_is_found(tmp_path, monkeypatch, capsys):
    module = strimzi()
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    for path, text in module.documents().items():
        path.write_text(text.replace("- Write", "- All"), "utf-8")
    assert module.main() == 1
    assert "users.yaml is not what the code says" in capsys.readouterr().err


def test_a_user_has_the_rights_of_its_role_and_no_others():
    users = yaml.safe_load_all((FOLDER / "strimzi/users.yaml").read_text("utf-8"))
    kinds = {"topic": "topic", "group": "group", "transactionalId": "transactional-id"}
    for user in users:
        role = AccessRole(user["metadata"]["name"].removeprefix("everycent-"))
        granted = {
            (
                kinds[at["resource"]["type"]],
                at["resource"]["name"],
                operation,
                at["resource"]["patternType"] == "prefix",
            )
            for at in user["spec"]["authorization"]["acls"]
            for operation in at["operations"]
        }
        assert granted == set(rights(role, DEFAULTS))


def test_every_topic_of_the_contract_is_declared_with_its_configuration():
    topics = {
        each["metadata"]["name"]: each["spec"]
        for each in yaml.safe_load_all((FOLDER / "strimzi/topics.yaml").read_text("utf-8"))
    }
    assert set(topics) == set(Topic)
    for topic, spec in topics.items():
        assert TOPIC_CONFIGS[Topic(topic)].items() <= spec["config"].items()
        assert spec["replicas"] == 3
        assert spec["config"]["min.insync.replicas"] == "2"
