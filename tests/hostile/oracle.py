"""What the contract says of any record of `orders`, written a third time, to judge the code that decides.

It shares nothing with `schemas` or `streams`: the standard library reads the JSON, and docs/contract.md is written out
in plain words of Python, limits included. Slow, and meant to be read beside the contract.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

HOUR_MS = 3_600_000
HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")
Gift = tuple[int, str, str, int]  # line, item, project, fen


class Refused(Exception):  # noqa: N818 - a verdict
    """`reason` is the contract's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoInteger:
    """A number with a fraction or an exponent."""


class Pairs(list[tuple[str, Any]]):
    """An object as it was written: also what stands twice."""


@dataclass(frozen=True)
class Order:
    order_id: str
    buyer_id: str
    merchant_id: str
    completed_at: int
    lines: tuple[tuple[Any, ...], ...]  # (line, item, paid_fen, None or (kind, project, amount))

    @property
    def gifts(self) -> tuple[Gift, ...]:
        return tuple((line, item, pledge[1], _fen(paid, *pledge)) for line, item, paid, pledge in self.lines if pledge)


def read_order(key: bytes | None, value: bytes | None) -> Order:
    """The order; raises Refused."""
    if value is not None and len(value) > 1_048_576:
        raise Refused("too-large")
    whole = _fields(_read_json(value), ORDER)
    order_id, buyer_id, merchant_id, completed_at, found = (whole[name] for name in ORDER)
    lines = tuple(
        (line["line"], line["item_id"], line["paid_fen"], line.get("pledge") and tuple(line["pledge"].values()))
        for line in found
    )
    for text in (
        order_id,
        buyer_id,
        merchant_id,
        *(line[1] for line in lines),
        *(line[3][1] for line in lines if line[3]),
    ):
        if any(character == "|" or unicodedata.category(character) == "Cc" for character in text):
            raise Refused("invalid")
    if len({line[0] for line in lines}) < len(lines):
        raise Refused("invalid")
    if key is None or key != buyer_id.encode("utf-8"):
        raise Refused("invalid")
    return Order(order_id, buyer_id, merchant_id, completed_at, lines)


def _read_json(value: bytes | None) -> Any:
    if value is None:
        raise Refused("not-json")
    try:
        found = json.loads(
            value.decode("utf-8", "strict"),
            object_pairs_hook=Pairs,
            parse_constant=_no_json,
            parse_float=lambda _: NoInteger(),
            parse_int=lambda text: int(text) if len(text) < 30 else 10**30,
        )
    except (ValueError, RecursionError):
        raise Refused("not-json") from None
    for text, depth in _walk(found):
        if depth > 500 or HALF_OF_A_PAIR.search(text):
            raise Refused("not-json")
    return found


def _no_json(name: str) -> Any:
    raise ValueError(name)


def _walk(found: Any) -> Iterator[tuple[str, int]]:
    """Every text, names too, and "" for anything else, with how many objects and arrays it is in."""
    todo = [(found, 0)]
    while todo:
        node, depth = todo.pop()
        if isinstance(node, Pairs):
            yield "", depth + 1
            for name, inner in node:
                yield name, depth + 1
                todo.append((inner, depth + 1))
        elif isinstance(node, list):
            yield "", depth + 1
            todo.extend((inner, depth + 1) for inner in node)
        else:
            yield node if isinstance(node, str) else "", depth


Check = Callable[[Any], Any]  # gives what the value says, or raises Refused


