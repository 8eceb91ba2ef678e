# ruff: noqa: RUF001 - Chinese has full-width punctuation
"""The page that checks receipts, in a real Chromium: how a receipt gets in, what is said, and that nothing gets out."""

import base64
import functools
import http.server
import threading
from importlib import resources

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect
from typer.testing import CliRunner

from streams.cli import app
from streams.errors import UserError
from streams.ledger.leaf import decode_leaf, encode_leaf
from streams.ledger.notes import KeyType, SignerKey
from streams.ledger.receipt import make_receipt
from streams.verify_page import build
from tests.ledger.parts import ORIGIN, SALTS, SIGNER, entries, publish, writer
from tests.verify_page.parts import a_page, write_page

PHONE = {"width": 360, "height": 740}
RIGHT, RIGHT_BUT_DONOR = (
    "The receipt is right, and the donation is this buyer's.",
    "The receipt is right. Whose donation it is",
)
WITNESS = SignerKey.from_seed("witness.test", b"\x05" * 32, KeyType.COSIGNATURE)

# A file that is dropped on, or pasted into, the element; as a person's browser makes them.
GIVE = """([selector, kind, text, name]) => {
  const data = new DataTransfer();
  if (name) data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
  else data.setData("text/plain", new TextDecoder().decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))));
  const options = { bubbles: true, cancelable: true };
  const event = kind === "paste" ? new ClipboardEvent(kind, { ...options, clipboardData: data })
    : new DragEvent(kind, { ...options, dataTransfer: data });
  return document.querySelector(selector).dispatchEvent(event);
}"""

# Each is true if it fails.
WAYS_OUT_AND_IN = (
    'fetch("https://example.org/").then(() => false, () => true)',
    """new Promise((done) => { const image = new Image(); image.onerror = () => done(true);
       image.onload = () => done(false); image.src = "https://example.org/x.png"; })""",
    """new Promise((done) => { const socket = new WebSocket("wss://example.org/");
       socket.onerror = () => done(true); socket.onopen = () => done(false); })""",
    """new Promise((done) => { const script = document.createElement("script"); script.textContent = "window.ran = 1";
       document.body.append(script); done(window.ran === undefined); })""",
)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    opened = writer(tmp_path_factory.mktemp("log"))
    opened.open()
    leaf = decode_leaf(entries(4, 5)[0])
    values = {name: getattr(leaf, name) for name in leaf.__struct_fields__}
    odd = {**values, "project_id": "<img src=x onerror=alert(1)>", "fen": 2**63, "donated_at": 2**62, "seq": 4}
    opened.append([*entries(0, 4), encode_leaf(type(leaf)(**odd)), *entries(5, 700)])
    publish(opened)
    return opened


@pytest.fixture(scope="module")
def receipt(log):
    return bytes(make_receipt(log.log, log.log.note(), 300, SALTS))


@pytest.fixture
def address(tmp_path):
    return write_page(tmp_path, SIGNER.verifier)


def file_of(data: bytes) -> dict:
    return {"name": "mine.tlog-proof", "mimeType": "application/octet-stream", "buffer": data}


async def choose(page, data: bytes) -> None:
    await page.set_input_files("#file", file_of(data))


async def give(page, selector: str, kind: str, data: bytes, name: str | None = None):
    return await page.evaluate(GIVE, [selector, kind, base64.b64encode(data).decode(), name])


def states(page):
    return page.locator(".promises li").evaluate_all("(all) => all.map((each) => each.dataset.state)")


