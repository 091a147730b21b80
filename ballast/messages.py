"""What goes out to people: messages with buttons, as JSON values that can wait in Redis."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ballast.texts import gettext
from dbcore.currencies import STARS_MAX


def cannot_ask_there() -> str:
    return gettext("I cannot write where you sent your command. Please send it here.")


class Button(BaseModel):
    """An inline button. `data` comes back when it is pressed: opaque, at most 64 bytes, never an amount."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str = Field(min_length=1, max_length=64)
    data: str = Field(min_length=1, max_length=64)


class Invoice(BaseModel):
    """An invoice in Telegram Stars. payload -- 1 to 128 bytes, which come back with the payment.

    link_in -- sent as a link that anybody can pay, in this text (HTML) with `{link}` in it; None: sent itself.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: str = Field(min_length=1, max_length=32)
    stars: int = Field(ge=1, le=STARS_MAX)
    payload: str = Field(min_length=1, max_length=128)
    link_in: str | None = None


class Message(BaseModel):
    """One message to one chat.

    text -- Telegram's HTML; whatever came from people is escaped already.
    edit_message_id -- the bot's message to replace; where that is gone a new one is sent.
    picture -- a PNG in base64; the text then stands under it, and has at most 1024 characters.
    quotes -- the message of the chat that it answers.
    thread_id -- the topic that it goes to; None for General, whose id Telegram does not take.
    asks -- its answer is expected as a reply to it, from whoever wrote the message that it quotes.
    is_question -- it takes no other message's place: Telegram notifies nobody of an edit.
    choices -- answers that the person can send by buttons in place of their keyboard.
    private_chat_id -- where it goes if its group does not take it: the topic is closed, or the bot may not write.
    opens -- it tells a group that the message before it went to a private chat, and has a button that opens that chat.
        The word is what /start is sent with if the chat was never started.
    toast -- the press that it answers, by its callback query's id: it is shown to the presser instead of sent.
    invoice -- it is an invoice, and the text, without formatting and of at most 255 characters, describes it.
    matters -- if it is a toast that can no longer be shown, it is sent as a message.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    chat_id: int
    text: str = Field(min_length=1, max_length=4096)
    buttons: tuple[tuple[Button, ...], ...] = ()
    edit_message_id: int | None = None
    picture: str | None = Field(default=None, max_length=200_000)
    quotes: int | None = None
    thread_id: int | None = None
    asks: bool = False
    is_question: bool = False
    choices: tuple[str, ...] = ()
    private_chat_id: int | None = None
    opens: str | None = None
    toast: str | None = None
    invoice: Invoice | None = None
    matters: bool = True

    def to_private_chat(self) -> Message:
        """The same for the private chat, which has neither the quoted message nor the topic. A question is not asked
        there, because its answer would not be found.
        """
        return self.model_copy(
            update={
                "text": cannot_ask_there() if self.asks else self.text,
                "chat_id": self.private_chat_id,
                "private_chat_id": None,
                "edit_message_id": None,
                "quotes": None,
                "thread_id": None,
                "asks": False,
            }
        )


_MESSAGES = TypeAdapter(tuple[Message, ...])


def to_json(messages: Iterable[Message]) -> str:
    """An answer as it waits on its job's record."""
    return _MESSAGES.dump_json(tuple(messages)).decode()


def from_json(text: str) -> list[Message]:
    """What `to_json` made, by whatever release."""
    return list(_MESSAGES.validate_json(text))
