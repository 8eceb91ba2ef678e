"""Signed notes and their keys, to the byte as C2SP signed-note has them; Ed25519, and a witness's cosignatures.

Pure: signatures depend on the key and the text alone (Ed25519 is deterministic), and times are arguments. Whoever reads
a note gets only what verifies: the text of a note that no known key has signed must not be looked at.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NOTE_MAX_BYTES = 1_048_576
SIGNATURES_MAX = 100  # C2SP asks for 16 at least
KEY_ID_BYTES = 4
TIME_BYTES = 8
TIME_MAX_S = (1 << 63) - 1
ED25519_KEY_BYTES = 32
ED25519_SIGNATURE_BYTES = 64
_DASH = "— "
_PRIVATE = "PRIVATE+KEY+"
_FORBIDDEN_IN_NAME = re.compile(r"[\s+]")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteError(ValueError):
    """A note or a key isn't of its form, or a signature of a known key doesn't fit; says which."""


class KeyType(IntEnum):
    """What a key signs, by the byte that C2SP has given it."""

    ED25519 = 0x01  # a note's text
    COSIGNATURE = 0x04  # a checkpoint with the time at which a witness saw it


def decode_base64(text: str) -> bytes:
    """Strict: padding, no other characters, and no bits that don't count. Raises NoteError."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise NoteError(f"{text[:50]!r} is not base64") from None
    if encode_base64(data) != text:
        raise NoteError(f"{text[:50]!r} is not base64 in its one right form")
    return data


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def check_name(name: str) -> str:
    if not name or _FORBIDDEN_IN_NAME.search(name) or _CONTROL.search(name):
        raise NoteError(f"{name!r} can't be a key's name: it must not be empty nor hold spaces or +")
    return name


