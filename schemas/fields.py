"""Field types that the records share."""

import re
from typing import Annotated

from msgspec import Meta

from schemas import limits

# Control characters are those of Unicode's category Cc; `|` separates the parts of a ProjectTotal's key.
ID_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f|]")

# The pattern is for readers of the published schema. Decoding doesn't apply it (a regular expression a field is most
# of what decoding an order would cost); `schemas.order` checks the whole record's ids at once.
ID_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f|]*$"

Id = Annotated[
    str,
    Meta(min_length=1, max_length=limits.ID_MAX_CHARACTERS, extra_json_schema={"pattern": ID_PATTERN}),
]
Fen = Annotated[int, Meta(ge=0, le=limits.INT64_MAX, description="Amount in fen, 1/100 yuan.")]
EventTimeMs = Annotated[
    int,
    Meta(
        ge=limits.EVENT_TIME_MIN_MS,
        le=limits.EVENT_TIME_MAX_MS,
        description="Milliseconds since the epoch, UTC.",
    ),
]
TimeMs = Annotated[int, Meta(ge=0, le=limits.EVENT_TIME_MAX_MS + 1, description="Milliseconds since the epoch, UTC.")]
Count = Annotated[int, Meta(ge=0, le=limits.INT64_MAX)]
LineNumber = Annotated[
    int, Meta(ge=0, le=limits.LINE_NUMBER_MAX, description="The number of the line, unique within its order.")
]


def is_id(text: str) -> bool:
    """True if `text` may stand as an id: 1 to 64 characters, no control character, no `|`."""
    return 0 < len(text) <= limits.ID_MAX_CHARACTERS and ID_FORBIDDEN.search(text) is None
