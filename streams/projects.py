"""Imports a file of projects into the topic `projects`: all of it or, where anything is wrong, nothing.

Only what is new or differs is written, so to repeat it writes nothing; a run that was cut short is simply repeated.
What the file doesn't name stays as it is. The file's rows and the topic's records meet in a database of SQLite's that
lives in a temporary file for as long as the import, so memory doesn't grow with either.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import msgspec

from schemas.project import Project, decode_project, encode_project
from streams.domain.project_file import Fault, FileFormat, read_project_file
from streams.engine.reader import open_reader
from streams.engine.sender import RecordSender, open_sender
from streams.errors import UserError
from streams.settings import Settings

FILE_BYTES_MAX = 1_024 * 1_024 * 1_024  # as much again goes to the temporary file; ten million projects have less
FAULTS_KEPT = 10_000  # nobody reads more of them; they are counted
SEND_AT_ONCE = 1_000
CACHE_KIB = 16_384
_SCHEMA = """
CREATE TABLE rows (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, record BLOB);
CREATE TABLE current (id BLOB PRIMARY KEY, record BLOB) WITHOUT ROWID;
"""
_PAIRS = """
SELECT rows.id, rows.record, current.record FROM rows
LEFT JOIN current ON current.id = CAST(rows.id AS BLOB) ORDER BY row
"""


class ProjectFileError(UserError):
    """The file can't be imported, and nothing was written. `faults`: the first of all that is wrong with it."""

    def __init__(self, message: str, faults: Sequence[Fault], count: int) -> None:
        super().__init__(message)
        self.faults = faults
        self.count = count


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the file's projects."""

    added: int
    changed: int
    unchanged: int


async def import_projects(settings: Settings, path: Path, *, dry_run: bool = False) -> ImportReport:
    """Import a file; `dry_run`: only say what would be done. Raises ProjectFileError, UserError."""
    try:
        with ProjectTable() as table:
            load_project_file(path, table)
            await _read_current(settings, table)
            return await _write(settings, table, dry_run=dry_run)
    except sqlite3.Error as error:
        raise UserError(
            f"the temporary folder can't hold what is imported: {error} (TMPDIR names another one)"
        ) from error


class ProjectTable:
    """The file's rows, by number and by id, beside the topic's records. Nothing of it outlives the block."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # a temporary file that has no name

    def __enter__(self) -> Self:
        self._database.executescript(f"PRAGMA cache_size = -{CACHE_KIB}; PRAGMA journal_mode = OFF; {_SCHEMA}")
        self._database.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add_row(self, number: int, project_id: str, project: Project | None) -> int:
        """The number of the first row with that id: this one's, unless it stands twice."""
        record = None if project is None else encode_project(project)
        added = self._database.execute("INSERT OR IGNORE INTO rows VALUES (?, ?, ?)", (number, project_id, record))
        if added.rowcount:
            return number
        ((first,),) = self._database.execute("SELECT row FROM rows WHERE id = ?", (project_id,))
        return int(first)

    def add_current(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Records of the topic, by key; the later one of a key counts."""
        self._database.executemany("REPLACE INTO current VALUES (?, ?)", records)

    def pairs(self) -> Iterator[tuple[str, bytes, bytes | None]]:
        """Of each row, in the file's order: its id, the record that it makes, and the one that the topic has."""
        with closing(self._database.execute(_PAIRS)) as found:
            yield from found


def load_project_file(path: Path, table: ProjectTable) -> None:
    """The rows of a file. Raises ProjectFileError with the faults of every row; UserError: no such file."""
    try:
        file_format = FileFormat(path.suffix.lower().removeprefix("."))
    except ValueError:
        raise UserError(f"{path}: is neither a .csv nor a .json file") from None
    faults: list[Fault] = []
    count = 0
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise UserError(f"{path}: is larger than {FILE_BYTES_MAX // 2**20} MB; import it in parts")
        with path.open("rb") as file:
            for row in read_project_file(file, file_format):
                found = row.faults
                if row.number is not None and row.project_id is not None:
                    first = table.add_row(row.number, row.project_id, row.project)
                    if first != row.number:
                        found = (*found, f"id: {row.project_id!r} stands in row {first} already")
                count += len(found)
                faults += [Fault(row.number, text) for text in found[: FAULTS_KEPT - len(faults)]]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    if count:
        what = "1 fault" if count == 1 else f"{count:,} faults"
        raise ProjectFileError(f"{path}: {what}, so nothing was written", faults, count)


async def _read_current(settings: Settings, table: ProjectTable) -> None:
    topic = settings.topics.projects
    async with open_reader(settings) as reader:
        for partition in await reader.partitions(topic):
            async for records in reader.read(topic, partition):
                table.add_current([(record.key or b"", record.value) for record in records])


async def _write(settings: Settings, table: ProjectTable, *, dry_run: bool) -> ImportReport:
    """What is new or differs. A record that isn't readable counts as none, so it is written anew."""
    added = changed = unchanged = 0
    async with AsyncExitStack() as stack:
        sender: RecordSender | None = None
        rows = _with_known(table)
        while part := list(islice(rows, SEND_AT_ONCE)):
            to_write = [(project_id, record) for project_id, record, _, differs in part if differs]
            new = sum(known is None for _, _, known, differs in part if differs)
            added += new
            changed += len(to_write) - new
            unchanged += len(part) - len(to_write)
            if dry_run or not to_write:
                continue
            if sender is None:
                sender = await stack.enter_async_context(open_sender(settings, settings.topics.projects))
            await sender.send([project_id.encode() for project_id, _ in to_write], [record for _, record in to_write])
        if sender is not None:
            await sender.flush()
    return ImportReport(added, changed, unchanged)


def _with_known(table: ProjectTable) -> Iterator[tuple[str, bytes, Project | None, bool]]:
    """Of each row: its id, its record, the project that the topic has, and whether they differ."""
    for project_id, record, before in table.pairs():
        known = _read(before)
        yield project_id, record, known, record != before and known != decode_project(record)


def _read(record: bytes | None) -> Project | None:
    try:
        return decode_project(record or b"")
    except msgspec.DecodeError:
        return None
