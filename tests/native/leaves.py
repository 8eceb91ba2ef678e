"""Leaves made twice, in Rust and in Python: what comes of any donations, and what is said of wrong ones."""

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from schemas.donation import Donation, encode_donation
from schemas.records import LogRecord
from streams.engine.packed import PackedRecords
from streams.ledger.fsck import DifferenceError, LogCheck
from streams.ledger.leaf import LeafError, encode_leaf, entries_of, leaf_of
from streams.ledger.tiles import TILE_WIDTH, Bundle, TileError, pack_entries
from streams.ledger_service.leaves import LeafMaker
from streams.native import extension
from tests.domain.orders import OrderRecord
from tests.ledger.parts import SALTS, donation
from tests.native.batches import packed

Outcome = tuple[bytes, list[bytes]] | str
IDS = ["o1", "i", "x" * 64, "x" * 65, "", "订单", "é" * 64, '"', "\\", "a|b", "\x7f", "\u2028", "</script>", "a\tb"]


def record(seq: int, value: bytes | None = None) -> OrderRecord:
    return OrderRecord(seq, 1_000, b"b1", encode_donation(donation(seq)) if value is None else value)


def made(donations: Sequence[LogRecord], seq: int, *, native: bool) -> Outcome:
    """Hashes and packed entries, or what is wrong."""
    try:
        leaves = LeafMaker(SALTS, native=native).make(donations, seq)
    except (LeafError, TileError) as error:
        return f"{type(error).__name__}: {error}"
    return leaves.hashes, list(leaves.packed)


def made_alike(records: Sequence[Any], seq: int, codec: str = "zstd", batch_records: int = 1_000) -> Outcome:
    """What both make of the same donations."""
    fetched = packed(records, codec, batch_records)
    assert isinstance(fetched, PackedRecords)
    assert fetched.readable
    natively = made(fetched, seq, native=True)
    assert natively == made(records, seq, native=False)
    return natively


def taken_without_asking(value: bytes, seq: int) -> bool:
    """True if Rust makes the leaf by itself. What it makes must be what Python makes."""
    asked = []

    def judge(_offset: int, value: bytes | None, seq: int) -> bytes:
        asked.append(value)
        return pack_entries(entries_of([SimpleNamespace(offset=seq, value=value)], seq, SALTS))

    fetched = packed([record(seq, value)])
    natively = extension.LeafMaker(SALTS.secret, judge).make(fetched.data, [], seq, seq)
    assert natively == made([record(seq, value)], seq, native=False)
    return not asked


def checked_alike(data: bytes, width: int = TILE_WIDTH, seq: int = 0) -> bool:
    """Whether Rust takes the bundle. Then Python must, and give the same hashes."""
    hashes = extension.check_bundle(data, width, seq)
    assert hashes is None or hashes == looked_through(data, width, seq)
    return hashes is not None


def looked_through(data: bytes, width: int, seq: int) -> bytes | None:
    """The same in Python, leaf by leaf."""
    taken: list[bytes] = []
    check: Any = LogCheck.__new__(LogCheck)
    check.size, check._check = seq, lambda *_: None
    check._tree = SimpleNamespace(append=lambda hashes: taken.append(hashes) or [], size=seq)
    try:
        check.take(Bundle(seq // TILE_WIDTH, width), data)
    except (DifferenceError, TileError):
        return None
    return taken[0]


def drawn_value(rng: random.Random, seq: int) -> bytes:
    """A donation that is right, or has other ids, or is wrong somewhere; mostly right."""
    kind = rng.random()
    if kind < 0.7:
        return encode_donation(donation(seq))
    ids = [rng.choice(IDS) for _ in range(5)]
    fen, at_ms = rng.choice([1, 10**12, 5]), rng.choice([1, 253_402_300_799_999])
    other = Donation(f"{ids[0]}:1", seq, ids[0], 1, ids[1], ids[2], ids[3], ids[4], fen, at_ms, rng.randrange(2**63))
    value = bytearray(encode_donation(other))
    if kind > 0.97:
        at = rng.randrange(len(value))
        value[at : at + rng.choice([0, 1, 9])] = rng.choice([b"", b" ", b"0", b"-", b'"', b"\\", b"\xff", b"}"])
    return bytes(value)


def drawn_bundle(rng: random.Random, seq: int) -> bytes:
    """A bundle that may have been harmed."""
    entries = [encode_leaf(leaf_of(donation(at), SALTS)) for at in range(seq, seq + 4)]
    if rng.random() < 0.3:
        entries[rng.randrange(4)] = encode_leaf(leaf_of(donation(rng.randrange(9)), SALTS))
    data = bytearray(pack_entries(entries))
    for _ in range(rng.choice([0, 1, 1, 3])):
        at = rng.randrange(len(data))
        data[at : at + rng.choice([0, 1])] = rng.choice([b"", b" ", b"0", b"a", b'"', b"\xff", rng.randbytes(1)])
    return bytes(data)


def leaves_of_anything(rng: random.Random, rounds: int) -> None:
    for _ in range(rounds):
        seq = rng.choice([0, 250, 2**40])
        records = [record(seq + at, drawn_value(rng, seq + at)) for at in range(rng.choice([1, 1, 5, 20]))]
        made_alike(records, seq + rng.choice([0] * 20 + [1]), rng.choice(["none", "zstd"]), rng.choice([1, 7, 1_000]))
        checked_alike(drawn_bundle(rng, seq), rng.choice([4, 4, 4, 3, 5]), seq)
        checked_alike(rng.randbytes(rng.randrange(700)), rng.randrange(300), seq)
