"""Whoever may not come in is told why in one line that names the setting, at once, by every command."""

import asyncio
import socket
import time

import pytest

from streams.engine.access import AccessRole, rights
from streams.engine.topic_admin import check_topics, create_topics
from streams.errors import UserError
from streams.settings import Settings
from tests.kafka.security.certificates import Certificates
from tests.kafka.security.deployment import PASSWORDS, changed, grant, of_its_own, run, said
from tests.kafka.workers import WorkerProcess, running_workers

COMMANDS = [
    ("topics", "create"),
    ("topics", "list"),
    ("simulate", "--orders", "10"),
    ("totals",),
    ("audit",),
    ("rejected",),
    ("replay-rejected",),
    ("worker",),
]
WRONG = "a-wrong-pa55word"
SOON_S = 30  # a refusal takes some 100 ms, and a client that tried again and again would take for ever


async def refusal(settings: Settings) -> str:
    started = time.monotonic()
    with pytest.raises(UserError) as refused:
        await check_topics(settings)
    assert time.monotonic() - started < SOON_S
    assert refused.value.exit_status == 2
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_password_ends_every_command_with_one_line_that_does_not_hold_it(deployment, command):
    line = said(run(changed(deployment, broker_sasl_password=WRONG, log_level="debug"), *command))
    assert f"the broker at {deployment.broker} refuses the user 'chief' (SCRAM-SHA-512)" in line
    assert "EVERYCENT_BROKER_SASL_USERNAME" in line
    assert "_PASSWORD" in line
    assert WRONG not in line


@pytest.mark.parametrize(
    ("fields", "cause", "setting"),
    [
        ({"broker_sasl_username": "nobody"}, "refuses the user 'nobody'", "EVERYCENT_BROKER_SASL_USERNAME"),
        ({"broker_sasl_mechanism": "SCRAM-SHA-256"}, "doesn't take", "EVERYCENT_BROKER_SASL_MECHANISM=SCRAM-SHA-256"),
        ({"broker_sasl_mechanism": "PLAIN"}, "doesn't take", "EVERYCENT_BROKER_SASL_MECHANISM=PLAIN"),
        ({"broker_ssl_cafile": ""}, "isn't trusted", "EVERYCENT_BROKER_SSL_CAFILE"),
        ({"broker_security_protocol": "PLAINTEXT"}, "doesn't answer", "EVERYCENT_BROKER_SECURITY_PROTOCOL=PLAINTEXT"),
        ({"broker_security_protocol": "SSL"}, "doesn't answer", "EVERYCENT_BROKER_SECURITY_PROTOCOL=SSL"),
        ({"broker_security_protocol": "SASL_PLAINTEXT"}, "doesn't answer", "SECURITY_PROTOCOL=SASL_PLAINTEXT"),
    ],
    ids=lambda fields: str(fields) if isinstance(fields, dict) else "",
)
async def test_what_does_not_fit_the_broker_is_named(deployment, fields, cause, setting):
    line = await refusal(changed(deployment, **fields))
    assert f"the broker at {deployment.broker}" in line
    assert cause in line
    assert setting in line


async def test_an_authority_that_did_not_sign_the_brokers_certificate_is_named(deployment, certificates):
    line = await refusal(changed(deployment, broker_ssl_cafile=str(certificates.another_ca)))
    assert "isn't trusted" in line
    assert "EVERYCENT_BROKER_SSL_CAFILE" in line


async def test_a_broker_that_goes_by_another_name_is_not_trusted(deployment):
    line = await refusal(changed(deployment, broker=deployment.broker.replace("127.0.0.1", "localhost")))
    assert "is another machine's" in line
    assert "EVERYCENT_BROKER must name the broker as its certificate does" in line


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL", "SASL_PLAINTEXT"])
async def test_a_plain_broker_is_told_from_none(guarded, deployment, protocol):
    settings = changed(deployment, broker=guarded.internal_address, broker_security_protocol=protocol)
    assert f"EVERYCENT_BROKER_SECURITY_PROTOCOL={protocol}" in await refusal(settings)


