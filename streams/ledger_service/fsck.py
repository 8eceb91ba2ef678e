"""`everycent ledger fsck`: everything that a ledger has published against its entries, and those against `donations`.

Reads only, but for the file that remembers how far it has come, which is replaced whole. Interrupted or killed it goes
on from there, at most `REMEMBER_LEAVES` earlier.
"""

import re
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from streams.engine.reader import open_reader
from streams.errors import UserError
from streams.ledger.checkpoint import Checkpoint
from streams.ledger.fsck import DifferenceError, LogCheck, Standing
from streams.ledger.leaf import LeafError, Salts
from streams.ledger.notes import Note, NoteError, VerifierKey, encode_base64
from streams.ledger.published import MissingFileError, PublishedLog, checkpoint_of
from streams.ledger.tiles import CHECKPOINT, TILE_WIDTH, Bundle, Tile, TileError, pack_entries, tiles_at
from streams.ledger.tree import tree_root
from streams.ledger_service.donations import Donations, open_donations
from streams.ledger_service.files import Disk, folder_fetch, write_durably
from streams.ledger_service.keys import LAST_SIGNED, load_salts
from streams.ledger_service.leaves import hashing
from streams.settings import Settings

REMEMBER_LEAVES = 1_048_576
PROGRESS_LEAVES = 16_384
_PARTIAL = re.compile(r"tile/(entries|\d+)/((?:x\d{3}/)*\d{3})\.p/(\d+)")
_FAULTS = (DifferenceError, LeafError, NoteError, MissingFileError, TileError)


@dataclass(frozen=True, slots=True)
class LogReport:
    """What was found of one log. `difference`: the first, or empty. `waiting`: donations without a leaf."""

    partition: int
    leaves: int
    resumed_at: int
    difference: str
    waiting: int | None = None  # None: the topic wasn't looked at


@dataclass(frozen=True, slots=True)
class Sources:
    """What is checked, and against what."""

    folder: Path  # of the ledger
    keys: Collection[VerifierKey]
    topic: tuple[Settings, Salts] | None = None  # where the donations are; None: the files alone are checked
    signed: Collection[Note] = ()  # checkpoints that the logs have signed, from wherever they are remembered
    state: Path | None = None  # the file that remembers how far it has come
    native: bool = True  # by the Rust extension, if it's there


async def check_log(
    sources: Sources, partition: int, on_progress: Callable[[int, int], None] = lambda *_: None
) -> LogReport:
    """Check one log up to its first difference. Raises UserError where that can't be told."""
    folder = sources.folder / "donations" / str(partition)
    log = PublishedLog(folder_fetch(folder))
    resumed_at = leaves = 0
    try:
        checkpoint = _signed_checkpoint(log.note(), sources.keys)
        standing = _recall(sources.state, checkpoint)
        how = hashing(sources.native)
        check = LogCheck(log, checkpoint, standing, check=how.check_bundle, root_of=how.root_of)
        resumed_at = check.size
        try:
            waiting = await _check_entries(sources, partition, log, check, checkpoint, on_progress)
        finally:
            leaves = check.size
        check.finish()
        _check_signed(sources, log, checkpoint)
        _check_partials(folder, log, checkpoint.size)
    except _FAULTS as error:
        return LogReport(partition, leaves, resumed_at, str(error))
    return LogReport(partition, leaves, resumed_at, "", waiting)


