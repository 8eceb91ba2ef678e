"""A witness at work: looks at logs, cosigns what has only grown, and raises the alarm at anything else.

What it believes of a log is what it has cosigned last (`streams.ledger_service.witness_store`), nothing else. The rules
are `streams.ledger.witnessing`'s. A look at one log is independent of all others: one that can't be reached, or that
has broken its promise, keeps no other from being cosigned.

Which checkpoint: `witness/pending`, where a log has one, as all its witnesses are to cosign the same; the newest one
where it has none. A smaller one than before may be a cache's doing, and so may tiles that don't fit yet. That is a
*doubt*, and turns into an alarm after EVERYCENT_WITNESS_STALE_S; a contradiction is one at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

import structlog

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.evidence import Charge, make_evidence
from streams.ledger.notes import Note, NoteError, VerifierKey
from streams.ledger.published import PENDING, MissingFileError, checkpoint_of
from streams.ledger.submission import SIZE_CONTENT_TYPE, Submission
from streams.ledger.tiles import CHECKPOINT, Tile
from streams.ledger.tree import EMPTY_ROOT, ProofError, roots_of_growth, verify_consistency
from streams.ledger.witnessing import (
    Comparison,
    ForeignKeyError,
    Verdict,
    check_tiles,
    compare,
    open_checkpoint,
    tiles_to_compare,
)
from streams.ledger_service.logs_at_once import of_each
from streams.ledger_service.remote import Remote, RemoteError
from streams.ledger_service.witness_store import WitnessStore, published_path

logger = structlog.get_logger(__name__)

LOOK_MAX_S = 45.0  # at one log: whoever answers byte by byte must not keep other logs from being looked at
PEER_LOOK_MAX_S = 30.0  # ... and at what one other witness was shown of it
SENT = "sent to this witness"  # where a checkpoint comes from that came by request
TURN_MAX_S = 5.0  # whoever watches the witness hears of it so often, though it waits
CONVICTED = "convicted"  # the charge of an alarm that was raised in an earlier look, or by an earlier process
_NO = Verdict.UNPROVEN


class Outcome(StrEnum):
    """What a look at a log came to, from good to bad."""

    COSIGNED = "cosigned"
    UNCHANGED = "unchanged"
    DOUBTFUL = "doubtful"  # not cosigned, and not yet an alarm
    UNREACHABLE = "unreachable"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class WatchedLog:
    """A log, where its files are, and its keys. Without an address it is known by what it sends alone."""

    origin: str
    address: str
    keys: tuple[VerifierKey, ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """What a witness looks at. `stale_s`: how long a doubt may last; `peers`: other witnesses' addresses."""

    logs: Sequence[WatchedLog]
    stale_s: int
    peers: Sequence[str] = ()


@dataclass(slots=True)
class Standing:
    """What is known of one log, for metrics and for whoever asks; but for the cosigned size, since the start."""

    good_s: int  # when it was last seen to be as it must be
    peers_good_s: dict[str, int]  # and not contradicted by what this peer was shown
    outcome: Outcome | None = None
    size: int = 0  # that is cosigned
    cosigned_s: int = 0
    raised: set[str] = field(default_factory=set)  # alarms of this look, by charge
    told: dict[str, str] = field(default_factory=dict)  # alarms that were told, by charge


@dataclass(frozen=True, slots=True)
class _Shown:
    """A checkpoint that somebody shows us as a log's."""

    note: Note  # bears the signatures of known keys alone
    checkpoint: Checkpoint
    source: str


@dataclass(frozen=True, slots=True)
class Added:
    """The answer to a submission, as HTTP has it."""

    status: int
    body: str
    content_type: str = "text/plain"


_Pair: TypeAlias = tuple[_Shown | None, _Shown]


class _ForeignError(Exception):
    """A checkpoint that another key has signed."""

    def __init__(self, shown: _Shown, why: str) -> None:
        super().__init__(why)
        self.shown = shown


