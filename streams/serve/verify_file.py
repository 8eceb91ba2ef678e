"""`/verify.html`: the page that checks receipts, with the keys that the ledger's own `keys.txt` names."""

from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.web import ContentCoding

from streams.ledger.notes import NoteError, VerifierKey
from streams.serve.http import takes_gzip
from streams.verify_page.build import BuiltPage, build_page

VERIFY_PATH: Final = "/verify.html"
_DONATIONS = "/donations/"  # keys of other logs sign no receipts


class _Page:
    """The page for the keys as they stand in the file now; they change with a rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listed: bytes | None = None
        self._built = build_page()

    def current(self) -> BuiltPage:
        try:
            listed = self._path.read_bytes()
        except OSError:
            listed = b""
        if listed != self._listed:
            self._listed, self._built = listed, build_page(_keys_in(listed))
        return self._built


def _keys_in(listed: bytes) -> list[VerifierKey]:
    """None where the file is damaged: then a person puts the key in."""
    try:
        keys = [VerifierKey.parse(line) for line in listed.decode().splitlines()]
    except (NoteError, UnicodeDecodeError):
        return []
    return [key for key in keys if _DONATIONS in key.name]


def add_verify_page(app: web.Application, ledger: Path) -> None:
    """Serve it, with the keys of the ledger in this folder, which may not be there yet."""
    page = _Page(ledger / "keys.txt")

    async def handle(request: web.Request) -> web.StreamResponse:
        built = page.current()
        headers = {
            "Cache-Control": "no-cache",
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": f"{built.policy}; frame-ancestors 'none'",  # which no page can say of itself
        }
        response = web.Response(body=built.content, headers=headers)
        if takes_gzip(request):
            response.enable_compression(ContentCoding.gzip)
        return response

    app.router.add_get(VERIFY_PATH, handle)
