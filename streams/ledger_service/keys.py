"""The operator's secrets: the keys that sign checkpoints, the donors' secret, and what was signed last.

They lie in a folder of their own (EVERYCENT_LEDGER_KEYS), never in the public one, for the owner's eyes only. What was
signed last is kept here and not with the log, so that a log restored from an old backup can't make us sign twice what
differs. A crash leaves each file as it was or as it was to be.
"""

import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams.errors import UserError
from streams.ledger.leaf import SECRET_BYTES, Salts
from streams.ledger.links import links_origin
from streams.ledger.notes import Note, NoteError, SignerKey, VerifierKey, check_name
from streams.ledger.tiles import CHECKPOINT
from streams.ledger_service.files import Disk, ensure_folder, locked, write_durably

SIGNING_KEYS = "signing-keys"
LINK_KEYS = "link-keys"
DONOR_SECRET = "donor-secret"  # noqa: S105 - a file's name
LAST_SIGNED = "last-signed"
PUBLIC_KEYS = "keys.txt"  # in the public folder: every verifier key that its logs ever had
DONATIONS = "donations"  # the folder of the donations' logs, and a part of their names
SEED_BYTES = 32
ONLY_OURS = 0o600


def log_origin(name: str, partition: int) -> str:
    """What the log of a partition of `donations` is called."""
    return f"{name}/{DONATIONS}/{partition}"


def seals_origin(name: str) -> str:
    """What the log of the day seals is called."""
    return f"{name}/seals"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of a deployment's logs, those of one log from the oldest to the newest, and the donors' secret."""

    folder: Path
    signers: tuple[SignerKey, ...]
    salts: Salts

    def of(self, origin: str) -> tuple[SignerKey, ...]:
        """The keys that sign for `origin`. Raises UserError if there is none: another log's key never does."""
        found = tuple(signer for signer in self.signers if signer.verifier.name == origin)
        if not found:
            others = ", ".join(sorted({signer.verifier.name for signer in self.signers})) or "none"
            raise UserError(
                f"{self.folder / SIGNING_KEYS} holds no key for the log {origin!r} (its keys are for: {others}). "
                "Does EVERYCENT_LEDGER_NAME fit? `everycent ledger keygen` makes the keys that are missing."
            )
        return found


def make_keys(folder: Path, origins: Sequence[str], *, rotate: bool = False, retire: bool = False) -> list[VerifierKey]:
    """Make the keys that are missing, and the donors' secret; every public half, in the order of `origins`.

    `rotate`: a further key for each log, which signs beside the older ones. `retire`: each log keeps its newest alone.
    """
    verifiers = _make_signers(folder, SIGNING_KEYS, origins, rotate=rotate, retire=retire)
    if not (folder / DONOR_SECRET).exists():
        secret = secrets.token_hex(SECRET_BYTES).encode() + b"\n"
        write_durably(Disk(), folder, [(DONOR_SECRET, secret)], ONLY_OURS)
    return verifiers


def make_link_keys(folder: Path, name: str, *, rotate: bool = False, retire: bool = False) -> list[VerifierKey]:
    """The same for the keys of donors' links to the deployment `name`, of which the newest one signs."""
    return _make_signers(folder, LINK_KEYS, [links_origin(name)], rotate=rotate, retire=retire)


def load_link_key(folder: Path, name: str) -> SignerKey:
    """The key that signs links now. Raises UserError."""
    return _read_link_keys(folder, name)[-1]


def load_link_verifiers(folder: Path, name: str) -> list[VerifierKey]:
    """The public halves of all keys whose links may still work. Raises UserError."""
    return [signer.verifier for signer in _read_link_keys(folder, name)]


def _read_link_keys(folder: Path, name: str) -> list[SignerKey]:
    path = folder / LINK_KEYS
    found = [signer for signer in _read_signers(path, "link-keygen") if signer.verifier.name == links_origin(name)]
    if not found:
        raise UserError(f"{path} holds no key for {links_origin(name)!r}. Does EVERYCENT_LEDGER_NAME fit?")
    return found


