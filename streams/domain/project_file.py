"""A file of projects, CSV or JSON, as people keep them, becomes values of the contract; or all that is wrong with it.

Pure: bytes in, projects or faults out. A fault names the row as a spreadsheet counts it (the header of a CSV is row 1),
or the element of a JSON list, from 1. Amounts are read as decimals and become whole fen; no float is made of them.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, get_type_hints

import msgspec

from schemas.fields import is_id
from schemas.limits import INT64_MAX
from schemas.project import Project

COLUMNS = ("id", "name", "charity", "goal", "description")
REQUIRED = ("id", "name")
_FIELDS = {"id": "project_id", "goal": "goal_fen"}  # where ours are called otherwise
_TYPES = get_type_hints(Project, include_extras=True)
YUAN_DIGITS_MAX = 17  # beyond that it is more than 64 bits of fen
_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON may name one; it can't be written
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_YUAN = re.compile(rf"[0-9]{{1,{YUAN_DIGITS_MAX}}}(\.[0-9]{{1,2}}0*)?")


class FileFormat(StrEnum):
    """How a file is written."""

    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a row; `row` None: with the file as a whole."""

    row: int | None
    text: str


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """What a file holds. Where there are faults the projects are not to be used."""

    projects: tuple[Project, ...]
    faults: tuple[Fault, ...]


class _FileFault(Exception):  # noqa: N818 - never leaves this module
    """The file can't be read as a whole."""


def read_project_file(content: bytes, file_format: FileFormat) -> ProjectFile:
    """Every project of the file and every fault of every row."""
    faults: list[Fault] = []
    projects: list[Project] = []
    rows_by_id: dict[str, int] = {}
    try:
        rows = list(_csv_rows(_text(content)) if file_format is FileFormat.CSV else _json_rows(_text(content)))
    except _FileFault as fault:
        return ProjectFile((), (Fault(None, str(fault)),))
    for number, row in rows:
        found = list(_row_faults(row))
        if "id" in row and not any(text.startswith("id:") for text in found):
            first = rows_by_id.setdefault(row["id"], number)
            if first != number:
                found.append(f"id: {row['id']!r} stands in row {first} already")
        if found:
            faults += [Fault(number, text) for text in found]
        else:
            projects.append(Project(**{_FIELDS.get(name, name): value for name, value in _values(row)}))
    return ProjectFile(tuple(projects), tuple(faults))


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")  # spreadsheets put a mark before it
    except UnicodeDecodeError as error:
        message = f"it isn't UTF-8 (byte {error.start}). In a spreadsheet, save it as “CSV UTF-8”."
        raise _FileFault(message) from None


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = csv.reader(_LINE.findall(text), strict=True)
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        _check_columns(header)
        for number, cells in enumerate(rows, 2):
            if not any(cell.strip() for cell in cells):
                continue  # spreadsheets leave empty rows at the end
            row: dict[str, Any] = {
                name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()
            }
            if len(cells) != len(header):
                row[""] = f"it has {len(cells)} cells, the header has {len(header)}"
            yield number, row
    except csv.Error as error:
        raise _FileFault(f"line {rows.line_num} isn't CSV: {error}") from None


def _check_columns(header: list[str]) -> None:
    if missing := [name for name in REQUIRED if name not in header]:
        raise _FileFault(f"the first row must name the columns, and has no {' and no '.join(missing)}")
    if unknown := [name for name in header if name not in COLUMNS]:
        raise _FileFault(f"unknown column {unknown[0]!r}; there are {', '.join(COLUMNS)}")
    if len(set(header)) < len(header):
        raise _FileFault("a column stands twice")


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        found = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise _FileFault(f"it isn't JSON: {error}") from None
    if not isinstance(found, list):
        raise _FileFault('it must be a list of objects, `[{"id": …, "name": …}, …]`')
    for number, row in enumerate(found, 1):
        if isinstance(row, dict):
            yield number, {name: value for name, value in row.items() if value is not None}
        else:
            yield number, {"": "it is no object"}


def _row_faults(row: dict[str, Any]) -> Iterator[str]:
    if "" in row:
        yield str(row[""])
        if len(row) == 1:
            return
    for name in REQUIRED:
        if name not in row:
            yield f"{name}: is missing"
    for name, value in row.items():
        if name and name not in COLUMNS:
            yield f"unknown field {name!r}; there are {', '.join(COLUMNS)}"
        elif name and (fault := _field_fault(name, value)):
            yield f"{name}: {fault}"


def _field_fault(name: str, value: Any) -> str | None:
    if name == "goal":
        if _fen(value) is not None:
            return None
        return f"{_SURROGATE.sub('?', str(value))} is no amount in yuan, such as 50000 or 50000.00"
    try:
        msgspec.convert(value, _TYPES[_FIELDS.get(name, name)])
    except msgspec.ValidationError as error:
        return str(error)
    if name == "id" and not is_id(value):
        return "control characters and | may not stand in it"
    if _SURROGATE.search(value):
        return "half a character (a surrogate) stands in it"
    if name != "description" and _CONTROL.search(value):
        return "control characters may not stand in it, line breaks neither"
    return None


def _values(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        yield name, _fen(value) if name == "goal" else value


def _fen(yuan: Any) -> int | None:
    """Fen of an amount in yuan, text or number; None if it is none, or has parts of a fen."""
    if isinstance(yuan, Decimal | int) and not isinstance(yuan, bool):
        amount = Decimal(yuan)
        yuan = format(amount, "f") if amount.is_finite() and amount.adjusted() < YUAN_DIGITS_MAX else ""
    if not isinstance(yuan, str) or not _YUAN.fullmatch(yuan):
        return None
    whole, _, cents = yuan.partition(".")
    fen = int(whole) * 100 + int(cents[:2].ljust(2, "0"))
    return fen if fen <= INT64_MAX else None
