"""The outages' pages and files, and the public status page, asked over HTTP of a real server."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

import aiohttp
import pytest
import redis

from ballast.queueing.queues import QUEUES
from bot_frontend.web.page_language import accepted_language
from dbcore.breaker import override
from dbcore.breaker.outages import WaitingJob, note_waiting
from dbcore.redis_client import redis_time
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.test_web import beaten, serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

OPS_TOKEN = "sesame, open, sesame"
BEARER = {"Authorization": f"Bearer {OPS_TOKEN}"}


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str) -> Settings:
    return make_settings(
        redis_url=redis_url, telegram_bot_token=TOKEN, ops_token=OPS_TOKEN, public_status=True
    )


def table_is(client: redis.Redis, *outages: dict[str, Any], since: float) -> None:
    """As a worker copied it last."""
    client.set("ballast:outages:table", json.dumps({"since": since, "outages": outages}))


async def got(http: aiohttp.ClientSession, address: str) -> str:
    async with http.get(address) as answer:
        assert answer.status == 200, address
        return await answer.text()


async def test_the_report_has_the_outages_of_the_table_and_of_redis(
    settings: Settings, queueing: Queueing
) -> None:
    client = queueing.client
    now = redis_time(client)
    old = {
        "id": "old",
        "failed_at": now - 86_403,
        "began_at": now - 86_402,
        "ended_at": now - 85_402,
        "drained_at": now - 85_390,
        "reason": "outage",
        "paused_by": None,
        "failed_probes": 9,
        "jobs_waited": 412,
        "longest_wait_seconds": 1000.5,
    }
    table_is(client, old, since=now - 10 * 86_400)
    override.set_override(client, "open", "=SUM(A1)")
    note_waiting(client, [WaitingJob("a", "ballast:outages:table", now)], is_on=True)
    override.set_override(client, "auto", "Nadia")
    async with serving(settings, queueing) as url, aiohttp.ClientSession(headers=BEARER) as http:
        report = json.loads(await got(http, f"{url}/outages.json"))
        told = csv.DictReader((await got(http, f"{url}/outages.csv")).splitlines())
        pause_line, old_line = told
        status = json.loads(await got(http, f"{url}/status.json"))
    pause, outage = report["outages"]
    assert (outage["jobs_waited"], outage["reason"], outage["jobs_left"]) == (412, "outage", None)
    assert outage["drained_at"] - outage["ended_at"] == pytest.approx(12, abs=0.01)
    assert (pause["reason"], pause["jobs_waited"], pause["jobs_left"], pause["drained_at"]) == (
        None,
        1,
        1,
        None,
    )
    assert [each["hours"] for each in report["uptime"]] == [24, 168, 720]
    assert report["uptime"][1]["share"] == pytest.approx(1 - 1000 / (7 * 86_400))
    assert report["uptime"][2]["measured_seconds"] == pytest.approx(10 * 86_400, abs=60)
    assert (status["outages"], len(status["uptime"])) == (report["outages"], 3)
    assert old_line["reason"] == "outage"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}\+00:00", old_line["failed_at"])
    assert pause_line["failed_at"] == pause_line["drained_at"] == ""
    assert pause_line["paused_by"] == "'=SUM(A1)", "no spreadsheet takes a name for a formula"


async def test_the_outages_are_for_operators_and_the_public_page_for_everybody(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        for path in ("/outages", "/outages.json", "/outages.csv"):
            async with http.get(url + path) as answer:
                assert answer.status == 401, path
        async with http.get(f"{url}/status-page", headers={"Authorization": "Bearer wrong"}) as answer:
            assert answer.status == 200
            assert "script" not in await answer.text()


async def test_there_is_no_public_page_unless_it_was_asked_for(
    make_settings: MakeSettings, queueing: Queueing
) -> None:
    settings = make_settings(redis_url=queueing.redis_url, telegram_bot_token=TOKEN)
    async with (
        serving(settings, queueing) as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/status-page") as answer,
    ):
        assert answer.status == 404


async def test_the_public_page_says_what_people_notice_and_nothing_else(
    settings: Settings, queueing: Queueing
) -> None:
    client = queueing.client
    now = redis_time(client)

    async def shown() -> str:
        async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
            page = await got(http, f"{url}/status-page")
        (title,) = re.findall(r"<h2 id=.service-title.*?>(.*)</h2>", page)
        return f"{title}. {'; '.join(re.findall('<dt>(.*?)</dt><dd>(.*?)</dd>', page)[0])}"

    assert await shown() == "We have a technical problem. Uptime; not known yet", "nobody works"
    beaten(queueing, "h:7:aa", {"name": "main", "queues": [*QUEUES]})
    outage = {
        "id": "old",
        "began_at": now - 7300,
        "ended_at": now - 7290.5,
        "reason": "outage",
        "paused_by": None,
    }
    table_is(client, outage, since=now - 36_000)
    assert await shown() == "The bot is working. Last 10 hours; 99.97%"
    override.set_override(client, "open", "Nadia")
    assert await shown() == "Paused for maintenance. Last 10 hours; 99.97%"


async def test_the_public_page_speaks_the_language_that_the_reader_s_browser_asks_for(
    settings: Settings, queueing: Queueing
) -> None:
    beaten(queueing, "h:7:aa", {"name": "main", "queues": [*QUEUES]})
    table_is(queueing.client, since=redis_time(queueing.client) - 36_000)
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:

        async def shown(asked: str | None) -> tuple[str, str, str]:
            headers = {} if asked is None else {"Accept-Language": asked}
            async with http.get(f"{url}/status-page", headers=headers) as answer:
                assert answer.headers["Vary"] == "Accept-Language"
                page = await answer.text()
            (title,) = re.findall(r"<h2 id=.service-title.*?>(.*)</h2>", page)
            (tag,) = re.findall(r"<html (.*?)>", page)
            assert "<!-- " not in page
            return title, re.findall("<dt>(.*?)</dt>", page)[0], tag

        english = ("The bot is working", "Last 10 hours", 'lang="en" dir="ltr"')
        assert await shown(None) == english
        assert await shown("fr, x;q=oops, *") == english
        german = ("Der Bot funktioniert", "Letzte 10 Stunden", 'lang="de" dir="ltr"')
        assert await shown("fr-CH, en;q=0.5, de-AT;q=0.9") == german
        title, hours, tag = await shown("ar-EG,en;q=0.8")
        assert (title, tag) == ("البوت يعمل", 'lang="ar" dir="rtl"')
        assert "ساعات" in hours
        assert (await shown("pt"))[2] == 'lang="pt-BR" dir="ltr"'


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("en-GB,de;q=0.9", "en"),
        ("de;q=0,es", "es"),
        ("de;q=0.1,es;q=0.2,xx", "es"),
        ("de;q=2", "en"),
        (",;;q=,\x00", "en"),
        (",".join(["xx"] * 1_000) + ",de", "en"),
    ],
)
def test_of_the_languages_that_a_browser_names_the_most_wanted_that_there_is(
    header: str, language: str
) -> None:
    assert accepted_language(header) == language
