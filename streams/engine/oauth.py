"""Tokens for OAUTHBEARER, from a file or from their issuer, for all clients of this process.

A connection asks for a token as it is made; nothing here survives a crash. A token that can't be had is a `TokenError`,
which aiokafka takes for a connection that failed: a worker that runs waits and tries again, as with any outage.
"""

import asyncio
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from re import compile as pattern
from urllib.parse import quote_plus, urlsplit

import aiohttp
import msgspec
from aiokafka import conn
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError, SaslAuthenticationFailed

from streams.engine.tls import trust
from streams.settings import Settings

FETCH_TIMEOUT_S = 10  # an issuer takes some 100 ms; whoever waits longer is told so
RENEW_AFTER_SHARE = 0.8  # of a token's life, as Kafka's own clients do: by then a new one should be at hand
DEFAULT_LIFE_S = 60  # where the issuer doesn't say how long its token lives
FAILURE_PAUSE_S = 1.0  # so many connections may ask at once that the issuer would be flooded
_TOKEN = pattern(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750; anything else could end the message that it travels in
_ERROR_CODE = pattern(r"[a-z_]{1,40}")  # RFC 6749; the rest of an answer may repeat what we sent


class TokenError(KafkaError):  # type: ignore[misc]
    """No token could be had; says where from, why, and which setting names it. Never holds a token or a secret."""


class FileTokens(AbstractTokenProvider):  # type: ignore[misc]
    """The token that a file holds now, such as one that Kubernetes renews."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """Raises TokenError if there is no file, or no token in it."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> str:
        setting = f"EVERYCENT_BROKER_SASL_OAUTH_TOKEN_FILE={str(self._path)!r}"
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise TokenError(f"{setting}: {error.strerror or error}") from error
        except UnicodeError:
            text = ""
        if not _TOKEN.fullmatch(text):
            raise TokenError(f"{setting}: holds no token")
        return text


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: float = DEFAULT_LIFE_S


class FetchedTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens of the client credentials flow (RFC 6749, 4.4), kept until shortly before they expire.

    One at a time is fetched, whichever thread's event loop asks: a worker's clients share it.
    """

    def __init__(self, settings: Settings, clock_s: Callable[[], float] = time.time) -> None:
        self._url = settings.broker_sasl_oauth_token_url
        self._client_id = settings.broker_sasl_oauth_client_id
        self._client_secret = settings.broker_sasl_oauth_client_secret
        self._scope = settings.broker_sasl_oauth_scope
        self._trust = trust(settings.broker_sasl_oauth_cafile, "broker_sasl_oauth_cafile")
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at_s = 0.0
        self._failure = ""
        self._failed_at_s = 0.0

    async def token(self) -> str:
        """Raises TokenError if the issuer doesn't give one."""
        return await asyncio.to_thread(self._current)

    def _current(self) -> str:
        with self._lock:
            now_s = self._clock_s()
            if self._token and now_s < self._renew_at_s:
                return self._token
            if self._failure and 0 <= now_s - self._failed_at_s < FAILURE_PAUSE_S:
                raise TokenError(self._failure)
            try:
                answer = asyncio.run(self._fetch())
            except TokenError as error:
                self._failure, self._failed_at_s = error.args[0], self._clock_s()
                raise
            self._token, self._failure = answer.access_token, ""
            self._renew_at_s = now_s + RENEW_AFTER_SHARE * answer.expires_in
            return self._token

    async def _fetch(self) -> _Answer:
        # Form-encoded before they are joined: RFC 6749, 2.3.1.
        login = f"{quote_plus(self._client_id)}:{quote_plus(self._client_secret.get_secret_value())}"
        headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}
        form = {"grant_type": "client_credentials", **({"scope": self._scope} if self._scope else {})}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(FETCH_TIMEOUT_S)) as session,
                # A redirection would take the secret to a place that nobody has named.
                session.post(self._url, data=form, headers=headers, ssl=self._trust, allow_redirects=False) as response,
            ):
                status, body = response.status, await response.read()
        except TimeoutError as error:
            raise TokenError(f"{self._place} gave no token within {FETCH_TIMEOUT_S} s") from error
        except aiohttp.ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", "") or "not trusted"
            raise TokenError(
                f"{self._place} has a certificate that doesn't pass ({why}): "
                "EVERYCENT_BROKER_SASL_OAUTH_CAFILE names the authority that signed it"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            # aiohttp's own words are long and show objects.
            why = getattr(getattr(error, "os_error", None), "strerror", None) or type(error).__name__
            raise TokenError(f"{self._place} can't be reached ({why})") from error
        if status != 200:
            raise TokenError(self._refusal(status, body))
        return self._read(body)

    @property
    def _place(self) -> str:
        """The setting and its value, but for what comes after a question mark: it may be confidential."""
        return f"EVERYCENT_BROKER_SASL_OAUTH_TOKEN_URL={urlsplit(self._url)._replace(query='', fragment='').geturl()!r}"

    def _refusal(self, status: int, body: bytes) -> str:
        try:
            code = msgspec.json.decode(body, type=dict[str, object]).get("error")
        except (msgspec.DecodeError, UnicodeError):
            code = None
        said = f"{status} {code}" if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else f"{status}"
        return (
            f"{self._place} gave no token (it answered {said}); see EVERYCENT_BROKER_SASL_OAUTH_CLIENT_ID, "
            "…_CLIENT_SECRET and …_SCOPE"
        )

    def _read(self, body: bytes) -> _Answer:
        try:
            answer = msgspec.json.decode(body, type=_Answer, strict=False)  # some issuers write the seconds as text
        except (msgspec.DecodeError, UnicodeError):
            answer = _Answer("")
        if not _TOKEN.fullmatch(answer.access_token):
            raise TokenError(f"{self._place} answered without a token")
        return answer


class _Authenticator(conn.OAuthAuthenticator):  # type: ignore[misc]
    """aiokafka's, but it hears a refusal.

    A broker that refuses a token says so in the body of an answer that bears no error code (RFC 7628, 3.2.3). aiokafka
    0.14 takes that for success, and every request after it comes back empty or broken.
    """

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if self._token_sent and payload:
            raise SaslAuthenticationFailed("the broker refuses the token")
        following: tuple[bytes, bool] | None = await super().step(payload)
        return following


conn.OAuthAuthenticator = _Authenticator  # a connection makes its own, and can't be given one


@lru_cache(maxsize=8)
def token_provider(settings: Settings) -> AbstractTokenProvider:
    """The one provider of this process for these settings."""
    if settings.broker_sasl_oauth_token_url:
        return FetchedTokens(settings)
    return FileTokens(Path(settings.broker_sasl_oauth_token_file))