async def test_a_chosen_file_is_checked_at_once_and_with_the_buyers_id_whose_it_is(address, receipt):
    async with a_page(address) as page:
        await choose(page, receipt)
        await expect(page.locator(".verdict")).to_contain_text(RIGHT_BUT_DONOR)
        assert await states(page) == ["holds", "holds", "skipped", "holds", "holds", "skipped"]
        await expect(page.locator(".donation .amount dd")).to_have_text("¥0.08")
        await expect(page.locator(".donation .at dd")).to_contain_text("11 November 2020 at 00:00:00")
        await page.fill("#buyer", "b9")
        await page.get_by_role("button", name="Check the receipt").click()
        await expect(page.locator(".verdict")).to_have_text(RIGHT)
        assert await states(page) == ["holds", "holds", "skipped", "holds", "holds", "holds"]
        await page.fill("#buyer", "b10")
        await page.keyboard.press("Enter")
        await expect(page.locator(".verdict")).to_have_text("NOT VALID: the promise “donor” fails.")
        await expect(page.locator(".why")).to_contain_text("not that of the buyer b10")
        assert await states(page) == ["holds", "holds", "skipped", "holds", "holds", "fails"]


async def test_a_keyboards_space_behind_the_buyers_id_does_no_harm(address, receipt):
    async with a_page(address) as page:
        await page.fill("#buyer", "b9 ")
        await choose(page, receipt)
        await expect(page.locator(".verdict")).to_have_text(RIGHT)


async def test_a_file_may_be_dropped_anywhere_and_never_takes_the_pages_place(address, receipt):
    async with a_page(address) as page:
        for selector in ("#drop", "h1"):
            assert not await give(page, selector, "dragover", b"", "x")
            await expect(page.locator("#drop")).to_have_class("drop over")
            assert not await give(page, selector, "drop", receipt, "mine.tlog-proof")
            await expect(page.locator("#drop")).to_have_class("drop")
            await expect(page.locator(".verdict")).to_contain_text(RIGHT_BUT_DONOR)
            assert not await give(page, selector, "drop", receipt[:-9], "other.tlog-proof")
            await expect(page.locator(".verdict")).to_contain_text("“form” fails")
            await expect(page.locator("#held")).to_have_text(f"other.tlog-proof, {len(receipt) - 9} bytes")


async def test_a_receipt_may_be_pasted_as_a_file_or_as_text_into_the_page_or_its_field(address, receipt):
    async with a_page(address) as page:
        await give(page, "body", "paste", receipt, "mine.tlog-proof")
        await expect(page.locator(".verdict")).to_contain_text(RIGHT_BUT_DONOR)
        await give(page, "body", "paste", receipt.replace(b"index 300", b"index 301"))
        await expect(page.locator(".verdict")).to_contain_text("“inclusion” fails")
        await expect(page.locator("#held")).to_contain_text("The pasted text")
        await give(page, "body", "paste", receipt.replace(b"\n", b"\r\n"))  # as Windows has it
        await expect(page.locator(".verdict")).to_contain_text(RIGHT_BUT_DONOR)
        await page.get_by_text("Or paste its text").first.click()
        await page.fill("#text", receipt.decode().rstrip("\n"))
        await expect(page.locator(".verdict")).to_contain_text(RIGHT_BUT_DONOR)


async def test_without_keys_it_asks_for_one_and_takes_those_that_are_put_in(tmp_path, receipt):
    async with a_page(write_page(tmp_path)) as page:
        await page.get_by_role("button", name="Check the receipt").click()
        await expect(page.locator(".verdict")).to_contain_text("First choose the file")
        await choose(page, receipt)
        await expect(page.locator(".verdict")).to_have_text("First put in the ledger's public key.")
        other = SignerKey.from_seed(ORIGIN, b"\x01" * 32).verifier
        for text, told in (
            ("nonsense", "not a verifier key"),
            (str(other), "“signature” fails"),
            (f"{other}\n{SIGNER.verifier}\n", RIGHT_BUT_DONOR),
        ):
            await page.fill("#keys", text)
            await page.get_by_role("button", name="Check the receipt").click()
            await expect(page.locator(".verdict")).to_contain_text(told)


async def test_keys_that_are_put_in_count_instead_of_those_that_are_built_in(tmp_path, receipt):
    other = SignerKey.from_seed(ORIGIN, b"\x01" * 32).verifier
    async with a_page(write_page(tmp_path, other, other)) as page:
        await expect(page.locator("#built-in code").first).to_have_text(str(other))
        await choose(page, receipt)
        await expect(page.locator(".verdict")).to_contain_text("“signature” fails")
        await page.get_by_text("Other keys").first.click()
        await page.fill("#keys", str(SIGNER.verifier))
        await page.keyboard.press("Tab")
        await expect(page.locator(".verdict")).to_contain_text(RIGHT_BUT_DONOR)