class Witness:
    """One witness over several logs. `clock`: seconds since the epoch. The store is open, and its folder locked."""

    def __init__(self, store: WitnessStore, watch: Watch, remote: Remote, clock: Callable[[], int]) -> None:
        self._store = store
        self._watch = watch
        self._remote = remote
        self._clock = clock
        now_s = clock()
        self.standings = {
            log.origin: Standing(store.cosigned_at_s(log.origin) or now_s, dict.fromkeys(watch.peers, now_s))
            for log in watch.logs
        }
        self.turns = 0  # differs whenever it has got on
        self.broken: OSError | None = None  # the disk failed as a request was answered: nothing more may be cosigned
        self._logs = {log.origin: log for log in watch.logs}
        for log in watch.logs:
            self._note_cosigned(log)

    async def look(self) -> dict[str, Outcome]:
        """Look once at every log, and at what other witnesses were shown. Raises ClockError, OSError."""
        if self.broken is not None:
            raise self.broken
        self._store.check_clock(self._clock())
        await of_each(self._watch.logs, self._look_around)
        return {origin: standing.outcome or Outcome.UNREACHABLE for origin, standing in self.standings.items()}

    async def _look_around(self, log: WatchedLog) -> None:
        standing = self.standings[log.origin]
        self.turns += 1
        standing.raised = set()
        outcome = await self._look_at(log)
        for peer in self._watch.peers if log.address else ():  # without tiles nothing can be compared
            self.turns += 1
            if CONVICTED not in standing.raised and await self._compare_with_peer(log, peer):
                outcome = Outcome.ALARM
        standing.outcome = outcome
        if outcome in {Outcome.COSIGNED, Outcome.UNCHANGED}:
            for charge in set(standing.told) - standing.raised:
                logger.info("the alarm is over", log=log.origin, charge=charge)
                del standing.told[charge]

    async def _look_at(self, log: WatchedLog) -> Outcome:
        if (conviction := self._store.conviction(log.origin)) is not None:
            self._tell(log, CONVICTED, "there is proof against it, so it is never cosigned again", conviction)
            return Outcome.ALARM
        if not log.address:
            return self.standings[log.origin].outcome or Outcome.UNCHANGED
        mine = self._mine(log)
        try:
            async with asyncio.timeout(LOOK_MAX_S):
                shown = await self._shown(log, mine)
                comparison = await self._compare(log, shown, mine)
        except _ForeignError as error:
            return self._alarm(log, Charge.FOREIGN_KEY, (mine, error.shown), Comparison(_NO, (), str(error)))
        except (RemoteError, MissingFileError, TimeoutError) as error:
            why = str(error) or f"it takes longer than {LOOK_MAX_S:.0f} s"
            logger.warning("the log can't be reached", log=log.origin, error=why)
            return Outcome.UNREACHABLE
        except NoteError as error:
            logger.warning("the log shows no checkpoint", log=log.origin, error=str(error))
            return Outcome.DOUBTFUL
        if comparison.verdict is Verdict.CONTRADICTION:
            charge = Charge.TWO_TREES if not comparison.proof else Charge.REWRITTEN
            return self._alarm(log, charge, (mine, shown), comparison)
        if comparison.verdict is Verdict.UNPROVEN:
            is_behind = mine is not None and shown.checkpoint.size < mine.checkpoint.size
            return self._doubt(log, Charge.ROLLED_BACK if is_behind else Charge.UNPROVEN, (mine, shown), comparison)
        return self._consistent(log, mine, shown, comparison)

    def _consistent(self, log: WatchedLog, mine: _Shown | None, shown: _Shown, comparison: Comparison) -> Outcome:
        if mine is not None and shown.checkpoint.size < mine.checkpoint.size:
            why = f"it shows {shown.checkpoint.size} leaves, and has signed {mine.checkpoint.size} before"
            return self._doubt(log, Charge.ROLLED_BACK, (mine, shown), Comparison(_NO, comparison.proof, why))
        now_s = self._clock()
        if self._mine(log) != mine:
            return Outcome.UNCHANGED  # a request came meanwhile, and this was compared with what was cosigned before it
        if mine is None or shown.checkpoint.size > mine.checkpoint.size:
            self._store.cosign(shown.note, now_s)
            self._note_cosigned(log)
            logger.info("cosigned", log=log.origin, size=shown.checkpoint.size)
        self.standings[log.origin].good_s = now_s
        return Outcome.COSIGNED if mine is None or shown.checkpoint.size > mine.checkpoint.size else Outcome.UNCHANGED

    def add_checkpoint(self, data: bytes) -> Added:
        """Answer a submission of C2SP tlog-witness, each refusal with the status that the protocol has for it.

        Nothing is awaited here, so neither a look nor another request comes between check and record. What another
        key has signed is no alarm, as anybody may send anything. Raises ClockError, OSError.
        """
        try:
            sent = Submission.parse(data)
            origin = checkpoint_of(sent.note).origin
        except NoteError as error:
            return Added(400, f"{error}\n")
        log = self._logs.get(origin)
        if log is None:
            return Added(404, "this witness doesn't know the log\n")
        try:
            shown = self._opened(log, bytes(sent.note), SENT)
        except (NoteError, _ForeignError):
            return Added(403, "no key that this witness knows of the log has signed that\n")
        if self._store.conviction(origin) is not None:
            return Added(403, "there is proof against this log, so it is never cosigned again\n")
        mine = self._mine(log)
        known = Checkpoint(origin, 0, EMPTY_ROOT) if mine is None else mine.checkpoint
        if sent.old > shown.checkpoint.size:
            return Added(400, "the old size is larger than the checkpoint's\n")
        if sent.old != known.size:
            return Added(409, f"{known.size}\n", SIZE_CONTENT_TYPE)
        if mine is not None and (refusal := self._contradiction(log, mine, shown, sent)):
            return refusal
        try:
            verify_consistency(known.size, known.root, shown.checkpoint.size, shown.checkpoint.root, sent.proof)
        except ProofError as error:
            return Added(422, f"{error}\n")
        return self._answered(log, shown)

    def _contradiction(self, log: WatchedLog, mine: _Shown, shown: _Shown, sent: Submission) -> Added | None:
        """An alarm, where the log's own signatures prove it by what was sent; of a proof of nonsense none."""
        small, large = mine.checkpoint, shown.checkpoint
        no_proof: tuple[bytes, ...] = ()
        if small.size == large.size:
            if small.root == large.root:
                return None
            charge, status, proof = Charge.TWO_TREES, 409, no_proof
            why = f"two trees of {small.size} leaves were signed"
        else:
            charge, status, proof = Charge.REWRITTEN, 422, sent.proof
            why = f"the tree of {large.size} leaves doesn't begin with the tree of {small.size} that was signed before"
            try:
                was, now = roots_of_growth(small.size, large.size, proof)
            except ProofError:
                return None
            if now != large.root or was == small.root:
                return None
        comparison = Comparison(Verdict.CONTRADICTION, proof, why)
        self.standings[log.origin].outcome = self._alarm(log, charge, (mine, shown), comparison)
        return Added(status, f"{why}\n")

    def _answered(self, log: WatchedLog, shown: _Shown) -> Added:
        """The cosignature; of what was cosigned already the one that there is, so that repeats cost no write."""
        note = self._store.cosigned(log.origin)
        if note is None or note.text != shown.note.text:
            note = self._store.cosign(shown.note, self._clock())
            self._note_cosigned(log)
            logger.info("cosigned", log=log.origin, size=shown.checkpoint.size, by="request")
        standing = self.standings[log.origin]
        if not log.address:  # where there are files, only a look at them says that they are as they must be
            standing.good_s, standing.outcome = self._clock(), Outcome.COSIGNED
        return Added(200, "".join(signature.line() for _, signature in note.signed_by([self._store.key])))

    async def _shown(self, log: WatchedLog, mine: _Shown | None) -> _Shown:
        """The checkpoint to be cosigned; where that one is behind what was cosigned already, the newest one."""
        try:
            pending = self._opened(log, await self._remote.get(log.address, PENDING), f"{log.address}/{PENDING}")
            if mine is None or pending.checkpoint.size >= mine.checkpoint.size:
                return pending
        except MissingFileError:
            pending = None
        newest = self._opened(log, await self._remote.get(log.address, CHECKPOINT), f"{log.address}/{CHECKPOINT}")
        if pending is None or mine is None or newest.checkpoint.size <= mine.checkpoint.size:
            return newest
        # The log is about to ask for another one; to run ahead of it would leave us without anything in common.
        is_grown = (await self._compare(log, newest, mine)).verdict is Verdict.CONSISTENT
        return mine if is_grown else newest

    def _opened(self, log: WatchedLog, data: bytes, source: str) -> _Shown:
        """Raises _ForeignError, or NoteError where it's no checkpoint of this log at all."""
        note = Note.parse(data)
        try:
            checkpoint = open_checkpoint(note, log.keys)
        except ForeignKeyError as error:
            raise _ForeignError(_Shown(note, checkpoint_of(note), source), str(error)) from None
        if checkpoint.origin != log.origin:
            raise NoteError(f"{source} is of the log {checkpoint.origin!r}, not of {log.origin!r}")
        ours = tuple(signature for _, signature in note.signed_by(log.keys))
        return _Shown(Note(note.text, ours), checkpoint, source)

    def _mine(self, log: WatchedLog) -> _Shown | None:
        note = self._store.cosigned(log.origin)
        return None if note is None else _Shown(note, checkpoint_of(note), "cosigned by this witness")

    async def _compare(self, log: WatchedLog, shown: _Shown, mine: _Shown | None) -> Comparison:
        """By the tiles that the log shows. Raises RemoteError."""
        known = Checkpoint(log.origin, 0, bytes(32)) if mine is None else mine.checkpoint
        tiles = await self._remote.tiles(log.address, tiles_to_compare(known.size, shown.checkpoint.size))

        def read(tile: Tile) -> bytes:
            if tile not in tiles:
                raise MissingFileError(f"{log.address} shows no whole {tile.path}")
            return tiles[tile]

        return check_tiles(shown.checkpoint, read) if mine is None else compare(known, shown.checkpoint, read)

    async def _compare_with_peer(self, log: WatchedLog, peer: str) -> bool:
        """Whether another witness was shown another log than we: True is an alarm."""
        mine = self._mine(log)
        if mine is None:
            return False
        source = f"{peer}/{published_path(log.origin)}"
        standing = self.standings[log.origin]
        try:
            async with asyncio.timeout(PEER_LOOK_MAX_S):
                theirs = self._opened(log, await self._remote.get(peer, published_path(log.origin)), source)
                comparison = await self._compare(log, theirs, mine)
        except MissingFileError:
            return False  # it doesn't watch this log, or not yet
        except (RemoteError, NoteError, TimeoutError, _ForeignError) as error:
            why = str(error) or f"it takes longer than {PEER_LOOK_MAX_S:.0f} s"
            logger.warning("another witness can't be asked", log=log.origin, peer=peer, error=why)
            return False
        if comparison.verdict is Verdict.CONTRADICTION:
            charge = Charge.TWO_TREES if not comparison.proof else Charge.REWRITTEN
            return self._alarm(log, charge, (theirs, mine), comparison) is Outcome.ALARM
        if comparison.verdict is Verdict.CONSISTENT:
            standing.peers_good_s[peer] = self._clock()
            return False
        if self._clock() - standing.peers_good_s[peer] <= self._watch.stale_s:
            return False
        why = f"{source} shows a checkpoint that the log doesn't bear out: {comparison.why}"
        return self._alarm(log, Charge.WITHHELD, (mine, theirs), Comparison(_NO, (), why)) is Outcome.ALARM

    def _doubt(self, log: WatchedLog, charge: Charge, pair: _Pair, comparison: Comparison) -> Outcome:
        since_s = self._clock() - self.standings[log.origin].good_s
        if since_s > self._watch.stale_s:
            return self._alarm(log, charge, pair, comparison)
        logger.warning("not cosigned", log=log.origin, why=comparison.why, for_s=since_s)
        return Outcome.DOUBTFUL

    def _alarm(self, log: WatchedLog, charge: Charge, pair: _Pair, comparison: Comparison) -> Outcome:
        """Keep the evidence, and tell. `pair`: what was known, or None, and what speaks against it."""
        known, shown = pair
        path = None
        if known is not None:
            notes = [(known.note, known.source), (shown.note, shown.source)]
            if charge is not Charge.FOREIGN_KEY and known.checkpoint.size > shown.checkpoint.size:
                notes.reverse()
            by = (str(self._store.key), self._clock())
            path = self._store.convict(log.origin, make_evidence(charge, notes[0], notes[1], comparison.proof, by))
        self._tell(log, charge, comparison.why, path)
        return Outcome.ALARM

    def _tell(self, log: WatchedLog, charge: str, why: str, evidence: Path | None) -> None:
        """One line for an alarm, once for as long as it stays the same."""
        standing = self.standings[log.origin]
        standing.raised.add(charge)
        if charge == CONVICTED and standing.told:
            return  # this process has told what for
        told = f"{why} {evidence}"
        if standing.told.get(charge) != told:
            kept = str(evidence) if evidence else "none"
            logger.error("ALARM: the log can't be trusted", log=log.origin, charge=charge, why=why, evidence=kept)
        standing.told[charge] = told

    def _note_cosigned(self, log: WatchedLog) -> None:
        if (mine := self._mine(log)) is not None:
            standing = self.standings[log.origin]
            standing.size, standing.cosigned_s = mine.checkpoint.size, self._store.cosigned_at_s(log.origin)


async def follow(witness: Witness, stop: asyncio.Event, interval_s: float) -> None:
    """Look again and again until `stop`. Raises ClockError, OSError."""
    clock_s = asyncio.get_running_loop().time
    while not stop.is_set():
        await witness.look()
        due_s = clock_s() + interval_s
        while not stop.is_set() and witness.broken is None and (left_s := due_s - clock_s()) > 0:
            witness.turns += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(left_s, TURN_MAX_S))
