"""A file of TLS that can't be used is named by its setting, and nobody is asked for a password at the terminal."""

import pytest

from streams.engine.connection import client_options
from streams.engine.tls import broker_context
from streams.errors import UserError
from streams.settings import Settings
from tests.kafka.security.certificates import KEY_PASSWORD, Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "empty.pem").write_text("")
    return Certificates(folder)


def settings_with(certificates: Certificates, **files: str) -> Settings:
    """Settings whose files are named as `Certificates` names them, or by their path."""
    fields = {
        f"broker_ssl_{name}": str(getattr(certificates, file, certificates.ca.parent / file))
        for name, file in files.items()
        if name != "key_password"
    }
    if "key_password" in files:
        fields["broker_ssl_key_password"] = files["key_password"]
    return Settings(broker_security_protocol="SSL", **fields)


@pytest.mark.parametrize(
    ("files", "named", "cause"),
    [
        ({"cafile": "not-there.pem"}, "EVERYCENT_BROKER_SSL_CAFILE=", "No such file"),
        ({"cafile": "."}, "EVERYCENT_BROKER_SSL_CAFILE=", "Is a directory"),
        ({"cafile": "empty.pem"}, "EVERYCENT_BROKER_SSL_CAFILE=", "holds no certificate"),
        ({"certfile": "not-there.pem"}, "EVERYCENT_BROKER_SSL_CERTFILE=", "No such file"),
        ({"certfile": "empty.pem"}, "EVERYCENT_BROKER_SSL_CERTFILE=", "a certificate and its key, both PEM"),
        ({"certfile": "client"}, "EVERYCENT_BROKER_SSL_CERTFILE=", "a certificate and its key, both PEM"),
        ({"certfile": "client", "keyfile": "gone"}, "EVERYCENT_BROKER_SSL_KEYFILE=", "No such file"),
        ({"certfile": "client", "keyfile": "broker"}, "EVERYCENT_BROKER_SSL_KEYFILE=", "not that of the certificate"),
        (
            {"certfile": "client", "keyfile": "client_encrypted_key"},
            "EVERYCENT_BROKER_SSL_KEYFILE=",
            "EVERYCENT_BROKER_SSL_KEY_PASSWORD must fit",
        ),
        (
            {"certfile": "client", "keyfile": "client_encrypted_key", "key_password": "wrong-pa55word"},
            "EVERYCENT_BROKER_SSL_KEYFILE=",
            "EVERYCENT_BROKER_SSL_KEY_PASSWORD must fit",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_cause(certificates, files, named, cause):
    with pytest.raises(UserError) as refused:
        client_options(settings_with(certificates, **files))
    line = str(refused.value)
    assert named in line
    assert cause in line
    assert "wrong-pa55word" not in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"cafile": "ca"},
        {"certfile": "strangers_client"},  # with its key in the same file
        {"certfile": "client", "keyfile": "client_key"},
        {"certfile": "client", "keyfile": "client_encrypted_key", "key_password": KEY_PASSWORD},
    ],
)
def test_files_that_fit_are_taken_and_the_brokers_name_is_checked(certificates, files):
    context = broker_context(settings_with(certificates, **files))
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"
