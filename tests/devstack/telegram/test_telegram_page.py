"""The chat page in a real browser, with a real bot behind it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect
from telegram import Bot, BotCommand, ForceReply, InlineKeyboardButton, InlineKeyboardMarkup, ReplyParameters

from devstack.telegram.control import TelegramControl
from devstack.telegram.demo import BOB_ID, CAROL_ID
from devstack.telegram.process import TelegramProcess
from tests.devstack.telegram.conftest import make_bot
from tests.harness.browser import LAYOUT_SHIFT_MAX, chromium, layout_shift, needs_chromium, watched_page

# One event loop for the module, so that the browser is started once.
pytestmark = [
    needs_chromium,
    pytest.mark.asyncio(loop_scope="module"),
]

KEYBOARD = InlineKeyboardMarkup(
    [
        [
            InlineKeyboardButton("Confirm", callback_data="yes"),
            InlineKeyboardButton("Why?", callback_data="why"),
        ]
    ]
)


@pytest_asyncio.fixture(loop_scope="module")
async def control(telegram_process: TelegramProcess) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(telegram_process.url) as control:
        await control.reset(bot_settings=True)
        yield control


@pytest_asyncio.fixture(loop_scope="module")
async def bot(telegram_process: TelegramProcess, control: TelegramControl) -> AsyncIterator[Bot]:
    async with make_bot(telegram_process) as bot:
        yield bot


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, control: TelegramControl) -> AsyncIterator[Page]:
    async with watched_page(browser, control.url, forgiven=["409"]) as page:
        yield page


class DemoBot:
    """Answers as a small bot would, until the test ends."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    async def run(self) -> None:
        offset = 0
        while True:
            for update in await self._bot.get_updates(offset=offset, timeout=20):
                offset = update.update_id + 1
                if update.callback_query is not None and update.callback_query.data == "why":
                    await update.callback_query.answer("Because it cannot be undone.", show_alert=True)
                elif update.callback_query is not None:
                    await update.callback_query.answer("Sent")
                    await update.callback_query.edit_message_text("<b>Sent</b> 5.50", parse_mode="HTML")
                elif update.message is not None and update.message.text == "/send":
                    await update.message.reply_text("Send 5.50?", reply_markup=KEYBOARD)
                elif update.message is not None:
                    await update.message.reply_text(f"You said: {update.message.text}")


@pytest_asyncio.fixture(loop_scope="module")
async def answering(bot: Bot) -> AsyncIterator[None]:
    await bot.set_my_commands([BotCommand("start", "Begin"), BotCommand("send", "Send credits")])
    running = asyncio.create_task(DemoBot(bot).run())
    yield
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_nothing_is_lost_that_is_written_while_the_page_loads(
    page: Page, control: TelegramControl
) -> None:
    """The field waits until it is known who writes, and where."""
    address, field = f"{control.url}/#user={BOB_ID}", page.get_by_test_id("text")
    await page.goto(address)
    await page.get_by_test_id("start").click()
    await page.goto("about:blank")
    held: asyncio.Future[Route] = asyncio.get_running_loop().create_future()
    await page.route("**/users", lambda route: held.set_result(route))
    await page.goto(address)
    route = await held
    await expect(field).to_be_disabled()
    await route.continue_()
    await field.fill("hello")
    await page.get_by_test_id("send").click()
    await expect(page.get_by_test_id("message-text").last).to_have_text("hello")


