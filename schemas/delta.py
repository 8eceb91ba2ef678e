"""What `project-deltas` carries from split to totals (internal): partial sums of one commit, and watermarks.

A record with a key (the project's id) is a `ProjectDelta`. A record without one is a `SourceWatermark`: it follows the
deltas of its commit on every partition that got some, so a donation is judged late by what was known before it came.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.fields import Count, Fen, TimeMs

_OLDEST_ORDER = "When the oldest order behind the sums that stand before this was appended: for metrics alone."


class MinuteSum(Struct, frozen=True, gc=False, array_like=True):
    """What one project received in one minute: `[start_ms, fen, donations]`."""

    start_ms: TimeMs
    fen: Fen
    donations: Count


class ProjectDelta(Struct, frozen=True, gc=False):
    """One project's donations of one commit of the source partition, by minute of event time."""

    minutes: tuple[MinuteSum, ...]


class SourceWatermark(Struct, frozen=True, gc=False):
    """No order older than `watermark_ms` is expected from this partition of `orders`; `idle`: none at all for now."""

    source: Count
    watermark_ms: TimeMs
    idle: bool = False
    oldest_order_ms: Annotated[TimeMs, Meta(description=_OLDEST_ORDER)] | UnsetType = UNSET


_encoder = msgspec.json.Encoder()

encode_delta = _encoder.encode
decode_delta = msgspec.json.Decoder(ProjectDelta).decode
encode_watermark = _encoder.encode
decode_watermark = msgspec.json.Decoder(SourceWatermark).decode
