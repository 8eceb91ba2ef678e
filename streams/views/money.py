"""Fen as people read them. Integer arithmetic only: a float would show cents that nobody gave."""


def format_yuan(fen: int) -> str:
    """12345 fen as `123.45`, 1234567890 as `12,345,678.90`."""
    sign = "-" if fen < 0 else ""
    yuan, rest = divmod(abs(fen), 100)
    return f"{sign}{yuan:,}.{rest:02d}"
