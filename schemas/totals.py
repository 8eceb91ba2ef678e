"""ProjectTotal: the running total of a project in a window. Absolute values, upserted; compacted topic.

The newest record of a key is the truth and `revision` only grows. A tombstone means that the window was released from
memory some time after it became final; its last total stood.
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec
from msgspec import Struct

from schemas.fields import Count, Fen, Id, TimeMs, is_id


class WindowKind(StrEnum):
    """The windows of the contract, shortest first."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    ALL = "all"


class ProjectTotal(Struct, frozen=True, gc=False):
    """What a project received in one window.

    `start_ms` to `end_ms` (exclusive) bound the window by event time; `all` has 0 and None, and `start` None. `start`
    is `start_ms` as ISO 8601 text in the deployment's zone. `late_fen` is the part of `fen` that came after the window
    was final.
    """

    project_id: Id
    window: WindowKind
    start_ms: TimeMs
    end_ms: TimeMs | None
    start: str | None
    fen: Fen
    donations: Count
    late_fen: Fen
    watermark_ms: TimeMs
    final: bool
    revision: Count


class TotalKey(NamedTuple):
    """The key of a ProjectTotal, on the wire `project_id|window|start_ms`."""

    project_id: str
    window: WindowKind
    start_ms: int

    def encode(self) -> bytes:
        return f"{self.project_id}|{self.window}|{self.start_ms}".encode()


def decode_total_key(key: bytes) -> TotalKey:
    """Read a key back. Raises ValueError for anything else."""
    parts = key.decode().split("|")
    if len(parts) != 3 or not is_id(parts[0]):
        raise ValueError(f"not the key of a project total: {key!r}")
    return TotalKey(parts[0], WindowKind(parts[1]), int(parts[2]))


# A total carries in this header the offset of `project-deltas` up to which (exclusive) it is good.
POSITION_HEADER = "source-position"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ProjectTotal)

encode_total = _encoder.encode
decode_total = _decoder.decode
