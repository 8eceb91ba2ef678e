"""Evidence against a log: two checkpoints that it has signed, and why they can't be of one log. One file. Pure.

Where the log's own signatures prove it, whoever has the log's key sees that from the file alone. Where they don't (a
log that shows less than before), the file is what a witness says that it saw, and says so.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from msgspec import Struct

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import Note, NoteError, VerifierKey, decode_base64, encode_base64
from streams.ledger.tree import EMPTY_ROOT, ProofError, roots_of_growth
from streams.ledger.witnessing import ForeignKeyError, open_checkpoint

FORMAT = "everycent-evidence/1"
EVIDENCE_MAX_BYTES = 4_194_304


class Charge(StrEnum):
    """What is held against a log."""

    TWO_TREES = "two-trees"  # two trees of one size: a view for some, another for others
    REWRITTEN = "rewritten"  # a later tree that doesn't begin with an earlier one
    ROLLED_BACK = "rolled-back"  # it shows less than it has signed
    UNPROVEN = "unproven"  # its tiles don't bear out what it has signed
    WITHHELD = "withheld"  # somebody else was shown more than we are
    FOREIGN_KEY = "foreign-key"  # another key than its own has signed

    @property
    def is_proof(self) -> bool:
        """Whether the log's own signatures prove it."""
        return self in {Charge.TWO_TREES, Charge.REWRITTEN}


class EvidenceError(ValueError):
    """The file is no evidence, or it isn't of the log whose key was given."""


class Evidence(Struct, frozen=True, forbid_unknown_fields=True):
    """What a witness has found. `first` is the smaller of the two notes, or what was known before."""

    charge: Charge
    first: str
    second: str
    found_at_s: int
    """Seconds since the epoch, by the witness's clock."""
    found_by: str = ""
    """The witness's verifier key."""
    first_from: str = ""
    second_from: str = ""
    """Where each was found."""
    proof: tuple[str, ...] = ()
    """Of `rewritten`: hashes in base64, as `roots_of_growth` takes them."""
    format: str = FORMAT

    def __bytes__(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> "Evidence":
        """Raises EvidenceError."""
        if len(data) > EVIDENCE_MAX_BYTES:
            raise EvidenceError(f"a file of more than {EVIDENCE_MAX_BYTES} bytes is too long")
        try:
            evidence = msgspec.json.decode(data, type=cls)
        except msgspec.MsgspecError as error:
            raise EvidenceError(f"this is no evidence: {error}") from None
        if evidence.format != FORMAT:
            raise EvidenceError(f"this is no evidence: its format is {evidence.format!r}, not {FORMAT!r}")
        return evidence


@dataclass(frozen=True, slots=True)
class Finding:
    """What a piece of evidence comes to. `proven`: by the log's own signatures."""

    proven: bool
    text: str


def make_evidence(
    charge: Charge, one: tuple[Note, str], other: tuple[Note, str], proof: Collection[bytes], by: tuple[str, int]
) -> Evidence:
    """`one`, `other`: a note and where it was found, the smaller tree first; `by`: the witness's key, and when (s)."""
    (first, first_from), (second, second_from) = one, other
    return Evidence(
        charge,
        bytes(first).decode(),
        bytes(second).decode(),
        by[1],
        by[0],
        first_from,
        second_from,
        tuple(encode_base64(each) for each in proof),
    )


def check_evidence(evidence: Evidence, keys: Collection[VerifierKey]) -> Finding:
    """What `evidence` comes to for whoever knows the log's keys. Raises EvidenceError."""
    try:
        notes = [Note.parse(text.encode()) for text in (evidence.first, evidence.second)]
        first = open_checkpoint(notes[0], keys)
        try:
            second = open_checkpoint(notes[1], keys)
        except ForeignKeyError as error:
            if evidence.charge is Charge.FOREIGN_KEY:
                return Finding(False, f"where {first} was known, another key has signed: {error}")
            raise
        proof = [decode_base64(each) for each in evidence.proof]
    except NoteError as error:
        raise EvidenceError(f"this is no evidence against the log whose key was given: {error}") from None
    if first.origin != second.origin:
        raise EvidenceError(f"these are two logs: {first.origin!r} and {second.origin!r}")
    return _weigh(first, second, proof, evidence.charge)


def _weigh(first: Checkpoint, second: Checkpoint, proof: Collection[bytes], charge: Charge) -> Finding:
    """Two checkpoints that one log has signed."""
    small, large = sorted((first, second), key=lambda checkpoint: checkpoint.size)
    both = f"{first.origin} has signed {_said(small)} and {_said(large)}"
    if small.size == large.size:
        if small.root == large.root:
            return Finding(False, f"{both}, which is the same tree")
        return Finding(True, f"{both}: two trees of one size")
    if small.size == 0 and small.root != EMPTY_ROOT:
        return Finding(True, f"{both}: no tree without leaves has such a root")
    if small.size and proof:
        try:
            was, now = roots_of_growth(small.size, large.size, list(proof))
        except ProofError as error:
            return Finding(False, f"{both}, and the proof proves nothing: {error}")
        if now == large.root and was != small.root:
            begins = f"{encode_base64(was)} at {small.size} leaves"
            return Finding(True, f"{both}: the larger tree had the root {begins}, so the log was rewritten")
        if now == large.root:
            return Finding(False, f"{both}, and the larger tree begins with the smaller one")
    return Finding(False, f"{both}. That alone is no contradiction; the witness says: {charge.value}")


def _said(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.size} leaves with the root {encode_base64(checkpoint.root)}"
