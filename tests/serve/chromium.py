"""A real Chromium, headless, for tests of the page: Debian's, driven by playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path() -> str:
    """Where it is. Without one the test is skipped, but in CI, which installs it, it fails."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None and os.environ.get("CI"):
        pytest.fail("no Chromium here, and .ci/run should have installed it")
    if path is None:
        pytest.skip("no Chromium here. On Debian and Ubuntu: apt-get install chromium")
    return path


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    path = chromium_path()
    # Its sandbox needs rights that a container rarely has; the page is our own.
    async with (
        async_playwright() as driver,
        await driver.chromium.launch(executable_path=path, args=["--no-sandbox"]) as browser,
    ):
        yield browser