def _make_signers(folder: Path, file: str, origins: Sequence[str], *, rotate: bool, retire: bool) -> list[VerifierKey]:
    for origin in origins:
        try:
            check_name(origin)
        except NoteError as error:
            raise UserError(f"EVERYCENT_LEDGER_NAME: {error}") from None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / file
    signers = list(_read_signers(path)) if path.exists() else []
    before = list(signers)
    for origin in origins:
        known = [signer for signer in signers if signer.verifier.name == origin]
        if not known or rotate:
            signers.append(SignerKey.from_seed(origin, secrets.token_bytes(SEED_BYTES)))
        elif retire:
            signers = [signer for signer in signers if signer not in known[:-1]]
    if signers != before:
        text = "".join(f"{signer.secret_text()}\n" for signer in signers)
        write_durably(Disk(), folder, [(file, text.encode())], ONLY_OURS)
    return [signer.verifier for origin in origins for signer in signers if signer.verifier.name == origin]


def load_keys(folder: Path) -> KeyRing:
    """Raises UserError: no keys, damaged ones, or files that others may read."""
    return KeyRing(folder, _read_signers(folder / SIGNING_KEYS), load_salts(folder))


def load_salts(folder: Path) -> Salts:
    path = folder / DONOR_SECRET
    try:
        return Salts(bytes.fromhex(read_secret(path).decode("ascii").strip()))
    except ValueError:
        raise UserError(f"{path} doesn't hold {SECRET_BYTES} bytes in hex: restore it from a backup.") from None


def _read_signers(path: Path, made_by: str = "keygen") -> tuple[SignerKey, ...]:
    try:
        data = read_secret(path, f"everycent ledger {made_by}")
        return tuple(SignerKey.parse(line) for line in data.decode().splitlines() if line.strip())
    except (NoteError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None


def read_secret(path: Path, made_by: str = "everycent ledger keygen") -> bytes:
    """A file that is for its owner's eyes only. Raises UserError."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no {path}. Make the keys with `{made_by}`.") from None
    except PermissionError:
        raise UserError(f"{path} can't be read by this user (uid {os.getuid()}).") from None
    if mode & 0o077:
        raise UserError(f"{path} can be read by others (mode {mode:04o}): `chmod 600` it, and think of new keys.")
    return data


def read_public_keys(path: Path) -> list[str]:
    """The lines of a ledger's public keys; none where there is no file yet. Raises UserError where it is damaged."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for line in lines:
            VerifierKey.parse(line)
    except (UnicodeDecodeError, NoteError) as error:
        why = str(error) if isinstance(error, NoteError) else "it is no text"
        raise UserError(f"{path} is damaged: {why}. Restore it: it holds every key that these logs ever had.") from None
    return lines


class LastSigned:
    """The newest checkpoint that was ever signed for one log; written before the checkpoint is published."""

    def __init__(self, folder: Path, origin: str, disk: Disk) -> None:
        self._folder = folder / LAST_SIGNED / origin.replace("/", "_")
        self._disk = disk

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else signs for the log meanwhile: what was signed last is read once, and then only written.

        Two processes with folders of their own and these keys could else sign trees that contradict each other. Raises
        UserError if somebody does.
        """
        ensure_folder(self._disk, self._folder)
        with locked(self._folder, "signing for this log"):
            yield

    def read(self) -> Note | None:
        path = self._folder / CHECKPOINT
        try:
            return Note.parse(path.read_bytes())
        except FileNotFoundError:
            return None
        except NoteError as error:
            raise UserError(f"{path} is damaged ({error}): without it nobody knows what was signed last.") from None

    def write(self, note: Note) -> None:
        write_durably(self._disk, self._folder, [(CHECKPOINT, bytes(note))], ONLY_OURS)
