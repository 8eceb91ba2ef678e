"""Seals days and checks seals, from a ledger's files. The rules are in `streams.ledger.seals`.

To seal: (1) the totals' file, (2) the seal into its log, whose checkpoint is signed (`streams.ledger_service.store`),
(3) the seal as a signed note of its own. After a crash the next call does what is missing; a number is never signed for
two seals, as (3) signs only what lies in the log.
"""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from streams.errors import UserError
from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import Note, NoteError, VerifierKey, decode_base64, sign_note
from streams.ledger.published import MissingFileError, PublishedLog, checkpoint_of
from streams.ledger.seals import (
    DayTotals,
    ProjectDay,
    Seal,
    SealError,
    check_chain,
    check_totals,
    day_bounds_ms,
    encode_totals,
    next_seal,
)
from streams.ledger.tiles import TileError, TileTree
from streams.ledger.tree import leaf_hash, tree_root
from streams.ledger_service.files import Disk, folder_fetch, locked, write_durably
from streams.ledger_service.keys import DONATIONS, KeyRing, LastSigned, load_keys, seals_origin
from streams.ledger_service.receipts import logs_in
from streams.ledger_service.store import LogWriter, RefusalError
from streams.settings import Settings

SEALS = "seals"
Progress = Callable[[str, int, int], None]


class Sealed(NamedTuple):
    """What sealing a day gave. `new`: there was something to seal."""

    seal: Seal
    new: bool


class _Covered(NamedTuple):
    """A log at the size that a seal covers."""

    log: PublishedLog
    checkpoint: Checkpoint


def seal_day(settings: Settings, day: str, *, idle_ok: bool = False, tell: Progress = lambda *_: None) -> Sealed:
    """Seal `day` by what the logs have published. Raises UserError: the day isn't over, or the files are damaged."""
    root = Path(settings.ledger_dir)
    origin, folder = seals_origin(settings.ledger_name), root / SEALS
    ring, disk = load_keys(Path(settings.ledger_keys)), Disk()
    last_signed = LastSigned(ring.folder, origin, disk)
    with locked(folder, "sealing"), last_signed.alone():
        writer = LogWriter(folder, origin, ring.of(origin), last_signed, disk)
        try:
            writer.open()
            if writer.next_floor is not None:
                raise RefusalError(
                    f"the seals in {folder} are fewer than were signed ({writer.next_floor.checkpoint}): put them back."
                )
            before = all_entries(writer.log, writer.size)
            former = check_chain(before)
            covered = _covered(root)
            _check_all_there(covered, former, ring, settings, idle_ok=idle_ok)
            totals = _add_up(covered, day, settings, idle_ok=idle_ok, tell=tell)
            entry = next_seal(day, settings.timezone, [each.checkpoint for each in covered], totals, before)
            if entry is not None:
                write_durably(disk, folder, [(f"totals/{len(before)}.json", encode_totals(totals))])
                writer.append([entry])
                publication = writer.prepare()
                assert publication is not None, "an entry was added, and nothing signed lies ahead"
                writer.write(publication)
            seals = check_chain(entries := [*before, *([entry] if entry else [])])
            texts = {f"notes/{at}": seal_text(origin, at, each) for at, each in enumerate(entries)}
            missing = {name: text for name, text in texts.items() if not (folder / name).exists()}
            if missing:
                signers = ring.of(origin)
                write_durably(disk, folder, [(name, bytes(sign_note(text, signers))) for name, text in missing.items()])
        except (SealError, NoteError, TileError, MissingFileError) as error:
            raise UserError(f"{day} can't be sealed: {error}") from error
    return Sealed(next(seal for seal in reversed(seals) if seal.day == day), entry is not None)


def check_day(root: Path, day: str, keys: Collection[VerifierKey], tell: Progress = lambda *_: None) -> list[Seal]:
    """All seals of `day`, from the public files alone, oldest first. Raises SealError at the first that is wrong."""
    try:
        log = PublishedLog(folder_fetch(root / SEALS))
        checkpoint = _signed(log.note(), keys)
        entries = all_entries(log, checkpoint.size)
        tree = TileTree()
        tree.append(b"".join([leaf_hash(entry) for entry in entries]))
        if tree.root() != checkpoint.root:
            raise SealError("the seals are not those whose tree was signed")
        seals = check_chain(entries)
        of_day = [seal for seal in seals if seal.day == day]
        for seal in of_day:
            _check_note(root, checkpoint.origin, seal, entries[seal.number], keys)
            totals = DayTotals(*day_bounds_ms(day, seal.timezone))
            for each in _sealed_logs(root, seal, keys):
                _add_log(totals, each, tell)
            data = folder_fetch(root / SEALS)(f"totals/{seal.number}.json")
            check_totals(seal, data, totals.totals())
    except (NoteError, TileError, MissingFileError) as error:
        raise SealError(str(error)) from error
    return of_day


def seal_text(origin: str, number: int, entry: bytes) -> str:
    """What the note of a seal says; its second line keeps it from passing for a checkpoint."""
    return f"{origin}\nseal {number}\n{entry.decode()}\n"


