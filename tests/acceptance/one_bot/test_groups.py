"""In groups: what the whole group reads, what goes to the private chat, and what is said to the presser alone."""

from __future__ import annotations

from ballast.telegram.rate_limiter import GROUP_MESSAGES_A_MINUTE
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.harness.people import (
    all_settled,
    answers,
    assert_shown,
    balances,
    confirm,
    pause,
    register,
    resume,
    say,
    toast,
    transfers,
)

BOT = "https://t.me/ballast_local_bot"


async def say_there(
    telegram: TelegramControl,
    user_id: int,
    chat_id: int,
    text: str,
    *,
    thread_id: int | None = None,
    reply_to_message_id: int | None = None,
) -> SeenMessage:
    """Write to a group; the bot's next message there."""
    sent = await telegram.send_text(
        user_id, text, chat_id=chat_id, thread_id=thread_id, reply_to_message_id=reply_to_message_id
    )
    return await telegram.wait_for_message(chat_id, after=sent.message.revision)


def quoted(message: SeenMessage) -> int | None:
    original = message.message.get("reply_to_message")
    return None if original is None else int(original["message_id"])


async def test_a_group_reads_no_balance_and_hears_of_nothing_but_its_own_commands(
    stack: Stack, telegram: TelegramControl
) -> None:
    alice, boris = await register(telegram, "Alice", "Boris", credit="10")
    await say(telegram, ADMIN_ID, "/start")
    erin = (await telegram.create_user("Erin", username="erin")).id  # she never started the bot
    group = (await telegram.create_group("Friends", [alice, boris, erin, ADMIN_ID], supergroup=True)).id

    for foreign in ("/ban 10m", "/warn", "lunch anyone?"):
        await telegram.send_text(alice, foreign, chat_id=group)
    line = await say_there(telegram, alice, group, "/balance")
    assert (line.text, line.links) == (
        "I answered you in our private chat.",
        [("Open the private chat", BOT)],
    )
    assert quoted(line) is not None
    assert (await answers(telegram, alice))[-1] == "Your balance is 10.00 CREDIT."

    unreached = await say_there(telegram, erin, group, "/history")
    assert "I cannot write to you yet" in unreached.text
    assert unreached.links == [("Start the private chat", f"{BOT}?start=history")]
    assert "You have no transactions yet" in (await say(telegram, erin, "/start history")).text

    for command in ("/credit @boris 5.50", "/dbstatus", "/help"):
        line = await say_there(telegram, ADMIN_ID, group, command)
        assert line.text == "I answered you in our private chat."
    await all_settled(stack, telegram)
    (asked,) = [message for message in await telegram.messages(ADMIN_ID) if message.buttons]
    assert "Credit 5.50 CREDIT to “Boris”?" in asked.text
    await confirm(telegram, asked)
    await telegram.wait_for_message(ADMIN_ID, lambda message: "Their balance is 15.50" in message.text)

    refused = await say_there(telegram, alice, group, "/send @boris 99")
    assert refused.text == "I answered you in our private chat."
    for _ in range(2):
        await say(telegram, alice, "/send @boris 1")
    line = await say_there(telegram, alice, group, "/cancel")
    assert line.text == "I answered you in our private chat."
    assert (await answers(telegram, alice))[-1] == "Your 2 transfers were cancelled. No money was sent."
    card = await say_there(telegram, alice, group, "/send @boris 4 lunch")
    assert "Send 4.00 CREDIT to “Boris”?\n@boris · ID " in card.text
    (agree, _) = [data for _, data in card.buttons]
    assert agree is not None
    presses = await telegram.press(alice, card.message_id, agree, chat_id=group, deliveries=5)
    first, *later = [await toast(telegram, press) for press in presses]
    assert first == ""
    assert all(text == "" or "already confirmed" in text for text in later)
    await assert_shown(telegram, alice, card, agree, "already confirmed")
    await assert_shown(telegram, boris, card, agree, "belongs to somebody else")
    await assert_shown(telegram, boris, card, "h:1:1", "belong to somebody else")
    await assert_shown(telegram, boris, card, "gone", "button no longer works")
    await all_settled(stack, telegram)
    assert (transfers(stack, of=alice), balances(stack)[alice]) == (1, 600)
    said = await answers(telegram, group)
    assert said.count("“Alice” (@alice) sent “Boris” (@boris) 4.00 CREDIT.") == 1
    assert len(said) == 8  # a line for each of seven commands, and the transfer
    assert not any("balance" in text.lower() for text in said)
    receipts = await answers(telegram, alice)
    assert (
        sum("Sent 4.00 CREDIT to “Boris”" in text and "Your balance is 6.00" in text for text in receipts)
        == 1
    )


