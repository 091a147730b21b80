"""Credits above a limit in the chat: who may not do one asks, every owner gets buttons, and one of them decides it
once, whatever is delivered twice, pressed by others, or killed.
"""

from __future__ import annotations

import asyncio
import signal

from ballast.operators.roles import FRESH_SECONDS
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.conftest import MakeStack
from tests.harness.people import all_settled, assert_audit_passes, balances, register, say

TREASURER, OTHER_OWNER = 3_001, 3_002
PATIENCE_SECONDS = 60.0


def data_of(card: SeenMessage, label: str) -> str:
    (data,) = (data for text, data in card.buttons if text == label and data is not None)
    return data


async def seen(telegram: TelegramControl, user: int, *words: str) -> SeenMessage:
    return await telegram.wait_for_message(
        user, lambda message: all(word in message.text for word in words), timeout_seconds=PATIENCE_SECONDS
    )


async def at_work(make_stack: MakeStack, telegram: TelegramControl, **options: str) -> tuple[Stack, int]:
    """With two owners and a treasurer who may credit 1 at once, and somebody who has 10."""
    given = {"ADMIN_ROLES": f"{TREASURER}:treasurer", "ADMIN_IDS": f"{ADMIN_ID},{OTHER_OWNER}"}
    stack = make_stack(**{**given, "CREDIT_LIMIT": "20", **options})
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    await telegram.create_user("Theo", user_id=TREASURER, username="theo", started=True)
    await telegram.create_user("Olga", user_id=OTHER_OWNER, username="olga", started=True)
    for each in (ADMIN_ID, TREASURER, OTHER_OWNER):
        await say(telegram, each, "/start")
    (ann,) = await register(telegram, "Ann", credit="10")
    return stack, ann


async def ask(telegram: TelegramControl, by: int, words: str, option: str = "CREDIT_LIMIT") -> None:
    refused = await say(telegram, by, words)
    assert f"at most 20.00 CREDIT ({option})" in refused.text
    await telegram.press(by, refused.message_id, data_of(refused, "Ask an owner"), deliveries=3)


async def test_owners_are_asked_and_one_approves_it_once_though_workers_die_and_others_press(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack, ann = await at_work(make_stack, telegram)
    await ask(telegram, TREASURER, "/credit @ann 500 <b>refund</b> of 17")
    cards = [await seen(telegram, each, "credit 500.00 CREDIT") for each in (ADMIN_ID, OTHER_OWNER)]
    for card in cards:
        assert "Asked for by “Theo” (@theo)." in card.text and "<b>refund</b> of 17" in card.text
        assert "Balance now: 10.00 CREDIT" in card.text and "Balance after: 510.00 CREDIT" in card.text
        assert [label for label, _ in card.buttons] == ["Approve", "Decline"]
    assert "It waits for an owner." in (await seen(telegram, TREASURER, "Approval 1")).text

    # By others with the button's data, and by a name that nobody was given.
    approve = data_of(cards[0], "Approve")
    for other in (ann, TREASURER, OTHER_OWNER):
        await telegram.press(other, cards[0].message_id, approve, chat_id=other, force=True)
    await telegram.press(ADMIN_ID, cards[0].message_id, f"j:{'0' * 32}", force=True)
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 1_000
    assert stack.query("SELECT status FROM approvals") == [("waiting",)]

    stack.send_signal("main", signal.SIGSTOP)
    await telegram.press(ADMIN_ID, cards[0].message_id, approve, deliveries=5)
    await telegram.press(OTHER_OWNER, cards[1].message_id, data_of(cards[1], "Approve"))
    stack.kill("main")
    stack.start("main")
    assert "for 17" not in (await seen(telegram, ann, "You were credited 500.00")).text
    told = await seen(telegram, TREASURER, "Approved by")
    by = told.text.partition("Approved by ")[2].splitlines()[0]
    for owner in (ADMIN_ID, OTHER_OWNER):
        assert f"Approved by {by}" in (await seen(telegram, owner, "Approved by")).text

    # Too late, and told by whom it was decided.
    decline = data_of(cards[1], "Decline")
    await telegram.press(OTHER_OWNER, cards[1].message_id, decline, force=True)
    await seen(telegram, OTHER_OWNER, "Why? It is kept in the audit log.")
    late = await say(telegram, OTHER_OWNER, "no")
    assert f"Approved by {by}" in late.text and "changed nothing" in late.text
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 51_000
    decided = stack.query(
        "SELECT actor, action FROM admin_actions WHERE action LIKE 'approval.%' ORDER BY id"
    )
    assert [action for _, action in decided] == ["approval.ask", "approval.approve"]
    assert sum("Approved by" in message.text for message in await telegram.messages(TREASURER)) == 1
    assert_audit_passes(stack)


async def test_what_is_declined_tells_why_and_whoever_lost_the_role_or_asked_decides_nothing(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    own_limits = {"ROLE_LIMITS": "treasurer:20:none", "ADMIN_IDS": str(ADMIN_ID)}
    stack, ann = await at_work(make_stack, telegram, **own_limits)
    assert "now has the role owner" in (await say(telegram, ADMIN_ID, "/role @olga owner")).text
    await asyncio.sleep(FRESH_SECONDS)
    await ask(telegram, ADMIN_ID, "/debit @ann 50")
    own = await seen(telegram, OTHER_OWNER, "debit 50.00 CREDIT")
    await ask(telegram, TREASURER, "/credit @ann 70", "ROLE_LIMITS")
    card = await seen(telegram, OTHER_OWNER, "credit 70.00 CREDIT")
    boss = await seen(telegram, ADMIN_ID, "credit 70.00 CREDIT")
    messages = await telegram.messages(ADMIN_ID)
    assert not any("debit 50.00" in message.text and message.buttons for message in messages)

    assert "no role any more" in (await say(telegram, ADMIN_ID, "/role @olga none")).text
    await asyncio.sleep(FRESH_SECONDS)
    await telegram.press_button(OTHER_OWNER, card, "Approve")
    await seen(telegram, OTHER_OWNER, "You are not permitted to do that.")
    await telegram.press_button(ADMIN_ID, boss, "Decline")
    await seen(telegram, ADMIN_ID, "Why? It is kept in the audit log.")
    assert "Declined by" in (await say(telegram, ADMIN_ID, "not agreed")).text
    told = await seen(telegram, TREASURER, "Declined by")
    assert "No money was moved." in told.text and "“not agreed”" in told.text

    await telegram.press_button(OTHER_OWNER, own, "Decline")
    await all_settled(stack, telegram)
    assert stack.query("SELECT amount, status FROM approvals ORDER BY id") == [
        (-5_000, "waiting"),
        (7_000, "declined"),
    ]
    assert balances(stack)[ann] == 1_000
    assert_audit_passes(stack)
