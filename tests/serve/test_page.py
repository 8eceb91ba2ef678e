# ruff: noqa: RUF001 - Chinese has full-width punctuation
"""The page in a real Chromium: what it shows, that it stays true, and that everybody can use it."""

import re
import statistics
from contextlib import asynccontextmanager

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from schemas.limits import INT64_MAX
from schemas.project import Project
from schemas.totals import ProjectTotal, WindowKind, encode_total, key_of
from schemas.units import DAY_MS, HOUR_MS, MINUTE_MS
from streams.serve.answers import Progress
from tests.serve.chromium import open_browser
from tests.serve.parts import LUNCH, NOON_MS, WATER, take
from tests.serve.world import serving_state

WAIT_MS = 60_000  # on a machine with nothing else to do nothing here takes a second
PHONE = {"width": 360, "height": 740}
TRIES = 7
FITS = "() => document.documentElement.scrollWidth <= innerWidth"
# Of an element with all that hangs out of it.
WIDTHS = "(e) => ({ left: e.getBoundingClientRect().left, right: e.getBoundingClientRect().left + e.scrollWidth })"

expect.set_options(timeout=WAIT_MS)


@asynccontextmanager
async def a_page(api, path="/", **options):
    """The page, open; it must log no error and break no rule of its Content-Security-Policy."""
    faults = []
    async with open_browser() as browser:
        context = await browser.new_context(**{"locale": "en-GB", **options})
        page = await context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        page.faults = faults
        await page.goto(f"{api.address}{path}")
        yield page
    assert [fault for fault in faults if "Failed to load resource" not in fault] == []


@pytest.fixture
async def api(tmp_path):
    async with serving_state(tmp_path, projects=[LUNCH, WATER]) as api:
        api.state.freshness.as_of_ms = NOON_MS - 1_500
        yield api


async def test_the_years_figure_stands_there_and_counts_up_by_itself(api):
    async with a_page(api) as page:
        await expect(page.locator(".hero-label")).to_have_text("Given in 2020")
        await expect(page.locator(".hero-amount")).to_have_text("¥0.12")
        api.commit(("P1", NOON_MS, 1_234_500))
        await expect(page.locator(".hero-amount")).to_have_text("¥12,345.12")
        await expect(page.locator(".hero-below")).to_have_text("in 3 donations, every cent counted once")
        await expect(page.locator(".tile .amount").first).to_have_text("¥12,345.12")
        await expect(page.locator(".projects li").first).to_contain_text(LUNCH.name)
        await expect(page.locator(".fresh")).to_have_text("Live, as of 11:59:58")


async def test_a_figure_only_grows_while_it_counts(api):
    async with a_page(api) as page:
        await expect(page.locator(".hero-amount")).to_have_text("¥0.12")
        await page.evaluate(
            """() => { window.seen = []; const amount = document.querySelector(".hero-amount");
              const look = () => { seen.push(Number(amount.textContent.replace(/[¥,]/g, "")));
                requestAnimationFrame(look); };
              look(); }"""
        )
        for _ in range(10):
            api.commit(("P1", NOON_MS, 100_000))
            await page.wait_for_timeout(60)
        await expect(page.locator(".hero-amount")).to_have_text("¥10,000.12")
        seen = await page.evaluate("() => seen")
        assert seen == sorted(seen)
        assert len(set(seen)) > 2


async def test_it_loads_within_a_second_and_shows_a_commit_within_a_second(api):
    """The best of some tries, as other work on the machine must not fail it; `make bench` gives medians."""
    async with a_page(api) as page:
        loads = []
        for _ in range(TRIES):
            await page.goto(api.address)
            await expect(page.locator(".hero-amount")).not_to_have_class(re.compile("waiting"))
            loads.append(await page.evaluate("() => performance.now()"))
        updates = []
        for _ in range(TRIES):
            fen = api.state.overview(NOON_MS).year.fen + 100
            text = f"¥{fen // 100:,}.{fen % 100:02}"
            shown = page.evaluate(
                """(text) => new Promise((done) => { const since = performance.now();
                  const look = () => document.querySelector(".hero-amount").textContent === text
                    ? done(performance.now() - since) : requestAnimationFrame(look); look(); })""",
                text,
            )
            api.commit(("P1", NOON_MS, 100))
            updates.append(await shown)
    print(f"load {statistics.median(loads):.0f} ms, update {statistics.median(updates):.0f} ms (medians)")
    assert min(loads) < 1_000
    assert min(updates) < 1_000


