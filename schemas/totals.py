"""ProjectTotal: the running total of a project in a window. Absolute values, upserted; compacted topic.

The newest record of a key is the truth and `revision` only grows. A tombstone means that the window was released from
memory some time after it became final; its last total stood.
"""

from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from schemas.decoding import decoding
from schemas.fields import Count, Fen, Id, TimeMs, is_id


class WindowKind(StrEnum):
    """The windows of the contract, shortest first."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    ALL = "all"


_KIND_BYTES = {kind: kind.value.encode() for kind in WindowKind}


class ProjectTotal(Struct, frozen=True, gc=False):
    """What a project received in one window.

    `start_ms` to `end_ms` (exclusive) bound the window by event time; `all` has 0 and null, and `start` null. `start`
    is `start_ms` as ISO 8601 text in the deployment's zone. `late_fen` is the part of `fen` that came after the window
    was final.
    """

    project_id: Id
    window: WindowKind
    start_ms: TimeMs
    end_ms: TimeMs | None
    start: str | None
    fen: Fen
    donations: Annotated[Count, Meta(description="How many donations `fen` is the sum of.")]
    late_fen: Fen
    watermark_ms: TimeMs
    final: Annotated[bool, Meta(description="The watermark has passed the end of the window.")]
    revision: Annotated[Count, Meta(description="Only grows; the record with the greatest is the truth.")]


class TotalKey(NamedTuple):
    """The key of a ProjectTotal, on the wire `project_id|window|start_ms`."""

    project_id: str
    window: WindowKind
    start_ms: int

    def encode(self) -> bytes:
        return b"%b|%b|%d" % (self.project_id.encode(), _KIND_BYTES[self.window], self.start_ms)


def key_of(total: ProjectTotal) -> TotalKey:
    """The key under which `total` is written."""
    return TotalKey(total.project_id, total.window, total.start_ms)


def decode_total_key(key: bytes) -> TotalKey:
    """Read a key back. Raises ValueError for anything else."""
    try:
        project_id, window, start_ms = key.decode().split("|")
        found = TotalKey(project_id, WindowKind(window), int(start_ms))
    except ValueError:
        found = None
    # int() also takes `+5`, `5_0` and `05`: other bytes, so another key to Kafka.
    if found is None or found.start_ms < 0 or found.encode() != key or not is_id(found.project_id):
        raise ValueError(f"not the key of a project total: {key!r}")
    return found


# A total carries in this header the offset of `project-deltas` up to which (exclusive) it is good.
POSITION_HEADER = "source-position"

_encoder = msgspec.json.Encoder()

encode_total = _encoder.encode
decode_total = decoding(ProjectTotal)
