"""Projects in lists, and how their names are compared in a search."""

import unicodedata

from msgspec import Struct

from schemas.fields import Count, Fen


class Ranked(Struct, frozen=True):
    """A project in a list; `name` is null for one that isn't in the reference data."""

    project_id: str
    name: str | None
    charity: str | None
    fen: Fen
    donations: Count


def fold_text(*parts: str) -> str:
    """The parts as a search sees them: upper and lower case, full and half width are the same."""
    return unicodedata.normalize("NFKC", "\n".join(parts)).casefold()