async def test_it_says_who_else_has_signed(address, log):
    note = log.log.note()
    more = note.with_signatures([WITNESS.cosign(note.text, 1_605_024_000)])
    alone, beside = (bytes(make_receipt(log.log, each, 300, SALTS)) for each in (note, more))
    async with a_page(address) as page:
        said = page.locator("[data-promise=witnesses]")
        await choose(page, alone)
        await expect(said).to_contain_text("put in witnesses' keys")
        await expect(page.locator(".others")).to_contain_text("no independent witness was checked")
        await choose(page, beside)
        await expect(said).to_contain_text(f"whose keys weren't given: witness.test+{WITNESS.verifier.id:08x}")
        await page.get_by_text("Other keys").first.click()
        await page.fill("#keys", f"{SIGNER.verifier} {WITNESS.verifier}")
        await page.keyboard.press("Tab")
        await expect(said).to_have_attribute("data-state", "holds")
        await expect(said).to_contain_text(f"also signed by witness.test ({WITNESS.verifier.id:08x})")
        await expect(page.locator(".others")).to_have_count(0)


async def test_amounts_beyond_2_to_the_53_are_exact_and_what_a_leaf_holds_is_text(address, log):
    async with a_page(address, viewport=PHONE) as page:
        await choose(page, bytes(make_receipt(log.log, log.log.note(), 4, SALTS)))
        await expect(page.locator(".donation .amount dd")).to_have_text("¥92,233,720,368,547,758.08")
        await expect(page.locator(".donation .at dd")).to_have_text(str(2**62))
        await expect(page.locator(".donation .project dd")).to_have_text("<img src=x onerror=alert(1)>")
        assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


async def test_the_page_lets_nothing_out_and_no_other_script_in(address, receipt):
    async with a_page(address) as page:
        await choose(page, receipt)
        for attempt in WAYS_OUT_AND_IN:
            assert await page.evaluate(f"() => {attempt}"), attempt
        told = " ".join(page.faults)
        assert told.count("Content Security Policy") >= 4
        assert {request.failure for request in page.asked} == {"csp"}
        page.faults.clear()
        page.asked.clear()


async def test_a_browser_without_ed25519_says_so_and_judges_nothing(address, receipt):
    async with a_page(address, ["--disable-blink-features=WebCryptoCurve25519,WebCryptoEd25519"]) as page:
        old = """() => { const { importKey } = SubtleCrypto.prototype;
          SubtleCrypto.prototype.importKey = function (format, key, algorithm, ...rest) {
            if (algorithm.name === "Ed25519") throw new DOMException("Unrecognized name.", "NotSupportedError");
            return importKey.call(this, format, key, algorithm, ...rest); } }"""
        await page.evaluate(old)  # where the switch has gone from Chromium: what browsers without it do
        await choose(page, receipt)
        await expect(page.locator(".verdict")).to_contain_text("This browser can't check signatures (Ed25519)")
        assert await page.locator(".promises").count() == 0


async def test_over_plain_http_it_says_why_it_can_judge_nothing(tmp_path, receipt):
    write_page(tmp_path, SIGNER.verifier)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://ledger.test:{server.server_port}/verify.html"
        async with a_page(place, ["--host-resolver-rules=MAP ledger.test 127.0.0.1"]) as page:
            await choose(page, receipt)
            await expect(page.locator(".verdict")).to_contain_text("Over a plain http address")
        server.shutdown()


