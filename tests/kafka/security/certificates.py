"""Certificates for a test run, made anew each time: an authority, the broker's, and a client's."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

HOST = "127.0.0.1"
KEY_PASSWORD = "key-pa55word"


class Certificates:
    """PEM files in a folder."""

    def __init__(self, folder: Path) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        server = authority.issue_cert(HOST)
        client = authority.issue_cert("worker-1", common_name="worker-1")
        self.ca = folder / "ca.pem"
        self.another_ca = folder / "another-ca.pem"
        self.broker = folder / "broker.pem"  # Kafka's store: the key, then the chain
        self.misnamed_broker = folder / "misnamed.pem"
        self.issuer = folder / "issuer.pem"  # for the tokens' issuer
        self.client = folder / "client.pem"
        self.client_key = folder / "client-key.pem"
        self.client_encrypted_key = folder / "client-encrypted-key.pem"
        self.strangers_client = folder / "stranger.pem"
        authority.cert_pem.write_to_path(self.ca)
        stranger.cert_pem.write_to_path(self.another_ca)
        server.private_key_and_cert_chain_pem.write_to_path(self.issuer)
        self.broker.write_bytes(_pkcs8(server))
        self.misnamed_broker.write_bytes(_pkcs8(authority.issue_cert("kafka.invalid")))
        client.cert_chain_pems[0].write_to_path(self.client)
        client.private_key_pem.write_to_path(self.client_key)
        self.client_encrypted_key.write_bytes(
            _key(client, serialization.BestAvailableEncryption(KEY_PASSWORD.encode()))
        )
        stranger.issue_cert("worker-1").private_key_and_cert_chain_pem.write_to_path(self.strangers_client)

    def broker_properties(self) -> dict[str, str]:
        """TLS for the broker's listener of clients."""
        return {
            "listener.name.client.ssl.keystore.type": "PEM",
            "listener.name.client.ssl.keystore.location": str(self.broker),
            "listener.name.client.ssl.truststore.type": "PEM",
            "listener.name.client.ssl.truststore.location": str(self.ca),
        }


def _key(certificate: trustme.LeafCert, encryption: serialization.KeySerializationEncryption) -> bytes:
    """The key as Kafka wants it, which is not as trustme writes it."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _pkcs8(certificate: trustme.LeafCert) -> bytes:
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    return _key(certificate, serialization.NoEncryption()) + chain
