"""Hostile records of `orders`, by seed: bad ones of every kind, ones on the border, and good ones among them.

`hostile_records` gives pairs of key and value. A record depends on the seed and its number alone, so `record_at` gives
any of them again. Some 6 of 10 are bad; one of 1,000 is huge. Which are bad isn't said here: tests/hostile/oracle.py
judges, by rules of its own.
"""

import random
from collections.abc import Callable, Iterator
from itertools import count as count_from
from itertools import islice

from tests.hostile import damage, faults, huge
from tests.hostile.json_text import PLAIN, Obj, Style, write

KeyValue = tuple[bytes | None, bytes | None]

SOME_DAY_MS = 1_605_024_000_000  # 2020-11-11T00:00:00+08:00
SPAN_MS = 20 * 60_000  # of event time: few windows, for what is tested isn't windows


def hostile_records(seed: int, count: int) -> Iterator[KeyValue]:
    """`count` records, each (key, value). The first ones of a longer run are the same."""
    return islice(endless_records(seed), count)


def endless_records(seed: int) -> Iterator[KeyValue]:
    return (record_at(seed, number) for number in count_from())


def record_at(seed: int, number: int) -> KeyValue:
    """Record `number` of the run `seed`."""
    rng = random.Random(f"{seed}:{number}")
    [make] = rng.choices(MAKERS, WEIGHTS)
    order = good_order(rng, seed, number)
    return make(rng, order, seed, number)


def good_order(rng: random.Random, seed: int, number: int) -> Obj:
    """An order as sources send it."""
    lines = [
        Obj(
            [
                ("line", index),
                ("item_id", f"i{rng.randrange(1_000)}"),
                ("paid_fen", rng.choice([1, 2, 3, 99, 4_990, 12_900, 10**6, 10**12])),
                ("pledge", _pledge(rng)),
            ]
        )
        for index in range(rng.choice([1, 1, 1, 2, 3, 5]))
    ]
    return Obj(
        [
            ("order_id", f"o{seed}-{number}"),
            ("buyer_id", f"b{rng.randrange(200)}"),
            ("merchant_id", f"m{rng.randrange(50)}"),
            ("completed_at", SOME_DAY_MS + rng.randrange(SPAN_MS)),
            ("lines", lines),
        ]
    )


def _pledge(rng: random.Random) -> Obj | None:
    kind = rng.randrange(5)
    project = ("project_id", f"P{rng.randrange(20):04}")
    if kind == 0:
        return None
    if kind <= 2:
        return Obj([("kind", "fixed"), project, ("fen", rng.choice([1, 2, 5, 500, 10**12]))])
    return Obj([("kind", "rate"), project, ("bps", rng.choice([1, 30, 50, 4_999, 10_000]))])


def key_of(order: Obj) -> bytes:
    return str(dict(order)["buyer_id"]).encode()


Make = Callable[[random.Random, Obj, int, int], KeyValue]


def _good(rng: random.Random, order: Obj, seed: int, number: int) -> KeyValue:
    return key_of(order), write(order, rng)


def _repeated(rng: random.Random, order: Obj, seed: int, number: int) -> KeyValue:
    """The good order of an earlier record, which may have come as such, changed, or not at all."""
    earlier = max(0, number - rng.choice([1, 1, 2, 10, 100, 3_000]))
    then = random.Random(f"{seed}:{earlier}")
    then.choices(MAKERS, WEIGHTS)
    found = good_order(then, seed, earlier)
    if rng.random() < 0.4:  # a conflict, if that one donated
        faults.change_a_little(rng, found)
    return key_of(found), write(found, rng, _any_style(rng))


def _styled(rng: random.Random, order: Obj, seed: int, number: int) -> KeyValue:
    """A good order written in an unusual way."""
    key = key_of(order)
    faults.shuffle_fields(rng, order)
    return key, write(order, rng, _any_style(rng))


def _any_style(rng: random.Random) -> Style:
    return Style(rng.choice([0, 0, 0.1, 1]), rng.choice([0, 0, 0.1, 1]), rng.random() < 0.5)


def _faulty(change: Callable[[random.Random, Obj], None]) -> Make:
    """An order whose tree `change` has spoilt, once or more often, written in any style."""

    def make(rng: random.Random, order: Obj, seed: int, number: int) -> KeyValue:
        key = key_of(order)
        for _ in range(rng.choice([1, 1, 1, 1, 2, 4])):
            change(rng, order)
        return key, write(order, rng, PLAIN if rng.random() < 0.7 else _any_style(rng))

    return make


def _damaged(spoil: Callable[[random.Random, bytes], bytes | None]) -> Make:
    """An order whose bytes `spoil` has spoilt."""

    def make(rng: random.Random, order: Obj, seed: int, number: int) -> KeyValue:
        return key_of(order), spoil(rng, write(order, rng, Style(rng.choice([0, 0.1]), 0, rng.random() < 0.5)))

    return make


def _wrong_key(rng: random.Random, order: Obj, seed: int, number: int) -> KeyValue:
    if rng.random() < 0.5:
        faults.set_field(order, "buyer_id", rng.choice(damage.BUYERS))
    key = damage.spoil_key(rng, key_of(order))
    return key, write(order, rng, Style(ascii=rng.random() < 0.5))


def _renamed(rng: random.Random, order: Obj, seed: int, number: int) -> KeyValue:
    """Ids of any kind, the buyer's among them, under the right key where one can be right."""
    text = faults.any_id(rng)
    faults.set_field(order, "buyer_id", text)
    return text.encode("utf-8", "surrogatepass"), write(order, rng, _any_style(rng))


def _scrap(rng: random.Random, order: Obj, seed: int, number: int) -> KeyValue:
    return rng.choice([key_of(order), b"", None]), damage.scrap(rng)


def _huge(rng: random.Random, order: Obj, seed: int, number: int) -> KeyValue:
    return key_of(order), huge.grow(rng, order)


CASES: list[tuple[float, Make]] = [
    (14, _good),
    (4, _repeated),
    (8, _styled),
    (10, _faulty(faults.put_number)),
    (3, _faulty(faults.put_time)),
    (8, _faulty(faults.put_text)),
    (8, _faulty(faults.put_other_type)),
    (5, _faulty(faults.put_no_json)),
    (5, _faulty(faults.drop_field)),
    (5, _faulty(faults.double_field)),
    (5, _faulty(faults.add_unknown_field)),
    (3, _faulty(faults.spoil_name)),
    (4, _faulty(faults.change_lines)),
    (3, _faulty(faults.nest)),
    (4, _renamed),
    (4, _wrong_key),
    (2, _scrap),
    (3, _damaged(damage.cut)),
    (5, _damaged(damage.change_bytes)),
    (2, _damaged(damage.spoil_utf8)),
    (3, _damaged(damage.surround)),
    (1, _damaged(damage.encode_otherwise)),
    (0.1, _huge),
]
WEIGHTS = [weight for weight, _ in CASES]
MAKERS = [make for _, make in CASES]
