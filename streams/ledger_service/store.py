"""One log on disk: takes entries, writes tiles and entry bundles, and publishes checkpoints that they bear out.

A publication goes in this order, each step durable before the next one begins:
1. full and partial tiles and entry bundles, under their own names: nobody looks at them before a checkpoint does;
2. what is about to be signed is remembered as last signed, beside the keys;
3. the checkpoint takes the old one's place.
A crash after any of them leaves the old checkpoint or the new one, each with all that it covers. Restarted, the log
goes on from the checkpoint that stands, and gets the same bytes from the same entries.

No checkpoint is ever signed that isn't consistent with what was signed before: each `Floor` is a checkpoint that this
log has signed, as the keys' folder, the topic or the log itself remembers it; the tree must have its root at its size.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.errors import UserError
from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import Note, NoteError, SignerKey, encode_base64, sign_note
from streams.ledger.published import MissingFileError, PublishedLog, checkpoint_of
from streams.ledger.tiles import (
    CHECKPOINT,
    TILE_WIDTH,
    Bundle,
    Leaves,
    RootOf,
    Tile,
    TileError,
    TileTree,
    leaves_of,
    pack_entries,
    tiles_at,
)
from streams.ledger.tree import HASH_BYTES, complete_root, leaf_hash, tree_root
from streams.ledger_service.files import ASIDE, Disk, folder_fetch, write_durably
from streams.ledger_service.keys import LastSigned


class RefusalError(UserError):
    """To go on would be to sign what contradicts an earlier signature, or the log's files don't fit together."""


@dataclass(frozen=True, slots=True)
class Floor:
    """A checkpoint that was signed before, and where it's remembered."""

    checkpoint: Checkpoint
    source: str


@dataclass(frozen=True, slots=True)
class Publication:
    """What one publication writes. Made of copies: the tree may grow on while it is written."""

    checkpoint: Checkpoint
    files: tuple[tuple[str, bytes], ...]
    superseded: tuple[str, ...]  # folders of partial tiles whose full ones this publication brings


