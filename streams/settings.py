"""Every setting, with its default and unit: environment variables `EVERYCENT_…`, read here and nowhere else."""

import os
import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, reset_tzpath

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.topics import Topics
from schemas.units import DAY_MS, HOUR_MS, MINUTE_MS
from streams.errors import UserError

PREFIX = "EVERYCENT_"
_TOPIC_CHARACTERS = r"^[A-Za-z0-9._-]*$"  # what Kafka allows in a topic's name
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+(%\w+)?\]|[^\s:,/@\[\]]+)(:(?P<port>[0-9]{1,5}))?", re.ASCII)
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


class Settings(BaseSettings):
    """One deployment's settings. Frozen; secrets never show in `repr`."""

    # Without `hide_input_in_errors` pydantic would write what it was given into its exceptions, passwords included.
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    broker: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    """Where Kafka is: `host:port`, several separated by commas."""
    app_id: Annotated[str, Field(min_length=1, max_length=100, pattern=_TOPIC_CHARACTERS)] = "everycent"
    """Name of the consumer group and of the workers' transactions. Two deployments on one broker need two."""
    topic_prefix: Annotated[str, Field(max_length=100, pattern=_TOPIC_CHARACTERS)] = ""
    """Put before every topic's name."""
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 8
    """Partitions that `topics create` gives each topic (the totals' topics 16 at most, `projects` one)."""
    timezone: str = "Asia/Shanghai"
    """Zone (IANA name) of the calendar windows."""
    commit_interval_ms: Annotated[int, Field(ge=10, le=MINUTE_MS)] = 500
    """The longest that an order waits for its commit to begin, ms. Shorter: fresher totals, more transactions."""
    dedupe_horizon_hours: Annotated[int, Field(ge=1, le=24 * 366)] = 24
    """How long an order id is remembered, hours of event time."""
    allowed_lateness_ms: Annotated[int, Field(ge=0, le=31 * DAY_MS)] = 600_000
    """How far the watermark stays behind the newest event, ms of event time."""
    idle_after_ms: Annotated[int, Field(ge=100, le=HOUR_MS)] = MINUTE_MS
    """An input partition that had nothing for so long no longer holds back the watermark, ms."""
    session_timeout_ms: Annotated[int, Field(ge=1_000, le=300_000)] = 10_000
    """A worker that was not heard for so long has its partitions given to others, ms."""
    stall_timeout_s: Annotated[int, Field(ge=10, le=86_400)] = 300
    """A worker with a partition that has lag and made no progress for so long ends, to be started again, s."""
    minute_retention_hours: Annotated[int, Field(ge=1, le=24 * 366)] = 48
    """How long a final minute stays in memory and on the topic, hours of event time."""
    hour_retention_hours: Annotated[int, Field(ge=1, le=24 * 366 * 10)] = 24 * 40
    """How long a final hour stays in memory and on the topic, hours of event time."""
    native: bool = True
    """Fold in the Rust extension, where it is installed; `false`: in Python, to the same bytes but slower."""
    ledger_name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s+]+$")] = "everycent"
    """What the logs of the public ledger are called, best an internet name: `NAME/donations/0` and so on. For ever."""
    ledger_dir: Annotated[str, Field(min_length=1)] = ".everycent/ledger"
    """Folder of the public ledger: all that is in it may be served to anybody."""
    ledger_keys: Annotated[str, Field(min_length=1)] = ".everycent/ledger-keys"
    """Folder of the ledger's secrets: signing keys, the donors' secret, and what was signed last."""
    ledger_index: Annotated[str, Field(min_length=1)] = ".everycent/ledger-index"
    """Folder of the index from donations to leaves; it can be made again from the ledger."""
    ledger_interval_ms: Annotated[int, Field(ge=100, le=HOUR_MS)] = 1_000
    """How often a log that has grown publishes a checkpoint, ms."""
    witness_dir: Annotated[str, Field(min_length=1)] = ".everycent/witness"
    """Folder of a witness's secrets: its key, what it has cosigned last, and the evidence that it has found."""
    witness_public: Annotated[str, Field(min_length=1)] = ".everycent/witness-public"
    """Folder of a witness's cosignatures: all that is in it may be served to anybody."""
    witness_interval_s: Annotated[int, Field(ge=1, le=86_400)] = 10
    """How often a witness looks at each log, and `ledger collect --follow` at each witness, s."""
    witness_stale_s: Annotated[int, Field(ge=0, le=86_400)] = 300
    """A log may show a smaller tree than it has shown before for so long, as caches do; then it's an alarm, s."""
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 9464
    """Port of the Prometheus metrics; 0: off."""
    serve_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Where `serve` listens: an address of this machine; `0.0.0.0`: whoever reaches it may look."""
    serve_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Port of the page and the API; 0: a free one."""
    serve_update_interval_ms: Annotated[int, Field(ge=50, le=10_000)] = 500
    """A watcher gets new figures at most once in so long, ms."""
    serve_watchers_max: Annotated[int, Field(ge=1, le=100_000)] = 4_000
    """So many may watch at once; who comes then is asked to come again."""
    serve_cors_origins: str = ""
    """Origins whose pages may read the API, separated by commas, such as `https://a.example`; empty: none."""
    serve_ledger_dir: str = ""
    """Folder of the public ledger that `serve` serves at `/ledger/`; empty: none."""
    serve_link_keys: str = ""
    """File of public keys (of `ledger link-keygen`) whose links show donors their donations; empty: no such page."""
    serve_recalled_links: str = ""
    """File of what `ledger recall-link` prints, read again when it changes: those links no longer work; empty: none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log line that is written."""
    log_format: Literal["console", "json"] = "console"
    """How a log line is written."""
    tracing: bool = False
    """Tell an OpenTelemetry collector of each commit; where it is, the standard `OTEL_…` variables say."""
    broker_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How clients talk to the broker."""
    broker_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    """How clients prove who they are, where the protocol is SASL_…"""
    broker_sasl_username: str = ""
    """User for PLAIN and SCRAM."""
    broker_sasl_password: SecretStr = SecretStr("")
    """Password for PLAIN and SCRAM."""
    broker_sasl_oauth_token_file: str = ""
    """OAUTHBEARER: file that holds a token; read for each connection, as it may be renewed at any time."""
    broker_sasl_oauth_token_url: str = ""
    """OAUTHBEARER: instead, where tokens are fetched (the client credentials flow); https, or http on this machine."""
    broker_sasl_oauth_client_id: str = ""
    """Client that tokens are fetched for."""
    broker_sasl_oauth_client_secret: SecretStr = SecretStr("")
    """Secret of that client."""
    broker_sasl_oauth_scope: str = ""
    """Scope that is asked for, where the token's issuer wants one; several separated by spaces."""
    broker_sasl_oauth_cafile: str = ""
    """File (PEM) of the authority that signed the issuer's certificate; empty: the system's."""
    broker_ssl_cafile: str = ""
    """File (PEM) of the authority that signed the broker's certificate; empty: the system's."""
    broker_ssl_certfile: str = ""
    """File (PEM) of the client's certificate, where the broker asks for one."""
    broker_ssl_keyfile: str = ""
    """File (PEM) of the client's key; empty: it lies in the certificate's file."""
    broker_ssl_key_password: SecretStr = SecretStr("")
    """Password of the client's key, where it is encrypted."""

    @field_validator("broker")
    @classmethod
    def _broker_has_addresses(cls, broker: str) -> str:
        for server in broker.split(","):
            found = _ADDRESS.fullmatch(server.strip())
            if found is None or not 0 < int(found["port"] or 9_092) < 65_536:
                raise ValueError(f"{server.strip()!r} is no address, such as kafka1:9092; several need commas between")
        return broker

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError):
            raise ValueError(f"{name!r} is not a zone of the IANA database, such as Asia/Shanghai") from None
        return name

    @field_validator("serve_cors_origins")
    @classmethod
    def _origins_are_origins(cls, origins: str) -> str:
        for origin in filter(None, (each.strip() for each in origins.split(","))):
            parts = urlsplit(origin)
            if (
                parts.scheme not in {"http", "https"}
                or not parts.netloc
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin!r} is no origin, such as https://a.example (without a path)")
        return origins

    @field_validator("broker_sasl_oauth_token_url")
    @classmethod
    def _secret_goes_to_one_place_only(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _THIS_MACHINE):
            raise ValueError("must begin with https://, as the client's secret goes there")
        if parts.username or parts.password:
            raise ValueError("must hold no user or password: they have settings of their own")
        return url

    @model_validator(mode="after")
    def _credentials_are_complete(self) -> Self:
        """A broker would only say that it refuses us."""
        if self.broker_sasl_oauth_token_file and self.broker_sasl_oauth_token_url:
            file, url = _variable("broker_sasl_oauth_token_file"), _variable("broker_sasl_oauth_token_url")
            raise ValueError(f"{file} and {url} are both set: tokens come from one place")
        for field, asked_by in self._needed_credentials().items():
            if not _plain(getattr(self, field)):
                raise ValueError(f"{_variable(field)} is empty, but {asked_by} needs it")
        return self

    def _needed_credentials(self) -> dict[str, str]:
        """The fields that the chosen way to prove who we are can't do without, and what asks for each."""
        needed = {}
        if self.uses_tls and self.broker_ssl_keyfile:
            needed["broker_ssl_certfile"] = _variable("broker_ssl_keyfile")
        if self.uses_sasl and self.broker_sasl_mechanism != "OAUTHBEARER":
            fields = ("broker_sasl_username", "broker_sasl_password")
            needed |= dict.fromkeys(fields, self.broker_sasl_mechanism)
        elif self.uses_sasl and self.broker_sasl_oauth_token_url:
            fields = ("broker_sasl_oauth_client_id", "broker_sasl_oauth_client_secret")
            needed |= dict.fromkeys(fields, _variable("broker_sasl_oauth_token_url"))
        elif self.uses_sasl:
            needed["broker_sasl_oauth_token_file"] = f"OAUTHBEARER (or {_variable('broker_sasl_oauth_token_url')})"
        return needed

    @property
    def uses_tls(self) -> bool:
        return self.broker_security_protocol.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        return self.broker_security_protocol.startswith("SASL")

    @property
    def heartbeat_interval_ms(self) -> int:
        """A tenth of the session: some may be lost, and a worker that lost its partitions soon knows."""
        return self.session_timeout_ms // 10

    @property
    def serve_origins(self) -> frozenset[str]:
        return frozenset(filter(None, (each.strip() for each in self.serve_cors_origins.split(","))))

    @property
    def topics(self) -> Topics:
        return Topics(self.topic_prefix)


def _variable(field: str) -> str:
    return f"{PREFIX}{field.upper()}"


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def secrets_of(settings: Settings) -> list[str]:
    """The secrets themselves, for whoever has to keep them out of what is written."""
    return [value.get_secret_value() for value in settings.__dict__.values() if isinstance(value, SecretStr)]


def _may_hold_secret(field: str) -> bool:
    return Settings.model_fields[field].annotation is SecretStr or field == "broker_sasl_oauth_token_url"


def load_settings(**given: Any) -> Settings:
    """The settings of this process's environment; what is `given` goes before it, unless it is None.

    Raises UserError (exit 2), naming the variable, for a wrong value.
    """
    reset_tzpath(())  # zones come from the package tzdata, so that two machines agree on their windows
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        if not first["loc"]:  # of several settings together; its `input` is all of them, secrets included
            raise UserError(f"{message}{more}") from None
        field = str(first["loc"][0])
        value = "" if _may_hold_secret(field) else f"={first['input']!r}"
        raise UserError(f"{_variable(field)}{value}: {message}{more}") from None


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment of this process with `settings` in it, for a child process that is to have the very same."""
    return {
        **os.environ,
        **{_variable(name): _plain(getattr(settings, name)) for name in Settings.model_fields},
    }
