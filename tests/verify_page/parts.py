"""What the page's tests share: a receipt of a real log, the page in a real Chromium, and verdicts of both verifiers."""

import base64
from contextlib import asynccontextmanager

from playwright.async_api import expect

from streams.ledger.receipt import ReceiptError, verify_receipt
from streams.verify_page.build import build_page
from tests.serve.chromium import open_browser

WAIT_MS = 60_000
expect.set_options(timeout=WAIT_MS)

# The promise that fails, or null, of each receipt in base64; in the page itself, so one round trip for all of them.
VERDICTS = """async ({receipts, keys, buyer}) => {
  const known = await Promise.all(keys.map(everycent.parseKey));
  const verdicts = [];
  for (const receipt of receipts) {
    const bytes = Uint8Array.from(atob(receipt), (character) => character.charCodeAt(0));
    try { await everycent.verifyReceipt(bytes, known, buyer); verdicts.push(null); }
    catch (error) { verdicts.push(error.promise ?? String(error)); }
  }
  return verdicts;
}"""


def write_page(folder, *keys):
    path = folder / "verify.html"
    path.write_bytes(build_page(keys).content)
    return path.as_uri()


@asynccontextmanager
async def a_page(address, arguments=(), **options):
    """The page, open; it must log no error, break no rule of its policy and ask nobody for anything."""
    faults = []
    async with open_browser(*arguments) as browser:
        context = await browser.new_context(**{"locale": "en-GB", "timezone_id": "Asia/Shanghai", **options})
        page = await context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        await page.goto(address)
        page.faults, page.asked = faults, []
        page.on("request", lambda request: request.url.startswith("data:") or page.asked.append(request))
        yield page
        assert page.asked == []
    assert faults == []


def verdict_of(data: bytes, keys, buyer):
    """The promise that fails by the verifier in Python, or None."""
    try:
        verify_receipt(data, keys, buyer)
    except ReceiptError as error:
        return str(error.promise)
    return None


async def same_verdicts(page, receipts, keys, buyer) -> list[str | None]:
    """What both say of each receipt."""
    asked = {"receipts": [base64.b64encode(each).decode() for each in receipts], "buyer": buyer}
    found = await page.evaluate(VERDICTS, {**asked, "keys": [str(key) for key in keys]})
    expected = [verdict_of(each, keys, buyer) for each in receipts]
    differ = [
        (each[-600:], ours, theirs)
        for each, ours, theirs in zip(receipts, expected, found, strict=True)
        if ours != theirs
    ]
    assert differ == []
    return found
