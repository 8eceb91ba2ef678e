from collections import Counter
from itertools import islice

from schemas.limits import ORDER_MAX_BYTES
from schemas.order import decode_order
from schemas.rejection import Refusal
from tests.hostile.records import CASES, endless_records, hostile_records, record_at

COUNT = 5_000


def test_a_seed_gives_the_same_records_again_and_each_of_them_alone() -> None:
    records = list(hostile_records(7, 300))
    assert records == list(islice(endless_records(7), 300))
    assert records[250:] == [record_at(7, number) for number in range(250, 300)]
    assert records != list(hostile_records(8, 300))


def test_bad_and_good_ones_are_mixed_and_every_reason_of_a_single_record_is_there() -> None:
    found = [decode_order(key, value) for key, value in hostile_records(1, COUNT)]
    reasons = Counter(each.reason.value if isinstance(each, Refusal) else "good" for each in found)
    assert set(reasons) == {"good", "invalid", "not-json", "too-large"}
    assert 0.5 < 1 - reasons["good"] / COUNT < 0.7


def test_every_case_gives_different_records_and_none_fails() -> None:
    assert all(weight > 0 for weight, _ in CASES)
    values = [value for _, value in hostile_records(2, COUNT)]
    assert len(set(values)) > 0.95 * COUNT
    sizes = sorted(len(value or b"") for value in values)
    assert sizes[0] == 0
    assert sizes[-1] > ORDER_MAX_BYTES
