"""Logs: structlog for ours, and the libraries' standard logging through the same pipeline. Written to stderr.

One line an event, with the fields beside it: whatever is about a partition has `topic` and `partition`, whatever is
about records has their offsets, so that the lines of all workers can be put together by them.
"""

import logging
import sys
from collections.abc import Iterable

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from streams.settings import Settings, secrets_of

# What these log at INFO is the business of whoever works on them. aiokafka's errors are ours to report: every failed
# request comes back to the caller as an exception.
LIBRARY_LEVELS = {
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    "aiokafka": logging.CRITICAL,
    "asyncio": logging.ERROR,
    "opentelemetry": logging.ERROR,
}
HIDDEN = "**********"


class SecretMask:
    """Puts stars where a finished line holds a secret of the settings: the last guard, behind code that writes none."""

    def __init__(self, renderer: Processor, secrets: Iterable[str]) -> None:
        self._renderer = renderer
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)  # one may be part of another

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        line = str(self._renderer(logger, method, event))
        for secret in self._secrets:
            line = line.replace(secret, HIDDEN)
        return line


def configure_logs(settings: Settings) -> None:
    """Set up logging for this process, once, at its start."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer = SecretMask(_renderer(settings), secrets_of(settings))
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    of_libraries: list[Processor] = [structlog.stdlib.add_logger_name, *shared]  # whose line it is; ours have none
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=of_libraries))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, library_level in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(max(level, library_level))


def _renderer(settings: Settings) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    # By default a traceback would show the values of all variables, passwords and tokens among them.
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
