"""A log's checkpoint: its size and its root, as C2SP tlog-checkpoint writes them in a signed note. Pure."""

import re
from dataclasses import dataclass

from streams.ledger.notes import NoteError, decode_base64, encode_base64
from streams.ledger.tree import HASH_BYTES

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


def parse_decimal(text: str, what: str) -> int:
    """Raises NoteError unless it's a number of at most 63 bits without leading zeroes."""
    if not _DECIMAL.fullmatch(text) or int(text) >= 1 << 63:
        raise NoteError(f"{text[:30]!r} is not {what}")
    return int(text)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself at one size. `extensions`: opaque further lines; ours has none."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """From a note's text. Raises NoteError."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() != "" or not all(lines):
            raise NoteError("a checkpoint has three lines at least, none of them empty")
        origin, size, root, *extensions = lines
        found = decode_base64(root)
        if len(found) != HASH_BYTES:
            raise NoteError(f"the checkpoint's root has {len(found)} bytes, not {HASH_BYTES}")
        return cls(origin, parse_decimal(size, "a tree's size"), found, tuple(extensions))

    def text(self) -> str:
        return "".join(f"{line}\n" for line in (self.origin, self.size, encode_base64(self.root), *self.extensions))

    def __str__(self) -> str:
        return f"{self.origin} of {self.size} leaves with the root {encode_base64(self.root)}"
