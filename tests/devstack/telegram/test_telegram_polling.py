"""getUpdates: what an offset does, who may poll, and what is kept for how long."""

from __future__ import annotations

import asyncio
import itertools

import aiohttp
import pytest
from telegram import Bot
from telegram.error import Conflict

from devstack.telegram.control import TelegramControl
from devstack.telegram.demo import BOB_ID, CAROL_ID
from devstack.telegram.process import TelegramProcess
from tests.devstack.telegram.conftest import make_bot, method_url


async def test_updates_stay_until_the_offset_passes_them(bot: Bot, control: TelegramControl) -> None:
    for text in ("one", "two", "three"):
        await control.send_text(BOB_ID, text)
    first = await bot.get_updates(limit=2)
    assert [update.message.text for update in first if update.message] == ["one", "two"]
    assert [b.update_id - a.update_id for a, b in itertools.pairwise(first)] == [1]
    assert await bot.get_updates(offset=first[0].update_id, limit=2) == first, "nothing was acknowledged"
    rest = await bot.get_updates(offset=first[1].update_id + 1)
    assert [update.message.text for update in rest if update.message] == ["three"]
    truth = await control.updates()
    assert [update.acknowledged_by for update in truth] == ["offset", "offset", None]
    assert [update.handed_out_count for update in truth] == [2, 2, 1]
    assert await bot.get_updates(offset=rest[0].update_id + 1) == ()
    await control.wait_until_acknowledged()


async def test_an_offset_repeated_at_once_gets_one_update_at_a_time(
    bot: Bot, control: TelegramControl
) -> None:
    for text in ("one", "two"):
        await control.send_text(BOB_ID, text)
    first = (await bot.get_updates())[0].update_id
    assert len(await bot.get_updates(offset=first)) == 2, "an offset that is new"
    assert len(await bot.get_updates(offset=first)) == 1, "the same offset within half a second"


async def test_a_negative_offset_keeps_only_the_last(bot: Bot, control: TelegramControl) -> None:
    for text in ("one", "two", "three"):
        await control.send_text(BOB_ID, text)
    [last] = await bot.get_updates(offset=-1)
    assert last.message is not None
    assert last.message.text == "three"
    assert [update.kind for update in await control.updates(state="pending")] == ["message"]


async def test_a_long_poll_is_answered_when_something_happens(bot: Bot, control: TelegramControl) -> None:
    waiting = asyncio.create_task(bot.get_updates(timeout=50))
    await control.send_text(BOB_ID, "at last")
    [update] = await asyncio.wait_for(waiting, 30)
    assert update.message is not None
    assert update.message.text == "at last"


async def test_the_earlier_of_two_pollers_is_terminated(
    bot: Bot, telegram_process: TelegramProcess, control: TelegramControl
) -> None:
    async with make_bot(telegram_process) as other:
        polls = [asyncio.create_task(each.get_updates(timeout=50)) for each in (bot, other)]
        done, waiting = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        assert len(done) == 1
        with pytest.raises(Conflict, match="terminated by other getUpdates request; make sure that only one"):
            await done.pop()
        await control.send_text(BOB_ID, "for the one that is left")
        assert len(await asyncio.wait_for(waiting.pop(), 30)) == 1


async def test_a_poller_that_died_is_handed_nothing(
    bot: Bot, telegram_process: TelegramProcess, control: TelegramControl, http: aiohttp.ClientSession
) -> None:
    with pytest.raises(TimeoutError):
        async with http.get(
            method_url(telegram_process, "getUpdates"),
            params={"timeout": "50"},
            timeout=aiohttp.ClientTimeout(total=0.3),
        ):
            pass
    await control.send_text(BOB_ID, "who is there?")
    [request] = await control.requests(method="getUpdates", wait_seconds=20)
    assert request.outcome == "ok"
    [update] = await control.updates()
    assert update.handed_out_count == 0
    assert len(await bot.get_updates(offset=1)) == 1


async def test_polling_is_refused_while_a_webhook_is_set(bot: Bot, control: TelegramControl) -> None:
    waiting = asyncio.create_task(bot.get_updates(timeout=50))
    await asyncio.wait({waiting}, timeout=0.2)
    await bot.set_webhook("http://127.0.0.1:9/never")
    with pytest.raises(Conflict, match="terminated by setWebhook request"):
        await waiting
    with pytest.raises(Conflict, match="can't use getUpdates method while webhook is active"):
        await bot.get_updates()
    await bot.delete_webhook()
    assert await bot.get_updates() == ()


