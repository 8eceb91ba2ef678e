"""Rejected orders: the bytes that came, untouched, with the reason in the headers."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeVar

T = TypeVar("T")
Headers = Sequence[tuple[str, bytes]]


class Reason(StrEnum):
    """Why an order is refused. The order of the members is the order in which they are checked."""

    TOO_LARGE = "too-large"
    NOT_JSON = "not-json"
    INVALID = "invalid"
    TOO_FAR_IN_FUTURE = "too-far-in-future"
    CONFLICT = "conflict"


class Refusal(NamedTuple):
    """An expected refusal: a result with a name, not an exception. `detail` says what is wrong and where."""

    reason: Reason
    detail: str


class Rejection(NamedTuple):
    """What the headers of a record of `rejected-orders` say."""

    reason: Reason
    detail: str
    source_topic: str
    source_partition: int
    source_offset: int
    rejected_at: int  # ms since the epoch: the append time of the refused record, so that a replay writes the same


DETAIL_MAX_CHARACTERS = 500  # a detail may quote the sender's text; a header is not a place for a megabyte of it


def encode_rejection(rejection: Rejection) -> list[tuple[str, bytes]]:
    """The headers, each as UTF-8 text."""
    return [
        ("reason", rejection.reason.value.encode()),
        ("detail", rejection.detail[:DETAIL_MAX_CHARACTERS].encode("utf-8", "replace")),
        ("source-topic", rejection.source_topic.encode()),
        ("source-partition", b"%d" % rejection.source_partition),
        ("source-offset", b"%d" % rejection.source_offset),
        ("rejected-at", b"%d" % rejection.rejected_at),
    ]


def decode_rejection(headers: Headers) -> Rejection:
    """Read the headers back. Raises ValueError, naming the header, if one is missing or wrong."""
    found = dict(headers)
    return Rejection(
        _read(found, "reason", Reason),
        _read(found, "detail", str),
        _read(found, "source-topic", str),
        _read(found, "source-partition", int),
        _read(found, "source-offset", int),
        _read(found, "rejected-at", int),
    )


def _read(found: dict[str, bytes], name: str, parse: Callable[[str], T]) -> T:
    value = found.get(name)
    if value is None:  # missing, or without a value, which Kafka allows
        raise ValueError(f"a rejected order without the header {name!r}")
    try:
        return parse(value.decode())
    except ValueError as error:
        raise ValueError(f"a rejected order whose header {name!r} can't be read: {error}") from None
