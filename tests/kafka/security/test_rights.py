"""The rights of each role (`streams.engine.access`) are the least: without any one of them it says what it lacks."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from schemas.topics import Topic
from streams.engine.access import AccessRole, Operation, Resource, Right, rights
from streams.engine.connection import client_options
from streams.engine.embedded_broker import EmbeddedBroker
from streams.engine.reader import open_reader
from streams.engine.topic_admin import create_topics, existing_topics
from streams.errors import AccessError
from streams.ledger_service.follow import run_ledger
from streams.ledger_service.keys import log_origin, make_keys
from streams.projects import import_projects
from streams.replay import replay_mended, replay_rejected
from streams.serve.server import serving
from streams.settings import Settings, child_environment
from streams.views.audit import run_audit
from streams.views.audit_follow import Follower
from streams.views.names import read_names
from streams.views.rejected import read_rejected
from streams.views.totals import read_totals
from tests.kafka.security.deployment import SPARE_USERS, as_user, changed, grant, grant_role, of_its_own, run, said
from tests.kafka.security.test_whole_job import MENDED
from tests.kafka.workers import load

PROJECTS = Path(__file__).parents[2] / "serve" / "projects.csv"
WORKERS_AT_ONCE = 3
WORKER_TIMEOUT_S = 120
SPARE = [f"spare-{number}" for number in range(SPARE_USERS)]


def same_but_new(settings: Settings) -> Settings:
    return changed(settings, **of_its_own())


def administration(guarded: EmbeddedBroker, settings: Settings) -> Settings:
    return changed(settings, broker=guarded.internal_address, broker_security_protocol="PLAINTEXT")


async def put(settings: Settings, topic: str) -> None:
    """A record on each partition, so that there is something that one may not read."""
    producer = AIOKafkaProducer(**client_options(settings))
    await producer.start()
    try:
        for partition in await producer.partitions_for(topic):
            await producer.send_and_wait(topic, b"x", b"x", partition=partition)
    finally:
        await producer.stop()


async def without_one(
    role: AccessRole,
    guarded: EmbeddedBroker,
    deployment: Settings,
    users: Iterable[str],
    work: Callable[[Settings, Right], Awaitable[str]],
) -> list[str]:
    """Let the role work once for each of its rights, without that one; what it said each time.

    Each time it is another user, and a worker's deployment is another one.
    """
    count = len(rights(role, deployment))
    turn = asyncio.Semaphore(WORKERS_AT_ONCE)

    async def try_without(number: int, user: str) -> str:
        async with turn:
            settings = same_but_new(deployment)
            chief = administration(guarded, settings)
            all_rights = rights(role, settings)
            missing = all_rights[number]
            await grant(guarded, user, [right for right in all_rights if right is not missing])
            if role is not AccessRole.ADMIN:
                await create_topics(chief)
                await load(chief, orders=200, seed=1, malformed_share=0.05)
            if missing.operation is Operation.READ and missing.resource is Resource.TOPIC:
                await put(chief, missing.name)
            line = await work(as_user(settings, user), missing)
            assert f"denies the user '{user}'" in line, line
            kind = missing.resource.replace("-", " ")
            assert f" {kind}" in line, line
            assert missing.name in line, line
            assert "`everycent topics acls`" in line, line
            return line

    return await asyncio.gather(*(try_without(n, user) for n, user in zip(range(count), users, strict=False)))


async def work_as_worker(settings: Settings, missing: Right) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.cli", "worker"),
        env=child_environment(settings),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, errors = await asyncio.wait_for(process.communicate(), WORKER_TIMEOUT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    before_it_started = missing.operation is Operation.DESCRIBE or missing.name == settings.topics.orders
    assert process.returncode == (2 if before_it_started else 3), errors.decode()
    lines = [line for line in errors.decode().splitlines() if "orders refused" not in line]  # malformed, and told so
    assert len(lines) == 1, errors.decode()
    return lines[0]


async def test_a_worker_without_any_one_of_its_rights_ends_with_one_line_that_names_what_it_may_not_use(
    guarded, deployment
):
    lines = await without_one(AccessRole.WORKER, guarded, deployment, SPARE, work_as_worker)
    assert len(lines) == 13


async def work_as_reader(settings: Settings) -> None:
    await existing_topics(settings)
    await read_totals(settings)
    await read_names(settings)
    async with open_reader(settings) as reader:
        async for _ in read_rejected(settings, reader):
            pass
    await run_audit(settings)


async def work_as_replayer(settings: Settings) -> None:
    await replay_rejected(settings)
    with NamedTemporaryFile("w", suffix=".jsonl") as mended:
        mended.write(MENDED)
        mended.flush()
        await replay_mended(settings, Path(mended.name))


async def work_as_auditor(settings: Settings) -> None:
    async with asyncio.timeout(WORKER_TIMEOUT_S), Follower(settings, print) as follower:
        await follower.run()


async def work_as_server(settings: Settings) -> None:
    async with serving(changed(settings, serve_port=0)) as (_, working):
        ended, _ = await asyncio.wait(working, timeout=WORKER_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()


async def work_as_registrar(settings: Settings) -> None:
    await import_projects(settings, PROJECTS)


async def work_as_source(settings: Settings) -> None:
    await load(settings, orders=10, seed=2)


async def work_as_admin(settings: Settings) -> None:
    await create_topics(settings)


async def work_as_ledger(settings: Settings) -> None:
    with TemporaryDirectory() as folder:
        settings = changed(settings, ledger_dir=f"{folder}/log", ledger_keys=f"{folder}/keys")
        make_keys(Path(settings.ledger_keys), [log_origin(settings.ledger_name, n) for n in range(settings.partitions)])
        await run_ledger(settings, asyncio.Event(), until_end=True)


@pytest.mark.parametrize(
    ("role", "work"),
    [
        (AccessRole.READER, work_as_reader),
        (AccessRole.AUDITOR, work_as_auditor),
        (AccessRole.REPLAYER, work_as_replayer),
        (AccessRole.SERVER, work_as_server),
        (AccessRole.REGISTRAR, work_as_registrar),
        (AccessRole.SOURCE, work_as_source),
        (AccessRole.ADMIN, work_as_admin),
        (AccessRole.LEDGER, work_as_ledger),
    ],
)
async def test_no_other_role_can_do_without_any_one_of_its_rights_either(guarded, deployment, role, work):
    async def told(settings: Settings, _missing: Right) -> str:
        with pytest.raises(AccessError) as denied:
            await work(settings)
        assert denied.value.exit_status == 2
        return str(denied.value)

    await without_one(role, guarded, deployment, SPARE, told)


async def test_each_role_writes_where_it_must_and_nowhere_else(guarded, deployment):
    """So no worker can make up an order, no source a donation, and whoever reads can change nothing."""
    await create_topics(deployment)
    may_write = {
        AccessRole.ADMIN: set(),
        AccessRole.SOURCE: {Topic.ORDERS},
        AccessRole.WORKER: {Topic.DONATIONS, Topic.PROJECT_DELTAS, Topic.PROJECT_TOTALS, Topic.REJECTED_ORDERS},
        AccessRole.READER: set(),
        AccessRole.AUDITOR: set(),
        AccessRole.REPLAYER: {Topic.ORDERS},
        AccessRole.SERVER: set(),
        AccessRole.REGISTRAR: {Topic.PROJECTS},
        AccessRole.LEDGER: {Topic.LEDGER_CHECKPOINTS},
    }
    for role, topics in may_write.items():
        settings = await grant_role(guarded, role, deployment)
        producer = AIOKafkaProducer(**client_options(settings), enable_idempotence=bool(topics))
        await producer.start()
        try:
            for topic in Topic:
                sending = producer.send_and_wait(settings.topics.name(topic), b"x", b"x", partition=0)
                if topic in topics:
                    await sending
                else:
                    with pytest.raises(TopicAuthorizationFailedError):
                        await sending
        finally:
            await producer.stop()


def test_a_command_that_lacks_a_right_says_so_in_one_line(deployment):
    assert run(deployment, "topics", "create").returncode == 0
    for user, command in (("reader", ("totals",)), ("source", ("simulate", "--orders", "5")), ("worker", ("worker",))):
        assert f"denies the user '{user}' a right on the topic" in said(run(as_user(deployment, user), *command))
