"""Telegram's updates, read: the few fields Ballast uses, checked, in its own words."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ballast.chat.origins import Origin
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.star_reports import StarReportKind
from dbcore.ledger.star_subscriptions import Renewal
from dbcore.ledger.users import TELEGRAM_ID_LIMIT
from dbcore.text import storable, storable_json

ALLOWED_UPDATES = (
    "message",
    "callback_query",
    "my_chat_member",
    "pre_checkout_query",
    "subscription",
    "purchased_paid_media",
)
"""Named explicitly to Telegram, which otherwise leaves some kinds out and sends others we have no use for."""

CHARGE_ID_LENGTH_MAX = 256
PAYLOAD_LENGTH_MAX = 512
"""Telegram allows 128 bytes."""


TELEGRAM = 777000
"""Telegram's own account. It posts in a group what the channel linked to it posts."""
ANONYMOUS_ADMIN = 1087968824
"""Stands for whichever admin of a group writes as the group."""
NOBODY = frozenset({TELEGRAM, ANONYMOUS_ADMIN, 136817688})
"""No persons: beside that one those that stand for anonymous admins, and for channels that write in groups."""
GENERAL_THREAD_ID = 1


class UpdateUnreadable(Exception):
    """An update is not what the Bot API documents. The message says where."""


# Half of a surrogate pair in a name must not keep its bearer from their balance.
_Text = Annotated[str, AfterValidator(storable)]


def _visible(text: str) -> str:
    """No control, direction or line-break character, and no half of a surrogate pair."""
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in text):
        raise ValueError("expected no invisible characters")
    return text


# What Telegram counts with, and PostgreSQL and Redis still hold.
_Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Date = Annotated[int, Field(ge=0, lt=253_402_300_800)]  # Unix time, to the end of the year 9999


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _User(_Part):
    id: int = Field(gt=0, lt=TELEGRAM_ID_LIMIT)
    is_bot: bool = False
    first_name: _Text = ""
    username: _Text | None = Field(default=None, max_length=64)
    language_code: _Text | None = Field(default=None, max_length=35)


class _Chat(_Part):
    id: _Integer
    type: _Text = "private"


class _InlineButton(_Part):
    text: _Text = ""
    url: _Text | None = None


class _Keyboard(_Part):
    inline_keyboard: list[list[_InlineButton]] = []


class _Entity(_Part):
    """Offset and length count UTF-16 code units."""

    type: _Text
    offset: _Integer
    length: _Integer
    url: _Text | None = None
    language: _Text | None = None
    custom_emoji_id: _Text | None = None
    user: _User | None = None


class _Origin(_Part):
    """Of a forwarded message, or of one in another chat. Channels and people who hide themselves have no user."""

    sender_user: _User | None = None


class _ExternalReply(_Part):
    origin: _Origin


class _Original(_Part):
    message_id: _Integer
    sender: _User | None = Field(default=None, alias="from")
    media_group_id: _Text | None = Field(default=None, max_length=64)
    sender_chat: Any = None
    forward_origin: _Origin | None = None
    # What topics begin with. Each message of a topic says that it replies to this one, if it replies to no other.
    forum_topic_created: Any = None
    reply_markup: _Keyboard | None = None


class _Payment(_Part):
    """Paid or refunded. What else Telegram says of it, such as a subscription's end, is kept as it came."""

    model_config = ConfigDict(extra="allow")

    # Before `storable` drops characters: an id that is not Telegram's to the letter names no charge.
    telegram_payment_charge_id: Annotated[
        str,
        Field(min_length=1, max_length=CHARGE_ID_LENGTH_MAX),
        AfterValidator(_visible),
    ]
    total_amount: int = Field(gt=0, lt=2**63)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    invoice_payload: _Text = Field(default="", max_length=PAYLOAD_LENGTH_MAX)


class _Message(_Original):
    date: _Date
    chat: _Chat
    text: _Text | None = None
    entities: list[_Entity] = []
    message_thread_id: _Integer | None = None
    is_topic_message: bool = False
    forum_topic_edited: object = None
    forum_topic_closed: object = None
    forum_topic_reopened: object = None
    reply_to_message: _Original | None = None
    external_reply: _ExternalReply | None = None
    via_bot: Any = None
    # How forwards were told before Bot API 7.0, by which an own Bot API server may still go.
    forward_date: Any = None
    is_automatic_forward: bool = False
    # Of chats that the bot is no member of.
    business_connection_id: Any = None
    guest_query_id: Any = None
    guest_bot_caller_user: Any = None
    guest_bot_caller_chat: Any = None
    successful_payment: _Payment | None = None
    refunded_payment: _Payment | None = None
    # Whatever else Telegram says of a gift, it is one.
    gift: Any = None
    unique_gift: Any = None

    @property
    def tells_of_a_topic(self) -> bool:
        """It is Telegram's own message that a topic was made or changed."""
        changes = (
            self.forum_topic_created,
            self.forum_topic_edited,
            self.forum_topic_closed,
            self.forum_topic_reopened,
        )
        return any(change is not None for change in changes)


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