async def test_where_nobody_listens_no_setting_of_security_is_blamed(deployment):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{closed.getsockname()[1]}"
        line = await refusal(changed(deployment, broker=place))
    assert line.startswith(f"no Kafka broker answers at {place}")
    assert "SECURITY" not in line


def mutual_settings(mutual, certificates: Certificates, **fields: object) -> Settings:
    return Settings(
        **of_its_own(),
        broker=mutual.address,
        broker_security_protocol="SSL",
        broker_ssl_cafile=str(certificates.ca),
        **fields,
    )


async def test_a_broker_that_wants_a_certificate_says_so(mutual, certificates):
    without = await refusal(mutual_settings(mutual, certificates))
    strange = await refusal(
        mutual_settings(mutual, certificates, broker_ssl_certfile=str(certificates.strangers_client))
    )
    assert "EVERYCENT_BROKER_SSL_CERTFILE" in without
    assert "EVERYCENT_BROKER_SSL_CERTFILE" in strange


async def test_a_token_that_the_broker_does_not_take_is_named(deployment, issuer, tmp_path):
    file = tmp_path / "token"
    settings = changed(
        deployment, broker_sasl_mechanism="OAUTHBEARER", broker_sasl_oauth_token_file=str(file), broker_sasl_username=""
    )
    for token in (
        issuer.token("worker", audience="somebody-else"),
        issuer.token("worker", life_s=-600),
        issuer.token("worker")[:-8] + "AAAAAAAA",  # signed by nobody
        "no-token-at-all",
    ):
        file.write_text(token)
        line = await refusal(settings)
        assert "refuses the holder of this token (OAUTHBEARER)" in line
        assert "EVERYCENT_BROKER_SASL_OAUTH_TOKEN_FILE" in line
        assert token not in line


async def test_an_issuer_that_gives_no_token_is_named(deployment, certificates, issuer):
    settings = changed(
        deployment,
        broker_sasl_mechanism="OAUTHBEARER",
        broker_sasl_oauth_token_url=issuer.url,
        broker_sasl_oauth_client_id="worker",
        broker_sasl_oauth_client_secret=WRONG,
        broker_sasl_oauth_cafile=str(certificates.ca),
    )
    line = await refusal(settings)
    assert (
        f"EVERYCENT_BROKER_SASL_OAUTH_TOKEN_URL='{issuer.url}' gave no token (it answered 401 invalid_client)" in line
    )
    assert WRONG not in line


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "streams.cli", "worker"),
        ("-m", "faust", "-A", "streams.worker", "--loglevel", "debug", "worker", "--without-web"),
    ],
    ids=["everycent", "faust"],
)
async def test_a_worker_at_debug_shows_neither_its_secrets_nor_a_traceback(
    guarded, deployment, issuer, tmp_path, command
):
    """aiokafka would log the very message that a token, or the password of PLAIN, travels in."""
    await create_topics(deployment)
    await grant(guarded, "file-user", rights(AccessRole.WORKER, deployment))
    file = tmp_path / "token"
    file.write_text(token := issuer.token("file-user"))
    settings = changed(
        deployment, broker_sasl_mechanism="OAUTHBEARER", broker_sasl_oauth_token_file=str(file), log_level="debug"
    )
    with running_workers(settings) as workers:
        log = tmp_path / "worker.log"
        worker = WorkerProcess(settings, log, command)
        workers.all.append(worker)
        await asyncio.to_thread(worker.wait_for, "partition ready", 4)
        await asyncio.to_thread(worker.stop)
        written = worker.text()
    assert "debug" in written.lower()
    assert token not in written
    assert token.rpartition(".")[2] not in written
    assert PASSWORDS["chief"] not in written
    assert "Traceback" not in written