async def test_amounts_beyond_2_to_the_53_are_shown_to_the_fen_and_fit_a_phone(api):
    for number in range(3):
        for kind, start_ms, end_ms, start in (
            (WindowKind.ALL, 0, None, None),
            (WindowKind.YEAR, 1_577_808_000_000, 1_609_430_400_000, "2020-01-01T00:00:00+08:00"),
        ):
            total = ProjectTotal(f"B{number}", kind, start_ms, end_ms, start, INT64_MAX, 1, 0, 0, False, 1)
            take(api.state, [(key_of(total).encode(), encode_total(total))])
    async with a_page(api, viewport=PHONE) as page:
        await expect(page.locator(".hero-amount")).to_have_text("¥276,701,161,105,643,274.33")
        await page.get_by_role("button", name="This year").click()
        await expect(page.locator(".projects .amount").first).to_have_text("¥92,233,720,368,547,758.07")
        assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


async def test_an_empty_deployment_says_that_nothing_has_come_and_shows_the_first_donation(tmp_path):
    async with serving_state(tmp_path) as api:
        api.state.index.sums.clear()
        api.state.index.latest_day_ms = None
        async with a_page(api) as page:
            await expect(page.locator(".notice")).to_contain_text("No donation has come yet")
            await expect(page.locator(".hero-below")).to_have_text("")
            api.commit(("P1", NOON_MS, 5))
            await expect(page.locator(".notice")).to_have_count(0)
            await expect(page.locator(".figures")).to_be_visible()


async def test_old_figures_say_from_when_they_are_and_how_far_behind_the_stream_is(api):
    api.state.freshness.as_of_ms = NOON_MS - 40_000
    async with a_page(api) as page:
        await expect(page.locator(".fresh")).to_have_text(re.compile("As of 11:59:20; the stream is 4[0-9] s behind"))
        await expect(page.locator("#announce")).to_contain_text("behind")
        api.state.freshness.as_of_ms = NOON_MS - 1_000
        await expect(page.locator(".fresh")).to_have_text("Live, as of 11:59:59")


async def test_while_totals_are_read_back_there_is_no_figure_but_how_far_it_is(api):
    api.state.rebuilding = Progress(1, 4)
    async with a_page(api) as page:
        await expect(page.locator(".fresh")).to_contain_text("reads the totals back: 25%")
        await expect(page.locator(".hero-amount")).to_have_text("¥–")
        api.state.rebuilding = None
        api.commit(("P1", NOON_MS, 1))
        await expect(page.locator(".hero-amount")).to_have_text("¥0.13")


async def test_a_server_that_goes_away_is_told_and_the_page_goes_on_with_the_next_one(tmp_path):
    async with serving_state(tmp_path / "first") as first:
        first.state.freshness.as_of_ms = NOON_MS - 1_000
        port = first.client.port
        async with a_page(first) as page:
            await expect(page.locator(".fresh")).to_have_text("Live, as of 11:59:59")
            first.commit(("P1", NOON_MS, 1))
            await expect(page.locator(".hero-amount")).to_have_text("¥0.13")
            await first.client.close()
            await expect(page.locator(".fresh")).to_have_text("Disconnected. As of 11:59:59; trying again …")
            await expect(page.locator(".hero-amount")).to_have_text("¥0.13")
            async with serving_state(tmp_path / "next", port=port) as after:
                after.state.freshness.as_of_ms = NOON_MS
                after.commit(("P1", NOON_MS, 1))
                after.commit(("P1", NOON_MS, 1))
                await expect(page.locator(".fresh")).to_have_text("Live, as of 12:00:00")
                await expect(page.locator(".hero-amount")).to_have_text("¥0.14")


async def test_language_and_theme_are_chosen_and_kept(api):
    async with a_page(api, color_scheme="light") as page:
        paper = "() => getComputedStyle(document.body).backgroundColor"
        light = await page.evaluate(paper)
        await page.get_by_role("button", name="中文").click()
        await expect(page.locator(".hero-label")).to_have_text("2020 年捐出")
        for _ in range(2):
            await page.get_by_role("button", name=re.compile("主题")).click()
        await expect(page.get_by_role("button", name="主题：深色")).to_be_visible()
        assert await page.evaluate(paper) != light
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        await expect(page.locator(".hero-label")).to_have_text("2020 年捐出")
        assert await page.evaluate(paper) != light


