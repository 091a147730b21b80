"""The main job, as people do it: through Telegram, the queue, the ledger and back."""

from __future__ import annotations

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import (
    all_settled,
    answers,
    assert_audit_passes,
    assert_shown,
    balances,
    confirm,
    credit_once,
    last_known,
    register,
    say,
    transfers,
)


async def test_a_user_moves_money_to_another_and_both_see_it(stack: Stack, telegram: TelegramControl) -> None:
    alice = (await telegram.create_user("Alice", username="alice")).id
    bob = (await telegram.create_user("Boris", username="Boris")).id
    assert "Welcome, Alice! Your balance is 0.00 CREDIT" in (await say(telegram, alice, "/start")).text
    await say(telegram, bob, "/start")
    await say(telegram, ADMIN_ID, "/start")

    card = await say(telegram, ADMIN_ID, "/credit @alice 20,50 birthday")
    assert "Credit 20.50 CREDIT to “Alice”?\n@alice · ID " in card.text
    assert "Balance now: 0.00 CREDIT\nBalance after: 20.50 CREDIT\n“birthday”" in card.text
    assert balances(stack)[alice] == 0
    await confirm(telegram, card)
    credited = await telegram.wait_for_message(ADMIN_ID, lambda message: "Credited" in message.text)
    assert (credited.message_id, credited.buttons) == (card.message_id, [])
    assert "Credited 20.50 CREDIT to “Alice” (@alice)" in credited.text
    told = await telegram.wait_for_message(alice, lambda message: "You were credited 20.50" in message.text)
    assert "birthday" in told.text

    question = await say(telegram, alice, "/send @boris 5.5 for <b>lunch</b>")
    assert "Send 5.50 CREDIT to “Boris”?\n@Boris · ID " in question.text
    assert "for <b>lunch</b>" in question.text
    await telegram.press_button(alice, question, "Confirm")
    done = await telegram.wait_for_message(
        alice, lambda message: "Sent 5.50 CREDIT to “Boris”" in message.text
    )
    assert done.message_id == question.message_id
    assert done.buttons == []
    assert "Your balance is 15.00 CREDIT" in done.text
    await telegram.wait_for_message(
        bob, lambda message: "“Alice” (@alice) sent you 5.50 CREDIT" in message.text
    )

    assert "5.50 CREDIT" in (await say(telegram, bob, "/balance")).text
    history = (await say(telegram, alice, "/history")).text
    assert "−5.50 CREDIT to “Boris” (@Boris)" in history
    assert "+20.50 CREDIT" in history
    assert_audit_passes(stack)


async def test_what_a_transfer_left_is_what_is_known_of_both(stack: Stack, telegram: TelegramControl) -> None:
    """Told while the database is unavailable, an older balance would be wrong."""
    alice, bob = await register(telegram, "Alice", "Boris")
    for name in ("@alice", "@boris"):
        await credit_once(telegram, name, "10")
    await all_settled(stack, telegram)
    assert last_known(stack, alice, bob) == [1_000, 1_000]
    question = await say(telegram, alice, "/send @boris 4")
    await telegram.press_button(alice, question, "Confirm")
    await telegram.wait_for_message(bob, lambda message: "sent you 4.00" in message.text)
    await all_settled(stack, telegram)
    assert last_known(stack, alice, bob) == [600, 1_400]


async def test_send_asks_for_what_is_missing(stack: Stack, telegram: TelegramControl) -> None:
    alice, _ = await register(telegram, "Alice", "Boris", credit="10")
    assert "Who do you want" in (await say(telegram, alice, "/send")).text
    assert "@username" in (await say(telegram, alice, "the usual")).text
    assert "How much" in (await say(telegram, alice, "boris")).text
    assert "plain number" in (await say(telegram, alice, "much")).text
    question = await say(telegram, alice, "3,5 tea")
    assert "Send 3.50 CREDIT to “Boris”?" in question.text
    await say(telegram, alice, "/send")
    assert (await say(telegram, alice, "/cancel")).text == "Cancelled. No money was sent."
    # The question above is still open, and /cancel is for that too.
    assert "Your transfer was cancelled" in (await say(telegram, alice, "/cancel")).text
    await assert_shown(telegram, alice, question, question.buttons[0][1], "already cancelled")
    await all_settled(stack, telegram)
    assert "nothing to cancel" in (await say(telegram, alice, "/cancel")).text
    assert transfers(stack, of=alice) == 0


