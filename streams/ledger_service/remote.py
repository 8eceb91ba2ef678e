"""Others' files, by web address or in a folder: logs as witnesses see them, witnesses as logs see them. Reads only.

Whoever is asked is a stranger: answers have a limit of length and of time, and nothing of them is believed here.
"""

import asyncio
import ssl
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import aiohttp

from streams import __version__
from streams.errors import UserError
from streams.ledger.published import MissingFileError
from streams.ledger.submission import ADD_CHECKPOINT
from streams.ledger.tiles import TILE_BYTES, TILE_WIDTH, Tile, TileError, check_tile

TIMEOUT_S = 30.0  # of one request: a proof waits for some tens of them
ADD_TIMEOUT_S = 10.0  # of a submission, which a witness answers from what it knows
REQUESTS_AT_ONCE = 8  # to one host; more is unkind
REDIRECTS_MAX = 3
SAID_MAX = 200  # characters of a stranger's own words, in a line that a person reads
CHECKPOINT_MAX_BYTES = 65_536  # with a hundred cosignatures it has 20,000
_GONE = {404, 410}
_WEB = {"http", "https"}


class RemoteError(Exception):
    """The other side can't be reached, or answers with something else; says which."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a witness has answered to a submission."""

    status: int
    content_type: str
    data: bytes


def check_address(address: str, what: str) -> str:
    """Without its last slash. Raises UserError unless it's http(s)://, file:// or a folder's path."""
    if not address:
        raise UserError(f"{what}: the address is empty.")
    try:
        parts = urlsplit(address)
        machine = (parts.hostname, parts.port)  # a port that is none raises
    except ValueError as error:
        raise UserError(f"{what}: {address!r} is no address: {error}.") from None
    if parts.scheme in _WEB and not machine[0]:
        raise UserError(f"{what}: {address!r} names no machine.")
    if parts.scheme not in {"", "http", "https", "file"}:
        raise UserError(f"{what}: {address!r} is none of https://, http://, file:// and a folder's path.")
    if parts.query or parts.fragment:
        raise UserError(f"{what}: {address!r} must end with its path.")
    return address.rstrip("/")


def is_web_address(address: str) -> bool:
    return urlsplit(address).scheme in _WEB


class Remote:
    """Fetches files; to be used with `async with`."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                connector=aiohttp.TCPConnector(limit_per_host=REQUESTS_AT_ONCE),
                headers={"User-Agent": f"everycent/{__version__}"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def get(self, address: str, path: str, limit: int = CHECKPOINT_MAX_BYTES, *, fresh: bool = True) -> bytes:
        """The file `path` below `address`. `fresh`: caches on the way are asked to ask again.

        Raises MissingFileError if there is none, RemoteError for all else, also beyond `limit` bytes.
        """
        scheme = urlsplit(address).scheme
        if scheme not in _WEB:
            folder = Path(unquote(urlsplit(address).path) if scheme == "file" else address)
            return await asyncio.to_thread(_read, folder / path, limit)
        return await self._fetch(f"{address}/{path}", limit, fresh=fresh)

    async def add_checkpoint(self, address: str, submission: bytes) -> Answered:
        """The answer of the witness at `address`, whatever it is. Raises RemoteError where there is none, or too long.

        A redirection isn't followed: it would make another kind of request of this one.
        """
        url = f"{address}/{ADD_CHECKPOINT}"
        limit = CHECKPOINT_MAX_BYTES
        wait = aiohttp.ClientTimeout(total=ADD_TIMEOUT_S)
        try:
            async with self._session.post(url, data=submission, timeout=wait, allow_redirects=False) as response:
                data = await _up_to(response, limit)
        except (aiohttp.ClientError, ssl.SSLError, TimeoutError, OSError, ValueError) as error:
            raise RemoteError(f"{url} doesn't answer: {_why(error)}") from error
        return Answered(response.status, response.content_type, _within(data, limit, url))

    async def tiles(self, address: str, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
        """Those of the log at `address` that are there whole; a partial one may come from its full one."""
        found = await asyncio.gather(*(self._tile(address, tile) for tile in wanted))
        return {tile: data for tile, data in found if data is not None}

    async def _tile(self, address: str, tile: Tile) -> tuple[Tile, bytes | None]:
        for each in dict.fromkeys((tile, tile._replace(width=TILE_WIDTH))):
            try:
                return tile, check_tile(tile, await self.get(address, each.path, TILE_BYTES, fresh=False))
            except (MissingFileError, TileError):
                continue
        return tile, None

    async def _fetch(self, url: str, limit: int, *, fresh: bool) -> bytes:
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        try:
            async with self._session.get(url, headers=headers, max_redirects=REDIRECTS_MAX) as response:
                if response.status in _GONE:
                    raise MissingFileError(f"there is no {url}")
                if response.status != 200:
                    raise RemoteError(f"{url} answers {response.status} {in_words(response.reason)}")
                data = await _up_to(response, limit)
        except (aiohttp.ClientError, ssl.SSLError, TimeoutError, OSError, ValueError) as error:
            raise RemoteError(f"{url} can't be read: {_why(error)}") from error
        return _within(data, limit, url)


def in_words(said: object) -> str:
    """What a stranger said, for one line of a log or a terminal: short, and without what a terminal would obey."""
    text = " ".join(str(said).split())[:SAID_MAX]
    return text if text.isascii() and text.isprintable() else ascii(text)


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it takes too long"
    return in_words(error) or type(error).__name__


async def _up_to(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, cut behind the byte that is one too many."""
    data = await response.content.read(limit + 1)
    while len(data) <= limit and (more := await response.content.read(limit + 1 - len(data))):
        data += more
    return data


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return _within(file.read(limit + 1), limit, str(path))
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(f"there is no {path}") from None
    except OSError as error:
        raise RemoteError(f"{path} can't be read: {error.strerror}") from error


def _within(data: bytes, limit: int, name: str) -> bytes:
    if len(data) > limit:
        raise RemoteError(f"{name} is longer than {limit} bytes")
    return data