class _Subscription(_Part):
    """A BotSubscriptionUpdated. It has no date."""

    user: _User
    invoice_payload: _Text = Field(max_length=PAYLOAD_LENGTH_MAX)
    state: _Text


class _PaidMedia(_Part):
    sender: _User = Field(alias="from")
    paid_media_payload: _Text = Field(default="", max_length=PAYLOAD_LENGTH_MAX)


class _Update(_Part):
    update_id: _Integer
    message: _Message | None = None
    callback_query: _CallbackQuery | None = None
    my_chat_member: _Membership | None = None
    subscription: _Subscription | None = None
    purchased_paid_media: _PaidMedia | None = None


@dataclass(frozen=True)
class Sender:
    telegram_id: int
    username: str | None = None
    first_name: str = ""
    language_code: str | None = None


@dataclass(frozen=True)
class Entity:
    """A part of a text that is formatted, or means something: Telegram's MessageEntity.

    offset, length -- in UTF-16 code units.
    user -- with a text_mention, who is named.
    """

    type: str
    offset: int
    length: int
    url: str | None = None
    language: str | None = None
    custom_emoji_id: str | None = None
    user: Sender | None = None


@dataclass(frozen=True)
class Link:
    """A button that opens a link."""

    text: str
    url: str


@dataclass(frozen=True)
class Posting:
    """A message of a chat.

    album -- Telegram's name for the album it is a piece of, where it is one.
    author_id -- who wrote it, as far as Telegram tells.
    links -- the buttons below it that open a link, row by row.
    other_buttons -- it has buttons that do something else, too.
    """

    message_id: int
    album: str | None = None
    author_id: int | None = None
    links: tuple[tuple[Link, ...], ...] = ()
    other_buttons: bool = False


class WordsOf(StrEnum):
    """Whose words a message has. Only its sender's own are ever a command, or an answer."""

    SENDER = auto()
    OTHERS = auto()
    """Forwarded, or put together by another bot that the sender chose a result of."""
    CHAT = auto()
    """Written as a group (an anonymous admin) or as a channel: Telegram does not say by whom."""


@dataclass(frozen=True)
class Mention:
    """A person whom Telegram names by id in a text, at text[begin:end].

    telegram_id -- None for a bot.
    """

    begin: int
    end: int
    telegram_id: int | None


@dataclass(frozen=True)
class Author:
    """Of the message that another replies to.

    telegram_id -- None where that is no person, or where it was forwarded, so that two may be meant.
    """

    telegram_id: int | None
    username: str | None = None


@dataclass(frozen=True)
class TextMessage:
    """Somebody wrote. `text` is empty for photos and the like.

    entities -- of `text`, in Telegram's order.
    replied_to -- the message of the same chat that this one answers.
    replied_author -- of that one, or of one in another chat; None where it replies to nothing.
    thread_id -- the topic; None for General, and where there are none.
    """

    update_id: int
    date: int
    chat_id: int
    is_private: bool
    sender: Sender
    text: str
    posting: Posting | None = None
    replied_to: Posting | None = None
    entities: tuple[Entity, ...] = ()
    words_of: WordsOf = WordsOf.SENDER
    mentions: tuple[Mention, ...] = ()
    replied_author: Author | None = None
    thread_id: int | None = None

    @property
    def origin(self) -> Origin:
        command_id = None if self.posting is None else self.posting.message_id
        return Origin(self.chat_id, self.sender.telegram_id, command_id, self.thread_id)


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
    thread_id: int | None = None

    @property
    def origin(self) -> Origin:
        return Origin(self.chat_id, self.sender.telegram_id, None, self.thread_id)


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

    @property
    def origin(self) -> Origin:
        return Origin(self.chat_id, self.sender.telegram_id)


@dataclass(frozen=True)
class RenewalChange:
    """The renewal of a subscription was cancelled, turned on again, or could not be paid."""

    update_id: int
    sender: Sender
    payload: str
    renewal: Renewal
    date: int = 0
    """Telegram names none."""