def key_id(name: str, kind: KeyType, public: bytes) -> int:
    digest = hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()
    return int.from_bytes(digest[:KEY_ID_BYTES], "big")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: whose, and the bytes behind the key's id."""

    name: str
    key_id: int
    data: bytes

    def line(self) -> str:
        return f"{_DASH}{self.name} {encode_base64(self.key_id.to_bytes(KEY_ID_BYTES, 'big') + self.data)}\n"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a key, printed as `name+id+base64` (a vkey)."""

    name: str
    kind: KeyType
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Raises NoteError unless it's a vkey of a type that is known here, with the id that belongs to it."""
        name, first, rest = text.strip().partition("+")
        given_id, second, encoded = rest.partition("+")
        if not (first and second):
            raise NoteError(f"{text.strip()[:80]!r} is not a verifier key of the form name+id+base64")
        material = decode_base64(encoded)
        if material[:1] not in {bytes([kind]) for kind in KeyType} or len(material) != 1 + ED25519_KEY_BYTES:
            raise NoteError(f"the verifier key of {name!r} is not an Ed25519 key")
        key = cls(check_name(name), KeyType(material[0]), material[1:])
        if given_id != f"{key.id:08x}":
            raise NoteError(f"the verifier key of {name!r} bears the id {given_id}, but its own is {key.id:08x}")
        return key

    @property
    def id(self) -> int:
        return key_id(self.name, self.kind, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id:08x}+{encode_base64(bytes([self.kind]) + self.public)}"

    def is_of(self, signature: Signature) -> bool:
        return (self.name, self.id) == (signature.name, signature.key_id)

    def verify(self, text: str, signature: Signature) -> None:
        """Raise NoteError unless this key made the signature over `text`."""
        message, data = text.encode(), signature.data
        if self.kind is KeyType.COSIGNATURE:
            if len(data) != TIME_BYTES + ED25519_SIGNATURE_BYTES:
                raise NoteError(f"the cosignature of {self.name!r} has the wrong length")
            at_s = cosigned_at_s(signature)
            if at_s > TIME_MAX_S:
                raise NoteError(f"the cosignature of {self.name!r} bears no time that there is")
            message, data = cosigned_message(text, at_s), data[TIME_BYTES:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(data, message)
        except (InvalidSignature, ValueError):
            raise NoteError(f"the signature of {self.name!r} (key {self.id:08x}) doesn't fit the text") from None


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A private key, written as Go's sumdb/note does: `PRIVATE+KEY+name+id+base64`. Its `repr` shows no secret."""

    verifier: VerifierKey
    _seed: bytes

    @classmethod
    def from_seed(cls, name: str, seed: bytes, kind: KeyType = KeyType.ED25519) -> "SignerKey":
        """`seed`: 32 random bytes."""
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        return cls(VerifierKey(check_name(name), kind, public), seed)

    @classmethod
    def parse(cls, text: str) -> "SignerKey":
        """Raises NoteError; its message never shows the key."""
        parts = text.strip().removeprefix(_PRIVATE).split("+", 2)
        if not text.startswith(_PRIVATE) or len(parts) != 3:
            raise NoteError("this is not a private key of the form PRIVATE+KEY+name+id+base64")
        name, given_id, encoded = parts
        try:
            material = decode_base64(encoded)
        except NoteError:
            raise NoteError(f"the private key of {name!r} is damaged") from None
        if material[:1] not in {bytes([kind]) for kind in KeyType} or len(material) != 1 + ED25519_KEY_BYTES:
            raise NoteError(f"the private key of {name!r} is not an Ed25519 key")
        key = cls.from_seed(name, material[1:], KeyType(material[0]))
        if given_id != f"{key.verifier.id:08x}":
            raise NoteError(f"the private key of {name!r} bears the id {given_id}, its own is {key.verifier.id:08x}")
        return key

    def __repr__(self) -> str:
        return f"SignerKey({self.verifier})"

    def secret_text(self) -> str:
        """What a key file holds; for nobody else's eyes."""
        verifier = self.verifier
        return f"{_PRIVATE}{verifier.name}+{verifier.id:08x}+{encode_base64(bytes([verifier.kind]) + self._seed)}"

    def sign(self, text: str) -> Signature:
        if self.verifier.kind is not KeyType.ED25519:
            raise NoteError(f"the key of {self.verifier.name!r} signs checkpoints with a time only")
        data = Ed25519PrivateKey.from_private_bytes(self._seed).sign(text.encode())
        return Signature(self.verifier.name, self.verifier.id, data)

    def cosign(self, text: str, at_s: int) -> Signature:
        """A witness's statement that at `at_s` (seconds since the epoch) this was the largest tree it had seen."""
        if self.verifier.kind is not KeyType.COSIGNATURE:
            raise NoteError(f"the key of {self.verifier.name!r} is a log's, not a witness's")
        data = Ed25519PrivateKey.from_private_bytes(self._seed).sign(cosigned_message(text, at_s))
        return Signature(self.verifier.name, self.verifier.id, at_s.to_bytes(TIME_BYTES, "big") + data)


def cosigned_message(text: str, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()


def cosigned_at_s(signature: Signature) -> int:
    """Seconds since the epoch."""
    return int.from_bytes(signature.data[:TIME_BYTES], "big")


@dataclass(frozen=True, slots=True)
class Note:
    """A text, its final newline included, and all signatures that it bears, whosoever they are."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, data: bytes) -> "Note":
        """Raises NoteError unless it's a note; verifies nothing."""
        if len(data) > NOTE_MAX_BYTES:
            raise NoteError(f"a note of {len(data)} bytes is too long")
        try:
            whole = data.decode()
        except UnicodeDecodeError:
            raise NoteError("the note is not UTF-8") from None
        if _CONTROL.search(whole):
            raise NoteError("the note holds a control character")
        text, blank, lines = whole.rpartition("\n\n")
        if not blank or not lines.endswith("\n"):
            raise NoteError("the note has no signatures behind an empty line")
        signatures = tuple(_parse_signature(line) for line in lines[:-1].split("\n"))
        if len(signatures) > SIGNATURES_MAX:
            raise NoteError(f"the note bears more than {SIGNATURES_MAX} signatures")
        return cls(text + "\n", signatures)

    def __bytes__(self) -> bytes:
        return (self.text + "\n" + "".join(signature.line() for signature in self.signatures)).encode()

    def signed_by(self, keys: Iterable[VerifierKey]) -> list[tuple[VerifierKey, Signature]]:
        """Which of `keys` have signed. Raises NoteError where the signature of one of them doesn't verify.

        Signatures of others are passed over, as the format asks; of one key twice the first counts.
        """
        found: dict[VerifierKey, Signature] = {}
        known = list(keys)
        for signature in self.signatures:
            for key in known:
                if key.is_of(signature) and key not in found:
                    key.verify(self.text, signature)
                    found[key] = signature
        return list(found.items())

    def with_signatures(self, more: Iterable[Signature]) -> "Note":
        return Note(self.text, (*self.signatures, *more))


def sign_note(text: str, signers: Iterable[SignerKey]) -> Note:
    return Note(text, tuple(signer.sign(text) for signer in signers))


def _parse_signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise NoteError(f"{line[:80]!r} is not a signature line")
    data = decode_base64(encoded)
    if len(data) <= KEY_ID_BYTES:
        raise NoteError(f"the signature of {name!r} is too short")
    return Signature(check_name(name), int.from_bytes(data[:KEY_ID_BYTES], "big"), data[KEY_ID_BYTES:])
