"""Where a tree's hashes and entries lie as files: the layout of C2SP tlog-tiles, and a tree that grows tile by tile.

Pure: names and bytes, no files. A crash loses nothing here; `TileTree.restore` says from what a tree goes on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from streams.ledger.tree import HASH_BYTES, complete_root, fold_right, leaf_hash, nodes_of

TILE_HEIGHT = 8
TILE_WIDTH = 256
TILE_BYTES = TILE_WIDTH * HASH_BYTES
LEVELS_MAX = 8  # of tiles: 8 * 8 levels are 2^64 leaves
ENTRY_MAX_BYTES = 65_535  # the length before an entry has 16 bits
CHECKPOINT = "checkpoint"
RootOf: TypeAlias = Callable[[bytes], bytes]
"""The root over 2^n hashes, one after another."""


class TileError(ValueError):
    """A tile or a bundle isn't what its name says."""


class Tile(NamedTuple):
    """One tile of hashes, by its level of tiles and its number; `width` below 256: partial."""

    level: int
    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        return f"tile/{self.level}/{number_path(self.number, self.width)}"


class Bundle(NamedTuple):
    """One bundle of entries, by its number."""

    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        return f"tile/entries/{number_path(self.number, self.width)}"


def number_path(number: int, width: int = TILE_WIDTH) -> str:
    """1234067 is `x001/x234/067`; a partial one ends in `.p/` and its width."""
    parts = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        parts.append(f"x{number % 1000:03d}")
    path = "/".join(reversed(parts))
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def tiles_at(level: int, size: int) -> tuple[int, int]:
    """How many full tiles a tree of `size` has at a level of tiles, and the width of the partial one (0: none)."""
    return divmod(size >> (TILE_HEIGHT * level), TILE_WIDTH)


def edge_tiles(size: int) -> Iterator[Tile]:
    """The partial tiles of a tree, from level 0 up."""
    level = 0
    while size >> (TILE_HEIGHT * level):
        full, width = tiles_at(level, size)
        if width:
            yield Tile(level, full, width)
        level += 1


def tile_of_node(level: int, index: int, size: int) -> tuple[Tile, slice]:
    """The tile of a tree of `size` that a node is made from, and where in it the hashes under the node lie."""
    tile_level, height = divmod(level, TILE_HEIGHT)
    first = index << height
    number, offset = divmod(first, TILE_WIDTH)
    full, partial = tiles_at(tile_level, size)
    width = TILE_WIDTH if number < full else partial
    count = 1 << height
    if number > full or offset + count > width:
        raise TileError(f"a tree of {size} has no node {index} at level {level}")
    return Tile(tile_level, number, width), slice(offset * HASH_BYTES, (offset + count) * HASH_BYTES)


class TiledNodes:
    """Reads nodes of a tree of `size` from its tiles: a `ReadNode`. Keeps what it has read: make one for each proof."""

    def __init__(self, read_tile: Callable[[Tile], bytes], size: int) -> None:
        self._read_tile = read_tile
        self._size = size
        self._read: dict[Tile, bytes] = {}

    def __call__(self, level: int, index: int) -> bytes:
        tile, where = tile_of_node(level, index, self._size)
        data = self._read.get(tile)
        if data is None:
            data = self._read[tile] = check_tile(tile, self._read_tile(tile))
        return complete_root(data[where])


def check_tile(tile: Tile, data: bytes) -> bytes:
    """The tile's hashes. Raises TileError if it's cut short; a longer one (the full tile for a partial) is cut."""
    length = tile.width * HASH_BYTES
    if len(data) < length or len(data) % HASH_BYTES or len(data) > TILE_BYTES:
        raise TileError(f"{tile.path} holds {len(data)} bytes, not {length}")
    return data[:length]


@dataclass(frozen=True, slots=True)
class Leaves:
    """Consecutive leaves as a log takes them in."""

    hashes: bytes
    """Of the leaves, one after another."""
    packed: Sequence[bytes]
    """Their entries, packed, cut wherever a bundle of the log ends: so each piece but the last one ends a bundle."""

    @property
    def count(self) -> int:
        return len(self.hashes) // HASH_BYTES


