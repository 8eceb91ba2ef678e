"""One line on a terminal that says how far a command is, drawn anew each time; nothing where there is no terminal."""

import sys

_CLEAR = "\r\x1b[K"


def tell(text: str) -> None:
    """Show `text` in place of what was shown last. Whoever prints anything else calls `clear` first."""
    if sys.stderr.isatty():
        print(f"{_CLEAR}{text}", end="", file=sys.stderr, flush=True)


def clear() -> None:
    """Take the line away."""
    if sys.stderr.isatty():
        print(_CLEAR, end="", file=sys.stderr, flush=True)