def _fields(found: Any, checks: dict[str, Check], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields that the contract knows. Each must be right wherever it stands; of two the last counts."""
    if not isinstance(found, Pairs):
        raise Refused("invalid")
    said = {}
    for name, value in found:
        if name in checks:
            said[name] = checks[name](value)
    if not set(checks) <= {*said, *optional}:
        raise Refused("invalid")
    return {name: said[name] for name in checks if name in said}


def _text(found: Any) -> str:
    if not isinstance(found, str) or not 1 <= len(found) <= 64:
        raise Refused("invalid")
    return found


def _integer(least: int, most: int) -> Check:
    def check(found: Any) -> int:
        if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
            raise Refused("invalid")
        return found

    return check


def _pledge(found: Any) -> dict[str, Any] | None:
    if found is None:
        return None
    if not isinstance(found, Pairs):
        raise Refused("invalid")
    kinds = [value for name, value in found if name == "kind"]
    if any(kind != kinds[0] for kind in kinds):  # of two kinds none can count
        raise Refused("invalid")
    for kind, checks in PLEDGES.items():
        if kinds and kinds[0] == kind:
            return _fields(found, checks)
    raise Refused("invalid")


def _lines(found: Any) -> list[dict[str, Any]]:
    if not isinstance(found, list) or isinstance(found, Pairs) or not 1 <= len(found) <= 200:
        raise Refused("invalid")
    return [_fields(line, LINE, optional=("pledge",)) for line in found]


PLEDGES: dict[str, dict[str, Check]] = {
    "fixed": {"kind": _text, "project_id": _text, "fen": _integer(1, 10**12)},
    "rate": {"kind": _text, "project_id": _text, "bps": _integer(1, 10_000)},
}
LINE: dict[str, Check] = {
    "line": _integer(0, 65_535),
    "item_id": _text,
    "paid_fen": _integer(1, 10**12),
    "pledge": _pledge,
}
ORDER: dict[str, Check] = {
    "order_id": _text,
    "buyer_id": _text,
    "merchant_id": _text,
    "completed_at": _integer(1, 253_402_300_799_999),
    "lines": _lines,
}


def _fen(paid_fen: int, kind: str, project_id: str, amount: int) -> int:
    if kind == "fixed":
        return min(amount, paid_fen)
    rounded = floor(Fraction(paid_fen * amount, 10_000) + Fraction(1, 2))
    return min(max(rounded, 2), paid_fen)


@dataclass
class Fates:
    """What must become of the records of one partition."""

    donations: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[tuple[int, str]] = field(default_factory=list)  # offset, reason
    repeats: int = 0
    no_pledge: int = 0
    accepted: int = 0  # that donated


@dataclass
class Partition:
    """One partition of `orders`: its memory of ids, and what becomes of each record."""

    horizon_ms: int = 24 * HOUR_MS
    fates: Fates = field(default_factory=Fates)
    clock_ms: int = 0
    known: dict[str, tuple[int, Any]] = field(default_factory=dict)  # id -> slice, what it gave

    def take(self, offset: int, timestamp: int, key: bytes | None, value: bytes | None) -> None:
        try:
            self._take(offset, timestamp, read_order(key, value))
        except Refused as refused:
            self.fates.rejected.append((offset, refused.reason))

    def _take(self, offset: int, timestamp: int, order: Order) -> None:
        fates = self.fates
        if order.completed_at > timestamp + 24 * HOUR_MS:
            raise Refused("too-far-in-future")
        gave = order.gifts and (order.buyer_id, order.merchant_id, order.completed_at, order.gifts)
        before = self.known.get(order.order_id)
        if before is not None and self._slice(self.clock_ms) - before[0] <= 24:
            if before[1] != gave:
                raise Refused("conflict")
            fates.repeats += 1
        elif not gave:
            fates.no_pledge += 1
        else:
            fates.accepted += 1
            self.clock_ms = max(self.clock_ms, order.completed_at)
            self.known[order.order_id] = self._slice(self.clock_ms), gave
            fates.donations.extend(_donations(order, len(fates.donations), offset))

    def _slice(self, time_ms: int) -> int:
        return time_ms // (self.horizon_ms // 24)


def _donations(order: Order, first_seq: int, offset: int) -> Iterable[dict[str, Any]]:
    for more, (line, item_id, project_id, fen) in enumerate(order.gifts):
        yield {
            "donation_id": f"{order.order_id}:{line}",
            "seq": first_seq + more,
            "order_id": order.order_id,
            "line": line,
            "buyer_id": order.buyer_id,
            "merchant_id": order.merchant_id,
            "item_id": item_id,
            "project_id": project_id,
            "fen": fen,
            "donated_at": order.completed_at,
            "source_offset": offset,
        }
