"""The donor's page in a real Chromium: the donation, the receipt to take along, and nothing without a right link."""

from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from schemas.project import Project
from streams.ledger.receipt import verify_receipt
from tests.ledger.parts import SIGNER
from tests.serve.donors import BUYER, NOON_S, make_ledger, serve_donors, token_for
from tests.serve.test_page import PHONE, WAIT_MS, a_page
from tests.serve.world import serving_state

PROJECT = Project("P0000", "免费午餐", "乡村儿童基金会")
ZONE = {"timezone_id": "UTC"}


@pytest.fixture
async def api(tmp_path):
    prepare = serve_donors(make_ledger(tmp_path))
    async with serving_state(tmp_path / "state", projects=[PROJECT], prepare=prepare) as api:
        api.commit(("P0000", NOON_S * 1_000, 8))
        yield api


async def save_receipt(page, folder: Path, button: str = "Download the receipt") -> Path:
    async with page.expect_download() as download:
        await page.get_by_role("link", name=button).click()
    done = await download.value
    assert done.suggested_filename == "1400000000000000300-0.tlog-proof"
    path = folder / done.suggested_filename
    await done.save_as(path)
    return path


async def test_a_donor_sees_the_donation_takes_the_receipt_and_checks_it_on_the_other_page(api, tmp_path):
    asked = []
    async with a_page(api, f"/donation/#{token_for()}", **ZONE) as page:
        await expect(page.locator("h1")).to_have_text("Your donation")
        await expect(page.locator(".hero-amount")).to_have_text("¥0.08")
        await expect(page.locator(".hero-below")).to_have_text(f"to {PROJECT.name}")
        await expect(page.locator("#announce")).to_have_text(f"¥0.08 to {PROJECT.name}")
        await expect(page.locator(".facts")).to_contain_text("11 November 2020, 00:00:00")
        await expect(page.locator(".facts")).to_contain_text("1400000000000000300:0")
        await expect(page.locator(".card")).to_contain_text("It works until 18 November 2020")
        file = await save_receipt(page, tmp_path)
        assert verify_receipt(file.read_bytes(), [SIGNER.verifier], BUYER).donor_checked
        page.on("request", lambda request: asked.append((request.url, request.headers)))
        await page.get_by_role("link", name="Check a receipt").click()
        await page.set_input_files("#file", file)
        await page.fill("#buyer", BUYER)
        await page.get_by_role("button", name="Check the receipt").click()
        await expect(page.locator(".verdict")).to_have_text("The receipt is right, and the donation is this buyer's.")
    assert asked
    assert not any(token_for() in url or "referer" in headers for url, headers in asked)


async def test_the_token_goes_to_the_server_in_a_header_and_in_no_address(api):
    async with a_page(api) as page:
        asked = []
        page.on("request", lambda request: asked.append((request.url, request.headers)))
        await page.goto(f"{api.address}/donation/#{token_for()}")
        await expect(page.locator(".hero-amount")).to_have_text("¥0.08")
        told = [url for url, headers in asked if "authorization" in headers]
        assert told == [f"{api.address}/donation/receipt"]
        # The page's own address is told with what stands behind the #, which no browser sends.
        assert not [url for url, _ in asked if token_for() in url.partition("#")[0]]
        assert [(url, headers["referer"]) for url, headers in asked if token_for() in headers.get("referer", "")] == []


async def test_both_languages_and_another_one_asks_for_nothing_again(api, tmp_path):
    async with a_page(api, f"/donation/#{token_for()}", locale="zh-CN", viewport=PHONE) as page:
        await expect(page.locator("h1")).to_have_text("您的捐赠")
        await expect(page.locator(".hero-below")).to_have_text(f"捐给{PROJECT.name}")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        await page.get_by_role("button", name="English").click()
        await expect(page.locator("h1")).to_have_text("Your donation")
        await save_receipt(page, tmp_path)
        assert not any("/donation/receipt" in url for url in asked)
        assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


async def test_without_a_right_link_nothing_is_shown_but_that(api):
    for wrong in ("", "#", f"#{token_for()[:-1]}", f"#{token_for(expires_at_s=NOON_S)}", "#1400000000000000300:0"):
        async with a_page(api, f"/donation/{wrong}") as page:
            await expect(page.locator(".notice")).to_contain_text("This link doesn't work")
            await expect(page.locator("#announce")).to_contain_text("This link doesn't work")
            assert await page.locator(".hero-amount, .facts, .deed").count() == 0


async def test_a_link_that_is_opened_in_an_open_page_counts(api):
    async with a_page(api, "/donation/#wrong") as page:
        await expect(page.locator(".notice")).to_be_visible()
        await page.goto(f"{api.address}/donation/#{token_for()}")
        await expect(page.locator(".hero-amount")).to_have_text("¥0.08")


async def test_where_the_ledger_can_not_be_read_it_asks_to_come_again(tmp_path):
    async with (
        serving_state(tmp_path / "state", prepare=serve_donors(tmp_path / "none")) as api,
        a_page(api, f"/donation/#{token_for()}") as page,
    ):
        await expect(page.locator(".notice")).to_contain_text("can't be shown just now", timeout=WAIT_MS)


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"locale": "zh-CN", "viewport": PHONE}], ids=str)
async def test_axe_finds_nothing_that_would_keep_anybody_from_using_it(api, options):
    async with a_page(api, f"/donation/#{token_for()}", reduced_motion="reduce", **options) as page:
        await expect(page.locator(".deed")).to_be_visible()
        found = await Axe().run(page)
        assert found.response["violations"] == [], found.generate_report()
        assert len(found.response["passes"]) > 20
        assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
