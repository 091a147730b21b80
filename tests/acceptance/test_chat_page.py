"""The README's story, in a real browser on the local Telegram's chat page, with all of Ballast behind it.

SCREENSHOTS=docs/images makes the README's pictures on the way.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright, expect

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.demo import BOB_ID, CAROL_ID
from devstack.telegram.process import TelegramProcess
from tests.acceptance.people import assert_audit_passes

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ANSWER_MS_MAX = 60_000

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest_asyncio.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = await browser.new_page(viewport={"width": 1100, "height": 720})
        page.set_default_timeout(ANSWER_MS_MAX)
        yield page
        await browser.close()


async def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")


async def test_the_story_of_the_readme(stack: Stack, telegram_server: TelegramProcess, page: Page) -> None:
    expect.set_options(timeout=ANSWER_MS_MAX)
    last = page.get_by_test_id("message-text").last

    async def become(user_id: int) -> None:
        await page.goto("about:blank")
        await page.goto(f"{telegram_server.url}/#user={user_id}")

    async def say(words: str, answer: str) -> None:
        await page.get_by_test_id("text").fill(words)
        await page.get_by_test_id("text").press("Escape")
        await page.get_by_test_id("send").click()
        await expect(last).to_contain_text(answer)

    for user_id, welcome in ((CAROL_ID, "Welcome, Carol!"), (BOB_ID, "Welcome, Bob!")):
        await become(user_id)
        await page.get_by_test_id("start").click()
        await expect(last).to_contain_text(welcome)

    await become(ADMIN_ID)
    await page.get_by_test_id("start").click()
    await say("/credit @bob 20 birthday", "Credited 20.00 CREDIT to Bob (@bob)")

    await become(BOB_ID)
    await say("/send @carol 5,50 for lunch", "Send 5.50 CREDIT to Carol (@carol)?")
    await picture(page, "confirm")
    await page.get_by_test_id("inline-button").filter(has_text="Confirm").click()
    await expect(last).to_contain_text("Sent 5.50 CREDIT to Carol")
    await expect(page.get_by_test_id("inline-button")).to_have_count(0)
    await say("/balance", "Your balance is 14.50 CREDIT")
    await say("/history", "−5.50 CREDIT to Carol (@carol) · for lunch")
    await picture(page, "history")

    await become(CAROL_ID)
    await expect(last).to_contain_text("Bob (@bob) sent you 5.50 CREDIT")
    await say("/balance", "Your balance is 5.50 CREDIT")
    await say("/history", "+5.50 CREDIT from Bob (@bob)")
    assert_audit_passes(stack)
