"""What the tests of security share: users, their rights, and commands as a person runs them."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest

from streams.engine.access import AccessRole, Operation, Resource, Right, rights
from streams.engine.connection import open_admin
from streams.engine.embedded_broker import EmbeddedBroker
from streams.settings import Settings, child_environment

SPARE_USERS = 24  # each for a worker that has one right less than it needs
PASSWORDS = {
    user: f"pa55word-of-{user}"
    for user in ("chief", *map(str, AccessRole), *(f"spare-{number}" for number in range(SPARE_USERS)))
}
COMMAND_TIMEOUT_S = 120  # a few seconds, on a machine with nothing else to do

# The numbers that Kafka's protocol has for these words.
_RESOURCES = {Resource.TOPIC: 2, Resource.GROUP: 3, Resource.TRANSACTIONAL_ID: 5}
_OPERATIONS = {Operation.READ: 3, Operation.WRITE: 4, Operation.CREATE: 5, Operation.DESCRIBE: 8}
_ANY, _LITERAL, _PREFIXED, _ALLOW = 1, 3, 4, 3


def of_its_own() -> dict[str, Any]:
    """Settings of a deployment that no other test has."""
    unique = uuid.uuid4().hex[:12]
    return {
        "topic_prefix": f"t{unique}-",
        "app_id": f"app-{unique}",
        "metrics_port": 0,
        "partitions": 2,
        "log_level": "warning",
        "session_timeout_ms": 3_000,
    }


def changed(settings: Settings, **fields: object) -> Settings:
    """The same settings but for these, checked as at a command's start."""
    return Settings.model_validate({**settings.model_dump(), **fields})


def as_user(settings: Settings, user: str) -> Settings:
    return changed(settings, broker_sasl_username=user, broker_sasl_password=PASSWORDS[user])


async def grant(broker: EmbeddedBroker, user: str, granted: Iterable[Right]) -> None:
    """Let `user` do this, and wait until the broker knows."""
    wanted = {
        (
            _RESOURCES[right.resource],
            right.name,
            _PREFIXED if right.prefixed else _LITERAL,
            f"User:{user}",
            "*",
            _OPERATIONS[right.operation],
            _ALLOW,
        )
        for right in granted
    }
    async with open_admin(Settings(broker=broker.internal_address)) as admin, asyncio.timeout(60):
        for acl in wanted:
            response = await admin._send_to_controller(CreateAclsRequest(*acl))
            ((code, message),) = response.creation_responses
            assert code == 0, message
        while not wanted <= await _granted(admin, user):  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.05)


async def _granted(admin: AIOKafkaAdminClient, user: str) -> set[tuple[object, ...]]:
    request = DescribeAclsRequest(_ANY, None, _ANY, f"User:{user}", None, _ANY, _ANY)
    response = await admin._send_request(request)
    return {(kind, name, pattern, *acl) for kind, name, pattern, acls in response.resources for acl in acls}


async def grant_role(broker: EmbeddedBroker, role: AccessRole, settings: Settings) -> Settings:
    """Give the role's own user its rights; the settings with which it comes."""
    await grant(broker, role, rights(role, settings))
    return as_user(settings, role)


def run(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        env=child_environment(settings),
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str], status: int = 2) -> str:
    """The one line of a command that refused to go on."""
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("everycent: ")
    return line
