"""What admins see and hear in Telegram of the database, with the real processes: also while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devstack.postgres import EmbeddedPostgres
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.conftest import MakeStack
from tests.harness.people import (
    all_settled,
    answers,
    assert_audit_passes,
    assert_shown,
    balances,
    register,
    say,
    transfers,
)
from tests.harness.servers import running_postgres
from workers.latency_chart import HEIGHT, WIDTH

ALARM_SECONDS_MAX = 60.0
OTHER_ADMIN_ID = 1002


@pytest.fixture
def own_postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    with running_postgres(servers_folder, durable=False) as server:
        yield server


def alarms(texts: list[str]) -> list[str]:
    return [text for text in texts if text.startswith("Alarm")]


def assert_pictured(message: SeenMessage) -> None:
    assert "photo" in message.message, message.text
    largest = message.message["photo"][-1]
    assert (largest["width"], largest["height"]) == (WIDTH, HEIGHT)


def probed(stack: Stack) -> bool:
    return stack.redis.llen("ballast:probe:recent") >= 2


@pytest.mark.timeout(400)
async def test_admins_hear_of_an_outage_once_and_dbstatus_answers_through_it(
    make_stack: MakeStack, telegram: TelegramControl, own_postgres: EmbeddedPostgres
) -> None:
    stack = make_stack(database_url=own_postgres.url, HEALTH_PROBE_SECONDS="1", DB_CONNECTION_BUDGET="20")
    stack.start("frontend", "main", "light", "beat")
    stack.wait_ready(processes=3)
    await register(telegram, "Alice")
    await asyncio.to_thread(stack.wait_until, lambda: probed(stack), "there is something to draw")

    well = await say(telegram, ADMIN_ID, "/dbstatus")
    assert_pictured(well)
    assert "The database is well." in well.text
    assert "Breaker: closed" in well.text
    assert "PostgreSQL 1" in well.text
    assert "budget 20" in well.text

    own_postgres.stop()
    opened = await telegram.wait_for_message(
        ADMIN_ID, lambda message: message.text.startswith("Alarm: "), timeout_seconds=ALARM_SECONDS_MAX
    )
    assert "(reason: outage)" in opened.text
    away = await say(telegram, ADMIN_ID, "/dbstatus")
    assert_pictured(away)
    assert "The database is unavailable." in away.text
    assert "reason outage; since" in away.text

    own_postgres.start()
    closed = await telegram.wait_for_message(
        ADMIN_ID, lambda message: message.text.startswith("Alarm over: "), timeout_seconds=ALARM_SECONDS_MAX
    )
    assert "The database is back after" in closed.text
    assert "The database is well." in (await say(telegram, ADMIN_ID, "/dbstatus")).text
    await all_settled(stack, telegram)
    assert len(alarms(await answers(telegram, ADMIN_ID))) == 2


async def test_a_dead_letter_is_told_to_the_admins(stack: Stack, telegram: TelegramControl) -> None:
    await say(telegram, ADMIN_ID, "/start")
    await telegram.inject({"message": {"text": "no sender and no chat"}})
    told = await telegram.wait_for_message(
        ADMIN_ID, lambda message: message.text.startswith("Alarm: "), timeout_seconds=ALARM_SECONDS_MAX
    )
    assert told.text.startswith("Alarm: A job failed and needs you.")


async def test_an_adjustment_is_done_once_by_the_admin_who_asked_however_often_it_is_pressed(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(
        ADMIN_IDS=f"{ADMIN_ID},{OTHER_ADMIN_ID}",
        CREDIT_LIMIT="50",
        CREDIT_LIMIT_PER_DAY="60.50",
    )
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    await telegram.create_user("Nadia", user_id=OTHER_ADMIN_ID, started=True)
    alice, mallory = await register(telegram, "Alice", "Mallory", credit="10")

    refused = await say(telegram, ADMIN_ID, "/credit @alice 50.01")
    assert "One /credit or /debit may move at most 50.00 CREDIT (CREDIT_LIMIT)" in refused.text
    refused = await say(telegram, ADMIN_ID, "/credit @alice 41")
    assert (
        "at most 60.50 CREDIT in 24 hours (CREDIT_LIMIT_PER_DAY). You have 40.50 CREDIT left" in refused.text
    )

    card = await say(telegram, ADMIN_ID, "/credit @alice 40.50 birthday")
    data = card.buttons[0][1]
    assert data is not None
    # A stranger with the button's data, and another admin.
    for person, words in ((mallory, "Only admins can do that"), (OTHER_ADMIN_ID, "another admin")):
        await assert_shown(telegram, person, replace(card, chat_id=person), data, words)
    # The name changes hands, and the balance changes, before the press.
    await telegram.change_user(alice, username="alice_was")
    await telegram.change_user(mallory, username="alice")
    for person in (alice, mallory):
        await say(telegram, person, "/balance")
    await telegram.press(ADMIN_ID, card.message_id, data, deliveries=3)
    done = await telegram.wait_for_message(ADMIN_ID, lambda message: "Credited 40.50" in message.text)
    assert (done.message_id, done.buttons) == (card.message_id, [])
    assert "to “Alice” (@alice_was)." in done.text
    await telegram.wait_for_message(alice, lambda message: "You were credited 40.50" in message.text)
    await all_settled(stack, telegram)
    assert (balances(stack)[alice], balances(stack)[mallory]) == (5_050, 1_000)
    assert transfers(stack, "credit") == 3

    debit = await say(telegram, OTHER_ADMIN_ID, "/debit @alice_was 5 refund")
    assert "Debit 5.00 CREDIT from “Alice”?" in debit.text
    assert "Balance now: 50.50 CREDIT\nBalance after: 45.50 CREDIT\n“refund”" in debit.text
    await telegram.press_button(OTHER_ADMIN_ID, debit, "Cancel")
    cancelled = await telegram.wait_for_message(OTHER_ADMIN_ID, lambda message: "Cancelled" in message.text)
    assert (cancelled.message_id, cancelled.text) == (debit.message_id, "Cancelled. Nothing was changed.")
    assert balances(stack)[alice] == 5_050
    assert_audit_passes(stack)
