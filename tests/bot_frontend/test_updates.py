from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot_frontend.updates import (
    ALLOWED_UPDATES,
    Author,
    ButtonPress,
    MembershipChange,
    Mention,
    TextMessage,
    UpdateUnreadable,
    WordsOf,
    read,
)

BOB: dict[str, Any] = {"id": 8, "is_bot": False, "first_name": "Bob", "username": "bob"}
CHAT: dict[str, Any] = {"id": 8, "type": "private"}
MESSAGE: dict[str, Any] = {
    "message_id": 3,
    "date": 1_700_000_000,
    "chat": CHAT,
    "from": BOB,
    "text": "/start",
}


def test_a_message_is_read() -> None:
    reading = read({"update_id": 5, "message": MESSAGE})
    assert isinstance(reading, TextMessage)
    assert (reading.text, reading.chat_id, reading.is_private) == ("/start", 8, True)
    assert (reading.sender.telegram_id, reading.sender.username) == (8, "bob")


def test_the_language_is_read_where_telegram_tells_it() -> None:
    told = read({"update_id": 5, "message": {**MESSAGE, "from": {**BOB, "language_code": "pt-br"}}})
    untold = read({"update_id": 5, "message": MESSAGE})
    assert isinstance(told, TextMessage)
    assert isinstance(untold, TextMessage)
    assert (told.sender.language_code, untold.sender.language_code) == ("pt-br", None)


def test_a_photo_is_a_message_without_text() -> None:
    photo = {key: value for key, value in MESSAGE.items() if key != "text"} | {"photo": []}
    reading = read({"update_id": 5, "message": photo})
    assert isinstance(reading, TextMessage)
    assert reading.text == ""


def test_a_press_on_a_message_too_old_to_be_told_is_read() -> None:
    query = {"id": "q", "from": BOB, "chat_instance": "1", "data": "h:8:3"}
    reading = read({"update_id": 5, "callback_query": query})
    assert isinstance(reading, ButtonPress)
    assert (reading.message_id, reading.chat_id, reading.data) == (None, 8, "h:8:3")


@pytest.mark.parametrize(("status", "is_blocked"), [("kicked", True), ("member", False)])
def test_blocking_and_coming_back_are_read(status: str, is_blocked: bool) -> None:
    change = {"date": 1, "chat": CHAT, "from": BOB, "new_chat_member": {"status": status}}
    reading = read({"update_id": 5, "my_chat_member": change})
    assert isinstance(reading, MembershipChange)
    assert reading.is_blocked is is_blocked


def test_what_concerns_nobody_here_is_passed() -> None:
    assert read({"update_id": 5, "channel_post": MESSAGE}) is None
    assert read({"update_id": 5, "message": {**MESSAGE, "from": {**BOB, "is_bot": True}}}) is None
    assert (
        read({"update_id": 5, "message": {key: value for key, value in MESSAGE.items() if key != "from"}})
        is None
    )


ANONYMOUS = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
CHANNEL_BOT = {"id": 136817688, "is_bot": True, "first_name": "Channel", "username": "Channel_Bot"}
TELEGRAM = {"id": 777000, "is_bot": False, "first_name": "Telegram"}
CAROL = {"id": 9, "is_bot": False, "first_name": "Carol"}
A_BOT = {"id": 5001, "is_bot": True, "first_name": "Bot"}
GROUP = {"id": -100, "type": "supergroup"}
CHANNEL = {"id": -222, "type": "channel"}
FORWARDS: list[dict[str, Any]] = [
    {"forward_origin": {"type": "user", "date": 1, "sender_user": CAROL}},
    {"forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": "Carol"}},
    {"forward_origin": {"type": "chat", "date": 1, "sender_chat": GROUP}},
    {"forward_origin": {"type": "channel", "date": 1, "chat": CHANNEL, "message_id": 4}},
    {"forward_date": 1, "forward_from": CAROL},
    {"forward_date": 1, "forward_sender_name": "Carol"},
    {"via_bot": A_BOT},
]


def message_of(**fields: Any) -> TextMessage:
    reading = read({"update_id": 5, "message": {**MESSAGE, **fields}})
    assert isinstance(reading, TextMessage)
    return reading


@pytest.mark.parametrize("fields", FORWARDS)
def test_words_that_others_wrote_are_known_for_it(fields: dict[str, Any]) -> None:
    assert message_of(**fields).words_of is WordsOf.OTHERS
    assert message_of().words_of is WordsOf.SENDER


@pytest.mark.parametrize(
    "fields",
    [
        {"from": ANONYMOUS, "sender_chat": GROUP},
        {"from": CHANNEL_BOT, "sender_chat": CHANNEL},
        {"from": BOB, "sender_chat": CHANNEL},
    ],
)
def test_words_of_a_group_or_a_channel_are_nobody_s(fields: dict[str, Any]) -> None:
    assert message_of(chat=GROUP, **fields).words_of is WordsOf.CHAT


@pytest.mark.parametrize(
    "fields",
    [
        {"from": TELEGRAM, "sender_chat": CHANNEL, "is_automatic_forward": True},
        {"from": TELEGRAM, "sender_chat": CHANNEL},
        {"from": BOB, "sender_chat": CHANNEL, "is_automatic_forward": True},
        {"from": TELEGRAM},
        {"from": ANONYMOUS},
        {"from": CHANNEL_BOT},
        {"business_connection_id": "x"},
        {"guest_query_id": "x"},
        {"guest_bot_caller_user": CAROL},
        {"guest_bot_caller_chat": GROUP},
    ],
)
def test_a_message_that_no_person_sent_to_us_is_passed(fields: dict[str, Any]) -> None:
    assert read({"update_id": 5, "message": {**MESSAGE, "chat": GROUP, **fields}}) is None


