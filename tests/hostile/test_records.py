import random
from collections import Counter
from itertools import islice

from schemas.limits import ORDER_MAX_BYTES
from schemas.order import decode_order
from schemas.rejection import Refusal
from tests.hostile import huge
from tests.hostile.records import CASES, endless_records, good_order, hostile_records, record_at

COUNT = 5_000


def test_a_seed_gives_the_same_records_again_and_each_of_them_alone() -> None:
    records = list(hostile_records(7, 300))
    assert records == list(islice(endless_records(7), 300))
    assert records[250:] == [record_at(7, number) for number in range(250, 300)]
    assert records != list(hostile_records(8, 300))


def test_bad_and_good_ones_are_mixed() -> None:
    found = [decode_order(key, value) for key, value in hostile_records(1, COUNT)]
    reasons = Counter(each.reason.value if isinstance(each, Refusal) else "good" for each in found)
    assert set(reasons) >= {"good", "invalid", "not-json"}
    assert 0.5 < 1 - reasons["good"] / COUNT < 0.7


def test_few_records_are_the_same() -> None:
    records = list(hostile_records(2, COUNT))
    assert len(set(records)) > 0.95 * COUNT


def test_huge_ones_lie_on_the_limit_and_to_both_sides_of_it() -> None:
    rng = random.Random(3)
    sizes = {len(huge.grow(rng, good_order(rng, 3, number))) for number in range(300)}
    assert sizes >= {ORDER_MAX_BYTES - 1, ORDER_MAX_BYTES, ORDER_MAX_BYTES + 1}


def test_every_case_makes_records() -> None:
    for weight, make in CASES:
        assert weight > 0
        for number in range(30):
            rng = random.Random(number)
            key, value = make(rng, good_order(rng, 4, number), 4, number)
            assert {type(key), type(value)} <= {bytes, type(None)}
