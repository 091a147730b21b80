"""Broadcasts in a real browser, on all of Ballast: drawn up, seen, tried out, started, watched, paused and compared."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, StorageState, expect

from devstack.stack import ADMIN_ID
from devstack.telegram.control import TelegramControl
from devstack.telegram.images import png
from tests.acceptance.broadcasts.test_broadcasts import crowd
from tests.acceptance.test_status_in_browser import (
    FORGIVEN,
    Site,
    assert_reads_well,
    browser,
    session,
    site,
)
from tests.harness.browser import LAYOUT_SHIFT_MAX, layout_shift, needs_chromium, picture, watched_page

__all__ = ["browser", "session", "site"]

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

WIDTHS = (1280, 390)


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, site: Site, session: StorageState) -> AsyncIterator[Page]:
    """Of an operator whom the bot may write to."""
    async with TelegramControl(site.servers.telegram.url) as telegram:
        await telegram.send_text(ADMIN_ID, "/start")
        await telegram.wait_for_message(ADMIN_ID)
    async with watched_page(
        browser,
        site.url,
        viewport={"width": 1280, "height": 900},
        signed_in=session,
        forgiven=FORGIVEN,
    ) as page:
        yield page


async def fits(page: Page, width: int) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await assert_reads_well(page)


async def agree(page: Page, question: str, outcome: str) -> None:
    await expect(page.get_by_test_id("confirm-dialog")).to_contain_text(question)
    await page.get_by_test_id("confirm-go").click()
    await expect(page.get_by_test_id("confirm-outcome")).to_contain_text(outcome)


async def test_a_broadcast_is_drawn_up_tried_out_started_and_watched(page: Page, site: Site) -> None:
    async with TelegramControl(site.servers.telegram.url) as telegram:
        people = await crowd(site.stack, telegram, 300)
        await page.goto(f"{site.url}/broadcasts")
        await expect(page.locator("#broadcasts-none")).to_have_text("No broadcasts yet.")
        await page.get_by_role("link", name="New").click()
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 900})
            await page.get_by_label("Text", exact=True).fill("<b>News</b> & <i>more</i>")
            await expect(page.get_by_test_id("preview")).to_have_text("News & more")
            await expect(page.get_by_test_id("preview").locator(".look-bold")).to_have_text("News")
            await page.get_by_label("Text", exact=True).fill("<b>News")
            await expect(page.get_by_test_id("wrong")).to_contain_text(
                "is never closed (line 1, character 1)"
            )
            await page.get_by_label("Text", exact=True).fill("<b>News</b> & <i>more</i>")
            await expect(page.get_by_test_id("wrong")).to_have_text("")
            await fits(page, width)
        await page.get_by_text("Buttons", exact=True).click()
        await page.get_by_label("One per line").fill("Look | https://example.org\nLater | later")
        await page.get_by_text("Lists", exact=True).click()
        query = f"SELECT telegram_id FROM ballast.users WHERE telegram_id >= {people.start}"
        await page.get_by_label("Own SQL").fill(query)
        await page.get_by_role("button", name="Count").click()
        await expect(page.get_by_test_id("audience")).to_contain_text("300 people now")
        await page.get_by_role("button", name="Send a test").click()
        await expect(page.get_by_test_id("said")).to_have_text(f"Draft 1 was sent to {ADMIN_ID}.")
        tried = await telegram.wait_for_message(ADMIN_ID, lambda message: message.text == "News & more")
        keyboard = tried.message["reply_markup"]["inline_keyboard"]
        assert [[each.get("url") or each["callback_data"] for each in row] for row in keyboard] == [
            ["https://example.org"],
            ["later"],
        ]
        await telegram.add_fault("bad_request", chat_id=ADMIN_ID, methods=["sendMessage"], count=1)
        await page.get_by_role("button", name="Send a test").click()
        await expect(page.get_by_test_id("said")).to_contain_text(f"Draft 1 could not be sent to {ADMIN_ID}:")
        await picture(page, "broadcast-new")
        await page.get_by_role("button", name="Start…").click()
        await agree(page, "Send it to 300 people?", "Done. Broadcast 1 is sending.")
        await page.wait_for_url(f"{site.url}/broadcasts")
        row = page.get_by_test_id("broadcast")
        await expect(row).to_contain_text("News & more")
        await expect(row.locator("[data-field=status]")).to_have_text("sending")
        await row.get_by_role("button", name="Pause").click()
        await agree(page, "Pause broadcast 1?", "Done. Broadcast 1 is paused.")
        await page.get_by_test_id("confirm-leave").click()
        await expect(row.locator("[data-field=status]")).to_have_text("paused")
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 900})
            await fits(page, width)
        await picture(page, "broadcasts")
        await row.get_by_role("button", name="Resume").click()
        await agree(page, "do not get it again", "Done. Broadcast 1 is sending.")
        await page.get_by_test_id("confirm-leave").click()
        await expect(row.locator("[data-field=status]")).to_have_text("finished")
        await expect(row).to_contain_text("300 of 300 sent")
        assert await layout_shift(page) < LAYOUT_SHIFT_MAX
        async with page.expect_download() as downloading:
            await row.get_by_role("link", name="Report").click()
        lines = (await (await downloading.value).path()).read_text().splitlines()
        assert (lines[0], len(lines)) == ("telegram_id,status,error,sent_at", 301)
    acts = [action for (action,) in site.stack.query("SELECT action FROM admin_actions ORDER BY id")]
    assert acts == [f"broadcast.{act}" for act in ("create", "test", "test", "start", "pause", "resume")]


async def test_what_the_form_says_wrong_is_told_by_its_own_labels(
    browser: Browser, site: Site, session: StorageState
) -> None:
    forgiven = (*FORGIVEN, "422")
    async with watched_page(browser, site.url, signed_in=session, forgiven=forgiven) as page:
        await page.goto(f"{site.url}/broadcasts/new")
        form, wrong, audience = (
            page.locator("#compose"),
            page.get_by_test_id("wrong"),
            page.get_by_test_id("audience"),
        )
        await page.get_by_label("Text", exact=True).fill("News")
        await page.get_by_role("button", name="Count").click()
        await expect(audience).to_contain_text("now, about")
        await form.locator("[name=language]").fill("Deutsch, bitte")
        await expect(audience).to_have_text("")
        await expect(wrong).to_have_text("Refused: Language: expected a language code such as de or pt-br")
        await form.locator("[name=language]").fill("")
        await form.locator("[name=active_days]").fill("0")
        await expect(wrong).to_have_text("Refused: Seen within: expected at least 1")
        await form.locator("[name=active_days]").fill("")
        await form.locator("[name=quiet_begin]").fill("22:00")
        await expect(wrong).to_have_text("Quiet: write both times.")
        await form.locator("[name=quiet_begin]").fill("")
        await form.locator("summary", has_text="Media").click()
        await form.locator("[name=file_id]").fill("AgAC")
        await expect(wrong).to_have_text("Media: choose its kind.")
        await form.locator("[name=file_id]").fill("")
        await expect(wrong).to_have_text("")


async def test_two_texts_are_compared_and_a_canary_waits_for_a_word(page: Page, site: Site) -> None:
    async with TelegramControl(site.servers.telegram.url) as telegram:
        people = await crowd(site.stack, telegram, 60)
        await page.goto(f"{site.url}/broadcasts/new")
        await page.get_by_label("Text", exact=True).fill("First wording")
        await page.get_by_text("Another text").click()
        await page.get_by_label("Every second person gets").fill("Second wording")
        await page.get_by_text("Lists", exact=True).click()
        await page.get_by_label("Telegram IDs", exact=True).fill(" ".join(map(str, people)))
        await page.get_by_label("The first").fill("10")
        await page.get_by_label("counted in").select_option("percent")
        await page.locator("[name=canary_then]").select_option("wait for me")
        await page.get_by_role("button", name="Start…").click()
        await agree(page, "Send it to 60 people?", "is sending")
        await page.wait_for_url(f"{site.url}/broadcasts")
        row = page.get_by_test_id("broadcast").first
        await expect(row).to_contain_text("the first 6 are done, 0 of them not delivered")
        await expect(row).to_contain_text("6 of 60 sent")
        await row.get_by_role("button", name="Resume").click()
        await agree(page, "6 of 60 have received it", "is sending")
        await page.get_by_test_id("confirm-leave").click()
        await expect(row.locator("[data-field=status]")).to_have_text("finished")
        await row.get_by_role("button", name="Compare the texts").click()
        await expect(row).to_contain_text(re.compile(r"A “First wording”: (\d+) of \1 sent"))
        await expect(row).to_contain_text(re.compile(r"B “Second wording”: (\d+) of \1 sent"))
        said = {(await telegram.wait_for_message(telegram_id)).text for telegram_id in people}
        assert said == {"First wording", "Second wording"}


async def test_a_file_is_sent_to_telegram_once_and_by_its_name_to_everybody(page: Page, site: Site) -> None:
    async with TelegramControl(site.servers.telegram.url) as telegram:
        (someone,) = await crowd(site.stack, telegram, 1)

        async def late(route: Route) -> None:
            """So the file is chosen before the page knows to whom the bot can send it."""
            await asyncio.sleep(2)
            await route.continue_()

        await page.route("**/api/v1/broadcasts/options", late)
        await page.goto(f"{site.url}/broadcasts/new")
        await page.get_by_text("Media", exact=True).click()
        image = {"name": "news.png", "mimeType": "image/png", "buffer": png(40, 30)}
        await page.get_by_label("Or a file").set_input_files(image)  # type: ignore[arg-type]  # a TypedDict of its own
        await expect(page.get_by_test_id("said")).to_have_text("Telegram has the file.")
        await expect(page.get_by_label("file_id")).to_have_value(re.compile(r"^\S+$"))
        await page.get_by_label("Text", exact=True).fill("<b>Below</b> a picture")
        await page.get_by_text("Lists", exact=True).click()
        await page.get_by_label("Telegram IDs", exact=True).fill(str(someone))
        await page.get_by_role("button", name="Start…").click()
        await agree(page, "Send it to 1 person?", "Done.")
        arrived = await telegram.wait_for_message(someone, lambda message: "photo" in message.message)
        assert arrived.message["caption"] == "Below a picture"
