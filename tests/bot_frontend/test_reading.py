"""Whom a message names, how much, and whose words it has: from Telegram's update to the job."""

from __future__ import annotations

from typing import Any

import pytest

from ballast.builtin.balances import AskAdjustment
from ballast.builtin.broadcasts import ChooseBroadcasts, DraftBroadcast
from ballast.builtin.replies import DeliverReply
from ballast.builtin.transfers import CreateTransfer
from bot_frontend.conversation import Conversation
from bot_frontend.routed import Routed
from bot_frontend.router import is_for_another_bot, route
from bot_frontend.updates import TextMessage, read
from dbcore.settings import Settings
from tests.conftest import MakeSettings

ADMIN = {"id": 1001, "is_bot": False, "first_name": "Ada", "username": "ada"}
BOB = {"id": 8, "is_bot": False, "first_name": "Bob", "username": "bob"}
CAROL = {"id": 9, "is_bot": False, "first_name": "Carol", "username": "carol"}
A_BOT = {"id": 5001, "is_bot": True, "first_name": "Helper"}
ANONYMOUS = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
FORWARDED: dict[str, Any] = {"forward_origin": {"type": "user", "date": 1, "sender_user": CAROL}}
VIA_A_BOT: dict[str, Any] = {"via_bot": A_BOT}


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(admin_ids="1001")


def text(
    words: str, sender: dict[str, Any] = BOB, *, update_id: int = 5, is_private: bool = True, **fields: Any
) -> TextMessage:
    chat = {"id": sender["id"], "type": "private"} if is_private else {"id": -100, "type": "supergroup"}
    message = {"message_id": 900, "date": 1, "chat": chat, "from": sender, "text": words, **fields}
    reading = read({"update_id": update_id, "message": message})
    assert isinstance(reading, TextMessage)
    return reading


def mentioning(words: str, name: str, user: dict[str, Any] = CAROL, **fields: Any) -> TextMessage:
    """A message with the name in it mentioned, as an app does it for people without a username."""
    mention = {"type": "text_mention", "offset": words.index(name), "length": len(name), "user": user}
    return text(words, entities=[mention], **fields)


def replying_to(author: dict[str, Any]) -> dict[str, Any]:
    return {"reply_to_message": {"message_id": 7, "from": author}}


def said(intention: Routed | None) -> str:
    assert intention is not None
    assert isinstance(intention.job, DeliverReply)
    return intention.job.messages[0].text


SPACES = " \u00a0\u202f\u2009\n"


@pytest.mark.parametrize("amount", ["10 000", "1 500 fine", "2 500", "1 000", "12 000 rent"])
@pytest.mark.parametrize("command", ["/send @bob", "/credit @bob", "/debit @bob", "/send 12345"])
def test_an_amount_with_spaces_moves_nothing_and_names_both_readings(
    settings: Settings, command: str, amount: str
) -> None:
    first, second = amount.split()[:2]
    for space in SPACES:
        words = f"{command} {amount}".replace(" ", space)
        assert f"Did you mean {first} or {first}{second}?" in said(route(text(words, ADMIN), None, settings))


@pytest.mark.parametrize("amount", ["10 000", "10\u00a0000", "$5", "5 EUR", "5 k"])
def test_an_answer_that_can_be_read_two_ways_is_asked_again(settings: Settings, amount: str) -> None:
    asked = Conversation(recipient="@carol", asked_by=1)
    again = route(text(amount, update_id=2), asked, settings)
    assert "How much do you want to send to @carol?" in said(again)
    assert again is not None
    assert again.conversation == Conversation(recipient="@carol", asked_by=2, command_id=900)


@pytest.mark.parametrize("amount", ["5 EUR lunch", "€5 lunch", "5€ lunch", "EUR 5 lunch"])
def test_the_currency_is_taken_where_it_is_ours(make_settings: MakeSettings, amount: str) -> None:
    euros = make_settings(currency="EUR")
    assert sent(route(text(f"/send @carol {amount}"), None, euros)) == ("@carol", 500, "lunch")
    assert "not in EUR" in said(route(text(f"/send @carol {amount}"), None, make_settings()))


