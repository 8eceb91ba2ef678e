"""`everycent ledger link-keygen` and `everycent ledger link`: the donor's way to the page of their donation."""

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import orjson
import typer

from streams.cli.ledger_search import SearchProgress
from streams.errors import UserError
from streams.ledger.leaf import decode_leaf, donor_of
from streams.ledger.links import DonorLink, LinkError, link_digest, open_link, sign_link
from streams.ledger_service.keys import load_link_key, load_link_verifiers, load_salts, make_link_keys
from streams.settings import load_settings

DAY_S = 86_400
DAYS_MAX = 366  # a link is a key to a donor's donation: it must not lie about for ever


def link_keygen(
    *,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a further key, which signs from now on.")] = False,
    retire: Annotated[bool, typer.Option("--retire", help="Drop all keys but the newest one.")] = False,
) -> None:
    """Make the key that signs donors' links, if there is none, and print the public halves.

    The secret goes into EVERYCENT_LEDGER_KEYS, for this user's eyes only. What is printed goes into the file that
    EVERYCENT_SERVE_LINK_KEYS names, for `everycent serve`: a key that is taken out there ends all its links.

    Example: everycent ledger link-keygen > link-keys.txt
    """
    if rotate and retire:
        raise UserError("--rotate and --retire: first rotate, let the older links run out, and then retire.")
    settings = load_settings()
    for key in make_link_keys(Path(settings.ledger_keys), settings.ledger_name, rotate=rotate, retire=retire):
        print(key)


def link(
    donation_id: Annotated[str, typer.Argument(metavar="DONATION_ID", help="An order's id, a colon, and the line.")],
    *,
    buyer: Annotated[
        str | None, typer.Option(metavar="ID", help="The buyer whom it is for; refused if the donation is another's.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=DAYS_MAX, help="For how long it works.")] = 30,
    site: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where `everycent serve` is for donors, such as https://give.example."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The link and its end as one JSON object.")] = False,
) -> None:
    """Make a link for a donor: it shows the donation on the page of `everycent serve`, with the receipt.

    Whoever holds the link is taken for the donor: send it to nobody else. Needs the ledger's folder and the keys
    (EVERYCENT_LEDGER_DIR, EVERYCENT_LEDGER_KEYS), no broker; the server needs neither keys nor the donors' secret.

    Example: everycent ledger link 1400000000000000001:0 --buyer b350371 --site https://give.example
    """
    from streams.ledger_service.receipts import receipt_of  # noqa: PLC0415 - it brings RocksDB

    settings = load_settings()
    base = _site(site if site is not None else f"http://{settings.serve_host}:{settings.serve_port}")
    signer = load_link_key(Path(settings.ledger_keys), settings.ledger_name)
    salts = load_salts(Path(settings.ledger_keys))
    with closing(SearchProgress()) as progress:
        folders = Path(settings.ledger_dir), Path(settings.ledger_index)
        receipt = receipt_of(*folders, salts, donation_id, on_searched=progress)
    if buyer is not None and donor_of(receipt.salt, buyer) != decode_leaf(receipt.entry).donor:
        raise UserError(f"donation {donation_id} isn't that of the buyer {buyer!r}: no link was made.")
    expires_at_s = int(time.time()) + days * DAY_S
    address = f"{base}/donation/#{sign_link(DonorLink(donation_id, receipt.salt, expires_at_s), signer)}"
    print(orjson.dumps({"link": address, "expires_at_s": expires_at_s}).decode() if as_json else address)


def recall_link(
    link: Annotated[str, typer.Argument(metavar="LINK", help="The link, or what stands behind its #.")],
) -> None:
    """Print what calls back a donor's link before its end: a line for the file EVERYCENT_SERVE_RECALLED_LINKS.

    The server reads the file again when it changes. The line says nothing of the link, nor of the donation. Needs the
    key that signs links (EVERYCENT_LEDGER_KEYS): what it hasn't signed, or what was cut short, is refused.

    Example: everycent ledger recall-link 'https://give.example/donation/#AQ…' >> recalled.txt
    """
    settings = load_settings()
    token = link.strip().rpartition("#")[2]
    keys = load_link_verifiers(Path(settings.ledger_keys), settings.ledger_name)
    try:
        open_link(token, keys, now_s=0)
    except LinkError:
        raise UserError("this is no link that one of the keys here has signed. Is all of it there?") from None
    print(link_digest(token))


def _site(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UserError(f"--site: {url!r} is no address: {error}.") from None
    if (
        parts.scheme not in {"http", "https"}
        or not parts.netloc
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise UserError(f"--site: {url!r} is no address such as https://give.example.")
    return url.rstrip("/")
