"""What an audit has found: every difference counted, the first of each kind kept for a person to look at."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

KEPT_PER_KIND = 20  # the first ones show what went wrong; a million more of the same only fill memory and screens
SHOWN_CHARACTERS = 120  # a finding quotes what was sent; a screen is no place for a megabyte of it


class Kind(StrEnum):
    """What may be wrong. Each is a claim of the contract that didn't hold."""

    DONATION_MISSING = "donation-missing"
    DONATION_DOUBLED = "donation-doubled"
    DONATION_UNDUE = "donation-undue"
    DONATION_ALTERED = "donation-altered"
    DONATION_UNREADABLE = "donation-unreadable"
    SEQ_BROKEN = "seq-broken"
    REJECTION_MISSING = "rejection-missing"
    REJECTION_DOUBLED = "rejection-doubled"
    REJECTION_UNDUE = "rejection-undue"
    REJECTION_ALTERED = "rejection-altered"
    TOTAL_MISSING = "total-missing"
    TOTAL_UNDUE = "total-undue"
    TOTAL_WRONG = "total-wrong"
    TOTAL_MISPLACED = "total-misplaced"
    TOTAL_UNREADABLE = "total-unreadable"
    TOTAL_WENT_BACK = "total-went-back"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: where it is, what had to be there, what is there, and the same in words."""

    kind: Kind
    place: str
    expected: str
    found: str
    text: str

    def to_json(self) -> dict[str, str]:
        """The finding for programs."""
        return {
            "kind": self.kind.value,
            "place": self.place,
            "expected": self.expected,
            "found": self.found,
            "text": self.text,
        }


class Findings:
    """Collects findings; memory stays bounded however broken the topics are."""

    def __init__(self, kept_per_kind: int = KEPT_PER_KIND) -> None:
        self._kept_per_kind = kept_per_kind
        self._kept: list[Finding] = []
        self.counts: Counter[Kind] = Counter()

    def add(self, kind: Kind, place: str, expected: object, found: object, text: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= self._kept_per_kind:
            self._kept.append(Finding(kind, place, shorten(expected), shorten(found), shorten(text)))

    @property
    def kept(self) -> tuple[Finding, ...]:
        return tuple(self._kept)

    @property
    def total(self) -> int:
        return self.counts.total()


def shorten(what: object) -> str:
    """`what` as text that fits on a line."""
    text = repr(what) if isinstance(what, bytes) else str(what)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
