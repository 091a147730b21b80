"""Handlers written for python-telegram-bot, added as they are, with the real processes."""

from __future__ import annotations

from devstack.stack import ADMIN_ID
from devstack.telegram.control import TelegramControl
from devstack.telegram.images import png
from tests.acceptance.conftest import MakeStack
from tests.acceptance.people import all_settled, answers, assert_audit_passes, balances, pause, resume, say


async def test_handlers_run_as_they_are_through_an_outage_and_beside_ballasts_own_commands(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(BALLAST_APPS="tests.acceptance.other_names:app,tests.acceptance.old_bot:app")
    stack.query("CREATE TABLE old_counts (n int); SELECT 1")
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    ann = (await telegram.create_user("Ann")).id
    boris = (await telegram.create_user("Boris")).id
    assert (await say(telegram, ann, "/start")).text == "Hello, Ann."
    await all_settled(stack, telegram)
    assert balances(stack) == {ann: 0}, "who says /start has an account, whoever answers it"

    # A command with arguments, its button, a photo, a built-in command that is replaced.
    card = await say(telegram, ann, "/shop a lamp")
    assert card.text == "You want a lamp."
    press = await telegram.press_button(ann, card, "Lamp")
    query = await telegram.callback_query(press.callback_query_id, wait_seconds=30)
    assert query.answer is not None
    assert query.answer["text"] == "Bought"
    await telegram.wait_for_message(ann, lambda message: message.text == "You bought lamp.")
    sent = await telegram.send_photo(ann, png(8, 8))
    await telegram.wait_for_message(
        ann, lambda message: message.text == "A fine photo.", after=sent.message.revision
    )
    assert (await say(telegram, ann, "/help")).text == "Ask at the counter."
    menu = {entry["command"]: entry["description"] for entry in await telegram.menu(ann)}
    assert menu["shop"] == "What we have"
    assert "help" not in menu

    # In a group too, where each hears its own name alone.
    group = (await telegram.create_group("Friends", [ann, boris])).id
    await telegram.send_text(boris, "/shop@another_bot x", chat_id=group)
    await telegram.send_text(boris, "/shop@ballast_local_bot y", chat_id=group)
    assert (await telegram.wait_for_message(group)).text == "You want y."

    # The session dies between two transactions: the handler is run again from its beginning, and answers once.
    assert (await say(telegram, ann, "/count")).text == "Counted 2."
    # What moved to exactly once does it once, though the update comes again.
    sent = await telegram.send_text(boris, "/bonus")
    assert sent.update_id is not None
    await telegram.wait_for_message(boris, lambda message: message.text == "You have 5.00 CREDIT.")
    await telegram.redeliver(sent.update_id)
    await all_settled(stack, telegram)
    assert balances(stack)[boris] == 500

    # Who raises has failed, with a reference; the bot goes on.
    for command in ("/remember", "/remind"):
        assert "Sorry, something went wrong on our side." in (await say(telegram, ann, command)).text
    (remembered,), (reminded,) = stack.query("SELECT error FROM failed_operations ORDER BY id")
    assert "context.user_data is the memory of one process" in remembered
    assert "context.ballast.enqueue(job, after=seconds)" in reminded

    # Built-in commands by other names, and one that is switched off, which a handler has instead.
    assert (await say(telegram, ann, "/history")).text == "Once upon a time."
    assert {"pay"} == {"pay", "send", "history"} & menu.keys()
    admins = {entry["command"]: entry["description"] for entry in await telegram.menu(ADMIN_ID)}
    assert admins["topup"] == "Top up an account: /topup @name 5.50"
    assert not {"credit", "debit"} & admins.keys()
    card = await say(telegram, boris, f"/pay {ann} 1.50")
    await telegram.press_button(boris, card, "Confirm")
    await telegram.wait_for_message(ann, lambda message: "sent you" in message.text)
    await all_settled(stack, telegram)
    assert balances(stack) == {ann: 150, boris: 350}

    # While the database is unavailable it waits, and says so.
    await pause(stack)
    assert "Your message is saved" in (await say(telegram, ann, "/count")).text
    sent = await telegram.send_photo(boris, png(8, 8))
    needs_none = await telegram.wait_for_message(boris, after=sent.message.revision)
    assert needs_none.text == "A fine photo."
    await resume(stack)
    await telegram.wait_for_message(ann, lambda message: message.text == "Counted 3.")
    await all_settled(stack, telegram)
    assert not any("saved" in text for text in await answers(telegram, ann))
    assert ADMIN_ID not in balances(stack)
    assert_audit_passes(stack)
