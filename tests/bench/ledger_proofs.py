"""How a receipt grows with its ledger, up to 10^10 leaves: on a sparse log, whose leaves are all alike but one.

Each level of its tree has two hashes, that of a subtree of like leaves and that of the one with the donation in it, so
tiles of any tree are made in a moment instead of read. Everything else is as at work: tiles, checks, signed checkpoint.
"""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from schemas.donation import Donation
from streams.ledger.checkpoint import Checkpoint
from streams.ledger.leaf import Salts, encode_leaf, leaf_of
from streams.ledger.notes import Note, SignerKey, sign_note
from streams.ledger.published import PublishedLog
from streams.ledger.receipt import Receipt, make_receipt, verify_receipt
from streams.ledger.tiles import TILE_HEIGHT, TILE_WIDTH, pack_entries
from streams.ledger.tree import HASH_BYTES, leaf_hash, node_hash, tree_root

ORIGIN = "bench/donations/0"
SIGNER = SignerKey.from_seed(ORIGIN, bytes(32))
SALTS = Salts(bytes(32))
LEVELS = 64
OTHER = b"{}"
SIZES = tuple(10**power for power in range(3, 11))
RECEIPTS = 25
TARGET_RECEIPT_MS = 5


def donation(seq: int) -> Donation:
    """As a day's donations look: ids of the usual length, many donors, merchants and projects."""
    order = str(1_400_000_000_000_000_000 + seq)
    buyer, merchant = f"b{seq * 7919 % 480_000_000}", f"m{seq % 2_500_000}"
    item, project, at_ms = f"i{seq % 10**7}", f"P{seq % 30_000:05d}", 1_605_024_000_000 + seq
    return Donation(f"{order}:0", seq, order, 0, buyer, merchant, item, project, 2, at_ms, seq)


class SparseLog:
    """A log of `size` leaves, of which number `index` is `entry` and each other one `OTHER`."""

    def __init__(self, size: int, index: int, entry: bytes) -> None:
        self._size, self._index, self._entry = size, index, entry
        self._like, self._lone = [leaf_hash(OTHER)], [leaf_hash(entry)]
        for level in range(LEVELS):
            like, lone = self._like[level], self._lone[level]
            self._lone.append(node_hash(like, lone) if index >> level & 1 else node_hash(lone, like))
            self._like.append(node_hash(like, like))

    def root(self) -> bytes:
        return tree_root(self._node, self._size)

    def note(self) -> Note:
        return sign_note(Checkpoint(ORIGIN, self._size, self.root()).text(), [SIGNER])

    def fetch(self, path: str) -> bytes:
        """The files of the log; a partial one is as long as a full one, which readers take as well."""
        _, kind, *number_and_width = path.split("/")
        number = int("".join(number_and_width).partition(".")[0].replace("x", ""))
        if kind == "entries":
            entries = [OTHER] * TILE_WIDTH
            if number == self._index // TILE_WIDTH:
                entries[self._index % TILE_WIDTH] = self._entry
            return pack_entries(entries)
        level = TILE_HEIGHT * int(kind)
        hashes = bytearray(self._like[level] * TILE_WIDTH)
        above, at = divmod(self._index >> level, TILE_WIDTH)
        if number == above:
            hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES] = self._lone[level]
        return bytes(hashes)

    def _node(self, level: int, index: int) -> bytes:
        return (self._lone if index == self._index >> level else self._like)[level]


def receipts(size: int, count: int = RECEIPTS) -> dict[str, Any]:
    """Of leaves all over a log of `size`: ms to make one, µs to verify it, hashes of the longest proof, its bytes."""
    took_ms, verified_us, hashes, length = [], [], 0, 0
    for number in range(count):
        index = number * (size // count) + 7
        one = donation(index)
        log = SparseLog(size, index, encode_leaf(leaf_of(one, SALTS)))
        note, published = log.note(), PublishedLog(log.fetch)
        began = time.perf_counter()
        data = bytes(make_receipt(published, note, index, SALTS))
        took_ms.append((time.perf_counter() - began) * 1e3)
        began = time.perf_counter()
        verify_receipt(data, [SIGNER.verifier], one.buyer_id)
        verified_us.append((time.perf_counter() - began) * 1e6)
        hashes, length = max(hashes, len(Receipt.parse(data).proof)), max(length, len(data))
    return {
        "make_ms": round(median(took_ms), 3),
        "verify_us": round(median(verified_us), 1),
        "hashes": hashes,
        "bytes": length,
    }


def growth(sizes: Sequence[int] = SIZES) -> dict[str, dict[str, Any]]:
    """The same for each size."""
    return {f"{size:.0e}".replace("+", ""): receipts(size) for size in sizes}
