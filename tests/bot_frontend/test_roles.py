"""Roles, one by one, against every route of the frontend and every command and button for operators. What there is
comes from the registries: one that the table of permissions does not know fails here.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import aiohttp
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from ballast.apps.installed import INSTALLED
from ballast.builtin import button_data
from ballast.builtin.balances import DecideAdjustment
from ballast.builtin.broadcasts import CardButton, PressBroadcast
from ballast.builtin.status import OperatorAction
from ballast.operators.permissions import OF_ORDERS, PERMISSIONS, Permission, may
from ballast.operators.roles import SigningIn, make_code
from bot_frontend.router import route
from bot_frontend.updates import ButtonPress, Sender
from bot_frontend.web.api.callers import Requires
from bot_frontend.web.app import make_app
from bot_frontend.web.lazy_api import LazyApi
from dbcore.roles import Role
from dbcore.settings import Settings
from devstack.stack import ROOT, TOKEN
from tests.bot_frontend.test_commands import press, said, text
from tests.bot_frontend.test_page import BEARER, OPS_TOKEN, order, status
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

IDS = {role: 100 + number for number, role in enumerate(Role)}
NOBODY = 99

OPEN = {
    *("/health/live", "/health/ready", "/health", "/openapi.json"),
    *("/", "/outages", "/failed-jobs", "/sign-in", "/sign-out"),  # to a stranger, pages that ask to sign in
    "/page-texts/{language}.js",
}
"""What everybody may ask for. Everything else asks who it is."""

ANSWERED_BY_PAGES = {"/", "/outages", "/failed-jobs"}


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str, database_url: str) -> Settings:
    roles = ",".join(f"{each}:{role}" for role, each in IDS.items())
    return make_settings(
        redis_url=redis_url,
        database_url=database_url,
        telegram_bot_token=TOKEN,
        ops_token=OPS_TOKEN,
        admin_roles=roles,
        stars_refund_hours=0,
    )


def routes_of(settings: Settings, queueing: Queueing) -> tuple[list[BaseRoute], list[APIRoute]]:
    """Of the frontend's app, with nothing behind it, and of its API."""
    nothing: Any = object()
    webhooks: Any = type("NoWebhooks", (), {"routes": staticmethod(list)})
    api = LazyApi(settings, queueing.client, queueing.inbox, queueing.publisher)
    app = make_app(settings, nothing, None, nothing, nothing, webhooks, api)
    return app.routes, [route for route in api.made().app.routes if isinstance(route, APIRoute)]


def permissions_of(dependant: Dependant) -> Iterator[Permission]:
    for each in dependant.dependencies:
        if isinstance(each.call, Requires):
            yield each.call.permission
        yield from permissions_of(each)


