"""A witness's judgement: whether two checkpoints that a log has signed can both be of one log that only grew. Pure.

The tiles that a log's server shows prove nothing by themselves. They do once they give the root of the larger signed
checkpoint: then they say what the tree was at the smaller size, and the log's own signature stands behind that.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import KeyType, Note, NoteError, VerifierKey
from streams.ledger.published import MissingFileError, checkpoint_of
from streams.ledger.tiles import Tile, TiledNodes, TileError, tile_of_node
from streams.ledger.tree import (
    EMPTY_ROOT,
    ProofError,
    Range,
    growth_proof,
    growth_ranges,
    nodes_of,
    roots_of_growth,
    tree_root,
)

ReadTile = Callable[[Tile], bytes]
"""A tile's hashes. Raises MissingFileError or TileError."""


class ForeignKeyError(NoteError):
    """None of the keys that are known has signed this checkpoint."""


class Verdict(StrEnum):
    """How two checkpoints of one log stand to each other."""

    CONSISTENT = "consistent"  # the larger tree begins with the smaller one
    CONTRADICTION = "contradiction"  # it doesn't, and the log's signatures prove that
    UNPROVEN = "unproven"  # the tiles that are shown don't give the root that was signed


@dataclass(frozen=True, slots=True)
class Comparison:
    """A verdict, with what bears it out. `proof`: as of `growth_proof`; `why`: what is wrong, for a person."""

    verdict: Verdict
    proof: tuple[bytes, ...] = ()
    why: str = ""


def open_checkpoint(note: Note, keys: Collection[VerifierKey]) -> Checkpoint:
    """What a log has signed with one of `keys`. Raises ForeignKeyError if none has, NoteError if one doesn't fit."""
    ours = [key for key in keys if key.kind is KeyType.ED25519]
    signed = note.signed_by(ours)
    checkpoint = checkpoint_of(note)
    if not any(key.name == checkpoint.origin for key, _ in signed):
        theirs = ", ".join(f"{each.name}+{each.key_id:08x}" for each in note.signatures)
        known = ", ".join(f"{key.name}+{key.id:08x}" for key in ours)
        raise ForeignKeyError(f"a checkpoint of {checkpoint} was signed by {theirs}; the keys that are known: {known}")
    return checkpoint


def tiles_to_compare(one: int, other: int) -> list[Tile]:
    """The tiles that `compare` reads for trees of these sizes; for one size alone give 0 for the other."""
    small, large = sorted((one, other))
    if small == large:
        return []
    ranges: list[Range] = [(0, large)] if small == 0 else growth_ranges(small, large)
    return list(dict.fromkeys(_tiles_of(ranges, large)))


def compare(one: Checkpoint, other: Checkpoint, read_tile: ReadTile) -> Comparison:
    """Whether the larger of two checkpoints of one log begins with the smaller; `read_tile`: of the larger tree."""
    small, large = sorted((one, other), key=lambda checkpoint: checkpoint.size)
    if small.size == large.size:
        if small.root == large.root:
            return Comparison(Verdict.CONSISTENT)
        return Comparison(Verdict.CONTRADICTION, (), f"two trees of {small.size} leaves were signed")
    if small.size == 0:
        if small.root != EMPTY_ROOT:
            return Comparison(Verdict.CONTRADICTION, (), "a tree without leaves was signed with leaves' root")
        return check_tiles(large, read_tile)
    try:
        proof = tuple(growth_proof(TiledNodes(read_tile, large.size), small.size, large.size))
        was, now = roots_of_growth(small.size, large.size, proof)
    except (MissingFileError, TileError, ProofError) as error:
        return Comparison(Verdict.UNPROVEN, (), str(error))
    if now != large.root:
        return _tiles_differ(large)
    if was != small.root:
        why = f"the tree of {large.size} leaves doesn't begin with the tree of {small.size} that was signed before"
        return Comparison(Verdict.CONTRADICTION, proof, why)
    return Comparison(Verdict.CONSISTENT, proof)


def check_tiles(checkpoint: Checkpoint, read_tile: ReadTile) -> Comparison:
    """Whether the tiles give this checkpoint's root: what can be asked of a log that is seen for the first time."""
    try:
        root = tree_root(TiledNodes(read_tile, checkpoint.size), checkpoint.size)
    except (MissingFileError, TileError) as error:
        return Comparison(Verdict.UNPROVEN, (), str(error))
    return Comparison(Verdict.CONSISTENT) if root == checkpoint.root else _tiles_differ(checkpoint)


def _tiles_differ(checkpoint: Checkpoint) -> Comparison:
    return Comparison(Verdict.UNPROVEN, (), f"the tiles don't give the root that was signed: {checkpoint}")


def _tiles_of(ranges: list[Range], size: int) -> Iterator[Tile]:
    for start, end in ranges:
        for level, index in nodes_of(start, end):
            yield tile_of_node(level, index, size)[0]
