"""Derives a log again from its entries and holds everything that was published against that. Pure; reads only.

The entries are the truth here: each must be a donation's leaf with its own number, every tile must hold their hashes,
and the tree over them must be the one that was signed. How far a check has come is a `Standing`, from which it can go
on later; a crash costs what came after the last one that was kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.leaf import LeafError, decode_leaf
from streams.ledger.notes import encode_base64
from streams.ledger.published import MissingFileError, PublishedLog
from streams.ledger.tiles import TILE_WIDTH, Bundle, Leaves, RootOf, Tile, TileError, TileTree, unpack_entries
from streams.ledger.tree import EMPTY_ROOT, HASH_BYTES, complete_root, leaf_hash

CheckBundle: TypeAlias = Callable[[bytes, int, int], bytes | None]
"""(bundle, width, number of its first leaf) to its leaves' hashes; None: it must be looked at leaf by leaf."""


class DifferenceError(ValueError):
    """The first difference: where, and what is there instead of what must be."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A check that has come to `size` leaves, a whole number of bundles: the hashes of the tree's partial tiles."""

    size: int = 0
    edge: tuple[tuple[int, bytes], ...] = ()  # level of tiles, hashes
    root: bytes = EMPTY_ROOT

    def tree(self, root_of: RootOf = complete_root) -> TileTree:
        """Raises ValueError where the standing was damaged."""
        known = dict(self.edge)
        tree = TileTree.restore(self.size, lambda tile: known.get(tile.level, b""), root_of)
        if self.size % TILE_WIDTH or tree.root() != self.root:
            raise ValueError("the check's own standing is damaged")
        return tree


def check_bundle(_data: bytes, _width: int, _first: int) -> bytes | None:
    """A `CheckBundle` that leaves it all to be looked at leaf by leaf."""
    return None


class LogCheck:
    """One check of one log: takes its bundles in their order, then finishes.

    `check`, `root_of`: for whoever has a faster way to the same.
    """

    def __init__(
        self,
        log: PublishedLog,
        checkpoint: Checkpoint,
        standing: Standing | None = None,
        *,
        check: CheckBundle = check_bundle,
        root_of: RootOf = complete_root,
    ) -> None:
        self._log = log
        self._checkpoint = checkpoint
        self._check = check
        self._tree = (standing or Standing()).tree(root_of)
        self.size = self._tree.size  # leaves that are checked

    def standing(self) -> Standing:
        """Only between whole bundles."""
        return Standing(self.size, tuple((tile.level, data) for tile, data in self._tree.edge()), self._tree.root())

    def take(self, bundle: Bundle, data: bytes, expected: Leaves | None = None) -> None:
        """The next bundle. `expected`: what its donations give; then it must be that.

        Raises DifferenceError, and TileError where the bundle is cut short.
        Of a bundle that is longer than its width only the beginning counts.
        """
        if expected is None:
            hashes = self._check(data, bundle.width, self.size)
            if hashes is None:
                hashes = self._look_through(unpack_entries(bundle, data))
        else:
            packed = b"".join(expected.packed)
            if expected.count != bundle.width or not data.startswith(packed):
                self._tell_entry(bundle, data, expected.count, packed)
            hashes = expected.hashes
        for tile, found in self._tree.append(hashes):
            self._compare(tile, found)
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

    def _look_through(self, entries: list[bytes]) -> bytes:
        """Each entry must be a leaf with its own number; their hashes."""
        for number, entry in enumerate(entries, self.size):
            try:
                leaf = decode_leaf(entry)
            except LeafError as error:
                raise DifferenceError(f"leaf {number}: {error}") from None
            if leaf.seq != number:
                raise DifferenceError(f"leaf {number} says of itself that it is number {leaf.seq}")
        return b"".join([leaf_hash(entry) for entry in entries])

    def _tell_entry(self, bundle: Bundle, data: bytes, count: int, packed: bytes) -> None:
        entries, expected = unpack_entries(bundle, data), unpack_entries(bundle._replace(width=count), packed)
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
