"""Derives a log again from its entries and holds everything that was published against that. Pure; reads only.

The entries are the truth here: each must be a donation's leaf with its own number, every tile must hold their hashes,
and the tree over them must be the one that was signed. How far a check has come is a `Standing`, from which it can go
on later; a crash costs what came after the last one that was kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.leaf import LeafError, decode_leaf
from streams.ledger.notes import encode_base64
from streams.ledger.published import MissingFileError, PublishedLog
from streams.ledger.tiles import TILE_WIDTH, Bundle, Tile, TileError, TileTree
from streams.ledger.tree import EMPTY_ROOT, HASH_BYTES, leaf_hash


class DifferenceError(ValueError):
    """The first difference: where, and what is there instead of what must be."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A check that has come to `size` leaves, a whole number of bundles: the hashes of the tree's partial tiles."""

    size: int = 0
    edge: tuple[tuple[int, bytes], ...] = ()  # level of tiles, hashes
    root: bytes = EMPTY_ROOT

    def tree(self) -> TileTree:
        """Raises ValueError where the standing was damaged."""
        known = dict(self.edge)
        tree = TileTree.restore(self.size, lambda tile: known.get(tile.level, b""))
        if self.size % TILE_WIDTH or tree.root() != self.root:
            raise ValueError("the check's own standing is damaged")
        return tree


class LogCheck:
    """One check of one log: takes its bundles in their order, then finishes."""

    def __init__(self, log: PublishedLog, checkpoint: Checkpoint, standing: Standing | None = None) -> None:
        self._log = log
        self._checkpoint = checkpoint
        self._tree = (standing or Standing()).tree()
        self.size = self._tree.size  # leaves that are checked

    def standing(self) -> Standing:
        """Only between whole bundles."""
        return Standing(self.size, tuple((tile.level, data) for tile, data in self._tree.edge()), self._tree.root())

    def take(self, bundle: Bundle, entries: Sequence[bytes], expected: Sequence[bytes] | None = None) -> None:
        """The next bundle. `expected`: what the donations give; then it must be that. Raises DifferenceError."""
        if expected is None:
            self._check_form(entries)
        elif list(entries) != list(expected):
            self._tell_entry(bundle, entries, expected)
        for tile, data in self._tree.append(b"".join([leaf_hash(entry) for entry in entries])):
            self._compare(tile, data)
        self.size = self._tree.size

    def finish(self) -> None:
        """After the last bundle: the edge, and what was signed. Raises DifferenceError."""
        for tile, data in self._tree.edge():
            self._compare(tile, data)
        self.compare_signed(self._checkpoint, "the checkpoint")

    def compare_signed(self, checkpoint: Checkpoint, what: str) -> None:
        """A checkpoint of this size against the entries. Raises DifferenceError."""
        if (checkpoint.size, checkpoint.root) != (self.size, self._tree.root()):
            raise DifferenceError(
                f"{what} says {checkpoint.size} leaves with the root {encode_base64(checkpoint.root)}, the entries "
                f"give {self.size} with the root {encode_base64(self._tree.root())}"
            )

    def _check_form(self, entries: Sequence[bytes]) -> None:
        for number, entry in enumerate(entries, self.size):
            try:
                leaf = decode_leaf(entry)
            except LeafError as error:
                raise DifferenceError(f"leaf {number}: {error}") from None
            if leaf.seq != number:
                raise DifferenceError(f"leaf {number} says of itself that it is number {leaf.seq}")

    def _tell_entry(self, bundle: Bundle, entries: Sequence[bytes], expected: Sequence[bytes]) -> None:
        for number, (entry, other) in enumerate(zip(entries, expected, strict=False), self.size):
            if entry != other:
                raise DifferenceError(
                    f"leaf {number} is {entry.decode(errors='replace')}, but its donation gives {other.decode()}"
                )
        raise DifferenceError(
            f"{bundle.path} holds {len(entries)} entries, but there are only {len(expected)} donations for it"
        )

    def _compare(self, tile: Tile, data: bytes) -> None:
        try:
            found = self._log.tile(tile)
        except MissingFileError:
            raise DifferenceError(f"{tile.path} is missing") from None
        except TileError as error:
            raise DifferenceError(str(error)) from None
        if found != data:
            at = next(at for at in range(tile.width) if found[_hash(at)] != data[_hash(at)])
            raise DifferenceError(
                f"{tile.path}: hash {at} is {found[_hash(at)].hex()}, the entries give {data[_hash(at)].hex()}"
            )


def _hash(at: int) -> slice:
    return slice(at * HASH_BYTES, (at + 1) * HASH_BYTES)
