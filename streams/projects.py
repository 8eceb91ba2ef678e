"""Imports a file of projects into the topic `projects`: all of it or, where anything is wrong, nothing.

Only what is new or differs is written, so to repeat it writes nothing; a run that was cut short is simply repeated.
What the file doesn't name stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from schemas.project import Project, decode_project, encode_project
from streams.domain.project_file import Fault, FileFormat, read_project_file
from streams.engine.reader import open_reader
from streams.engine.sender import open_sender
from streams.errors import UserError
from streams.settings import Settings

FILE_BYTES_MAX = 256 * 1_024 * 1_024  # it is read as a whole
SEND_AT_ONCE = 1_000


class ProjectFileError(UserError):
    """The file can't be imported, and nothing was written. `faults` are all that is wrong with it."""

    def __init__(self, message: str, faults: Sequence[Fault]) -> None:
        super().__init__(message)
        self.faults = faults


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the file's projects."""

    added: int
    changed: int
    unchanged: int


async def import_projects(settings: Settings, path: Path, *, dry_run: bool = False) -> ImportReport:
    """Import a file; `dry_run`: only say what would be done. Raises ProjectFileError, UserError."""
    projects = load_project_file(path)
    current = await _read_current(settings)
    wanted = [(project, current.get(project.project_id)) for project in projects]
    to_write = [project for project, before in wanted if before != project]
    if to_write and not dry_run:
        async with open_sender(settings, settings.topics.projects) as sender:
            for start in range(0, len(to_write), SEND_AT_ONCE):
                part = to_write[start : start + SEND_AT_ONCE]
                await sender.send(
                    [project.project_id.encode() for project in part], [encode_project(project) for project in part]
                )
            await sender.flush()
    added = sum(before is None for _, before in wanted)
    return ImportReport(added, len(to_write) - added, len(wanted) - len(to_write))


def load_project_file(path: Path) -> tuple[Project, ...]:
    """The projects of a file. Raises ProjectFileError with every fault of every row; UserError: no such file."""
    try:
        file_format = FileFormat(path.suffix.lower().removeprefix("."))
    except ValueError:
        raise UserError(f"{path}: is neither a .csv nor a .json file") from None
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise UserError(f"{path}: is larger than {FILE_BYTES_MAX // 2**20} MB; import it in parts")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    found = read_project_file(content, file_format)
    if found.faults:
        count = len(found.faults)
        what = "1 fault" if count == 1 else f"{count:,} faults"
        raise ProjectFileError(f"{path}: {what}, so nothing was written", found.faults)
    return found.projects


async def _read_current(settings: Settings) -> dict[str, Project]:
    """The newest record of each project; one that isn't readable counts as none, so it is written anew."""
    topic = settings.topics.projects
    newest: dict[bytes, bytes | None] = {}
    async with open_reader(settings) as reader:
        for partition in await reader.partitions(topic):
            async for records in reader.read(topic, partition):
                newest |= {record.key: record.value for record in records}
    current = {}
    for value in newest.values():
        try:
            project = decode_project(value or b"")
        except msgspec.DecodeError:
            continue
        current[project.project_id] = project
    return current
