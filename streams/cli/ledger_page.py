"""`everycent ledger verify-page`: the page that checks receipts in a browser, as one file."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.ledger_receipts import keys_from
from streams.errors import UserError
from streams.verify_page.build import build_page


def verify_page(
    *,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A verifier key (name+id+base64) to build in, or a file of them; repeatable."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it.")] = Path("verify.html"),
) -> None:
    """Write the page that checks receipts in a browser: one file, which needs no network and no server.

    Whoever opens it, from a disk or from any web server, checks what `everycent ledger verify` checks. Keys can also be
    put in on the page. The same keys give the same bytes, so its checksum can be published.

    Example: everycent ledger verify-page --key keys.txt --out verify.html
    """
    page = build_page([each for text in key or () for each in keys_from(text)])
    try:
        out.write_bytes(page.content)
    except OSError as error:
        raise UserError(f"--out: {out} can't be written: {error.strerror}.") from None
    print(f"{out}: {len(page.content):,} bytes.")
