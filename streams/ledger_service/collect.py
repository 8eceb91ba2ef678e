"""Gets witnesses' cosignatures for the ledger's checkpoints, and keeps them beside those, so that receipts carry them.

A witness with a web address is sent the checkpoint with its proof (C2SP tlog-witness), and answers at once; one that
takes none by request, or lies in a folder, is asked for what it has cosigned by itself. All witnesses must cosign one
and the same checkpoint, though some look when they like and the log grows every second. So one of them is held out,
`witness/pending`, until enough have cosigned it; then it becomes `witness/checkpoint` and the newest one takes its
place. Neither of the two files ever goes back to a smaller tree. A crash leaves each as it was or as it was to be; what
was gathered and not written is gathered again.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import Note, NoteError, Signature, VerifierKey, cosigned_at_s
from streams.ledger.policy import Policy, PolicyWitness
from streams.ledger.published import COSIGNED, PENDING, MissingFileError, PublishedLog, checkpoint_of
from streams.ledger.witnessing import Verdict, compare, open_checkpoint
from streams.ledger_service.files import Disk, folder_fetch, write_durably
from streams.ledger_service.keys import PUBLIC_KEYS
from streams.ledger_service.logs_at_once import of_each
from streams.ledger_service.push import Pusher, PushError
from streams.ledger_service.remote import ADD_TIMEOUT_S, Remote, RemoteError, is_web_address
from streams.ledger_service.witness_store import published_path

logger = structlog.get_logger(__name__)

PATIENCE_ROUNDS = 6  # so many intervals the slower witnesses are waited for; then the next checkpoint has its turn
AHEAD_MAX_S = 3_600  # a cosignature from further in the future is of a clock that is wrong


@dataclass(frozen=True, slots=True)
class Collected:
    """Where one log stands: `size` leaves are cosigned by enough, the policy calls them `cosigners`."""

    origin: str
    is_met: bool  # there is such a checkpoint
    size: int
    cosigners: tuple[str, ...]
    waiting: int  # leaves of the checkpoint that is held out
    split: tuple[str, ...] = ()  # witnesses that have cosigned another tree than the one that lies here


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one witness has cosigned of one log."""

    witness: PolicyWitness
    checkpoint: Checkpoint
    note: Note
    signature: Signature


@dataclass(frozen=True, slots=True)
class _Heard:
    """What came of asking one witness; `size`: what it has cosigned, as far as it says."""

    answer: _Answer | None = None
    size: int = 0