class LogWriter:
    """The one writer of a log. Not for several threads, but `write` may run in one while `append` goes on."""

    def __init__(  # noqa: PLR0913 - one log, its keys, and how it reaches the disk
        self,
        folder: Path,
        origin: str,
        signers: Sequence[SignerKey],
        last_signed: LastSigned,
        disk: Disk | None = None,
        *,
        root_of: RootOf = complete_root,
    ) -> None:
        if any(signer.verifier.name != origin for signer in signers) or not signers:
            raise RefusalError(f"the log {origin!r} needs a key of its own name")
        self.folder = folder
        self.origin = origin
        self.log = PublishedLog(folder_fetch(folder))
        self._signers = signers
        self._last_signed = last_signed
        self._disk = disk or Disk()
        self._root_of = root_of
        self._tree = TileTree(root_of)
        self._edge = bytearray()  # packed entries of the bundle that isn't full yet
        self._full: list[tuple[Tile | Bundle, bytes]] = []  # became full since the last publication
        self._floors: dict[int, Floor] = {}  # by size; those that the tree hasn't reached
        self._prepared = -1  # the size of the last publication that was prepared

    @property
    def size(self) -> int:
        """How many leaves the tree has, published or not."""
        return self._tree.size

    @property
    def unpublished(self) -> int:
        return self._tree.size - max(self._prepared, 0)

    @property
    def next_floor(self) -> Floor | None:
        """The nearest checkpoint, signed before, that the tree has to grow to before anything is signed again."""
        return self._floors[min(self._floors)] if self._floors else None

    def open(self, floors: Iterable[Floor] = ()) -> Note | None:
        """Go on from the checkpoint that stands; it, or None if there is none. Raises RefusalError."""
        self._disk.remove(self.folder / ASIDE)
        try:
            note = self.log.note()
        except MissingFileError:
            note = None
        except NoteError as error:
            raise RefusalError(f"the checkpoint in {self.folder} is damaged: {error}") from None
        if note is not None:
            self._restore(self._own_checkpoint(note, f"the checkpoint in {self.folder}"))
        signed = self._last_signed.read()
        if signed is not None:
            self._check_floor(Floor(self._own_checkpoint(signed, "the last signature"), "the keys' folder"))
        for floor in floors:
            self._check_floor(floor)
        return note

    def floor_of(self, note: Note, source: str) -> Floor:
        """What another place remembers as signed by this log. Raises RefusalError if none of our keys has signed it."""
        return Floor(self._own_checkpoint(note, f"the checkpoint on {source}"), source)

    def append(self, entries: Sequence[bytes]) -> None:
        """Take entries in, in their order. Raises RefusalError where the tree differs from what was signed before."""
        try:
            leaves = leaves_of(entries, self.size)
        except TileError as error:
            raise RefusalError(str(error)) from None
        self.append_leaves(leaves)

    def append_leaves(self, leaves: Leaves) -> None:
        """Take in leaves that were made for this place. After a RefusalError, as of `append`, the log must be left."""
        number = self.size // TILE_WIDTH
        self._append_hashes(leaves.hashes)
        for at, piece in enumerate(leaves.packed, 1):
            self._edge += piece
            if at < len(leaves.packed) or self.size % TILE_WIDTH == 0:
                self._full.append((Bundle(number), bytes(self._edge)))
                self._edge.clear()
                number += 1

    def _append_hashes(self, hashes: bytes) -> None:
        start = 0
        while start < len(hashes):
            floor = self.next_floor
            room = len(hashes) if floor is None else (floor.checkpoint.size - self.size) * HASH_BYTES
            self._full += self._tree.append(hashes[start : start + room])
            start += room
            if floor is not None and floor.checkpoint.size == self.size:
                del self._floors[self.size]
                self._compare(floor, self._tree.root())

    def prepare(self) -> Publication | None:
        """What a publication of the tree as it is now writes; None if there is nothing new, or less than was signed."""
        if self._tree.size == self._prepared or self._floors:
            return None
        checkpoint = Checkpoint(self.origin, self._tree.size, self._tree.root())
        edge: list[tuple[Tile | Bundle, bytes]] = [*self._full, *self._tree.edge()]
        if self._edge:
            edge.append((Bundle(*tiles_at(0, self.size)), bytes(self._edge)))
        publication = Publication(
            checkpoint,
            tuple((part.path, data) for part, data in edge),
            tuple(f"{part.path}.p" for part, _ in self._full),
        )
        self._full = []
        self._prepared = checkpoint.size
        return publication

    def write(self, publication: Publication) -> Note:
        """Publish: see the module's text for the order. Raises OSError; the log must then be opened anew."""
        write_durably(self._disk, self.folder, publication.files)
        note = sign_note(publication.checkpoint.text(), self._signers)
        self._last_signed.write(note)
        write_durably(self._disk, self.folder, [(CHECKPOINT, bytes(note))])
        for path in publication.superseded:
            if (self.folder / path).is_dir():
                self._disk.remove(self.folder / path)
        return note

    def root_at(self, size: int) -> bytes:
        """The root that the published tree had at an earlier size."""
        return tree_root(self.log.nodes(self.size), size)

    def _own_checkpoint(self, note: Note, what: str) -> Checkpoint:
        try:
            signed_by = note.signed_by(signer.verifier for signer in self._signers)
            checkpoint = checkpoint_of(note)
        except NoteError as error:
            raise RefusalError(f"{what} of {self.origin!r} is not what was signed: {error}") from None
        if checkpoint.origin != self.origin:
            raise RefusalError(f"{what} is of the log {checkpoint.origin!r}, not of {self.origin!r}")
        if not signed_by:
            theirs = ", ".join(f"{each.name}+{each.key_id:08x}" for each in note.signatures)
            ours = ", ".join(f"{each.verifier.name}+{each.verifier.id:08x}" for each in self._signers)
            raise RefusalError(
                f"{what} was signed by {theirs}, but the keys here are {ours}: the key doesn't belong to this log. "
                "To change it, `everycent ledger keygen --rotate` adds one; the old one goes with --retire later."
            )
        return checkpoint

    def _restore(self, checkpoint: Checkpoint) -> None:
        size = checkpoint.size
        try:
            self._tree = TileTree.restore(size, self.log.tile, self._root_of)
            full, partial = tiles_at(0, size)
            entries = self.log.bundle(Bundle(full, partial)) if partial else []
        except (MissingFileError, TileError) as error:
            raise self._damaged(error) from None
        self._edge = bytearray(pack_entries(entries))
        hashes = b"".join([leaf_hash(entry) for entry in entries])
        if self._tree.root() != checkpoint.root or self._tree.leaf_edge() != hashes:
            raise RefusalError(
                f"the tiles in {self.folder} don't give what its checkpoint says: {checkpoint}. "
                "`everycent ledger fsck` says where they differ."
            )
        self._prepared = size

    def _damaged(self, error: Exception) -> RefusalError:
        return RefusalError(f"the log in {self.folder} is damaged: {error}. `everycent ledger fsck` says more.")

    def _check_floor(self, floor: Floor) -> None:
        size = floor.checkpoint.size
        if size > self.size:
            known = self._floors.setdefault(size, floor)
            self._compare(floor, known.checkpoint.root, known.source)
            return
        try:
            root = self._tree.root() if size == self.size else self.root_at(size)
        except (MissingFileError, TileError) as error:
            raise self._damaged(error) from None
        self._compare(floor, root)

    def _compare(self, floor: Floor, root: bytes, source: str = "the entries") -> None:
        if floor.checkpoint.root != root:
            raise RefusalError(
                f"refusing to sign: {floor.source} remembers a signed checkpoint of {floor.checkpoint}, but "
                f"{source} give the root {encode_base64(root)} at that size. One of the two was changed."
            )
