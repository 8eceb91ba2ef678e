"""The page's files, read once at the start: what they are called, what they hold, packed and with their ETags."""

import gzip
import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}
PACKED = {"html", "css", "js", "svg"}  # a font is packed already
PAGE_PATHS = ("/", "/project", "/day")  # all of them are the one page, which looks at its own address
FILES_PATH = "/page/"


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file. `packed` is the same as gzip, or empty."""

    content: bytes
    packed: bytes
    content_type: str
    etag: str


def page_files() -> dict[str, PageFile]:
    """Every file of the page by its path below the folder, `vendor/uPlot.js` for one."""
    return dict(_files(resources.files("streams.serve") / "page", ""))


def _files(folder: Traversable, prefix: str) -> list[tuple[str, PageFile]]:
    found = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _files(each, f"{prefix}{each.name}/")
        elif (ending := each.name.rpartition(".")[2]) in TYPES:
            content = each.read_bytes()
            packed = gzip.compress(content, 9, mtime=0) if ending in PACKED else b""
            etag = hashlib.blake2b(content, digest_size=12).hexdigest()
            found.append((f"{prefix}{each.name}", PageFile(content, packed, TYPES[ending], etag)))
    return found
