"""What admins see and hear in Telegram of the database, with the real processes: also while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbcore.migrate import upgrade
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.conftest import MakeStack
from tests.acceptance.people import all_settled, answers, register, say
from workers.latency_chart import HEIGHT, WIDTH

ALARM_SECONDS_MAX = 60.0


@pytest.fixture
def own_postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    port = free_port()
    server = EmbeddedPostgres(servers_folder / f"postgres-{port}", port, durable=False)
    server.start()
    upgrade(server.url)
    yield server
    server.stop()


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
    assert "The database is away." in away.text
    assert "reason outage; since" in away.text

    own_postgres.start()
    closed = await telegram.wait_for_message(
        ADMIN_ID, lambda message: message.text.startswith("Alarm over: "), timeout_seconds=ALARM_SECONDS_MAX
    )
    assert "The database is back after" in closed.text
    assert "The database is well." in (await say(telegram, ADMIN_ID, "/dbstatus")).text
    await all_settled(stack, telegram)
    assert len(alarms(await answers(telegram, ADMIN_ID))) == 2


async def test_dbstatus_is_for_admins_alone(stack: Stack, telegram: TelegramControl) -> None:
    (alice,) = await register(telegram, "Alice")
    assert "do not know /dbstatus" in (await say(telegram, alice, "/dbstatus")).text
    assert "dbstatus" in (await say(telegram, ADMIN_ID, "/help")).text
    assert "dbstatus" not in (await say(telegram, alice, "/help")).text


async def test_a_dead_letter_is_told_to_the_admins(stack: Stack, telegram: TelegramControl) -> None:
    await say(telegram, ADMIN_ID, "/start")
    await telegram.inject({"message": {"text": "no sender and no chat"}})
    told = await telegram.wait_for_message(
        ADMIN_ID, lambda message: "dead letter" in message.text, timeout_seconds=ALARM_SECONDS_MAX
    )
    assert told.text.startswith("Alarm: A job could not be done")
