from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot_frontend.updates import ButtonPress, MembershipChange, TextMessage, UpdateUnreadable, read

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
    ["update_id", "message", "callback_query", "my_chat_member", "from", "chat", "text", "id"]
)


@given(st.dictionaries(_fields, _json | st.just(MESSAGE) | st.just(BOB) | st.just(CHAT), max_size=6))
def test_whatever_comes_is_read_refused_or_passed(update: dict[str, Any]) -> None:
    try:
        reading = read(update)
    except UpdateUnreadable:
        return
    assert reading is None or reading.update_id == update["update_id"]