async def test_it_speaks_chinese_and_changes_language_and_theme_with_the_outcome_standing(address, receipt):
    async with a_page(address, locale="zh-CN", color_scheme="light") as page:
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        await choose(page, receipt.replace(b"index 300", b"index 701"))
        await expect(page.locator(".verdict")).to_have_text("凭证不成立（NOT VALID）：“收录”这一项不成立。")
        await page.get_by_role("button", name="English").click()
        await expect(page.locator(".verdict")).to_have_text("NOT VALID: the promise “inclusion” fails.")
        await expect(page).to_have_title("Check a donation's receipt")
        paper = "() => getComputedStyle(document.body).backgroundColor"
        light = await page.evaluate(paper)
        for _ in range(2):
            await page.get_by_role("button", name="Theme").click()
        await expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
        assert await page.evaluate(paper) != light


async def test_both_languages_have_the_same_words(address):
    async with a_page(address) as page:
        source = build._source("words.js").replace("export ", "")
        shape = """(of) => JSON.stringify(of, (_, value) =>
          ["string", "function"].includes(typeof value) ? typeof value : value)"""
        both = f"() => {{ {source}; const shape = {shape}; return [shape(WORDS.en), shape(WORDS.zh)]; }}"
        english, chinese = await page.evaluate(both)
        assert english == chinese


async def test_all_of_it_is_done_by_keyboard_and_the_outcome_is_read_aloud(address, receipt):
    async with a_page(address) as page:
        result = page.locator("#result")
        await expect(result).to_have_attribute("role", "status")
        await expect(result).to_have_attribute("aria-live", "polite")
        order = []
        for _ in range(9):
            await page.keyboard.press("Tab")
            order.append(await page.evaluate("() => document.activeElement.id || document.activeElement.textContent"))
        assert order[:3] == ["language", "theme", "file"]
        assert order[3:7] == [
            "Or paste its text",
            "Other keys, one a line (name+id+base64)",
            "buyer",
            "Check the receipt",
        ]
        async with page.expect_file_chooser() as chooser:
            await page.focus("#file")
            await page.keyboard.press("Enter")
        await (await chooser.value).set_files(file_of(receipt))
        await expect(result.get_by_role("heading")).to_contain_text(RIGHT_BUT_DONOR)
        await expect(page.get_by_role("list", name="The promises")).to_be_visible()


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"locale": "zh-CN", "viewport": PHONE}], ids=str)
async def test_axe_finds_nothing_that_would_keep_anybody_from_using_it(address, receipt, options):
    async with a_page(address, bypass_csp=True, **options) as page:
        for data in (receipt, receipt[:-1], receipt.replace(b"index 300", b"index 301")):
            await choose(page, data)
            await expect(page.locator(".verdict")).to_be_visible()
            await page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            found = await Axe().run(page)
            assert found.response["violations"] == [], found.generate_report()
            assert len(found.response["passes"]) > 20
            assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_the_command_writes_the_page_with_its_keys_the_same_bytes_each_time(tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text(f"{SIGNER.verifier}\n{WITNESS.verifier}\n")

    def run(*words):
        return CliRunner().invoke(app, ["ledger", "verify-page", *map(str, words)])

    for name in ("one.html", "two.html"):
        done = run("--key", keys, "--out", tmp_path / name)
        assert done.exit_code == 0, done.exception
    page = (tmp_path / "one.html").read_bytes()
    assert page == (tmp_path / "two.html").read_bytes() == build.build_page([SIGNER.verifier, WITNESS.verifier]).content
    assert str(SIGNER.verifier) in page.decode()
    assert len(page) < 65_536
    for words, told in (
        (("--key", "a+b"), "not a verifier key"),
        (("--out", tmp_path / "no" / "where"), "can't be written"),
    ):
        done = run(*words)
        assert isinstance(done.exception, UserError)
        assert told in str(done.exception)


def test_modules_that_can_not_be_joined_are_refused(monkeypatch):
    for modules, told in (
        (("receipt.js", "bytes.js"), "must stand before"),
        (("bytes.js", "bytes.js"), "names that another"),
    ):
        monkeypatch.setattr(build, "MODULES", modules)
        with pytest.raises(ValueError, match=told):
            build.build_page()


def test_it_has_the_live_pages_colours_from_the_same_file():
    shared = (resources.files("streams") / "serve" / "page" / "shared.css").read_bytes()
    assert b"--paper:" in shared
    assert shared in build.build_page().content
