"""The public ledger's files at `/ledger/`, as they lie in its folder: for donors, auditors and witnesses. Reads only.

Only names that a ledger has are served, whatever else may lie in the folder; no name leads out of it. What never
changes may be kept for ever by whoever fetched it, what changes for a moment only.
"""

import asyncio
import re
from pathlib import Path
from typing import Final

from aiohttp import web

LEDGER_PATH: Final = "/ledger/"
_NUMBER = r"(x[0-9]{3}/){0,6}[0-9]{3}"
_TILES = rf"tile/([0-7]|entries)/{_NUMBER}(\.p/[1-9][0-9]{{0,2}})?"
_LOG = r"(donations/(0|[1-9][0-9]{0,4})|seals)"
FOR_EVER: Final = re.compile(rf"{_LOG}/{_TILES}|seals/(notes/[0-9]{{1,9}}|totals/[0-9]{{1,9}}\.json)")
CHANGING: Final = re.compile(rf"keys\.txt|{_LOG}/(checkpoint|witness/checkpoint|witness/pending)")
_BINARY = re.compile(rf"{_LOG}/tile/.*")


def add_ledger_files(app: web.Application, folder: Path) -> None:
    """Serve the ledger in `folder`; it may not be there yet."""

    async def handle(request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        if FOR_EVER.fullmatch(path):
            kept = "public, max-age=31536000, immutable"
        elif CHANGING.fullmatch(path):
            kept = "public, max-age=1"
        else:
            raise web.HTTPNotFound
        if not await asyncio.to_thread((folder / path).is_file):
            raise web.HTTPNotFound
        headers = {"Cache-Control": kept, "Content-Type": _content_type(path)}
        return web.FileResponse(folder / path, headers=headers)

    app.router.add_get(f"{LEDGER_PATH}{{path:.+}}", handle)


def _content_type(path: str) -> str:
    if path.endswith(".json"):
        return "application/json"
    return "application/octet-stream" if _BINARY.fullmatch(path) else "text/plain; charset=utf-8"
