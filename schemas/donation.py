"""Donation: one line's gift. The topic `donations` is the ledger and is kept for ever."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from schemas import limits
from schemas.decoding import decoding
from schemas.fields import Count, EventTimeMs, Id, LineNumber


class Donation(Struct, frozen=True, gc=False):
    """One donation, on the partition with the number of its order's partition; Kafka timestamp = `donated_at`.

    `seq` counts the donations of that partition from 0 with no gap and no repeat. `source_offset` is the offset of the
    order in its partition of `orders`.
    """

    donation_id: Annotated[str, Meta(description="`order_id:line`")]
    seq: Annotated[Count, Meta(description="Counts the donations of the partition from 0, no gap, no repeat.")]
    order_id: Id
    line: LineNumber
    buyer_id: Id
    merchant_id: Id
    item_id: Id
    project_id: Id
    fen: Annotated[int, Meta(ge=1, le=limits.PAID_FEN_MAX, description="Amount in fen, 1/100 yuan.")]
    donated_at: EventTimeMs
    source_offset: Annotated[Count, Meta(description="Offset of the order in its partition of `orders`.")]


_encoder = msgspec.json.Encoder()

encode_donation = _encoder.encode
decode_donation = decoding(Donation)