async def test_only_the_wanted_kinds_are_queued_and_the_wish_is_remembered(
    bot: Bot, control: TelegramControl
) -> None:
    await bot.get_updates(allowed_updates=["my_chat_member"])
    await control.send_text(BOB_ID, "not wanted")
    await control.block(BOB_ID)
    assert [update.my_chat_member is not None for update in await bot.get_updates()] == [True]
    assert (await bot.get_webhook_info()).allowed_updates == ("my_chat_member",)
    await bot.get_updates(allowed_updates=[])
    assert (await control.send_text(BOB_ID, "wanted again")).update_id is not None


async def test_blocking_and_coming_back_are_told(bot: Bot, control: TelegramControl) -> None:
    await control.send_text(BOB_ID, "/start")
    await control.block(BOB_ID)
    await control.send_text(BOB_ID, "back again")
    changes = [
        (update.my_chat_member.old_chat_member.status, update.my_chat_member.new_chat_member.status)
        for update in await bot.get_updates()
        if update.my_chat_member
    ]
    assert changes == [("member", "kicked"), ("kicked", "member")]


async def test_one_press_can_come_as_several_updates(bot: Bot, control: TelegramControl) -> None:
    await control.send_text(BOB_ID, "/start")
    await control.press(BOB_ID, 999_999_999, "pay", deliveries=2, force=True)
    await control.press(BOB_ID, 999_999_999, "pay", deliveries=2, same_query_id=True, force=True)
    updates = (await bot.get_updates())[1:]
    queries = [update.callback_query.id for update in updates if update.callback_query]
    assert len({update.update_id for update in updates}) == 4
    assert queries[0] != queries[1]
    assert queries[2] == queries[3]
    assert {update.callback_query.data for update in updates if update.callback_query} == {"pay"}


async def test_an_update_can_be_handed_out_again_after_it_was_acknowledged(
    bot: Bot, control: TelegramControl
) -> None:
    sent = await control.send_text(BOB_ID, "once")
    assert sent.update_id is not None
    await bot.get_updates()
    assert await bot.get_updates(offset=sent.update_id + 1) == ()
    await control.redeliver(sent.update_id)
    [again] = await bot.get_updates(offset=sent.update_id + 1, timeout=5)
    assert again.update_id == sent.update_id
    assert await bot.get_updates(offset=sent.update_id + 2) == ()
    await control.wait_until_acknowledged()


async def test_a_malformed_update_is_handed_out_as_it_is(
    bot: Bot, control: TelegramControl, telegram_process: TelegramProcess
) -> None:
    poison = {"message": {"message_id": "not a number", "chat": None}}
    update_id = await control.inject(poison)
    [update] = await control.updates(state="pending")
    assert update.update == {"update_id": update_id, **poison}
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever python-telegram-bot makes of it
        await bot.get_updates()


async def test_updates_expire_as_telegrams_do(bot: Bot, control: TelegramControl) -> None:
    await control.send_text(BOB_ID, "/start")
    await control.press(BOB_ID, 1, "x", force=True)
    await control.advance_clock(151)
    assert [update.message is not None for update in await bot.get_updates()] == [True]
    await control.advance_clock(24 * 3600)
    assert await bot.get_updates() == ()
    assert {update.acknowledged_by for update in await control.updates()} == {"expired"}


async def test_a_bot_in_a_group_hears_commands_mentions_and_replies_only(
    bot: Bot, control: TelegramControl
) -> None:
    group = await control.create_group("Friends", [BOB_ID, CAROL_ID])
    said = await bot.send_message(group.id, "hello")
    heard = {
        text: (await control.send_text(BOB_ID, text, chat_id=group.id)).update_id is not None
        for text in (
            "hi all",
            "/balance",
            "/balance@ballast_local_bot",
            "/balance@other_bot",
            "@Ballast_local_bot?",
        )
    }
    assert list(heard.values()) == [False, True, True, False, True]
    reply = await control.send_text(CAROL_ID, "hi", chat_id=group.id, reply_to_message_id=said.message_id)
    assert reply.update_id is not None
    joined = (await bot.get_updates())[0].my_chat_member
    assert joined is not None
    assert joined.new_chat_member.status == "member"
