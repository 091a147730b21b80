"""Subscriptions by Stars with the real processes: begun, renewed, cancelled, allowed again, expired and refunded, each
once, and Telegram's own book of Stars is the same as ours.
"""

from __future__ import annotations

import asyncio
import re
import signal
from typing import Any

import pytest

from ballast.inbox import Publisher
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.harness.people import all_settled, answers, pause, register, resume, say
from workers.tasks.subscriptions import SWEEP

PATIENCE_SECONDS = 60.0
DAY = 86_400
LINK = re.compile(r"https://t\.me/\$local\d+")


async def link_of(telegram: TelegramControl, person: int, title: str = "Premium") -> str:
    """By /subscribe and the plan's button."""
    offered = await say(telegram, person, "/subscribe")
    await telegram.press_button(person, offered, title)
    told = await telegram.wait_for_message(
        person,
        lambda message: message.revision > offered.revision and LINK.search(message.text) is not None,
        timeout_seconds=PATIENCE_SECONDS,
    )
    found = LINK.search(told.text)
    assert found is not None
    return found.group()


async def reads(telegram: TelegramControl, person: int, *words: str, after: int = 0) -> SeenMessage:
    return await telegram.wait_for_message(
        person,
        lambda message: all(word in message.text for word in words),
        after=after,
        timeout_seconds=PATIENCE_SECONDS,
    )


def standing(stack: Stack, person: int) -> list[tuple[str, bool, str | None]]:
    """The renewal, whether it is by the bot's word, and what Telegram is asked."""
    return stack.query(
        "SELECT s.renewal, s.cancelled_by_bot, s.wanted FROM star_subscriptions s JOIN users u ON u.id = s.user_id"
        " WHERE u.telegram_id = %s ORDER BY s.id",
        person,
    )


def changes(stack: Stack, person: int) -> list[str]:
    rows = stack.query(
        "SELECT c.change FROM star_subscription_changes c JOIN star_subscriptions s ON s.id = c.subscription_id"
        " JOIN users u ON u.id = s.user_id WHERE u.telegram_id = %s ORDER BY c.id",
        person,
    )
    return [change for (change,) in rows]


async def until(stack: Stack, what: Any, told: str) -> None:
    await asyncio.to_thread(stack.wait_until, what, told)


async def books_are_the_same(stack: Stack, telegram: TelegramControl) -> None:
    """Of subscriptions, in Telegram's book and in the ledger: nobody's balance has any of it."""
    theirs = [row for row in (await telegram.star_book())["transactions"] if row["payload"].startswith("s1:")]
    ours = stack.query(
        "SELECT p.charge_id, p.stars, false FROM star_subscription_periods d JOIN star_payments p"
        " ON p.id = d.star_payment_id UNION ALL SELECT p.charge_id, p.stars, true FROM star_subscription_periods d"
        " JOIN star_payments p ON p.id = d.star_payment_id WHERE p.refunded_at IS NOT NULL"
    )
    assert sorted(ours) == sorted((row["charge_id"], row["stars"], row["is_refund"]) for row in theirs)
    ((in_ledger,),) = stack.query(
        "SELECT coalesce(sum(e.amount), 0)::bigint FROM entries e"
        " JOIN system_accounts s USING (account_id) WHERE s.name = 'subscriptions'"
    )
    assert in_ledger == 100 * sum(-row["stars"] if row["is_refund"] else row["stars"] for row in theirs)
    audited = await asyncio.to_thread(stack.audit)
    assert audited.returncode == 0, audited.stdout


