"""Tokens: fetched once for all clients, renewed in time, and told in one line where there are none."""

import asyncio
import threading

import pytest

from streams.engine.oauth import FAILURE_PAUSE_S, FetchedTokens, FileTokens, TokenError, token_provider
from streams.settings import Settings
from tests.kafka.security.certificates import Certificates
from tests.kafka.security.issuer import CLIENTS, Issuer

((CLIENT, SECRET),) = CLIENTS.items()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def issuer(tmp_path, certificates):
    issuer = Issuer(tmp_path, certificates.issuer)
    yield issuer
    issuer.close()


class Clock:
    """Wall time in seconds, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def settings_for(issuer: Issuer, certificates: Certificates, **fields: object) -> Settings:
    return Settings(
        **{
            "broker_security_protocol": "SASL_SSL",
            "broker_sasl_mechanism": "OAUTHBEARER",
            "broker_sasl_oauth_token_url": issuer.url,
            "broker_sasl_oauth_client_id": CLIENT,
            "broker_sasl_oauth_client_secret": SECRET,
            "broker_sasl_oauth_cafile": str(certificates.ca),
            **fields,
        }
    )


async def failure(tokens: FetchedTokens | FileTokens) -> str:
    with pytest.raises(TokenError) as failed:
        await tokens.token()
    assert SECRET not in str(failed.value)
    return failed.value.args[0]


async def test_a_token_serves_all_clients_until_four_fifths_of_its_life_are_over(issuer, certificates):
    clock = Clock()
    tokens = FetchedTokens(settings_for(issuer, certificates), clock)
    first = await asyncio.gather(*(tokens.token() for _ in range(20)))
    clock.now_s += 0.79 * issuer.life_s
    assert {*first, await tokens.token()} == {first[0]}
    assert len(issuer.requests) == 1
    clock.now_s += 0.02 * issuer.life_s
    await tokens.token()
    assert len(issuer.requests) == 2


async def test_clients_of_several_event_loops_share_a_token(issuer, certificates):
    """Faust's consumer has a thread and an event loop of its own."""
    tokens = FetchedTokens(settings_for(issuer, certificates))
    found = []
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(tokens.token()))) for _ in range(5)]
    for thread in threads:
        thread.start()
    found.append(await tokens.token())
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len(found) == 6
    assert len(set(found)) == len(issuer.requests) == 1


def test_the_clients_of_a_process_have_one_provider(issuer, certificates):
    settings = settings_for(issuer, certificates)
    assert token_provider(settings) is token_provider(Settings.model_validate(settings.model_dump()))


async def test_the_scope_goes_to_the_issuer(issuer, certificates):
    await FetchedTokens(settings_for(issuer, certificates, broker_sasl_oauth_scope="kafka read")).token()
    assert issuer.requests == [{"grant_type": ["client_credentials"], "scope": ["kafka read"]}]


async def test_a_refusal_is_told_with_the_issuers_code_and_asked_for_again_only_after_a_pause(issuer, certificates):
    clock = Clock()
    tokens = FetchedTokens(settings_for(issuer, certificates, broker_sasl_oauth_client_secret="another"), clock)
    line = await failure(tokens)
    assert line.startswith(f"EVERYCENT_BROKER_SASL_OAUTH_TOKEN_URL={issuer.url!r} gave no token")
    assert "401 invalid_client" in line
    assert "EVERYCENT_BROKER_SASL_OAUTH_CLIENT_ID" in line
    assert "another" not in line
    assert await failure(tokens) == line
    assert len(issuer.requests) == 1
    clock.now_s += FAILURE_PAUSE_S
    await failure(tokens)
    assert len(issuer.requests) == 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((500, b"<html>" + SECRET.encode()), "it answered 500"),
        ((400, b'{"error": "' + SECRET.encode() + b'"}'), "it answered 400"),
        ((200, b"{}"), "answered without a token"),
        ((200, b'{"access_token": "two words"}'), "answered without a token"),
        ((200, b'{"access_token": "x\\u0001auth=Bearer y"}'), "answered without a token"),
        ((200, b"\xff"), "answered without a token"),
        ((302, b""), "it answered 302"),  # not followed: the secret would go along
    ],
)
async def test_what_is_no_token_is_told_and_not_shown(issuer, certificates, answer, told):
    issuer.answer = answer
    assert told in await failure(FetchedTokens(settings_for(issuer, certificates)))


@pytest.mark.parametrize("seconds", [b"3599", b'"3599"', b"3599.5"])
async def test_some_issuers_write_the_seconds_as_text(issuer, certificates, seconds):
    issuer.answer = (200, b'{"access_token": "a.b-c", "expires_in": ' + seconds + b"}")
    assert await FetchedTokens(settings_for(issuer, certificates)).token() == "a.b-c"


async def test_an_issuer_that_is_not_trusted_gets_no_secret(issuer, certificates):
    line = await failure(
        FetchedTokens(settings_for(issuer, certificates, broker_sasl_oauth_cafile=str(certificates.another_ca)))
    )
    assert "EVERYCENT_BROKER_SASL_OAUTH_CAFILE" in line
    assert issuer.requests == []


async def test_an_issuer_that_is_not_there_is_named_without_what_may_be_confidential(issuer, certificates):
    issuer.close()
    line = await failure(
        FetchedTokens(settings_for(issuer, certificates, broker_sasl_oauth_token_url=f"{issuer.url}?key={SECRET}"))
    )
    assert f"EVERYCENT_BROKER_SASL_OAUTH_TOKEN_URL={issuer.url!r} can't be reached" in line


async def test_a_file_is_read_each_time(tmp_path):
    file = tmp_path / "token"
    tokens = FileTokens(file)
    assert f"EVERYCENT_BROKER_SASL_OAUTH_TOKEN_FILE={str(file)!r}: No such file" in await failure(tokens)
    for token in ("first.token", "second.token"):
        file.write_text(f"{token}\n")
        assert await tokens.token() == token


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"x\x01auth=Bearer y", "geheim-ü".encode(), b"\xff"])
async def test_a_file_without_a_token_is_named_and_not_shown(tmp_path, content):
    file = tmp_path / "token"
    file.write_bytes(content)
    line = await failure(FileTokens(file))
    assert line == f"EVERYCENT_BROKER_SASL_OAUTH_TOKEN_FILE={str(file)!r}: holds no token"
