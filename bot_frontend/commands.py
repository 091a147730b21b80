"""What somebody wants: from a reading of an update, and the dialogue they are in, to the job that does it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bot_frontend import dialogue as dialogues
from bot_frontend import texts
from bot_frontend.dialogue import Dialogue, Question, Refusal, SendRequest
from bot_frontend.updates import ButtonPress, MembershipChange, Reading, Sender, TextMessage
from dbcore.money import AmountError, parse_amount
from dbcore.settings import Settings
from dbcore.users import UserRef, UserRefError
from workers.jobs import (
    MEMO_LENGTH_MAX,
    AdjustBalance,
    ChooseBroadcasts,
    CreateTransfer,
    DecideTransfer,
    DeliverReply,
    GetOrCreateUser,
    Job,
    SetUserStatus,
    ShowBalance,
    ShowHistory,
)
from workers.messages import Message

_COMMAND = re.compile(r"/(?P<name>[A-Za-z0-9_]+)(?:@(?P<bot>\w+))?(?:\s+(?P<arguments>.*))?", re.DOTALL)
_HISTORY_BUTTON = re.compile(r"h:(?P<owner>\d{1,16}):(?P<version>[1-9]\d{0,15})")
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
        case ButtonPress():
            return Intention(_button(reading), dialogue)
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
        case "credit" | "debit" if is_admin:
            return _adjust(name, arguments, message, settings)
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
                    **_who(message.sender), recipient=step.recipient, amount=step.amount, memo=step.memo
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
        AdjustBalance(
            telegram_id=target.telegram_id,
            username=target.username,
            amount=amount if name == "credit" else -amount,
            reason=reason.strip(),
            actor=f"telegram:{message.sender.telegram_id}",
        )
    )


def _button(press: ButtonPress) -> Job:
    if transfer := _TRANSFER_BUTTON.fullmatch(press.data):
        return DecideTransfer(
            **_who(press.sender), token=transfer["token"], confirm=transfer["decision"] == "c"
        )
    if page := _HISTORY_BUTTON.fullmatch(press.data):
        return ShowHistory(
            **_who(press.sender), owner_telegram_id=int(page["owner"]), upto_version=int(page["version"])
        )
    return DeliverReply(messages=(Message(chat_id=press.chat_id, text=texts.UNKNOWN_BUTTON),))


def _say(message: TextMessage, text: str, dialogue: Dialogue | None = None) -> Intention:
    return Intention(DeliverReply(messages=(Message(chat_id=message.chat_id, text=text),)), dialogue)


def _who(sender: Sender) -> dict[str, Any]:
    return {
        "telegram_id": sender.telegram_id,
        "username": sender.username,
        "first_name": sender.first_name,
        "language_code": sender.language_code,
    }
