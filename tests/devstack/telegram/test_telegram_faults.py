"""Faults on order and Telegram's limits: what the bot sees, and what the record knows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from telegram import Bot
from telegram.error import BadRequest, ChatMigrated, Forbidden, NetworkError, RetryAfter, TelegramError

from devstack.telegram.control import ControlRefusedError, TelegramControl
from devstack.telegram.demo import BOB_ID, CAROL_ID
from devstack.telegram.limits import Limits, LimitSettings


@pytest.fixture
async def bob(control: TelegramControl) -> int:
    await control.send_text(BOB_ID, "/start")
    return BOB_ID


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("blocked", Forbidden, "bot was blocked by the user"),
        ("deactivated", Forbidden, "user is deactivated"),
        ("kicked", Forbidden, "bot was kicked"),
        ("not_member", Forbidden, "bot is not a member"),
        ("group_deleted", Forbidden, "the group chat was deleted"),
        ("cannot_initiate", Forbidden, "can't initiate conversation"),
        ("chat_not_found", BadRequest, "hat not found"),
        ("peer_id_invalid", BadRequest, "PEER_ID_INVALID|[Pp]eer_id_invalid"),
        ("bad_request", BadRequest, "rong payload"),
        ("internal", NetworkError, "Internal Server Error"),
        ("bad_gateway", NetworkError, "Bad Gateway"),
        ("unavailable", NetworkError, "Service Unavailable"),
    ],
)
async def test_an_ordered_error_is_answered_once_and_takes_no_effect(
    kind: str, error: type[TelegramError], words: str, bot: Bot, control: TelegramControl, bob: int
) -> None:
    fault = await control.add_fault(kind, methods=["sendMessage"], chat_id=bob, count=1)
    with pytest.raises(error, match=words):
        await bot.send_message(bob, "first")
    assert await bot.send_message(bob, "second")
    refused, taken = await control.requests(method="sendMessage")
    assert (refused.outcome, refused.took_effect, refused.fault_id) == ("error", False, fault.id)
    assert (taken.outcome, taken.took_effect, taken.fault_id) == ("ok", True, None)
    assert [message.text for message in await control.messages(bob, from_bot=True)] == ["second"]


async def test_a_flood_says_how_long_to_wait(bot: Bot, control: TelegramControl, bob: int) -> None:
    await control.add_fault("flood", retry_after=7, count=1)
    with pytest.raises(RetryAfter) as flood:
        await bot.send_message(bob, "x")
    seconds = flood.value.retry_after
    assert (seconds if isinstance(seconds, int) else seconds.total_seconds()) == 7


async def test_a_migration_carries_the_new_id(bot: Bot, control: TelegramControl, bob: int) -> None:
    await control.add_fault("migrated", migrate_to_chat_id=-1_000_000_000_077, count=1)
    with pytest.raises(ChatMigrated) as migrated:
        await bot.send_message(bob, "x")
    assert migrated.value.new_chat_id == -1_000_000_000_077


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["reset", "hang"])
async def test_only_the_record_knows_whether_a_lost_answer_took_effect(
    kind: str, when: str, bot: Bot, control: TelegramControl, bob: int
) -> None:
    more: dict[str, Any] = {"seconds": 0.2} if kind == "hang" else {}
    await control.add_fault(kind, when=when, methods=["sendMessage"], count=1, **more)
    with pytest.raises(NetworkError):
        await bot.send_message(bob, "perhaps")
    [request] = await control.requests(method="sendMessage")
    assert request.outcome == ("reset" if kind == "reset" else "hung")
    assert request.took_effect == (when == "after")
    assert len(await control.messages(bob, from_bot=True)) == (1 if when == "after" else 0)


async def test_an_outage_refuses_everything_until_it_is_cleared(
    bot: Bot, control: TelegramControl, bob: int
) -> None:
    await control.add_fault("outage")
    for call in (bot.get_me(), bot.get_updates(), bot.send_message(bob, "x")):
        with pytest.raises(NetworkError):
            await call
    await control.clear_faults()
    assert await bot.send_message(bob, "x")


async def test_latency_delays_and_a_cleared_hang_lets_go(
    bot: Bot, control: TelegramControl, bob: int
) -> None:
    await control.add_fault("latency", seconds=0.3, count=1)
    started = asyncio.get_running_loop().time()
    assert await bot.send_message(bob, "slow")
    assert asyncio.get_running_loop().time() - started >= 0.3
    hang = await control.add_fault("hang", when="before")
    waiting = asyncio.create_task(bot.send_message(bob, "never"))
    while not await control.requests(outcome="hung"):
        await control.requests(after=10**9, wait_seconds=0.1)
    assert not waiting.done()
    await control.clear_faults(hang.id)
    with pytest.raises(NetworkError):
        await waiting


async def test_a_fault_meets_only_what_it_names(bot: Bot, control: TelegramControl, bob: int) -> None:
    await control.send_text(CAROL_ID, "/start")
    await control.add_fault("blocked", methods=["sendMessage"], chat_id=CAROL_ID, skip=1, count=1)
    assert await bot.send_message(bob, "not him")
    assert await bot.send_message(CAROL_ID, "one passes")
    with pytest.raises(Forbidden):
        await bot.send_message(CAROL_ID, "the next does not")
    [fault] = await control.faults()
    assert (fault.hits, fault.count) == (1, 0)


async def test_a_nonsense_order_is_refused_with_a_reason(control: TelegramControl) -> None:
    with pytest.raises(ControlRefusedError, match="kind: expected one of"):
        await control.add_fault("tsunami")
    with pytest.raises(ControlRefusedError, match="seconds: a latency needs a duration"):
        await control.add_fault("latency")


async def test_the_limits_answer_429_when_they_are_on(bot: Bot, control: TelegramControl, bob: int) -> None:
    await control.set_limits(enabled=True, chat_burst=2, chat_per_second=0.05)
    await bot.send_message(bob, "1")
    await bot.send_message(bob, "2")
    with pytest.raises(RetryAfter) as flood:
        await bot.send_message(bob, "3")
    seconds = flood.value.retry_after
    assert 1 <= (seconds if isinstance(seconds, int) else seconds.total_seconds()) <= 20
    assert [request.took_effect for request in await control.requests(method="sendMessage")] == [
        True,
        True,
        False,
    ]


class Hand:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_one_chat_gets_one_message_a_second_after_a_burst() -> None:
    hand = Hand()
    limits = Limits(LimitSettings(enabled=True), hand)
    assert [limits.wait_seconds(1, paid=False) for _ in range(4)] == [0, 0, 0, 1]
    assert limits.wait_seconds(2, paid=False) == 0
    hand.at += 1.0
    assert [limits.wait_seconds(1, paid=False) for _ in range(2)] == [0, 1]


def test_all_chats_together_get_thirty_a_second_and_paid_ones_more() -> None:
    hand = Hand()
    limits = Limits(LimitSettings(enabled=True), hand)
    assert [limits.wait_seconds(chat_id, paid=False) for chat_id in range(1, 32)] == [0] * 30 + [1]
    assert all(limits.wait_seconds(chat_id, paid=True) == 0 for chat_id in range(100, 200))


def test_each_piece_of_an_album_counts() -> None:
    hand = Hand()
    limits = Limits(LimitSettings(enabled=True), hand)
    assert [limits.wait_seconds(chat_id, paid=False, pieces=10) for chat_id in range(1, 5)] == [0, 0, 0, 1]
    hand.at += 1.0
    assert [limits.wait_seconds(-5, paid=False, pieces=10) for _ in range(3)] == [0, 0, 60]
    hand.at += 59.0
    assert limits.wait_seconds(-5, paid=False, pieces=10) == 1
    hand.at += 1.0
    assert limits.wait_seconds(-5, paid=False, pieces=10) == 0
    hand.at += 60.0
    assert limits.wait_seconds(-5, paid=False, pieces=100) == 0


def test_a_group_gets_twenty_a_minute() -> None:
    hand = Hand()
    limits = Limits(LimitSettings(enabled=True), hand)
    for _ in range(20):
        assert limits.wait_seconds(-5, paid=False) == 0
        hand.at += 1.0
    assert limits.wait_seconds(-5, paid=False) == 40
    hand.at += 40.0
    assert [limits.wait_seconds(-5, paid=False) for _ in range(2)] == [0, 1]
