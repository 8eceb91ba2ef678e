"""Files that a crash leaves whole: written aside, synced, renamed, and their folders synced.

What survives a crash: a file is there with all of its bytes, or as it was before. `write_durably` returns only when
power may fail without anything of it being lost. Files of one call may become visible one by one: whoever needs an
order among them (a checkpoint behind its tiles) makes two calls.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from streams.errors import UserError
from streams.ledger.notes import NOTE_MAX_BYTES
from streams.ledger.published import PENDING, Fetch, MissingFileError
from streams.ledger.tiles import CHECKPOINT, ENTRY_MAX_BYTES, TILE_BYTES, TILE_WIDTH

SYNC_THREADS = 8  # a disk takes several syncs at once for the price of one; more gain little
ASIDE = ".aside"  # below a log's folder: what isn't whole yet. Web servers don't serve names that begin so
LOCK = ".lock"
TOTALS_MAX_BYTES = 1_073_741_824  # of a day's seal: some ten million projects


class Disk:
    """Every operation that changes files, one method each, so that tests can let each of them fail."""

    def make_folder(self, path: Path) -> None:
        path.mkdir(mode=0o755)

    def write(self, path: Path, data: bytes, mode: int) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)

    def sync_all(self, paths: Sequence[Path]) -> None:
        if len(paths) <= 2:
            for path in paths:
                self.sync(path)
            return
        with ThreadPoolExecutor(min(SYNC_THREADS, len(paths))) as pool:
            list(pool.map(self.sync, paths))

    def sync(self, path: Path) -> None:
        """Of a file its bytes, of a folder its names."""
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        """A file or a folder with all that is in it."""
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def ensure_folder(disk: Disk, path: Path) -> None:
    """Make the folder and those above it that are missing, durably."""
    missing: list[Path] = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        with suppress(FileExistsError):
            disk.make_folder(folder)
        disk.sync(folder.parent)


def write_durably(disk: Disk, folder: Path, files: Sequence[tuple[str, bytes]], mode: int = 0o644) -> None:
    """Write `files`, by their paths below `folder`, over what is there. After an OSError any of them may be there.

    No two calls at once for one folder.
    """
    aside = folder / ASIDE
    ensure_folder(disk, aside)
    written = [aside / str(number) for number in range(len(files))]
    for path, (_, data) in zip(written, files, strict=True):
        disk.write(path, data, mode)
    disk.sync_all(written)
    targets = [folder / name for name, _ in files]
    parents = sorted({target.parent for target in targets})
    for parent in parents:
        ensure_folder(disk, parent)
    for path, target in zip(written, targets, strict=True):
        disk.rename(path, target)
    disk.sync_all(parents)


def folder_fetch(folder: Path) -> Fetch:
    """Reads a log's files where they lie; of one that is longer than it can be, so much that its reader sees that.

    They may be a stranger's, who is to be judged by them and not to fill the memory.
    """

    def fetch(path: str) -> bytes:
        try:
            with (folder / path).open("rb") as file:
                limit = _limit_of(path)
                return file.read(limit + 1) if os.fstat(file.fileno()).st_size > limit else file.read()
        except (FileNotFoundError, NotADirectoryError):
            raise MissingFileError(f"{folder} holds no {path}") from None

    return fetch


def _limit_of(path: str) -> int:
    """How many bytes a log's file can have."""
    if path.startswith("tile/entries/"):
        return TILE_WIDTH * (2 + ENTRY_MAX_BYTES)
    if path.startswith("tile/"):
        return TILE_BYTES
    if path.startswith("notes/") or path.endswith((CHECKPOINT, PENDING)):
        return NOTE_MAX_BYTES
    return TOTALS_MAX_BYTES


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Nobody else may be at `folder` meanwhile. Raises UserError if somebody is."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"another process is {what} in {folder}. End that one first.") from None
        yield
