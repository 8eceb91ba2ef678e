"""Whom we trust, and the certificate that we show: what the settings name, or one line that says what is wrong with it.

Read when a client is made, so a file that was renewed counts for whatever connects after the next start.
"""

import ssl
from pathlib import Path

from streams.errors import UserError
from streams.settings import PREFIX, Settings


def trust(cafile: str, field: str) -> ssl.SSLContext:
    """A context that trusts the authorities of `cafile`, a PEM file; empty: those of the system.

    `field` is the setting that names it. Raises UserError if it can't be used.
    """
    _check_readable(cafile, field)
    try:
        return ssl.create_default_context(cafile=cafile or None)
    except ssl.SSLError as error:
        raise UserError(f"{_named(field, cafile)}: holds no certificate (PEM) of an authority") from error


def broker_context(settings: Settings) -> ssl.SSLContext:
    """What every client's TLS goes by. Raises UserError, naming the setting, for a file that can't be used."""
    context = trust(settings.broker_ssl_cafile, "broker_ssl_cafile")
    certfile, keyfile = settings.broker_ssl_certfile, settings.broker_ssl_keyfile
    if not certfile:
        return context
    _check_readable(certfile, "broker_ssl_certfile")
    _check_readable(keyfile, "broker_ssl_keyfile")
    try:
        # Always with a password, if only an empty one: without, OpenSSL would ask for it at the terminal, and wait.
        context.load_cert_chain(certfile, keyfile or None, settings.broker_ssl_key_password.get_secret_value())
    except (ssl.SSLError, ValueError) as error:
        named = _named("broker_ssl_certfile", certfile)
        key = f" with {_named('broker_ssl_keyfile', keyfile)}" if keyfile else ""
        raise UserError(f"{named}{key} can't be used: {_why(error)}") from error
    return context


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or ""
    if reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate"
    return (
        "they must be a certificate and its key, both PEM, and "
        f"{PREFIX}BROKER_SSL_KEY_PASSWORD must fit if the key is encrypted"
    )


def _check_readable(path: str, field: str) -> None:
    if not path:
        return
    try:
        with Path(path).open("rb"):
            return
    except OSError as error:
        raise UserError(f"{_named(field, path)}: {error.strerror or error}") from error


def _named(field: str, value: str) -> str:
    return f"{PREFIX}{field.upper()}={value!r}"
