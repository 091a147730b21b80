"""In which language the API says why it refuses: the page in its operator's, programs in English."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from ballast.operators.permissions import PERMISSIONS, Permission, not_permitted
from ballast.operators.roles import SigningIn, make_code
from ballast.texts import speaking
from dbcore import admin_actions
from dbcore.admin_actions import Filters
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from dbcore.ledger.users import Profile
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.api.conftest import OPS_TOKEN
from tests.bot_frontend.test_page import status
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing
from tests.texts import pseudo

pytestmark = pytest.mark.usefixtures("pseudo_language")

OWNER, SUPPORT, CAROL = 1001, 1002, 2002
ASKS_FOR_PSEUDO = {"Accept-Language": "en-XA, de;q=0.5"}

REFUSED: list[tuple[str, str, Any, int]] = [
    ("GET", "/users/99", None, 404),
    ("GET", "/users?limit=0", None, 422),
    ("GET", "/users?limit=many", None, 422),
    ("GET", "/users?cursor=x", None, 422),
    ("GET", "/users?status=asleep", None, 422),
    ("GET", "/users/99/movements", None, 404),
    ("GET", f"/users/{CAROL}/movements?currency=XYZ", None, 404),
    ("GET", "/users/99/failures", None, 404),
    ("GET", "/nowhere", None, 404),
    ("DELETE", "/users/99", None, 405),
    ("POST", "/users/99/credit", {"amount": 1, "reason": "x"}, 404),
    ("POST", f"/users/{CAROL}/debit", {"amount": 10**9, "reason": "x"}, 409),
    ("POST", f"/users/{CAROL}/debit", {"amount": 0, "reason": "", "more": 1}, 422),
    ("POST", f"/users/{CAROL}/message", {"text": "\u200b"}, 422),
    ("GET", "/transfers/99", None, 404),
    ("GET", "/transfers?since=yesterday", None, 422),
    ("POST", "/transfers/99/reverse", {"amount": 1, "reason": "x"}, 404),
    ("GET", "/holds/99", None, 404),
    ("GET", "/withdrawals/99", None, 404),
    ("POST", "/approvals/99/approve", {"reason": "x"}, 404),
    ("POST", "/subscriptions/99/cancel-renewal", {"reason": "x"}, 404),
    ("GET", "/jobs/7F3KQ2MA", None, 404),
    ("POST", "/jobs/7F3KQ2MA/retry", None, 404),
    ("POST", "/workers/main@host/drain", {"reason": "x"}, 404),
    ("POST", f"/roles/{OWNER}", {"role": "support", "reason": "x"}, 409),
    ("POST", "/sessions/nobodys-session/end", None, 404),
    ("GET", "/broadcasts/99", None, 404),
    ("POST", "/broadcasts", {"media": None}, 409),
    ("POST", "/broadcasts", {"text": "<b>never closed"}, 409),
    ("POST", "/broadcasts", {"text": "1 < 2"}, 409),
    ("POST", "/broadcasts", {"text": "x", "paid": True}, 409),
    ("POST", "/broadcasts", {"text": "x", "scheduled_for": "2020-01-01T00:00:00Z"}, 409),
    ("POST", "/broadcasts", {"text": "x", "segment": {"language": "?"}}, 422),
    ("POST", "/broadcasts/preview", {"text": "x", "quiet_hours": {"begin": "1", "end": "22:00"}}, 422),
    ("POST", "/broadcasts/99/test", {"telegram_id": 5}, 409),
]
SAID_AS_IT_IS = frozenset(
    pseudo.plain_words(
        "query.limit query.cursor query.status query.since body.amount body.reason body.more body.text body.segment "
        "language body.quiet_hours.begin XYZ CREDIT main@host active blocked deactivated 7F3KQ2MA nobodys-session "
        "<a>, <b>, <blockquote>, <code>, <del>, <em>, <i>, <ins>, <pre>, <s>, <span>, <strike>, <strong>, "
        "<tg-emoji>, <tg-spoiler>, <tg-time>, <u> text quiet hours begin emoji spoiler time `ballast jobs list`"
    )
)
"""Names of fields, codes and tags."""


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str, database_url: str) -> Settings:
    return make_settings(
        redis_url=redis_url,
        database_url=database_url,
        telegram_bot_token=TOKEN,
        ops_token=OPS_TOKEN,
        admin_ids=str(OWNER),
        admin_roles=f"{SUPPORT}:support",
        db_deadline_seconds=30,
    )


@pytest.fixture
def carol(engine: GuardedEngine) -> None:
    users.get_or_create(engine, profile=Profile(CAROL, "carol", "Carol"))


@dataclass
class Page:
    """A browser in which somebody is signed in."""

    url: str
    http: aiohttp.ClientSession
    csrf: str = ""

    async def sign_in(self, token: str) -> None:
        form = {"token": token, "name": "Olga"}
        async with self.http.post(f"{self.url}/sign-in", data=form, allow_redirects=False) as answer:
            assert answer.status == 303
        self.csrf = (await status(self.http, self.url))["actions"]["csrf"]

    async def ask(
        self, method: str, path: str, body: Any = None, *, once: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        sent = {"X-CSRF-Token": self.csrf, "Idempotency-Key": once or uuid.uuid4().hex, **headers}
        url = f"{self.url}/api/v1{path}"
        async with self.http.request(method, url, json=body, headers=sent) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def page(settings: Settings, queueing: Queueing, carol: None) -> AsyncIterator[Page]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with serving(settings, queueing) as url, aiohttp.ClientSession(cookie_jar=jar) as http:
        yield Page(url, http)


def is_translated(text: str) -> bool:
    return "⟦" in text and not {*pseudo.plain_words(text)} - SAID_AS_IT_IS


async def test_the_page_reads_every_refusal_in_its_language_and_a_key_in_english(page: Page) -> None:
    await page.sign_in(OPS_TOKEN)
    for method, path, body, expected in REFUSED:
        code, said = await page.ask(method, path, body, **ASKS_FOR_PSEUDO)
        assert code == expected, (path, body, said)
        assert is_translated(said["title"]), (path, said)
        assert is_translated(said["detail"]), (path, said)
        assert all(is_translated(each["message"]) for each in said.get("errors", [])), (path, said)
        key = {"Authorization": f"Bearer {OPS_TOKEN}"}
        code, english = await page.ask(method, path, body, **ASKS_FOR_PSEUDO, **key)
        assert code == expected and english["type"] == said["type"], (path, english)
        assert "⟦" not in str(english), path


async def test_who_signed_in_through_telegram_reads_their_language_whatever_the_browser_asks_for(
    page: Page, queueing: Queueing
) -> None:
    queueing.inbox.languages.choose(SUPPORT, pseudo.LANGUAGE, None)
    await page.sign_in(make_code(queueing.client, SigningIn(SUPPORT, "@olga")))
    code, said = await page.ask("POST", f"/users/{CAROL}/erase", {"reason": "x"}, **{"Accept-Language": "en"})
    assert (code, said["type"].rpartition(":")[2]) == (403, "forbidden")
    assert is_translated(said["title"]) and is_translated(said["detail"])


async def test_what_is_refused_one_by_one_is_said_in_the_pages_language(page: Page) -> None:
    await page.sign_in(OPS_TOKEN)
    body = {"references": ["7F3KQ2MA"], "reason": "x"}
    code, said = await page.ask("POST", "/jobs/retry", body, **ASKS_FOR_PSEUDO)
    assert code == 200 and is_translated(said["refused"][0]["why"])
    await page.ask("POST", f"/users/{CAROL}/debit", {"amount": 10**9, "reason": "x"}, **ASKS_FOR_PSEUDO)
    for path in (f"/users/{CAROL}/failures", "/transfers?status=rejected"):
        _, found = await page.ask("GET", path, **ASKS_FOR_PSEUDO)
        assert is_translated(found["items"][0]["why"]), path
        _, found = await page.ask("GET", path)
        assert found["items"][0]["why"] == "There was not enough money."


async def test_the_same_request_in_another_language_takes_effect_once_and_is_kept_as_it_was_sent(
    page: Page, engine: GuardedEngine
) -> None:
    await page.sign_in(OPS_TOKEN)
    order = {"amount": 500, "reason": "Order 17 was late"}
    code, first = await page.ask("POST", f"/users/{CAROL}/credit", order, once="late-17", **ASKS_FOR_PSEUDO)
    again = await page.ask("POST", f"/users/{CAROL}/credit", order, once="late-17")
    assert (code, first["balance"]) == (200, 500) and again == (200, first)
    other = {**order, "amount": 501}
    code, said = await page.ask("POST", f"/users/{CAROL}/credit", other, once="late-17", **ASKS_FOR_PSEUDO)
    assert code == 409 and is_translated(said["detail"])
    await page.ask("POST", f"/users/{CAROL}/freeze", {"reason": "asked"}, **ASKS_FOR_PSEUDO)
    assert "⟦" not in str(admin_actions.search(engine, Filters()))


@pytest.mark.parametrize("permission", list(Permission))
def test_what_a_role_is_too_low_for_is_said_in_each_language(permission: Permission) -> None:
    english = not_permitted(permission)
    assert english.startswith("Only ") and english.endswith(f"may {PERMISSIONS[permission].what}.")
    with speaking(pseudo.LANGUAGE):
        said = not_permitted(permission)
    assert said.startswith("⟦") and not {*pseudo.plain_words(said)} - {"dbstatus"}


async def test_the_document_and_csv_are_english(page: Page) -> None:
    await page.sign_in(OPS_TOKEN)
    for path in ("/openapi.json", "/api/v1/users.csv", "/api/v1/transfers.csv"):
        async with page.http.get(f"{page.url}{path}", headers=ASKS_FOR_PSEUDO) as answer:
            assert answer.status == 200 and "⟦" not in await answer.text(), path
