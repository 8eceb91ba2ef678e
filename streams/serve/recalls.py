"""Donors' links that were called back before their end: a file of their digests, read again when it changes.

Only who may write the file calls back; the server reads. A digest says nothing of the link. Where the file can't be
read any more, what it held last stays called back.
"""

import re
from pathlib import Path

import structlog

from streams.errors import UserError
from streams.ledger.links import link_digest
from streams.serve import limits

logger = structlog.get_logger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{64}")


class RecalledLinks:
    """The links that a file calls back. Raises UserError where it can't be read at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._state()
        self._digests = self._read()
        self._told = ""

    def __contains__(self, token: object) -> bool:
        try:
            seen = self._state()
            if seen != self._seen:
                self._digests, self._seen, self._told = self._read(), seen, ""
        except UserError as error:
            if str(error) != self._told:
                logger.warning("recalled links can't be read again; those of before stay recalled", why=str(error))
            self._told = str(error)
        return isinstance(token, str) and link_digest(token) in self._digests

    def _state(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise self._unreadable(error.strerror or "") from None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> frozenset[str]:
        try:
            lines = self._path.read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(getattr(error, "strerror", None) or "it is no text") from None
        if len(lines) > limits.RECALLS_MAX:
            raise self._unreadable(f"it has more than {limits.RECALLS_MAX} lines; those of links that are over may go")
        if wrong := [number for number, line in enumerate(lines, 1) if not _DIGEST.fullmatch(line)]:
            raise self._unreadable(f"line {wrong[0]} is nothing that `everycent ledger recall-link` prints")
        return frozenset(lines)

    def _unreadable(self, why: str) -> UserError:
        return UserError(f"EVERYCENT_SERVE_RECALLED_LINKS: {self._path} can't be read: {why}.")
