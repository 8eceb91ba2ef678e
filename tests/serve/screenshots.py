# ruff: noqa: RUF001 - Chinese has full-width punctuation
"""The pictures in docs/screenshots: `python -m tests.serve.screenshots`, then look at them. Needs Chromium.

The page is the real one, on a server over made-up totals: half of a festival's day, and some months before it.
"""

import asyncio
import random
import sys
import tempfile
from pathlib import Path

from schemas.project import Project
from schemas.units import DAY_MS, MINUTE_MS
from streams.serve.answers import Progress
from tests.serve.chromium import open_browser
from tests.serve.donors import make_ledger, serve_donors, token_for
from tests.serve.parts import NOON_MS
from tests.serve.world import serving_state

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
PROJECTS = (
    Project(
        "P00001", "免费午餐", "乡村儿童基金会", 60_000_000_00, "为乡村学童提供一顿热的午餐。四元钱，一个孩子一顿饭。"
    ),
    Project("P00002", "Clear water", "Well & Spring", 25_000_000_00, "Wells and filters for dry villages."),
    Project("P00003", "一间图书室", "阅读同行"),
    Project("P00004", "听见世界 · 儿童人工耳蜗", "新声公益"),
    Project("P00005", "Winter coats", "Warm Hands"),
    Project("P00006", "护水行动", "江河守护者"),
    Project("P00007", "夜归人的灯", "城市互助会"),
    Project("P00008", "Guide dogs", "Four Paws"),
    Project("P00009", "银发课堂", "夕阳红基金"),
)
DESKTOP, PHONE = {"width": 1180, "height": 1000}, {"width": 390, "height": 844}
LIGHT, DARK = {"color_scheme": "light"}, {"color_scheme": "dark"}
ENGLISH, CHINESE = {"locale": "en-GB"}, {"locale": "zh-CN"}
SHOTS = {
    "home-en": ("/", {**LIGHT, **ENGLISH, "viewport": DESKTOP}),
    "home-zh-dark": ("/", {**DARK, **CHINESE, "viewport": DESKTOP}),
    "home-zh-phone": ("/", {**LIGHT, **CHINESE, "viewport": PHONE}),
    "project-zh": ("/project?id=P00001", {**LIGHT, **CHINESE, "viewport": DESKTOP}),
    "project-en-phone-dark": ("/project?id=P00002", {**DARK, **ENGLISH, "viewport": PHONE}),
    "day-en": ("/day?date=2020-11-10", {**LIGHT, **ENGLISH, "viewport": DESKTOP}),
}
STATES = {"state": {**LIGHT, **ENGLISH, "viewport": {"width": 900, "height": 430}}}


def fill(api) -> None:
    """Months, days, and the minutes of half a festival's day; drawn from a seed, so the pictures stay the same."""
    chance = random.Random(11)
    shares = [int(1_000 / (rank + 1) ** 0.9) for rank in range(12)]

    def given(at_ms: int, fen: int):
        return [(f"P{n + 1:05}", at_ms, fen * share // sum(shares)) for n, share in enumerate(shares)]

    donations = []
    for days in range(200, 1, -1):
        donations += given(NOON_MS - days * DAY_MS, chance.randrange(40_000_00, 75_000_00))
    midnight_ms = NOON_MS - DAY_MS // 2
    for minute in range(24 * 60):
        hour = minute / 60
        level = 3_000 + 45_000 * max(0.0, 1 - abs(hour - 20.5) / 4) + 20_000 * max(0.0, 1 - abs(hour - 10) / 5)
        donations += given(midnight_ms - DAY_MS + minute * MINUTE_MS, int(level * chance.uniform(0.7, 1.3)))
    for minute in range(12 * 60 + 3):
        rush = 900_000 / (1 + minute / 14) + 160_000 * max(0.0, 1 - abs(minute / 60 - 10) / 5) + 30_000
        donations += given(midnight_ms + minute * MINUTE_MS, int(rush * chance.uniform(0.85, 1.15)))
    api.commit(*donations)
    api.now_ms = NOON_MS + 3 * MINUTE_MS + 10_000
    api.state.freshness.as_of_ms = api.now_ms - 1_200


async def shoot(browser, address: str, name: str, path: str, options: dict) -> None:
    context = await browser.new_context(**options, reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(f"{address}{path}")
    await page.locator(".fresh:not([data-state=loading]), .deed").wait_for()
    await page.wait_for_timeout(1_500)
    await page.screenshot(path=FOLDER / f"{name}.png")
    await context.close()


async def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with open_browser() as browser:
            async with serving_state(Path(folder) / "full", projects=PROJECTS) as api:
                fill(api)
                for name, (path, options) in SHOTS.items():
                    await shoot(browser, api.address, name, path, options)
                api.state.freshness.as_of_ms = api.now_ms - 40_000
                await shoot(browser, api.address, "state-stale", "/", STATES["state"])
                api.state.rebuilding = Progress(630_000, 1_000_000)
                await shoot(browser, api.address, "state-rebuilding", "/", STATES["state"])
            async with serving_state(Path(folder) / "empty") as api:
                api.state.index.sums.clear()
                api.state.index.latest_day_ms = None
                api.state.freshness.as_of_ms = NOON_MS - 1_000
                await shoot(browser, api.address, "state-empty", "/", {**STATES["state"], "color_scheme": "dark"})
            prepare = serve_donors(make_ledger(Path(folder)))
            named = [Project("P0000", PROJECTS[0].name, PROJECTS[0].charity)]
            async with serving_state(Path(folder) / "donor", projects=named, prepare=prepare) as api:
                api.commit(("P0000", NOON_MS, 8))
                path, options = (
                    f"/donation/#{token_for()}",
                    {**LIGHT, **CHINESE, "viewport": {"width": 900, "height": 800}},
                )
                await shoot(browser, api.address, "donation-zh", path, {**options, "timezone_id": "Asia/Shanghai"})
    print(*sorted(path.name for path in FOLDER.iterdir()), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main())