@pytest.mark.parametrize(
    "kind",
    [
        "edited_message",
        "channel_post",
        "edited_channel_post",
        "business_message",
        "edited_business_message",
        "guest_message",
    ],
)
def test_only_a_new_message_to_the_bot_is_ever_a_command(kind: str) -> None:
    assert read({"update_id": 5, kind: MESSAGE}) is None
    assert kind not in ALLOWED_UPDATES


def test_a_caption_is_no_command() -> None:
    fields = {key: value for key, value in MESSAGE.items() if key != "text"}
    reading = read({"update_id": 5, "message": {**fields, "photo": [], "caption": "/credit @bob 5"}})
    assert isinstance(reading, TextMessage)
    assert reading.text == ""


@pytest.mark.parametrize("user", [ANONYMOUS, CHANNEL_BOT, TELEGRAM, A_BOT])
def test_nobody_s_presses_and_memberships_are_passed(user: dict[str, Any]) -> None:
    query = {"id": "q", "from": user, "message": MESSAGE, "data": "c:abc"}
    change = {"date": 1, "chat": CHAT, "from": user, "new_chat_member": {"status": "member"}}
    assert read({"update_id": 5, "callback_query": query}) is None
    assert read({"update_id": 5, "my_chat_member": change}) is None


@pytest.mark.parametrize(
    ("text", "offset", "length", "named"),
    [
        ("/send Carol 5", 6, 5, "Carol"),
        ("/send 😀 Ca 5", 6, 5, "😀 Ca"),
        ("😀😀 Carol", 5, 5, "Carol"),
        ("Carol", 0, 500, "Carol"),
    ],
)
def test_a_mention_is_found_where_telegram_counts_it(text: str, offset: int, length: int, named: str) -> None:
    entity = {"type": "text_mention", "offset": offset, "length": length, "user": CAROL}
    (mention,) = message_of(text=text, entities=[entity]).mentions
    assert text[mention.begin : mention.end] == named
    assert mention.telegram_id == 9


def test_only_mentions_of_people_name_them() -> None:
    entities = [
        {"type": "bot_command", "offset": 0, "length": 5},
        {"type": "text_link", "offset": 6, "length": 5, "url": "tg://user?id=9"},
        {"type": "text_mention", "offset": 6, "length": 5, "user": A_BOT},
    ]
    assert message_of(text="/send Carol 5", entities=entities).mentions == (Mention(6, 11, None),)


@pytest.mark.parametrize(
    ("replied", "author"),
    [
        ({"from": CAROL}, Author(9)),
        ({"from": {**CAROL, "username": "carol"}}, Author(9, "carol")),
        ({"from": A_BOT}, Author(None)),
        ({"from": ANONYMOUS, "sender_chat": GROUP}, Author(None)),
        ({"from": TELEGRAM, "sender_chat": CHANNEL}, Author(None)),
        ({"from": CAROL, "sender_chat": CHANNEL}, Author(None)),
        ({}, Author(None)),
        ({"from": CAROL, "forum_topic_created": {"name": "Lunch", "icon_color": 1}}, None),
    ],
)
def test_the_author_of_what_is_replied_to_is_a_person_or_nobody(
    replied: dict[str, Any], author: Author | None
) -> None:
    reading = message_of(chat=GROUP, reply_to_message={"message_id": 2, **replied})
    assert reading.replied_author == author


def test_a_forwarded_message_names_who_wrote_it_in_private_and_nobody_in_a_group() -> None:
    replied = {"message_id": 2, "from": BOB, "forward_origin": {"type": "user", "sender_user": CAROL}}
    hidden = {"message_id": 2, "from": BOB, "forward_origin": {"type": "hidden_user"}}
    assert message_of(reply_to_message=replied).replied_author == Author(9)
    assert message_of(reply_to_message=hidden).replied_author == Author(None)
    assert message_of(chat=GROUP, reply_to_message=replied).replied_author == Author(None)


def test_a_reply_to_a_message_of_another_chat_names_its_author() -> None:
    reading = message_of(external_reply={"origin": {"type": "user", "sender_user": CAROL}})
    assert reading.replied_author == Author(9)
    assert message_of().replied_author is None


@pytest.mark.parametrize(
    ("update", "where"),
    [
        ({"message": MESSAGE}, "update_id"),
        ({"update_id": "5"}, "update_id"),
        ({"update_id": 5, "message": {**MESSAGE, "date": None}}, "message.date"),
        ({"update_id": 5, "message": {**MESSAGE, "from": {"id": "8"}}}, "message.from.id"),
        ({"update_id": 5, "message": []}, "message"),
        ({"update_id": 5, "callback_query": {"id": 4, "from": BOB}}, "callback_query.id"),
    ],
)
def test_a_malformed_update_is_refused_and_the_place_named(update: dict[str, Any], where: str) -> None:
    with pytest.raises(UpdateUnreadable, match=rf"^{where}: "):
        read(update)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
_fields = st.sampled_from(
    [
        "update_id",
        "message",
        "callback_query",
        "my_chat_member",
        "from",
        "chat",
        "text",
        "id",
        "entities",
        "reply_to_message",
        "forward_origin",
        "sender_chat",
    ]
)


@given(st.dictionaries(_fields, _json | st.just(MESSAGE) | st.just(BOB) | st.just(CHAT), max_size=6))
def test_whatever_comes_is_read_refused_or_passed(update: dict[str, Any]) -> None:
    try:
        reading = read(update)
    except UpdateUnreadable:
        return
    assert reading is None or reading.update_id == update["update_id"]