@pytest.mark.usefixtures("answering")
async def test_a_person_starts_the_bot_writes_and_presses(page: Page, control: TelegramControl) -> None:
    await page.goto(f"{control.url}/#user={BOB_ID}")
    await page.get_by_test_id("start").click()
    messages = page.get_by_test_id("message-text")
    await expect(messages).to_have_text(["/start", "You said: /start"])
    field = page.get_by_test_id("text")
    await field.fill("/se")
    await expect(page.get_by_test_id("suggestion-start")).to_have_count(0)
    await field.press("ArrowDown")
    await field.press("Enter")
    await page.get_by_test_id("inline-button").filter(has_text="Why?").click()
    await expect(page.get_by_test_id("alert-text")).to_have_text("Because it cannot be undone.")
    await page.get_by_test_id("alert-ok").click()
    await page.get_by_test_id("inline-button").filter(has_text="Confirm").click()
    await expect(page.get_by_test_id("toast")).to_have_text("Sent")
    await expect(messages.last).to_have_text("Sent 5.50")
    await expect(messages.last.locator("b")).to_have_text("Sent")
    await expect(messages).to_have_count(4)
    await expect(page.get_by_test_id("inline-button")).to_have_count(0)
    assert await layout_shift(page) < LAYOUT_SHIFT_MAX


async def test_nothing_in_a_message_becomes_markup(page: Page, control: TelegramControl, bot: Bot) -> None:
    evil = "<img src=x onerror=alert(1)> <script>alert(2)</script>"
    await control.send_text(BOB_ID, evil)
    await bot.send_message(
        BOB_ID, '<a href="javascript:alert(3)">a</a> <code>1 &lt; 2</code> <s>x</s>', parse_mode="HTML"
    )
    await page.goto(f"{control.url}/#user={BOB_ID}")
    texts = page.get_by_test_id("message-text")
    await expect(texts).to_have_text([evil, "a 1 < 2 x"])
    await expect(page.locator("#messages :is(img, script, a)")).to_have_count(0)
    await expect(texts.last.locator("code")).to_have_text("1 < 2")


async def test_who_reads_the_end_stays_there_and_who_reads_above_is_not_moved(
    page: Page, control: TelegramControl, bot: Bot
) -> None:
    for number in range(40):
        await control.send_text(BOB_ID, f"line {number}")
    await page.goto(f"{control.url}/#user={BOB_ID}")
    await bot.send_message(BOB_ID, "at the end")
    await expect(page.get_by_test_id("message").last).to_be_in_viewport()
    await page.locator("#scroller").evaluate("scroller => { scroller.scrollTop = 0; }")
    await expect(page.get_by_text("line 0", exact=True)).to_be_in_viewport()
    await page.wait_for_function("document.getElementById('scroller').scrollTop === 0")
    await bot.send_message(BOB_ID, "unseen")
    await expect(page.get_by_test_id("newer")).to_be_visible()
    await expect(page.get_by_text("line 0", exact=True)).to_be_in_viewport()
    await page.get_by_test_id("newer").click()
    await expect(page.get_by_text("unseen", exact=True)).to_be_in_viewport()


async def test_typing_and_deletion_are_shown(page: Page, control: TelegramControl, bot: Bot) -> None:
    await control.send_text(BOB_ID, "/start")
    await page.goto(f"{control.url}/#user={BOB_ID}")
    await expect(page.get_by_test_id("status")).to_contain_text("as Bob")
    await bot.send_chat_action(BOB_ID, "typing")
    await expect(page.get_by_test_id("status")).to_have_text("typing…")
    sent = await bot.send_message(BOB_ID, "soon gone")
    await expect(page.get_by_text("soon gone")).to_be_visible()
    await sent.delete()
    await expect(page.get_by_text("soon gone")).to_have_count(0)


async def test_a_new_person_is_made_and_chosen(page: Page, control: TelegramControl) -> None:
    await page.goto(control.url)
    await expect(page.get_by_test_id("person-1001")).to_contain_text("admin")
    await page.get_by_test_id("new-person").click()
    await page.get_by_test_id("person-first-name").fill("Dora")
    await page.get_by_test_id("person-username").fill("bob")
    await page.get_by_test_id("person-create").click()
    await expect(page.locator("#person-error")).to_contain_text("the username bob belongs to user")
    await page.get_by_test_id("person-username").fill("dora")
    await page.get_by_test_id("person-create").click()
    await expect(page.locator("#people [aria-current=true]")).to_contain_text("Dora")
    await expect(page.get_by_test_id("start")).to_be_visible()
    assert "dora" in [user.username for user in await control.users()]