def all_entries(log: PublishedLog, size: int) -> list[bytes]:
    return [entry for _, entries in log.bundles(0, size) for entry in entries]


def _covered(root: Path) -> list[_Covered]:
    return [_Covered(log, checkpoint_of(log.note())) for log in logs_in(root).values()]


def _check_all_there(
    covered: list[_Covered], former: list[Seal], ring: KeyRing, settings: Settings, *, idle_ok: bool
) -> None:
    """Raises SealError where a seal would leave out donations that were signed: a log is missing, or was put back."""
    logs = {each.checkpoint.origin: each for each in covered}
    ours = f"{settings.ledger_name}/{DONATIONS}/"
    for origin in dict.fromkeys(signer.verifier.name for signer in ring.signers):
        if not origin.startswith(ours) or origin in logs:
            continue
        if LastSigned(ring.folder, origin, Disk()).read() is not None:
            raise SealError(f"{origin} has leaves that were signed, and isn't in {settings.ledger_dir}: put it back")
        if not idle_ok:
            raise SealError(
                f"{origin} has a key, and isn't in {settings.ledger_dir}: `everycent ledger run` keeps it. If it is "
                "never to have anything: --idle-ok"
            )
    for sealed in former[-1].logs if former else ():
        log = logs.get(sealed.origin)
        if log is None or log.checkpoint.size < sealed.size:
            there = 0 if log is None else log.checkpoint.size
            raise SealError(
                f"seal {former[-1].number} covers {sealed.size} leaves of {sealed.origin}, which has {there} now: "
                "it was put back from a backup. `everycent ledger run` brings it up to date"
            )
        if tree_root(log.log.nodes(log.checkpoint.size), sealed.size) != decode_base64(sealed.root):
            raise SealError(f"{sealed.origin} doesn't begin with the tree that seal {former[-1].number} covers")


def _add_up(
    covered: list[_Covered], day: str, settings: Settings, *, idle_ok: bool, tell: Progress
) -> tuple[ProjectDay, ...]:
    """The day's totals over all logs. Raises SealError where the day isn't over, or entries aren't what was signed."""
    start_ms, end_ms = day_bounds_ms(day, settings.timezone)
    totals = DayTotals(start_ms, end_ms)
    for each in covered:
        newest_ms = _add_log(totals, each, tell)
        if newest_ms - settings.allowed_lateness_ms < end_ms and not idle_ok:
            raise SealError(
                f"{each.checkpoint.origin} has no donation yet that lies {settings.allowed_lateness_ms} ms after the "
                "day's end, so the day isn't over there. If that log has nothing more to come: --idle-ok"
            )
    return totals.totals()


def _add_log(totals: DayTotals, each: _Covered, tell: Progress) -> int:
    """Add a log's entries, which must be those that its checkpoint is about; its newest donation's time, ms."""
    tree, size = TileTree(), each.checkpoint.size
    totals.begin_log()
    for _, entries in each.log.bundles(0, size):
        tree.append(b"".join([leaf_hash(entry) for entry in entries]))
        totals.add(entries)
        tell(each.checkpoint.origin, tree.size, size)
    if tree.root() != each.checkpoint.root:
        raise SealError(f"the entries of {each.checkpoint.origin} don't give the root that was signed at {size} leaves")
    return totals.newest_ms


def _signed(note: Note, keys: Collection[VerifierKey]) -> Checkpoint:
    checkpoint = checkpoint_of(note)
    if not any(key.name == checkpoint.origin for key, _ in note.signed_by(keys)):
        raise SealError(f"the checkpoint of {checkpoint.origin} is signed by none of the keys that are known")
    return checkpoint


def _check_note(root: Path, origin: str, seal: Seal, entry: bytes, keys: Collection[VerifierKey]) -> None:
    note = Note.parse(folder_fetch(root / SEALS)(f"notes/{seal.number}"))
    if note.text != seal_text(origin, seal.number, entry):
        raise SealError(f"the note of seal {seal.number} isn't about the seal of that number")
    if not any(key.name == origin for key, _ in note.signed_by(keys)):
        raise SealError(f"seal {seal.number} is signed by none of the keys that are known")


def _sealed_logs(root: Path, seal: Seal, keys: Collection[VerifierKey]) -> Iterator[_Covered]:
    """The logs that a seal covers, at the sizes that it names, each in the tree that is signed now."""
    by_origin = {checkpoint_of(log.note()).origin: log for log in logs_in(root).values()}
    for sealed in seal.logs:
        log = by_origin.get(sealed.origin)
        if log is None:
            raise SealError(f"seal {seal.number} covers {sealed.origin}, which isn't there")
        now = _signed(log.note(), keys)
        if now.size < sealed.size:
            raise SealError(f"seal {seal.number} covers {sealed.size} leaves of {sealed.origin}, which has {now.size}")
        if tree_root(log.nodes(now.size), sealed.size) != decode_base64(sealed.root):
            raise SealError(f"{sealed.origin} doesn't begin with the tree that seal {seal.number} covers")
        yield _Covered(log, Checkpoint(sealed.origin, sealed.size, decode_base64(sealed.root)))
