"""Records of `orders` that must be refused, each made from a good order by one fault. Pure.

A fault is put in front of the field that it spoils, so that the good value stays behind it under another name: the
record looks like what a broken sender would send.
"""

from collections.abc import Callable
from typing import NamedTuple

from schemas import limits
from schemas.rejection import Reason

RecordParts = tuple[bytes | None, bytes | None]


class Fault(NamedTuple):
    """What is wrong, the reason that the contract gives it, and how a good record becomes such a one."""

    name: str
    reason: Reason
    apply: Callable[[bytes, bytes], RecordParts]


def _before(field: bytes, inserted: bytes) -> Callable[[bytes, bytes], RecordParts]:
    """Put `inserted` before the first `field`, and rename that one to `was`."""
    wanted = b'"%s":' % field

    def apply(key: bytes, value: bytes) -> RecordParts:
        return key, value.replace(wanted, inserted + b',"was":', 1)

    return apply


def _extra_line(line: bytes) -> Callable[[bytes, bytes], RecordParts]:
    def apply(key: bytes, value: bytes) -> RecordParts:
        return key, value.replace(b'"lines":[', b'"lines":[%s,' % line, 1)

    return apply


def _oversized(key: bytes, value: bytes) -> RecordParts:
    return key, b'%s,"note":"%s"}' % (value[:-1], b"x" * limits.ORDER_MAX_BYTES)


_PLEDGE = b'{"line":99,"item_id":"i1","paid_fen":100,"pledge":{"kind":"%s","project_id":"P00001",%s}}'

FAULTS: tuple[Fault, ...] = (
    Fault("cut off", Reason.NOT_JSON, lambda key, value: (key, value[: len(value) // 2])),
    Fault("plain text", Reason.NOT_JSON, lambda key, value: (key, b"order of " + value[1:20])),
    Fault("a byte order mark of UTF-16", Reason.NOT_JSON, lambda key, value: (key, b"\xff\xfe" + value)),
    Fault("tombstone", Reason.NOT_JSON, lambda key, _: (key, None)),
    Fault("empty value", Reason.NOT_JSON, lambda key, _: (key, b"")),
    Fault("a list of orders", Reason.INVALID, lambda key, value: (key, b"[" + value + b"]")),
    Fault("text for an amount", Reason.INVALID, _before(b"paid_fen", b'"paid_fen":"49.90"')),
    Fault("a fraction of a fen", Reason.INVALID, _before(b"paid_fen", b'"paid_fen":49.9')),
    Fault("nothing paid", Reason.INVALID, _before(b"paid_fen", b'"paid_fen":0')),
    Fault("more paid than can be", Reason.INVALID, _before(b"paid_fen", b'"paid_fen":1000000000001')),
    Fault("time as text", Reason.INVALID, _before(b"completed_at", b'"completed_at":"2020-11-11"')),
    Fault("time out of range", Reason.INVALID, _before(b"completed_at", b'"completed_at":0')),
    Fault("line number out of range", Reason.INVALID, _before(b"line", b'"line":65536')),
    Fault("no lines", Reason.INVALID, _before(b"lines", b'"lines":[]')),
    Fault("no buyer", Reason.INVALID, _before(b"buyer_id", b'"buyer":null')),
    Fault("an id with a bar", Reason.INVALID, _before(b"merchant_id", b'"merchant_id":"m|1"')),
    Fault("an id too long", Reason.INVALID, _before(b"merchant_id", b'"merchant_id":"%s"' % (b"m" * 65))),
    Fault("the same line twice", Reason.INVALID, _extra_line(b'{"line":0,"item_id":"i1","paid_fen":100}')),
    Fault("a pledge of unknown kind", Reason.INVALID, _extra_line(_PLEDGE % (b"percent", b'"percent":1'))),
    Fault("more than the whole price", Reason.INVALID, _extra_line(_PLEDGE % (b"rate", b'"bps":10001'))),
    Fault("no key", Reason.INVALID, lambda _, value: (None, value)),
    Fault("empty key", Reason.INVALID, lambda _, value: (b"", value)),
    Fault("a key that isn't the buyer", Reason.INVALID, lambda _, value: (b"b0", value)),
    Fault("over 1 MiB", Reason.TOO_LARGE, _oversized),
)
OVERSIZED = len(FAULTS) - 1
