"""The operators' day on the running bot: from the page on a phone, and from the shell."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, ViewportSize, expect

from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.shared_stack import OPS_TOKEN, TREASURER_ID
from tests.harness.browser import chromium, needs_chromium, watched_page
from tests.harness.people import ANSWER_SECONDS_MAX, all_settled, assert_audit_passes, balances, register, say

pytestmark = [needs_chromium, pytest.mark.timeout(400)]

PHONE: ViewportSize = {"width": 390, "height": 844}
PATIENCE_MS = 90_000


@asynccontextmanager
async def signed_in(stack: Stack, token: str = OPS_TOKEN) -> AsyncIterator[Page]:
    """The status page on a phone."""
    url = f"http://127.0.0.1:{stack.ops_port}"
    expect.set_options(timeout=PATIENCE_MS)
    async with (
        chromium() as browser,
        watched_page(browser, url, viewport=PHONE, timeout_ms=PATIENCE_MS, forgiven=("401",)) as page,
    ):
        await page.goto(url)
        await page.get_by_label("Operator token").fill(token)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("body")).to_have_attribute("data-ready", "yes")
        yield page


def says(words: str, message: SeenMessage) -> bool:
    return words in message.text


async def assert_reads_well(page: Page) -> None:
    found = (await Axe().run(page)).response["violations"]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
    width = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, "nothing is wider than the window"


@pytest.fixture
async def treasurer(stack: Stack, telegram: TelegramControl) -> str:
    """The code by which a treasurer signs in to the page."""
    if TREASURER_ID not in {user.id for user in await telegram.users()}:
        await telegram.create_user("Theo", user_id=TREASURER_ID, username="theo_of_the_till", started=True)
    code = (await say(telegram, TREASURER_ID, "/signin")).text
    return code.partition(" is ")[2].partition(".")[0]


async def test_a_credit_above_a_limit_waits_on_an_owners_page_and_is_approved_or_declined_there(
    stack: Stack, telegram: TelegramControl, treasurer: str
) -> None:
    (ann,) = await register(telegram, "Ann")
    reason = "order \u202e17"
    async with signed_in(stack, treasurer) as page:
        for act, amount in (("Credit", "2000000"), ("Debit", "3000000")):
            await page.goto(f"http://127.0.0.1:{stack.ops_port}/#user={ann}")
            await page.get_by_role("button", name=act, exact=True).click()
            await page.get_by_label("Amount").fill(amount)
            await page.get_by_label("Reason").fill(reason)
            await page.get_by_test_id("act-go").click()
            await expect(page.get_by_test_id("toast").last).to_contain_text("waits for an owner")
        await expect(page.locator("#card-approvals")).to_be_hidden()
    async with signed_in(stack) as page:
        approvals = page.get_by_test_id("approval")
        await expect(approvals).to_have_count(2)
        await expect(approvals.last).to_contain_text("+2,000,000.00 CREDIT")
        await expect(page.locator("#card-approvals .card-words")).to_have_text("2 wait for an owner")
        await assert_reads_well(page)
        for approval, verb in ((approvals.last, "Approve"), (approvals.first, "Decline")):
            await approval.get_by_role("button", name=verb).click()
            await expect(page.get_by_test_id("act-words")).to_contain_text(f"telegram:{TREASURER_ID}")
            await expect(page.get_by_test_id("act-words")).not_to_contain_text("\u202e")
            await page.get_by_label("Reason").fill("checked")
            await page.get_by_test_id("act-go").click()
            await expect(page.get_by_test_id("toast").last).to_contain_text(f"{verb}: done.")
        await expect(approvals).to_have_count(0)
    for words in ("Approved by", "Declined by"):
        told = await telegram.wait_for_message(TREASURER_ID, partial(says, words))
        assert "web:operator" in told.text and "“checked”" in told.text
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 200_000_000
    assert_audit_passes(stack)


async def test_a_worker_is_drained_and_resumed_on_the_page_and_the_last_one_is_asked_about(
    stack: Stack, telegram: TelegramControl
) -> None:
    (ann,) = await register(telegram, "Ann", credit="3")
    main = f"main@{socket.gethostname()}"
    async with signed_in(stack) as page:
        await page.locator("#card-workers > summary").click()
        worker = page.get_by_test_id("fleet-worker").filter(has_text=main)
        await expect(worker).to_contain_text("working")
        await expect(page.get_by_test_id("fleet-worker")).to_have_count(2)
        await assert_reads_well(page)
        await worker.get_by_role("button", name="Drain").click()
        dialog = page.get_by_test_id("confirm-dialog")
        await expect(dialog).to_contain_text("the last one?")
        await expect(dialog).to_contain_text("balances, transactions, users")
        await page.get_by_test_id("confirm-go").click()
        await expect(worker).to_contain_text("nothing is left that it had")
        asked = await telegram.send_text(ann, "/balance")
        await expect(page.get_by_test_id("verdict-words")).to_contain_text("no worker takes from there")
        await worker.get_by_role("button", name="Resume").click()
        await page.get_by_test_id("confirm-go").click()
        await expect(worker).to_contain_text("working")
    await telegram.wait_for_message(
        ann, partial(says, "3.00"), after=asked.message.revision, timeout_seconds=ANSWER_SECONDS_MAX
    )
    await all_settled(stack, telegram)
