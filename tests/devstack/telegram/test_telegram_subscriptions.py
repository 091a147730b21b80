"""Subscriptions as the local Telegram plays them, to a real bot."""

from __future__ import annotations

import pytest
from telegram import Bot, LabeledPrice, SuccessfulPayment
from telegram.error import BadRequest

from devstack.telegram.control import ControlRefusedError, TelegramControl

PERIOD = 2_592_000
PRICE = [LabeledPrice("Premium", 250)]


async def made(bot: Bot, payload: str = "mine") -> str:
    return await bot.create_invoice_link(
        "Premium", "For 30 days.", payload, "XTR", PRICE, subscription_period=PERIOD
    )


async def test_a_link_is_renewed_every_30_days_and_never_otherwise(bot: Bot) -> None:
    with pytest.raises(BadRequest, match=r"(?i)subscription_period_invalid"):
        await bot.create_invoice_link("A", "B", "p", "XTR", PRICE, subscription_period=PERIOD - 1)
    assert (await made(bot)).startswith("https://t.me/$")


async def test_it_begins_is_renewed_and_is_in_telegrams_book(control: TelegramControl, bot: Bot) -> None:
    bob, link = await control.create_user("Bob", started=True), await made(bot)
    with pytest.raises(ControlRefusedError, match="not renewed"):
        await control.subscribe(bob.id, link, "c0", renew=True)
    await control.subscribe(bob.id, link, "c1")
    with pytest.raises(ControlRefusedError, match="already"):
        await control.subscribe(bob.id, link, "c2")
    first = await told(bot)
    await control.advance_clock(PERIOD - 60)
    await control.subscribe(bob.id, link, "c2", renew=True)
    second = await told(bot)
    assert (first.is_recurring, first.is_first_recurring, second.is_first_recurring) == (True, True, None)
    assert ends_at(second) - ends_at(first) == PERIOD
    book = await bot.do_api_request("getStarTransactions")
    assert [each["source"]["subscription_period"] for each in book["transactions"]] == [PERIOD, PERIOD]


async def told(bot: Bot) -> SuccessfulPayment:
    (update,) = await bot.get_updates(timeout=5, offset=-1)
    assert update.message is not None and update.message.successful_payment is not None
    return update.message.successful_payment


def ends_at(payment: SuccessfulPayment) -> int:
    at = payment.to_dict()["subscription_expiration_date"]
    assert isinstance(at, int)
    return at


async def test_its_person_and_the_bot_cancel_it_and_the_bots_word_is_stronger(
    control: TelegramControl, bot: Bot
) -> None:
    bob, link = await control.create_user("Bob", started=True), await made(bot)
    await control.subscribe(bob.id, link, "c1")
    for action in ("cancel", "resume", "fail"):
        await control.turn_subscription(bob.id, link, action)
    reports = [each.update["subscription"] for each in await control.updates(kind="subscription")]
    assert [each["state"] for each in reports] == ["canceled", "active", "failed"]
    assert {(each["user"]["id"], each["invoice_payload"]) for each in reports} == {(bob.id, "mine")}
    with pytest.raises(BadRequest, match=r"(?i)charge_id_invalid"):
        await bot.edit_user_star_subscription(bob.id, "another", True)
    assert await bot.edit_user_star_subscription(bob.id, "c1", True) is True
    assert await bot.edit_user_star_subscription(bob.id, "c1", True) is True
    with pytest.raises(ControlRefusedError, match="cannot turn it on again"):
        await control.turn_subscription(bob.id, link, "resume")
    with pytest.raises(ControlRefusedError, match="not renewed"):
        await control.subscribe(bob.id, link, "c2", renew=True)
    await bot.edit_user_star_subscription(bob.id, "c1", False)
    (found,) = await control.subscriptions(bob.id)
    assert (found["canceled"], found["bot_canceled"]) == (True, False)
    await control.turn_subscription(bob.id, link, "resume")
    await control.subscribe(bob.id, link, "c2", renew=True)
    await control.advance_clock(3 * PERIOD)
    with pytest.raises(BadRequest, match=r"(?i)subscription_not_active"):
        await bot.edit_user_star_subscription(bob.id, "c2", True)
