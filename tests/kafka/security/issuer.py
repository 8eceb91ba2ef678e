"""An issuer of tokens on this machine: signed for real, checked by the broker against the issuer's published keys."""

import base64
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote_plus

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

PACKAGE = "org.apache.kafka.common.security.oauthbearer"
AUDIENCE = "kafka"
NAME = "https://issuer.invalid/"
CLIENTS = {"worker client/1": "s3cret+of:the client"}  # odd characters must survive the way
KEY_ID = "key-1"


class Issuer:
    """Answers the client credentials flow over TLS at `url`; its public keys lie in the file `jwks`."""

    def __init__(self, folder: Path, certificate: Path) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.jwks = folder / "jwks.json"
        public = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        self.jwks.write_text(json.dumps({"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": "RS256"}]}))
        self.requests: list[dict[str, list[str]]] = []
        self.life_s = 300
        self.answer: tuple[int, bytes] | None = None  # instead of a token
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}/token"

    def token(self, subject: str, *, audience: str = AUDIENCE, life_s: int = 300) -> str:
        now = int(time.time())
        claims = {"sub": subject, "aud": audience, "iss": NAME, "iat": now, "exp": now + life_s, "scope": "kafka"}
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": KEY_ID})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def broker_properties(self) -> dict[str, str]:
        """What makes the broker's listener of clients take these tokens."""
        listener = "listener.name.client"
        name = f"{listener}.oauthbearer"
        return {
            f"{name}.sasl.jaas.config": f"{PACKAGE}.OAuthBearerLoginModule required ;",
            f"{name}.sasl.server.callback.handler.class": f"{PACKAGE}.OAuthBearerValidatorCallbackHandler",
            # Without this one Kafka 4.1 may take the validator of its clients, which looks at no signature.
            f"{listener}.sasl.oauthbearer.jwt.validator.class": f"{PACKAGE}.BrokerJwtValidator",
            f"{listener}.sasl.oauthbearer.jwks.endpoint.url": self.jwks.as_uri(),
            f"{listener}.sasl.oauthbearer.expected.audience": AUDIENCE,
            f"{listener}.sasl.oauthbearer.expected.issuer": NAME,
        }

    def java_options(self) -> tuple[str, ...]:
        """Kafka reads keys only from where its Java was told that it may."""
        return (f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.jwks.as_uri()}",)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                issuer.requests.append(form)
                status, body = issuer.answer or issuer.grant(self.headers.get("Authorization", ""), form)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if status == 302:
                    self.send_header("Location", "https://127.0.0.1:9/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def grant(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, bytes]:
        login = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        client, secret = (unquote_plus(part) for part in login.split(":"))
        if CLIENTS.get(client) != secret or form["grant_type"] != ["client_credentials"]:
            return 401, b'{"error": "invalid_client", "error_description": "no such secret: %s"}' % secret.encode()
        answer = {"access_token": self.token(client, life_s=self.life_s), "expires_in": self.life_s}
        return 200, json.dumps({**answer, "token_type": "Bearer"}).encode()
