"""Settings of security that don't fit each other end a command before it connects, with a line that names them."""

import pytest

from streams.errors import UserError
from streams.settings import PREFIX, load_settings

SCRAM = {"BROKER_SECURITY_PROTOCOL": "SASL_SSL", "BROKER_SASL_MECHANISM": "SCRAM-SHA-512"}
OAUTH = {"BROKER_SECURITY_PROTOCOL": "SASL_SSL", "BROKER_SASL_MECHANISM": "OAUTHBEARER"}
ISSUER = {**OAUTH, "BROKER_SASL_OAUTH_TOKEN_URL": "https://issuer.example/token"}


def told(monkeypatch, variables: dict[str, str]) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    with pytest.raises(UserError) as refused:
        load_settings()
    assert refused.value.exit_status == 2
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        (SCRAM, "BROKER_SASL_USERNAME"),
        ({**SCRAM, "BROKER_SASL_USERNAME": "me"}, "BROKER_SASL_PASSWORD"),
        ({"BROKER_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "BROKER_SASL_USERNAME"),
        (OAUTH, "BROKER_SASL_OAUTH_TOKEN_FILE"),
        (ISSUER, "BROKER_SASL_OAUTH_CLIENT_ID"),
        ({**ISSUER, "BROKER_SASL_OAUTH_CLIENT_ID": "me"}, "BROKER_SASL_OAUTH_CLIENT_SECRET"),
        ({"BROKER_SECURITY_PROTOCOL": "SSL", "BROKER_SSL_KEYFILE": "key.pem"}, "BROKER_SSL_CERTFILE"),
    ],
)
def test_what_the_chosen_way_needs_is_named_where_it_is_missing(monkeypatch, variables, missing):
    assert told(monkeypatch, variables).startswith(f"{PREFIX}{missing} is empty, but ")


def test_a_token_comes_from_one_place(monkeypatch):
    line = told(monkeypatch, {**ISSUER, "BROKER_SASL_OAUTH_TOKEN_FILE": "/run/token"})
    assert f"{PREFIX}BROKER_SASL_OAUTH_TOKEN_FILE" in line
    assert f"{PREFIX}BROKER_SASL_OAUTH_TOKEN_URL" in line


@pytest.mark.parametrize("url", ["http://issuer.example/token", "issuer.example/token", "ftp://127.0.0.1/token"])
def test_a_clients_secret_does_not_go_over_an_open_line(monkeypatch, url):
    line = told(monkeypatch, {**ISSUER, "BROKER_SASL_OAUTH_TOKEN_URL": url})
    assert line.startswith(f"{PREFIX}BROKER_SASL_OAUTH_TOKEN_URL: ")
    assert "https://" in line


def test_an_unknown_mechanism_is_named_with_those_that_there_are(monkeypatch):
    line = told(monkeypatch, {**SCRAM, "BROKER_SASL_MECHANISM": "GSSAPI"})
    assert line.startswith(f"{PREFIX}BROKER_SASL_MECHANISM='GSSAPI'")
    assert "'OAUTHBEARER'" in line


@pytest.mark.parametrize("origin", ["charity.example", "https://a.example/", "https://a.example,ftp://b.example", "*"])
def test_an_origin_that_is_none_is_named(monkeypatch, origin):
    line = told(monkeypatch, {"SERVE_CORS_ORIGINS": origin})
    assert line.startswith(f"{PREFIX}SERVE_CORS_ORIGINS=")
    assert "https://a.example (without a path)" in line


def test_origins_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv(f"{PREFIX}SERVE_CORS_ORIGINS", "https://a.example, http://b.example:8080")
    assert load_settings().serve_origins == {"https://a.example", "http://b.example:8080"}


@pytest.mark.parametrize(
    "broker",
    [
        "kafka:port",
        ",",
        "kafka1:9092,",
        ":9092",
        "kafka:0",
        "kafka:65536",
        "[::1",
        "::1",
        "a b:1",
        "http://a:1",
        "u@a:1",
    ],
)
def test_an_address_of_a_broker_that_is_none_is_named(monkeypatch, broker):
    line = told(monkeypatch, {"BROKER": broker})
    assert line.startswith(f"{PREFIX}BROKER={broker!r}: ")
    assert "is no address" in line


@pytest.mark.parametrize(
    "broker", ["kafka", "kafka1:9092, kafka2:9093", "[::1]:9092", "[fe80::1%eth0]:9092", "1.2.3.4:1"]
)
def test_addresses_of_brokers_are_taken_as_they_are(monkeypatch, broker):
    monkeypatch.setenv(f"{PREFIX}BROKER", broker)
    assert load_settings().broker == broker


def test_what_a_command_was_given_is_looked_at_like_the_environment():
    with pytest.raises(UserError, match=f"^{PREFIX}SERVE_HOST=''"):
        load_settings(serve_host="")
    assert load_settings(serve_host=None, serve_port=0).serve_port == 0
