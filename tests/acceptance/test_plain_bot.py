"""The example of a bot without Celery keeps answering, honestly, while its database is unavailable."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger
from dbcore.ledger.users import UserRef
from devstack.ports import free_port
from devstack.programs import Program
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.conftest import MakeSettings
from tests.harness import clusters
from tests.harness.people import assert_audit_passes, balances, say, transfers


async def test_the_plain_bot_answers_through_an_outage_and_tips_once(
    make_stack: MakeStack, telegram: TelegramControl, servers_folder: Path, make_settings: MakeSettings
) -> None:
    port = free_port()
    postgres = clusters.cluster(servers_folder / f"postgres-{port}", port)
    postgres.start()
    try:
        clusters.migrate(postgres)
        stack = make_stack(database_url=postgres.url, DB_DEADLINE_SECONDS="2")
        stack.run("plain", Program("plain", [sys.executable, "-m", "examples.plain_bot"], stop_seconds=5))
        alice = (await telegram.create_user("Alice", username="alice")).id
        boris = (await telegram.create_user("Boris", username="boris")).id
        for person in (alice, boris):
            assert "0.00 CREDIT" in (await say(telegram, person, "/start")).text
        engine = GuardedEngine(make_settings(database_url=postgres.url))
        ledger.adjust(
            engine, key="gift", target=UserRef(telegram_id=alice), amount=500, memo="", actor="test"
        )
        engine.dispose()
        group = (await telegram.create_group("Friends", [alice, boris])).id
        post = await telegram.send_text(boris, "/balance", chat_id=group)
        await telegram.wait_for_message(group)
        postgres.kill()
        assert "cannot look right now" in (await say(telegram, alice, "/balance")).text
        postgres.start()

        async def balance_is_told() -> bool:
            return "Your balance is" in (await say(telegram, alice, "/balance")).text

        while not await balance_is_told():
            await asyncio.sleep(0.5)
        tip = await telegram.send_text(
            alice, "/tip", chat_id=group, reply_to_message_id=post.message.message_id
        )
        await telegram.wait_for_message(group, lambda message: message.text == "Tipped.")
        assert tip.update_id is not None
        await telegram.redeliver(tip.update_id)
        await telegram.wait_until_acknowledged()
        assert transfers(stack) == 1
        assert (balances(stack)[alice], balances(stack)[boris]) == (400, 100)
        assert_audit_passes(stack)
    finally:
        postgres.stop()
