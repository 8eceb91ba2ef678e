"""The published form of the contract: JSON Schema and AsyncAPI, generated from the values in this package.

`python -m schemas.documents` writes `schemas/published/`; with `--check` it writes nothing and exits 1 where the files
there aren't what the code says. Nothing is described twice: fields, limits and words come from the values' own types
and docstrings, topics from `schemas.topics`. A crash half way leaves files that the next run, or the check, mends.
"""

import argparse
import inspect
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from schemas import limits
from schemas.asyncapi import asyncapi_document
from schemas.delta import ProjectDelta, SourceWatermark
from schemas.donation import Donation
from schemas.order import OrderCompleted
from schemas.project import Project
from schemas.rejection import DETAIL_MAX_CHARACTERS, Reason
from schemas.totals import ProjectTotal, WindowKind

FOLDER = Path(__file__).parent / "published"
CONTRACT_VERSION = 1
DIALECT = "https://json-schema.org/draft/2020-12/schema"

READ_AS_INTEGER = (
    f"May exceed {limits.JSON_INTEGER_SAFE_MAX} (2^53 - 1), beyond which a reader that makes a double of every number,"
    " such as a browser's JSON.parse, loses units: read it from the text as a BigInt or a decimal."
)

Schema = dict[str, Any]


class Published(NamedTuple):
    """A record's name in files and `$id`s, and the value that it's generated from."""

    name: str
    type: type[Struct]


RECORDS = (
    Published("order-completed", OrderCompleted),
    Published("donation", Donation),
    Published("project-total", ProjectTotal),
    Published("project", Project),
    Published("project-delta", ProjectDelta),
    Published("source-watermark", SourceWatermark),
)


def documents() -> dict[str, str]:
    """Every published file: name to text."""
    found = {f"{record.name}.schema.json": _record_schema(record) for record in RECORDS}
    found["rejected-order-headers.schema.json"] = {
        "$schema": DIALECT,
        "$id": _urn("rejected-order-headers"),
        **rejection_headers_schema(),
    }
    components = _components("#/components/schemas/{name}")
    components["RejectedOrderHeaders"] = rejection_headers_schema()
    found["asyncapi.json"] = asyncapi_document(components, CONTRACT_VERSION)
    return {name: json.dumps(found[name], indent=2, ensure_ascii=False) + "\n" for name in sorted(found)}


def rejection_headers_schema() -> Schema:
    """What stands beside a rejected order: Kafka's headers, each as UTF-8 text."""
    number = {"type": "string", "pattern": "^[0-9]+$"}
    properties: Schema = {
        "reason": {"type": "string", "enum": [reason.value for reason in Reason]},
        "detail": {
            "type": "string",
            "maxLength": DETAIL_MAX_CHARACTERS,
            "description": "What is wrong and where, for a person.",
        },
        "source-topic": {"type": "string"},
        "source-partition": number,
        "source-offset": number,
        "rejected-at": {
            **number,
            "description": "Milliseconds since the epoch, UTC: when the refused record was appended to its topic.",
        },
    }
    return {
        "title": "RejectedOrderHeaders",
        "description": (
            "The headers of a rejected order. Its key and value are the bytes that came, untouched."
            " `reason` is the first that applies, in the order of the list."
        ),
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def _record_schema(record: Published) -> Schema:
    components = _components("#/$defs/{name}", record.type)
    own = components.pop(record.type.__name__)
    document = {"$schema": DIALECT, "$id": _urn(record.name), **own}
    return {**document, "$defs": components} if components else document


def _urn(name: str) -> str:
    return f"urn:everycent:schema:{name}:{CONTRACT_VERSION}"


def _components(ref_template: str, *types: type[Struct]) -> dict[str, Schema]:
    wanted = types or tuple(record.type for record in RECORDS)
    _, components = msgspec.json.schema_components(wanted, ref_template=ref_template)
    mended = {name: _mend(components[name]) for name in sorted(components)}
    if WindowKind.__name__ in mended:
        mended[WindowKind.__name__]["enum"] = [kind.value for kind in WindowKind]  # msgspec sorts them by name
    return mended


def _mend(part: Any) -> Any:
    """The schema that msgspec makes, as we publish it; applied to every part of it.

    `discriminator` is OpenAPI's word, which strict readers of JSON Schema refuse; the tag's `enum` says the same.
    """
    if isinstance(part, list):
        return [_mend(item) for item in part]
    if not isinstance(part, dict):
        return part
    mended = {name: _mend(value) for name, value in part.items() if name != "discriminator"}
    if isinstance(mended.get("description"), str):
        mended["description"] = inspect.cleandoc(mended["description"])
    if mended.get("type") == "integer" and mended.get("maximum", 0) > limits.JSON_INTEGER_SAFE_MAX:
        mended["description"] = f"{mended.get('description', '')} {READ_AS_INTEGER}".lstrip()
    return mended


def drift(folder: Path = FOLDER) -> list[str]:
    """What differs between `folder` and the code, one line each; empty if nothing does."""
    wanted = documents()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    lines = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    lines += [f"{name} isn't generated by anything" for name in sorted(found.keys() - wanted.keys())]
    lines += [f"{name} isn't what the code says" for name in wanted if name in found and found[name] != wanted[name]]
    return lines


def write(folder: Path = FOLDER) -> None:
    """Make `folder` hold the documents and no other JSON."""
    wanted = documents()
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Write the documents, or check them. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m schemas.documents", description="The published contract.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the files have drifted")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files are")
    options = parser.parse_args(arguments)
    if not options.check:
        write(options.folder)
        return 0
    lines = drift(options.folder)
    for line in lines:
        print(f"schemas/published: {line}", file=sys.stderr)
    if lines:
        print("Run `make schemas` (`python -m schemas.documents`) and commit what it writes.", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
