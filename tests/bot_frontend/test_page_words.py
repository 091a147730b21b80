"""What the operators' pages say of states and figures: each code has words, and each number its form."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from ballast.queueing.worker_drains import WorkerState
from bot_frontend.web.api.waiting_jobs import WaitingJob
from dbcore.breaker.rules import BreakerReason
from dbcore.broadcasts.broadcasts import BroadcastStatus
from dbcore.failures import FailureKind
from dbcore.ledger.provider_book import ProviderDifferenceKind
from dbcore.ledger.star_book import DifferenceKind
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.browser import needs_chromium
from tests.harness.queueing import Queueing

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="module")]

# A catalogue that has every text, and says it in brackets.
BRACKETS = """
const has = (_, key) => ({ configurable: true, enumerable: true, value: key });
const get = (_, key) => `[${key.split("\\u0004").at(-1)}]`;
globalThis.pageTexts = { texts: new Proxy({}, { get, getOwnPropertyDescriptor: has }), plurals: [] };
"""

SAID_OF_CODES = {
    "broadcast-words.js statusInWords": [*BroadcastStatus],
    "differences.js difference": [*DifferenceKind, *ProviderDifferenceKind],
    "lookup.js stateInWords": [*get_args(WaitingJob.model_fields["state"].annotation), "finished", "failed"],
    "words.js reason": [*BreakerReason, *FailureKind],
    "workers.js stateInWords": [*WorkerState],
}


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str) -> Settings:
    return make_settings(redis_url=redis_url, telegram_bot_token=TOKEN)


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, settings: Settings, queueing: Queueing) -> AsyncIterator[Page]:
    """In English, and without scripts that say anything."""
    async with serving(settings, queueing) as url, await browser.new_page() as page:
        await page.goto(f"{url}/static/sign-in.html")
        yield page


async def said(page: Page, script: str, function: str, *arguments: Any) -> Any:
    """What a function of a script of the page returns."""
    call = f"(await import('/static/{script}')).{function}(...{json.dumps(arguments)})"
    return await page.evaluate(f"async () => {call}")


async def test_each_code_that_is_shown_has_words(page: Page) -> None:
    await page.add_init_script(BRACKETS)
    await page.reload()
    for place, codes in SAID_OF_CODES.items():
        for code in codes:
            words = await said(page, *place.split(), code, "pi_7", "stripe")
            assert words.startswith("["), f"{place} has no words for {code}"


@pytest.mark.parametrize(
    ("outage", "story"),
    [
        (
            {"ended_at": None, "failed_probes": 1, "jobs_waited": 1, "longest_wait_seconds": 61.0},
            ["1 probe failed so far.", "1 job waits, the longest 1 min 01 s.", ""],
        ),
        (
            {
                "ended_at": 200.0,
                "failed_probes": 2,
                "jobs_waited": 3,
                "longest_wait_seconds": 5.0,
                "jobs_left": 1,
            },
            [
                "2 probes failed until one was answered.",
                "3 jobs waited, the longest 5 s.",
                "1 of these jobs still waits.",
            ],
        ),
        (
            {"ended_at": 200.0, "failed_probes": 0, "jobs_waited": 0, "longest_wait_seconds": 0.0},
            ["", "Nobody waited.", ""],
        ),
    ],
)
async def test_the_story_of_an_outage_is_told_in_whole_sentences(
    page: Page, outage: dict[str, Any], story: list[str]
) -> None:
    known = {"failed_at": None, "began_at": 100.0, "drained_at": None, "jobs_left": 0, **outage}
    found = await said(page, "outages.js", "story", known, 300.0)
    assert [found[part] for part in ("probes", "waited", "drained")] == story


async def test_uptime_is_rounded_down_and_says_what_it_leaves_out(page: Page) -> None:
    span = {"hours": 168, "measured_seconds": 86_400.0, "share": 0.99999, "down_seconds": 4.0}
    found = await said(page, "outages.js", "uptimeInWords", {**span, "paused_seconds": 0.0, "outages": 1})
    assert found == {"name": "Last 7 days", "value": "99.99% (1 outage, 4.0 s), measured for 1 d 0 h"}


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            "canary: 6 out, 2 not delivered",
            "It stopped by itself: the first 6 are done, 2 of them not delivered. Resume sends to the others.",
        ),
        ("Forbidden: it was kicked", "It stopped by itself: Forbidden: it was kicked."),
        (
            "message to copy not found: the message that it copies was deleted. Draw the broadcast up again for "
            "those who are left",
            "It stopped by itself: message to copy not found: the message that it copies was deleted. Draw the "
            "broadcast up again for those who are left.",
        ),
    ],
)
async def test_why_a_broadcast_stopped_is_in_telegrams_words_or_in_ours(
    page: Page, reason: str, words: str
) -> None:
    assert await said(page, "broadcast-words.js", "halted", reason) == words


async def test_of_deliveries_only_outcomes_that_happened_are_said(page: Page) -> None:
    counted = {"sent": 1200, "audience": 1203, "blocked": 0, "failed": 1, "unknown": 2}
    found = await said(page, "broadcast-words.js", "deliveries", counted)
    assert found == "1,200 of 1,203 sent · 1 failed · 2 unknown"


TYPED = """async (texts) => {
  Object.assign(document.body.dataset, { currency: "CREDIT", decimals: "CREDIT:2,TND:3" });
  const { minorUnits, typedAmount } = await import("/static/money.js");
  return texts.map((text) => [minorUnits(text), minorUnits(text, "TND")])
    .concat([[1234, 12345678, 123].map((minor) => minorUnits(typedAmount(minor, "TND"), "TND"))]);
}"""
CANARY = """async (canary) => {
  Object.assign(document.body.dataset, { currency: "CREDIT", decimals: "CREDIT:2" });
  const { composition } = await import("/static/composition.js");
  const given = { text: "Hello", canary, canary_unit: "people", canary_then: "go" };
  const elements = new Proxy({}, { get: (_, name) => ({ value: given[name] ?? "", checked: false }) });
  try {
    return composition({ elements }).canary;
  } catch (error) {
    return error.message;
  }
}"""


async def test_what_is_thousands_to_some_and_decimals_to_others_is_not_read(page: Page) -> None:
    told = await page.evaluate(
        TYPED, ["5", "5,5", "1.234", "1,234", "0,234", "1.2340", "1.23401", "1234.567"]
    )
    *amounts, written = told
    assert amounts == [
        [500, 5_000],
        [550, 5_500],
        [None, None],
        [None, None],
        [None, 234],
        [None, 1_234],
        [None, None],
        [None, 1_234_567],
    ]
    assert written == [1_234, 12_345_678, 123]


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("20", 20),
        ("2,5", 2.5),
        ("1.000", "The first: write a number."),
        ("1,000", "The first: write a number."),
    ],
)
async def test_a_thousand_recipients_are_never_one(page: Page, typed: str, read: float | str) -> None:
    assert await page.evaluate(CANARY, typed) == read