async def test_each_wrong_request_gets_its_own_sentence_and_moves_nothing(
    stack: Stack, telegram: TelegramControl
) -> None:
    alice, bob = await register(telegram, "Alice", "Boris", credit="10")
    (carol,) = await register(telegram, "Dora")
    sentences = {
        request: (await say(telegram, alice, f"/send {request}")).text
        for request in (
            "@boris 0",
            "@boris -1",
            "@boris 1e9",
            "@boris NaN",
            "@boris 1.234",
            "@boris 99999999999999999999",
            "@boris 10.01",
            "@alice 1",
            "@nobody 1",
            "424242 1",
            "@boris 1 000",
            "€5",
        )
    }
    assert "above zero" in sentences["@boris 0"]
    assert "above zero" in sentences["@boris -1"]
    assert "plain number" in sentences["@boris 1e9"]
    assert "plain number" in sentences["@boris NaN"]
    assert "decimals" in sentences["@boris 1.234"]
    assert "You do not have 10.01 CREDIT. Your balance is 10.00 CREDIT." in sentences["@boris 10.01"]
    assert "cannot send money to yourself" in sentences["@alice 1"]
    assert "do not know @nobody" in sentences["@nobody 1"]
    assert "do not know 424242" in sentences["424242 1"]
    assert "1 or 1000" in sentences["@boris 1 000"]
    assert "@username" in sentences["€5"]
    await all_settled(stack, telegram)
    assert transfers(stack, of=alice) == 0
    assert balances(stack)[alice] == balances(stack)[bob] == 1000
    assert (await say(telegram, alice, f"/send {carol} 1")).buttons != []


async def test_a_button_pressed_twice_moves_money_once_and_says_so(
    stack: Stack, telegram: TelegramControl
) -> None:
    alice, bob = await register(telegram, "Alice", "Boris", credit="10")
    question = await say(telegram, alice, "/send @boris 4")
    confirm = question.buttons[0][1]
    assert confirm is not None
    # The app sent the press again after reconnecting: two updates. Then the first update comes once more.
    first, _ = await telegram.press(alice, question.message_id, confirm, deliveries=2)
    assert first.update_id is not None
    await telegram.wait_for_message(alice, lambda message: "Sent 4.00" in message.text)
    await telegram.redeliver(first.update_id)
    await assert_shown(telegram, alice, question, confirm, "already confirmed")
    await all_settled(stack, telegram)
    assert transfers(stack, of=alice) == 1
    assert (balances(stack)[alice], balances(stack)[bob]) == (600, 1400)
    said = await answers(telegram, alice)
    assert sum("Sent 4.00" in text for text in said) == 1
    assert not any("already confirmed" in text for text in said)
    assert_audit_passes(stack)


async def test_only_the_sender_decides_and_a_cancelled_transfer_stays_cancelled(
    stack: Stack, telegram: TelegramControl
) -> None:
    alice, mallory = await register(telegram, "Alice", "Mallory", credit="10")
    group = (await telegram.create_group("Friends", [alice, mallory])).id
    await telegram.send_text(alice, "/send @mallory 4", chat_id=group)
    question = await telegram.wait_for_message(group)
    (_, confirm), (_, cancel) = question.buttons
    assert confirm is not None
    assert cancel is not None
    await assert_shown(telegram, mallory, question, confirm, "belongs to somebody else")
    assert transfers(stack, of=alice) == 0
    await telegram.press(alice, question.message_id, cancel, chat_id=group)
    closed = await telegram.wait_for_message(group, lambda message: "Cancelled" in message.text)
    assert (closed.message_id, closed.buttons) == (question.message_id, [])
    await assert_shown(telegram, alice, question, confirm, "already cancelled")
    assert transfers(stack, of=alice) == 0
    assert await answers(telegram, group) == ["Cancelled. No money was sent."]


