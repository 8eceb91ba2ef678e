import copy
import importlib.util
import subprocess
import sys

import pytest
import yaml

from schemas.topics import TOPIC_CONFIGS, Topic
from streams.engine import limits
from streams.engine.access import AccessRole, rights
from streams.ledger_service.keys import DONOR_SECRET, SIGNING_KEYS, load_keys, log_origin, make_keys
from streams.settings import PREFIX, Settings
from tests.deploy.kubernetes import FOLDER, ROOT, one, problems, rendered

FOLDERS = ["base", "strimzi", "overlays/example", "witness"]
# Every service that never ends: its kind, and the role that it signs in as.
WORKLOADS = {
    "worker": ("Deployment", AccessRole.WORKER),
    "audit": ("Deployment", AccessRole.AUDITOR),
    "server": ("Deployment", AccessRole.SERVER),
    "ledger": ("StatefulSet", AccessRole.LEDGER),
}
SETTINGS = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
DEFAULTS = Settings.model_construct()


@pytest.fixture
def example():
    return rendered("overlays/example")


@pytest.fixture(params=WORKLOADS)
def name(request):
    return request.param


def workload(objects, name):
    return one(objects, WORKLOADS[name][0], f"everycent-{name}")


def pod_of(objects, name):
    return workload(objects, name)["spec"]["template"]["spec"]


def container_of(objects, name):
    (container,) = pod_of(objects, name)["containers"]
    return container


@pytest.fixture
def pod(example, name):
    return pod_of(example, name)


@pytest.fixture
def container(example, name):
    return container_of(example, name)


@pytest.fixture
def server(example):
    return container_of(example, "server")


def test_every_command_that_never_ends_is_run(example):
    found = {name: container_of(example, name)["args"] for name in WORKLOADS}
    assert found == {
        "worker": ["worker"],
        "audit": ["audit", "--follow"],
        "server": ["serve"],
        "ledger": ["ledger", "run"],
    }
    kinds = {kind for kind, _ in WORKLOADS.values()}
    assert {each["metadata"]["name"] for each in example if each["kind"] in kinds} == {
        f"everycent-{name}" for name in WORKLOADS
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_fits_the_schema_of_its_kind(folder):
    objects = rendered(folder)
    assert {f"{each['kind']} {each['metadata']['name']}": problems(each) for each in objects if problems(each)} == {}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ["spec", "replica"], 2),
        ("StatefulSet", ["spec", "volumeClaims"], []),
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


def test_each_has_the_rights_that_it_needs_and_no_more(pod):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in [*pod["containers"], *pod.get("initContainers", [])]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert pod["automountServiceAccountToken"] is False
    dockerfile = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}\n" in dockerfile


def test_the_probes_ask_for_health_and_readiness_on_the_metrics_port(container):
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: at["path"] for name, at in asked.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {at["port"] for at in asked.values()} == {"metrics"}
    metrics = {"name": "metrics", "containerPort": Settings.model_fields["metrics_port"].default}
    assert [port for port in container["ports"] if port["name"] != "http"] == [metrics]


def test_what_writes_has_more_time_to_end_than_it_takes_at_most(example):
    for name in ("worker", "ledger"):
        assert pod_of(example, name)["terminationGracePeriodSeconds"] > limits.END_TIMEOUT_S + limits.LEAVE_TIMEOUT_S


