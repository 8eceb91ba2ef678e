"""What a witness keeps: its key, the newest checkpoint that it has cosigned of each log, and the evidence it has found.

A cosignature goes in this order, each step durable before the next one begins: the witness's own record of it
(`logs/<id>`, below EVERYCENT_WITNESS_DIR), then the public copy. So what anybody has seen is remembered. A crash
between the two leaves a record whose public copy is older; `open` puts that right. A record that isn't there any more
(a lost disk) makes a new witness, which needs a new key: the old one has said what nobody remembers.
"""

import hashlib
import secrets
from pathlib import Path

from streams.errors import UserError
from streams.ledger.evidence import Evidence, EvidenceError
from streams.ledger.notes import KeyType, Note, NoteError, SignerKey, VerifierKey, check_name, cosigned_at_s
from streams.ledger.published import checkpoint_of
from streams.ledger_service.files import Disk, ensure_folder, write_durably
from streams.ledger_service.keys import ONLY_OURS, SEED_BYTES, read_secret

KEY = "witness-key"
LOGS = "logs"
EVIDENCE = "evidence"
PUBLIC_KEY = "witness.txt"
LOG_LIST = "logs.txt"
EVIDENCE_MAX = 100  # files of one log that prove nothing: whoever shows us nonsense must not fill the disk
CLOCK_STEP_S = 5  # so far back a clock may be set while it runs; the time of a cosignature never goes back
EARLIEST_S = 1_767_225_600  # 2026-01-01: a clock before that was never set


class ClockError(UserError):
    """The clock says a time before one that this witness has put its name to."""


def log_id(origin: str) -> str:
    """What a log is called in file names: SHA-256 of its origin, in hex."""
    return hashlib.sha256(origin.encode()).hexdigest()


def published_path(origin: str) -> str:
    """Where a witness publishes a log's cosigned checkpoint, below its address."""
    return f"{LOGS}/{log_id(origin)}/checkpoint"


def make_witness_key(folder: Path, name: str) -> VerifierKey:
    """Make the key, unless there is one. Raises UserError where that one has another name."""
    try:
        check_name(name)
    except NoteError as error:
        raise UserError(str(error)) from None
    path = folder / KEY
    if path.exists():
        key = load_witness_key(folder).verifier
        if key.name != name:
            raise UserError(f"{path} is the key of {key.name!r} already. A witness of another name has its own folder.")
        return key
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer = SignerKey.from_seed(name, secrets.token_bytes(SEED_BYTES), KeyType.COSIGNATURE)
    write_durably(Disk(), folder, [(KEY, f"{signer.secret_text()}\n".encode())], ONLY_OURS)
    return signer.verifier


