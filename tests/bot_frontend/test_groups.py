"""In a group: private answers go to the private chat, others quote the command in its topic, the rest is silence."""

from __future__ import annotations

from typing import Any

import pytest

from ballast.builtin.balances import ShowBalance
from ballast.builtin.replies import DeliverReply
from ballast.builtin.transfers import CreateTransfer
from bot_frontend.conversation import Conversation
from bot_frontend.routed import Routed
from bot_frontend.router import route
from bot_frontend.updates import ButtonPress, TextMessage, read
from dbcore.settings import Settings
from tests.conftest import MakeSettings

GROUP, TOPIC, BOT = -1001, 77, 123456
BOB: dict[str, Any] = {"id": 8, "is_bot": False, "first_name": "Bob", "username": "bob"}


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(admin_ids="8", telegram_bot_token=f"{BOT}:LOCAL")


def written(text: str, *, message_id: int = 50, replied_to: dict[str, Any] | None = None) -> TextMessage:
    message = {
        "message_id": message_id,
        "date": 1,
        "chat": {"id": GROUP, "type": "supergroup", "is_forum": True},
        "from": BOB,
        "text": text,
        "message_thread_id": TOPIC,
        "is_topic_message": True,
    }
    if replied_to is not None:
        message["reply_to_message"] = {"date": 1, "chat": {"id": GROUP, "type": "supergroup"}, **replied_to}
    reading = read({"update_id": 5, "message": message})
    assert isinstance(reading, TextMessage)
    return reading


def reply_to(message_id: int, author_id: int = BOT) -> dict[str, Any]:
    return {"message_id": message_id, "from": {"id": author_id, "is_bot": True, "first_name": "Ballast"}}


def said(intention: Routed | None) -> DeliverReply:
    assert intention is not None
    assert isinstance(intention.job, DeliverReply)
    return intention.job


@pytest.mark.parametrize("text", ["/ban 10m", "/warn", "hello", "@bot hello"])
def test_a_command_of_another_bot_and_small_talk_get_silence(settings: Settings, text: str) -> None:
    assert route(written(text), None, settings) is None


def test_an_unknown_command_by_our_name_is_answered(settings: Settings) -> None:
    (answer,) = said(route(written("/ban@ballast_bot"), None, settings)).messages
    assert (answer.chat_id, answer.quotes, answer.thread_id) == (GROUP, 50, TOPIC)


@pytest.mark.parametrize("text", ["/help", "/credit", "/credit @bob x", "/broadcast News!"])
def test_what_is_for_the_asker_alone_goes_to_the_private_chat(settings: Settings, text: str) -> None:
    answer, line = said(route(written(text), None, settings)).messages
    assert (answer.chat_id, answer.quotes, answer.thread_id) == (8, None, None)
    assert (line.chat_id, line.quotes, line.thread_id) == (GROUP, 50, TOPIC)
    assert line.opens is not None


def test_a_question_is_shown_to_its_asker_as_one_to_be_replied_to(settings: Settings) -> None:
    asked = route(written("/send"), None, settings)
    (question,) = said(asked).messages
    assert (question.chat_id, question.quotes, question.thread_id, question.asks) == (GROUP, 50, TOPIC, True)
    assert asked is not None
    answered = route(written("@carol", message_id=52, replied_to=reply_to(51)), asked.conversation, settings)
    (question,) = said(answered).messages
    assert (question.quotes, question.asks) == (52, True)
    assert answered is not None
    done = route(written("5 tea", message_id=54, replied_to=reply_to(53)), answered.conversation, settings)
    assert done is not None
    assert isinstance(done.job, CreateTransfer)


@pytest.mark.parametrize(
    "replied_to",
    [None, reply_to(49), reply_to(51, author_id=9), {"message_id": 51}],
    ids=["to nothing", "to what the bot said before", "to somebody else", "to nobody known"],
)
def test_small_talk_is_never_taken_for_an_answer(
    settings: Settings, replied_to: dict[str, Any] | None
) -> None:
    asked = Conversation(asked_by=1, command_id=50)
    assert route(written("lunch anyone?", message_id=52, replied_to=replied_to), asked, settings) is None


def test_the_topic_is_answered_and_general_is_not_named(settings: Settings) -> None:
    message = {
        "message_id": 5,
        "date": 1,
        "chat": {"id": GROUP, "type": "supergroup"},
        "from": BOB,
        "text": "/help",
    }
    of = {"message_thread_id": 1, "is_topic_message": True}
    thread_of_replies = {"message_thread_id": 40}
    private_topic = {"chat": {"id": 8, "type": "private"}, "message_thread_id": 9, "is_topic_message": True}
    threads = []
    for more in (of, thread_of_replies, private_topic):
        reading = read({"update_id": 1, "message": message | more})
        assert isinstance(reading, TextMessage)
        threads.append(reading.origin.publicly("…").thread_id)
    assert threads == [None, None, 9]


def private(text: str) -> TextMessage:
    message = {"message_id": 5, "date": 1, "chat": {"id": 8, "type": "private"}, "from": BOB, "text": text}
    reading = read({"update_id": 1, "message": message})
    assert isinstance(reading, TextMessage)
    return reading


def test_in_private_nothing_is_quoted_and_nothing_is_told_twice(settings: Settings) -> None:
    (answer,) = said(route(private("/help"), None, settings)).messages
    assert (answer.chat_id, answer.quotes, answer.opens) == (8, None, None)


def test_the_link_to_the_private_chat_asks_for_what_was_asked(settings: Settings) -> None:
    intention = route(private("/start balance"), None, settings)
    assert intention is not None
    assert isinstance(intention.job, ShowBalance)


def test_a_message_that_answers_nothing_is_not_taken_as_a_reply_to_its_topic() -> None:
    assert written("/send 5", replied_to={"message_id": TOPIC}).replied_to is None
    topic = {"message_id": 9, "date": 1, "chat": {"id": 8, "type": "private"}, "from": BOB}
    assert read({"update_id": 1, "message": topic | {"forum_topic_created": {"name": "Bills"}}}) is None


def test_a_press_in_a_topic_is_answered_there() -> None:
    query = {
        "id": "q",
        "from": BOB,
        "data": "z",
        "message": {
            "message_id": 5,
            "date": 1,
            "chat": {"id": GROUP, "type": "supergroup"},
            "message_thread_id": TOPIC,
            "is_topic_message": True,
        },
    }
    reading = read({"update_id": 1, "callback_query": query})
    assert isinstance(reading, ButtonPress)
    assert reading.origin.publicly("…").thread_id == TOPIC