@pytest.mark.parametrize("name", ["worker", "audit", "server"])
def test_a_new_one_is_ready_before_an_old_one_leaves(example, name):
    strategy = workload(example, name)["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_each_is_bounded_in_memory_alone_and_asks_for_the_cpu_that_it_needs(example, container):
    assert container["resources"]["requests"]["cpu"]
    assert set(container["resources"]["limits"]) == {"memory"}
    assert container_of(example, "worker")["resources"]["requests"]["cpu"] == "1"


def test_there_is_one_ledger_that_keeps_its_logs_and_what_it_signed_last(example):
    spec = workload(example, "ledger")["spec"]
    assert spec["replicas"] == 1
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    claims = {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    container = container_of(example, "ledger")
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    given = {each["name"]: each.get("value") for each in container["env"]}
    for setting, claim in (("EVERYCENT_LEDGER_DIR", "ledger"), ("EVERYCENT_LEDGER_KEYS", "keys")):
        assert (
            mounts[given[setting].rpartition("/")[0]] == claim
        )  # a folder in it: the volume's own may hold lost+found
        assert claim in claims


def test_the_ledgers_keys_come_from_a_secret_for_its_eyes_only(example, tmp_path):
    pod = pod_of(example, "ledger")
    (init,) = pod["initContainers"]
    (secret,) = [each["secret"] for each in pod["volumes"] if each["name"] == "secret"]
    assert {item["path"] for item in secret["items"]} == {SIGNING_KEYS, DONOR_SECRET}
    (mount,) = [each["mountPath"] for each in init["volumeMounts"] if each["name"] == "secret"]
    command = [*init["command"], *init["args"]]
    assert command[-2:] == [f"{mount}/{SIGNING_KEYS}", f"{mount}/{DONOR_SECRET}"]
    keys = next(each["value"] for each in pod["containers"][0]["env"] if each["name"] == "EVERYCENT_LEDGER_KEYS")
    assert keys in command
    origin = log_origin("ledger.example.org", 0)
    make_keys(tmp_path / "secret", [origin])
    for path in (tmp_path / "secret").iterdir():
        path.chmod(0o640)  # as Kubernetes mounts it
    here = [word.replace(mount, str(tmp_path / "secret")).replace(keys, str(tmp_path / "keys")) for word in command]
    subprocess.run(here, check=True)
    assert load_keys(tmp_path / "keys").of(origin)


def test_the_page_is_reached_where_the_server_listens(example, server):
    given = {each["name"]: each.get("value") for each in server["env"]}
    (http,) = [port["containerPort"] for port in server["ports"] if port["name"] == "http"]
    assert given["EVERYCENT_SERVE_PORT"] == str(http)
    assert {
        port["name"]: port["targetPort"] for port in one(example, "Service", "everycent-server")["spec"]["ports"]
    } == {
        "http": "http",
        "metrics": "metrics",
    }


def test_there_are_never_more_workers_than_partitions_and_their_number_is_the_scalers_alone(example):
    scaler = one(example, "ScaledObject")["spec"]
    assert scaler["scaleTargetRef"]["name"] == workload(example, "worker")["metadata"]["name"]
    partitions = {
        each["metadata"]["name"]: each["spec"]["partitions"] for each in example if each["kind"] == "KafkaTopic"
    }
    assert {trigger["metadata"]["topic"] for trigger in scaler["triggers"]} == {Topic.ORDERS, Topic.PROJECT_DELTAS}
    for trigger in scaler["triggers"]:
        assert scaler["maxReplicaCount"] <= partitions[trigger["metadata"]["topic"]]
        assert trigger["metadata"]["consumerGroup"] == DEFAULTS.app_id
    assert "replicas" not in workload(example, "worker")["spec"]


def test_workers_come_quickly_and_go_slowly(example):
    behavior = one(example, "ScaledObject")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 10 * behavior["scaleUp"]["stabilizationWindowSeconds"]
    (step,) = behavior["scaleDown"]["policies"]
    assert step["value"] == 1


def test_what_selects_a_service_selects_its_pods_and_nothing_else(example, name):
    labels = workload(example, name)["spec"]["template"]["metadata"]["labels"]
    selectors = [
        workload(example, name)["spec"]["selector"]["matchLabels"],
        one(example, "NetworkPolicy", f"everycent-{name}")["spec"]["podSelector"]["matchLabels"],
        one(example, "Service", f"everycent-{name}")["spec"]["selector"],
    ]
    for other in WORKLOADS:
        theirs = workload(example, other)["spec"]["template"]["metadata"]["labels"]
        assert [selector.items() <= theirs.items() for selector in selectors] == [other == name] * 3
    service = one(example, "Service", f"everycent-{name}")
    monitored = one(example, "ServiceMonitor", f"everycent-{name}")["spec"]
    assert monitored["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {at["port"] for at in monitored["endpoints"]} == {"metrics"}
    assert "metrics" in {port["name"] for port in service["spec"]["ports"]}
    assert labels["app.kubernetes.io/component"] == name


def test_of_what_there_are_several_one_may_be_away_at_a_time(example):
    budgets = {
        each["metadata"]["name"]: each["spec"]["selector"]["matchLabels"]
        for each in example
        if each["kind"] == "PodDisruptionBudget"
    }
    assert set(budgets) == {"everycent-worker", "everycent-server"}  # of one, a budget would hold up every drain
    for name in ("worker", "server"):
        labels = workload(example, name)["spec"]["template"]["metadata"]["labels"]
        assert budgets[f"everycent-{name}"].items() <= labels.items()


def test_each_is_reached_by_whom_it_is_for_and_reaches_names_and_kafka_alone(example, name):
    policy = one(example, "NetworkPolicy", f"everycent-{name}")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert all(ingress["from"] for ingress in policy["ingress"])
    open_ports = [port["port"] for ingress in policy["ingress"] for port in ingress["ports"]]
    assert open_ports == (["metrics", "http"] if name == "server" else ["metrics"])
    assert all(rule["to"] and rule["ports"] for rule in policy["egress"])
    reached = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    broker = one(example, "ConfigMap")["data"]["EVERYCENT_BROKER"]
    assert reached == {53, int(broker.rpartition(":")[2])}


def test_every_setting_exists_and_no_secret_is_one_of_them(example, container):
    settings = one(example, "ConfigMap")["data"]
    given = {*settings, *(each["name"] for each in container["env"])}
    assert {name for name in given if name.startswith(PREFIX)} == given <= SETTINGS
    secret = ("PASSWORD", "SECRET")
    assert not [name for name in settings if name.endswith(secret)]
    assert {each["name"] for each in container["env"] if "valueFrom" in each} == {
        each["name"] for each in container["env"] if each["name"].endswith(secret)
    }
    assert [each["configMapRef"]["name"] for each in container["envFrom"]] == [
        one(example, "ConfigMap")["metadata"]["name"]
    ]


def test_the_settings_of_the_example_are_accepted_and_its_files_are_mounted(example, container, monkeypatch):
    given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    for name, value in {**one(example, "ConfigMap")["data"], **given}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EVERYCENT_BROKER_SASL_PASSWORD", "of the secret")
    cafile = Settings().broker_ssl_cafile
    assert any(cafile.startswith(f"{mount['mountPath']}/") for mount in container["volumeMounts"])


def test_each_signs_in_as_the_user_of_its_role_and_the_scaler_as_the_one_that_reads(example, name, container):
    names = {each["metadata"]["name"] for each in example if each["kind"] == "KafkaUser"}
    given = {each["name"]: each for each in container["env"]}
    login = given["EVERYCENT_BROKER_SASL_USERNAME"]["value"]
    password = given["EVERYCENT_BROKER_SASL_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert login == password["name"] == f"everycent-{WORKLOADS[name][1]}"
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