def load_witness_key(folder: Path) -> SignerKey:
    """Raises UserError: no key, a damaged one, or a file that others may read."""
    path = folder / KEY
    try:
        signer = SignerKey.parse(read_secret(path, "everycent ledger witness-keygen NAME").decode().strip())
    except (NoteError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    if signer.verifier.kind is not KeyType.COSIGNATURE:
        raise UserError(f"{path} holds a log's key, not a witness's: `everycent ledger witness-keygen NAME` makes one.")
    return signer


def _may_follow(before: Note, note: Note) -> bool:
    """Of one tree only another text may: C2SP lets a checkpoint have lines beyond size and root."""
    known, checkpoint = checkpoint_of(before), checkpoint_of(note)
    if known.size == checkpoint.size:
        return known.root == checkpoint.root and before.text != note.text
    return known.size < checkpoint.size


class WitnessStore:
    """The one keeper of a witness's folder (the caller has it locked)."""

    def __init__(self, folder: Path, public: Path, signer: SignerKey, disk: Disk | None = None) -> None:
        self._folder = folder
        self._public = public
        self._signer = signer
        self._disk = disk or Disk()
        self._cosigned: dict[str, Note] = {}  # by origin
        self.last_s = 0  # the latest time that was ever cosigned with

    @property
    def key(self) -> VerifierKey:
        return self._signer.verifier

    def open(self) -> None:
        """Read every record, and make the public copies what the records say. Raises UserError where one is damaged."""
        for path in sorted((self._folder / LOGS).glob("*/checkpoint")):
            note, origin, at_s = self._read(path)
            self._cosigned[origin] = note
            self.last_s = max(self.last_s, at_s)
        self._check_public()
        ensure_folder(self._disk, self._public)
        self._write_public(PUBLIC_KEY, f"{self.key}\n".encode())
        for origin, note in self._cosigned.items():
            self._write_public(published_path(origin), bytes(note))
        self._list_logs()

    def cosigned(self, origin: str) -> Note | None:
        """The newest checkpoint of a log that was cosigned, with the cosignature."""
        return self._cosigned.get(origin)

    def cosigned_at_s(self, origin: str) -> int:
        """When that was; 0 if never."""
        note = self._cosigned.get(origin)
        return 0 if note is None else cosigned_at_s(note.signed_by([self.key])[0][1])

    def check_clock(self, now_s: int) -> None:
        """Raises ClockError where it's clear that the clock is wrong."""
        if now_s >= max(self.last_s - CLOCK_STEP_S, EARLIEST_S):
            return
        before = f"this witness has cosigned at {self.last_s} already" if self.last_s else "that is before this program"
        raise ClockError(
            f"the clock is wrong: it says {now_s} s since 1970, and {before}. Nothing is cosigned. Set it; if it "
            "was too far ahead before, wait until that time, or begin anew with another key."
        )

    def cosign(self, note: Note, now_s: int) -> Note:
        """Cosign a log's checkpoint, which the caller has judged and which bears the log's signatures alone.

        Raises ClockError, OSError.
        """
        self.check_clock(now_s)
        at_s = max(now_s, self.last_s)
        checkpoint = checkpoint_of(note)
        origin = checkpoint.origin
        before = self._cosigned.get(origin)
        if before is not None and not _may_follow(before, note):
            raise ValueError(f"{checkpoint} would be cosigned after {checkpoint_of(before)}")  # a bug of ours
        cosigned = note.with_signatures([self._signer.cosign(note.text, at_s)])
        self.last_s = at_s  # even if what follows fails: it may have been written
        write_durably(
            self._disk, self._folder / LOGS / log_id(origin), [("checkpoint", bytes(cosigned))], mode=ONLY_OURS
        )
        is_new = origin not in self._cosigned
        self._cosigned[origin] = cosigned
        self._write_public(published_path(origin), bytes(cosigned))
        if is_new:
            self._list_logs()
        return cosigned

    def convict(self, origin: str, evidence: Evidence) -> Path | None:
        """Keep evidence; where, or None where too much lies there already. What proves something is published, too."""
        data = bytes(evidence)
        what = hashlib.sha256(f"{evidence.charge}\n{evidence.first}\n{evidence.second}".encode()).hexdigest()[:16]
        name = f"{log_id(origin)[:16]}-{evidence.charge}-{what}.json"
        path = self._folder / EVIDENCE / name
        if path.exists():
            return path
        if not evidence.charge.is_proof and len(list(path.parent.glob(f"{log_id(origin)[:16]}-*"))) >= EVIDENCE_MAX:
            return None
        write_durably(self._disk, path.parent, [(name, data)], mode=ONLY_OURS)
        if evidence.charge.is_proof:
            self._write_public(f"{EVIDENCE}/{name}", data)
        return path

    def conviction(self, origin: str) -> Path | None:
        """The evidence that proves that this log broke its promise, if there is any: then it's never cosigned again."""
        for path in sorted((self._folder / EVIDENCE).glob(f"{log_id(origin)[:16]}-*.json")):
            try:
                if Evidence.parse(path.read_bytes()).charge.is_proof:
                    return path
            except EvidenceError:
                return path  # damaged: a person must look
        return None

    def _read(self, path: Path) -> tuple[Note, str, int]:
        """A record: the note, its log's origin, and when it was cosigned (s)."""
        try:
            note = Note.parse(path.read_bytes())
            ((_, signature),) = note.signed_by([self.key])
            origin = checkpoint_of(note).origin
        except (NoteError, ValueError) as error:
            if path.is_relative_to(self._public):
                way_out = f"Unless {self._folder} was put back from a backup, delete it: it's written again from there."
            else:
                way_out = (
                    "Without it nobody knows what this witness has cosigned. Restore it, or begin anew with another "
                    "key in another folder."
                )
            raise UserError(f"{path} is damaged ({error}). {way_out}") from None
        if path.parent.name != log_id(origin):
            raise UserError(f"{path} is of the log {origin!r}, which belongs elsewhere.")
        return note, origin, cosigned_at_s(signature)

    def _check_public(self) -> None:
        """What was published is never newer than its record, unless the record was put back from a backup."""
        for path in sorted((self._public / LOGS).glob("*/checkpoint")):
            _, origin, at_s = self._read(path)
            if at_s > self.cosigned_at_s(origin):
                raise UserError(
                    f"{path} was cosigned later than what {self._folder} remembers of {origin!r}: the folder was put "
                    "back from a backup. Put back the newest one, or begin anew with another key in another folder."
                )

    def _list_logs(self) -> None:
        lines = sorted(f"{log_id(origin)} {origin}\n" for origin in self._cosigned)
        self._write_public(LOG_LIST, "".join(lines).encode())

    def _write_public(self, path: str, data: bytes) -> None:
        target = self._public / path
        if not target.exists() or target.read_bytes() != data:
            write_durably(self._disk, self._public, [(path, data)])
