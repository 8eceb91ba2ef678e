"""The pictures of the page that checks receipts: `python -m tests.verify_page.screenshots`, then look at them.

The receipt is a real one, of a ledger of made-up donations.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from streams.ledger.receipt import make_receipt
from tests.ledger.parts import SALTS, SIGNER, donation, entries, publish, writer
from tests.verify_page.parts import a_page, write_page

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
DESKTOP, PHONE = {"width": 900, "height": 1000}, {"width": 390, "height": 844}


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = writer(folder)
        log.open()
        log.append(entries(0, 700))
        right = folder / "receipt.tlog-proof"
        right.write_bytes(bytes(make_receipt(log.log, publish(log), 300, SALTS)))
        tampered = folder / "changed.tlog-proof"
        tampered.write_bytes(right.read_bytes().replace(b"index 300", b"index 301"))
        address = write_page(folder, SIGNER.verifier)
        for picture, file, options in (
            ("verify-en", right, {"viewport": DESKTOP, "color_scheme": "light"}),
            ("verify-zh-changed", tampered, {"viewport": PHONE, "color_scheme": "dark", "locale": "zh-CN"}),
        ):
            async with a_page(address, **options) as page:
                await page.fill("#buyer", donation(300).buyer_id)
                await page.set_input_files("#file", file)
                await page.locator(".verdict").wait_for()
                await page.locator("h1").click()
                await page.screenshot(path=FOLDER / f"{picture}.png", full_page=True)
                print(FOLDER / f"{picture}.png", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main())
