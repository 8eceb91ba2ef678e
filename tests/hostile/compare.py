"""The pure rules against the oracle, record by record."""

from dataclasses import dataclass

from schemas.order import FixedPledge, OrderCompleted, are_plain, decode_order
from schemas.rejection import Refusal
from tests.hostile.oracle import Order, Refused, read_order
from tests.hostile.records import KeyValue, record_at

COMMAND = "python -m tests.hostile --seed {seed} --only {number}"


@dataclass(frozen=True)
class Difference:
    """Record `number` of a run is one thing to the contract and another to the code."""

    seed: int
    number: int
    expected: str
    found: str

    def __str__(self) -> str:
        key, value = record_at(self.seed, self.number)
        again = COMMAND.format(seed=self.seed, number=self.number)
        return (
            f"expected {self.expected}\n   found {self.found}\n"
            f"     key {key!r}\n   value {shown(value)}\n   again {again}"
        )


def shown(value: bytes | None) -> str:
    text = repr(value)
    return text if len(text) < 2_000 else f"{text[:2_000]}… ({len(value or b'')} bytes)"


def wanted(record: KeyValue) -> Order | str:
    """What the contract makes of it: an order or a reason."""
    try:
        return read_order(*record)
    except Refused as refused:
        return refused.reason


def compare(seed: int, number: int) -> Difference | None:
    record = record_at(seed, number)
    expected = wanted(record)
    for plain in {False, are_plain([record[1]])}:  # a reader that was told that nothing is unusual must say the same
        found = _plain_words(decode_order(*record, plain=plain))
        if found != expected:
            return Difference(seed, number, str(expected), f"{found} (plain={plain})")
    return None


def _plain_words(found: OrderCompleted | Refusal) -> Order | str:
    if isinstance(found, Refusal):
        assert found.detail, "a refusal without a word for a person"
        return found.reason.value
    lines = []
    for line in found.lines:
        pledge = line.pledge
        if pledge is None:
            words = None
        elif isinstance(pledge, FixedPledge):
            words = ("fixed", pledge.project_id, pledge.fen)
        else:
            words = ("rate", pledge.project_id, pledge.bps)
        lines.append((line.line, line.item_id, line.paid_fen, words))
    return Order(found.order_id, found.buyer_id, found.merchant_id, found.completed_at, tuple(lines))
