"""In which language the operators' pages are, and that programs are answered in English."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ballast.texts.catalogues import use_folder
from bot_frontend.web.page import PAGES
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.test_live import event
from tests.bot_frontend.test_operators import OWNER
from tests.bot_frontend.test_page import BEARER, BY_BROWSER, OPS_TOKEN, browser, order, sign_in, status
from tests.bot_frontend.test_roles import signed_in
from tests.bot_frontend.test_web import beaten, serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing
from tests.texts import pseudo

PSEUDO = {"Accept-Language": "en-XA, en;q=0.5"}
NOBODY_WORKS = "No worker is running"


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str) -> Settings:
    return make_settings(
        redis_url=redis_url, telegram_bot_token=TOKEN, ops_token=OPS_TOKEN, admin_ids=str(OWNER)
    )


@pytest.fixture(autouse=True)
def _pseudo_language(tmp_path: Path) -> Iterator[None]:
    pseudo.write(tmp_path)
    use_folder(tmp_path)
    yield
    use_folder(None)


async def page_of(http: aiohttp.ClientSession, url: str, **headers: str) -> str:
    async with http.get(url, headers={**BY_BROWSER, **headers}) as answer:
        return await answer.text()


async def test_each_page_is_in_the_language_that_the_browser_asks_for(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        asked = await page_of(http, url, **PSEUDO)
        assert '<html lang="en-XA" dir="ltr">' in asked
        assert pseudo.accented("The status page is for operators.") in asked
        assert "data-currency" not in asked, "who is not signed in is told nothing of the bot"
        await sign_in(http, url)
        for path in sorted(PAGES):
            page = await page_of(http, f"{url}{path}", **PSEUDO)
            assert '<html lang="en-XA" dir="ltr">' in page
            assert '<script defer src="/page-texts/en_XA.js"></script>' in page
            headings = re.findall(r"<h\d(?![^>]*translate)[^>]*>([^<]+)</h\d>", page)
            assert not pseudo.plain_words(" ".join(headings)), path
            assert '<html lang="ar" dir="rtl">' in await page_of(
                http, f"{url}{path}", **{"Accept-Language": "ar"}
            )
            english = await page_of(http, f"{url}{path}")
            assert '<html lang="en" dir="ltr">' in english
            assert "/page-texts/" not in english


async def test_who_signed_in_by_the_bot_reads_what_they_read_in_the_chat(
    settings: Settings, queueing: Queueing
) -> None:
    queueing.inbox.languages.choose(OWNER, "de", None)
    async with serving(settings, queueing) as url, signed_in(url, queueing, OWNER) as http:
        assert '<html lang="de" dir="ltr">' in await page_of(http, url, **PSEUDO)
        queueing.inbox.languages.choose(OWNER, "fa", None)
        for _ in range(300):
            if '<html lang="fa" dir="rtl">' in await page_of(http, url, **PSEUDO):
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the page is not in the language that they chose")


async def test_words_are_in_the_readers_language_and_english_for_programs(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        await sign_in(http, url)
        own = await status(http, url, **PSEUDO)
        assert own["verdict"]["title"] == pseudo.accented(NOBODY_WORKS)
        assert own["verdict"]["state"] == "degraded"
        assert own["breaker"]["state"] == "unknown"
        for headers in (BEARER, {**BEARER, **PSEUDO}, {}):
            assert (await status(http, url, **headers))["verdict"]["title"] == NOBODY_WORKS
        headers = {**PSEUDO, "X-CSRF-Token": own["actions"]["csrf"]}
        _, told = await order(http, url, headers)
        assert told["words"] == pseudo.accented(
            "Database access is paused; every process knows within a second."
        )
        _, told = await order(http, url, {**headers, "X-CSRF-Token": "forged"})
        assert told["error"].startswith("⟦")
        async with http.get(f"{url}/health", headers=PSEUDO) as answer:
            assert "⟦" not in await answer.text()
        assert "⟦" not in await page_of(http, f"{url}/outages.csv", **PSEUDO)


async def test_what_is_streamed_is_in_the_language_of_each_who_listens(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        await sign_in(http, url)
        stream = f"{url}/status/stream"
        async with http.get(stream, headers=PSEUDO) as one, http.get(stream) as other:
            first, second = await event(one), await event(other)
        assert first["verdict"]["title"] == pseudo.accented(NOBODY_WORKS)
        assert second["verdict"]["title"] == NOBODY_WORKS


async def test_the_catalogue_of_a_language_is_kept_by_the_browser_until_it_changes(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        path = f"{url}/page-texts/en_XA.js"
        async with http.get(path) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/javascript"
            assert answer.headers["Content-Encoding"] == "gzip"
            tag, body = answer.headers["ETag"], await answer.text()
        for kept in (tag, f"W/{tag}", f'"old", {tag}'):
            async with http.get(path, headers={"If-None-Match": kept}) as answer:
                assert (answer.status, await answer.text()) == (304, ""), kept
        async with http.get(path, headers={"If-None-Match": '"old"'}) as answer:
            assert answer.status == 200
        for other in ("en_XB", "..", "xx", "de_AT"):
            async with http.get(f"{url}/page-texts/{other}.js") as answer:
                assert answer.status == 404
    told: dict[str, Any] = json.loads(body.removeprefix("globalThis.pageTexts = ").rstrip(";\n"))
    assert told["texts"]["just now"] == pseudo.accented("just now")


async def test_a_refused_sign_in_says_why_in_the_readers_language(
    settings: Settings, queueing: Queueing
) -> None:
    beaten(queueing, "h:7:aa", {"name": "main", "queues": ["health"]})
    async with serving(settings, queueing) as url, browser() as http:
        form = {"token": "wrong", "name": ""}
        async with http.post(f"{url}/sign-in", data=form, headers=PSEUDO) as answer:
            page = await answer.text()
        (error,) = re.findall(r'role="alert"[^>]*>([^<]*)<', page)
        assert error.startswith("⟦")
