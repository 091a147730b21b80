"""The README's story, in a real browser on the local Telegram's chat page, with all of Ballast behind it.

SCREENSHOTS=docs/images makes the README's pictures on the way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Page, expect

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.demo import BOB_ID, CAROL_ID
from devstack.telegram.process import TelegramProcess
from tests.harness.browser import chromium, needs_chromium, picture, watched_page
from tests.harness.people import assert_audit_passes

pytestmark = needs_chromium


@pytest_asyncio.fixture
async def page(telegram_server: TelegramProcess) -> AsyncIterator[Page]:
    async with (
        chromium() as browser,
        watched_page(browser, telegram_server.url) as page,
    ):
        yield page


async def test_the_story_of_the_readme(stack: Stack, telegram_server: TelegramProcess, page: Page) -> None:
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
    await say("/credit @bob 20 birthday", "Credit 20.00 CREDIT to “Bob”?")
    await page.get_by_test_id("inline-button").filter(has_text="Confirm").click()
    await expect(last).to_contain_text("Credited 20.00 CREDIT to “Bob” (@bob)")

    await become(BOB_ID)
    await say("/send @carol 5,50 for lunch", "Send 5.50 CREDIT to “Carol”?")
    await picture(page, "confirm")
    await page.get_by_test_id("inline-button").filter(has_text="Confirm").click()
    await expect(last).to_contain_text("Sent 5.50 CREDIT to “Carol”")
    await expect(page.get_by_test_id("inline-button")).to_have_count(0)
    await say("/balance", "Your balance is 14.50 CREDIT")
    await say("/history", "−5.50 CREDIT to “Carol” (@carol) · “for lunch”")
    await picture(page, "history")

    await become(CAROL_ID)
    await expect(last).to_contain_text("“Bob” (@bob) sent you 5.50 CREDIT")
    await say("/balance", "Your balance is 5.50 CREDIT")
    await say("/history", "+5.50 CREDIT from “Bob” (@bob)")
    assert_audit_passes(stack)