async def test_a_question_in_a_group_is_answered_by_a_reply_alone(
    stack: Stack, telegram: TelegramControl
) -> None:
    """A topic's command is answered in the topic, and in private once it is closed."""
    failed = "SELECT count(*) FROM failed_operations"
    failed_before = stack.query(failed)
    alice, boris = await register(telegram, "Alice", "Boris", credit="10")
    group = (await telegram.create_group("Friends", [alice, boris], supergroup=True)).id
    topic = await telegram.create_topic(group, alice, "Bills")
    command = (await telegram.send_text(alice, "/send", chat_id=group, thread_id=topic)).message
    asked = await telegram.wait_for_message(group, after=command.revision)
    assert asked.keyboard == {"force_reply": True, "selective": True}
    assert (asked.message["message_thread_id"], quoted(asked)) == (topic, command.message_id)
    # It mentions the bot, so that the bot sees it; and it is no reply to the question.
    await telegram.send_text(alice, "@ballast_local_bot lunch?", chat_id=group, thread_id=topic)
    how_much = await say_there(
        telegram, alice, group, "@boris", thread_id=topic, reply_to_message_id=asked.message_id
    )
    assert "How much do you want to send to @boris?" in how_much.text
    card = await say_there(
        telegram, alice, group, "3.5", thread_id=topic, reply_to_message_id=how_much.message_id
    )
    assert "Send 3.50 CREDIT to “Boris”" in card.text
    assert card.message["message_thread_id"] == topic

    # General's id is never sent: Telegram would not find that topic.
    assert "message_thread_id" not in (await say_there(telegram, alice, group, "/balance")).message
    await all_settled(stack, telegram)
    revision = (await telegram.messages(alice))[-1].revision
    await telegram.close_topic(group, topic)
    await telegram.send_text(alice, "/send @boris 1", chat_id=group, thread_id=topic)
    private = await telegram.wait_for_message(
        alice, lambda message: "Send 1.00" in message.text, after=revision
    )
    await telegram.press_button(alice, private, "Confirm")
    await telegram.wait_for_message(boris, lambda message: "sent you 1.00" in message.text)
    await telegram.send_text(alice, "/send", chat_id=group, thread_id=topic)
    await telegram.wait_for_message(alice, lambda message: "Please send it here" in message.text)

    own_topic = await telegram.create_topic(alice, alice, "Notes")
    sent = await telegram.send_text(alice, "/balance", thread_id=own_topic)
    answer = await telegram.wait_for_message(alice, after=sent.message.revision)
    assert (answer.text, answer.message["message_thread_id"]) == (
        "Your balance is 9.00 CREDIT.",
        own_topic,
    )
    await all_settled(stack, telegram)
    assert stack.query(failed) == failed_before


async def test_a_group_that_takes_no_more_messages_holds_up_no_private_answer(
    stack: Stack, telegram: TelegramControl
) -> None:
    """A group takes twenty messages a minute. The twenty-first would wait for up to a minute."""
    (alice,) = await register(telegram, "Alice")
    group = (await telegram.create_group("Friends", [alice], supergroup=True)).id
    for _ in range(25):
        await telegram.send_text(alice, "/help", chat_id=group)
    await all_settled(stack, telegram)
    assert len(await answers(telegram, group)) <= GROUP_MESSAGES_A_MINUTE
    assert sum("/balance" in text for text in await answers(telegram, alice)) == 25 + 1


async def test_a_press_that_has_to_wait_spins_for_no_longer_than_others(
    stack: Stack, telegram: TelegramControl
) -> None:
    """While the database is shut, a group hears that its command waits, and reads no balance then either."""
    alice, boris = await register(telegram, "Alice", "Boris", credit="10")
    group = (await telegram.create_group("Friends", [alice, boris, ADMIN_ID], supergroup=True)).id
    card = await say_there(telegram, alice, group, "/send @boris 4")
    await say(telegram, alice, "/balance")
    await all_settled(stack, telegram)
    await pause(stack)
    line = await say_there(telegram, alice, group, "/balance")
    assert line.text == "I answered you in our private chat."
    assert "UTC your balance was 10.00 CREDIT." in (await answers(telegram, alice))[-1]

    await telegram.send_text(ADMIN_ID, "/credit @boris 7 secret", chat_id=group)
    await telegram.wait_for_message(
        ADMIN_ID, lambda message: "Your credit of 7.00 CREDIT to @boris is saved" in message.text
    )
    neutral = await telegram.wait_for_message(
        group, lambda message: "Your command is saved" in message.text, after=line.revision
    )
    assert "answer you in our private chat" in neutral.text
    assert not any("7.00" in text for text in await answers(telegram, group))

    agree = card.buttons[0][1]
    await assert_shown(telegram, boris, card, agree, "belongs to somebody else")
    assert not any("confirmation" in text for text in await answers(telegram, group))
    press = await telegram.press_button(alice, card, "Confirm")
    assert await toast(telegram, press) == ""
    queued = await telegram.wait_for_message(
        group, lambda message: "Your confirmation is saved" in message.text, after=line.revision
    )
    assert "(Ref. " in queued.text
    await assert_shown(telegram, boris, card, "h:1:1", "belong to somebody else")
    assert transfers(stack, of=alice) == 0
    await resume(stack)
    done = await telegram.wait_for_message(group, lambda message: "sent “Boris”" in message.text)
    await all_settled(stack, telegram)
    assert (done.message_id, transfers(stack, of=alice)) == (card.message_id, 1)
    assert queued.text not in await answers(telegram, group)
