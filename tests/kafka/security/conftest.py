"""Brokers with their doors shut: one that wants a password or a token and grants rights one by one, one that wants a
certificate. Each is started once for all tests here.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.engine.embedded_broker import EmbeddedBroker
from streams.settings import Settings
from tests.kafka.security.certificates import Certificates
from tests.kafka.security.deployment import PASSWORDS, of_its_own
from tests.kafka.security.issuer import Issuer

SESSION_MS = 2_000
# The broker itself and the tests' administration come through the plain inner listener, which knows no names.
AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS;User:chief",
    "allow.everyone.if.no.acl.found": "false",
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("security")


@pytest.fixture(scope="session")
def certificates(folder: Path) -> Certificates:
    return Certificates(folder)


@pytest.fixture(scope="session")
def issuer(folder: Path, certificates: Certificates) -> Iterator[Issuer]:
    issuer = Issuer(folder, certificates.issuer)
    yield issuer
    issuer.close()


@pytest.fixture(scope="session")
def guarded(folder: Path, certificates: Certificates, issuer: Issuer) -> Iterator[EmbeddedBroker]:
    """TLS; SCRAM (of 512 bits alone) or a token; and no right that wasn't granted."""
    scram = [
        word
        for user, password in PASSWORDS.items()
        for word in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]")
    ]
    scram_module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    properties = {
        "listener.security.protocol.map": "CLIENT:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.name.client.sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.client.scram-sha-512.sasl.jaas.config": scram_module,
        **certificates.broker_properties(),
        **issuer.broker_properties(),
        # A token is worth so long; then the broker cuts the connection, as aiokafka can't show a new one on it.
        "listener.name.client.oauthbearer.connections.max.reauth.ms": str(SESSION_MS),
        **AUTHORIZER,
    }
    broker = EmbeddedBroker(
        folder / "guarded", properties=properties, format_arguments=scram, java_options=issuer.java_options()
    )
    with broker:
        yield broker


@pytest.fixture(scope="session")
def mutual(folder: Path, certificates: Certificates) -> Iterator[EmbeddedBroker]:
    """TLS, and whoever comes must show a certificate."""
    properties = {
        "listener.security.protocol.map": "CLIENT:SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.name.client.ssl.client.auth": "required",
        **certificates.broker_properties(),
    }
    with EmbeddedBroker(folder / "mutual", properties=properties) as broker:
        yield broker


@pytest.fixture
def deployment(guarded: EmbeddedBroker, certificates: Certificates) -> Settings:
    """Settings of a deployment of this test's own, for a user who may do everything."""
    return Settings(
        **of_its_own(),
        broker=guarded.address,
        broker_security_protocol="SASL_SSL",
        broker_sasl_mechanism="SCRAM-SHA-512",
        broker_sasl_username="chief",
        broker_sasl_password=PASSWORDS["chief"],
        broker_ssl_cafile=str(certificates.ca),
    )
