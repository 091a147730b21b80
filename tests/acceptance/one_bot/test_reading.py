"""Who is named, how much, and by whose words: through Telegram, to the ledger."""

from __future__ import annotations

from typing import Any

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import all_settled, answers, balances, register, say

DATE = 1_790_000_000
ADMIN = {"id": ADMIN_ID, "is_bot": False, "first_name": "Ada"}


async def inject(telegram: TelegramControl, **message: Any) -> None:
    await telegram.inject({"message": {"message_id": 900_000, "date": DATE, **message}})


def moved(stack: Stack) -> object:
    """Transfers that were made or asked about, by everybody."""
    return stack.query("SELECT (SELECT count(*) FROM transfers), (SELECT count(*) FROM pending_transfers)")


async def test_what_somebody_else_wrote_moves_no_money_and_makes_nobody(
    stack: Stack, telegram: TelegramControl
) -> None:
    (mallory,) = await register(telegram, "Mallory")
    await say(telegram, ADMIN_ID, "/start")
    known = balances(stack), moved(stack)
    admins_chat = {"id": ADMIN_ID, "type": "private"}
    group: dict[str, Any] = {
        "id": (await telegram.create_group("Friends", [mallory])).id,
        "type": "supergroup",
    }
    by_mallory = {
        "type": "user",
        "date": DATE,
        "sender_user": {"id": mallory, "is_bot": False, "first_name": "M"},
    }
    a_bot = {"id": 5001, "is_bot": True, "first_name": "Helper"}
    order = {"from": ADMIN, "chat": admins_chat, "text": f"/credit {mallory} 1000"}
    await inject(telegram, **order, forward_origin=by_mallory)
    await inject(telegram, **order, forward_date=DATE, forward_from=by_mallory["sender_user"])
    await inject(telegram, **order, via_bot=a_bot)
    await telegram.inject(
        {"edited_message": {"message_id": 900_000, "date": DATE, "edit_date": DATE, **order}}
    )
    for user_id, name, is_bot in (
        (777000, "Telegram", False),
        (1087968824, "Group", True),
        (136817688, "Channel", True),
    ):
        user = {"id": user_id, "is_bot": is_bot, "first_name": name}
        for text in ("/start", f"/send {mallory} 1", f"/credit {mallory} 1"):
            await inject(
                telegram, **{"from": user}, chat=group, sender_chat={"id": -222, "type": "channel"}, text=text
            )
    await all_settled(stack, telegram)
    assert (balances(stack), moved(stack)) == known
    told = [
        text
        for text in await answers(telegram, ADMIN_ID)
        if "forwarded or written through another bot" in text
    ]
    assert len(told) == 3
    # The anonymous admin's and the channel's /start and /send, and the admin's /credit. Telegram's own posts are
    # nobody's.
    asked = [text for text in await answers(telegram, group["id"]) if "from your own account" in text]
    assert len(asked) == 5


async def test_people_are_paid_by_mention_by_reply_and_by_the_name_they_have_now(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice", credit="10")
    carol = await telegram.create_user("Carol Smith")
    await say(telegram, carol.id, "/start")
    sender = {"id": alice, "is_bot": False, "first_name": "Alice", "username": "alice"}
    mentioned = {"id": carol.id, "is_bot": False, "first_name": "Carol Smith"}
    await inject(
        telegram,
        **{"from": sender},
        chat={"id": alice, "type": "private"},
        text="/send Carol Smith 2 tea",
        entities=[{"type": "text_mention", "offset": 6, "length": 11, "user": mentioned}],
    )
    await telegram.wait_for_message(
        alice, lambda message: "Send 2.00 CREDIT to “Carol Smith”" in message.text
    )
    group = (await telegram.create_group("Friends", [alice, carol.id])).id
    lunch = await telegram.send_text(carol.id, "Who pays?", chat_id=group)
    await telegram.send_text(alice, "/send 3", chat_id=group, reply_to_message_id=lunch.message.message_id)
    await all_settled(stack, telegram)

    old = await telegram.create_user("Old", username="coin")
    await say(telegram, old.id, "/start")
    await telegram.change_user(old.id, username=None)
    new = await telegram.create_user("New", username="Coin")
    await say(telegram, new.id, "/start")
    assert "Send 4.00 CREDIT to “New”" in (await say(telegram, alice, "/send t.me/coin 4")).text
    assert stack.query(
        "SELECT u.telegram_id, p.amount FROM pending_transfers p JOIN users u ON u.id = p.recipient_user_id"
        " JOIN users s ON s.id = p.sender_user_id WHERE s.telegram_id = %s ORDER BY p.id",
        alice,
    ) == [(carol.id, 200), (carol.id, 300), (new.id, 400)]


async def test_an_amount_that_can_be_read_two_ways_moves_nothing(
    stack: Stack, telegram: TelegramControl
) -> None:
    await register(telegram, "Boris")
    known = moved(stack)
    for amount in ("1 000", "1 000,50", "12 000 rent", "$5", "5 EUR", "5 k"):
        for command in ("/credit", "/debit", "/send"):
            assert "Please write" in (await say(telegram, ADMIN_ID, f"{command} @boris {amount}")).text
    await say(telegram, ADMIN_ID, "/send boris")
    for amount in ("1 000", "$5"):
        assert "How much" in (await say(telegram, ADMIN_ID, amount)).text
    await all_settled(stack, telegram)
    assert moved(stack) == known