class Collector:
    """Collects for the ledger in `folder`. `clock`: seconds since the epoch."""

    def __init__(
        self, folder: Path, policy: Policy, remote: Remote, interval_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._witnesses = [witness for witness in policy.witnesses if witness.url]
        self._policy = policy
        self._remote = remote
        self._pusher = Pusher(remote)
        self._by_request: set[str] = set()  # witnesses that have answered a request
        self._gone_past: set[tuple[str, str]] = set()  # witness and log: it said so, and has cosigned nothing since
        self._patience_s = PATIENCE_ROUNDS * interval_s
        self._clock = clock
        self._disk = Disk()
        self._told: dict[str, str] = {}

    async def collect(self) -> list[Collected]:
        """Ask every witness about every log once. Raises OSError, and NoteError where the ledger is damaged."""
        folders = sorted(path.parent for path in self._folder.glob("donations/*/checkpoint"))
        folders += [path.parent for path in self._folder.glob("seals/checkpoint")]
        return await of_each(folders, self._collect_for)

    async def _collect_for(self, folder: Path) -> Collected:
        fetch = folder_fetch(folder)
        newest = PublishedLog(fetch).note()
        origin = checkpoint_of(newest).origin
        pending = self._read(folder, PENDING)
        if pending is None or self._is_stale(pending, newest):
            self._write(folder, PENDING, pending := newest)
        heard = await asyncio.gather(*(self._ask(witness, folder, pending) for witness in self._witnesses))
        answers = [each.answer for each in heard if each.answer is not None]
        split = tuple(each.witness.name for each in answers if self._is_other_tree(folder, newest, each))
        gathered = self._with_answers(pending, answers)
        if gathered != pending:
            self._write(folder, PENDING, gathered)
        cosigned = self._publish(folder, gathered)
        if self._is_over(folder, gathered, newest, gone_past=self._have_gone_past(gathered, newest, heard)):
            self._write(folder, PENDING, newest)
            gathered = newest
        names = () if cosigned is None else tuple(self._policy.names_of(self._cosigners(cosigned)))
        size = 0 if cosigned is None else checkpoint_of(cosigned).size
        return Collected(origin, cosigned is not None, size, names, checkpoint_of(gathered).size, split)

    def _is_stale(self, pending: Note, newest: Note) -> bool:
        """Whether the newest checkpoint may be held out at once: nobody can be about to cosign this one by itself."""
        if checkpoint_of(pending).size >= checkpoint_of(newest).size:
            return False
        if any(witness.name not in self._by_request for witness in self._witnesses):
            return False
        cosigners = self._cosigners(pending)
        return not cosigners or self._policy.is_met_by(cosigners)  # else it waits for the rest

    async def _ask(self, witness: PolicyWitness, folder: Path, pending: Note) -> _Heard:
        """Why nothing came that counts is told once for as long as it stays."""
        why, heard = "", _Heard()
        origin = checkpoint_of(pending).origin
        has_cosigned = witness.key in self._cosigners(pending)
        if has_cosigned and witness.name in self._by_request:
            return heard
        try:
            if has_cosigned or not is_web_address(witness.url):
                answer = await self._asked_for_file(witness, origin)
            else:
                answer = await self._sent(witness, folder, pending)
            heard = _Heard(answer, answer.checkpoint.size)
        except PushError as error:
            why, heard = str(error), _Heard(None, error.ahead)
        except MissingFileError:
            why = "it has cosigned nothing of this log yet"
        except (RemoteError, NoteError) as error:
            why = str(error)
        if why and self._told.get(f"{witness.name} {origin}") != why:
            logger.warning("no cosignature", witness=witness.name, log=origin, why=why)
        self._told[f"{witness.name} {origin}"] = why
        return heard

    async def _sent(self, witness: PolicyWitness, folder: Path, pending: Note) -> _Answer:
        """What it answers to the checkpoint; where that is no, perhaps its files say what it has cosigned instead.

        Raises PushError, NoteError.
        """
        origin = checkpoint_of(pending).origin
        ours = Note(pending.text, tuple(each for each in pending.signatures if each.name == origin))
        try:
            note = await self._pusher.cosigned(witness, PublishedLog(folder_fetch(folder)), ours)
        except PushError as error:
            if error.is_away:
                raise
            with suppress(RemoteError, MissingFileError, NoteError, PushError):
                return await self._asked_for_file(witness, origin)
            raise
        answer = self._understand(witness, origin, note)
        self._by_request.add(witness.name)
        return answer

    async def _asked_for_file(self, witness: PolicyWitness, origin: str) -> _Answer:
        """Raises RemoteError, MissingFileError, NoteError, and PushError where it takes too long or did so before."""
        self._pusher.check(witness)
        try:
            async with asyncio.timeout(ADD_TIMEOUT_S):
                data = await self._remote.get(witness.url.rstrip("/"), published_path(origin))
        except TimeoutError:
            why = f"its file takes longer than {ADD_TIMEOUT_S:.0f} s"
            self._pusher.leave_alone(witness, why)
            raise PushError(why, is_away=True) from None
        return self._understand(witness, origin, Note.parse(data))

    def _understand(self, witness: PolicyWitness, origin: str, note: Note) -> _Answer:
        """Raises NoteError: it isn't what this witness has cosigned of this log, or not at a time that can be."""
        checkpoint = checkpoint_of(note)
        signed = note.signed_by([witness.key])
        if checkpoint.origin != origin or not signed:
            raise NoteError(f"a checkpoint of {checkpoint.origin!r}, without a cosignature of {witness.key.name!r}")
        signature = signed[0][1]
        if (ahead_s := cosigned_at_s(signature) - self._clock()) > AHEAD_MAX_S:
            raise NoteError(f"its clock is wrong: the cosignature is from {ahead_s:.0f} s in the future")
        return _Answer(witness, checkpoint, note, signature)

    def _is_other_tree(self, folder: Path, newest: Note, answer: _Answer) -> bool:
        """Whether a witness was shown a tree that isn't ours: whoever signed it has our key."""
        mine = checkpoint_of(newest)
        if answer.checkpoint.size > mine.size:
            return False
        found = compare(answer.checkpoint, mine, PublishedLog(folder_fetch(folder)).tile)
        if found.verdict is not Verdict.CONTRADICTION:  # else our own files are damaged; fsck says where
            return False
        try:
            open_checkpoint(answer.note, [*self._policy.log_keys, *self._own_keys()])
        except NoteError as error:
            logger.warning("a witness has cosigned what isn't ours", witness=answer.witness.name, why=str(error))
            return False
        logger.error(
            "ALARM: a witness has cosigned another tree than ours", witness=answer.witness.name, log=mine.origin,
            theirs=str(answer.checkpoint), why=found.why,
        )  # fmt: skip
        return True

    def _own_keys(self) -> list[VerifierKey]:
        """Every key that the ledger ever had."""
        try:
            lines = folder_fetch(self._folder)(PUBLIC_KEYS).decode().split()
        except MissingFileError:
            return []
        return [VerifierKey.parse(line) for line in lines]

    def _with_answers(self, pending: Note, answers: Sequence[_Answer]) -> Note:
        known = self._cosigners(pending)
        more = [each.signature for each in answers if each.note.text == pending.text and each.witness.key not in known]
        return pending.with_signatures(more) if more else pending

    def _publish(self, folder: Path, gathered: Note) -> Note | None:
        """The newest checkpoint that enough have cosigned, after this one was published if it is that."""
        before = self._read(folder, COSIGNED)
        if not self._policy.is_met_by(self._cosigners(gathered)):
            return before
        if (
            before is None
            or checkpoint_of(before).size < checkpoint_of(gathered).size
            or (before.text == gathered.text and len(before.signatures) < len(gathered.signatures))
        ):
            self._write(folder, COSIGNED, gathered)
            return gathered
        return before

    def _have_gone_past(self, gathered: Note, newest: Note, heard: Sequence[_Heard]) -> bool:
        """Whether a witness says that it has cosigned more than what is held out, and can cosign the newest.

        That is its word alone. So it counts once until the witness has cosigned something: one that lies would else
        change what is held out each round, before those who look more seldom have seen it.
        """
        origin, size, largest = checkpoint_of(newest).origin, checkpoint_of(gathered).size, checkpoint_of(newest).size
        cosigners, found = self._cosigners(gathered), False
        for witness, each in zip(self._witnesses, heard, strict=True):
            said = (witness.name, origin)
            if witness.key in cosigners:
                self._gone_past.discard(said)
            elif size < each.size <= largest and said not in self._gone_past:
                self._gone_past.add(said)
                found = True
        return found

    def _is_over(self, folder: Path, gathered: Note, newest: Note, *, gone_past: bool) -> bool:
        """Whether the newest checkpoint takes the place of the one that is held out."""
        size = checkpoint_of(gathered).size
        if checkpoint_of(newest).size <= size:
            return False
        cosigners = self._cosigners(gathered)
        lacking = [witness for witness in self._witnesses if witness.key not in cosigners]
        if not lacking:
            return True
        if self._policy.is_met_by(cosigners) and all(witness.name in self._by_request for witness in lacking):
            return True  # whoever is sent a checkpoint takes the next one as well
        if not self._policy.is_met_by(cosigners) and gone_past:
            return True  # that witness can't cosign it any more
        return self._clock() - (folder / PENDING).stat().st_mtime > self._patience_s

    def _cosigners(self, note: Note) -> list[VerifierKey]:
        return [key for key, _ in note.signed_by(self._policy.witness_keys)]

    def _read(self, folder: Path, path: str) -> Note | None:
        try:
            note = Note.parse(folder_fetch(folder)(path))
            self._cosigners(note)
        except (MissingFileError, NoteError):
            return None
        return note

    def _write(self, folder: Path, path: str, note: Note) -> None:
        name = path.rpartition("/")[2]
        write_durably(self._disk, folder / "witness", [(name, bytes(note))])
