"""Makes receipts where the ledger's files, its index and the donors' secret are at hand. It only reads the ledger."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import msgspec

from streams.errors import UserError
from streams.ledger.leaf import LeafError, SaltSource, decode_leaf
from streams.ledger.notes import Note, NoteError
from streams.ledger.policy import Policy
from streams.ledger.published import COSIGNED, PENDING, MissingFileError, PublishedLog, checkpoint_of
from streams.ledger.receipt import Receipt, cosigners_of, make_receipt
from streams.ledger.tiles import TileError
from streams.ledger_service.files import folder_fetch
from streams.ledger_service.index import DonationIndex, find_unindexed, open_index

WITNESSED = (PENDING, COSIGNED)
_DAMAGE = (NoteError, TileError, MissingFileError, LeafError, msgspec.MsgspecError)

Searched: TypeAlias = Callable[[int, int], None]
"""Told again and again while leaves are looked through: how many have been, and how many there are at the most."""


def logs_in(folder: Path) -> dict[int, PublishedLog]:
    """The logs of a ledger's folder that have a checkpoint, by partition. Raises UserError if there are none."""
    found = sorted((folder / "donations").glob("[0-9]*"), key=lambda path: int(path.name))
    logs = {int(path.name): PublishedLog(folder_fetch(path)) for path in found if (path / "checkpoint").exists()}
    if not logs:
        raise UserError(f"there is no ledger in {folder}: see EVERYCENT_LEDGER_DIR. `everycent ledger run` keeps one.")
    return logs


def update_index(
    index: DonationIndex, folder: Path, on_progress: Callable[[int, int, int], None] = lambda *_: None
) -> tuple[int, int]:
    """Take in what the ledger has published since; how many donations that were, and how many there are now."""
    taken = total = 0
    try:
        for partition, log in logs_in(folder).items():
            size = checkpoint_of(log.note()).size
            _check_fits(index, partition, log, size)

            def tell(position: int, partition: int = partition, size: int = size) -> None:
                on_progress(partition, position, size)

            taken += index.advance(partition, log, size, tell)
            total += index.position(partition)
    except _DAMAGE as error:
        raise _damaged(folder, error) from error
    return taken, total


def _check_fits(index: DonationIndex, partition: int, log: PublishedLog, size: int) -> None:
    """Raises UserError where the index was made of another log: what it lacks would be taken for what isn't there."""
    last = min(index.position(partition), size) - 1
    if last >= 0 and index.find(decode_leaf(log.entry(last, size)).donation_id) != (partition, last):
        raise _of_another(f"leaf {last} of log {partition} isn't in it")


def _of_another(why: str) -> UserError:
    return UserError(
        f"the index is another ledger's (EVERYCENT_LEDGER_INDEX): {why}. Delete its folder: `everycent ledger index` "
        "makes it again."
    )


def _damaged(folder: Path, error: Exception) -> UserError:
    return UserError(f"the ledger in {folder} is damaged: {error}. `everycent ledger fsck` says more.")


def receipt_of(  # noqa: PLR0913 - each is a part of its own
    folder: Path,
    index_folder: Path,
    salts: SaltSource,
    donation_id: str,
    policy: Policy | None = None,
    *,
    on_searched: Searched = lambda *_: None,
) -> Receipt:
    """The receipt of a donation under the newest checkpoint that bears what `policy` asks for.

    Without a policy: under the newest that witnesses have cosigned, and where none covers it the newest of all. What
    the index hasn't taken in is looked through, which takes long where that is much. Raises UserError: there is no such
    donation in the ledger by now, it isn't witnessed yet, or the files are damaged.
    """
    logs = logs_in(folder)
    try:
        notes = {partition: log.note() for partition, log in logs.items()}
        sizes = {partition: checkpoint_of(note).size for partition, note in notes.items()}
        place = _find(logs, sizes, index_folder, donation_id, on_searched)
        if place is None:
            raise UserError(
                f"the ledger in {folder} has no donation {donation_id!r}. One is there some seconds after its order."
            )
        partition, seq = place
        note = best_note(folder / "donations" / str(partition), notes[partition], seq, policy)
        if note is None:
            raise UserError(
                f"donation {donation_id!r} is in the ledger, but no checkpoint that covers it bears what the policy "
                "asks for. `everycent ledger collect` gets the witnesses' cosignatures; try again in a minute."
            )
        receipt = make_receipt(logs[partition], note, seq, salts)
    except _DAMAGE as error:
        raise _damaged(folder, error) from error
    if decode_leaf(receipt.entry).donation_id != donation_id:
        raise _of_another(f"leaf {seq} of log {partition} isn't that donation")
    return receipt


def best_note(folder: Path, newest: Note, seq: int, policy: Policy | None) -> Note | None:
    """The checkpoint that a receipt of leaf `seq` is to bear, of those in a log's folder. Raises NoteError."""
    fetch = folder_fetch(folder)
    found = [newest]
    for path in WITNESSED:
        with suppress(MissingFileError):
            found.append(Note.parse(fetch(path)))
    covering = [note for note in found if seq < checkpoint_of(note).size]
    covering.sort(key=lambda note: checkpoint_of(note).size, reverse=True)
    if policy is None:
        return next((note for note in covering if _is_cosigned(note)), newest)
    return next((note for note in covering if policy.is_met_by([key for key, _ in cosigners_of(note, policy)])), None)


def _is_cosigned(note: Note) -> bool:
    origin = checkpoint_of(note).origin
    return any(signature.name != origin for signature in note.signatures)


def _find(
    logs: dict[int, PublishedLog], sizes: dict[int, int], index_folder: Path, donation_id: str, on_searched: Searched
) -> tuple[int, int] | None:
    """By the index; what that doesn't have yet is looked through."""
    with open_index(index_folder) as index:
        place = None if index is None else index.find(donation_id)
        positions = {partition: 0 if index is None else index.position(partition) for partition in logs}
        if index is not None and place is None:
            for partition, log in logs.items():
                _check_fits(index, partition, log, sizes[partition])
    if place is not None:
        partition, seq = place
        return place if seq < sizes.get(partition, 0) else None
    left = {partition: max(sizes[partition] - positions[partition], 0) for partition in logs}
    total = sum(left.values())
    before = 0
    for partition, log in logs.items():

        def tell(searched: int, before: int = before) -> None:
            on_searched(before + searched, total)

        seq_found = find_unindexed(log, positions[partition], sizes[partition], donation_id, tell)
        if seq_found is not None:
            return partition, seq_found
        before += left[partition]
    return None
