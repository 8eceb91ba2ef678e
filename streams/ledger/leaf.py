r"""The leaf: a donation as the public log has it, to the byte, with a commitment in the buyer's place. Pure.

The form is RFC 8785 (JCS): the members sorted by name, no white space, integers in decimal, text as UTF-8 with `"` and
`\` escaped (an id holds no control character, and nothing else is escaped). docs/ledger.md has it to the byte.
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct

from schemas.donation import Donation, decode_donation
from schemas.records import LogRecord

SECRET_BYTES = 32
SALT_BYTES = 32
_BLOCK_BYTES = 64  # of SHA-256


class Leaf(Struct, frozen=True, forbid_unknown_fields=True):
    """A donation without its buyer. The members stand in the order in which they are written."""

    donated_at: int
    donation_id: str
    donor: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    """SHA-256(salt ‖ buyer_id), in hex; the salt is the donation's own, see `Salts`."""
    fen: int
    item_id: str
    line: int
    merchant_id: str
    order_id: str
    project_id: str
    seq: int
    source_offset: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Leaf).decode


class LeafError(ValueError):
    """An entry isn't a leaf in its one right form, or not the one that must come."""


class SaltSource(Protocol):
    """Whatever knows donations' salts."""

    def of(self, donation_id: str) -> bytes:
        """The donation's own salt."""


class Salts:
    """HMAC-SHA-256 under the deployment's secret; without it nobody can try buyers' ids one after another.

    The two inner states are kept, as RFC 2104 (section 4) proposes: a third of the time that `hmac.digest` takes.
    """

    __slots__ = ("_inner", "_outer", "secret")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"the secret has {len(secret)} bytes, not {SECRET_BYTES}")
        self.secret = secret
        padded = secret.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def of(self, donation_id: str) -> bytes:
        """The donation's own salt: HMAC-SHA-256(secret, donation_id)."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(donation_id.encode())
        outer.update(inner.digest())
        return outer.digest()


def donor_of(salt: bytes, buyer_id: str) -> str:
    return hashlib.sha256(salt + buyer_id.encode()).hexdigest()


def leaf_of(donation: Donation, salts: Salts) -> Leaf:
    return Leaf(
        donation.donated_at,
        donation.donation_id,
        donor_of(salts.of(donation.donation_id), donation.buyer_id),
        donation.fen,
        donation.item_id,
        donation.line,
        donation.merchant_id,
        donation.order_id,
        donation.project_id,
        donation.seq,
        donation.source_offset,
    )


def encode_leaf(leaf: Leaf) -> bytes:
    return _encode(leaf)


def decode_leaf(entry: bytes) -> Leaf:
    """Raises LeafError unless these bytes are a leaf's one right form."""
    try:
        leaf = _decode(entry)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LeafError(f"this is not a donation's entry: {error}") from None
    if _encode(leaf) != entry:
        raise LeafError("the entry is not written in the canonical form")
    return leaf


def entries_of(records: Iterable[LogRecord], first_seq: int, salts: Salts) -> list[bytes]:
    """The entries of consecutive donations from the topic. Raises LeafError where a `seq` isn't the next one."""
    entries: list[bytes] = []
    for seq, record in enumerate(records, first_seq):
        try:
            donation = decode_donation(record.value or b"")
        except msgspec.MsgspecError as error:
            raise LeafError(f"the record at offset {record.offset} is not a donation: {error}") from error
        if donation.seq != seq:
            raise LeafError(f"the donation at offset {record.offset} has seq {donation.seq}, but {seq} must come")
        entries.append(_encode(leaf_of(donation, salts)))
    return entries