def sent(intention: Routed | None) -> tuple[str, int, str]:
    assert intention is not None
    assert isinstance(intention.job, CreateTransfer)
    return intention.job.recipient, intention.job.amount, intention.job.memo


@pytest.mark.parametrize(
    ("words", "recipient", "memo"),
    [
        ("/send @carol 5 lunch", "@carol", "lunch"),
        ("/send carol 5 lunch", "@carol", "lunch"),
        ("/send @carol, 5 lunch", "@carol", "lunch"),
        ("/send @carol: 5", "@carol", ""),
        ("/send t.me/carol 5", "@carol", ""),
        ("/send https://t.me/carol 5", "@carol", ""),
        ("/send tg://user?id=9 5", "9", ""),
        ("/send \u2068@carol\u2069 5", "@carol", ""),
        ("/send\u00a0@carol\u202f5\u2009lunch", "@carol", "lunch"),
        ("/send\n@carol\n5\nlunch", "@carol", "lunch"),
        ("/send@carol 5 lunch", "@carol", "lunch"),
        ("/send 5 @carol", "@carol", ""),
        ("/send 5 @carol lunch", "@carol", "lunch"),
        ("/send 5 to @carol lunch", "@carol", "lunch"),
        ("/send 5 CREDIT @carol lunch", "@carol", "lunch"),
        ("/send 5 CREDIT to t.me/carol", "@carol", ""),
        ("/send @carol 5 thanks @dave", "@carol", "thanks @dave"),
        ("/send 12345 5 thanks @dave", "12345", "thanks @dave"),
    ],
)
def test_people_are_named_as_they_name_each_other(
    settings: Settings, words: str, recipient: str, memo: str
) -> None:
    assert sent(route(text(words), None, settings)) == (recipient, 500, memo)


def test_who_has_no_username_is_named_by_mention(settings: Settings) -> None:
    for words in (
        "/send Carol 5 lunch",
        "/send 5 Carol lunch",
        "/send 5 to Carol lunch",
        "/send Carol, 5 lunch",
    ):
        assert sent(route(mentioning(words, "Carol"), None, settings)) == ("9", 500, "lunch")
    # A name that reads like an amount, and white space before the command.
    assert sent(route(mentioning("  /send 5 50 7", "5 50"), None, settings)) == ("9", 700, "")
    asked = route(mentioning("/send Carol", "Carol"), None, settings)
    assert "How much do you want to send to the user with ID 9?" in said(asked)
    credit = route(mentioning("/credit Carol Smith 5", "Carol Smith", sender=ADMIN), None, settings)
    assert credit is not None
    assert credit.job == AskAdjustment(telegram_id=9, amount=500, admin_id=1001)


def test_a_mention_in_the_note_names_nobody(settings: Settings) -> None:
    message = mentioning("/send @dave 5 from Carol", "Carol")
    assert sent(route(message, None, settings)) == ("@dave", 500, "from Carol")


def test_a_mentioned_bot_gets_nothing(settings: Settings) -> None:
    assert "bot" in said(route(mentioning("/send Helper 5", "Helper", A_BOT), None, settings))


@pytest.mark.parametrize("is_private", [True, False])
def test_an_amount_as_a_reply_goes_to_the_author(settings: Settings, is_private: bool) -> None:
    reply: dict[str, Any] = {"is_private": is_private, **replying_to(CAROL)}
    assert sent(route(text("/send 5 lunch", **reply), None, settings)) == ("9", 500, "lunch")
    assert sent(route(text("/send 5 @carol", **reply), None, settings)) == ("@carol", 500, "")
    assert sent(route(text("/send @dave 5", **reply), None, settings)) == ("@dave", 500, "")
    assert sent(route(text("/send dave 5", **reply), None, settings)) == ("@dave", 500, "")
    assert "with ID 9" in said(route(text("/send", **reply), None, settings))
    debit = route(text("/debit 5 fine", ADMIN, **reply), None, settings)
    assert debit is not None
    assert debit.job == AskAdjustment(telegram_id=9, amount=-500, reason="fine", admin_id=1001)


