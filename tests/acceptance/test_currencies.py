"""A bot with several currencies, with the real processes: what is written, asked, confirmed and shown of each."""

from __future__ import annotations

import asyncio
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial

import psycopg2
import pytest

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.shared_stack import stack_of_file
from tests.harness.people import all_settled, assert_audit_passes, pause, register, resume, say

PATIENCE_SECONDS = 60.0
CURRENCIES = "EUR:2:Euro:€,TON:9"


telegram_server, telegram, shared_stack, stack = stack_of_file(lambda: {"CURRENCIES": CURRENCIES})


async def seen(telegram: TelegramControl, user: int, *words: str) -> SeenMessage:
    return await telegram.wait_for_message(
        user, lambda message: all(word in message.text for word in words), timeout_seconds=PATIENCE_SECONDS
    )


async def credited(telegram: TelegramControl, user: int, amount: str) -> None:
    card = await say(telegram, ADMIN_ID, f"/credit {user} {amount}")
    assert amount in card.text
    await telegram.press_button(ADMIN_ID, card, "Confirm")
    await seen(telegram, user, "You were credited", amount)


async def test_money_is_sent_in_the_currency_that_is_written_beside_it(
    stack: Stack, telegram: TelegramControl
) -> None:
    await say(telegram, ADMIN_ID, "/start")
    ann, ben = await register(telegram, "Ann", "Ben", credit="50")
    await credited(telegram, ann, "10.00 EUR")
    await credited(telegram, ann, "0.000000005 TON")

    told = (await say(telegram, ann, "/balance")).text
    assert told.splitlines() == [
        "Your balance is 50.00 CREDIT.",
        "You also have 10.00 EUR.",
        "You also have 0.000000005 TON.",
    ]
    assert (await say(telegram, ben, "/balance")).text == "Your balance is 50.00 CREDIT."

    card = await say(telegram, ann, f"/send {ben} 4€ for lunch")
    assert card.text.startswith("Send 4.00 EUR to “Ben”?") and "for lunch" in card.text
    await telegram.press_button(ann, card, "Confirm")
    await seen(telegram, ann, "Sent 4.00 EUR", "Your balance is 6.00 EUR")
    await seen(telegram, ben, "sent you 4.00 EUR", "Your balance is 4.00 EUR")

    refused = await say(telegram, ann, f"/send {ben} 7 EUR")
    assert "You do not have 7.00 EUR. Your balance is 6.00 EUR." in refused.text
    for text, expected in {
        f"/send {ben} 5 GBP": "Amounts are in one of CREDIT, EUR, TON, not in GBP.",
        f"/send {ben} €5 TON": "Did you mean EUR or TON?",
        f"/send {ben} 1 000 EUR": "Did you mean",
        "/history GBP": "CREDIT, EUR, TON",
    }.items():
        assert expected in (await say(telegram, ann, text)).text

    page = await say(telegram, ann, "/history euro")
    assert "Your balance is 6.00 EUR" in page.text and "−4.00 EUR" in page.text
    assert "CREDIT" in page.text.splitlines()[-1]
    first = await say(telegram, ann, "/history")
    assert "+50.00 CREDIT" in first.text
    assert first.text.splitlines()[-1] == "Other currencies: /history EUR, /history TON"
    await all_settled(stack, telegram)
    assert_audit_passes(stack)