def leaves_of(entries: Sequence[bytes], first: int) -> Leaves:
    """The leaves with these entries, from number `first` on. Raises TileError where an entry is too long."""
    cuts = [0, *range(-first % TILE_WIDTH or TILE_WIDTH, len(entries), TILE_WIDTH), len(entries)]
    packed = [pack_entries(entries[start:end]) for start, end in pairwise(cuts) if start < end]
    return Leaves(b"".join([leaf_hash(entry) for entry in entries]), packed)


def pack_entries(entries: Sequence[bytes]) -> bytes:
    """Entries one after another, each behind its length in 16 bits. Raises TileError where that is too little."""
    try:
        return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])
    except OverflowError:
        raise TileError(f"an entry is longer than {ENTRY_MAX_BYTES} bytes, which the format can't hold") from None


def unpack_entries(bundle: Bundle, data: bytes) -> list[bytes]:
    """The entries of a bundle. Raises TileError where it's cut short; of a longer one only the first `width`."""
    entries: list[bytes] = []
    at = 0
    for _ in range(bundle.width):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data) or start > len(data):
            raise TileError(f"{bundle.path} is cut short: it holds {len(entries)} whole entries, not {bundle.width}")
        entries.append(data[start:at])
    return entries


class TileTree:
    """A tree that grows: keeps the hashes of its partial tiles, and hands out the tiles that became full.

    `root_of`: the root over a full tile's hashes, for whoever has a faster way to the same.
    """

    def __init__(self, root_of: RootOf = complete_root) -> None:
        self.size = 0
        self._root_of = root_of
        self._edge: list[bytearray] = []  # of each level of tiles, the hashes that fill no tile yet

    @classmethod
    def restore(cls, size: int, read_tile: Callable[[Tile], bytes], root_of: RootOf = complete_root) -> "TileTree":
        """The tree of `size` from its partial tiles."""
        tree = cls(root_of)
        tree.size = size
        tree._edge = [bytearray() for _ in range((size.bit_length() + TILE_HEIGHT - 1) // TILE_HEIGHT)]
        for tile in edge_tiles(size):
            tree._edge[tile.level] = bytearray(check_tile(tile, read_tile(tile)))
        return tree

    def append(self, hashes: bytes) -> list[tuple[Tile, bytes]]:
        """Add leaves by their hashes, one after another in bytes; the tiles that are full now."""
        before = self.size
        self.size += len(hashes) // HASH_BYTES
        return self._append(0, before, hashes)

    def _append(self, level: int, count: int, hashes: bytes) -> list[tuple[Tile, bytes]]:
        """`count`: the hashes that the level had."""
        if level == len(self._edge):
            self._edge.append(bytearray())
        edge = self._edge[level]
        edge += hashes
        number = count // TILE_WIDTH
        full: list[tuple[Tile, bytes]] = []
        for at in range(0, len(edge) - TILE_BYTES + 1, TILE_BYTES):
            full.append((Tile(level, number + len(full)), bytes(edge[at : at + TILE_BYTES])))
        if not full:
            return full
        del edge[: len(full) * TILE_BYTES]
        roots = b"".join([self._root_of(data) for _, data in full])
        return full + self._append(level + 1, number, roots)

    def edge(self) -> list[tuple[Tile, bytes]]:
        """The partial tiles as they are now."""
        return [(tile, bytes(self._edge[tile.level])) for tile in edge_tiles(self.size)]

    def leaf_edge(self) -> bytes:
        """The hashes of the leaves that fill no tile yet."""
        return bytes(self._edge[0]) if self._edge else b""

    def root(self) -> bytes:
        """The root, by the complete subtrees of each level's partial tile."""
        subtrees: list[bytes] = []
        for hashes in reversed(self._edge):
            count = len(hashes) // HASH_BYTES
            for level, index in nodes_of(0, count):
                start, length = (index << level) * HASH_BYTES, (1 << level) * HASH_BYTES
                subtrees.append(complete_root(bytes(hashes[start : start + length])))
        return fold_right(subtrees)
