"""What the page asks an operator before it acts, and how it writes amounts, in other languages."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import get_args

import pytest
from playwright.async_api import Browser, Page, expect

from ballast.builtin.status import OperatorAction
from ballast.people import orders
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users
from dbcore.ledger.users import Profile, UserRef
from dbcore.people.acts import Act
from dbcore.roles import Role
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.test_page import OPS_TOKEN
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.browser import needs_chromium, watched_page
from tests.harness.queueing import Queueing
from tests.texts import pseudo

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="module")]

CAROL, BOB = 2002, 3003
DATA = frozenset({"Carol", "carol", "Bob", "bob", "CREDIT", "CSV", "balances", "lost"})
"""Of people, and what they wrote."""

ASK = """([action, target, about]) => {
  const button = document.body.appendChild(document.createElement("button"));
  Object.assign(button.dataset, { action, target, about });
  button.click();
  button.remove();
}"""
ROLES = """async (roles) => {
  const { whoWithRole } = await import("/static/roles.js");
  return [...roles, null].map((role) => whoWithRole("Bob", role));
}"""
AMOUNTS = """async () => {
  const { amount, balance, signed, plainAmount } = await import("/static/money.js");
  return [amount(123456750), balance(-123456750), signed(5), amount(7, "OLD"), plainAmount(123456750)];
}"""


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str, database_url: str) -> Settings:
    return make_settings(
        redis_url=redis_url,
        database_url=database_url,
        telegram_bot_token=TOKEN,
        ops_token=OPS_TOKEN,
        db_deadline_seconds=30,
    )


@asynccontextmanager
async def signed_in(
    browser: Browser, settings: Settings, queueing: Queueing, locale: str
) -> AsyncIterator[tuple[Page, str]]:
    """The status page of a browser in this language, and where it is."""
    async with (
        serving(settings, queueing) as url,
        watched_page(browser, url, locale=locale, forgiven=("401", "404", "409", "422")) as page,
    ):
        await page.goto(url)
        await page.locator("[name=token]").fill(OPS_TOKEN)
        await page.locator("button").click()
        await expect(page.locator("body")).to_have_attribute("data-ready", "yes")
        yield page, url


async def assert_translated(page: Page, selector: str) -> None:
    said = await page.locator(selector).inner_text()
    assert "⟦" in said and not {*pseudo.plain_words(said)} - DATA, said


async def test_every_question_about_the_fleet_is_asked_in_the_operators_language(
    browser: Browser, settings: Settings, queueing: Queueing, pseudo_language: None
) -> None:
    async with signed_in(browser, settings, queueing, "en-XA") as (page, _):
        for action in get_args(OperatorAction.model_fields["action"].annotation):
            await page.evaluate(ASK, [action, "7F3", "balances"])
            await assert_translated(page, "#confirm")
            await page.locator("#confirm-leave").click()
            await expect(page.locator("#confirm")).to_be_hidden()


async def test_each_role_has_a_name(
    browser: Browser, settings: Settings, queueing: Queueing, pseudo_language: None
) -> None:
    async with signed_in(browser, settings, queueing, "en-XA") as (page, _):
        for said in await page.evaluate(ROLES, [*Role]):
            assert not {*pseudo.plain_words(said)} - DATA, said


async def test_every_act_on_somebody_says_what_it_will_do_in_the_operators_language(
    browser: Browser, settings: Settings, queueing: Queueing, engine: GuardedEngine, pseudo_language: None
) -> None:
    users.get_or_create(engine, profile=Profile(CAROL, "carol", "Carol"))
    users.get_or_create(engine, profile=Profile(BOB, "bob", "Bob"))
    act = Act("credit-1", "operator:a test", "lost", time.time())
    orders.adjust(engine, act, target=UserRef(telegram_id=CAROL), amount=1_000)
    ledger.transfer(
        engine, key="gift", sender_telegram_id=CAROL, recipient_telegram_id=BOB, amount=100, memo="lost"
    )
    async with signed_in(browser, settings, queueing, "en-XA") as (page, url):
        await page.goto(f"{url}/#user={CAROL}")
        await expect(page.locator("#movements li")).to_have_count(2)
        await assert_translated(page, "#people")
        acts = page.locator("#person [data-act]:visible")
        assert await acts.count() >= 6
        for button in await acts.all():
            await button.click()
            if await page.locator("#act-amount").is_visible():
                await assert_translated(page, "#act")
                await page.locator("#act-amount").fill("0.5")
            await assert_translated(page, "#act")
            await page.keyboard.press("Escape")
            await expect(page.locator("#act")).to_be_hidden()
        # What is refused, and what was done.
        await page.locator("[data-act=debit]").click()
        await page.locator("#act-amount").fill("1000000")
        await page.locator("#act-reason").fill("lost")
        await page.locator("#act-go").click()
        await expect(page.get_by_test_id("act-outcome")).to_contain_text("⟦")
        await expect(page.locator("#act")).to_have_attribute("aria-busy", "false")
        await assert_translated(page, "#act")
        await page.locator("#act-amount").fill("1")
        await page.locator("#act-go").click()
        await expect(page.locator("#act")).to_be_hidden()
        await assert_translated(page, "#toasts")
        await expect(page.locator("#movements li")).to_have_count(3)


async def test_searches_and_filters_answer_in_the_operators_language(
    browser: Browser, settings: Settings, queueing: Queueing, pseudo_language: None
) -> None:
    async with signed_in(browser, settings, queueing, "en-XA") as (page, url):
        await page.locator("#people-query").fill("Carol")
        await page.keyboard.press("Enter")
        await expect(page.locator("#people-words")).to_contain_text("Carol")
        await assert_translated(page, "#people-words")
        for asked in ("users?balance_min=many", "transfers?since=2026-13-77", "users?status=blocked"):
            await page.goto(f"{url}/#{asked}")
            await expect(page.locator("#lists-words")).not_to_be_empty()
            await assert_translated(page, "#lists-heading, #lists-words >> nth=0")
        await page.goto(f"{url}/#job=7F3KQ2MA")
        await expect(page.locator("#lookup-result")).to_contain_text("⟦")


@pytest.mark.parametrize(
    ("locale", "written"),
    [
        ("en", ["1,234,567.50 CREDIT", "−1,234,567.50 CREDIT", "+0.05 CREDIT", "7 OLD minor units"]),
        ("de", ["1.234.567,50 CREDIT", "−1.234.567,50 CREDIT", "+0,05 CREDIT", "7 OLD"]),
        (
            "ar",
            [
                f"\u2068{each}\u2069"
                for each in ("1,234,567.50 CREDIT", "−1,234,567.50 CREDIT", "+0.05 CREDIT")
            ],
        ),
    ],
)
async def test_amounts_are_written_as_the_language_writes_them_and_typed_as_before(
    browser: Browser, settings: Settings, queueing: Queueing, locale: str, written: list[str]
) -> None:
    async with signed_in(browser, settings, queueing, locale) as (page, _):
        found = await page.evaluate(AMOUNTS)
    assert found[:3] == written[:3]
    assert found[3].startswith(written[3]) if len(written) > 3 else "OLD" in found[3]
    assert found[4] == "1234567.50"
