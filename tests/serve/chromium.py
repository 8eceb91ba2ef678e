"""A real Chromium, headless, for tests of the page: Debian's, driven by playwright."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

from tests.needs import need


@asynccontextmanager
async def open_browser(*arguments: str) -> AsyncIterator[Browser]:
    path = need("chromium", "chromium-browser", "google-chrome", why="shows the page (apt-get install chromium)")
    # Its sandbox needs rights that a container rarely has; the page is our own.
    async with (
        async_playwright() as driver,
        await driver.chromium.launch(executable_path=path, args=["--no-sandbox", *arguments]) as browser,
    ):
        yield browser
