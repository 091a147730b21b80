"""What somebody wants: from a reading of an update, and the conversation they are in, to the job that does it."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from ballast.apps.installed import INSTALLED
from ballast.builtin.broadcasts import CardQuestion
from ballast.builtin.payments import RecordPayment, RecordStarReport
from ballast.builtin.subscriptions import RecordRenewal
from ballast.builtin.users import SetUserStatus
from ballast.builtin.words import unknown_button
from ballast.jobs import Job
from ballast.operators.permissions import Permission, may
from ballast.queueing.kinds import JOB_TYPES
from ballast.texts import said
from bot_frontend import app_commands, app_questions, broadcast_form, texts
from bot_frontend import conversation as dialogues
from bot_frontend.built_in import BY_WORD, Typed, intention_after
from bot_frontend.buttons import is_button, pressed
from bot_frontend.conversation import Conversation, DraftQuestion
from bot_frontend.naming import Arguments, names_somebody
from bot_frontend.routed import Routed, say, toast, who
from bot_frontend.updates import (
    ANONYMOUS_ADMIN,
    ButtonPress,
    MembershipChange,
    ParsedUpdate,
    Payment,
    RenewalChange,
    Sender,
    StarSpending,
    TextMessage,
    WordsOf,
)
from dbcore.roles import Role
from dbcore.settings import Settings

_COMMAND = re.compile(r"/(?P<name>[A-Za-z0-9_]+)(?:@(?P<bot>\w+))?(?:\s+(?P<arguments>.*))?", re.DOTALL)
_BOTS_WITHOUT_BOT = frozenset(
    {
        "bing",
        "bold",
        "coub",
        "foursquare",
        "gif",
        "imdb",
        "like",
        "music",
        "pic",
        "sticker",
        "vid",
        "wiki",
        "youtube",
    }
)
"""Telegram's own, whose usernames do not end in `bot`."""

_DECLARED = {
    command.name: command.declared
    for command in INSTALLED.own_commands.values()
    if command.declared is not None
}
_NAMING_COMMANDS = frozenset(name for name, declared in _DECLARED.items() if declared.names_somebody)
_LEAVING_A_DIALOGUE = frozenset(name for name, declared in _DECLARED.items() if declared.leaves_dialogue)


def route(
    reading: ParsedUpdate,
    conversation: Conversation | None,
    settings: Settings,
    our_username: str | None = None,
) -> Routed | None:
    """None where nothing is wanted: small talk in a group, or a command of another bot there.

    our_username -- None where Telegram has not said it yet.
    """
    intention = _routed(reading, conversation, settings, our_username)
    if intention is None or intention.job.kind in JOB_TYPES:
        return intention
    return _of_what_is_switched_off(reading, conversation)


def _routed(
    reading: ParsedUpdate, conversation: Conversation | None, settings: Settings, our_username: str | None
) -> Routed | None:
    match reading:
        case TextMessage():
            return _text(reading, conversation, settings, our_username)
        case ButtonPress():
            return pressed(reading, conversation, settings)
        case Payment():
            return Routed(_payment(reading), conversation)
        case RenewalChange():
            return Routed(
                RecordRenewal(
                    **who(reading.sender),
                    payload=reading.payload,
                    renewal=reading.renewal.value,
                    said_at=int(time.time()),
                ),
                conversation,
            )
        case StarSpending():
            return Routed(
                RecordStarReport(
                    **who(reading.sender),
                    report=reading.kind,
                    what=reading.what,
                    stars=reading.stars,
                    said_at=reading.date or int(time.time()),
                ),
                conversation,
            )
        case MembershipChange():
            return Routed(
                SetUserStatus(
                    telegram_id=reading.sender.telegram_id,
                    status="blocked" if reading.is_blocked else "active",
                ),
                conversation,
            )


def _of_what_is_switched_off(reading: ParsedUpdate, conversation: Conversation | None) -> Routed | None:
    """Instead of a job that an app switched off: a question or a card of before may still lead to it."""
    match reading:
        case TextMessage():
            return say(reading, texts.not_a_command())
        case ButtonPress():
            return toast(reading, unknown_button(), conversation)
    return None