async def test_a_chinese_browser_gets_chinese(api):
    async with a_page(api, locale="zh-CN") as page:
        await expect(page.locator(".fresh")).to_have_text("实时，截至 11:59:58")


async def test_a_project_is_found_and_opened_with_the_keyboard_alone(api):
    async with a_page(api) as page:
        await expect(page.locator(".projects li")).to_have_count(2)
        await page.keyboard.press("Tab")
        await expect(page.locator("#skip")).to_be_focused()
        for _ in range(4):
            await page.keyboard.press("Tab")
        await expect(page.get_by_role("searchbox")).to_be_focused()
        await page.keyboard.type("午餐")
        await expect(page.locator(".results a")).to_have_count(1)
        await page.keyboard.press("ArrowDown")
        await expect(page.locator(".results a")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text(LUNCH.name)
        await expect(page.locator("main")).to_be_focused()
        await page.go_back()
        await expect(page.locator(".hero-label")).to_have_text("Given in 2020")


async def test_a_project_has_its_windows_goal_and_history_and_grows_live(api):
    api.commit(("P1", NOON_MS - DAY_MS, 3_000_000), ("P1", NOON_MS - 40 * DAY_MS, 1_000_000))
    async with a_page(api, "/project?id=P1") as page:
        await expect(page.locator(".hero-amount")).to_have_text("¥40,000.05")
        await expect(page.locator(".goal")).to_contain_text("33.3% of ¥120,000")
        await expect(page.locator(".description")).to_have_text(LUNCH.description)
        await expect(page).to_have_title(f"{LUNCH.name} · everycent")
        await page.get_by_text("The same as a table").click()
        await expect(page.locator("tbody tr")).to_have_count(3)
        await page.get_by_role("button", name="By month").click()
        await page.get_by_text("The same as a table").click()
        await expect(page.locator("tbody tr")).to_have_count(2)
        api.commit(("P1", NOON_MS, 95))
        await expect(page.locator(".hero-amount")).to_have_text("¥40,001.00")
        await expect(page.locator("tbody tr").last).to_contain_text("30,001.00")


async def test_what_does_not_exist_is_said(api):
    for path in ("/project?id=nobody", "/day?date=2020-02-30"):
        async with a_page(api, path) as page:
            await expect(page.locator(".notice")).to_have_text("There is no such project or day.")
            await expect(page.locator(".hero-amount")).to_have_count(0)


async def test_an_address_that_is_none_of_ours_gets_a_page_that_says_so_and_programs_get_json(api):
    async with a_page(api, "/nowhere") as page:
        await expect(page.locator("h1")).to_have_text("There is no such page")
        await expect(page).to_have_title("There is no such page · everycent")
        await page.get_by_role("link", name="See what was given this year").click()
        await expect(page.locator("h1")).to_have_text("Given in 2020")
    for path, accept in (("/nowhere", "*/*"), ("/api/v1/nowhere", "text/html")):
        response, body = await api.get(path, Accept=accept)
        assert (response.status, response.content_type) == (404, "application/json"), path
        assert b"Not Found" in body


async def test_one_donation_is_no_plural(tmp_path):
    async with serving_state(tmp_path) as api, a_page(api, "/project?id=P1") as page:
        await expect(page.locator(".hero-below")).to_have_text("in 1 donation, every cent counted once")
        await expect(page.locator(".tile .donations").first).to_have_text("1 donation")


async def test_a_chart_says_in_words_what_it_shows_and_too_many_bars_become_one_outline(api):
    api.commit(("P1", NOON_MS - 3 * HOUR_MS, 700), *(("P1", NOON_MS - n * MINUTE_MS, 100) for n in range(1, 30)))
    about = "Yuan given in each minute, 09:00 to 12:00; the most, ¥7.00, at 09:00"
    for viewport in (PHONE, {"width": 1180, "height": 1000}):
        async with a_page(api, viewport=viewport) as page:
            await expect(page.get_by_role("img", name=about)).to_be_visible()
            await expect(page.locator(".readout")).to_contain_text("12:00")
            await page.locator(".plot .u-over").hover()  # its middle, when nothing was given
            said = re.compile("¥0.00  ·  0 donations" if viewport is PHONE else "09:00|11:31")
            await expect(page.locator(".readout")).to_contain_text(said)


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("width", [320, 360])
async def test_on_a_narrow_phone_the_header_takes_two_rows(api, width, locale):
    async with a_page(api, "/day?date=2020-11-10", viewport={"width": width, "height": 740}, locale=locale) as page:
        await expect(page.locator(".hero-amount")).not_to_have_class(re.compile("waiting"))
        places = {name: await page.locator(name).bounding_box() for name in (".brand", ".top nav", ".search", ".tools")}
        middles = {name: box["y"] + box["height"] / 2 for name, box in places.items()}
        assert middles[".brand"] == pytest.approx(middles[".top nav"], abs=2)
        assert middles[".search"] == pytest.approx(middles[".tools"], abs=2)
        steps = [await page.locator(f".step[rel={rel}]").bounding_box() for rel in ("prev", "next")]
        assert steps[0]["y"] == steps[1]["y"]


async def test_any_day_can_be_looked_back_at(api):
    api.commit(("P2", NOON_MS - DAY_MS, 700), ("P2", NOON_MS - DAY_MS + HOUR_MS, 1))
    async with a_page(api, "/day?date=2020-11-10") as page:
        await expect(page.locator("h1")).to_have_text("Given on 10 November 2020")
        await expect(page.locator(".hero-amount")).to_have_text("¥7.01")
        await expect(page.locator(".projects .name")).to_have_text([WATER.name])
        await page.get_by_text("The same as a table").click()
        await expect(page.locator("tbody tr")).to_have_text([re.compile("12:00¥7.00"), re.compile("13:00¥0.01")])
        await page.get_by_role("link", name="Day after").click()
        await expect(page.locator("h1")).to_have_text("Given on 11 November 2020")
        await page.locator("input[type=date]").fill("2020-11-09")
        await expect(page.locator(".notice")).to_have_text("Nothing was given on this day.")


async def test_released_minutes_are_said_and_not_shown_as_nothing(api):
    take(api.state, api.log.commit(("P1", NOON_MS + 6 * HOUR_MS, 1), watermark_ms=NOON_MS + 6 * HOUR_MS))
    async with a_page(api, "/day?date=2020-11-11") as page:
        await expect(page.locator(".notice")).to_contain_text("minutes of this day are no longer kept; its hours are")
        await expect(page.locator(".chart")).to_be_visible()


async def test_names_are_text_whatever_they_hold(tmp_path):
    name = "<img src=x onerror=alert(1)>"
    async with serving_state(tmp_path, projects=[Project("P1", name, name, 1, name)]) as api:
        async with a_page(api) as page:
            await expect(page.locator(".projects .name").last).to_have_text(name)
        async with a_page(api, "/project?id=P1") as page:
            await expect(page.locator("h1")).to_have_text(name)
            assert await page.locator("main img").count() == 0


async def test_long_words_cover_no_amount_and_widen_no_page(tmp_path):
    word = "W" * 200
    async with serving_state(tmp_path, projects=[Project("P1", word, word, 1, word)]) as api:
        api.commit(("W" * 64, NOON_MS, 3))
        async with a_page(api, viewport=PHONE) as page:
            await expect(page.locator(".projects li")).to_have_count(3)
            for row in await page.locator(".projects li a").all():
                who, what = [await row.locator(part).evaluate(WIDTHS) for part in (".who", ".what")]
                assert who["right"] <= what["left"]
            assert await page.evaluate(FITS)
            await page.get_by_role("searchbox").fill("W")
            await expect(page.locator("#results li")).to_have_count(2)
            assert await page.evaluate(FITS)
            for project in ("P1", "W" * 64):
                await page.goto(f"{api.address}/project?id={project}")
                await expect(page.locator("h1")).to_contain_text("WWW")
                assert await page.evaluate(FITS), project


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"locale": "zh-CN", "viewport": PHONE}], ids=str)
async def test_axe_finds_nothing_that_would_keep_anybody_from_using_it(api, options):
    api.state.freshness.as_of_ms = NOON_MS - 40_000
    api.commit(*(("P1", NOON_MS - n * MINUTE_MS, 100) for n in range(30)))
    async with a_page(api, reduced_motion="reduce", **options) as page:
        for path in ("/", "/project?id=P1", "/day", "/day?date=2020-11-11"):
            await page.goto(f"{api.address}{path}")
            await expect(page.locator(".chart")).to_be_visible()
            await expect(page.locator(".fresh[data-state=stale]")).to_be_visible()
            await page.locator("summary").click()
            found = await Axe().run(page)
            assert found.response["violations"] == [], found.generate_report()
            assert len(found.response["passes"]) > 20
            assert await page.evaluate(FITS), path