@dataclass(frozen=True)
class StarSpending:
    """Somebody bought paid media, or sent the bot a gift. date -- 0 if Telegram names none."""

    update_id: int
    date: int
    sender: Sender
    kind: StarReportKind
    what: str
    stars: int | None

    @property
    def origin(self) -> Origin:
        return Origin(self.sender.telegram_id, self.sender.telegram_id)


ParsedUpdate = TextMessage | ButtonPress | MembershipChange | Payment | RenewalChange | StarSpending

_RENEWALS = {"active": Renewal.ON, "canceled": Renewal.CANCELLED, "failed": Renewal.FAILED}
"""By the state that Telegram names."""


def read(raw: Any) -> ParsedUpdate | None:
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
    if update.subscription is not None:
        return _renewal(update.update_id, update.subscription)
    if update.purchased_paid_media is not None:
        bought = update.purchased_paid_media
        sender, payload = _sender(bought.sender), bought.paid_media_payload
        return StarSpending(update.update_id, 0, sender, StarReportKind.PAID_MEDIA, payload, None)
    return None


def _renewal(update_id: int, told: _Subscription) -> RenewalChange:
    renewal = _RENEWALS.get(told.state)
    if renewal is None:
        raise UpdateUnreadable(f"subscription.state: expected one of {', '.join(_RENEWALS)}")
    return RenewalChange(update_id, _sender(told.user), told.invoice_payload, renewal)


def _message(update_id: int, message: _Message) -> TextMessage | Payment | StarSpending | None:
    if message.successful_payment is not None:
        return _payment(update_id, message, PaymentKind.PAID, message.successful_payment)
    if message.refunded_payment is not None:
        return _payment(update_id, message, PaymentKind.REFUNDED, message.refunded_payment)
    if message.sender is None or not _is_heard(message) or message.tells_of_a_topic:
        return None
    if message.gift is not None or message.unique_gift is not None:
        return _gift(update_id, message, message.sender)
    text = message.text or ""
    return TextMessage(
        update_id=update_id,
        date=message.date,
        chat_id=message.chat.id,
        is_private=message.chat.type == "private",
        sender=_sender(message.sender),
        text=text,
        posting=_posting(message),
        replied_to=_replied_to(message),
        entities=tuple(_entity(each) for each in message.entities),
        words_of=_whose_words(message),
        mentions=_mentions(text, message.entities),
        replied_author=_replied_author(message),
        thread_id=_thread(message),
    )


def _gift(update_id: int, message: _Message, sender: _User) -> StarSpending | None:
    """In private alone: what people give each other in groups is not the bot's."""
    if message.chat.type != "private" or not _is_person(sender):
        return None
    kind = StarReportKind.GIFT if message.gift is not None else StarReportKind.UNIQUE_GIFT
    told = message.gift if message.gift is not None else message.unique_gift
    gift = told.get("gift") if isinstance(told, dict) else None
    gift = gift if isinstance(gift, dict) else {}
    stars = gift.get("star_count")
    what = storable(str(gift.get("name") or gift.get("id") or ""))[:PAYLOAD_LENGTH_MAX]
    is_number = type(stars) is int and 0 <= stars < 2**63
    return StarSpending(update_id, message.date, _sender(sender), kind, what, stars if is_number else None)


def _entity(entity: _Entity) -> Entity:
    user = None if entity.user is None else _sender(entity.user)
    return Entity(
        entity.type,
        entity.offset,
        entity.length,
        entity.url,
        entity.language,
        entity.custom_emoji_id,
        user,
    )


def _is_heard(message: _Message) -> bool:
    if message.sender is None or message.sender.id == TELEGRAM or message.is_automatic_forward:
        return False
    if message.business_connection_id is not None or message.guest_query_id is not None:
        return False
    if message.guest_bot_caller_user is not None or message.guest_bot_caller_chat is not None:
        return False
    return message.sender_chat is not None or _is_person(message.sender)


def _whose_words(message: _Message) -> WordsOf:
    if message.sender_chat is not None:
        return WordsOf.CHAT
    if message.forward_origin is not None or message.forward_date is not None or message.via_bot is not None:
        return WordsOf.OTHERS
    return WordsOf.SENDER


def _is_person(user: _User | None) -> bool:
    return user is not None and not user.is_bot and user.id not in NOBODY


