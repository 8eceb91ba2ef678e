"""JSON written in every way that JSON allows: any white space, any escapes, fields in any order and twice.

An object is an `Obj`, a list of pairs; `Raw` bytes stand as they are, whatever they are.
"""

import json
import random
from dataclasses import dataclass
from typing import Any

SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
SPACES = [b" ", b"  ", b"\n", b"\t", b"\r", b"\r\n", b"\n\t", b" \t\n\r"]


class Obj(list[Any]):
    """An object: pairs of name and value."""


class Raw(bytes):
    """Bytes to be written as they are."""


@dataclass(frozen=True)
class Style:
    """How to write: the odds of white space at each place where it may stand, and of an escape for each character."""

    space: float = 0.0
    escape: float = 0.0
    ascii: bool = True


PLAIN = Style()


def write(node: Any, rng: random.Random, style: Style = PLAIN) -> bytes:
    """`node` as text. Not for deep trees: those are written as `Raw`."""
    out: list[bytes] = []
    _write(node, rng, style, out)
    return b"".join(out)


def _write(node: Any, rng: random.Random, style: Style, out: list[bytes]) -> None:
    _space(rng, style, out)
    if isinstance(node, Raw):
        out.append(node)
    elif isinstance(node, Obj):
        out.append(b"{")
        for index, (name, value) in enumerate(node):
            if index:
                out.append(b",")
            _write(name, rng, style, out)
            out.append(b":")
            _write(value, rng, style, out)
        out.append(b"}")
    elif isinstance(node, list):
        out.append(b"[")
        for index, value in enumerate(node):
            if index:
                out.append(b",")
            _write(value, rng, style, out)
        out.append(b"]")
    elif isinstance(node, str):
        out.append(_text(node, rng, style))
    else:
        out.append(str(node).encode() if type(node) is int else json.dumps(node).encode())
    _space(rng, style, out)


def _space(rng: random.Random, style: Style, out: list[bytes]) -> None:
    if style.space and rng.random() < style.space:
        out.append(rng.choice(SPACES))


def _text(text: str, rng: random.Random, style: Style) -> bytes:
    if not style.escape:
        return json.dumps(text, ensure_ascii=style.ascii).encode()
    return f'"{"".join(_character(at, rng, style) for at in text)}"'.encode()


def _character(character: str, rng: random.Random, style: Style) -> str:
    must = character in '"\\' or character < " "
    if not must and rng.random() >= style.escape and (character < "\x7f" or not style.ascii):
        return character
    if character in SHORT and rng.random() < 0.5:
        return SHORT[character]
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(
        "\\u" + "".join(rng.choice((digit, digit.upper())) for digit in units[at : at + 4])
        for at in range(0, len(units), 4)
    )
