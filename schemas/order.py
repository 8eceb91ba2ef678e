"""OrderCompleted: what comes in.

`decode_order` is the only way from bytes to an order; whatever it returns is valid. What it refuses it names: a
`Refusal` with the reason of the contract and a detail for a person, which names the field.
"""

import re
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from schemas import limits
from schemas.fields import ID_FORBIDDEN, EventTimeMs, Id, LineNumber
from schemas.rejection import Reason, Refusal


class FixedPledge(Struct, frozen=True, gc=False, tag="fixed", tag_field="kind"):
    """The merchant gives a fixed amount for each deal."""

    project_id: Id
    fen: Annotated[int, Meta(ge=1, le=limits.PAID_FEN_MAX, description="Amount in fen, 1/100 yuan.")]


class RatePledge(Struct, frozen=True, gc=False, tag="rate", tag_field="kind"):
    """The merchant gives a share of what was paid, in basis points (1/10,000)."""

    project_id: Id
    bps: Annotated[int, Meta(ge=1, le=limits.RATE_BPS_MAX, description="Basis points, 1/10,000 of `paid_fen`.")]


Pledge = FixedPledge | RatePledge


class OrderLine(Struct, frozen=True, gc=False):
    """One item of an order; `pledge` is what stood when the deal was made, null for an ordinary item."""

    line: LineNumber
    item_id: Id
    paid_fen: Annotated[
        int,
        Meta(
            ge=1,
            le=limits.PAID_FEN_MAX,
            description="What the buyer paid for the line, shipping included, in fen, 1/100 yuan.",
        ),
    ]
    pledge: Pledge | None = None


class OrderCompleted(Struct, frozen=True, gc=False):
    """A completed order, keyed by `buyer_id` on the topic `orders`."""

    order_id: Id
    buyer_id: Id
    merchant_id: Id
    completed_at: EventTimeMs
    lines: Annotated[tuple[OrderLine, ...], Meta(min_length=1, max_length=limits.LINES_MAX)]


_decoder = msgspec.json.Decoder(OrderCompleted)
_encoder = msgspec.json.Encoder()
_decode = _decoder.decode
_skip = msgspec.json.Decoder(msgspec.Raw).decode  # checks that the whole is JSON and makes nothing of it

_LONG_BYTES = 2 * limits.NESTING_MAX  # a shorter value can neither be too large nor nest too deep

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # never goes back: linear, also where the end is missing
_BRACKET = re.compile(rb"[][{}]")


def encode_order(order: OrderCompleted) -> bytes:
    return _encoder.encode(order)


def are_plain(values: Iterable[bytes | None]) -> bool:
    """True if nothing in `values` is escaped or beyond printable ASCII: then no id needs a second look.

    An id can hold a forbidden character only if the bytes hold an escape, a `|`, a DEL or something beyond ASCII.
    Looking for that in a whole batch at once costs a fiftieth of looking in each value.
    """
    joined = b"".join(filter(None, values))
    return joined.isascii() and b"\\" not in joined and b"|" not in joined and b"\x7f" not in joined


def decode_order(key: bytes | None, value: bytes | None, *, plain: bool = False) -> OrderCompleted | Refusal:
    """The order that a record of `orders` holds, or why it is refused. `plain`: what `are_plain` said of it.

    Checked in this order, and the first that fails is the reason: size, JSON (all of it, UTF-8 included), types and
    ranges, ids, unique line numbers, key. The key must be the order's `buyer_id`: repeats are found within a partition,
    so an order under another key could be counted twice. Of two of a field the last counts; each must be right.
    """
    if value is None:
        return Refusal(Reason.NOT_JSON, "the record has no value (a tombstone); an order must be a JSON object")
    if len(value) > _LONG_BYTES and (refusal := _check_size(value)):
        return refusal
    try:
        if not plain and not value.isascii():
            value.decode()  # msgspec skips the fields that we don't know without looking at their UTF-8
        order = _decode(value)
    except msgspec.ValidationError as error:
        return _refuse_value(value, error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Refusal(Reason.NOT_JSON, str(error))
    if not plain and not are_plain((value,)) and (refusal := _check_ids(order)):
        return refusal
    lines = order.lines
    if len(lines) > 1 and len({line.line for line in lines}) < len(lines):
        return Refusal(Reason.INVALID, "line numbers repeat within the order - at `$.lines[...].line`")
    if key is None or key != order.buyer_id.encode():
        return Refusal(Reason.INVALID, "the record's key must be the order's buyer_id - at key")
    return order


def _refuse_value(value: bytes, error: msgspec.ValidationError) -> Refusal:
    """`error` stopped the decoding where it stood; what comes after it may not even be JSON, and that goes first."""
    try:
        _skip(value)
    except (msgspec.DecodeError, RecursionError) as malformed:
        return Refusal(Reason.NOT_JSON, str(malformed))
    return Refusal(Reason.INVALID, str(error))


def _check_size(value: bytes) -> Refusal | None:
    if len(value) > limits.ORDER_MAX_BYTES:
        return Refusal(Reason.TOO_LARGE, f"{len(value)} bytes; the limit is {limits.ORDER_MAX_BYTES}")
    if _nesting(value) > limits.NESTING_MAX:
        return Refusal(Reason.NOT_JSON, f"nested deeper than {limits.NESTING_MAX} levels")
    return None


def _nesting(value: bytes) -> int:
    """How deep `value` nests if it is JSON; more than that only where it stays within the limit anyway."""
    opened = value.count(b"[") + value.count(b"{")
    if opened <= limits.NESTING_MAX:
        return opened
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", value)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _check_ids(order: OrderCompleted) -> Refusal | None:
    places = [("$.order_id", order.order_id), ("$.buyer_id", order.buyer_id), ("$.merchant_id", order.merchant_id)]
    for index, line in enumerate(order.lines):
        places.append((f"$.lines[{index}].item_id", line.item_id))
        if line.pledge is not None:
            places.append((f"$.lines[{index}].pledge.project_id", line.pledge.project_id))
    for place, text in places:
        if ID_FORBIDDEN.search(text):
            return Refusal(Reason.INVALID, f"Expected an id without control characters and `|` - at `{place}`")
    return None
