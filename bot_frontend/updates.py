"""Telegram's updates, read: the few fields Ballast uses, checked, in its own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dbcore.payments import PaymentKind
from dbcore.text import storable, storable_json

ALLOWED_UPDATES = ("message", "callback_query", "my_chat_member", "pre_checkout_query")
"""Named explicitly to Telegram, which otherwise leaves some kinds out and sends others we have no use for."""

CHARGE_ID_LENGTH_MAX = 256
CURRENCY_LENGTH_MAX = 16
PAYLOAD_LENGTH_MAX = 512
"""Telegram allows 128 bytes."""


class UpdateUnreadable(Exception):
    """An update is not what the Bot API documents. The message says where."""


# Half of a surrogate pair in a name must not keep its bearer from their balance.
_Text = Annotated[str, AfterValidator(storable)]
# What Telegram counts with, and PostgreSQL and Redis still hold.
_Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Date = Annotated[int, Field(ge=0, lt=253_402_300_800)]  # Unix time, to the end of the year 9999


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _User(_Part):
    id: int = Field(gt=0, lt=2**52)
    is_bot: bool = False
    first_name: _Text = ""
    username: _Text | None = Field(default=None, max_length=64)
    language_code: _Text | None = Field(default=None, max_length=35)


class _Chat(_Part):
    id: _Integer
    type: _Text = "private"


class _Original(_Part):
    message_id: _Integer
    media_group_id: _Text | None = Field(default=None, max_length=64)


class _Payment(_Part):
    """Paid or refunded. What else Telegram says of it, such as a subscription's end, is kept as it came."""

    model_config = ConfigDict(extra="allow")

    telegram_payment_charge_id: _Text = Field(min_length=1, max_length=CHARGE_ID_LENGTH_MAX)
    total_amount: int = Field(ge=0, lt=2**63)
    currency: _Text = Field(min_length=1, max_length=CURRENCY_LENGTH_MAX)
    invoice_payload: _Text = Field(default="", max_length=PAYLOAD_LENGTH_MAX)


class _Message(_Original):
    date: _Date
    chat: _Chat
    sender: _User | None = Field(default=None, alias="from")
    text: _Text | None = None
    reply_to_message: _Original | None = None
    successful_payment: _Payment | None = None
    refunded_payment: _Payment | None = None


class _CallbackQuery(_Part):
    id: _Text
    sender: _User = Field(alias="from")
    message: _Message | None = None
    data: _Text | None = None


class _Member(_Part):
    status: _Text


class _Membership(_Part):
    date: _Date
    chat: _Chat
    sender: _User = Field(alias="from")
    new_chat_member: _Member


class _Update(_Part):
    update_id: _Integer
    message: _Message | None = None
    callback_query: _CallbackQuery | None = None
    my_chat_member: _Membership | None = None


@dataclass(frozen=True)
class Sender:
    telegram_id: int
    username: str | None
    first_name: str
    language_code: str | None = None


@dataclass(frozen=True)
class Posting:
    """A message of a chat. `album` is Telegram's name for the album it is a piece of, where it is one."""

    message_id: int
    album: str | None = None


@dataclass(frozen=True)
class TextMessage:
    """Somebody wrote. `text` is empty for photos and the like.

    replied_to -- the message of the same chat that this one answers.
    """

    update_id: int
    date: int
    chat_id: int
    is_private: bool
    sender: Sender
    text: str
    posting: Posting | None = None
    replied_to: Posting | None = None


@dataclass(frozen=True)
class ButtonPress:
    """Somebody pressed an inline button.

    message_id -- the message the button hangs on; None where Telegram no longer tells.
    """

    update_id: int
    date: int
    chat_id: int
    message_id: int | None
    sender: Sender
    callback_id: str
    data: str


@dataclass(frozen=True)
class MembershipChange:
    """A user blocked the bot in their private chat with it, or came back."""

    update_id: int
    date: int
    sender: Sender
    is_blocked: bool


@dataclass(frozen=True)
class Payment:
    """Telegram says that somebody paid, or got their money back. It is owed a record and a receipt.

    chat_id -- the payer's own chat, wherever they paid.
    amount -- in the currency's smallest units. details -- all that Telegram said.
    """

    update_id: int
    date: int
    chat_id: int
    sender: Sender
    kind: PaymentKind
    charge_id: str
    amount: int
    currency: str
    payload: str
    details: dict[str, Any]


Reading = TextMessage | ButtonPress | MembershipChange | Payment


def read(raw: Any) -> Reading | None:
    """What an update says; None for one that concerns nobody here, such as a channel's post.

    Raises UpdateUnreadable where a documented field is missing or of another type.
    """
    try:
        update = _Update.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UpdateUnreadable(f"{where}: {first['msg']}") from None
    if update.message is not None:
        return _message(update.update_id, update.message)
    if update.callback_query is not None:
        return _press(update.update_id, update.callback_query)
    if update.my_chat_member is not None:
        return _membership(update.update_id, update.my_chat_member)
    return None


def _message(update_id: int, message: _Message) -> TextMessage | Payment | None:
    if message.successful_payment is not None:
        return _payment(update_id, message, PaymentKind.PAID, message.successful_payment)
    if message.refunded_payment is not None:
        return _payment(update_id, message, PaymentKind.REFUNDED, message.refunded_payment)
    if message.sender is None or message.sender.is_bot:
        return None
    return TextMessage(
        update_id=update_id,
        date=message.date,
        chat_id=message.chat.id,
        is_private=message.chat.type == "private",
        sender=_sender(message.sender),
        text=message.text or "",
        posting=_posting(message),
        replied_to=_posting(message.reply_to_message) if message.reply_to_message else None,
    )


def _payment(update_id: int, message: _Message, kind: PaymentKind, payment: _Payment) -> Payment:
    if message.sender is None:
        raise UpdateUnreadable("message.from: a payment names its payer")
    return Payment(
        update_id=update_id,
        date=message.date,
        chat_id=message.sender.id,
        sender=_sender(message.sender),
        kind=kind,
        charge_id=payment.telegram_payment_charge_id,
        amount=payment.total_amount,
        currency=payment.currency,
        payload=payment.invoice_payload,
        details=storable_json(payment.model_dump()),
    )


def _posting(message: _Original) -> Posting:
    return Posting(message.message_id, message.media_group_id)


def _press(update_id: int, query: _CallbackQuery) -> ButtonPress:
    message = query.message
    return ButtonPress(
        update_id=update_id,
        date=message.date if message else 0,
        chat_id=message.chat.id if message else query.sender.id,
        message_id=message.message_id if message else None,
        sender=_sender(query.sender),
        callback_id=query.id,
        data=query.data or "",
    )


def _membership(update_id: int, change: _Membership) -> MembershipChange | None:
    if change.chat.type != "private":
        return None
    return MembershipChange(
        update_id=update_id,
        date=change.date,
        sender=_sender(change.sender),
        is_blocked=change.new_chat_member.status == "kicked",
    )


def _sender(user: _User) -> Sender:
    return Sender(
        telegram_id=user.id,
        username=user.username,
        first_name=user.first_name[:256],
        language_code=user.language_code,
    )
