"""A donor's link: the operator's signed word that whoever holds it is the donor of one donation. Pure.

It carries the donation's salt, so who serves it needs no secret at all: the public half of the key, and the public
ledger. It binds all that it says (version, deployment, key, donation, salt, the end of its time): any other bytes, and
the same bytes written in another way, are no link.
"""

import base64
import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass

from streams.ledger.leaf import SALT_BYTES
from streams.ledger.notes import ED25519_SIGNATURE_BYTES, KEY_ID_BYTES, NoteError, Signature, SignerKey, VerifierKey

LINK_MAX_CHARACTERS = 512  # of the longest ids, in the longest of alphabets
VERSION = 1
_TIME_BYTES = 5  # seconds, until the year 36812
_HEAD_BYTES = 1 + KEY_ID_BYTES + _TIME_BYTES + SALT_BYTES
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


class LinkError(ValueError):
    """No link, or one whose time is over. It doesn't say which: there is nobody who should know."""


@dataclass(frozen=True, slots=True)
class DonorLink:
    """What a link says. `expires_at_s`: seconds since the epoch; from then on it counts no more."""

    donation_id: str
    salt: bytes
    expires_at_s: int


def links_origin(name: str) -> str:
    """What the keys for the links of the deployment `name` are called."""
    return f"{name}/links"


def sign_link(link: DonorLink, signer: SignerKey) -> str:
    """The link's token, of letters, digits, `-` and `_`."""
    head = bytes([VERSION]) + signer.verifier.id.to_bytes(KEY_ID_BYTES, "big")
    body = head + link.expires_at_s.to_bytes(_TIME_BYTES, "big") + link.salt + link.donation_id.encode()
    return _to_text(body + signer.sign(_message(signer.verifier, body)).data)


def open_link(token: str, keys: Collection[VerifierKey], now_s: int) -> DonorLink:
    """What the token says, if one of `keys` has signed it and its time isn't over. Raises LinkError.

    Nothing that it says is looked at before the signature is known to be right.
    """
    data = _from_text(token)
    body, signature = data[:-ED25519_SIGNATURE_BYTES], data[-ED25519_SIGNATURE_BYTES:]
    if len(body) <= _HEAD_BYTES or body[0] != VERSION:
        raise LinkError
    key_id = int.from_bytes(body[1 : 1 + KEY_ID_BYTES], "big")
    if not any(key.id == key_id and _has_signed(key, body, signature) for key in keys):
        raise LinkError
    salt_at = 1 + KEY_ID_BYTES + _TIME_BYTES
    expires_at_s = int.from_bytes(body[1 + KEY_ID_BYTES : salt_at], "big")
    if now_s >= expires_at_s:
        raise LinkError
    return DonorLink(body[_HEAD_BYTES:].decode(), body[salt_at:_HEAD_BYTES], expires_at_s)


def link_digest(token: str) -> str:
    """What a link is called where it is called back, in hex. A link has one form, so it has one digest."""
    return hashlib.sha256(token.encode()).hexdigest()


def _has_signed(key: VerifierKey, body: bytes, signature: bytes) -> bool:
    try:
        key.verify(_message(key, body), Signature(key.name, key.id, signature))
    except NoteError:
        return False
    return True


def _message(key: VerifierKey, body: bytes) -> str:
    """What is signed: no checkpoint or seal can look like it. The key's name is the deployment's."""
    return f"everycent donor link\n{key.name}\n{body.hex()}\n"


def _to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _from_text(token: str) -> bytes:
    if len(token) > LINK_MAX_CHARACTERS or len(token) % 4 == 1 or not _TOKEN.fullmatch(token):
        raise LinkError
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    if _to_text(data) != token:  # bits that don't count must be none
        raise LinkError
    return data
