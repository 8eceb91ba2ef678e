"""`/donation/`: a donor's own donation, for whoever holds the signed link to it, and the receipt to take along.

The link's token stands behind the `#` of the address, so browsers send it to nobody: the page's script hands it over in
a header. It carries the donation's salt, so this process holds no secret; and nothing of the ledger is looked at before
the token's signature is known to be right, so neither the answer nor its time says which donations there are.
"""

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from streams.errors import UserError
from streams.ledger.links import LINK_MAX_CHARACTERS, DonorLink, LinkError, open_link
from streams.ledger.notes import NoteError, VerifierKey
from streams.ledger.receipt import Receipt
from streams.serve import limits
from streams.serve.http import problem
from streams.serve.page_files import page_files

logger = structlog.get_logger(__name__)

DONATION_PATH: Final = "/donation/"
RECEIPT_PATH: Final = "/donation/receipt"
EXPIRES_HEADER: Final = "Link-Expires-At-S"
REFUSED: Final = "this link doesn't work: it is incomplete, was changed, or its time is over"
_BEARER = re.compile(rf"Bearer ([A-Za-z0-9_-]{{1,{LINK_MAX_CHARACTERS}}})")
_PRIVATE = "PRIVATE+KEY+"
_NO_STORE = {"Cache-Control": "no-store"}


def read_link_keys(path: Path) -> tuple[VerifierKey, ...]:
    """The public keys whose links count. Raises UserError, which shows none of the file."""
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise UserError(f"EVERYCENT_SERVE_LINK_KEYS: {path} can't be read: {why}.") from None
    if any(_PRIVATE in line for line in lines):
        raise UserError(
            f"EVERYCENT_SERVE_LINK_KEYS: {path} holds private keys, which no server needs. It needs what "
            "`everycent ledger link-keygen` prints."
        )
    try:
        keys = tuple(VerifierKey.parse(line) for line in lines)
    except NoteError as error:
        raise UserError(f"EVERYCENT_SERVE_LINK_KEYS: {path}: {error}.") from None
    if not keys:
        raise UserError(f"EVERYCENT_SERVE_LINK_KEYS: {path} holds no key.")
    return keys


@dataclass(frozen=True, slots=True)
class _CarriedSalt:
    salt: bytes

    def of(self, _donation_id: str) -> bytes:
        return self.salt


class ReceiptDesk:
    """Makes receipts of the ledger in `folder`, with the index in `index`: a few at once, and few wait for it."""

    def __init__(self, folder: Path, index: Path) -> None:
        self._folder = folder
        self._index = index
        self._free = asyncio.Semaphore(limits.RECEIPTS_AT_ONCE)
        self._waiting = 0

    async def receipt_for(self, link: DonorLink) -> Receipt | None:
        """None where too many wait. Raises UserError where the ledger doesn't give it (now)."""
        if self._waiting >= limits.RECEIPTS_WAITING_MAX:
            return None
        self._waiting += 1
        try:
            async with self._free:
                return await asyncio.to_thread(self._make, link)
        finally:
            self._waiting -= 1

    def _make(self, link: DonorLink) -> Receipt:
        from streams.ledger_service.receipts import receipt_of  # noqa: PLC0415 - RocksDB, which few servers need

        return receipt_of(self._folder, self._index, _CarriedSalt(link.salt), link.donation_id)


class AskLimit:
    """How often each link was used of late. What is forgotten begins anew."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._asked: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    def allows(self, token: str) -> bool:
        now_s, name = self._clock_s(), hashlib.sha256(token.encode()).digest()
        since_s, times = self._asked.pop(name, (now_s, 0))
        if now_s - since_s >= limits.LINK_ASKS_WINDOW_S:
            since_s, times = now_s, 0
        self._asked[name] = since_s, times + 1
        if len(self._asked) > limits.LINKS_REMEMBERED:
            self._asked.popitem(last=False)
        return times < limits.LINK_ASKS_MAX


def add_donors(
    app: web.Application,
    desk: ReceiptDesk,
    keys: Sequence[VerifierKey],
    clock_s: Callable[[], int],
    recalled: Container[str] = (),
) -> None:
    """Serve the page, the same for everybody, and a receipt to whoever has a link that one of `keys` has signed.

    `recalled`: links that don't count any more.
    """
    page = page_files()["index.html"]
    asks = AskLimit()

    async def show(_: web.Request) -> web.StreamResponse:
        return web.Response(body=page.content, headers={**_NO_STORE, "Content-Type": page.content_type})

    async def give(request: web.Request) -> web.StreamResponse:
        match = _BEARER.fullmatch(request.headers.get("Authorization", ""))
        token = match[1] if match else ""
        try:
            link = open_link(token, keys, clock_s())
        except LinkError:
            return problem(404, REFUSED)
        if token in recalled:
            return problem(404, REFUSED)
        if not asks.allows(token):
            return _later(problem(429, f"this link was used {limits.LINK_ASKS_MAX} times within a minute"))
        try:
            receipt = await desk.receipt_for(link)
        except UserError as error:
            # The line says what is wrong with the ledger, and of no donor that they were here.
            logger.warning("a donor's receipt can't be made", why=str(error).replace(link.donation_id, "…"))
            return _later(problem(503, "the receipt can't be made just now"))
        if receipt is None:
            return _later(problem(503, "too many ask for receipts just now"))
        headers = {
            **_NO_STORE,
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Disposition": 'attachment; filename="donation.tlog-proof"',
            EXPIRES_HEADER: str(link.expires_at_s),
        }
        return web.Response(body=bytes(receipt), headers=headers)

    app.router.add_get(DONATION_PATH, show)
    app.router.add_get(RECEIPT_PATH, give, allow_head=False)


def _later(response: web.Response) -> web.Response:
    response.headers["Retry-After"] = "10"
    return response
