"""All that a deployment does, over each way to come in: topics, load, a worker, totals, audit, refusals, replay."""

import json
from collections.abc import Callable
from pathlib import Path

from schemas.topics import Topic
from streams.engine.access import AccessRole, rights
from streams.engine.embedded_broker import EmbeddedBroker
from streams.engine.topic_admin import create_topics, existing_topics
from streams.settings import Settings
from tests.kafka.security.certificates import KEY_PASSWORD
from tests.kafka.security.conftest import SESSION_MS
from tests.kafka.security.deployment import changed, grant, grant_role, of_its_own, run
from tests.kafka.security.issuer import CLIENTS, Issuer
from tests.kafka.workers import load, running_workers

ORDERS, PER_SECOND = 500, 100
MENDED = (
    '{"order_id": "mended-1", "buyer_id": "b1", "merchant_id": "m1", "completed_at": 1605024000000, "lines": '
    '[{"line": 0, "item_id": "i1", "paid_fen": 500, "pledge": {"kind": "fixed", "project_id": "P1", "fen": 7}}]}\n'
)

# Who has a part in the job; the page and the ledger come after it, and have tests of their own.
JOB = tuple(role for role in AccessRole if role not in {AccessRole.SERVER, AccessRole.REGISTRAR, AccessRole.LEDGER})


def done(settings: Settings, *command: str) -> list[dict[str, object]]:
    """What a command prints with `--json`; it must do its work and say nothing else."""
    ended = run(settings, *command, "--json")
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def whole_job(settings_of: Callable[[AccessRole], Settings], folder: Path, *load: str) -> str:
    """All of it, each part as the one whose work it is; the worker's log."""
    admin, source, worker, reader, auditor, replayer = map(settings_of, JOB)
    mended = folder / "mended.jsonl"
    mended.write_text(MENDED)
    assert all(topic["created"] for topic in done(admin, "topics", "create"))
    with running_workers(worker) as workers, running_workers(auditor) as audits:
        process = workers.start()
        audit = audits.start(command=("-m", "streams.cli", "audit", "--follow"))
        (sent,) = done(source, "simulate", "--orders", str(ORDERS), "--seed", "11", "--malformed", "0.02", *load)
        (replayed,) = done(replayer, "replay-rejected", "--file", str(mended))
        assert replayed["replayed"] == 1
        (verdict,) = done(reader, "audit", "--wait", "60")
        assert verdict["conserved"], verdict
        assert verdict["counts"]["fen"] == sent["expected_fen"] + 7
        *_, rejected = done(reader, "rejected")
        assert rejected["total"] == sent["malformed"] > 0
        totals = done(reader, "totals", "--window", "all")
        assert sum(total["fen"] for total in totals) == verdict["counts"]["fen"]
        assert process.stop() == 0, process.text()
        assert audit.stop() == 0, audit.text()
        return process.text()


async def test_each_role_does_its_work_over_tls_and_scram_with_its_rights_alone(guarded, deployment, tmp_path):
    settings = {role: await grant_role(guarded, role, deployment) for role in AccessRole}
    assert "given up" not in whole_job(settings.__getitem__, tmp_path)


def with_tokens(deployment: Settings, **fields: object) -> Settings:
    return changed(
        deployment, broker_sasl_mechanism="OAUTHBEARER", broker_sasl_username="", broker_sasl_password="", **fields
    )


async def grant_all(broker: EmbeddedBroker, user: str, settings: Settings) -> None:
    for role in AccessRole:
        await grant(broker, user, rights(role, settings))


async def test_the_whole_job_goes_over_an_issuers_tokens_though_the_broker_ends_each_session_with_its_token(
    guarded, deployment, certificates, issuer: Issuer, tmp_path
):
    ((client, secret),) = CLIENTS.items()
    settings = with_tokens(
        deployment,
        broker_sasl_oauth_token_url=issuer.url,
        broker_sasl_oauth_client_id=client,
        broker_sasl_oauth_client_secret=secret,
        broker_sasl_oauth_scope="kafka",
        broker_sasl_oauth_cafile=str(certificates.ca),
    )
    await grant_all(guarded, client, settings)
    asked_before = len(issuer.requests)
    assert ORDERS / PER_SECOND > 2 * SESSION_MS / 1_000, "the worker is to live through some ends of its sessions"
    whole_job(lambda _: settings, tmp_path, "--rate", str(PER_SECOND))
    assert len(issuer.requests) - asked_before == 8, "each process asks once, however many connections it makes"
    assert issuer.requests[-1] == {"grant_type": ["client_credentials"], "scope": ["kafka"]}


async def test_a_token_in_a_file_opens_the_broker_and_so_does_the_one_that_takes_its_place(
    guarded, deployment, issuer, tmp_path
):
    file = tmp_path / "token"
    settings = with_tokens(deployment, broker_sasl_oauth_token_file=str(file))
    for user in ("first", "second"):
        await grant(guarded, user, rights(AccessRole.ADMIN, settings))
        file.write_text(issuer.token(user) + "\n")
        assert len(await create_topics(settings)) == len(Topic)


async def test_a_certificate_opens_a_broker_that_wants_one(mutual, certificates):
    settings = Settings(
        **of_its_own(),
        broker=mutual.address,
        broker_security_protocol="SSL",
        broker_ssl_cafile=str(certificates.ca),
        broker_ssl_certfile=str(certificates.client),
        broker_ssl_keyfile=str(certificates.client_encrypted_key),
        broker_ssl_key_password=KEY_PASSWORD,
    )
    await create_topics(settings)
    await load(settings, orders=50, seed=1)
    assert len(await existing_topics(settings)) == len(Topic)
