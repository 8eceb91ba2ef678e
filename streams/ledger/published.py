"""A log as anybody reads it: its checkpoint, tiles and entries, from wherever `fetch` gets its files. Reads only."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeAlias

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import Note
from streams.ledger.tiles import (
    CHECKPOINT,
    TILE_WIDTH,
    Bundle,
    Tile,
    TiledNodes,
    check_tile,
    tiles_at,
    unpack_entries,
)

PENDING = "witness/pending"  # the checkpoint that witnesses are to cosign next, with the cosignatures that it has
COSIGNED = "witness/checkpoint"  # the newest one that has enough of them


class MissingFileError(LookupError):
    """The log has no such file."""


Fetch: TypeAlias = Callable[[str], bytes]
"""The bytes of one of the log's files, by its path below the log's prefix. Raises MissingFileError."""


class PublishedLog:
    """Reads a log's files. What it gives was checked for its form only: proofs are for whoever asks."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def note(self) -> Note:
        """The newest checkpoint as it is signed. Raises NoteError, or MissingFileError where there is none yet."""
        return Note.parse(self._fetch(CHECKPOINT))

    def tile(self, tile: Tile) -> bytes:
        """A partial tile may have gone since its full one came: then that one's beginning."""
        try:
            return check_tile(tile, self._fetch(tile.path))
        except MissingFileError:
            if tile.width == TILE_WIDTH:
                raise
            return check_tile(tile, self._fetch(tile._replace(width=TILE_WIDTH).path))

    def bundle(self, bundle: Bundle) -> list[bytes]:
        """The entries of a bundle."""
        return unpack_entries(bundle, self.packed_bundle(bundle))

    def packed_bundle(self, bundle: Bundle) -> bytes:
        """A bundle's bytes, or more: as with tiles the full one stands in for a partial one."""
        try:
            return self._fetch(bundle.path)
        except MissingFileError:
            if bundle.width == TILE_WIDTH:
                raise
            return self._fetch(bundle._replace(width=TILE_WIDTH).path)

    def nodes(self, size: int) -> TiledNodes:
        """The nodes of the tree at `size`, for proofs."""
        return TiledNodes(self.tile, size)

    def entry(self, index: int, size: int) -> bytes:
        number, offset = divmod(index, TILE_WIDTH)
        full, partial = tiles_at(0, size)
        return self.bundle(Bundle(number, TILE_WIDTH if number < full else partial))[offset]

    def bundles(self, start: int, size: int) -> Iterator[tuple[Bundle, list[bytes]]]:
        """The bundles of the tree at `size`, from number `start` on."""
        for bundle, data in self.packed_bundles(start, size):
            yield bundle, unpack_entries(bundle, data)

    def packed_bundles(self, start: int, size: int) -> Iterator[tuple[Bundle, bytes]]:
        """The same as bytes: each is its bundle's or begins with it."""
        full, partial = tiles_at(0, size)
        for bundle in chain(map(Bundle, range(start, full)), [Bundle(full, partial)] if partial else []):
            yield bundle, self.packed_bundle(bundle)


def checkpoint_of(note: Note) -> Checkpoint:
    """What the note says; whether a known key has signed it is for the caller to see to."""
    return Checkpoint.parse(note.text)
