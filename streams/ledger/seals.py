"""Day seals: what each project was given on a day, as a statement about trees that are signed already. Pure.

A seal is an entry of a log of its own, `<name>/seals`, in canonical JSON (RFC 8785). It names the size and root of each
log that it covers, and the hash of the file with the projects' totals; so whoever has the public entries adds them up
and compares. Seals form a chain: each holds the hash of the one before, and a further seal of a day, for donations that
came late, names the former one of that day.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import encode_base64
from streams.ledger.tree import leaf_hash

Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class SealError(ValueError):
    """A seal isn't one, or not the one that must come, or says what the entries don't give."""


class SealedLog(Struct, frozen=True, forbid_unknown_fields=True):
    """The tree of one log that a seal covers."""

    origin: str
    root: str  # base64, as in a checkpoint
    size: int

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "SealedLog":
        return cls(checkpoint.origin, encode_base64(checkpoint.root), checkpoint.size)


class Seal(Struct, frozen=True, forbid_unknown_fields=True):
    """One seal. The members stand in the order in which they are written."""

    day: str  # 2020-11-11
    donations: int
    fen: int
    logs: tuple[SealedLog, ...]
    number: int  # its own, in the log of seals
    previous: Hex | None  # leaf hash of the seal with the number before
    projects: int
    replaces: int | None  # the number of the day's former seal
    timezone: str
    totals_sha256: Hex  # of the file with the totals


class ProjectDay(Struct, frozen=True, forbid_unknown_fields=True):
    """What a project was given on a day."""

    donations: int
    fen: int
    project_id: str


class _Given(Struct, gc=False):
    """Of an entry only this is read."""

    donated_at: int
    fen: int
    project_id: str


_encode = msgspec.json.Encoder().encode
_decode_seal = msgspec.json.Decoder(Seal).decode
_decode_totals = msgspec.json.Decoder(tuple[ProjectDay, ...]).decode
_decode_given = msgspec.json.Decoder(_Given).decode


def day_bounds_ms(day: str, timezone: str) -> tuple[int, int]:
    """Start and end (exclusive) of a day in a zone, ms since the epoch. Raises SealError for what is no day."""
    zone = ZoneInfo(timezone)
    first: date | None
    try:
        first = date.fromisoformat(day)
        bounds = (datetime.combine(each, time.min, zone) for each in (first, first + timedelta(days=1)))
        start, end = (int(each.timestamp() * 1_000) for each in bounds)
    except (ValueError, OverflowError):
        first = None
    # Not `20201111` either: under two names a day would have seals that don't name each other.
    if first is None or first.isoformat() != day:
        raise SealError(f"{day!r} is not a day such as 2020-11-11")
    return start, end


class DayTotals:
    """Adds up a day's donations by project, over any number of logs."""

    def __init__(self, start_ms: int, end_ms: int) -> None:
        self._start_ms, self._end_ms = start_ms, end_ms
        self._sums: dict[str, list[int]] = {}
        self.newest_ms = 0  # of all donations since the last log began, on whatever day

    def begin_log(self) -> None:
        self.newest_ms = 0

    def add(self, entries: Iterable[bytes]) -> None:
        """Raises SealError where one is no donation's."""
        start, end, newest = self._start_ms, self._end_ms, self.newest_ms
        for entry in entries:
            try:
                given = _decode_given(entry)
            except (msgspec.MsgspecError, RecursionError) as error:
                raise SealError(f"an entry is no donation: {error}") from None
            newest = max(newest, given.donated_at)
            if start <= given.donated_at < end:
                of_project = self._sums.setdefault(given.project_id, [0, 0])
                of_project[0] += 1
                of_project[1] += given.fen
        self.newest_ms = newest

    def totals(self) -> tuple[ProjectDay, ...]:
        """By project id."""
        return tuple(ProjectDay(count, fen, project) for project, (count, fen) in sorted(self._sums.items()))


def encode_totals(totals: Sequence[ProjectDay]) -> bytes:
    """The file beside a seal: an array, sorted by project id, in canonical form."""
    return _encode(totals)


def decode_totals(data: bytes) -> tuple[ProjectDay, ...]:
    try:
        return _decode_totals(data)
    except msgspec.MsgspecError as error:
        raise SealError(f"the totals are damaged: {error}") from None


def decode_seal(entry: bytes) -> Seal:
    """Raises SealError unless these bytes are a seal's one right form."""
    try:
        seal = _decode_seal(entry)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SealError(f"this is not a seal: {error}") from None
    if _encode(seal) != entry:
        raise SealError("the seal is not written in the canonical form")
    return seal


def next_seal(
    day: str, timezone: str, logs: Sequence[Checkpoint], totals: Sequence[ProjectDay], before: Sequence[bytes]
) -> bytes | None:
    """The entry of the seal that comes after the seals `before`; None if the day's last one says the same totals."""
    digest = hashlib.sha256(encode_totals(totals)).hexdigest()
    former = next((seal for seal in map(decode_seal, reversed(before)) if seal.day == day), None)
    if former is not None and former.totals_sha256 == digest:
        return None
    return _encode(
        Seal(
            day,
            sum(each.donations for each in totals),
            sum(each.fen for each in totals),
            tuple(SealedLog.of(checkpoint) for checkpoint in logs),
            len(before),
            leaf_hash(before[-1]).hex() if before else None,
            len(totals),
            None if former is None else former.number,
            timezone,
            digest,
        )
    )


def check_chain(entries: Sequence[bytes]) -> list[Seal]:
    """All seals of a log, each held to those before it. Raises SealError."""
    seals: list[Seal] = []
    last_of_day: dict[str, int] = {}
    for number, entry in enumerate(entries):
        seal = decode_seal(entry)
        previous = leaf_hash(entries[number - 1]).hex() if number else None
        if (seal.number, seal.previous) != (number, previous):
            raise SealError(f"seal {number} doesn't follow the one before it")
        if seal.replaces != last_of_day.get(seal.day):
            raise SealError(f"seal {number} of {seal.day} doesn't name the day's former seal")
        last_of_day[seal.day] = number
        seals.append(seal)
    return seals


def check_totals(seal: Seal, data: bytes, given: Sequence[ProjectDay]) -> None:
    """The file of a seal's totals against the seal, and against what the entries give. Raises SealError."""
    if hashlib.sha256(data).hexdigest() != seal.totals_sha256:
        raise SealError(f"the totals of seal {seal.number} are not those that were sealed")
    sealed = {each.project_id: each for each in decode_totals(data)}
    for each in given:
        other = sealed.pop(each.project_id, None)
        if other != each:
            said = "nothing" if other is None else f"{other.donations} donations of {other.fen} fen"
            raise SealError(
                f"seal {seal.number} says {said} for {each.project_id}, the entries "
                f"give {each.donations} of {each.fen} fen"
            )
    if sealed:
        raise SealError(f"seal {seal.number} names {min(sealed)}, to which the entries give nothing that day")
    if encode_totals(given) != data or seal.projects != len(given):
        raise SealError(f"the totals of seal {seal.number} are not in the canonical form")
    if (seal.donations, seal.fen) != (sum(e.donations for e in given), sum(e.fen for e in given)):
        raise SealError(f"the sums of seal {seal.number} are not those of its totals")
