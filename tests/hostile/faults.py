"""Faults of an order as a tree: each function changes it by one. Some leave it good; tests/hostile/oracle.py says."""

import random
from collections.abc import Iterator
from typing import Any

from tests.hostile import pools
from tests.hostile.json_text import Obj, Raw

NUMBER_FIELDS = ("completed_at", "line", "paid_fen", "fen", "bps")
ID_FIELDS = ("order_id", "buyer_id", "merchant_id", "item_id", "project_id", "kind")


def objects(node: Any) -> Iterator[Obj]:
    """Every object of the tree, the whole first."""
    if isinstance(node, Obj):
        yield node
        for _, value in node:
            yield from objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from objects(value)


def _places(order: Obj, names: tuple[str, ...] | None = None) -> list[tuple[Obj, int]]:
    return [
        (found, index)
        for found in objects(order)
        for index, (name, _) in enumerate(found)
        if names is None or name in names
    ]


def _replace(rng: random.Random, order: Obj, names: tuple[str, ...] | None, value: Any) -> None:
    places = _places(order, names)
    if places:
        found, index = rng.choice(places)
        found[index] = (found[index][0], value)


def set_field(order: Obj, wanted: str, value: Any) -> None:
    order[:] = [(name, value if name == wanted else before) for name, before in order]


def any_id(rng: random.Random) -> str:
    """Text that may be an id, too long, or hold what an id mustn't."""
    alphabet = rng.choice(
        ["ab", "买家订单", "é\xa0\xad", "😀\U0010ffff", "a|", "a\x00", "a\x7f\x85", "\u2028\ufeff\uffff", 'a"\\/']
    )
    return "".join(rng.choices(alphabet, k=rng.choice([1, 2, 3, 10, 63, 64, 65, 200])))


def put_number(rng: random.Random, order: Obj) -> None:
    pool = rng.choice([pools.INTEGERS, pools.INTEGERS, pools.FRACTIONS])
    _replace(rng, order, NUMBER_FIELDS, Raw(rng.choice(pool)))


def put_time(rng: random.Random, order: Obj) -> None:
    """Another time that an order may have: the first and the last, far ahead, or days away."""
    days = rng.choice([-20_000, -18_577, -366, -30, -2, -1, 1, 1, 2, 3, 30_000, 2_000_000, 10_000_000])
    time_ms = dict(order).get("completed_at")
    set_field(order, "completed_at", Raw(b"%d" % (time_ms + days * 86_400_000) if type(time_ms) is int else b"1"))


def put_text(rng: random.Random, order: Obj) -> None:
    pool = rng.choice([pools.TEXTS, pools.ESCAPES, pools.TEXTS, pools.ESCAPES, pools.NO_TEXTS])
    _replace(rng, order, ID_FIELDS, Raw(rng.choice(pool)))


def put_other_type(rng: random.Random, order: Obj) -> None:
    pool = rng.choice([pools.LITERALS, pools.LITERALS, pools.INTEGERS, pools.TEXTS])
    _replace(rng, order, None, Raw(rng.choice(pool)))


def put_no_json(rng: random.Random, order: Obj) -> None:
    pool = rng.choice([pools.NO_NUMBERS, pools.NO_LITERALS, pools.NO_TEXTS])
    names = NUMBER_FIELDS if pool is pools.NO_NUMBERS and rng.random() < 0.5 else None
    _replace(rng, order, names, Raw(rng.choice(pool)))


def drop_field(rng: random.Random, order: Obj) -> None:
    places = _places(order)
    if places:
        found, index = rng.choice(places)
        del found[index]


def double_field(rng: random.Random, order: Obj) -> None:
    """A field twice: the same again, or another value before or after it."""
    places = _places(order)
    if not places:
        return
    found, index = rng.choice(places)
    name, value = found[index]
    which = rng.random()
    if name == "kind":
        other = rng.choice(["fixed", "rate", "gift", None, 1, Raw(b"[]")])
    elif which < 0.2:
        other = value
    elif which < 0.5:  # another good value, where there is one
        other = rng.choice([pair[1] for each in objects(order) for pair in each if pair[0] == name])
    else:
        other = Raw(rng.choice(rng.choice([pools.LITERALS, pools.INTEGERS, pools.TEXTS])))
    found.insert(rng.randrange(len(found) + 1), (name, other))


