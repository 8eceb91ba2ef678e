"""Rejected orders as they lie on the topic, and as a person may look at them without harm.

Whoever sends orders chooses what they hold, a terminal's control sequences included: nothing that was sent is shown but
through `safe_text`. Reads only, record by record; nothing is kept.
"""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from schemas.rejection import Reason, Rejection, decode_rejection
from streams.engine.reader import LogReader
from streams.settings import Settings

PREVIEW_CHARACTERS = 160
DETAIL_CHARACTERS = 300
UNREADABLE = "unreadable"  # stands for the reason where the headers can't be read
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RejectedOrder(NamedTuple):
    """A record of `rejected-orders`. `rejection` is None where its headers can't be read; `problem` then says why."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    rejection: Rejection | None
    problem: str = ""

    @property
    def reason(self) -> str:
        return UNREADABLE if self.rejection is None else self.rejection.reason.value

    @property
    def place(self) -> str:
        """Where it lies now."""
        return f"{self.topic}-{self.partition}@{self.offset}"

    @property
    def source(self) -> str:
        """Where it came in."""
        found = self.rejection
        return "?" if found is None else f"{found.source_topic}-{found.source_partition}@{found.source_offset}"


async def read_rejected(
    settings: Settings, reader: LogReader, reason: Reason | None = None
) -> AsyncIterator[RejectedOrder]:
    """Every rejected order that there is now, by partition and offset. Raises UserError if the topic is missing.

    With `reason` only those refused for it, and those whose headers can't be read: they may be meant.
    """
    topic = settings.topics.rejected_orders
    for partition in await reader.partitions(topic):
        async for records in reader.read(topic, partition):
            for record in records:
                place = (topic, partition, record.offset, record.key, record.value)
                try:
                    found = decode_rejection(record.headers)
                except ValueError as error:
                    yield RejectedOrder(*place, None, str(error))
                    continue
                if reason is None or found.reason is reason:
                    yield RejectedOrder(*place, found)


def safe_text(what: bytes | str | None, characters: int = PREVIEW_CHARACTERS) -> str:
    """`what` on one line, cut to `characters`, with nothing in it that a terminal would act upon.

    Whatever isn't printable is written as an escape: control characters (ESC among them), line ends, characters that
    turn the direction of writing or take no room, and bytes that aren't UTF-8. It is for the eye: a backslash that was
    sent looks like one of ours.
    """
    if what is None:
        return "(no value)"
    if isinstance(what, bytes):
        # A character takes up to four bytes; what is cut off anyway needn't be decoded.
        text = what[: 4 * (characters + 1)].decode("utf-8", "backslashreplace")
        cut = len(what) > 4 * (characters + 1)
    else:
        text, cut = what[: characters + 1], len(what) > characters + 1
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode("ascii")
        for char in text[: characters + 1]
    )
    if len(shown) > characters or cut:
        return f"{shown[: characters - 1]}…"
    return shown


def local_time(time_ms: int, zone: ZoneInfo) -> str:
    """A time of the topic in `zone`, ISO 8601; as a bare number where no calendar has it."""
    try:
        return (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(zone).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError):
        return f"{time_ms} ms"


def rejected_lines(order: RejectedOrder, zone: ZoneInfo) -> tuple[str, str]:
    """Two lines for a person: what was refused when and where, and the beginning of what was sent."""
    found = order.rejection
    when = "?" if found is None else local_time(found.rejected_at, zone)
    detail = safe_text(order.problem if found is None else found.detail, DETAIL_CHARACTERS)
    size = "" if order.value is None else f" ({len(order.value):,} bytes)"
    key = "(no key)" if order.key is None else safe_text(order.key, 64)
    return (
        f"{when}  {order.reason:<17}  {safe_text(order.source, 300)}  {detail}",
        f"    key {key}  value {safe_text(order.value)}{size}",
    )


def rejected_json(order: RejectedOrder, zone: ZoneInfo) -> dict[str, Any]:
    """The same for programs, with the whole of what was sent: as text where it is UTF-8, in base64 where it isn't."""
    found = order.rejection
    return {
        "reason": order.reason,
        "detail": order.problem if found is None else found.detail,
        "source": order.source,
        "place": order.place,
        "rejected_at": None if found is None else found.rejected_at,
        "rejected": None if found is None else local_time(found.rejected_at, zone),
        **_bytes_json("key", order.key),
        **_bytes_json("value", order.value),
    }


def _bytes_json(name: str, value: bytes | None) -> dict[str, str | None]:
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {name: None, f"{name}_base64": base64.b64encode(value).decode()}
