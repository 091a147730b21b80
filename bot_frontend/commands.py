"""What somebody wants: from a reading of an update, and the dialogue they are in, to the job that does it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot_frontend import dialogue as dialogues
from bot_frontend import draft_questions, texts
from bot_frontend.dialogue import Dialogue, DraftQuestion, Question, Refusal, SendRequest
from bot_frontend.updates import ButtonPress, MembershipChange, Payment, Reading, Sender, TextMessage
from dbcore.money import AmountError, parse_amount
from dbcore.settings import Settings
from dbcore.text import one_line
from dbcore.users import UserRef, UserRefError
from workers.jobs import (
    MEMO_LENGTH_MAX,
    AskAdjustment,
    CardButton,
    CardQuestion,
    ChooseBroadcasts,
    CreateTransfer,
    DecideAdjustment,
    DecideTransfer,
    DeliverReply,
    DraftBroadcast,
    GetOrCreateUser,
    Job,
    ListBroadcasts,
    PressBroadcast,
    RecordPayment,
    SetUserStatus,
    ShowBalance,
    ShowDatabaseStatus,
    ShowHistory,
)
from workers.messages import Message

_COMMAND = re.compile(r"/(?P<name>[A-Za-z0-9_]+)(?:@(?P<bot>\w+))?(?:\s+(?P<arguments>.*))?", re.DOTALL)
_HISTORY_BUTTON = re.compile(r"h:(?P<owner>\d{1,16}):(?P<version>[1-9]\d{0,15})")
_CARD_BUTTON = re.compile(r"b:(?P<id>[1-9]\d{0,17}):(?P<what>[a-z]{1,16})(?::(?P<shown>[0-9a-f]{1,16}))?")
_CARD_BUTTONS = frozenset(button.value for button in CardButton)
_QUESTIONS = frozenset(question.value for question in CardQuestion)
_ADJUSTMENT_BUTTON = re.compile(r"a(?P<decision>[cx]):(?P<token>[\w-]{1,60})")
_TRANSFER_BUTTON = re.compile(r"(?P<decision>[cx]):(?P<token>[\w-]{1,60})")


@dataclass(frozen=True)
class Intention:
    """The job to be done, and where the dialogue stands after it; None for no dialogue."""

    job: Job
    dialogue: Dialogue | None = None


def interpret(reading: Reading, dialogue: Dialogue | None, settings: Settings) -> Intention | None:
    """None where nothing is wanted: small talk in a group."""
    match reading:
        case TextMessage():
            return _text(reading, dialogue, settings)
        case ButtonPress() if card := _CARD_BUTTON.fullmatch(reading.data):
            return _card_button(reading, int(card["id"]), card["what"], card["shown"], dialogue, settings)
        case ButtonPress():
            return Intention(_button(reading, settings), dialogue)
        case Payment():
            return Intention(_payment(reading), dialogue)
        case MembershipChange():
            return Intention(
                SetUserStatus(
                    telegram_id=reading.sender.telegram_id,
                    status="blocked" if reading.is_blocked else "active",
                ),
                dialogue,
            )


def is_for_another_bot(reading: Reading, our_username: str | None) -> bool:
    """Whether a command in a group names another bot. Where ours sees every message of the group, it sees these too.

    our_username -- None where Telegram has not said it yet: then every name is taken for ours.
    """
    if our_username is None or not isinstance(reading, TextMessage) or reading.is_private:
        return False
    command = _COMMAND.fullmatch(reading.text.strip())
    return command is not None and (command["bot"] or our_username).lower() != our_username.lower()


def _text(message: TextMessage, dialogue: Dialogue | None, settings: Settings) -> Intention | None:
    command = _COMMAND.fullmatch(message.text.strip())
    if command is None:
        is_admin = message.sender.telegram_id in settings.admin_ids
        if is_admin and message.is_private and message.posting is not None and message.posting.album:
            return None  # a piece of an album: an answer to each would be ten
        if dialogue is not None and dialogue.draft is not None:
            return (
                _card_answer(message, dialogue.draft, settings)
                if is_admin
                else _say(message, texts.ADMINS_ONLY)
            )
        if dialogue is not None:
            step = dialogues.proceed(dialogue, message.text, message.update_id, settings.currency_exponent)
            return _after(step, message)
        return _say(message, texts.NOT_A_COMMAND) if message.is_private else None
    return _command(
        command["name"].lower(), (command["arguments"] or "").strip(), message, dialogue, settings
    )


def _command(
    name: str, arguments: str, message: TextMessage, dialogue: Dialogue | None, settings: Settings
) -> Intention:
    sender = message.sender
    is_admin = sender.telegram_id in settings.admin_ids
    match name:
        case "start":
            return Intention(GetOrCreateUser(**_who(sender)))
        case "help":
            return _say(message, texts.help_text(is_admin))
        case "balance":
            return Intention(ShowBalance(**_who(sender)))
        case "history":
            return Intention(ShowHistory(**_who(sender)))
        case "stop" | "resume":
            return Intention(ChooseBroadcasts(**_who(sender), wanted=name == "resume"))
        case "send":
            return _after(dialogues.begin(arguments, message.update_id, settings.currency_exponent), message)
        case "cancel":
            return _say(message, texts.LEFT_DIALOGUE if dialogue else texts.NOTHING_TO_CANCEL)
        case "dbstatus" if is_admin:
            return Intention(ShowDatabaseStatus())
        case "credit" | "debit" if is_admin:
            return _adjust(name, arguments, message, settings)
        case "broadcast" if is_admin:
            return _broadcast(arguments, message)
        case "broadcasts" if is_admin:
            return Intention(ListBroadcasts(telegram_id=sender.telegram_id))
        case _:
            return _say(message, texts.unknown_command(name))


def _after(step: Question | Refusal | SendRequest, message: TextMessage) -> Intention:
    match step:
        case Question():
            return _say(message, step.text, step.dialogue)
        case Refusal():
            return _say(message, step.text)
        case SendRequest():
            return Intention(
                CreateTransfer(
                    **_who(message.sender),
                    recipient=step.recipient,
                    amount=step.amount,
                    memo=one_line(step.memo),
                )
            )


def _adjust(name: str, arguments: str, message: TextMessage, settings: Settings) -> Intention:
    whom, _, rest = arguments.partition(" ")
    amount_text, _, reason = rest.strip().partition(" ")
    if not whom or not amount_text:
        return _say(message, texts.adjust_usage(name))
    try:
        target = UserRef.parse(whom)
        amount = parse_amount(amount_text, settings.currency_exponent)
    except (UserRefError, AmountError) as error:
        return _say(message, f"{error} {texts.adjust_usage(name)}")
    if len(reason.strip()) > MEMO_LENGTH_MAX:
        return _say(message, texts.MEMO_TOO_LONG)
    return Intention(
        AskAdjustment(
            telegram_id=target.telegram_id,
            username=target.username,
            amount=amount if name == "credit" else -amount,
            reason=one_line(reason),
            admin_id=message.sender.telegram_id,
        )
    )


def _broadcast(arguments: str, message: TextMessage) -> Intention:
    if not message.is_private:
        return _say(message, texts.BROADCASTS_IN_PRIVATE)
    admin = message.sender.telegram_id
    if arguments:
        return Intention(DraftBroadcast(telegram_id=admin, text=arguments))
    if message.replied_to is None:
        return _say(message, texts.BROADCAST_USAGE)
    original = message.replied_to
    return Intention(DraftBroadcast(telegram_id=admin, message_id=original.message_id, album=original.album))


def _card_button(
    press: ButtonPress,
    broadcast_id: int,
    what: str,
    shown: str | None,
    dialogue: Dialogue | None,
    settings: Settings,
) -> Intention:
    """A button of a broadcast's card: a job, or a question that is answered in words."""
    admin = press.sender.telegram_id
    if admin not in settings.admin_ids or press.chat_id != admin:
        return Intention(_reply(press.chat_id, texts.ADMINS_ONLY), dialogue)
    if what in _QUESTIONS:
        asked = DraftQuestion(broadcast_id=broadcast_id, asks=CardQuestion(what))
        question = _reply(press.chat_id, draft_questions.question(asked, settings))
        return Intention(question, Dialogue(draft=asked, asked_by=press.update_id))
    if what not in _CARD_BUTTONS:
        return Intention(_reply(press.chat_id, texts.UNKNOWN_BUTTON), dialogue)
    pressed = PressBroadcast(broadcast_id=broadcast_id, telegram_id=admin, what=CardButton(what), shown=shown)
    return Intention(pressed, dialogue)


