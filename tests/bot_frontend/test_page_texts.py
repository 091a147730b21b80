"""What static/texts.js makes of a catalogue, in a browser: forms of numbers, and names that turn nothing around."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from ballast.texts import LANGUAGES, is_right_to_left, ngettext, speaking
from bot_frontend.web.page_scripts import STATIC, ScriptText, catalogue_script
from tests.harness.browser import needs_chromium

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="module")]

JOBS = ScriptText("{count} job", "{count} jobs")
AMOUNT = ScriptText("Your balance is {amount}.")
ALARM = ScriptText("Alarm: {text}")
COUNTS = [*range(31), 100, 101, 102, 103, 111, 121, 199, 200, 201, 211, 1_000, 1_001, 1_002, 1_011, 1_111]


async def page_in(browser: Browser, language: str, *texts: ScriptText) -> Page:
    """A page that has the catalogue of these texts, and our scripts beside it."""
    page = await browser.new_page()
    await page.route(
        "http://pages.test/static/*",
        lambda route: route.fulfill(path=STATIC / route.request.url.rpartition("/")[2]),
    )
    script = catalogue_script(language, texts).body.decode()
    direction = "rtl" if is_right_to_left(language) else "ltr"
    html = f'<html lang="{language.replace("_", "-")}" dir="{direction}"><script>{script}</script>'
    await page.route(
        "http://pages.test/", lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8")
    )
    await page.goto("http://pages.test/")
    return page


async def said(page: Page, script: str, call: str, *arguments: Any) -> Any:
    """What a function of a script returns."""
    given = ", ".join(map(json.dumps, arguments))
    return await page.evaluate(f"async () => (await import('/static/{script}')).{call}({given})")


async def test_each_number_has_the_form_that_python_says_in_each_language(browser: Browser) -> None:
    for language in LANGUAGES:
        page = await page_in(browser, language, JOBS)
        told = await page.evaluate(
            """async (counts) => {
              const { ngettext } = await import("/static/texts.js");
              return counts.map((count) => ngettext("{count} job", "{count} jobs", count, { count: String(count) }));
            }""",
            COUNTS,
        )
        isolates = dict.fromkeys(map(ord, "\u2068\u2069"))
        with speaking(language):
            python = [ngettext("{count} job", "{count} jobs", count, count=str(count)) for count in COUNTS]
        assert [each.translate(isolates) for each in told] == [each.translate(isolates) for each in python]


@pytest.mark.parametrize(
    ("language", "number", "date"),
    [
        ("en", "1,234,567", "27 Nov, 18:05"),
        ("de", "1.234.567", "27. Nov., 18:05"),
        ("ru", "1\u00a0234\u00a0567", "27 нояб., 18:05"),
        ("ar", "1,234,567", "27 نوفمبر، 18:05"),
        ("fa", "1,234,567", "27 نوامبر، 18:05"),
    ],
)
async def test_digits_are_0_to_9_and_years_gregorian_in_each_language(
    browser: Browser, language: str, number: str, date: str
) -> None:
    page = await page_in(browser, language)
    marks = dict.fromkeys(map(ord, "\u200e\u200f\u061c"))
    assert (await said(page, "words.js", "count", 1_234_567)).translate(marks) == number
    seconds = await page.evaluate("new Date(2026, 10, 27, 18, 5).getTime() / 1000")
    assert (await said(page, "words.js", "at", seconds, 0)).translate(marks) == date


async def test_a_name_turns_nothing_around(browser: Browser) -> None:
    page = await page_in(browser, "ar", AMOUNT)
    told = await said(page, "texts.js", "gettext", AMOUNT.text, {"amount": "0.50 CREDIT"})
    assert "\u20680.50 CREDIT\u2069" in told
    page = await page_in(browser, "en")
    told = await said(page, "texts.js", "gettext", "Paused by {operator}.", {"operator": "אבי (5)"})
    assert told == "Paused by \u2068אבי (5)\u2069."
    told = await said(page, "texts.js", "gettext", "Paused by {operator}.", {"operator": "{operator} $& Ada"})
    assert told == "Paused by {operator} $& Ada."


async def test_what_the_catalogue_does_not_have_or_has_broken_is_said_in_english(browser: Browser) -> None:
    page = await page_in(browser, "de", ALARM)
    await page.evaluate("Object.assign(pageTexts.texts, { 'Alarm: {text}': 'Alarm: {wort}' })")
    assert await said(page, "texts.js", "gettext", ALARM.text, {"text": "x"}) == "Alarm: x"
    assert await said(page, "texts.js", "gettext", "Retry {name}", {"name": "x"}) == "Retry x"
    assert await said(page, "texts.js", "gettext", "constructor") == "constructor"
    assert await said(page, "texts.js", "ngettext", "{count} hour", "{count} hours", 1_200) == "1.200 hours"
