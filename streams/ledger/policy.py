"""Which logs and witnesses somebody trusts, and how many of them must have cosigned: C2SP tlog-policy. Pure.

A policy is a file of lines: `log`, `witness`, `group` and one `quorum`. Its names are octets that mean nothing outside
of it. It says when a checkpoint counts: one of the logs has signed it, and the quorum's witnesses have cosigned it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from streams.ledger.notes import KeyType, NoteError, VerifierKey

POLICY_MAX_BYTES = 4_194_304
LINES_MAX = 20_000  # two logs for each of 10,000 partitions are below that
_ALLOWED = re.compile(rb"[\x09\x0a\x20-\x7e\x80-\xff]*")
_COUNT = re.compile(rb"[1-9][0-9]{0,5}")
_NONE = b"none"


class PolicyError(ValueError):
    """The line, and what is wrong in it."""


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log that is trusted. `url`: where it is, or empty."""

    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness. `name`: what the policy calls it; `url`: where its cosignatures are, or empty."""

    name: str
    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class _Group:
    """Fulfilled by `needed` of its members."""

    needed: int
    members: tuple["_Member", ...]


_Member: TypeAlias = VerifierKey | _Group


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was read. Without logs: which log it is must be known from elsewhere."""

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    quorum: str
    _rule: _Member | None  # None: no cosignature is needed

    @classmethod
    def parse(cls, data: bytes) -> "Policy":
        """Raises PolicyError."""
        if len(data) > POLICY_MAX_BYTES or data.count(b"\n") > LINES_MAX:
            raise PolicyError(f"a policy of more than {POLICY_MAX_BYTES} bytes or {LINES_MAX} lines is too long")
        reader = _Reader()
        for number, line in enumerate(data.split(b"\n"), 1):
            try:
                reader.take(line)
            except (PolicyError, NoteError) as error:
                raise PolicyError(f"line {number}: {error}") from None
        if reader.quorum is None:
            raise PolicyError("the policy has no line `quorum`; `quorum none` says that it asks for no witness")
        rule = None if reader.quorum == _NONE else reader.defined[reader.quorum]
        return cls(tuple(reader.logs), tuple(reader.witnesses), _shown(reader.quorum), rule)

    def is_met_by(self, cosigners: Collection[VerifierKey]) -> bool:
        """Whether these witnesses are enough."""
        return self._rule is None or _is_met(self._rule, cosigners)

    @property
    def log_keys(self) -> tuple[VerifierKey, ...]:
        return tuple(log.key for log in self.logs)

    @property
    def witness_keys(self) -> tuple[VerifierKey, ...]:
        return tuple(witness.key for witness in self.witnesses)

    def names_of(self, keys: Collection[VerifierKey]) -> list[str]:
        """What the policy calls these witnesses."""
        return [witness.name for witness in self.witnesses if witness.key in keys]


def _is_met(rule: _Member, cosigners: Collection[VerifierKey]) -> bool:
    if isinstance(rule, VerifierKey):
        return rule in cosigners
    return sum(_is_met(member, cosigners) for member in rule.members) >= rule.needed


class _Reader:
    """What has been defined so far."""

    def __init__(self) -> None:
        self.logs: list[PolicyLog] = []
        self.witnesses: list[PolicyWitness] = []
        self.defined: dict[bytes, _Member] = {}
        self.quorum: bytes | None = None
        self._grouped: set[bytes] = set()

    def take(self, line: bytes) -> None:
        if not _ALLOWED.fullmatch(line):
            raise PolicyError("it holds a control character (lines end in a newline alone)")
        words = [word for word in re.split(rb"[ \t]+", line) if word]
        if not words or words[0].startswith(b"#"):
            return
        kinds = {b"log": self._log, b"witness": self._witness, b"group": self._group, b"quorum": self._quorum}
        if words[0] not in kinds:
            raise PolicyError(f"{_shown(words[0])!r} is none of log, witness, group and quorum")
        kinds[words[0]](words[1:])

    def _log(self, words: list[bytes]) -> None:
        if len(words) not in {1, 2}:
            raise PolicyError("a log is `log VKEY [URL]`")
        key = _key(words[0], KeyType.ED25519, "a log")
        if any(log.key.public == key.public for log in self.logs):
            raise PolicyError(f"the public key of the log {key.name!r} stands twice")
        self.logs.append(PolicyLog(key, *map(_shown, words[1:])))

    def _witness(self, words: list[bytes]) -> None:
        if len(words) not in {2, 3}:
            raise PolicyError("a witness is `witness NAME VKEY [URL]`")
        key = _key(words[1], KeyType.COSIGNATURE, "a witness")
        if any(witness.key.public == key.public for witness in self.witnesses):
            raise PolicyError(f"the public key of the witness {key.name!r} stands twice")
        self._define(words[0], key)
        self.witnesses.append(PolicyWitness(_shown(words[0]), key, *map(_shown, words[2:])))

    def _group(self, words: list[bytes]) -> None:
        if len(words) < 3:
            raise PolicyError("a group is `group NAME all|any|K MEMBER …`")
        name, threshold, *names = words
        members = tuple(self._known(member) for member in names)
        for member in names:
            if member in self._grouped:
                raise PolicyError(f"{_shown(member)!r} is a member of a group already, and may be of one only")
            self._grouped.add(member)
        if threshold not in {b"all", b"any"} and not _COUNT.fullmatch(threshold):
            raise PolicyError(f"{_shown(threshold)!r} is none of all, any and a number")
        needed = {b"all": len(names), b"any": 1}.get(threshold) or int(threshold)
        if needed > len(names):
            raise PolicyError(f"the group {_shown(name)!r} has {len(names)} members, of which {needed} can't be")
        self._define(name, _Group(needed, members))

    def _quorum(self, words: list[bytes]) -> None:
        if len(words) != 1:
            raise PolicyError("a quorum is `quorum NAME`")
        if self.quorum is not None:
            raise PolicyError("there is a quorum already")
        if words[0] != _NONE:
            self._known(words[0])
        self.quorum = words[0]

    def _define(self, name: bytes, member: _Member) -> None:
        if name == _NONE or name in self.defined:
            raise PolicyError(f"the name {_shown(name)!r} is taken")
        self.defined[name] = member

    def _known(self, name: bytes) -> _Member:
        if name not in self.defined:
            raise PolicyError(f"no line before this one defines {_shown(name)!r}")
        return self.defined[name]


def _key(word: bytes, kind: KeyType, what: str) -> VerifierKey:
    try:
        key = VerifierKey.parse(word.decode())
    except UnicodeDecodeError:
        raise PolicyError("the verifier key is not UTF-8") from None
    if key.kind is not kind:
        raise PolicyError(f"the key of {key.name!r} is of type {key.kind:#04x}; {what} has one of {kind:#04x}")
    return key


def _shown(word: bytes) -> str:
    return word.decode(errors="backslashreplace")