async def test_the_page_fits_a_phone(page: Page, control: TelegramControl, bot: Bot) -> None:
    await page.set_viewport_size({"width": 360, "height": 640})
    await control.send_text(BOB_ID, "/start")
    await bot.send_message(BOB_ID, "x" * 300, reply_markup=KEYBOARD)
    await page.goto(f"{control.url}/#user={BOB_ID}")
    await expect(page.get_by_test_id("message")).to_have_count(2)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    await expect(page.get_by_test_id("person-1001")).not_to_be_in_viewport()
    await page.get_by_label("Choose who to act as").click()
    await page.get_by_test_id("person-1001").click()
    await expect(page.get_by_test_id("status")).to_contain_text("as Ada Admin")
    await expect(page.locator("#sidebar")).not_to_have_class(re.compile("open"))


async def test_the_page_names_no_outside_address() -> None:
    static = Path(__file__).parents[3] / "devstack" / "telegram" / "static"
    for file in static.iterdir():
        outside = set(re.findall(r"https?://[^\s\"'`)]+", file.read_text())) - {"http://www.w3.org/2000/svg"}
        assert outside == set(), file.name


async def test_a_question_is_replied_to_by_whom_it_asks_alone(
    page: Page, bot: Bot, control: TelegramControl
) -> None:
    group = (await control.create_group("Team", [BOB_ID, CAROL_ID], supergroup=True)).id
    topic = await control.create_topic(group, BOB_ID, "Bills")
    command = (await control.send_text(BOB_ID, "/send", chat_id=group, thread_id=topic)).message
    question = await bot.send_message(
        group,
        "Whom?",
        reply_markup=ForceReply(selective=True),
        reply_parameters=ReplyParameters(command.message_id),
    )
    await page.goto(f"{control.url}/#user={CAROL_ID}&chat={group}&topic={topic}")
    await expect(page.get_by_test_id("message").filter(has_text="Whom?")).to_be_visible()
    await expect(page.get_by_test_id("reply")).to_be_hidden()
    await page.goto("about:blank")
    await page.goto(f"{control.url}/#user={BOB_ID}&chat={group}&topic={topic}")
    await expect(page.get_by_test_id("reply")).to_contain_text("Whom?")
    await page.get_by_test_id("text").fill("@carol")
    await page.get_by_test_id("send").click()
    answer = await control.wait_for_message(group, lambda seen: seen.text == "@carol", from_bot=False)
    assert answer.message["reply_to_message"]["message_id"] == question.message_id
    assert answer.message["message_thread_id"] == topic
    await expect(page.get_by_test_id("reply")).to_be_hidden()


async def test_a_link_to_the_bot_opens_its_chat_on_the_page(
    page: Page, bot: Bot, control: TelegramControl
) -> None:
    ann = (await control.create_user("Ann")).id
    group = (await control.create_group("Team", [ann])).id
    link = InlineKeyboardButton("Start it", url="https://t.me/ballast_local_bot?start=balance")
    await bot.send_message(group, "Press the button", reply_markup=InlineKeyboardMarkup([[link]]))
    await page.goto(f"{control.url}/#user={ann}&chat={group}")
    await page.get_by_test_id("inline-button").click()
    await page.get_by_test_id("start").click()
    await control.wait_for_message(ann, lambda seen: seen.text == "/start balance", from_bot=False)


async def test_on_a_phone_the_menu_and_the_page_have_their_names(
    page: Page, bot: Bot, control: TelegramControl
) -> None:
    await control.send_text(BOB_ID, "/start")
    await bot.set_my_commands([BotCommand("balance", "Show it")])
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.goto(f"{control.url}/#user={BOB_ID}")
    await expect(page.get_by_role("button", name="Menu", exact=True)).to_be_visible()
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