def shell(stack: Stack, *words: str) -> str:
    done = stack.command("ballast", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def offer(stack: Stack) -> Iterator[Callable[[], None]]:
    """CREDIT for EUR and back, with 1,000.00 EUR more to give. Nothing is exchanged before, nor after the test."""

    def offered() -> None:
        shell(stack, "exchange", "rate", "EUR", "CREDIT", "1.10", "--yes")
        shell(stack, "exchange", "rate", "CREDIT", "EUR", "0.9", "--yes")
        shell(stack, "books", "--move", "1000 EUR", "house", "exchange", "--key", uuid.uuid4().hex)

    yield offered
    for pair in (("EUR", "CREDIT"), ("CREDIT", "EUR")):
        shell(stack, "exchange", "rate", *pair, "off", "--yes")


def kept_for_exchanges(shown: str) -> dict[str, Decimal]:
    """By currency, of what `ballast exchange show` says."""
    return {code: Decimal(amount) for amount, code in re.findall(r"^exchange: ([\d.]+) (\w+)", shown, re.M)}


async def test_an_exchange_asks_first_with_what_is_given_and_got_and_the_rate(
    stack: Stack, telegram: TelegramControl, offer: Callable[[], None]
) -> None:
    await say(telegram, ADMIN_ID, "/start")
    (ann,) = await register(telegram, "Ann", credit="50")
    await seen(telegram, ann, "You were credited")
    assert (await say(telegram, ann, "/exchange 5 CREDIT EUR")).text == "I do not exchange CREDIT for EUR."
    await asyncio.to_thread(offer)
    before = kept_for_exchanges(await asyncio.to_thread(shell, stack, "exchange", "show"))
    assert (await say(telegram, ann, "/exchange")).text.splitlines() == [
        "Write it like this: /exchange 5 CREDIT EUR",
        "1 CREDIT = 0.9 EUR",
        "1 EUR = 1.10 CREDIT",
    ]
    for text, expected in {
        "/exchange 5 EUR": "Write it like this",
        "/exchange 5 CREDIT GBP": "Write it like this",
        "/exchange 5 GBP EUR": "Write it like this",
        "/exchange 1 000 CREDIT EUR": "Did you mean",
        "/exchange 51 CREDIT EUR": "You do not have that much. Available: 50.00 CREDIT",
        "/exchange 5 CREDIT TON": "I do not exchange CREDIT for TON.",
        "/exchange 5 EUR CREDIT": "You do not have that much. Available: 0.00 EUR",
    }.items():
        assert expected in (await say(telegram, ann, text)).text

    card = await say(telegram, ann, "/exchange 5.05 credits to €")
    assert card.text.splitlines() == [
        "Exchange 5.05 CREDIT for 4.54 EUR?",
        "Rate: 1 CREDIT = 0.9 EUR",
        "Confirm within 2 minutes.",
    ]
    await telegram.press_button(ann, card, "Confirm")
    done = await seen(telegram, ann, "Exchanged")
    assert done.text.splitlines() == [
        "Exchanged 5.05 CREDIT for 4.54 EUR.",
        "Your balance is 44.95 CREDIT.",
        "Your balance is 4.54 EUR.",
    ]
    page = await say(telegram, ann, "/history EUR")
    assert "+4.54 EUR exchange" in page.text
    late = await say(telegram, ann, "/exchange 1 CREDIT EUR")
    await asyncio.to_thread(shell, stack, "exchange", "rate", "CREDIT", "EUR", "0.8", "--yes")
    await telegram.press_button(ann, late, "Confirm")
    await seen(telegram, ann, "The rate has changed. Nothing was exchanged.")

    shown = await asyncio.to_thread(shell, stack, "exchange", "show")
    assert "1 CREDIT = 0.8 EUR  by operator:" in shown
    assert " CREDIT, not below 0.00 CREDIT" in shown
    now = kept_for_exchanges(shown)
    assert now["CREDIT"] - before.get("CREDIT", 0) == Decimal("5.05")
    assert now["EUR"] - before["EUR"] == Decimal("-4.54")
    await all_settled(stack, telegram)
    assert_audit_passes(stack)


async def test_pressed_twice_delivered_thrice_and_killed_anywhere_each_exchange_is_made_once(
    stack: Stack, telegram: TelegramControl, offer: Callable[[], None]
) -> None:
    await say(telegram, ADMIN_ID, "/start")
    await asyncio.to_thread(offer)
    people = await register(telegram, "Ann", "Ben", "Cleo", credit="10")
    for each in people:
        await seen(telegram, each, "You were credited")
    cards = [(each, await say(telegram, each, "/exchange 2 CREDIT EUR")) for each in people for _ in range(2)]
    holder = psycopg2.connect(stack.database_url)
    with holder, holder.cursor() as cursor:
        cursor.execute("SELECT FROM exchange_accounts FOR UPDATE")
        for each, card in cards[:2]:
            await telegram.press(each, card.message_id, str(card.buttons[0][1]), deliveries=3)
        waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        await asyncio.to_thread(
            stack.wait_until, lambda: stack.query(waits) == [(True,)], "a press waits within its transaction"
        )
        stack.kill("main")
    holder.close()
    stack.start("main")
    for each, card in cards[2:4]:
        await telegram.press(each, card.message_id, str(card.buttons[0][1]), deliveries=3)
    stack.kill("main")
    stack.start("main")
    stack.send_signal("main", signal.SIGSTOP)
    for each, card in cards:
        await telegram.press(each, card.message_id, str(card.buttons[0][1]), deliveries=2, force=True)
    stack.kill("main")
    stack.start("main")
    await all_settled(stack, telegram)
    kept = "SELECT u.telegram_id, a.currency, a.balance FROM accounts a JOIN users u ON u.id = a.user_id"
    found = {(who, code): balance for who, code, balance in await asyncio.to_thread(stack.query, kept)}
    assert all((found[each, "CREDIT"], found[each, "EUR"]) == (600, 360) for each in people)
    exchanged = (
        "SELECT count(*) FROM exchanges e JOIN users u ON u.id = e.user_id "
        "WHERE e.status = 'confirmed' AND u.telegram_id = ANY(%s)"
    )
    assert await asyncio.to_thread(stack.query, exchanged, people) == [(6,)]
    assert_audit_passes(stack)


async def test_in_an_outage_the_last_known_balances_of_all_currencies_are_told(
    stack: Stack, telegram: TelegramControl
) -> None:
    await say(telegram, ADMIN_ID, "/start")
    (ann,) = await register(telegram, "Ann", credit="50")
    await seen(telegram, ann, "You were credited")
    await credited(telegram, ann, "10.00 EUR")
    await say(telegram, ann, "/balance")
    await pause(stack, partial(shell, stack, "breaker", "open"))
    said = await telegram.send_text(ann, "/balance")
    told = await telegram.wait_for_message(
        ann,
        lambda message: "was" in message.text,
        after=said.message.revision,
        timeout_seconds=PATIENCE_SECONDS,
    )
    assert "your balance was 50.00 CREDIT." in told.text
    assert "your balance was 10.00 EUR." in told.text
    await asyncio.to_thread(shell, stack, "breaker", "auto")
    await resume(stack)
    await all_settled(stack, telegram)
    assert_audit_passes(stack)
