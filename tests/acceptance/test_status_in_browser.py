"""The operators' status page in a real browser, on all of Ballast: well, and with its database, its Redis or its
frontend away.

SCREENSHOTS=docs/images makes the README's pictures on the way.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import redis
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Route, StorageState, ViewportSize, expect
from playwright.async_api import Response as PlaywrightResponse

from ballast.payouts import record as payouts_record
from ballast.reconciling import provider_record
from dbcore.ledger.provider_book import ProviderDifference, ProviderDifferenceKind
from dbcore.ledger.withdrawals import OpenOnes, Stuck, WithdrawalState
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.broadcasts.test_broadcasts import crowd
from tests.harness.browser import (
    DESKTOP,
    LAYOUT_SHIFT_MAX,
    chromium,
    layout_shift,
    needs_chromium,
    picture,
    watched_page,
)
from tests.harness.people import ANSWER_SECONDS_MAX, call, register, say
from tests.harness.servers import Servers, running_servers

# One event loop and one stack for the module; each test leaves the stack as it found it.
pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

OPS_TOKEN = "a token for tests"
LOOKS_MAX = 30
"""A minute after slow answers the page still says so."""
PHONE: ViewportSize = {"width": 360, "height": 740}
ONE_HANDED: ViewportSize = {"width": 390, "height": 844}
NARROW: ViewportSize = {"width": 920, "height": 740}
"""Of four columns the narrowest."""
TABS_MAX = 60
FIRST_PAINT_BYTES_MAX = 200_000
"""Of what goes over the wire."""
CUT_OFF = """() => [...document.querySelectorAll("#signals p")]
  .filter((words) => words.scrollWidth > words.clientWidth || words.scrollHeight > words.clientHeight)
  .map((words) => words.textContent)"""
CROWD = 3000
"""As many as a broadcast takes two minutes for: what is pressed meanwhile comes before its end."""

# What the browser logs by itself where a test turns a request away, or takes the frontend away.
FORGIVEN = (
    "401",
    "409",
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_EMPTY_RESPONSE",
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
)


@dataclass(frozen=True)
class Site:
    stack: Stack
    servers: Servers

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.stack.ops_port}"


@pytest.fixture(scope="module")
def site(servers_folder: Path) -> Iterator[Site]:
    """The whole fleet on servers of its own, which tests may stop, with a probe a second."""
    folder = Path(tempfile.mkdtemp(dir=servers_folder))
    with running_servers(folder, durable=False) as servers, ExitStack() as closing:
        stack = servers.stack(
            OPS_TOKEN=OPS_TOKEN,
            HEALTH_PROBE_SECONDS="1",
            DB_CONNECTION_BUDGET="20",
            PUBLIC_STATUS="true",
        )
        closing.callback(stack.stop_all)
        stack.start("frontend", "main", "light", "bulk", "beat")
        stack.wait_ready(processes=4)
        yield Site(stack, servers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(browser: Browser, site: Site) -> StorageState:
    async with watched_page(browser, site.url, forgiven=FORGIVEN) as page:
        await sign_in(page, site)
        await expect(page.get_by_test_id("verdict-title")).to_have_text("All is well")
        return await page.context.storage_state()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, site: Site, session: StorageState) -> AsyncIterator[Page]:
    """Signed in, with all well, and never loaded again: at the end it has not moved by itself."""
    async with watched_page(
        browser,
        site.url,
        viewport={"width": 1280, "height": 800},
        signed_in=session,
        forgiven=FORGIVEN,
    ) as page:
        await page.goto(site.url)
        await expect(page.get_by_test_id("verdict-title")).to_have_text("All is well")
        await page.evaluate("window.isTheSame = true")
        yield page
        assert await page.evaluate("window.isTheSame"), "the page was loaded again"
        assert await layout_shift(page) < LAYOUT_SHIFT_MAX


async def sign_in(page: Page, site: Site, token: str = OPS_TOKEN) -> None:
    await page.goto(site.url)
    await page.get_by_label("Operator token").fill(token)
    await page.get_by_label("Your name").fill("on call")
    await page.get_by_role("button", name="Sign in").click()


async def age_seconds(page: Page) -> int:
    """Of the figures, as the page says it; for less than an hour."""
    words = await page.get_by_test_id("freshness").inner_text()
    if words == "As of just now":
        return 0
    found = re.fullmatch(r"As of (?:(\d+) min )?(\d+) s ago", words)
    assert found, words
    return int(found[1] or 0) * 60 + int(found[2])


async def open_card(page: Page, name: str) -> None:
    """Unless it is open, for it is in trouble."""
    # It may open by itself while it is pressed, and then the press folds it.
    while await page.locator(f"#card-{name}").get_attribute("open") is None:
        await page.locator(f"#card-{name} > summary").click()


async def drawn_anew(page: Page, summary: re.Pattern[str]) -> None:
    """Until the chart has all probes: it asks for them when somebody comes back to the page."""
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.get_by_test_id("probes-summary")).to_have_text(summary)


async def assert_reads_well(page: Page) -> None:
    """What axe finds: contrast, names, order and roles, by WCAG and beyond."""
    found = (await Axe().run(page)).response["violations"]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


async def test_the_page_says_that_all_is_well_with_the_figures_as_they_are(page: Page, site: Site) -> None:
    async with TelegramControl(site.servers.telegram.url) as telegram:
        await register(telegram, "Alice", "Dora", credit="20")
    version = site.stack.query("SHOW server_version")[0][0].split()[0]
    await expect(page.get_by_test_id("server-version")).to_contain_text(version)
    await expect(page.get_by_test_id("signal-database")).to_contain_text("Answers")
    await expect(page.get_by_test_id("signal-redis")).to_contain_text("Answers")
    await expect(page.get_by_test_id("signal-workers")).to_contain_text("4 processes")
    await expect(page.get_by_test_id("signal-failed-jobs")).to_contain_text("None")
    await expect(page.get_by_test_id("worker").filter(has_text="light")).to_have_count(1)
    await expect(page.get_by_test_id("inbox-size")).to_have_text("0")
    await expect(page.get_by_test_id("connections-words")).to_contain_text("the budget is 20")
    await expect(page.get_by_test_id("breaker-state")).to_contain_text("Closed")
    await expect(page.get_by_test_id("probes-summary")).to_contain_text("none failed")
    # Six commands and more were taken just now.
    await expect(page.get_by_test_id("commands-rate")).to_have_text(re.compile(r"^[1-9]\d*$"))
    assert await age_seconds(page) < ANSWER_SECONDS_MAX


async def test_while_the_database_is_away_the_page_says_so_and_recovers_by_itself(
    page: Page, site: Site
) -> None:
    site.servers.postgres.stop()
    try:
        await expect(page.get_by_test_id("verdict-title")).to_have_text("The database is unavailable")
        await expect(page.get_by_test_id("verdict-words")).to_contain_text("nothing is lost")
        async with TelegramControl(site.servers.telegram.url) as telegram:
            for amount in ("1", "2", "3"):
                await telegram.send_text(ADMIN_ID, f"/credit @alice {amount}")
        await expect(page.get_by_test_id("signal-jobs")).to_contain_text("3 waiting")
        await expect(page.get_by_test_id("breaker-state")).to_contain_text("Open")
        await expect(page.get_by_test_id("breaker-reason")).to_have_text("outage")
        await expect(page.get_by_test_id("signal-database")).to_contain_text("No answer")
        await expect(page.get_by_test_id("signal-database")).not_to_contain_text("ms")
        await expect(page.locator("#outages li").first).to_contain_text("so far")
        # What is of the database alone says how old it has become.
        await expect(page.locator("#letters-age")).to_have_text(re.compile(r"^\d+ s ago|min"))
        await expect(page.get_by_test_id("server-version")).not_to_have_text("unknown")
        await expect(page.get_by_test_id("alarms")).to_contain_text("database calls are blocked")
        await expect(page.get_by_test_id("probes-summary")).to_contain_text("failed, the last")
        await drawn_anew(page, re.compile(r"([5-9]|\d\d) failed"))
        await picture(page, "status-outage")
    finally:
        site.servers.postgres.start()
    await expect(page.get_by_test_id("verdict-title")).to_have_text("All is well")
    await expect(page.get_by_test_id("signal-jobs")).to_contain_text("None waiting")
    await expect(page.get_by_test_id("breaker-state")).to_contain_text("Closed")
    newest = page.locator("#outages li").first
    await expect(newest).to_contain_text(re.compile(r"Outage, \d+ s"))
    await expect(newest).to_contain_text(re.compile(r"3 jobs waited, the longest \d+ s\. \d+ probes? failed"))
    await expect(page.get_by_test_id("probes-summary")).to_contain_text("The breaker's own probes failed")
    await expect(page.get_by_test_id("alarms")).to_have_text("No active alarms.")
    await expect(page.get_by_test_id("signal-database")).to_contain_text("ms, probed")
    await drawn_anew(page, re.compile(r"failed, the last .*\d s ago"))
    await picture(page, "status")


async def test_withdrawals_that_are_stuck_and_payments_that_differ_are_cards_in_trouble(
    page: Page, site: Site
) -> None:
    stuck = Stuck(17, "token", WithdrawalState.PAYING, 550, "CREDIT", "crypto_pay", 2, 1_200.0)
    counted = {"held": 3, "approved": 0, "paying": 1}
    difference = ProviderDifference(
        *(ProviderDifferenceKind.NOT_AS_ASKED, "pi_7", 1, 0, None, None, "USD", 7, None, None, False, None)
    )
    with redis.Redis.from_url(site.stack.env["REDIS_URL"]) as client:

        async def known() -> None:
            """The workers know better, and say so each minute."""
            while True:
                payouts_record.keep(client, OpenOnes(is_stopped=True, counted=counted, stuck=(stuck,)))
                provider_record.keep(client, "stripe", None, [difference])
                await asyncio.sleep(0.2)

        told = asyncio.create_task(known())
        try:
            words = page.get_by_test_id("payouts-words")
            await expect(words).to_contain_text("Payouts are stopped. 3 withdrawals wait for approval")
            await expect(page.locator("#payouts")).to_contain_text("Withdrawal 17 of 5.50 CREDIT")
            await expect(page.locator("#payouts")).to_contain_text("does not say whether it is paid")
            await expect(page.get_by_test_id("providers-words")).to_contain_text("1 difference is open")
            await expect(page.locator("#providers")).to_contain_text("not what its checkout asked for: ")
            await assert_reads_well(page)
        finally:
            told.cancel()
            client.delete(payouts_record.KEY, provider_record.KEY)
    await expect(page.locator("#card-payouts")).to_be_hidden()
    await expect(page.locator("#card-providers")).to_be_hidden()


async def test_the_story_of_an_outage_is_read_at_a_glance_and_taken_along_as_a_file(page: Page) -> None:
    """Of the one of the test before: three jobs waited, and were done since."""
    await expect(page.get_by_test_id("outages-uptime")).to_contain_text(
        re.compile(r"last 24 hours \d\d\.\d\d%")
    )
    await expect(page.locator("#chart-slow")).to_have_text("slow from 3,000 ms")
    await open_card(page, "outages")
    await page.get_by_role("link", name="All outages, with a report").click()
    row = page.get_by_test_id("outage").first
    for width in (1280, 390):
        await page.set_viewport_size({"width": width, "height": 800})
        await expect(row).to_contain_text(re.compile(r"Outage, \d+ s"))
        await expect(row).to_contain_text(
            re.compile(r"The first call failed at [\d:]+\. After [\d.]+ s the breaker blocked all calls\.")
        )
        await expect(row).to_contain_text(re.compile(r"\d+ probes? failed until one was answered\."))
        await expect(row).to_contain_text("3 jobs waited, the longest")
        await expect(row).to_contain_text(
            re.compile(r"The last of these jobs was finished at [\d:]+, [\d.]+ s after the end\.")
        )
        await expect(page.get_by_test_id("uptimes")).to_contain_text("Last 30 days")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await assert_reads_well(page)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download CSV").click()
    lines = (await (await downloading.value).path()).read_text().splitlines()
    assert [line.count("outage,") for line in lines] == [0, 1]
    await page.get_by_role("link", name="Status").click()
    await expect(page.get_by_test_id("verdict-title")).to_have_text("All is well")
    await page.evaluate("window.isTheSame = true")


async def test_everybody_may_see_whether_the_bot_works(browser: Browser, site: Site) -> None:
    async with watched_page(browser, site.url, forgiven=FORGIVEN) as page:
        await page.goto(f"{site.url}/status-page")
        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 800})
            await expect(page.get_by_test_id("service-title")).to_have_text("The bot is working")
            await expect(page.get_by_test_id("service-uptime")).to_contain_text(
                re.compile(r"Last (?:minute|\d+ minutes)\s*\d\d\.\d\d%")
            )
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            await assert_reads_well(page)


async def test_while_redis_is_away_the_page_keeps_what_it_saw_and_says_how_old_it_is(
    page: Page, site: Site
) -> None:
    workers = await page.get_by_test_id("worker").count()
    site.servers.redis.stop()
    try:
        await expect(page.get_by_test_id("verdict-title")).to_have_text("Redis does not answer")
        await expect(page.get_by_test_id("freshness")).to_have_text(re.compile(r"([4-9]|\d\d+) s ago"))
        await expect(page.get_by_test_id("worker")).to_have_count(workers)
        await expect(page.get_by_test_id("server-version")).not_to_have_text("unknown")
    finally:
        site.servers.redis.start()
    await expect(page.get_by_test_id("verdict-title")).to_have_text("All is well")


async def test_when_the_frontend_itself_is_away_the_page_says_so_and_counts_on(
    page: Page, site: Site
) -> None:
    site.stack.kill("frontend")
    await expect(page.get_by_test_id("verdict-title")).to_have_text("The frontend does not answer this page")
    await expect(page.get_by_test_id("contact")).to_have_text("Not connected")
    await expect(page.get_by_test_id("worker")).not_to_have_count(0)
    await expect(page.get_by_test_id("freshness")).to_have_text(re.compile(r"([3-9]|\d\d+) s ago"))
    site.stack.start("frontend")
    await expect(page.get_by_test_id("verdict-title")).to_have_text("All is well")
    await expect(page.get_by_test_id("contact")).to_have_text("Live")


async def test_a_dead_letter_is_discarded_by_keyboard_alone(page: Page, site: Site) -> None:
    await asyncio.to_thread(call, site.stack, "workers.balances.adjust", {"amount": 100})
    letter = page.get_by_test_id("dead-letter")
    await expect(letter).to_contain_text("expected either telegram_id or username")
    await expect(page.get_by_test_id("verdict-title")).to_have_text("Running, but 1 failed job needs you")
    # Its card is the first now, and open.
    await expect(letter).to_be_visible()
    assert await page.locator(".grid > :first-child").get_attribute("id") == "card-failed"
    reference = await letter.locator(".reference").inner_text()
    focused = page.locator(":focus")
    for _ in range(TABS_MAX):
        await page.keyboard.press("Tab")
        if await focused.get_attribute("aria-label") == f"Discard: {reference}":
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("confirm-dialog")).to_contain_text("closed without being done")
    await expect(focused).to_have_text("Go back")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("toast").first).to_contain_text("Queued.")
    await expect(page.get_by_test_id("confirm-dialog")).to_be_hidden()
    await expect(letter).to_have_count(0)
    await expect(page.get_by_test_id("toast").last).to_have_text(f"Discard {reference}: done.")
    await expect(focused).to_contain_text("Failed jobs")
    await expect(page.locator("#books")).to_contain_text(f"dead_letter.discard {reference}: done")
    assert site.stack.query("SELECT status FROM failed_operations WHERE reference = %s", reference) == [
        ("discarded",)
    ]
    assert site.stack.query("SELECT actor FROM admin_actions WHERE target = %s", reference) == [
        ("web:on call",)
    ]


async def test_a_broadcast_is_paused_resumed_and_cancelled_by_its_buttons(page: Page, site: Site) -> None:
    async with TelegramControl(site.servers.telegram.url) as telegram:
        await crowd(site.stack, telegram, CROWD)
    start = ("broadcast", "start", "--text", "News", "--detach", "--yes")
    started = await asyncio.to_thread(site.stack.command, "workers", *start)
    assert started.returncode == 0, started.stdout + started.stderr
    row = page.get_by_test_id("broadcast")
    status = row.locator("[data-field=status]")
    await expect(status).to_have_text("sending")
    await open_card(page, "broadcasts")

    async def press(button: str, question: str, becomes: str) -> None:
        await row.get_by_role("button", name=button).click()
        await expect(page.get_by_test_id("confirm-dialog")).to_contain_text(question)
        await page.get_by_test_id("confirm-go").click()
        await expect(page.get_by_test_id("toast").filter(has_text="Queued.")).not_to_have_count(0)
        await expect(status).to_have_text(becomes)

    def left_in_hand() -> int:
        query = "SELECT count(*) FROM broadcast_deliveries WHERE status = 'leased'"
        return int(site.stack.query(query)[0][0])

    def sent() -> int:
        return int(site.stack.query("SELECT sent FROM broadcasts")[0][0])

    await press("Pause", "Sending stops within a few seconds", "paused")
    await asyncio.to_thread(site.stack.wait_until, lambda: left_in_hand() == 0, "nothing is being sent")
    sent_by_then = sent()
    await press("Resume", "do not get it again", "sending")
    await asyncio.to_thread(site.stack.wait_until, lambda: sent() > sent_by_then, "it goes on")
    await press("Cancel", "This cannot be undone", "cancelled")
    await expect(row.get_by_role("button")).to_have_count(0)
    assert sent() < CROWD
    assert site.stack.query(
        "SELECT actor, action, outcome FROM admin_actions "
        "WHERE action LIKE 'broadcast.%%' AND actor LIKE 'web:%%' ORDER BY created_at"
    ) == [("web:on call", f"broadcast.{word}", "done") for word in ("pause", "resume", "cancel")]


async def test_what_another_page_forges_is_refused(page: Page, site: Site) -> None:
    order = {"id": "00000000-0000-4000-8000-000000000001", "action": "breaker.open", "target": ""}
    csrf = (await (await page.request.get(f"{site.url}/status.json")).json())["actions"]["csrf"]
    for headers in (
        {},
        {"X-CSRF-Token": "guessed"},
        {"X-CSRF-Token": csrf, "Origin": "https://elsewhere.example"},
    ):
        # With the session's cookie, as a browser would send it along.
        answer = await page.request.post(f"{site.url}/actions", data=order, headers=headers)
        assert answer.status == 403
    await expect(page.get_by_test_id("breaker-state")).to_contain_text("Closed")


async def test_a_double_click_holds_all_calls_back_once_and_the_breaker_decides_again(
    page: Page, site: Site
) -> None:
    await open_card(page, "breaker")
    await order_twice(page, "Pause database access", "Held open by an operator")
    try:
        await expect(page.get_by_test_id("verdict-title")).to_have_text("Paused by on call")
        await expect(page.get_by_test_id("signal-database")).to_contain_text(
            re.compile(r"Paused.*by on call for \d+ s")
        )
        await job_is_found_by_its_reference(page, site)
    finally:
        await order_twice(page, "Automatic", "Closed")
    await expect(page.get_by_test_id("verdict-title")).to_have_text("All is well")
    await expect(page.locator("#books")).to_contain_text("breaker.auto: done")

    def booked() -> list[tuple[str, ...]]:
        return site.stack.query(
            "SELECT action FROM admin_actions WHERE action LIKE 'breaker.%%' ORDER BY created_at"
        )

    await asyncio.to_thread(site.stack.wait_until, lambda: len(booked()) >= 2, "both are in the books")
    assert booked() == [("breaker.open",), ("breaker.auto",)]


async def order_twice(page: Page, button: str, state: str) -> None:
    """By a double click, which is one order."""
    await page.get_by_role("button", name=button).click()
    await page.get_by_test_id("confirm-go").dblclick()
    await expect(page.get_by_test_id("toast").last).to_contain_text("Done.")
    await expect(page.get_by_test_id("breaker-state")).to_contain_text(state)


async def job_is_found_by_its_reference(page: Page, site: Site) -> None:
    """The one that a user was told while it waits. A worker that has not heard of the pause yet may do one more."""
    await open_card(page, "jobs")
    field, found = page.get_by_label("Find a job by its reference"), page.get_by_test_id("lookup-result")
    for _ in range(LOOKS_MAX):
        reference = await reference_of_one_that_waits(site)
        await field.fill(reference.lower())
        await field.press("Enter")
        await expect(found).to_contain_text(reference)
        held = (
            f"{reference}: Held back: it waits for the end of the pause by on call; balances.ask_adjustment"
        )
        if held in await found.inner_text():
            return
        await asyncio.sleep(1)
    await expect(found).to_contain_text(held)


async def reference_of_one_that_waits(site: Site) -> str:
    async with TelegramControl(site.servers.telegram.url) as telegram:
        sent = await telegram.send_text(ADMIN_ID, "/credit @alice 4")
        told = await telegram.wait_for_message(
            ADMIN_ID, lambda message: "(Ref. " in message.text, after=sent.message.revision
        )
    return told.text.partition("(Ref. ")[2][:8]


async def test_an_operator_finds_somebody_and_acts_on_their_account(page: Page, site: Site) -> None:
    async with TelegramControl(site.servers.telegram.url) as telegram:
        nora, otto = await register(telegram, "Nora", "Otto", credit="20")
        act, outcome = page.get_by_test_id("act-dialog"), page.get_by_test_id("act-outcome")
        balance = page.get_by_test_id("person-balance")

        async def order(button: str, words: str, reason: str, amount: str | None = None) -> None:
            await page.get_by_role("button", name=button, exact=True).first.click()
            if amount is not None:
                await page.get_by_label("Amount").fill(amount)
            await page.get_by_label("Reason").fill(reason)
            await expect(page.get_by_test_id("act-words")).to_contain_text(words)
            await page.get_by_test_id("act-go").click()

        await page.keyboard.press("/")
        await page.keyboard.type("nor")
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("people-heading")).to_have_text("Nora")
        await expect(balance).to_have_text("20.00 CREDIT")
        await expect(page.get_by_test_id("movement")).to_have_count(1)
        await order("Credit", "Nora (@nora) gets 5.50 CREDIT. Balance then: 25.50 CREDIT.", "sorry", "5.50")
        await expect(balance).to_have_text("25.50 CREDIT")
        await expect(act).to_be_hidden()
        await telegram.wait_for_message(nora, lambda message: "You were credited 5.50" in message.text)
        await order("Debit", "1,000.00 CREDIT is taken", "too much", "1000")
        await expect(outcome).to_contain_text("Refused: There was not enough money.")
        await page.get_by_role("button", name="Go back").click()
        await page.get_by_test_id("movement").first.get_by_role("button").click()
        await page.get_by_label("Reason").fill("by mistake")
        await expect(page.get_by_test_id("act-words")).to_contain_text(
            "goes back from Nora (@nora) to the house"
        )
        await page.get_by_test_id("act-go").dblclick()
        await expect(balance).to_have_text("20.00 CREDIT")
        await expect(page.get_by_test_id("failure")).to_contain_text("There was not enough money.")

        await page.set_viewport_size(ONE_HANDED)
        assert await page.evaluate("document.documentElement.scrollWidth") <= ONE_HANDED["width"]
        await order("Freeze", "will receive money, and not send any", "taken over")
        await expect(page.get_by_test_id("person-status")).to_contain_text("Frozen")
        await telegram.wait_for_message(nora, lambda message: "Your account was frozen" in message.text)
        for scheme in ("dark", "light"):
            await page.emulate_media(color_scheme=scheme)
            await assert_reads_well(page)
            await picture(page, f"person-{scheme}")
        await page.get_by_role("button", name="Unfreeze").click()
        await expect(page.get_by_test_id("act-go")).to_be_in_viewport()
        await page.get_by_label("Reason").fill("settled")
        await assert_reads_well(page)
        await page.get_by_test_id("act-go").click()
        await expect(page.get_by_test_id("person-status")).to_have_text("Active")
        await page.get_by_role("button", name="Message").click()
        await page.get_by_label("Text").fill("All is settled.")
        await page.get_by_test_id("act-go").click()
        await telegram.wait_for_message(nora, lambda message: "All is settled." in message.text)
        csv = await page.request.get(f"{site.url}/api/v1/users/{nora}/movements.csv")
        assert [line.split(",")[3] for line in (await csv.text()).splitlines()[1:]] == [
            "-5.50",
            "5.50",
            "20.00",
        ]

        # What an act adds to the card moves what is below it, however late the answer comes.
        await page.evaluate("window.shifts = 0")
        # An address of somebody's card, and a name of several.
        await page.evaluate(f"location.hash = '#user={otto}'")
        await expect(page.get_by_test_id("people-heading")).to_have_text("Otto")
        await page.get_by_role("searchbox").fill("o")
        await page.keyboard.press("Enter")
        await expect(page.locator("#people-found li").filter(has_text="Nora")).to_have_count(1)
        await page.get_by_role("button", name="Close").click()
        await expect(page.locator("#signals")).to_be_visible()
    acts = "SELECT actor, action, outcome, reason FROM admin_actions WHERE target = %s ORDER BY id"
    assert site.stack.query(acts, str(nora)) == [
        ("telegram:1001", "user.credit", "done", None),
        ("web:on call", "user.credit", "done", "sorry"),
        ("web:on call", "user.debit", "refused: insufficient_funds", "too much"),
        ("web:on call", "user.freeze", "done", "taken over"),
        ("web:on call", "user.unfreeze", "done", "settled"),
        ("web:on call", "user.message", "done", "All is settled."),
    ]


async def test_users_and_transfers_are_listed_by_filters_and_taken_along_as_a_file(
    page: Page, site: Site
) -> None:
    async with TelegramControl(site.servers.telegram.url) as telegram:
        await register(telegram, "Wanda", credit="1234.50")
        await register(telegram, "Xaver", credit="7")
    rows, words = page.locator("#lists-rows li"), page.locator("#lists-words")
    await page.get_by_role("link", name="Users", exact=True).click()
    await expect(page.get_by_test_id("lists-heading")).to_be_focused()
    await expect(rows.filter(has_text="Xaver")).to_have_count(1)
    await page.get_by_label("Balance from").fill("1000")
    await page.locator("#lists-fields [name=status]").select_option("Active")
    await page.get_by_role("button", name="Filter").click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Wanda (@wanda)")
    await expect(rows).to_contain_text("1,234.50 CREDIT")
    assert page.url.endswith("#users?status=active&balance_min=1000")
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="CSV").click()
    lines = (await (await downloading.value).path()).read_text().splitlines()
    assert len(lines) == 2 and "1234.50" in lines[1]

    await page.set_viewport_size(ONE_HANDED)
    assert await page.evaluate("document.documentElement.scrollWidth") <= ONE_HANDED["width"]
    for scheme in ("dark", "light"):
        await page.emulate_media(color_scheme=scheme)
        await assert_reads_well(page)
    await picture(page, "lists")
    await page.get_by_label("Balance from").fill("much")
    await page.get_by_role("button", name="Filter").click()
    await expect(words).to_have_text("Balance from: expected an amount such as 5.50.")
    await page.get_by_role("link", name="Transfers").click()
    await page.get_by_label("Kind").fill("credit")
    await page.get_by_label("Amount from").fill("1,234.50")
    await page.get_by_role("button", name="Filter").click()
    await expect(words).to_have_text("Amount from: expected an amount such as 5.50.")
    await page.get_by_label("Amount from").fill("1234.50")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.get_by_test_id("transfer")).to_have_count(1)
    await expect(page.get_by_test_id("transfer")).to_contain_text("Credit from the house to Wanda (@wanda)")
    await page.get_by_test_id("transfer").get_by_role("link").click()
    await expect(page.get_by_test_id("people-heading")).to_have_text("Wanda")
    await page.go_back()
    await expect(page.get_by_test_id("transfer")).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(page.locator("#signals")).to_be_visible()


async def test_somebodys_data_is_erased_from_their_card(page: Page, site: Site) -> None:
    async with TelegramControl(site.servers.telegram.url) as telegram:
        (zoe,) = await register(telegram, "Zoe", credit="3")
    await page.evaluate(f"location.hash = '#user={zoe}'")
    await expect(page.get_by_test_id("people-heading")).to_have_text("Zoe")
    await page.get_by_role("button", name="Erase data").click()
    await expect(page.get_by_test_id("act-words")).to_contain_text(
        f"The balance and the movements with their memos are kept under the ID {zoe}"
    )
    await page.get_by_label("Reason").fill("asked by letter")
    await page.get_by_test_id("act-go").click()
    await expect(page.get_by_test_id("people-heading")).to_have_text("(no name)")
    await expect(page.get_by_test_id("toast").last).to_have_text("Erase data: done.")
    await expect(page.get_by_test_id("person-balance")).to_have_text("3.00 CREDIT")
    assert site.stack.query("SELECT username, first_name FROM users WHERE telegram_id = %s", zoe) == [
        (None, "")
    ]


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_the_page_reads_well(page: Page, scheme: str) -> None:
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its words
    await assert_reads_well(page)
    for size in (DESKTOP, ONE_HANDED):
        await page.set_viewport_size(size)
        await page.evaluate("document.querySelectorAll('details').forEach((card) => { card.open = true; })")
        await assert_reads_well(page)
        await picture(page, f"status-{scheme}-{size['width']}")
    await page.get_by_role("button", name="Ignore the breaker").click()
    await assert_reads_well(page)


async def test_an_operator_signs_in_by_the_bots_code_and_searches_what_was_done(
    browser: Browser, site: Site
) -> None:
    async with TelegramControl(site.servers.telegram.url) as telegram:
        answer = await say(telegram, ADMIN_ID, "/signin")
    found = re.search(r"[A-Z2-9]{5}-[A-Z2-9]{5}", answer.text)
    assert found is not None
    async with watched_page(browser, site.url, forgiven=FORGIVEN) as page:
        await sign_in(page, site, found[0])
        await expect(page.locator("#signed-in-as")).to_contain_text(", owner")
        await open_card(page, "actions")
        await page.locator("#audit-query").fill(str(2_000_000_000))
        await page.locator("#audit-search button").click()
        await expect(page.get_by_test_id("audit-words")).to_contain_text("Nothing is found")
        await page.get_by_test_id("sessions-panel").locator("summary").click()
        own = page.get_by_test_id("session").filter(has_text=await page.locator("#signed-in-as").inner_text())
        await expect(own).to_have_count(1)
        await assert_reads_well(page)
        await own.get_by_role("button").click()
        await expect(page.locator("#sessions-words")).not_to_have_text(
            ""
        )  # nobody lists them without a session
        await page.reload()
        await expect(page.get_by_label("Code or operator token")).to_be_visible()


async def test_a_wrong_token_is_told_and_the_right_one_signs_in(browser: Browser, site: Site) -> None:
    async with watched_page(browser, site.url, forgiven=FORGIVEN) as page:
        await sign_in(page, site, "no token")
        await expect(page.get_by_test_id("sign-in-error")).to_have_text(
            "That is neither the operators' token nor a code that is still good."
        )
        await assert_reads_well(page)
        await sign_in(page, site)
        await expect(page.get_by_test_id("verdict-title")).to_have_text("All is well")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Operator token")).to_be_visible()


async def test_the_page_fits_a_phone(page: Page) -> None:
    await page.set_viewport_size(PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    await expect(page.get_by_test_id("verdict-title")).to_be_in_viewport()
    await open_card(page, "breaker")
    await page.get_by_role("button", name="Pause database access").click()
    await expect(page.get_by_test_id("confirm-go")).to_be_in_viewport()
    await page.keyboard.press("Escape")


async def test_a_healthy_card_is_folded_and_a_tile_leads_to_its_card(page: Page, site: Site) -> None:
    for size in (DESKTOP, ONE_HANDED):
        await page.set_viewport_size(size)
        await page.goto(site.url)
        await expect(page.get_by_test_id("signal-workers")).to_be_visible()
        assert await page.locator(".grid > [open][data-state=ok]").count() == 0
        await page.get_by_test_id("signal-workers").click()
        await expect(page.get_by_test_id("worker").first).to_be_in_viewport()
        assert page.url.endswith("#card-workers")
        # A link that somebody was sent.
        await page.goto("about:blank")
        await page.goto(f"{site.url}/#card-breaker")
        await expect(page.get_by_role("button", name="Automatic")).to_be_in_viewport()
        card = page.locator("#card-breaker")
        height = "(card) => card.getBoundingClientRect().height - card.lastElementChild.getBoundingClientRect().bottom"
        assert await card.evaluate(height) < DESKTOP["height"]
    await page.evaluate("window.isTheSame = true")


async def test_the_chart_has_the_outage_the_threshold_and_their_units(page: Page) -> None:
    await open_card(page, "database")
    await expect(page.locator("#chart canvas")).to_be_visible()
    await expect(page.locator("#chart-slow")).to_have_text("slow from 3,000 ms")


async def test_what_somebody_does_is_answered_before_the_frontend_is(page: Page) -> None:
    """By words at the button pressed, within the same task of the browser."""
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.fulfill(status=409, json={"error": "it came before"})

    await page.route("**/actions", hold)
    await open_card(page, "breaker")
    await page.get_by_role("button", name="Automatic").click()
    said = "document.getElementById('confirm-go').click(), document.getElementById('confirm-outcome').textContent"
    assert await page.evaluate(said) == "Asking…"
    await expect(page.get_by_test_id("confirm-dialog")).to_have_attribute("aria-busy", "true")
    held.set()
    await expect(page.get_by_test_id("confirm-outcome")).to_have_text("Refused: it came before")
    await page.keyboard.press("Escape")


async def test_the_first_paint_takes_less_than_200_kb(
    browser: Browser, site: Site, session: StorageState
) -> None:
    sizes: dict[str, int] = {}

    async def measure(response: PlaywrightResponse) -> None:
        if not response.url.endswith("/stream"):
            sizes[response.url] = (await response.request.sizes())["responseBodySize"]

    async with watched_page(browser, site.url, signed_in=session) as page:
        page.on("response", measure)
        await page.goto(site.url)
        await expect(page.get_by_test_id("signal-workers")).to_be_visible()
        told = await (await page.request.get(f"{site.url}/status.json")).body()
    assert sum(sizes.values()) + len(told) < FIRST_PAINT_BYTES_MAX, sizes


async def test_of_the_signals_no_word_is_cut_off(page: Page) -> None:
    for size in (PHONE, NARROW):
        await page.set_viewport_size(size)
        assert await page.evaluate(CUT_OFF) == []


async def test_the_page_names_no_outside_address() -> None:
    static = Path(__file__).parents[2] / "bot_frontend" / "web" / "static"
    for file in static.iterdir():
        if file.is_file():
            outside = set(re.findall(r"https?://[^\s\"'`)]+", file.read_text())) - {
                "http://www.w3.org/2000/svg",
                # What a link looks like.
                "https://…",
                "https://example.org",
            }
            assert outside == set(), file.name
