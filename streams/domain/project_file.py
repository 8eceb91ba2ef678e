"""A file of projects, CSV or JSON, as people keep them, becomes values of the contract; or all that is wrong with it.

It is read in pieces, so of a file of any length some megabytes are in memory. A fault names the row as a spreadsheet
counts it (the header of a CSV is row 1), or the element of a JSON list, from 1. Amounts are read as decimals and become
whole fen; no float is made of them.
"""

import codecs
import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, BinaryIO, get_type_hints

import msgspec

from schemas.fields import is_id
from schemas.limits import INT64_MAX
from schemas.project import Project

COLUMNS = ("id", "name", "charity", "goal", "description")
REQUIRED = ("id", "name")
_FIELDS = {"id": "project_id", "goal": "goal_fen"}  # where ours are called otherwise
_TYPES = get_type_hints(Project, include_extras=True)
YUAN_DIGITS_MAX = 17  # beyond that it is more than 64 bits of fen
PIECE_BYTES = 262_144  # is read at once
ROW_MAX_CHARACTERS = 1_048_576  # of a line, or of an element; the longest that is right has some 5,000
_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON may name one; it can't be written
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SPACE = re.compile(r"[ \t\n\r]*")
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
class Row:
    """One row: a project, or what is wrong with it. `number` None: the file can't be read on, and this is the last."""

    number: int | None
    project_id: str | None  # where that is right in itself
    project: Project | None
    faults: tuple[str, ...] = ()


class _FileFault(Exception):  # noqa: N818 - never leaves this module
    """The file can't be read as a whole, or not from here on."""


def read_project_file(file: BinaryIO, file_format: FileFormat) -> Iterator[Row]:
    """Every row of the file, each judged for itself: whether an id stands twice is for the caller to see."""
    pieces = _text(file)
    try:
        for number, row in _csv_rows(pieces) if file_format is FileFormat.CSV else _json_rows(pieces):
            found = tuple(_row_faults(row))
            project_id = None if "id" not in row or any(text.startswith("id:") for text in found) else row["id"]
            fields = {} if found else {_FIELDS.get(name, name): value for name, value in _values(row)}
            yield Row(number, project_id, Project(**fields) if fields else None, found)
    except _FileFault as fault:
        yield Row(None, None, None, (str(fault),))


def _text(file: BinaryIO) -> Iterator[str]:
    """The file's text, piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    at, is_first = 0, True
    while True:
        data = file.read(PIECE_BYTES)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            place = at + len(data) - len(error.object) + error.start
            message = f"it isn't UTF-8 (byte {place}). In a spreadsheet, save it as “CSV UTF-8”."
            raise _FileFault(message) from None
        at += len(data)
        if is_first and text:
            text, is_first = text.removeprefix("\ufeff"), False  # spreadsheets put a mark before it
        if text:
            yield text
        if not data:
            return


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        for line in whole:
            yield f"{line}\n"
        if len(rest) > ROW_MAX_CHARACTERS:
            raise _FileFault(f"a line of it is longer than {ROW_MAX_CHARACTERS:,} characters")
    if rest:
        yield rest


def _csv_rows(pieces: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = csv.reader(_lines(pieces), strict=True)
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


class _JsonText:
    """JSON's text as far as it was read, and how far it was understood."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = iter(pieces)
        self._text = ""
        self._at = 0
        self._line, self._column = 1, 1  # of the text's first character
        self._decode = json.JSONDecoder(parse_float=Decimal).raw_decode

    def next(self) -> str:
        """The next character that is no white space, which stays; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def take(self) -> None:
        self._at += 1

    def value(self) -> Any:
        """The value that begins here."""
        while True:
            try:
                found, end = self._decode(self._text, self._at)
            except RecursionError:
                raise self.fault("it nests too deeply") from None
            except ValueError as error:  # it may only be cut off
                ahead = error.pos - self._at if isinstance(error, json.JSONDecodeError) else 0
                if len(self._text) - self._at > ROW_MAX_CHARACTERS or not self._read_on():
                    raise self.fault(getattr(error, "msg", str(error)), self._at + ahead) from None
                continue
            if end == len(self._text) and self._read_on():
                continue  # of a number there may be more
            self._at = end
            return found

    def fault(self, what: str, place: int | None = None) -> _FileFault:
        """`place`: in the text; where it has come to, if it isn't given."""
        line, column = self._where(self._at if place is None else place)
        return _FileFault(f"it isn't JSON: {what} (line {line}, column {column})")

    def _where(self, place: int) -> tuple[int, int]:
        newlines = self._text.count("\n", 0, place)
        if not newlines:
            return self._line, self._column + place
        return self._line + newlines, place - self._text.rindex("\n", 0, place)

    def _read_on(self) -> bool:
        piece = next(self._pieces, "")
        self._line, self._column = self._where(self._at)
        self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)


def _json_rows(pieces: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    text = _JsonText(pieces)
    if text.next() != "[":
        raise _FileFault('it must be a list of objects, `[{"id": …, "name": …}, …]`')
    text.take()
    number = 0
    while number or text.next() != "]":
        number += 1
        text.next()
        row = text.value()
        if isinstance(row, dict):
            yield number, {name: value for name, value in row.items() if value is not None}
        else:
            yield number, {"": "it is no object"}
        if text.next() == "]":
            break
        if text.next() != ",":
            raise text.fault("a comma or the list's end must stand here")
        text.take()
    text.take()
    if text.next():
        raise text.fault("something stands behind the list")


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