def test_an_amount_with_spaces_before_its_recipient_moves_nothing(settings: Settings) -> None:
    for words in ("/send 1 000 @carol", "/send 1 000,50 to @carol", "/send 5 @carol 000", "/send $5 @carol"):
        assert "Please" in said(route(text(words), None, settings))


@pytest.mark.parametrize("words", ["/send 1 000", "/send 12345 5", "/send 5 k", "/send $5", "/send 0"])
def test_a_wrong_amount_as_a_reply_moves_nothing(settings: Settings, words: str) -> None:
    assert said(route(text(words, **replying_to(CAROL)), None, settings))


def test_a_reply_and_another_name_behind_the_amount_are_two_people(settings: Settings) -> None:
    answer = route(text("/send 5 @dave", **replying_to(CAROL)), None, settings)
    assert "@dave or the person you replied to" in said(answer)


def test_a_reply_to_what_is_no_person_s_sends_nothing(settings: Settings) -> None:
    for words in ("/send 5", "/send 5 lunch", "/send 12345"):
        answer = route(text(words, **replying_to(A_BOT)), None, settings)
        assert "cannot tell who you mean" in said(answer)
    for words in ("/send @carol 5", "/send 5 @carol", "/send carol 5"):
        assert sent(route(text(words, **replying_to(A_BOT)), None, settings))[0] == "@carol"
    assert sent(route(text("/send 12345 5", **replying_to(A_BOT)), None, settings))[0] == "12345"


@pytest.mark.parametrize(
    ("answer", "recipient"),
    [("@carol", "@carol"), ("carol", "@carol"), ("12345", "12345"), ("https://t.me/carol", "@carol")],
)
def test_the_question_whom_takes_every_name(settings: Settings, answer: str, recipient: str) -> None:
    # By ForceReply an answer replies to the bot's question.
    reply = text(answer, update_id=2, **replying_to(A_BOT))
    asked = route(reply, Conversation(asked_by=1), settings)
    assert "How much" in said(asked)
    assert asked is not None
    assert asked.conversation == Conversation(recipient=recipient, asked_by=2, command_id=900)


def test_the_question_whom_may_be_answered_with_the_amount_too(settings: Settings) -> None:
    assert sent(route(text("@carol 5 lunch"), Conversation(asked_by=1), settings)) == ("@carol", 500, "lunch")
    mention = mentioning("Carol Smith", "Carol Smith")
    asked = route(mention, Conversation(asked_by=1), settings)
    assert asked is not None
    assert asked.conversation == Conversation(recipient="9", asked_by=5, command_id=900)


@pytest.mark.parametrize("answer", ["the usual", "lunch anyone?", "5.50", ""])
def test_small_talk_names_nobody(settings: Settings, answer: str) -> None:
    again = route(text(answer, update_id=2), Conversation(asked_by=1), settings)
    assert "Who do you want to send money to?" in said(again)
    assert again is not None
    assert again.conversation == Conversation(asked_by=2, command_id=900)


@pytest.mark.parametrize(
    ("words", "is_ours"),
    [
        ("/send@carol 5", True),
        ("/SEND@Carol 5", True),
        ("/credit@carol 5", True),
        ("/send@ballast_bot @carol 5", True),
        ("/send@other_bot 5", False),
        ("/send@gif 5", False),
        ("/send@Youtube 5", False),
        ("/debit@pic 5", False),
        ("/balance@carol", False),
        ("/ban@carol", False),
    ],
)
def test_a_forgotten_space_is_not_taken_for_another_bot(words: str, is_ours: bool) -> None:
    assert is_for_another_bot(text(words, is_private=False), "ballast_bot") is not is_ours


