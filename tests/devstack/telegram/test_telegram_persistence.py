"""What was answered survives a kill -9."""

from __future__ import annotations

from pathlib import Path

import pytest
from telegram import BotCommand

from devstack.embedded import EmbeddedServerError
from devstack.ports import free_port
from devstack.telegram.control import TelegramControl
from devstack.telegram.demo import BOB_ID
from devstack.telegram.process import TelegramProcess
from tests.devstack.telegram.conftest import make_bot


async def test_a_killed_telegram_finds_everything_again(tmp_path: Path) -> None:
    process = TelegramProcess(tmp_path / "with space", free_port(), admin_ids=(77, 78))
    process.start()
    try:
        async with TelegramControl(process.url) as control, make_bot(process) as bot:
            dora = await control.create_user("Dora", username="dora")
            taken = await control.send_text(BOB_ID, "taken")
            assert taken.update_id is not None
            await bot.get_updates()
            await bot.get_updates(offset=taken.update_id + 1)
            kept = await control.send_text(dora.id, "not taken yet")
            assert kept.update_id == taken.update_id + 1
            await bot.set_my_commands([BotCommand("start", "Begin")])
            said = await bot.send_message(dora.id, "hello")
        process.kill()
        process.start()
        async with TelegramControl(process.url) as control, make_bot(process) as bot:
            people = {user.id: user for user in await control.users()}
            assert people[dora.id].username == "dora"
            assert [people[77].first_name, people[77].is_admin, people[78].is_admin] == ["Ada", True, True]
            assert len(people) == 5, "the demo people are not made twice"
            assert [update.update_id for update in await bot.get_updates()] == [kept.update_id]
            assert (await control.send_text(dora.id, "and on")).update_id == kept.update_id + 1
            again = await bot.send_message(dora.id, "hello again")
            assert again.message_id > said.message_id
            assert [request.method for request in await control.requests(chat_id=dora.id)] == [
                "sendMessage"
            ] * 2
            assert await control.menu(dora.id) == [{"command": "start", "description": "Begin"}]
    finally:
        process.stop()


def test_a_second_telegram_on_the_same_data_is_refused(
    tmp_path: Path, telegram_process: TelegramProcess
) -> None:
    second = TelegramProcess(telegram_process.data_dir, free_port())
    with pytest.raises(EmbeddedServerError, match="is in use by another local Telegram"):
        second.start()


def test_a_token_that_is_none_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="TELEGRAM_BOT_TOKEN: expected <bot id>:"):
        TelegramProcess(tmp_path / "data", free_port(), token="nonsense").start()
