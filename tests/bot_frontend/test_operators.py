"""Named operators: a sign-in by a code of the bot's, sessions that can be ended, roles that owners give and take."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import aiohttp
import pytest
from yarl import URL

from ballast.operators.roles import CODE_LENGTH, FRESH_SECONDS, Roles, SigningIn, make_code, take_code
from dbcore import admin_actions, operators
from dbcore.admin_actions import DONE, AdminAction, Filters
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from dbcore.ledger.users import Profile
from dbcore.roles import Role
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.test_page import BEARER, OPS_TOKEN, browser, status
from tests.bot_frontend.test_roles import signed_in
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

OWNER, CAROL = 1001, 2002
CROSSED = "\u200b\u2060\u00ad"


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str, database_url: str) -> Settings:
    return make_settings(
        redis_url=redis_url,
        database_url=database_url,
        telegram_bot_token=TOKEN,
        ops_token=OPS_TOKEN,
        admin_ids=str(OWNER),
        db_deadline_seconds=30,
    )


async def posted(
    http: aiohttp.ClientSession, url: str, path: str, csrf: str, body: Any = None, key: str | None = None
) -> tuple[int, Any]:
    headers = {"X-CSRF-Token": csrf, "Idempotency-Key": key or uuid.uuid4().hex}
    async with http.post(f"{url}/api/v1{path}", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def csrf_of(http: aiohttp.ClientSession, url: str) -> str:
    told: str = (await status(http, url))["actions"]["csrf"]
    return told


async def may_see(http: aiohttp.ClientSession, url: str) -> bool:
    async with http.get(f"{url}/status.json") as answer:
        return answer.status == 200


async def until_it_may_not_see(http: aiohttp.ClientSession, url: str) -> None:
    for _ in range(300):
        if not await may_see(http, url):
            return
        await asyncio.sleep(0.1)
    pytest.fail("it may still see")


def test_a_code_signs_in_once(queueing: Queueing) -> None:
    code = make_code(queueing.client, SigningIn(OWNER, "@ada"))
    assert len(code.replace("-", "")) == CODE_LENGTH
    assert take_code(queueing.client, f" {code.lower()}\n") == SigningIn(OWNER, "@ada")
    assert take_code(queueing.client, code) is None
    assert take_code(queueing.client, "") is None
    assert take_code(queueing.client, "ÄÄÄÄÄ-ÄÄÄÄÄ") is None


def test_a_code_is_not_in_redis_and_ends_by_itself(queueing: Queueing) -> None:
    code = make_code(queueing.client, SigningIn(OWNER, "@ada"))
    (key,) = queueing.client.keys("ballast:signin:*")
    assert code.encode() not in key and code.replace("-", "").encode() not in key
    assert 0 < queueing.client.ttl(key) <= 300


async def test_who_signs_in_by_a_code_is_called_as_in_the_chat(
    settings: Settings, queueing: Queueing, engine: GuardedEngine
) -> None:
    users.get_or_create(engine, profile=Profile(CAROL, "carol", "Carol"))
    async with serving(settings, queueing) as url, signed_in(url, queueing, OWNER) as http:
        csrf = await csrf_of(http, url)
        order = {"amount": 550, "reason": "a gift"}
        code, done = await posted(http, url, f"/users/{CAROL}/credit", csrf, order)
        assert code == 200, done
        async with http.get(f"{url}/api/v1/audit", params={"target": str(CAROL)}) as answer:
            (entry,) = (await answer.json())["items"]
        assert (entry["actor"], entry["action"], entry["reason"]) == (
            f"telegram:{OWNER}",
            "user.credit",
            "a gift",
        )
        assert (entry["before"], entry["after"]) == ({"balance": 0}, {"balance": 550})


async def test_a_code_of_somebody_without_a_role_opens_nothing(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, signed_in(url, queueing, CAROL) as http:
        assert not await may_see(http, url)


async def test_a_session_that_was_ended_is_good_for_nothing_with_a_copied_cookie_neither(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, signed_in(url, queueing, OWNER) as http, browser() as copy:
        copy.cookie_jar.update_cookies(
            {cookie.key: cookie.value for cookie in http.cookie_jar}, response_url=URL(url)
        )
        assert await may_see(copy, url)
        async with http.post(f"{url}/sign-out", allow_redirects=False) as answer:
            assert answer.status == 303
        assert not await may_see(copy, url)


async def test_an_owner_lists_sessions_and_ends_one_on_all_frontends(
    settings: Settings, queueing: Queueing, engine: GuardedEngine
) -> None:
    operators.grant(engine, action("give"), telegram_id=CAROL, role=Role.SUPPORT)
    queueing.inbox.roles.put(CAROL, Role.SUPPORT)
    async with (
        serving(settings, queueing) as url,
        serving(settings, queueing) as other_url,
        signed_in(url, queueing, CAROL) as carol,
        signed_in(url, queueing, OWNER) as owner,
    ):
        assert await may_see(carol, url)
        csrf = await csrf_of(owner, url)
        async with owner.get(f"{url}/api/v1/sessions") as answer:
            sessions = {each["telegram_id"]: each for each in (await answer.json())["items"]}
        assert {each: sessions[each]["role"] for each in sessions} == {OWNER: "owner", CAROL: "support"}
        async with carol.get(f"{url}/api/v1/sessions") as answer:
            assert answer.status == 403
        path = f"/sessions/{sessions[CAROL]['id']}/end"
        assert (await posted(owner, url, path, csrf, key="once"))[0] == 200
        assert not await may_see(carol, url)
        await until_it_may_not_see(carol, other_url)
        assert (await posted(owner, url, path, csrf, key="once"))[0] == 200
        assert (await posted(owner, url, path, csrf))[0] == 404
        (ended,) = admin_actions.search(engine, Filters(action="session")).items
        assert (ended.actor, ended.target) == (f"telegram:{OWNER}", sessions[CAROL]["id"])


async def test_a_role_that_is_taken_ends_what_its_session_may(
    settings: Settings, queueing: Queueing, engine: GuardedEngine
) -> None:
    async with serving(settings, queueing) as url, aiohttp.ClientSession(headers=BEARER) as owner:
        order = {"role": "viewer", "reason": "an auditor"}
        code, given = await posted(owner, url, f"/roles/{CAROL}", "", order)
        assert (code, given["role"], given["granted_by"]) == (200, "viewer", "api:owner")
        async with signed_in(url, queueing, CAROL) as carol:
            assert await may_see(carol, url)
            assert (await status(carol, url))["actions"]["role"] == "viewer"
            taken = await posted(owner, url, f"/roles/{CAROL}", "", {"role": None, "reason": "done"})
            assert taken == (200, None)
            await until_it_may_not_see(carol, url)
    found = admin_actions.search(engine, Filters(target=str(CAROL))).items
    assert [(each.action, each.before, each.after) for each in found] == [
        ("role.take", {"role": "viewer"}, {"role": None}),
        ("role.grant", {"role": None}, {"role": "viewer"}),
    ]


async def test_roles_of_the_settings_are_changed_there_alone(settings: Settings, queueing: Queueing) -> None:
    async with serving(settings, queueing) as url, aiohttp.ClientSession(headers=BEARER) as owner:
        code, refused = await posted(owner, url, f"/roles/{OWNER}", "", {"role": "viewer", "reason": "x"})
        assert code == 409 and "settings" in refused["detail"]


@pytest.mark.parametrize("blank", ["", " ", CROSSED, "\u3164", "\u2800 \u115f"])
async def test_a_reason_that_nobody_can_see_is_refused(
    settings: Settings, queueing: Queueing, engine: GuardedEngine, blank: str
) -> None:
    users.get_or_create(engine, profile=Profile(CAROL, "carol", "Carol"))
    orders: dict[str, Any] = {
        f"/users/{CAROL}/credit": {"amount": 1, "reason": blank},
        f"/users/{CAROL}/debit": {"amount": 1, "reason": blank},
        f"/users/{CAROL}/freeze": {"reason": blank},
        f"/users/{CAROL}/unfreeze": {"reason": blank},
        f"/users/{CAROL}/erase": {"reason": blank},
        f"/users/{CAROL}/message": {"text": blank},
        "/holds/1/post": {"reason": blank},
        "/holds/1/void": {"reason": blank},
        "/transfers/1/reverse": {"amount": 1, "reason": blank},
        f"/roles/{CAROL}": {"role": "viewer", "reason": blank},
    }
    async with serving(settings, queueing) as url, aiohttp.ClientSession(headers=BEARER) as owner:
        for path, body in orders.items():
            code, said = await posted(owner, url, path, "", body)
            assert code == 422, (path, said)
    assert admin_actions.search(engine, Filters()).items == []


def action(key: str, reason: str = "a test") -> AdminAction:
    return AdminAction(key, "operator:test", "role.grant", str(CAROL), 0.0, reason)


def test_a_role_is_given_once_for_its_key(engine: GuardedEngine) -> None:
    assert operators.grant(engine, action("a"), telegram_id=CAROL, role=Role.SUPPORT) is Role.SUPPORT
    assert operators.grant(engine, action("b"), telegram_id=CAROL, role=None) is None
    assert operators.grant(engine, action("a"), telegram_id=CAROL, role=Role.SUPPORT) is None
    assert operators.everybody(engine) == []
    assert len(admin_actions.search(engine, Filters()).items) == 2


def test_roles_are_known_without_the_database_and_restored_to_a_redis_that_lost_them(
    settings: Settings, queueing: Queueing
) -> None:
    seconds = [0.0]
    roles = Roles(queueing.client, clock=lambda: seconds[0])
    roles.restore([(CAROL, Role.TREASURER), (OWNER, Role.VIEWER)])
    assert roles.is_whole()
    in_force = roles.in_force(settings)
    assert in_force.role_of(CAROL) is Role.TREASURER
    assert in_force.role_of(OWNER) is Role.OWNER  # the settings go first
    queueing.client.flushdb()
    assert not roles.is_whole()
    assert roles.in_force(settings).role_of(CAROL) is Role.TREASURER
    seconds[0] += FRESH_SECONDS
    assert roles.in_force(settings).role_of(CAROL) is None


def test_the_audit_log_is_searched_by_who_what_whom_why_and_when(engine: GuardedEngine) -> None:
    for number in range(5):
        made = AdminAction(
            f"k{number}",
            f"web:{number % 2}",
            "user.credit",
            str(number),
            86_400.0 * number,
            f"Order {number}",
        )
        admin_actions.record(engine, made, DONE)
    admin_actions.record(engine, AdminAction("other", "web:0", "users.count", "", 0.0), DONE)

    def found(limit: int = 50, before: int | None = None, **filters: Any) -> list[str]:
        page = admin_actions.search(engine, Filters(**filters), limit=limit, before=before)
        return [each.action_id for each in page.items]

    assert found(actor="web:1") == ["k3", "k1"]
    assert found(action="user", target="2") == ["k2"]
    assert found(action="user") == ["k4", "k3", "k2", "k1", "k0"]
    assert found(text="ORDER 4") == ["k4"]
    first = admin_actions.search(engine, Filters(action="user"), limit=2)
    assert found(2, first.next_before, action="user") == ["k2", "k1"]
