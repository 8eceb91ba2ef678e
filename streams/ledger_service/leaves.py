"""How donations become leaves: in the Rust extension where it is, else in Python, to the same bytes.

The rules are `streams.ledger`'s, and what the extension doesn't surely take is judged by them. Nothing here survives a
crash, or needs to.
"""

from collections.abc import Sequence
from typing import NamedTuple

from aiokafka.errors import CorruptRecordException

from schemas.records import LogRecord
from streams.engine.packed import PackedRecords
from streams.ledger.fsck import CheckBundle, check_bundle
from streams.ledger.leaf import Salts, entries_of
from streams.ledger.tiles import Leaves, RootOf, leaves_of, pack_entries
from streams.ledger.tree import complete_root
from streams.native import extension, is_used


class Hashing(NamedTuple):
    """The two rules without a secret that cost the most, by the fastest way that is here."""

    root_of: RootOf
    check_bundle: CheckBundle


def hashing(native: bool) -> Hashing:
    """`native`: by the extension, if it's there."""
    if is_used(native):
        return Hashing(extension.complete_root, extension.check_bundle)
    return Hashing(complete_root, check_bundle)


class LeafMaker:
    """Makes leaves of donations. One at a time: a thread may, but not two at once."""

    def __init__(self, salts: Salts, *, native: bool) -> None:
        self._salts = salts
        self._native = extension.LeafMaker(salts.secret, self._judge) if is_used(native) else None

    def make(self, donations: Sequence[LogRecord], seq: int) -> Leaves:
        """The leaves of consecutive donations from the topic, the first of which must have this `seq`.

        Raises LeafError where a donation isn't the one that must come, TileError where an entry is too long, and
        CorruptRecordException for damaged bytes. Packed donations take no interpreter meanwhile: use a thread.
        """
        if self._native is None or not isinstance(donations, PackedRecords) or not donations.readable:
            return leaves_of(entries_of(donations, seq, self._salts), seq)
        try:
            return Leaves(*self._native.make(donations.data, donations.aborted, donations.position, seq))
        except extension.CorruptRecordsError as error:
            raise CorruptRecordException(str(error)) from error

    def _judge(self, offset: int, value: bytes | None, seq: int) -> bytes:
        return pack_entries(entries_of([_Record(offset, value)], seq, self._salts))


class _Record(NamedTuple):
    """What is read of a record here."""

    offset: int
    value: bytes | None
    timestamp: int = 0
    key: bytes | None = None
