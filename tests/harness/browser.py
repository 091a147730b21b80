"""A real Chromium for the tests of pages, and what every page of ours keeps: nothing goes wrong in it, nothing is
fetched from elsewhere, and nothing moves under one's finger.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    StorageState,
    ViewportSize,
    async_playwright,
    expect,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

ANSWER_MS_MAX = 120_000
"""Of whatever a page is waited for; a busy machine may take long."""

# What a page that moves under one's finger scores; web.dev calls below 0.1 good.
LAYOUT_SHIFT_MAX = 0.1

# What a page moves on purpose, which it does only while nobody touches it, it marks as "rearranged".
_WATCH_SHIFTS = """
window.shifts = 0;
const isMeant = ({ startTime }) =>
  performance.getEntriesByName("rearranged").some((mark) => Math.abs(startTime - mark.startTime) < 500);
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput && !isMeant(entry)) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""

DESKTOP: ViewportSize = {"width": 1100, "height": 720}


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        expect.set_options(timeout=ANSWER_MS_MAX)
        yield browser
        await browser.close()


@asynccontextmanager
async def watched_page(
    browser: Browser,
    origin: str,
    *,
    viewport: ViewportSize = DESKTOP,
    signed_in: StorageState | None = None,
    forgiven: Collection[str] = (),
    locale: str | None = None,
) -> AsyncIterator[Page]:
    """A page of its own visitor. Fails at the end when anything went wrong in it, or was fetched from elsewhere.

    signed_in -- the cookies of a visitor who was here before.
    forgiven -- parts of the errors that the browser logs by itself and the test brings about, such as a refusal's
        status; the page tells the person, and the test looks at that.
    locale -- the language that the browser asks for; English if not given.
    """
    page = await browser.new_page(viewport=viewport, storage_state=signed_in, locale=locale)
    page.set_default_timeout(ANSWER_MS_MAX)
    problems: list[str] = []

    def read(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(words in message.text for words in forgiven):
            problems.append(message.text)

    def fetched(request: Request) -> None:
        if not request.url.startswith(origin):
            problems.append(request.url)

    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", read)
    page.on("request", fetched)
    await page.add_init_script(_WATCH_SHIFTS)
    yield page
    await page.close()
    assert not problems, problems


async def layout_shift(page: Page) -> float:
    """How much it moved by itself since it was loaded."""
    return float(await page.evaluate("window.shifts"))


async def picture(page: Page, name: str) -> None:
    """For the README, where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")
