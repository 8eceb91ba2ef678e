"""Damage to bytes: what transport, a wrong encoding or a hand in an editor does to an order, and to its key."""

import random
import unicodedata

from tests.hostile import pools

INSERTED = b'{}[]:,"\\0123456789.eE+-truefalsn \t\n|\x00\x7f\x80\xff'
BUYERS = ["é", "e\u0301", "\u212b", "买家", "a b", "😀", "b" * 64, " ", "0", "B1", "\ufeffb1", "\u200bb"]


def cut(rng: random.Random, value: bytes) -> bytes:
    """The beginning, or seldom the end or the middle."""
    at = rng.randrange(len(value) + 1)
    which = rng.random()
    if which < 0.7:
        return value[:at]
    if which < 0.85:
        return value[at:]
    return value[:at] + value[rng.randrange(at, len(value) + 1) :]


def change_bytes(rng: random.Random, value: bytes) -> bytes:
    """A few bytes changed, left out, put in, doubled or swapped: anything may come of it, a good order too."""
    spoilt = bytearray(value)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(spoilt) + 1)
        which = rng.randrange(6)
        if which == 0:
            spoilt[at : at + 1] = bytes([rng.randrange(256)])
        elif which == 1:
            spoilt[at : at + rng.randrange(1, 4)] = b""
        elif which == 2:
            spoilt[at:at] = bytes([rng.choice(INSERTED)])
        elif which == 3 and at < len(spoilt):
            spoilt[at] ^= 1 << rng.randrange(8)
        elif which == 4:
            spoilt[at:at] = spoilt[at : at + rng.randrange(1, 30)]
        else:
            there = rng.randrange(len(spoilt) + 1)
            spoilt[at : at + 1], spoilt[there : there + 1] = spoilt[there : there + 1], spoilt[at : at + 1]
    return bytes(spoilt)


def spoil_utf8(rng: random.Random, value: bytes) -> bytes:
    """No UTF-8, within a text or anywhere."""
    raw = rng.choice(pools.NO_UTF8)
    quotes = [index for index, byte in enumerate(value) if byte == 0x22]
    at = rng.choice(quotes) + 1 if rng.random() < 0.7 else rng.randrange(len(value) + 1)
    if rng.random() < 0.2:  # in a field that nobody knows, behind all others
        at = len(value) - 1
        raw = b',"x":"' + raw + b'"'
    return value[:at] + raw + value[at:]


def surround(rng: random.Random, value: bytes) -> bytes:
    other = rng.choice(pools.AROUND)
    which = rng.random()
    if which < 0.6:
        return value + other
    if which < 0.95:
        return other + value
    return value + value


def encode_otherwise(rng: random.Random, value: bytes) -> bytes:
    encoding = rng.choice(pools.ENCODINGS)
    return value.decode().encode(encoding, "replace")


def scrap(rng: random.Random) -> bytes | None:
    which = rng.random()
    if which < 0.15:
        return None
    if which < 0.3:
        return rng.randbytes(rng.choice([1, 8, 100, 5_000]))
    return rng.choice(pools.SCRAPS)


def spoil_key(rng: random.Random, key: bytes) -> bytes | None:
    """A key that isn't the buyer's id, or looks as if it were; a few times the right one."""
    text = key.decode()
    return rng.choice(
        [
            *(
                None,
                b"",
                key,
                key,
                key + b" ",
                b" " + key,
                key + b"\x00",
                key[:-1],
                key * 2,
                key.upper(),
                key.swapcase(),
            ),
            *(b'"' + key + b'"', b"\xef\xbb\xbf" + key, key + b"\xff", b"\xff", b"\x00\x00\x00\x05" + key),
            *(unicodedata.normalize(form, text).encode() for form in ("NFC", "NFD", "NFKC")),
            *(text.encode("utf-16"), b"k" * 100_000),
        ]
    )