@pytest.mark.timeout(300)
async def test_a_subscription_begins_is_renewed_cancelled_and_allowed_again_each_once(
    stack: Stack, telegram: TelegramControl
) -> None:
    (ann,) = await register(telegram, "Ann")
    link = await link_of(telegram, ann)
    offer = await telegram.invoice_link(link)
    assert (offer["total_amount"], offer["period"], offer["title"]) == (250, 30 * DAY, "Premium")
    asked = await telegram.check_out(ann, 250, payload=offer["payload"])
    assert (await telegram.checkout(asked, wait_seconds=PATIENCE_SECONDS))["answer"]["ok"] is True
    for stars, payload in (
        (249, offer["payload"]),
        (250, offer["payload"][:-1] + "!"),
        (250, f"{offer['payload']}x"),
    ):
        asked = await telegram.check_out(ann, stars, payload=payload)
        refused = (await telegram.checkout(asked, wait_seconds=PATIENCE_SECONDS))["answer"]
        assert (refused["ok"], "You have not been charged." in refused["error_message"]) == (False, True)

    begun = await telegram.subscribe(ann, link, "sub-ann-1")
    receipt = await reads(telegram, ann, "You are subscribed to Premium until", "sub-ann-1")
    assert "250 Telegram Stars" in receipt.text and "Receipt number" in receipt.text
    renewed = await telegram.subscribe(ann, link, "sub-ann-2", renew=True)
    await reads(telegram, ann, "You are subscribed to Premium until", "sub-ann-2")
    for update_id in (begun, renewed):
        assert update_id is not None
        await telegram.redeliver(update_id)
    await all_settled(stack, telegram)
    assert changes(stack, ann) == ["begun", "renewed"]
    assert len([text for text in await answers(telegram, ann) if "Receipt number" in text]) == 2
    assert "0.00 CREDIT" in (await say(telegram, ann, "/balance")).text
    offered = await say(telegram, ann, "/subscribe")
    assert "Premium: yours until" in offered.text and "Pro & more: 900 Telegram Stars" in offered.text
    assert [label for label, _ in offered.buttons] == ["Pro & more · 900 ⭐"]

    # In Telegram, by its person. An update of it comes twice.
    cancelled = await telegram.turn_subscription(ann, link, "cancel")
    await reads(telegram, ann, "Premium is not renewed any more.")
    assert cancelled is not None
    await telegram.redeliver(cancelled)
    await telegram.turn_subscription(ann, link, "resume")
    await reads(telegram, ann, "Premium is renewed again")
    await all_settled(stack, telegram)
    assert standing(stack, ann) == [("on", False, None)]

    # By the bot, which is asked first. Telegram's first answer is lost: it is asked again.
    shown = await say(telegram, ann, "/subscription")
    assert "It is then renewed for 250 Telegram Stars." in shown.text
    await telegram.press_button(ann, shown, "Cancel the renewal")
    question = await reads(telegram, ann, "Cancel the renewal of Premium?", "no more Stars are charged")
    assert standing(stack, ann) == [("on", False, None)]
    await telegram.add_fault("reset", methods=["editUserStarSubscription"], when="after", count=1)
    before = await telegram.last_revision()
    await telegram.press_button(ann, question, "Confirm")
    await reads(telegram, ann, "Premium is not renewed any more.", after=before)
    await all_settled(stack, telegram)
    assert standing(stack, ann) == [("cancelled", True, None)]
    (theirs,) = await telegram.subscriptions(ann)
    assert theirs["bot_canceled"] is True
    assert len(await telegram.requests(method="editUserStarSubscription")) >= 2

    shown = await say(telegram, ann, "/subscription")
    await telegram.press_button(ann, shown, "Allow the renewal again")
    question = await reads(telegram, ann, "Nothing is charged by this")
    await telegram.press_button(ann, question, "Confirm")
    await reads(telegram, ann, "The renewal of Premium is allowed again.", "Settings, My Stars")
    await telegram.turn_subscription(ann, link, "resume")
    await reads(telegram, ann, "Premium is renewed again", after=before)
    await all_settled(stack, telegram)
    assert standing(stack, ann) == [("on", False, None)]
    await books_are_the_same(stack, telegram)


