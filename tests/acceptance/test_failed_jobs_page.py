"""The page of failed jobs in a real browser, on a phone and on a desk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, ViewportSize, expect

from ballast.builtin.balances import ShowBalance
from ballast.queueing.envelope import Envelope, reference_of
from dbcore import admin_actions, failed_operations
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.browser import chromium, needs_chromium, watched_page
from tests.harness.queueing import Queueing, queueing_at

pytestmark = [needs_chromium, pytest.mark.timeout(300)]

OPS_TOKEN = "sesame, open, sesame"
PHONE, DESK = 390, 1280


@pytest.fixture
def queueing(redis_url: str) -> Iterator[Queueing]:
    with queueing_at(redis_url) as ready:
        yield ready


@pytest.fixture
def engine(make_settings: MakeSettings, database_url: str) -> Iterator[GuardedEngine]:
    made = GuardedEngine(make_settings(database_url=database_url, db_deadline_seconds=30))
    yield made
    made.dispose()


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str, database_url: str) -> Settings:
    return make_settings(
        redis_url=redis_url, database_url=database_url, telegram_bot_token=TOKEN, ops_token=OPS_TOKEN
    )


@pytest.fixture(params=[PHONE, DESK])
async def page(
    request: pytest.FixtureRequest, settings: Settings, queueing: Queueing, engine: GuardedEngine
) -> AsyncIterator[Page]:
    """Signed in, with 502 failed jobs of two causes."""
    for number in range(502):
        envelope = Envelope.of(
            ShowBalance(telegram_id=1000 + number), job_id=f"job-{number}", lane=f"user:{number}"
        )
        failed_operations.record(
            engine,
            job_id=envelope.job_id,
            kind=envelope.kind,
            reference=reference_of(envelope.job_id),
            telegram_id=1000 + number,
            error=f"ValueError: no row {number} <b>here</b>" if number < 500 else "KeyError: 'name'",
            payload=envelope.model_dump(mode="json"),
        )
    viewport: ViewportSize = {"width": request.param, "height": 760}
    async with (
        serving(settings, queueing) as url,
        chromium() as browser,
        watched_page(browser, url, viewport=viewport, forgiven=("401",)) as page,
    ):
        await page.goto(f"{url}/failed-jobs")
        await page.get_by_label("Operator token").fill(OPS_TOKEN)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(f"{url}/failed-jobs")
        await expect(page.get_by_test_id("words")).to_have_text("502 failed jobs")
        yield page


async def test_five_hundred_jobs_of_a_cause_are_retried_in_two_clicks(
    page: Page, queueing: Queueing, engine: GuardedEngine
) -> None:
    causes = page.get_by_test_id("cause")
    await expect(causes).to_have_count(2)
    await expect(causes.first).to_contain_text("ValueError: no row # <b>here</b>")
    found = (await Axe().run(page)).response["violations"]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
    width = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, "nothing is wider than the window"
    await causes.first.get_by_role("button", name="Retry 500").click()
    await page.get_by_role("button", name="Retry 500 failed jobs").click()
    await expect(page.get_by_test_id("outcome")).to_have_text("500 queued again.", timeout=120_000)
    assert await asyncio.to_thread(queueing.inbox.size) == 500
    await page.get_by_role("button", name="Close").click()
    await expect(page.get_by_test_id("words")).to_have_text("2 failed jobs")


async def test_selected_jobs_are_looked_at_and_discarded_and_others_stay(
    page: Page, queueing: Queueing, engine: GuardedEngine
) -> None:
    await page.get_by_label("Part of the error").fill("keyerror")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.get_by_test_id("words")).to_have_text("2 failed jobs")
    assert page.url.endswith("?error=keyerror"), "the filters are in the address"
    jobs = page.get_by_test_id("failed-job")
    await jobs.first.get_by_text("Arguments").click()
    await expect(jobs.first.locator("pre")).to_contain_text('"telegram_id": 1501')
    await jobs.first.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Discard 1 selected").click()
    await page.get_by_label("Reason").fill("of no use")
    await page.get_by_role("button", name="Discard 1 failed job").click()
    await expect(page.get_by_test_id("outcome")).to_have_text("1 discarded.")
    await page.get_by_role("button", name="Close").click()
    await expect(page.get_by_test_id("words")).to_have_text("1 failed job")
    assert failed_operations.count_open(engine) == 501
    booked = [each for each in admin_actions.recent(engine, 10) if each.action == "dead_letter.discard"]
    assert [(each.actor, each.reason, each.target) for each in booked] == [
        ("web:operator", "of no use", reference_of("job-501"))
    ]