@asynccontextmanager
async def signed_in(url: str, queueing: Queueing, telegram_id: int) -> AsyncIterator[aiohttp.ClientSession]:
    """By a code of the bot's."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        code = make_code(queueing.client, SigningIn(telegram_id, f"@op{telegram_id}"))
        form = {"token": code, "name": "of no account"}
        async with http.post(f"{url}/sign-in", data=form, allow_redirects=False) as answer:
            assert answer.status == 303
        yield http


PATHS = {"telegram_id": "7", "transfer_id": "1", "reference": "7F3KQ2MA", "broadcast_id": "1"}
PATHS |= {"session_id": "nobodys-session", "hold_id": "1", "approval_id": "1", "number": "1"}
PATHS |= {"queue": "balances", "worker": "main@host"}


def filled(path: str, actions: str = "retry") -> str:
    values = {**PATHS, "action": "pause" if "broadcast" in path else actions}
    return path.replace("{reference}/{action}", f"{values['reference']}/retry").format_map(values)


async def test_each_route_of_the_api_lets_through_just_the_roles_of_the_table(
    settings: Settings, queueing: Queueing
) -> None:
    _, routes = routes_of(settings, queueing)
    found = [(each, [*permissions_of(each.dependant)]) for each in routes]
    assert len(found) > 20
    assert {each.path for each, needed in found if len(needed) != 1} == set()
    async with serving(settings, queueing) as url:
        for role, telegram_id in IDS.items():
            async with signed_in(url, queueing, telegram_id) as http:
                csrf = (await status(http, url))["actions"]["csrf"]
                for each, (needed,) in found:
                    for method in each.methods or ():
                        headers = {"X-CSRF-Token": csrf, "Idempotency-Key": uuid.uuid4().hex}
                        path = f"{url}{filled(each.path)}"
                        # An empty body: what is permitted goes no further than to be found malformed.
                        async with http.request(method, path, headers=headers, data="[") as answer:
                            refused = answer.status == 403
                            assert refused is not may(role, needed), (role, method, each.path, answer.status)


async def test_each_other_route_is_open_to_all_or_asks_who_it_is(
    settings: Settings, queueing: Queueing
) -> None:
    routes, _ = routes_of(settings, queueing)
    others = [each for each in routes if isinstance(each, Route)]
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        for each in others:
            for method in each.methods or ():
                if each.path in OPEN:
                    continue
                path = f"{url}{filled(each.path)}"
                async with http.request(method, path) as answer:
                    assert answer.status == 401, (method, each.path)
        for role, telegram_id in IDS.items():
            assert may(role, Permission.SEE_STATUS)
            async with signed_in(url, queueing, telegram_id) as own:
                for each in others:
                    if "GET" in (each.methods or ()) and each.path not in OPEN - ANSWERED_BY_PAGES:
                        async with own.get(f"{url}{filled(each.path)}") as answer:
                            assert answer.status not in {401, 403}, (role, each.path)


async def test_each_order_of_the_page_is_taken_from_just_the_roles_of_the_table(
    settings: Settings, queueing: Queueing
) -> None:
    orders = get_args(OperatorAction.model_fields["action"].annotation)
    targets = {
        "dead_letter": "7F3KQ2MA",
        "broadcast": "1",
        "breaker": "",
        "queue": "balances",
        "worker": "main@host",
    }
    report = {"node": "main@host", "queues": ["balances"]}
    async with serving(settings, queueing) as url:
        for role, telegram_id in IDS.items():
            queueing.inbox.beat("host:1:a", report)
            async with signed_in(url, queueing, telegram_id) as http:
                told = (await status(http, url))["actions"]
                assert (told["role"], told["signed_in_as"]) == (role, f"@op{telegram_id}")
                assert {*told["permitted"]} == {each for each in Permission if may(role, each)}
                for action in orders:
                    sort = action.partition(".")[0]
                    headers = {"X-CSRF-Token": told["csrf"]}
                    code, _ = await order(http, url, headers, action, targets[sort])
                    taken = 409 if action == "worker.drain" else 202  # it is the last one
                    assert code == (taken if may(role, OF_ORDERS[sort]) else 403), (role, action)


@pytest.mark.parametrize("role", [None, *Role])
def test_each_command_for_operators_is_obeyed_from_just_the_roles_of_the_table(
    settings: Settings, role: Role | None
) -> None:
    sender = Sender(NOBODY if role is None else IDS[role], "op", "Op")
    commands = {name: each.needs for name, each in INSTALLED.commands.items() if each.needs is not None}
    assert commands.keys() >= {
        "credit",
        "debit",
        "user",
        "broadcast",
        "broadcasts",
        "dbstatus",
        "role",
        "signin",
    }
    for name, needs in commands.items():
        for words in (f"/{name}", f"/{name} @carol 5 because"):
            answer = route(text(words, sender), None, settings)
            is_unknown = answer is not None and getattr(answer.job, "messages", None) is not None
            is_unknown = is_unknown and said(answer).startswith(f"I do not know /{name}.")
            assert is_unknown is not may(role, needs), (role, words)


@pytest.mark.parametrize("role", [None, *Role])
def test_each_button_for_operators_is_obeyed_from_just_the_roles_of_the_table(
    settings: Settings, role: Role | None
) -> None:
    telegram_id = NOBODY if role is None else IDS[role]
    sender = Sender(telegram_id, "op", "Op")
    confirm = button_data.adjustment(button_data.CONFIRM, "abc-123_DEF-0123", telegram_id)
    adjusts = route(press(confirm, sender), None, settings)
    assert adjusts is not None
    assert isinstance(adjusts.job, DecideAdjustment) is may(role, Permission.ADJUST)
    pause = button_data.broadcast_card(1, CardButton.PAUSE)
    broadcasts = route(ButtonPress(5, 1, telegram_id, 3, sender, "q", pause), None, settings)
    assert broadcasts is not None
    assert isinstance(broadcasts.job, PressBroadcast) is may(role, Permission.BROADCAST)


def test_every_permission_is_needed_somewhere(settings: Settings, queueing: Queueing) -> None:
    _, routes = routes_of(settings, queueing)
    by_routes = {needed for each in routes for needed in permissions_of(each.dependant)}
    by_commands = {each.needs for each in INSTALLED.commands.values()}
    beside = {Permission.COMMAND_APPS, Permission.REFUND, Permission.QUERY}
    assert by_routes | by_commands | {*OF_ORDERS.values()} | beside == {*Permission} | {None}
    assert PERMISSIONS.keys() == {*Permission}


async def test_ops_token_may_do_everything(settings: Settings, queueing: Queueing) -> None:
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        told = (await status(http, url, **BEARER))["actions"]
        assert {*told["permitted"]} == {*Permission}


def test_the_page_of_the_docs_says_the_same() -> None:
    page = (ROOT / "docs/roles.md").read_text()
    told = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if "✓" in line]
    assert told == [
        [
            row.what,
            *("✓" if role.includes(row.least) else "" for role in Role),
            f"`{row.scope}`" if row.scope else "",
        ]
        for row in PERMISSIONS.values()
    ]