@pytest.mark.timeout(300)
async def test_an_operator_cancels_by_the_shell_and_telegrams_refusal_changes_nothing(
    stack: Stack, telegram: TelegramControl
) -> None:
    (ben,) = await register(telegram, "Ben")
    made = await asyncio.to_thread(stack.command, "ballast", "subscription-link", "pro")
    assert made.returncode == 0, made.stderr
    link = made.stdout.strip()
    none = await asyncio.to_thread(stack.command, "ballast", "subscription-link", "basic")
    assert (none.returncode, "is not on offer" in none.stderr) == (1, True)
    await telegram.subscribe(ben, link, "sub-ben-1")
    await reads(telegram, ben, "You are subscribed to Pro & more until")
    listed = await asyncio.to_thread(stack.command, "ballast", "subscriptions", "list", "--user", str(ben))
    number = listed.stdout.split()[0]
    assert f"user {ben}" in listed.stdout and "renewal on" in listed.stdout, listed.stderr

    why = ("--reason", "asked by mail")
    await telegram.add_fault(
        "error", methods=["editUserStarSubscription"], description="Bad Request: USER_ID_INVALID", count=1
    )
    refused = await asyncio.to_thread(
        stack.command, "ballast", "subscriptions", "cancel", number, *why, "--yes"
    )
    assert (refused.returncode, "Telegram refused" in refused.stderr) == (1, True), refused.stderr
    assert standing(stack, ben) == [("on", False, None)]
    done = await asyncio.to_thread(stack.command, "ballast", "subscriptions", "cancel", number, *why, "--yes")
    assert (done.returncode, "renewal cancelled by this bot" in done.stdout) == (0, True), done.stderr
    again = await asyncio.to_thread(
        stack.command, "ballast", "subscriptions", "cancel", number, *why, "--yes"
    )
    assert (again.returncode, "already cancelled" in again.stderr) == (1, True)
    await all_settled(stack, telegram)
    assert changes(stack, ben) == ["begun", "asked_cancelled", "refused", "asked_cancelled", "cancelled"]
    logged = stack.query(
        "SELECT outcome FROM admin_actions WHERE action = 'subscription.cancel' ORDER BY created_at"
    )
    assert logged == [("done",), ("done",), ("refused: renewal_is_cancelled",)]

    # The refund of its only payment ends it.
    card = await say(telegram, ADMIN_ID, "/refund sub-ben-1")
    assert "It paid for a subscription" in card.text and "taken from their balance" not in card.text
    await telegram.press_button(ADMIN_ID, card, "Confirm")
    await reads(telegram, ben, "was refunded", "has lost the time", "sub-ben-1")
    await all_settled(stack, telegram)
    assert changes(stack, ben)[-1] == "refunded"
    await books_are_the_same(stack, telegram)