def _card_answer(message: TextMessage, asked: DraftQuestion, settings: Settings) -> Intention | None:
    now = datetime.fromtimestamp(message.date, UTC)
    try:
        change = draft_questions.answered(asked, message.text, message.sender.telegram_id, settings, now=now)
    except draft_questions.AnswerError as error:
        if asked.more:
            return _text(message, None, settings)
        again = f"{error} {draft_questions.question(asked, settings)}"
        return _say(message, again, Dialogue(draft=asked, asked_by=message.update_id))
    if asked.asks is not CardQuestion.IDS:
        return Intention(change)
    more = asked.model_copy(update={"more": True})
    return Intention(change, Dialogue(draft=more, asked_by=message.update_id))


def _button(press: ButtonPress, settings: Settings) -> Job:
    if adjustment := _ADJUSTMENT_BUTTON.fullmatch(press.data):
        if press.sender.telegram_id not in settings.admin_ids:
            return _reply(press.chat_id, texts.ADMINS_ONLY)
        return DecideAdjustment(
            **_who(press.sender), token=adjustment["token"], confirm=adjustment["decision"] == "c"
        )
    if transfer := _TRANSFER_BUTTON.fullmatch(press.data):
        return DecideTransfer(
            **_who(press.sender), token=transfer["token"], confirm=transfer["decision"] == "c"
        )
    if page := _HISTORY_BUTTON.fullmatch(press.data):
        return ShowHistory(
            **_who(press.sender), owner_telegram_id=int(page["owner"]), upto_version=int(page["version"])
        )
    return _reply(press.chat_id, texts.UNKNOWN_BUTTON)


def _payment(payment: Payment) -> RecordPayment:
    return RecordPayment(
        **_who(payment.sender),
        event=payment.kind.value,
        charge_id=payment.charge_id,
        amount=payment.amount,
        currency=payment.currency,
        payload=payment.payload,
        details=payment.details,
        said_at=payment.date,
    )


def _say(message: TextMessage, text: str, dialogue: Dialogue | None = None) -> Intention:
    return Intention(_reply(message.chat_id, text), dialogue)


def _reply(chat_id: int, text: str) -> DeliverReply:
    return DeliverReply(messages=(Message(chat_id=chat_id, text=text),))


def _who(sender: Sender) -> dict[str, Any]:
    return {
        "telegram_id": sender.telegram_id,
        "username": sender.username,
        "first_name": sender.first_name,
        "language_code": sender.language_code,
    }
