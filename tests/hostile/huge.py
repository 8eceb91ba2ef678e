"""Orders of up to a mebibyte and beyond: on the border of what may be, and made to be slow."""

import random

from tests.hostile import faults
from tests.hostile.json_text import Obj, Raw, write

LIMIT = 1_048_576
SIZES = [LIMIT - 1, LIMIT, LIMIT + 1, LIMIT + 100_000, 300_000, 2 * LIMIT]


def grow(rng: random.Random, order: Obj) -> bytes:
    return rng.choice([_padded, _padded, _spaced, _long_id, _many_lines, _made_to_be_slow])(rng, order)


def _padded(rng: random.Random, order: Obj) -> bytes:
    """An exact size, by a field that nobody knows."""
    order.insert(rng.randrange(len(order) + 1), ("pad", Raw(b"@")))
    value = write(order, rng)
    missing = rng.choice(SIZES[:5]) - len(value) + 1
    # Noise can't be packed: then the record is as large on the wire.
    filling = rng.choice([b'"%s"', b"[%s]", b"%s", b'"%s"'])
    room = missing - len(filling) + 2
    if filling == b"[%s]":
        text = (b"0," * (room // 2 + 1))[: room - 1] + b"0" if room % 2 else b"10," + (b"0," * room)[: room - 4] + b"0"
    elif filling == b"%s":
        text = b"1" * room
    else:
        text = rng.choice([b"a" * room, rng.randbytes(room // 2 + 1).hex().encode()[:room]])
    return value.replace(b"@", filling % text)


def _spaced(rng: random.Random, order: Obj) -> bytes:
    value = write(order, rng)
    space = rng.choice([b" ", b"\n", b"\t"]) * (rng.choice(SIZES) - len(value))
    return value + space if rng.random() < 0.5 else space + value


def _long_id(rng: random.Random, order: Obj) -> bytes:
    name = rng.choice(["order_id", "buyer_id", "merchant_id"])
    faults.set_field(order, name, rng.choice(["x", "订", "\x00", "|"]) * rng.choice([10_000, 170_000, 1_100_000]))
    return write(order, rng)


def _many_lines(rng: random.Random, order: Obj) -> bytes:
    line = b'{"line":%d,"item_id":"i","paid_fen":1}'
    count = rng.choice([200, 201, 1_000, 10_000, 30_000])
    number = rng.choice([lambda index: index, lambda _: 0])
    faults.set_field(order, "lines", Raw(b"[" + b",".join(line % number(index) for index in range(count)) + b"]"))
    return write(order, rng)


def _made_to_be_slow(rng: random.Random, order: Obj) -> bytes:
    size = rng.choice([100_000, 1_000_000])
    return rng.choice(
        [
            *(b"[" * size, b'{"a":' * (size // 5), b'{"":' * (size // 4), b'"' + b'\\"' * (size // 2), b"9" * size),
            *(b"-" * size, b'"' + b"\\u0061" * (size // 6) + b'"', b"[" + b"1e9," * (size // 4) + b"1]", b"\\" * size),
            *(b"[" * 501 + b'"' * size, b'"' + b"\\" * size, b"{" + b'"a":1,' * (size // 6) + b'"a":1}', b" " * size),
            *(b"1e" + b"9" * size, b"0." + b"0" * size + b"1", b"[]" * (size // 2), b"\xf0\x9f\x98\x80" * (size // 4)),
        ]
    )