@pytest.mark.timeout(300)
async def test_workers_that_die_or_freeze_in_between_change_nothing(
    stack: Stack, telegram: TelegramControl
) -> None:
    (eve,) = await register(telegram, "Eve")
    link = await link_of(telegram, eve)
    stack.kill("main")
    stack.kill("light")
    begun = await telegram.subscribe(eve, link, "sub-eve-1")
    cancelled = await telegram.turn_subscription(eve, link, "cancel")
    assert begun is not None and cancelled is not None
    await telegram.redeliver(begun)
    await until(stack, lambda: stack.redis.zcard("ballast:inbox:all") > 0, "recorded")
    stack.start("main", "light")
    await reads(telegram, eve, "You are subscribed to Premium until")
    await until(stack, lambda: standing(stack, eve) == [("cancelled", False, None)], "it is cancelled")
    await telegram.turn_subscription(eve, link, "resume")
    await reads(telegram, eve, "Premium is renewed again")

    # While the database is held back, the renewal is saved; its worker dies meanwhile.
    await pause(stack)
    renewed = await telegram.subscribe(eve, link, "sub-eve-2", renew=True)
    await reads(telegram, eve, "Your payment is saved")
    assert renewed is not None
    await telegram.redeliver(renewed)
    stack.kill("main")
    stack.start("main")
    await resume(stack)
    await reads(telegram, eve, "You are subscribed to Premium until", "sub-eve-2")

    # Telegram hangs on what a worker asks it; the worker is frozen, and another one comes to an end with it.
    await telegram.add_fault("hang", methods=["editUserStarSubscription"], count=1)
    shown = await say(telegram, eve, "/subscription")
    await telegram.press_button(eve, shown, "Cancel the renewal")
    question = await reads(telegram, eve, "Cancel the renewal of Premium?")
    before = await telegram.last_revision()
    await telegram.press_button(eve, question, "Confirm")
    await until(stack, lambda: standing(stack, eve) == [("on", False, "cancelled")], "Telegram is asked")
    stack.kill("main")
    stack.kill("light")
    assert standing(stack, eve) == [("on", False, "cancelled")]
    stack.start("main", "light")
    await reads(telegram, eve, "Premium is not renewed any more.", after=before)
    await all_settled(stack, telegram)
    assert standing(stack, eve) == [("cancelled", True, None)]
    happened = changes(stack, eve)
    assert sorted(happened[:2]) == ["begun", "cancelled"]  # a payment has a lane of its own
    assert happened[2:] == ["resumed", "renewed", "asked_cancelled", "cancelled"]
    assert len([text for text in await answers(telegram, eve) if "Receipt number" in text]) == 2
    await books_are_the_same(stack, telegram)


@pytest.mark.timeout(300)
async def test_what_expires_is_noted_once_and_a_lost_renewal_is_found_by_the_reconciliation(
    stack: Stack, telegram: TelegramControl
) -> None:
    fay, gus = await register(telegram, "Fay", "Gus")
    links = {person: await link_of(telegram, person) for person in (fay, gus)}
    # A month and a day ago, by the local Telegram's clock; the renewal was yesterday, and its update is lost.
    await telegram.advance_clock(-31 * DAY)
    for person, name in ((fay, "fay"), (gus, "gus")):
        await telegram.subscribe(person, links[person], f"sub-{name}-1")
        await reads(telegram, person, "You are subscribed to Premium until")
    for _ in range(5):
        # After a week without an update their ids would begin anew.
        await telegram.advance_clock(6 * DAY)
        await say(telegram, gus, "/balance")
    await telegram.subscribe(fay, links[fay], "sub-fay-2", renew=True, lost=True)
    await telegram.advance_clock(DAY)
    found = await asyncio.to_thread(stack.command, "ballast", "reconcile")
    assert "theirs_alone  sub-fay-2  Telegram 250, ledger none  is being booked" in found.stdout
    await reads(telegram, fay, "You are subscribed to Premium until", "sub-fay-2")
    for _ in range(2):
        Publisher(stack.redis).ask(SWEEP, queue="health", expires_seconds=60)
    await reads(telegram, gus, "Your subscription to Premium has ended.")
    await all_settled(stack, telegram)
    assert changes(stack, gus) == ["begun", "expired"]
    assert changes(stack, fay)[-1] != "expired"
    await books_are_the_same(stack, telegram)