def is_for_another_bot(reading: ParsedUpdate, our_username: str | None) -> bool:
    """Whether a command in a group names another bot. Where ours sees every message of the group, it sees these too.

    our_username -- None where Telegram has not said it yet: then every name is taken for ours.
    """
    if our_username is None or not isinstance(reading, TextMessage) or reading.is_private:
        return False
    command = _COMMAND.fullmatch(reading.text.strip())
    if command is None or _names_a_person(command, our_username):
        return False
    return (command["bot"] or our_username).lower() != our_username.lower()


def is_ours(reading: ParsedUpdate, settings: Settings) -> bool:
    """Whether it is for a command or a button of Ballast's own, or of an app."""
    match reading:
        case TextMessage():
            command = _COMMAND.fullmatch(reading.text.strip())
            role = settings.role_of(reading.sender.telegram_id)
            ours = {*texts.COMMANDS[role]} - INSTALLED.left_to_handlers
            return command is not None and command["name"].lower() in ours
        case ButtonPress():
            return is_button(reading.data)
        case StarSpending():
            return False  # an app's function for it has it
    return True


def _names_a_person(command: re.Match[str], our_username: str | None) -> bool:
    """Whether it is `/send@carol 5`, with the space forgotten. Nearly all bots' usernames end in `bot`,
    and no person's does.
    """
    addressed = (command["bot"] or "").lower()
    if command["name"].lower() not in _NAMING_COMMANDS or addressed in {"", (our_username or "").lower()}:
        return False
    return not addressed.endswith("bot") and addressed not in _BOTS_WITHOUT_BOT


def _said(message: TextMessage) -> Arguments:
    """All of a message's text."""
    return Arguments(message.text, message.mentions, message.replied_author).part(0)


def _arguments(command: re.Match[str], message: TextMessage, our_username: str | None) -> Arguments:
    if _names_a_person(command, our_username):
        return _said(message).part(command.start("bot") - 1)
    begin = command.start("arguments")
    return _said(message).part(begin if begin >= 0 else command.end())


def _text(
    message: TextMessage,
    conversation: Conversation | None,
    settings: Settings,
    our_username: str | None = None,
) -> Routed | None:
    command = _COMMAND.fullmatch(message.text.strip())
    if message.words_of is not WordsOf.SENDER:
        return _not_own_words(message, command, conversation, settings)
    if command is None:
        return _no_command(message, conversation, settings)
    intention = _command(
        command["name"].lower(), _arguments(command, message, our_username), message, conversation, settings
    )
    if intention is None and (message.is_private or command["bot"]):
        intention = say(message, texts.unknown_command(command["name"].lower()))
    if intention is not None and command["name"].lower() not in _LEAVING_A_DIALOGUE:
        # Whoever looks something up in the middle is still asked the same.
        intention = replace(intention, conversation=intention.conversation or conversation)
    return intention


def _no_command(message: TextMessage, conversation: Conversation | None, settings: Settings) -> Routed | None:
    """The answer to what the bot asked, or small talk."""
    if not message.is_private and not _answers_a_question(message, conversation, settings):
        return None
    drafts = may(settings.role_of(message.sender.telegram_id), Permission.BROADCAST)
    if drafts and message.is_private and message.posting is not None and message.posting.album:
        return None  # a piece of an album: an answer to each would be ten
    answer = None if conversation is None else _answer(message, conversation, settings)
    if answer is None and message.is_private:
        return say(message, texts.not_a_command())
    return answer


def _answer(message: TextMessage, conversation: Conversation, settings: Settings) -> Routed | None:
    """None if what was asked is no question any more."""
    if conversation.draft is not None:
        if not may(settings.role_of(message.sender.telegram_id), Permission.BROADCAST):
            return say(message, texts.admins_only())
        return _card_answer(message, conversation.draft, settings)
    if conversation.command is not None:
        return app_commands.answered(message, conversation.command, settings)
    if conversation.job is not None:
        return app_questions.answered(message, conversation.job, settings)
    step = dialogues.advance(conversation, _said(message), message.update_id, settings)
    return intention_after(step, message)