def _mentions(text: str, entities: list[_Entity]) -> tuple[Mention, ...]:
    units = text.encode("utf-16-le")

    def index(offset: int) -> int:
        return len(units[: 2 * offset].decode("utf-16-le", "ignore"))

    return tuple(
        Mention(
            index(entity.offset),
            index(entity.offset + entity.length),
            entity.user.id if _is_person(entity.user) else None,
        )
        for entity in entities
        if entity.type == "text_mention"
        and entity.user is not None
        and entity.offset >= 0
        and entity.length > 0
    )


def _replied_author(message: _Message) -> Author | None:
    replied = message.reply_to_message if _replied_to(message) is not None else None
    if replied is None:
        return None if message.external_reply is None else _author(message.external_reply.origin.sender_user)
    if replied.forum_topic_created is not None:
        return None
    if replied.sender_chat is not None:
        return Author(None)
    if replied.forward_origin is None:
        return _author(replied.sender)
    # In private one forwards somebody's message to name them; in a group who forwarded it may be meant as well.
    return _author(replied.forward_origin.sender_user) if message.chat.type == "private" else Author(None)


def _author(user: _User | None) -> Author:
    return Author(user.id, user.username) if user is not None and _is_person(user) else Author(None)


def _replied_to(message: _Message) -> Posting | None:
    """The message that it answers. One that answers nothing comes as an answer to the first message of its topic."""
    original = message.reply_to_message
    if original is None or (message.is_topic_message and original.message_id == message.message_thread_id):
        return None
    return _posting(original)


def _thread(message: _Message) -> int | None:
    """The topic to answer in. Telegram does not take General's number back, and elsewhere it is one of replies."""
    if not message.is_topic_message or message.message_thread_id == GENERAL_THREAD_ID:
        return None
    return message.message_thread_id


def _payment(update_id: int, message: _Message, kind: PaymentKind, payment: _Payment) -> Payment:
    payer = _payer(message)
    return Payment(
        update_id=update_id,
        date=message.date,
        chat_id=payer.telegram_id,
        sender=payer,
        kind=kind,
        charge_id=payment.telegram_payment_charge_id,
        amount=payment.total_amount,
        currency=payment.currency,
        payload=payment.invoice_payload,
        details=storable_json(payment.model_dump()),
    )


def payment_in(raw: Any) -> tuple[bool, int | None]:
    """Whether an update that could not be read says that money has moved, and in whose private chat."""
    message = raw.get("message") if isinstance(raw, dict) else None
    if not isinstance(message, dict) or not message.keys() & {"successful_payment", "refunded_payment"}:
        return False, None
    chat = message.get("chat")
    chat_id = chat.get("id") if isinstance(chat, dict) and chat.get("type") == "private" else None
    return True, chat_id if type(chat_id) is int and 0 < chat_id < TELEGRAM_ID_LIMIT else None


def _payer(message: _Message) -> Sender:
    """Who paid, or was refunded. In a private chat that is whose chat it is, because a refund comes from the bot."""
    sender = message.sender if _is_person(message.sender) else None
    if message.chat.type == "private":
        payer_id = message.chat.id
        if not 0 < payer_id < TELEGRAM_ID_LIMIT:
            raise UpdateUnreadable("message.chat.id: expected the payer's id")
        return _sender(sender) if sender is not None and sender.id == payer_id else Sender(payer_id)
    if sender is None:
        raise UpdateUnreadable("message.from: a payment outside a private chat names its payer")
    return _sender(sender)


def _posting(message: _Original) -> Posting:
    keyboard = message.reply_markup.inline_keyboard if message.reply_markup else []
    links = [tuple(Link(each.text, each.url) for each in row if each.url) for row in keyboard]
    return Posting(
        message.message_id,
        message.media_group_id,
        author_id=None if message.sender is None else message.sender.id,
        links=tuple(filter(None, links)),
        other_buttons=any(not button.url for row in keyboard for button in row),
    )


def _press(update_id: int, query: _CallbackQuery) -> ButtonPress | None:
    if not _is_person(query.sender):
        return None
    message = query.message
    return ButtonPress(
        update_id=update_id,
        date=message.date if message else 0,
        chat_id=message.chat.id if message else query.sender.id,
        message_id=message.message_id if message else None,
        sender=_sender(query.sender),
        callback_id=query.id,
        data=query.data or "",
        thread_id=_thread(message) if message else None,
    )


def _membership(update_id: int, change: _Membership) -> MembershipChange | None:
    if change.chat.type != "private" or not _is_person(change.sender):
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
