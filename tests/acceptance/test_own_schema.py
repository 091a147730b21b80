"""All processes in the database of an existing bot: its tables stay its own, Ballast's are in BALLAST_SCHEMA."""

from __future__ import annotations

import psycopg2
import pytest

from devstack.stack import ADMIN_ID
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.bots_database import SCHEMA
from tests.harness.people import (
    all_settled,
    assert_audit_passes,
    balances,
    confirm,
    register,
    say,
)


@pytest.fixture
def database_url(bots_database_url: str) -> str:
    return bots_database_url


async def test_the_bot_works_in_a_schema_of_its_own_and_leaves_the_other_tables_alone(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(BALLAST_SCHEMA=SCHEMA, HEALTH_PROBE_SECONDS="1")
    stack.start("frontend", "main", "light", "bulk", "beat")
    stack.wait_ready(processes=4)
    alice, boris = await register(telegram, "Alice", "Boris", credit="10")
    card = await say(telegram, alice, "/send @boris 4 lunch")
    await telegram.press_button(alice, card, "Confirm")
    await telegram.wait_for_message(boris, lambda message: "4.00" in message.text)
    assert "6.00" in (await say(telegram, alice, "/balance")).text
    assert "lunch" in (await say(telegram, alice, "/history")).text

    draft = await telegram.send_text(ADMIN_ID, "/broadcast News for all")
    drawn_up = await telegram.wait_for_message(
        ADMIN_ID, lambda message: message.text.startswith("Broadcast "), after=draft.message.revision
    )
    await confirm(telegram, drawn_up)
    await telegram.wait_for_message(boris, lambda message: message.text == "News for all")
    await all_settled(stack, telegram)
    stack.wait_until(lambda: stack.query("SELECT 1 FROM health_probes WHERE ok LIMIT 1") != [], "a probe")

    assert balances(stack) | {ADMIN_ID: 0} == {alice: 600, boris: 1400, ADMIN_ID: 0}
    assert_audit_passes(stack)
    connection = psycopg2.connect(stack.database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT telegram_id, balance::text FROM public.users ORDER BY 1")
        assert cursor.fetchall() == [(7, "12.50"), (8, "0")]
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
        assert {name for (name,) in cursor.fetchall()} == {"alembic_version", "users"}
    connection.close()