def _answers_a_question(message: TextMessage, conversation: Conversation | None, settings: Settings) -> bool:
    """Whether a group's message answers what the bot asks its author: it is a reply to the bot, and to nothing older
    than the command that the question belongs to.
    """
    if conversation is None or message.replied_to is None:
        return False
    our_id = int(settings.require("telegram_bot_token").partition(":")[0])
    is_newer = message.replied_to.message_id > (conversation.command_id or 0)
    return message.replied_to.author_id == our_id and is_newer


def _not_own_words(
    message: TextMessage, command: re.Match[str] | None, conversation: Conversation | None, settings: Settings
) -> Routed | None:
    """What somebody else wrote is never a command or an answer, whoever brings it."""
    if message.words_of is WordsOf.CHAT:
        # An anonymous admin of the group is perhaps one of ours.
        role = Role.OWNER if message.sender.telegram_id == ANONYMOUS_ADMIN else None
        is_for_us = command is not None and command["name"].lower() in texts.COMMANDS[role]
        return say(message, texts.not_as_a_chat()) if is_for_us else None
    if not message.is_private:
        return None
    drafts = may(settings.role_of(message.sender.telegram_id), Permission.BROADCAST)
    if drafts and message.posting is not None and message.posting.album:
        return None  # as of the admin's own albums
    if command is None and conversation is None:
        return say(message, texts.forwarded_post() if drafts else texts.not_a_command())
    return say(message, texts.not_your_words(), conversation)


def _command(
    name: str,
    arguments: Arguments,
    message: TextMessage,
    conversation: Conversation | None,
    settings: Settings,
) -> Routed | None:
    """None for a command that there is not, or not for this sender."""
    linked = INSTALLED.own_commands.get(arguments.text) if name == "start" else None
    if linked is not None and linked.declared is not None and linked.declared.is_linked:
        name, arguments = linked.name, Arguments("")
    command = INSTALLED.commands.get(name)
    role = settings.role_of(message.sender.telegram_id)
    if command is None or (command.needs is not None and not may(role, command.needs)):
        return None
    declared = command.declared
    if declared is None:
        return app_commands.typed(command, arguments.text, message, settings)
    if (declared.alone == "anything" and arguments.text) or (
        declared.alone == "somebody" and names_somebody(arguments)
    ):
        return say(message, texts.only_your_own(command.name, role is not None))
    own_words = BY_WORD.get(declared.word)
    if own_words is not None:
        return own_words(Typed(command, arguments, message, conversation, settings))
    job_type = JOB_TYPES[command.handler.kind]
    return Routed(job_type(**_sender_as(job_type, message.sender), **declared.fields))


def _sender_as(job_type: type[Job], sender: Sender) -> dict[str, Any]:
    """What the job says of its sender."""
    known = _fields_of(job_type)
    return {field: value for field, value in who(sender).items() if field in known}


@cache
def _fields_of(job_type: type[Job]) -> frozenset[str]:
    return frozenset(job_type.model_fields)


def _card_answer(message: TextMessage, asked: DraftQuestion, settings: Settings) -> Routed | None:
    now = datetime.fromtimestamp(message.date, UTC)
    try:
        change = broadcast_form.answered(asked, message.text, message.sender.telegram_id, settings, now=now)
    except broadcast_form.AnswerError as error:
        if asked.more:
            return None
        again = f"{said(error)} {broadcast_form.question(asked, settings)}"
        return say(message, again, Conversation(draft=asked, asked_by=message.update_id))
    if asked.asks is not CardQuestion.IDS:
        return Routed(change)
    more = asked.model_copy(update={"more": True})
    return Routed(change, Conversation(draft=more, asked_by=message.update_id))


def _payment(payment: Payment) -> RecordPayment:
    return RecordPayment(
        **who(payment.sender),
        event=payment.kind.value,
        charge_id=payment.charge_id,
        amount=payment.amount,
        currency=payment.currency,
        payload=payment.payload,
        details=payment.details,
        said_at=payment.date,
    )
