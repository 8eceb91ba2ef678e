"""Merkle trees as RFC 6962 has them: hashes, roots, proofs of inclusion and of consistency, and their verification.

Pure, and a crash loses nothing here. A tree is known by its *nodes*: node (level, index) is the hash of the complete
subtree over the leaves [index * 2^level, (index + 1) * 2^level). Whoever can read nodes can prove anything, so proofs
ask a `ReadNode` and don't care where the hashes lie: tiles on a disk, over HTTP, or computed.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

HASH_BYTES = 32
LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").digest()
PROOF_HASHES_MAX = 64  # no tree of 64-bit size has a longer one

Range: TypeAlias = tuple[int, int]
"""Leaves [start, end) whose Merkle Tree Hash is meant; start is aligned as RFC 6962 splits."""
ReadNode: TypeAlias = Callable[[int, int], bytes]
"""(level, index) to the node's hash."""


class ProofError(ValueError):
    """A proof doesn't prove what it should; says what is wrong."""


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(LEAF_PREFIX + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(NODE_PREFIX + left + right).digest()


def pair_up(hashes: bytes) -> bytes:
    """The next level over an even number of hashes, one after another in bytes."""
    sha256 = hashlib.sha256
    return b"".join([sha256(NODE_PREFIX + hashes[at : at + 64]).digest() for at in range(0, len(hashes), 64)])


def complete_root(hashes: bytes) -> bytes:
    """The root over 2^n hashes, one after another in bytes."""
    while len(hashes) > HASH_BYTES:
        hashes = pair_up(hashes)
    return hashes


def fold_right(hashes: Sequence[bytes]) -> bytes:
    """The root of a tree whose complete subtrees, from the left and ever smaller, have these hashes."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def nodes_of(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees that [start, end) falls into, from the left, as (level, index)."""
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level


def range_hash(read: ReadNode, start: int, end: int) -> bytes:
    return fold_right([read(level, index) for level, index in nodes_of(start, end)])


def tree_root(read: ReadNode, size: int) -> bytes:
    return range_hash(read, 0, size)


def _split(size: int) -> int:
    """The largest power of two below `size` (of 2 or more)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """What an inclusion proof of leaf `index` in a tree of `size` holds: the leaf's sibling first."""
    if not 0 <= index < size:
        raise ProofError(f"there is no leaf {index} in a tree of {size}")
    ranges: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """What a consistency proof from a tree of `old` leaves to one of `new` holds (RFC 6962, 2.1.2)."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} can't have grown from one of {old}")
    if old in {0, new}:
        return []
    ranges: list[Range] = []
    start, end, whole = 0, new, True  # whole: the old tree's part of this subtree is the old tree itself
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def inclusion_proof(read: ReadNode, index: int, size: int) -> list[bytes]:
    return [range_hash(read, start, end) for start, end in inclusion_ranges(index, size)]


def consistency_proof(read: ReadNode, old: int, new: int) -> list[bytes]:
    return [range_hash(read, start, end) for start, end in consistency_ranges(old, new)]


def growth_ranges(old: int, new: int) -> list[Range]:
    """As `consistency_ranges`, but the first is always the largest complete subtree that ends at `old` (0 < old < new).

    A consistency proof leaves that one out where it is the old tree itself, whose root the verifier knows. With it the
    hashes say by themselves which two roots belong together, also where the old root is in doubt.
    """
    if not 0 < old < new:
        raise ProofError(f"there is no growth from a tree of {old} leaves to one of {new}")
    return [*([(0, old)] if old & (old - 1) == 0 else []), *consistency_ranges(old, new)]


def growth_proof(read: ReadNode, old: int, new: int) -> list[bytes]:
    return [range_hash(read, start, end) for start, end in growth_ranges(old, new)]


def roots_of_growth(old: int, new: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The root of the tree of `old` leaves within the tree of `new` leaves, and that one's. Raises ProofError.

    Whoever knows the greater root, and gets it here, knows what the tree was at the smaller size.
    """
    if not 0 < old < new:
        raise ProofError(f"there is no growth from a tree of {old} leaves to one of {new}")
    if not proof:
        raise ProofError("the proof is empty")
    return _roots_of_consistency(old, new, proof)


def root_of_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a tree of `size` has if `proof` is right (RFC 9162, 2.1.3.2). Raises ProofError by its length."""
    if not 0 <= index < size:
        raise ProofError(f"there is no leaf {index} in a tree of {size}")
    at, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof holds more hashes than the tree has levels")
        if at & 1 or at == last:
            root = node_hash(sibling, root)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofError("the inclusion proof holds fewer hashes than the tree has levels")
    return root


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise ProofError unless `leaf`, a leaf's hash, is number `index` of the tree with this size and root."""
    if root_of_inclusion(leaf, index, size, proof) != root:
        raise ProofError(f"leaf {index} is not in the tree of {size} with this root")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofError unless the new tree holds the old one as its beginning (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} can't have grown from one of {old}")
    if old in {0, new}:
        if proof:
            raise ProofError("the consistency proof must be empty here")
        if (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise ProofError(f"two trees of {old} leaves have different roots")
        return
    hashes = list(proof)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        raise ProofError("the consistency proof is empty")
    if _roots_of_consistency(old, new, hashes) != (old_root, new_root):
        raise ProofError(f"the tree of {new} leaves doesn't begin with the tree of {old}")


def _roots_of_consistency(old: int, new: int, hashes: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of both trees, if the proof is right; the first hash is the largest subtree that ends at `old`."""
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    was = now = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ProofError("the consistency proof holds more hashes than the tree has levels")
        if at & 1 or at == last:
            was, now = node_hash(sibling, was), node_hash(sibling, now)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            now = node_hash(now, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofError("the consistency proof holds fewer hashes than the tree has levels")
    return was, now