async def _check_entries(  # noqa: PLR0913, PLR0917 - one log, and how to tell
    sources: Sources,
    partition: int,
    log: PublishedLog,
    check: LogCheck,
    checkpoint: Checkpoint,
    on_progress: Callable[[int, int], None],
) -> int | None:
    """All bundles, each against its donations if there is a topic; how many donations have no leaf yet."""
    remembered = check.size
    async with _open_donations(sources, partition, check.size) as donations:
        for bundle, data in log.packed_bundles(check.size // TILE_WIDTH, checkpoint.size):
            if check.size - remembered >= REMEMBER_LEAVES or (bundle.width < TILE_WIDTH and check.size > remembered):
                _remember(sources.state, checkpoint.origin, check.standing())
                remembered = check.size
            if check.size % PROGRESS_LEAVES == 0:
                on_progress(check.size, checkpoint.size)
            check.take(bundle, data, None if donations is None else await donations.take(bundle))
        return None if donations is None else await donations.left()


@asynccontextmanager
async def _open_donations(sources: Sources, partition: int, seq: int) -> AsyncIterator[Donations | None]:
    if sources.topic is None:
        yield None
        return
    settings, salts = sources.topic
    async with open_donations(settings, salts, partition, seq) as donations:
        yield donations


def _signed_checkpoint(note: Note, keys: Collection[VerifierKey]) -> Checkpoint:
    checkpoint = checkpoint_of(note)
    if not any(key.name == checkpoint.origin for key, _ in note.signed_by(keys)):
        raise DifferenceError(f"the checkpoint of {checkpoint.origin!r} is signed by none of the keys that are known")
    return checkpoint


def _check_signed(sources: Sources, log: PublishedLog, checkpoint: Checkpoint) -> None:
    """Whatever else was signed for this log must be the same tree at an earlier size, or the same."""
    for note in sources.signed:
        other = checkpoint_of(note)
        if other.origin != checkpoint.origin:
            continue
        _signed_checkpoint(note, sources.keys)
        if other.size > checkpoint.size:
            raise DifferenceError(f"a checkpoint of {other.size} leaves was signed, but the log has {checkpoint.size}")
        root = tree_root(log.nodes(checkpoint.size), other.size)
        if root != other.root:
            raise DifferenceError(f"{other} was signed, but the log has the root {encode_base64(root)} at that size")


def _check_partials(folder: Path, log: PublishedLog, size: int) -> None:
    """Partial tiles and bundles of smaller trees that still lie there: readers of older checkpoints use them."""
    for path in sorted((folder / "tile").rglob("*.p/*")):
        name = path.relative_to(folder).as_posix()
        found = _PARTIAL.fullmatch(name)
        if found is None:
            raise DifferenceError(f"{name} is no file of a log")
        number, width = int(found[2].replace("x", "").replace("/", "")), int(found[3])
        level = 0 if found[1] == "entries" else int(found[1])
        full, partial = tiles_at(level, size)
        there = TILE_WIDTH if number < full else partial if number == full else 0
        if width > there:
            continue  # of a publication that a crash has cut short
        if found[1] == "entries":
            expected = pack_entries(log.bundle(Bundle(number, there))[:width])
        else:
            expected = log.tile(Tile(level, number, there))[: width * 32]
        if path.stat().st_size != len(expected) or path.read_bytes() != expected:
            raise DifferenceError(f"{name} is not the beginning of what is there now")


def _recall(state: Path | None, checkpoint: Checkpoint) -> Standing | None:
    standing = _read(state).get(checkpoint.origin)
    if standing is None:
        return None
    if standing.size > checkpoint.size:
        raise DifferenceError(
            f"the checkpoint has {checkpoint.size} leaves, but {standing.size} were there when it was checked before"
        )
    try:
        standing.tree()
    except ValueError as error:
        raise UserError(f"{state}: {error}. Delete the file to check from the beginning.") from None
    return standing


def _remember(state: Path | None, origin: str, standing: Standing) -> None:
    if state is not None:
        standings = {**_read(state), origin: standing}
        write_durably(Disk(), state.parent, [(state.name, msgspec.json.encode(standings))])


def _read(state: Path | None) -> dict[str, Standing]:
    try:
        return {} if state is None else msgspec.json.decode(state.read_bytes(), type=dict[str, Standing])
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        raise UserError(f"{state} is damaged ({error}). Delete the file to check from the beginning.") from None


async def remembered(settings: Settings) -> tuple[tuple[Settings, Salts], list[Note]]:
    """Where the donations are, and each checkpoint that the topic and the keys' folder remember. Raises UserError."""
    folder, topic = Path(settings.ledger_keys), settings.topics.ledger_checkpoints
    found = _last_signed(folder)
    async with open_reader(settings) as reader:
        for partition in await reader.partitions(topic):
            async for batch in reader.read(topic, partition):
                found += [record.value or b"" for record in batch]
    try:
        return (settings, load_salts(folder)), [Note.parse(data) for data in found]
    except NoteError as error:
        raise UserError(
            f"a remembered checkpoint, on {topic!r} or in {folder / LAST_SIGNED}, is none: {error}"
        ) from None


def _last_signed(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob(f"{LAST_SIGNED}/*/{CHECKPOINT}"))]


def public_keys(folder: Path) -> Sequence[VerifierKey]:
    """The keys that a ledger itself names: good for finding damage, not for trust. Raises UserError."""
    path = folder / "keys.txt"
    try:
        return [VerifierKey.parse(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError, NoteError) as error:
        raise UserError(f"{path} names no keys ({error}): give some with --key.") from None
