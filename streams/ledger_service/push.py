"""Sends a log's checkpoint to a witness, which answers with its cosignature: the client's side of C2SP tlog-witness.

Kept in memory alone: what each witness has cosigned of each log. After a restart the witness says so itself, by 409.
Whoever can't be reached, or says that it has too much to do, is left alone for a while, which doubles each time; so a
witness that is away costs one request now and then, and holds nobody up.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from streams.ledger.notes import Note, NoteError
from streams.ledger.policy import PolicyWitness
from streams.ledger.published import MissingFileError, PublishedLog, checkpoint_of
from streams.ledger.submission import SIZE_CONTENT_TYPE, Submission, parse_cosignatures, parse_size
from streams.ledger.tiles import TileError
from streams.ledger.tree import ProofError, consistency_proof
from streams.ledger_service.remote import Answered, Remote, RemoteError

TRIES_MAX = 3  # of one checkpoint in one round: another sender may come between 409 and the proof from there
PAUSE_FIRST_S = 10.0
PAUSE_MAX_S = 300.0
SAID_MAX = 120  # characters of a witness's own words
_OVERLOADED = {408, 429}
_MEANT = {
    400: "takes the request for malformed",
    403: "doesn't know the key that the ledger signs with, or has broken with the ledger",
    404: "doesn't know this log, or takes no checkpoints by request",
    405: "takes no checkpoints by request",
    422: "says that this checkpoint doesn't follow from what it has cosigned: it was shown another one, or errs",
    501: "takes no checkpoints by request",
}


class PushError(Exception):
    """No cosignature; says why. `ahead`: it has cosigned a larger tree. `is_away`: it is to be left alone for now."""

    def __init__(self, why: str, *, ahead: int = 0, is_away: bool = False) -> None:
        super().__init__(why)
        self.ahead = ahead
        self.is_away = is_away


@dataclass(slots=True)
class _Away:
    """A witness that couldn't be reached."""

    why: str
    pause_s: float
    until_s: float


class Pusher:
    """Sends to several witnesses of several logs. `clock_s` only goes on."""

    def __init__(self, remote: Remote, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._remote = remote
        self._clock_s = clock_s
        self._cosigned: dict[tuple[str, str], int] = {}  # sizes, by witness and log
        self._away: dict[str, _Away] = {}

    async def cosigned(self, witness: PolicyWitness, log: PublishedLog, note: Note) -> Note:
        """The checkpoint in `note` with what the witness has answered. Raises PushError.

        `note` bears the log's signatures alone. Of the answer only its form was checked.
        """
        self.check(witness)
        try:
            found = await self._try(witness, log, note)
        except RemoteError as error:
            self.leave_alone(witness, str(error))
            raise PushError(str(error), is_away=True) from error
        except PushError as error:
            if error.is_away:
                self.leave_alone(witness, str(error))
            else:
                self._away.pop(witness.name, None)
            raise
        self._away.pop(witness.name, None)
        return found

    async def _try(self, witness: PolicyWitness, log: PublishedLog, note: Note) -> Note:
        checkpoint = checkpoint_of(note)
        known = (witness.name, checkpoint.origin)
        for _ in range(TRIES_MAX):
            old = self._cosigned.get(known, 0)
            if old > checkpoint.size:
                # What it was then it may be no more: it is asked again, with a size that is right for our side.
                old = 0
            answer = await self._remote.add_checkpoint(
                witness.url.rstrip("/"), bytes(Submission(old, _proof(log, old, checkpoint.size), note))
            )
            if answer.status == 200:
                try:
                    found = parse_cosignatures(note.text, answer.data)
                except NoteError as error:
                    raise PushError(f"its answer is no cosignature: {error}") from error
                self._cosigned[known] = checkpoint.size
                return found
            if answer.status != 409:
                raise _refused(answer)
            self._cosigned[known] = size = _size_in(answer)
            if size > checkpoint.size:
                raise PushError(f"it has cosigned {size} leaves already", ahead=size)
            if size == old == checkpoint.size:
                raise PushError(f"it has cosigned another tree of {size} leaves than this ledger's (409)")
        raise PushError(f"it has each time cosigned something else meanwhile (409, {TRIES_MAX} times)")

    def check(self, witness: PolicyWitness) -> None:
        """Raises PushError where it is to be left alone for now."""
        away = self._away.get(witness.name)
        if away is not None and self._clock_s() < away.until_s:
            raise PushError(away.why, is_away=True)

    def leave_alone(self, witness: PolicyWitness, why: str) -> None:
        """For a while, as it can't be reached, has too much to do, or keeps whoever asks waiting."""
        before = self._away.get(witness.name)
        now_s = self._clock_s()
        if before is not None and now_s < before.until_s:
            return  # of several logs' requests at once the first one has said so
        pause_s = PAUSE_FIRST_S if before is None else min(before.pause_s * 2, PAUSE_MAX_S)
        self._away[witness.name] = _Away(why, pause_s, now_s + pause_s)


def _proof(log: PublishedLog, old: int, new: int) -> tuple[bytes, ...]:
    try:
        return tuple(consistency_proof(log.nodes(new), old, new))
    except (MissingFileError, TileError, ProofError) as error:
        raise PushError(f"the proof for it can't be made, the ledger's files are damaged: {error}") from error


def _refused(answer: Answered) -> PushError:
    said = " ".join(answer.data.decode(errors="replace").split())
    words = f": {said[:SAID_MAX]!a}" if said else ""
    if answer.status >= 500 and answer.status != 501:
        return PushError(f"it is out of order ({answer.status}){words}", is_away=True)
    if answer.status in _OVERLOADED:
        return PushError(f"it has too much to do ({answer.status}){words}", is_away=True)
    return PushError(f"it {_MEANT.get(answer.status, 'refuses')} ({answer.status}){words}")


def _size_in(answer: Answered) -> int:
    if answer.content_type != SIZE_CONTENT_TYPE:
        raise PushError("it has cosigned another tree of this size than this ledger's (409)")
    try:
        return parse_size(answer.data)
    except NoteError as error:
        raise PushError(f"its answer 409 says no size: {error}") from error
