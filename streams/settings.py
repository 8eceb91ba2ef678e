"""Every setting, with its default and unit: environment variables `EVERYCENT_…`, read here and nowhere else."""

import os
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, reset_tzpath

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.topics import Topics
from schemas.units import DAY_MS, HOUR_MS, MINUTE_MS
from streams.errors import UserError

PREFIX = "EVERYCENT_"
_TOPIC_CHARACTERS = r"^[A-Za-z0-9._-]*$"  # what Kafka allows in a topic's name


class Settings(BaseSettings):
    """One deployment's settings. Frozen; secrets never show in `repr`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    broker: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    """Where Kafka is: `host:port`, several separated by commas."""
    app_id: Annotated[str, Field(min_length=1, max_length=100, pattern=_TOPIC_CHARACTERS)] = "everycent"
    """Name of the consumer group and of the workers' transactions. Two deployments on one broker need two."""
    topic_prefix: Annotated[str, Field(max_length=100, pattern=_TOPIC_CHARACTERS)] = ""
    """Put before every topic's name."""
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 8
    """Partitions that `topics create` gives each topic."""
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
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 9464
    """Port of the Prometheus metrics; 0: off."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log line that is written."""
    log_format: Literal["console", "json"] = "console"
    """How a log line is written."""
    broker_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How clients talk to the broker."""
    broker_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How clients prove who they are, where the protocol is SASL_…"""
    broker_sasl_username: str = ""
    """User for PLAIN and SCRAM."""
    broker_sasl_password: SecretStr = SecretStr("")
    """Password for PLAIN and SCRAM."""
    broker_ssl_cafile: str = ""
    """File (PEM) of the authority that signed the broker's certificate; empty: the system's."""
    broker_ssl_certfile: str = ""
    """File (PEM) of the client's certificate, where the broker asks for one."""
    broker_ssl_keyfile: str = ""
    """File (PEM) of the client's key."""

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError):
            raise ValueError(f"{name!r} is not a zone of the IANA database, such as Asia/Shanghai") from None
        return name

    @property
    def heartbeat_interval_ms(self) -> int:
        """A tenth of the session: some may be lost, and a worker that lost its partitions soon knows."""
        return self.session_timeout_ms // 10

    @property
    def topics(self) -> Topics:
        return Topics(self.topic_prefix)


def load_settings() -> Settings:
    """The settings of this process's environment. Raises UserError (exit 2), naming the variable, for a wrong value."""
    reset_tzpath(())  # zones come from the package tzdata, so that two machines agree on their windows
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{PREFIX}{str(first['loc'][0]).upper()}"
        message = first["msg"].removeprefix("Value error, ")
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UserError(f"{name}={first['input']!r}: {message}{more}") from None


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment of this process with `settings` in it, for a child process that is to have the very same."""
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    texts = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value) for name, value in values.items()
    }
    return {**os.environ, **{f"{PREFIX}{name.upper()}": text for name, text in texts.items()}}
