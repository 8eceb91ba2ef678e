"""What a person is told where the broker doesn't answer, doesn't let us in, or denies a right: one line, the cause.

aiokafka logs why a connection failed and raises only that it did. So where a client can't start, we connect once more,
just as it does, to hear the reason. Keeps nothing.
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams.engine.oauth import TokenError
from streams.errors import AccessError, BrokerUnavailableError, UserError
from streams.settings import PREFIX, Settings

PROBE_TIMEOUT_S = 10.0  # a broker that refuses does so at once; one that says nothing is not there

DENIED = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailed: "transactional id",
    ClusterAuthorizationFailedError: "cluster",
}
"""The broker's refusals of a right, and the kind of thing that the right is on."""
DENIALS = tuple(DENIED)


def is_denial(error: BaseException | None) -> bool:
    return isinstance(error, DENIALS)


def explain(settings: Settings, error: BaseException) -> UserError:
    """The line for an error of Kafka or the network, while a client is at work."""
    if isinstance(error, UserError):
        return error
    if is_denial(error):
        found = error.args[0] if error.args else ()  # a name, a set of names, or nothing
        return denied(settings, DENIED[type(error)], [found] if isinstance(found, str) else sorted(map(str, found)))
    # That nobody could be reached at an address that we name anyway says nothing more.
    why = "" if "Unable to bootstrap from" in str(error) else f" ({error})"
    return BrokerUnavailableError(
        f"no Kafka broker answers at {settings.broker}{why}. Start one (`everycent broker`) or set EVERYCENT_BROKER."
    )


def denied(settings: Settings, kind: str, names: Sequence[str], operation: str = "") -> AccessError:
    """The line for a right that is missing. Kafka says on what it would be, but seldom which one."""
    right = f"the right {operation} on" if operation else "a right on"
    on = f"the {kind}{'s' * (len(names) > 1)} {', '.join(map(repr, names))}" if names else f"a {kind}"
    return AccessError(
        f"the broker at {settings.broker} denies {_we(settings)} {right} {on}. "
        "`everycent topics acls` lists the rights that each role needs."
    )


async def refuse_hidden(client: AIOKafkaClient, topics: Sequence[str]) -> None:
    """Raise TopicAuthorizationFailedError if one of `topics`, which didn't show among all topics, isn't ours to see.

    From a list of all topics Kafka leaves out what we mayn't describe. Asked by name it says so; and it is told not to
    make what it is asked for, as it would by default.
    """
    if not topics:
        return
    request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
    response = await client.send(client.get_random_node(), request)
    found = response.to_object()["topics"]
    hidden = [each["topic"] for each in found if for_code(each["error_code"]) is TopicAuthorizationFailedError]
    if hidden:
        raise TopicAuthorizationFailedError(hidden)


async def explain_start(settings: Settings, options: dict[str, Any], error: BaseException) -> UserError:
    """The line for a client that can't start; `options` are those that it connects with."""
    if isinstance(error, KafkaConnectionError | OSError):
        connection = dict(options)
        for host, port, _ in collect_hosts(connection.pop("bootstrap_servers")):
            refusal = await _refusal(settings, f"{host}:{port}", _connect(host, port, connection))
            if refusal is not None:
                return refusal
    return explain(settings, error)


async def _connect(host: str, port: int, options: dict[str, Any]) -> None:
    async with asyncio.timeout(PROBE_TIMEOUT_S):
        connection = await create_conn(host, port, client_id="everycent", **options)
        try:
            await connection.send(MetadataRequest([]))  # a broker that wants SASL says so only now
        finally:
            await connection.close()


async def _refusal(settings: Settings, place: str, connecting: Any) -> UserError | None:
    """What the broker at `place` has against us; None if it isn't there, or has nothing."""
    try:
        await connecting
    except TokenError as error:
        return BrokerUnavailableError(f"no token for the broker: {error.args[0]}.")
    except ssl.SSLCertVerificationError as error:
        return _untrusted(place, error)
    except (KafkaError, OSError, TimeoutError) as failure:
        # What TLS has to say of our certificate comes after the handshake, as the cause of a connection that broke.
        told = failure.__cause__ if isinstance(failure.__cause__, ssl.SSLError) else failure
        if (why := _why_refused(settings, told)) is not None:
            return AccessError(f"the broker at {place} {why}")
        if (why := _why_silent(settings, told)) is not None:
            return BrokerUnavailableError(f"the broker at {place} {why}")
    return None


def _untrusted(place: str, error: ssl.SSLCertVerificationError) -> AccessError:
    if "match" in error.verify_message or "not valid for" in error.verify_message:
        return AccessError(
            f"the certificate of the broker at {place} is another machine's ({error.verify_message.rstrip('.')}): "
            "EVERYCENT_BROKER must name the broker as its certificate does."
        )
    return AccessError(
        f"the certificate of the broker at {place} isn't trusted ({error.verify_message}): "
        "EVERYCENT_BROKER_SSL_CAFILE must name the authority that signed it."
    )


def _why_refused(settings: Settings, error: BaseException) -> str | None:
    """What the broker itself says against us; to try again is of no use."""
    mechanism = settings.broker_sasl_mechanism
    match error:
        case SaslAuthenticationFailed():
            return f"refuses {_we(settings)} ({mechanism}): see {_credentials(settings)}."
        case UnsupportedSaslMechanismError():
            return f"doesn't take {PREFIX}BROKER_SASL_MECHANISM={mechanism} on this listener."
        case IllegalSaslStateError():
            return f"asks for no user on this listener: {_protocol(settings)} doesn't fit it."
        case ssl.SSLError() if "CERTIFICATE" in (error.reason or ""):
            return "wants another certificate of ours: see EVERYCENT_BROKER_SSL_CERTFILE and …_KEYFILE."
        case _:
            return None


def _why_silent(settings: Settings, error: BaseException) -> str | None:
    """What may be wrong with a broker that is there, but doesn't talk with us: the settings, or it is just ending."""
    match error:
        case ssl.SSLError():
            return f"doesn't speak TLS with us ({error.reason or error}): see {_protocol(settings)}."
        case KafkaConnectionError() | ConnectionResetError() | TimeoutError():
            certificate = " and EVERYCENT_BROKER_SSL_CERTFILE" if settings.uses_tls else ""
            return f"takes the connection, but doesn't answer on it: see {_protocol(settings)}{certificate}."
        case _:
            return None


def _protocol(settings: Settings) -> str:
    return f"{PREFIX}BROKER_SECURITY_PROTOCOL={settings.broker_security_protocol}"


def _we(settings: Settings) -> str:
    """Whom the broker knows us as, as far as we know it."""
    if not settings.uses_sasl:
        return "this client"
    if settings.broker_sasl_mechanism != "OAUTHBEARER":
        return f"the user {settings.broker_sasl_username!r}"
    client = settings.broker_sasl_oauth_client_id
    return f"the client {client!r}" if client else "the holder of this token"


def _credentials(settings: Settings) -> str:
    if settings.broker_sasl_mechanism != "OAUTHBEARER":
        return "EVERYCENT_BROKER_SASL_USERNAME and …_PASSWORD"
    if settings.broker_sasl_oauth_token_url:
        return "EVERYCENT_BROKER_SASL_OAUTH_TOKEN_URL, …_CLIENT_ID and …_SCOPE"
    return "EVERYCENT_BROKER_SASL_OAUTH_TOKEN_FILE"
