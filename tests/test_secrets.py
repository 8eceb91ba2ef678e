"""No secret is ever written: not by what shows settings, not by errors, not by logs at any level."""

import logging

import pytest
import structlog
from pydantic import SecretStr, ValidationError
from typer.main import get_command
from typer.testing import CliRunner

from streams.cli import app
from streams.errors import UserError
from streams.logs import configure_logs
from streams.settings import PREFIX, Settings, child_environment, load_settings

SECRET_FIELDS = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
SECRET = "hunter2-never-shown"


def with_secrets(**fields):
    return Settings(**dict.fromkeys(SECRET_FIELDS, SECRET), **fields)


def test_every_setting_that_sounds_like_a_secret_is_one():
    sounding = {name for name in Settings.model_fields if name.endswith(("password", "secret"))}
    assert sounding == set(SECRET_FIELDS)
    assert len(SECRET_FIELDS) == 3


@pytest.mark.parametrize("show", [repr, str, "{!r:}".format, lambda settings: repr(settings.model_dump())])
def test_settings_show_no_secret(show):
    settings = with_secrets()
    assert SECRET not in show(settings)
    assert "**********" in show(settings)


def test_a_child_process_gets_the_secrets_themselves():
    environment = child_environment(with_secrets())
    assert all(environment[f"{PREFIX}{name.upper()}"] == SECRET for name in SECRET_FIELDS)


@pytest.mark.parametrize(
    "fields",
    [
        {"partitions": "many"},
        {"broker_security_protocol": "SASL_SSL", "broker_sasl_mechanism": "SCRAM-SHA-512"},  # no user
        {"broker_sasl_oauth_token_url": f"https://me:{SECRET}@issuer.example/token"},
    ],
)
def test_an_error_about_one_setting_shows_no_secret(fields, monkeypatch):
    with pytest.raises(ValidationError) as raised:
        with_secrets(**fields)
    assert SECRET not in str(raised.value)

    for name in SECRET_FIELDS:
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", SECRET)
    for name, value in fields.items():
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)
    with pytest.raises(UserError) as told:
        load_settings()
    assert SECRET not in str(told.value)
    assert str(told.value).startswith(PREFIX)
    assert told.value.__cause__ is None


@pytest.mark.parametrize("command", [[], *([name] for name in get_command(app).commands), ["topics", "create"]])
def test_no_help_shows_a_secret_of_the_environment(command, monkeypatch):
    for name in SECRET_FIELDS:
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", SECRET)
    told = CliRunner().invoke(app, [*command, "--help"])
    assert told.exit_code == 0
    assert "--help" in told.output
    assert SECRET not in told.output


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("get_logger", [structlog.get_logger, logging.getLogger])
def test_a_logged_traceback_shows_no_variable(get_logger, log_format, capfd):
    configure_logs(Settings(log_level="debug", log_format=log_format))
    log = get_logger("of-a-test")
    options = {"sasl_plain_password": SECRET}
    try:
        options["missing"]
    except KeyError:
        log.exception("it failed")
    written = capfd.readouterr().err
    assert "it failed" in written
    assert "KeyError" in written
    assert SECRET not in written


@pytest.mark.parametrize("level", ["debug", "info"])
def test_what_aiokafka_says_of_its_requests_is_not_logged(level, capfd):
    """At DEBUG it writes the whole of each request; the one that logs in with PLAIN holds the password."""
    configure_logs(Settings(log_level=level))
    logging.getLogger("aiokafka.conn").debug("Request: SaslAuthenticateRequest(%s)", SECRET)
    logging.getLogger("aiokafka.conn").error("Request: SaslAuthenticateRequest(%s)", SECRET)
    assert capfd.readouterr().err == ""
