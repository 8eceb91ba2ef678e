"""A receipt: that a donation is in the ledger, in one text file (C2SP tlog-proof), to be checked by anybody, offline.

Its extra data is the JSON object `{"entry": the leaf's exact bytes as a string, "salt": 64 hex digits}` in the leaf's
own canonical form, so the file alone, and the log's public key, are enough. There is one right form of the whole file:
whatever differs from it in any byte is refused, and the refusal names the promise that fails. Pure.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from streams.ledger.checkpoint import Checkpoint, parse_decimal
from streams.ledger.leaf import Leaf, LeafError, SaltSource, decode_leaf, donor_of
from streams.ledger.notes import (
    KeyType,
    Note,
    NoteError,
    VerifierKey,
    cosigned_at_s,
    decode_base64,
    encode_base64,
)
from streams.ledger.policy import Policy
from streams.ledger.published import PublishedLog, checkpoint_of
from streams.ledger.tree import (
    HASH_BYTES,
    PROOF_HASHES_MAX,
    ProofError,
    inclusion_proof,
    leaf_hash,
    verify_inclusion,
)

HEADER = "c2sp.org/tlog-proof@v1"
RECEIPT_MAX_BYTES = 65_536


class Promise(StrEnum):
    """What a receipt promises, in the order in which it is checked; a refusal names the first that fails."""

    FORM = "form"  # it is a receipt, written in its one right form
    SIGNATURE = "signature"  # the log whose key we know has signed the checkpoint
    WITNESSES = "witnesses"  # the witnesses that a policy asks for have cosigned it
    INCLUSION = "inclusion"  # the entry is the leaf of that number in the tree that was signed
    ENTRY = "entry"  # the entry is a donation, and its number is its own
    DONOR = "donor"  # it is this donor's


class ReceiptError(ValueError):
    """The promise that fails, and how."""

    def __init__(self, promise: Promise, message: str) -> None:
        super().__init__(message)
        self.promise = promise


class _Extra(Struct, frozen=True, forbid_unknown_fields=True):
    entry: str
    salt: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


_encode_extra = msgspec.json.Encoder().encode
_decode_extra = msgspec.json.Decoder(_Extra).decode


@dataclass(frozen=True, slots=True)
class Receipt:
    """One donation's proof. `note`: the checkpoint with its signatures, those of witnesses included."""

    index: int
    proof: tuple[bytes, ...]
    note: Note
    entry: bytes
    salt: bytes

    @classmethod
    def parse(cls, data: bytes) -> "Receipt":
        """Raises ReceiptError (of the form) unless these bytes are a receipt in its one right form."""
        if len(data) > RECEIPT_MAX_BYTES:
            raise ReceiptError(Promise.FORM, f"a file of more than {RECEIPT_MAX_BYTES} bytes is too long for a receipt")
        head, blank, note = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise ReceiptError(Promise.FORM, "what stands before the checkpoint is not plain text") from None
        if not blank or lines[0] != HEADER or len(lines) < 3:
            raise ReceiptError(Promise.FORM, f"this is not a receipt: it doesn't begin with {HEADER!r}")
        if len(lines) - 3 > PROOF_HASHES_MAX:
            raise ReceiptError(Promise.FORM, f"the proof has more than {PROOF_HASHES_MAX} hashes")
        try:
            extra = _decode_extra(decode_base64(_after("extra ", lines[1])))
            index = parse_decimal(_after("index ", lines[2]), "a leaf's number")
            proof = tuple(decode_base64(line) for line in lines[3:])
            receipt = cls(index, proof, Note.parse(note), extra.entry.encode(), bytes.fromhex(extra.salt))
        except (NoteError, msgspec.MsgspecError, UnicodeError) as error:
            raise ReceiptError(Promise.FORM, f"the receipt is damaged: {error}") from None
        if any(len(each) != HASH_BYTES for each in proof):
            raise ReceiptError(Promise.FORM, "the receipt is damaged: a hash of the proof has the wrong length")
        if bytes(receipt) != data:
            raise ReceiptError(Promise.FORM, "the receipt is damaged: it isn't written as receipts are")
        return receipt

    def __bytes__(self) -> bytes:
        extra = _encode_extra(_Extra(self.entry.decode(), self.salt.hex()))
        lines = [HEADER, f"extra {encode_base64(extra)}", f"index {self.index}", *map(encode_base64, self.proof)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + bytes(self.note)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a receipt has proved. `donor_checked`: a buyer's id was given, and it's theirs.

    `cosigned_by`: witnesses of the policy, with the time (seconds since the epoch) at which each says to have seen it.
    """

    leaf: Leaf
    checkpoint: Checkpoint
    signed_by: tuple[VerifierKey, ...]
    donor_checked: bool
    cosigned_by: tuple[tuple[VerifierKey, int], ...] = ()


def make_receipt(log: PublishedLog, note: Note, index: int, salts: SaltSource) -> Receipt:
    """The receipt of leaf `index` under the checkpoint `note`, which must cover it."""
    size = checkpoint_of(note).size
    entry = log.entry(index, size)
    proof = tuple(inclusion_proof(log.nodes(size), index, size))
    return Receipt(index, proof, note, entry, salts.of(decode_leaf(entry).donation_id))


def verify_receipt(
    data: bytes, keys: Collection[VerifierKey], buyer_id: str | None = None, policy: Policy | None = None
) -> Verified:
    """Check every promise of a receipt. `keys`: those of logs that are known, beside the policy's own.

    Raises ReceiptError for the first that fails.
    """
    receipt = Receipt.parse(data)
    checkpoint, signed_by = _check_signatures(receipt.note, [*keys, *(policy.log_keys if policy else ())])
    cosigned_by = () if policy is None else _check_witnesses(receipt.note, policy)
    try:
        verify_inclusion(leaf_hash(receipt.entry), receipt.index, checkpoint.size, receipt.proof, checkpoint.root)
    except ProofError as error:
        raise ReceiptError(Promise.INCLUSION, f"the donation is not in the ledger that was signed: {error}") from None
    leaf = _check_entry(receipt)
    if buyer_id is not None and donor_of(receipt.salt, buyer_id) != leaf.donor:
        raise ReceiptError(
            Promise.DONOR, f"the donation is not that of the buyer {buyer_id!r}, or the salt was changed"
        )
    return Verified(leaf, checkpoint, signed_by, buyer_id is not None, cosigned_by)


def cosigners_of(note: Note, policy: Policy) -> tuple[tuple[VerifierKey, int], ...]:
    """The policy's witnesses that have cosigned, each with its time. Raises NoteError where one's doesn't verify."""
    return tuple((key, cosigned_at_s(signature)) for key, signature in note.signed_by(policy.witness_keys))


def _check_witnesses(note: Note, policy: Policy) -> tuple[tuple[VerifierKey, int], ...]:
    try:
        found = cosigners_of(note, policy)
    except NoteError as error:
        raise ReceiptError(Promise.WITNESSES, f"a cosignature is not a witness's: {error}") from None
    if not policy.is_met_by([key for key, _ in found]):
        names = ", ".join(policy.names_of([key for key, _ in found])) or "none of its witnesses"
        raise ReceiptError(
            Promise.WITNESSES, f"the policy asks for {policy.quorum!r}, but the checkpoint was cosigned by {names}"
        )
    return found


def _check_signatures(note: Note, keys: Collection[VerifierKey]) -> tuple[Checkpoint, tuple[VerifierKey, ...]]:
    try:
        signed = note.signed_by(keys)
        logs = tuple(key for key, _ in signed if key.kind is KeyType.ED25519)
        if not logs:
            signers = ", ".join(f"{each.name}+{each.key_id:08x}" for each in note.signatures)
            ours = ", ".join(f"{key.name}+{key.id:08x}" for key in keys if key.kind is KeyType.ED25519)
            raise ReceiptError(Promise.SIGNATURE, f"it was signed by {signers}, and not by {ours}")
        checkpoint = checkpoint_of(note)
    except NoteError as error:
        raise ReceiptError(Promise.SIGNATURE, f"the checkpoint is not what was signed: {error}") from None
    if any(key.name != checkpoint.origin for key in logs):
        raise ReceiptError(Promise.SIGNATURE, f"the key of {logs[0].name!r} has signed for {checkpoint.origin!r}")
    return checkpoint, logs


def _check_entry(receipt: Receipt) -> Leaf:
    try:
        leaf = decode_leaf(receipt.entry)
    except LeafError as error:
        raise ReceiptError(Promise.ENTRY, str(error)) from None
    if leaf.seq != receipt.index:
        raise ReceiptError(Promise.ENTRY, f"leaf {receipt.index} says of itself that it is number {leaf.seq}")
    return leaf


def _after(word: str, line: str) -> str:
    if not line.startswith(word):
        raise NoteError(f"{line[:40]!r} should begin with {word.strip()!r}")
    return line.removeprefix(word)
