"""Payments by providers with a stack of each test's own: compared with what the providers list, while everything is
away, and by a provider of an app.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio

from devstack.postgres import EmbeddedPostgres
from devstack.providers import LocalProviders, send
from devstack.proxy import frozen_server
from devstack.redis import EmbeddedRedis
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.acceptance.test_providers import PATIENCE_SECONDS, frontend, options, session_of, until
from tests.harness.people import all_settled, assert_audit_passes, balances, register, say


@pytest_asyncio.fixture
async def stand_in() -> AsyncIterator[LocalProviders]:
    async with LocalProviders() as providers:
        yield providers


def at_work(make_stack: MakeStack, stand_in: LocalProviders, **more: str) -> Stack:
    stack = make_stack(**options(stand_in.url), **more)
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    return stack


async def test_what_a_provider_lists_is_compared_and_what_cannot_be_booked_is_an_alarm_until_it_is_accepted(
    make_stack: MakeStack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
    stack = at_work(make_stack, stand_in)
    await say(telegram, ADMIN_ID, "/start")
    (ann,) = await register(telegram, "Ann")

    def ballast(*arguments: str) -> tuple[int, str]:
        done = stack.command("ballast", "reconcile", "--provider", "stripe", *arguments)
        return done.returncode, done.stdout + done.stderr

    lost = await session_of(telegram, stand_in, ann, "20")
    stand_in.pay_session(lost)  # and its webhook is lost
    odd = await session_of(telegram, stand_in, ann, "5")
    stand_in.sessions[odd]["amount_total"] = 1
    stand_in.pay_session(odd)
    status, said = await asyncio.to_thread(ballast)
    assert status == 1, said
    assert f"theirs_alone  pi_{lost}" in said
    assert f"not_as_asked  pi_{odd}" in said
    await telegram.wait_for_message(
        ann, lambda message: "We received your payment" in message.text, timeout_seconds=PATIENCE_SECONDS
    )
    await telegram.wait_for_message(
        ADMIN_ID,
        lambda message: "stripe tells of payments and the ledger do not agree" in message.text,
        timeout_seconds=PATIENCE_SECONDS,
    )
    await all_settled(stack, telegram)
    status, said = await asyncio.to_thread(ballast, "--show", "--csv")
    assert [line.split(",")[1] for line in said.splitlines()] == ["difference", "not_as_asked"], said
    assert status == 1
    await asyncio.to_thread(
        stack.wait_until,
        lambda: [each["open"] for each in stack.get("/status.json")[1]["providers"]] == [1],
        "the page shows it",
    )
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{frontend(stack)}/provider-differences.csv") as answer,
    ):
        assert f"pi_{odd}" in await answer.text()
    assert (await asyncio.to_thread(ballast, "--accept", "pi_nobody"))[0] != 0
    status, said = await asyncio.to_thread(ballast, "--accept", f"pi_{odd}")
    assert (status, "1 accepted" in said) == (0, True), said
    await telegram.wait_for_message(
        ADMIN_ID, lambda message: "agree again after" in message.text, timeout_seconds=PATIENCE_SECONDS
    )
    swept = await asyncio.to_thread(
        stack.command,
        *("celery", "-A", "workers", "call", "workers.payments.sweep", "--queue", "health"),
        *("--kwargs", '{"reconcile": true}'),
    )
    assert swept.returncode == 0, swept.stderr
    await asyncio.to_thread(
        stack.wait_until,
        lambda: (
            stack.query(
                "SELECT count(*) FROM provider_reconciliations WHERE finished_at IS NOT NULL AND provider = 'stripe'"
            )
            == [(2,)]
        ),
        "the sweep compared it",
    )
    status, said = await asyncio.to_thread(ballast)
    assert status == 0
    assert "accepted by" in said
    assert balances(stack)[ann] == 2000
    assert_audit_passes(stack)


async def test_payments_are_taken_while_postgresql_is_frozen_and_asked_for_again_while_redis_is_away(
    make_stack: MakeStack,
    telegram: TelegramControl,
    stand_in: LocalProviders,
    own_redis: EmbeddedRedis,
    postgres_server: EmbeddedPostgres,
) -> None:
    stack = at_work(make_stack, stand_in, redis_url=own_redis.url)
    (ann,) = await register(telegram, "Ann")
    first, second = [await session_of(telegram, stand_in, ann, "20") for _ in range(2)]
    await asyncio.to_thread(own_redis.stop)
    told = stand_in.pay_session(first)
    status, retry_after = await send(told, frontend(stack))
    assert (status, int(retry_after) > 0) == (503, True)
    await asyncio.to_thread(own_redis.start)
    await until(stack, told)
    await telegram.wait_for_message(ann, lambda message: "Receipt number" in message.text)
    with frozen_server(postgres_server.pid or 0):
        assert (await send(stand_in.pay_session(second), frontend(stack)))[0] == 200
        assert not stack.is_idle()
    await telegram.wait_for_message(ann, lambda message: "Your balance is 40.00 CREDIT" in message.text)
    await all_settled(stack, telegram)
    assert balances(stack) == {ann: 4000}
    assert_audit_passes(stack)


async def test_a_provider_of_an_app_is_offered_and_what_it_tells_is_booked(
    make_stack: MakeStack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
    stack = at_work(make_stack, stand_in, BALLAST_APPS="tests.acceptance.till:app", TILL_SECRET="till's own")
    (ann,) = await register(telegram, "Ann")
    await say(telegram, ann, "/deposit till 20")
    link = await telegram.wait_for_message(ann, lambda message: "till.example" in message.text)
    order = link.text.partition("order=")[2].partition("&")[0]
    told = {"event": "e1", "payment": "p1", "cents": 500, "order": order, "at": 1_700_000_000}
    body = json.dumps(told).encode()
    signed = hmac.new(b"till's own", body, hashlib.sha256).hexdigest()
    async with aiohttp.ClientSession() as http:
        for signature, status in ((signed, 200), (signed, 200), ("0" * 64, 400)):
            headers = {"X-Signature": signature}
            async with http.post(f"{frontend(stack)}/pay/till", data=body, headers=headers) as answer:
                assert answer.status == status
    receipt = await telegram.wait_for_message(ann, lambda message: "Receipt number" in message.text)
    assert "We received your payment of 5.00 EUR. 20.00 CREDIT was added" in receipt.text
    await all_settled(stack, telegram)
    assert balances(stack) == {ann: 2000}
    assert_audit_passes(stack)
