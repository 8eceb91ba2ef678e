"""Makes receipts where the ledger's files, its index and the donors' secret are at hand. It only reads the ledger."""

from collections.abc import Callable
from pathlib import Path

from streams.errors import UserError
from streams.ledger.leaf import Salts, decode_leaf
from streams.ledger.notes import NoteError
from streams.ledger.published import MissingFileError, PublishedLog, checkpoint_of
from streams.ledger.receipt import Receipt, make_receipt
from streams.ledger.tiles import TileError
from streams.ledger_service.files import folder_fetch
from streams.ledger_service.index import DonationIndex, find_unindexed, open_index


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
    for partition, log in logs_in(folder).items():
        size = checkpoint_of(log.note()).size

        def tell(position: int, partition: int = partition, size: int = size) -> None:
            on_progress(partition, position, size)

        taken += index.advance(partition, log, size, tell)
        total += index.position(partition)
    return taken, total


def receipt_of(folder: Path, index_folder: Path, salts: Salts, donation_id: str) -> Receipt:
    """The receipt of a donation under the newest checkpoint.

    Raises UserError: there is no such donation in the ledger by now, or the ledger's files are damaged.
    """
    logs = logs_in(folder)
    try:
        notes = {partition: log.note() for partition, log in logs.items()}
        sizes = {partition: checkpoint_of(note).size for partition, note in notes.items()}
        place = _find(logs, sizes, index_folder, donation_id)
        if place is None:
            raise UserError(
                f"the ledger in {folder} has no donation {donation_id!r}. One is there some seconds after its order."
            )
        partition, seq = place
        receipt = make_receipt(logs[partition], notes[partition], seq, salts)
    except (NoteError, TileError, MissingFileError) as error:
        raise UserError(f"the ledger in {folder} is damaged: {error}. `everycent ledger fsck` says more.") from error
    if decode_leaf(receipt.entry).donation_id != donation_id:
        raise UserError(
            f"the index in {index_folder} is another ledger's: leaf {seq} of log {partition} isn't that donation. "
            "Delete that folder: `everycent ledger index` makes it again."
        )
    return receipt


def _find(
    logs: dict[int, PublishedLog], sizes: dict[int, int], index_folder: Path, donation_id: str
) -> tuple[int, int] | None:
    """By the index; what that doesn't have yet is looked through."""
    with open_index(index_folder) as index:
        place = None if index is None else index.find(donation_id)
        positions = {partition: 0 if index is None else index.position(partition) for partition in logs}
    if place is not None:
        partition, seq = place
        return place if seq < sizes.get(partition, 0) else None
    for partition, log in logs.items():
        seq_found = find_unindexed(log, positions[partition], sizes[partition], donation_id)
        if seq_found is not None:
            return partition, seq_found
    return None
