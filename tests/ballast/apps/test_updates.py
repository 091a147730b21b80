"""Which function or handler takes an update, and what Telegram is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from telegram import Update
from telegram.ext import MessageHandler, TypeHandler, filters

from ballast import App, JobContext
from ballast.apps.updates import allowed_by, kind_of_taker

ANN = {"id": 7, "is_bot": False, "first_name": "Ann"}
CHAT = {"id": 7, "type": "private"}


def of_type(name: str, **content: Any) -> Update:
    message = {"message_id": 1, "date": 1_700_000_000, "chat": CHAT, "from": ANN}
    return Update.de_json({"update_id": 1, name: {**message, **content}}, None)


def reaction() -> Update:
    changed: dict[str, Any] = {"user": ANN, "old_reaction": [], "new_reaction": []}
    return of_type("message_reaction", **changed)


async def handled(update: Update, context: Any) -> None: ...


def place(ctx: JobContext, update: Update) -> None: ...


def words(ctx: JobContext, update: Update) -> None: ...


def reacted(ctx: JobContext, update: Update) -> None: ...


def test_the_first_that_wants_an_update_takes_it_be_it_a_function_or_a_handler() -> None:
    app = App("shop")
    app.add_handler(TypeHandler(Update, handled), group=-1, database="none")
    app.add_handler(MessageHandler(filters.Regex("^first"), handled))
    app.update(filters.LOCATION)(place)
    app.update(filters.TEXT)(words)
    app.add_handler(MessageHandler(filters.ALL, handled), database="read")
    assert kind_of_taker(app, of_type("message", text="first come")) == "shop.telegram"
    assert kind_of_taker(app, of_type("message", text="words")) == "shop.update.words"
    assert kind_of_taker(app, of_type("channel_post", text="words")) == "shop.update.words"
    assert (
        kind_of_taker(app, of_type("message", location={"latitude": 1, "longitude": 2}))
        == "shop.update.place"
    )
    # An edited message is no new one, and goes on to those that want it.
    assert kind_of_taker(app, of_type("edited_message", text="words")) == "shop.telegram_read"
    assert kind_of_taker(app, reaction()) == "shop.telegram_none"
    assert kind_of_taker(App("idle"), reaction()) is None


def test_a_type_is_taken_by_its_name_and_asked_of_telegram() -> None:
    app = App("shop")
    assert allowed_by(app) == []
    app.update("message_reaction")(reacted)
    assert allowed_by(app) == ["message_reaction"]
    app.update(filters.TEXT)(words)
    assert allowed_by(app) == ["message_reaction", "message", "channel_post"]
    assert kind_of_taker(app, reaction()) == "shop.update.reacted"
    assert kind_of_taker(app, of_type("edited_message", text="words")) is None
    app.add_handler(MessageHandler(filters.ALL, handled))
    assert {"inline_query", "message_reaction"} <= set(allowed_by(app))
    assert "chat_member" not in allowed_by(app)


def test_a_filter_that_raises_is_told_and_not_taken_for_a_no() -> None:
    class Tripping(filters.MessageFilter):
        def filter(self, message: object) -> bool:
            raise ZeroDivisionError

    app = App("shop")
    app.update(Tripping())(words)
    with pytest.raises(ZeroDivisionError):
        kind_of_taker(app, of_type("message", text="words"))