async def test_a_late_press_moves_nothing_and_says_so(stack: Stack, telegram: TelegramControl) -> None:
    alice, _ = await register(telegram, "Alice", "Boris", credit="10")
    question = await say(telegram, alice, "/send @boris 4")
    stack.query("UPDATE pending_transfers SET expires_at = now() - interval '1 second' RETURNING 1")
    await telegram.press_button(alice, question, "Confirm")
    late = await telegram.wait_for_message(alice, lambda message: "Too late" in message.text)
    assert (late.message_id, late.buttons) == (question.message_id, [])
    assert transfers(stack, of=alice) == 0


async def test_history_pages_by_buttons(stack: Stack, telegram: TelegramControl) -> None:
    (alice,) = await register(telegram, "Alice")
    for number in range(1, 21):
        await credit_once(telegram, "@alice", str(number))
    await all_settled(stack, telegram)
    newest = await say(telegram, alice, "/history")
    assert "+20.00" in newest.text
    assert "+13.00" in newest.text
    assert "+12.00" not in newest.text
    await telegram.press_button(alice, newest, "Older")
    middle = await telegram.wait_for_message(alice, lambda message: "+12.00" in message.text)
    assert middle.message_id == newest.message_id
    assert "+5.00" in middle.text
    await telegram.press_button(alice, middle, "Older")
    oldest = await telegram.wait_for_message(alice, lambda message: "+1.00" in message.text)
    assert [label for label, _ in oldest.buttons] == ["◀ Newer"]
    await telegram.press_button(alice, oldest, "Newer")
    await telegram.wait_for_message(alice, lambda message: "+5.00" in message.text, after=oldest.revision)


async def test_an_update_that_is_polled_again_takes_effect_once(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    sent = await confirm(telegram, await say(telegram, ADMIN_ID, "/credit @alice 5"))
    assert sent.update_id is not None
    await telegram.wait_for_message(alice, lambda message: "credited" in message.text)
    for _ in range(3):
        await telegram.redeliver(sent.update_id)
        await all_settled(stack, telegram)
    assert balances(stack)[alice] == 500
    assert sum("credited" in text for text in await answers(telegram, alice)) == 1


async def test_names_and_memos_are_shown_as_they_are(stack: Stack, telegram: TelegramControl) -> None:
    evil = "<a href='x'>&amp;</a>"
    (alice,) = await register(telegram, "Alice", credit="10")
    bob = await telegram.create_user(evil, username="boris")
    await say(telegram, bob.id, "/start")
    question = await say(telegram, alice, f"/send @boris 1 {evil}")
    assert question.text.count(evil) == 2


async def test_fifty_transfers_at_once_between_two_people_are_each_made_once(
    stack: Stack, telegram: TelegramControl
) -> None:
    people = await register(telegram, "Alice", "Boris", credit="100")
    for number in range(50):
        await telegram.send_text(people[number % 2], f"/send {people[1 - number % 2]} 1")
    await all_settled(stack, telegram)
    for person in people:
        for message in await telegram.messages(person, from_bot=True):
            if message.buttons:
                await telegram.press_button(person, message, "Confirm")
    await all_settled(stack, telegram)
    assert transfers(stack, of=people[0]) == 50
    assert [balances(stack)[person] for person in people] == [10_000, 10_000]
    assert_audit_passes(stack)


async def test_an_answer_to_somebody_who_blocked_the_bot_ends_the_job_and_marks_the_user(
    stack: Stack, telegram: TelegramControl
) -> None:
    alice, bob = await register(telegram, "Alice", "Boris", credit="10")
    question = await say(telegram, alice, "/send @boris 4")
    await telegram.block(bob)
    await telegram.press_button(alice, question, "Confirm")
    await telegram.wait_for_message(alice, lambda message: "Sent 4.00" in message.text)
    await all_settled(stack, telegram)
    status = "SELECT status FROM users WHERE telegram_id = %s"
    assert stack.query(status, bob) == [("blocked",)]
    await telegram.unblock(bob)  # which Telegram tells by `my_chat_member`; he writes nothing
    await all_settled(stack, telegram)
    assert stack.query(status, bob) == [("active",)]
    await telegram.block(bob)
    await all_settled(stack, telegram)
    assert stack.query(status, bob) == [("blocked",)]
    await say(telegram, bob, "/balance")
    assert stack.query(status, bob) == [("active",)]