def test_our_own_name_behind_send_is_no_recipient(settings: Settings) -> None:
    message = text("/send@ballast @carol 5")
    assert sent(route(message, None, settings, "Ballast")) == ("@carol", 500, "")


@pytest.mark.parametrize("command", ["balance", "history"])
def test_what_answers_about_oneself_says_so_when_another_is_named(settings: Settings, command: str) -> None:
    words = f"/{command} @bob"
    assert "only works for your own account" in said(route(text(words), None, settings))
    assert "cannot look up other users yet" in said(route(text(words, ADMIN), None, settings))


def test_stop_and_resume_of_others_are_not_one_s_own(settings: Settings) -> None:
    for command in ("/stop @carol", "/resume t.me/carol"):
        assert "only works for your own account" in said(route(text(command), None, settings))
    stopped = route(text("/stop writing to me"), None, settings)
    assert stopped is not None
    assert isinstance(stopped.job, ChooseBroadcasts)


COMMANDS_TO_FORWARD = [
    "/start",
    "/send @mallory 1",
    "/credit @mallory 1000",
    "/debit @bob 5",
    "/broadcast hello",
    "/stop",
    "/balance",
]


@pytest.mark.parametrize("command", COMMANDS_TO_FORWARD)
@pytest.mark.parametrize("by", [FORWARDED, VIA_A_BOT])
@pytest.mark.parametrize("sender", [ADMIN, BOB])
def test_a_forwarded_command_is_not_run(
    settings: Settings, command: str, sender: dict[str, Any], by: dict[str, Any]
) -> None:
    in_private = route(text(command, sender, **by), None, settings)
    assert "no money was moved" in said(in_private)
    assert route(text(command, sender, is_private=False, **by), None, settings) is None


@pytest.mark.parametrize(
    "conversation", [Conversation(asked_by=1), Conversation(recipient="@carol", asked_by=1)]
)
def test_a_forwarded_message_is_no_answer(settings: Settings, conversation: Conversation) -> None:
    for words in ("5", "@mallory", "/cancel", "/send @mallory 5"):
        told = route(text(words, **FORWARDED), conversation, settings)
        assert "no money was moved" in said(told)
        assert told is not None
        assert told.conversation == conversation


def test_a_forwarded_post_is_still_how_a_broadcast_is_drawn_up(settings: Settings) -> None:
    post = text("News!", ADMIN, **FORWARDED)
    assert "reply to it with /broadcast" in said(route(post, None, settings))
    piece = text("", ADMIN, media_group_id="album", **FORWARDED)
    assert route(piece, None, settings) is None
    order = text("/broadcast", ADMIN, reply_to_message={"message_id": 7, "from": ADMIN, **FORWARDED})
    drafted = route(order, None, settings)
    assert drafted is not None
    assert drafted.job == DraftBroadcast(telegram_id=1001, message_id=7)


@pytest.mark.parametrize(
    "command",
    ["/start", "/balance", "/send @mallory 1", "/history@ballast_bot", "/credit @mallory 5", "/dbstatus"],
)
def test_who_writes_as_a_group_or_a_channel_is_told_to_write_as_themselves(
    settings: Settings, command: str
) -> None:
    message = text(command, ANONYMOUS, is_private=False, sender_chat={"id": -100, "type": "supergroup"})
    assert "from your own account" in said(route(message, None, settings))


@pytest.mark.parametrize("words", ["hello", "/ban 10m", "/warn", "/credit @mallory 5"])
def test_what_is_not_for_us_is_no_matter_when_a_group_says_it(settings: Settings, words: str) -> None:
    message = text(words, ADMIN, is_private=False, sender_chat={"id": -222, "type": "channel"})
    assert route(message, None, settings) is None
