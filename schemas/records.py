"""A record of any topic, as the rules and the engine take it."""

from typing import Protocol


class LogRecord(Protocol):
    """One record as a consumer gives it. `timestamp` is in ms; on topics that the broker stamps, of its arrival."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
