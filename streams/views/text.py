"""Text that strangers wrote, for a terminal: what could move the cursor or turn the line around is shown, not done."""

import re

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)  # controls, directions, no characters


def printable(text: str) -> str:
    """`text` on one line, with escapes such as `x1b` after a backslash, where it holds what a terminal would obey."""
    return _UNSAFE.sub(lambda found: ascii(found.group())[1:-1], text)
