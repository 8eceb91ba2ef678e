"""What `everycent topics acls` prints; that these are the rights, tests/kafka/security shows on a real broker."""

import json
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.topics import Topic
from streams.cli import app
from streams.engine.access import AccessRole, Resource, rights
from streams.errors import UserError
from streams.settings import Settings

SECURITY = (Path(__file__).parents[2] / "docs/security.md").read_text(encoding="utf-8")
PREFIXED = {"EVERYCENT_TOPIC_PREFIX": "staging-", "EVERYCENT_APP_ID": "everycent-staging"}


def printed(*options: str, environment: dict[str, str] | None = None) -> list[str]:
    done = CliRunner().invoke(app, ["topics", "acls", *options], env=environment)
    assert done.exit_code == 0, done.exception
    return done.stdout.splitlines()


def test_every_role_is_printed_with_what_it_runs_and_a_command_for_each_thing_that_it_has_rights_on():
    lines = printed()
    assert [line.partition(":")[0] for line in lines if line.startswith("#")] == [f"# {role}" for role in AccessRole]
    commands = [shlex.split(line) for line in lines if not line.startswith("#")]
    assert {command[0] for command in commands} == {"kafka-acls.sh"}
    operations = Counter(
        word for command in commands for word in command if word in {"Read", "Write", "Create", "Describe"}
    )
    assert operations == Counter(right.operation for role in AccessRole for right in rights(role, Settings()))


def test_a_command_names_the_broker_the_principal_the_operations_and_the_thing():
    lines = printed("--role", "replayer", "--principal", "User:CN=replay, O=Ours", environment=PREFIXED)
    assert lines[1] == (
        "kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --add --allow-principal 'User:CN=replay, O=Ours' "
        "--operation Read --operation Write --topic staging-orders"
    )
    assert lines[-1].endswith("--operation Write --transactional-id everycent-staging-replay-rejected")


def test_a_workers_transactional_ids_are_granted_by_their_beginning_and_nothing_else_is():
    rows = [json.loads(line) for line in printed("--role", "worker", "--json", environment=PREFIXED)]
    assert {row["name"] for row in rows if row["pattern"] == "prefixed"} == {
        "everycent-staging-staging-orders-",
        "everycent-staging-staging-project-deltas-",
    }
    assert {row["resource"] for row in rows if row["pattern"] == "prefixed"} == {Resource.TRANSACTIONAL_ID}
    assert {(row["role"], row["principal"]) for row in rows} == {("worker", "User:worker")}


def test_nobody_is_granted_a_right_on_the_cluster_or_on_everything():
    for role in AccessRole:
        assert all(right.name not in {"", "*"} for right in rights(role, Settings()))
        assert {right.resource for right in rights(role, Settings())} <= set(Resource)


def test_the_table_in_words_is_the_one_in_code():
    rows, role = set(), ""
    section = SECURITY.split("## The least rights")[1]
    for line in section.splitlines():
        if not line.startswith("| ") or line.startswith("| role"):
            continue
        first, _runs, on, may = (cell.strip() for cell in line.strip("|").split("|"))
        role = first.strip("`") or role
        kind = next(
            resource for resource in Resource if on.replace("every ", "").startswith(resource.replace("-", " "))
        )
        names = list(Topic) if on == "every topic" else re.findall(r"`([^`]+)`", on)
        rows |= {(role, kind, name, operation, "begin with" in on) for name in names for operation in may.split(", ")}
    assert rows == {(role, *right) for role in AccessRole for right in rights(role, Settings())}


@pytest.mark.parametrize("options", [["--principal", "User:me"], ["--role", "reader", "--principal", "me"]])
def test_a_principal_needs_its_role_and_its_type(options):
    done = CliRunner().invoke(app, ["topics", "acls", *options])
    assert isinstance(done.exception, UserError)
    assert "--principal" in str(done.exception)
