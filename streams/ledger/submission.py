"""A checkpoint as it is sent to a witness, with the proof that the log only grew: C2SP tlog-witness. Pure.

The request of `add-checkpoint` is the size that the witness has cosigned last, the consistency proof from there, an
empty line, and the checkpoint with the log's signature. The answer to it is the witness's signature lines, or why not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from streams.ledger.checkpoint import parse_decimal
from streams.ledger.notes import Note, NoteError, decode_base64, encode_base64
from streams.ledger.tree import HASH_BYTES

ADD_CHECKPOINT = "add-checkpoint"
SIZE_CONTENT_TYPE = "text/x.tlog.size"  # of the answer that says what was cosigned last
PROOF_LINES_MAX = 63
SUBMISSION_MAX_BYTES = 65_536  # the proof has 3,000 at the most; others take 10,000 of both
_OLD = "old "


@dataclass(frozen=True, slots=True)
class Submission:
    """What is sent. `old`: the size from which `proof` leads to the checkpoint in `note`."""

    old: int
    proof: tuple[bytes, ...]
    note: Note

    @classmethod
    def parse(cls, data: bytes) -> "Submission":
        """Raises NoteError; verifies nothing."""
        if len(data) > SUBMISSION_MAX_BYTES:
            raise NoteError(f"a request of {len(data)} bytes is too long")
        head, blank, note = data.partition(b"\n\n")
        if not blank:
            raise NoteError("the request has no empty line before the checkpoint")
        try:
            first, *lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise NoteError("the size and the proof are not ASCII") from None
        if not first.startswith(_OLD):
            raise NoteError("the request's first line is not `old` and a size")
        if len(lines) > PROOF_LINES_MAX:
            raise NoteError(f"the proof has more than {PROOF_LINES_MAX} lines")
        proof = tuple(decode_base64(line) for line in lines)
        if any(len(each) != HASH_BYTES for each in proof):
            raise NoteError(f"a line of the proof doesn't hold {HASH_BYTES} bytes")
        return cls(parse_decimal(first.removeprefix(_OLD), "the old size"), proof, Note.parse(note))

    def __bytes__(self) -> bytes:
        return f"{_OLD}{self.old}\n".encode() + _lines(self.proof) + b"\n" + bytes(self.note)


def _lines(proof: Sequence[bytes]) -> bytes:
    return "".join(f"{encode_base64(each)}\n" for each in proof).encode()


def parse_cosignatures(text: str, data: bytes) -> Note:
    """The note of this text with the signature lines that a witness has answered. Raises NoteError."""
    return Note.parse(f"{text}\n".encode() + data)


def parse_size(data: bytes) -> int:
    """What a witness says that it has cosigned last. Raises NoteError."""
    try:
        return parse_decimal(data.decode("ascii").removesuffix("\n"), "a tree's size")
    except UnicodeDecodeError:
        raise NoteError("the size is not ASCII") from None