@pytest.mark.timeout(300)
async def test_a_frozen_worker_and_the_one_that_goes_on_for_it_book_once(
    stack: Stack, telegram: TelegramControl
) -> None:
    (hal,) = await register(telegram, "Hal")
    link = await link_of(telegram, hal)
    stack.send_signal("main", signal.SIGSTOP)
    try:
        begun = await telegram.subscribe(hal, link, "sub-hal-1")
        assert begun is not None
        await telegram.redeliver(begun)
        await until(stack, lambda: stack.redis.zcard("ballast:inbox:all") > 0, "recorded")
    finally:
        stack.send_signal("main", signal.SIGCONT)
    await reads(telegram, hal, "You are subscribed to Premium until")
    # Frozen in the middle of asking Telegram: what it says after that is not said twice.
    await telegram.add_fault("latency", methods=["editUserStarSubscription"], seconds=3, count=1)
    shown = await say(telegram, hal, "/subscription")
    await telegram.press_button(hal, shown, "Cancel the renewal")
    question = await reads(telegram, hal, "Cancel the renewal of Premium?")
    await telegram.press_button(hal, question, "Confirm")
    await until(stack, lambda: standing(stack, hal) == [("on", False, "cancelled")], "Telegram is asked")
    stack.send_signal("main", signal.SIGSTOP)
    await asyncio.sleep(5)  # its heartbeat stops, and its jobs are handed out anew
    stack.send_signal("main", signal.SIGCONT)
    await reads(telegram, hal, "Premium is not renewed any more.")
    await all_settled(stack, telegram)
    assert changes(stack, hal) == ["begun", "asked_cancelled", "cancelled"]
    told = [text for text in await answers(telegram, hal) if "is not renewed any more" in text]
    assert len(told) == 1
    await books_are_the_same(stack, telegram)


@pytest.mark.timeout(300)
async def test_gifts_and_paid_media_are_kept_once_and_are_no_difference(
    stack: Stack, telegram: TelegramControl
) -> None:
    (ida,) = await register(telegram, "Ida")
    person = {"id": ida, "is_bot": False, "first_name": "Ida"}
    gift = {
        "message_id": 991,
        "date": 1_790_000_000,
        "chat": {"id": ida, "type": "private", "first_name": "Ida"},
        "from": person,
        "gift": {"gift": {"id": "bear", "star_count": 15}},
    }
    given = await telegram.inject({"message": gift})
    await reads(telegram, ida, "Thank you for the gift!")
    await telegram.redeliver(given)
    await telegram.inject({"purchased_paid_media": {"from": person, "paid_media_payload": "film 7"}})
    for number, kind in enumerate(("paid_media_payment", "gift_purchase")):
        partner = {"type": "user", "transaction_type": kind, "user": person}
        await telegram.book_stars(f"of-ida-{number}", 15, partner, outgoing=kind == "gift_purchase")
    await all_settled(stack, telegram)
    kept = stack.query("SELECT kind, what, stars FROM star_reports WHERE telegram_id = %s ORDER BY kind", ida)
    assert kept == [("gift", "bear", 15), ("paid_media", "film 7", None)]
    found = await asyncio.to_thread(stack.command, "ballast", "reconcile")
    assert "of-ida" not in found.stdout, found.stdout
    assert "paid_media" in found.stdout and "gift" in found.stdout
    assert "0.00 CREDIT" in (await say(telegram, ida, "/balance")).text


@pytest.mark.timeout(300)
async def test_an_operator_cancels_on_the_card_of_the_person(stack: Stack, telegram: TelegramControl) -> None:
    (jim,) = await register(telegram, "Jim")
    await say(telegram, ADMIN_ID, "/start")
    link = await link_of(telegram, jim)
    await telegram.subscribe(jim, link, "sub-jim-1")
    await reads(telegram, jim, "You are subscribed to Premium until")
    card = await say(telegram, ADMIN_ID, f"/user {jim}")
    before = await telegram.last_revision()
    await telegram.press_button(ADMIN_ID, card, "Subscriptions")
    shown = await reads(telegram, ADMIN_ID, "Premium: paid until", after=before)
    await telegram.press_button(ADMIN_ID, shown, "Cancel the renewal")
    question = await reads(telegram, ADMIN_ID, "Cancel the renewal of Premium?", str(jim), after=before)
    await telegram.press_button(ADMIN_ID, question, "Confirm")
    await reads(telegram, jim, "Premium is not renewed any more.")
    await all_settled(stack, telegram)
    assert standing(stack, jim) == [("cancelled", True, None)]
    assert stack.query(
        "SELECT actor FROM admin_actions WHERE action = 'subscription.cancel' AND actor = %s",
        f"telegram:{ADMIN_ID}",
    ) == [(f"telegram:{ADMIN_ID}",)]