def add_unknown_field(rng: random.Random, order: Obj) -> None:
    found = rng.choice(list(objects(order)) or [order])
    name = rng.choice(
        ["x", "", "note", "订单", "Order_id", "order_i", "order_idd", "lines2", "\x00", "a|b", "fen", "kind", "line"]
    )
    pool = rng.choice([pools.LITERALS, pools.INTEGERS, pools.FRACTIONS, pools.TEXTS, pools.ESCAPES, pools.NO_TEXTS])
    value: Any = Raw(rng.choice(pool))
    for _ in range(rng.choice([0, 0, 1, 3, 20])):
        value = [value] if rng.random() < 0.5 else Obj([(rng.choice(["a", "", "lines", "é"]), value)])
    found.insert(rng.randrange(len(found) + 1), (name, value))


def spoil_name(rng: random.Random, order: Obj) -> None:
    """A field's name in another form: escaped, which is the same name, or in other letters, which isn't."""
    places = _places(order)
    if not places:
        return
    found, index = rng.choice(places)
    name, value = found[index]
    text = name if isinstance(name, str) else "x"
    escaped = "".join(f"\\u{ord(at):04x}" if rng.random() < 0.5 else at for at in text)
    raw = rng.choice(
        [
            *(f'"{form}"'.encode() for form in (escaped, escaped, escaped, text.upper(), text + " ", text + "\\u0000")),
            *(text.encode(), f"'{text}'".encode(), b"null", b"1", b'"\\ud800"', b'"\xff"', b""),
        ]
    )
    found[index] = (Raw(raw), value)


def change_lines(rng: random.Random, order: Obj) -> None:
    """Lines repeated, none, or more than there may be."""
    lines = next((value for name, value in order if name == "lines"), None)
    if not isinstance(lines, list) or not lines:
        return
    wanted = rng.choice([0, 1, 2, 3, 4, 5, 7, 10, 20] * 4 + [199, 200, 201, 300])
    fresh = rng.random() < 0.6
    first = lines[0]
    if isinstance(first, Obj):
        more = [
            Obj([(name, at if fresh and name == "line" else value) for name, value in first]) for at in range(wanted)
        ]
        lines[:] = more


def nest(rng: random.Random, order: Obj) -> None:
    """Depth: about the limit, which counts from the order itself, or far beyond it; closed again or not."""
    levels = rng.choice([2, 100, 300, 480, 495, 496, 497, 498, 499, 500, 501, 600, 1_000, 3_000, 20_000])
    opening, closing = rng.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]"), (b" [ ", b" ] ")])
    if opening == b'[{"a":':
        levels //= 2
    inner = rng.choice([b"", b"1", b'"[[[["', b"[]"]) if opening.strip() == b"[" else rng.choice([b"1", b"{}", b'"}"'])
    closed = levels if rng.random() < 0.8 else max(0, levels + rng.choice([-1, 1, -levels]))
    value = Raw(opening * levels + inner + closing * closed)
    if rng.random() < 0.6:
        found = rng.choice(list(objects(order)) or [order])
        found.insert(rng.randrange(len(found) + 1), ("deep", value))
    else:
        _replace(rng, order, None, value)


def shuffle_fields(rng: random.Random, order: Obj) -> None:
    for found in list(objects(order)):
        rng.shuffle(found)


def change_a_little(rng: random.Random, order: Obj) -> None:
    """Another good order under the same id."""
    lines = next(value for name, value in order if name == "lines")
    which = rng.randrange(4)
    if which == 0:
        set_field(order, "merchant_id", "m-other")
    elif which == 1:
        set_field(order, "completed_at", dict(order)["completed_at"] + 1)
    elif which == 2:
        set_field(lines[0], "paid_fen", 7)  # other donations only where they depend on it
    else:
        set_field(lines[-1], "pledge", None)
