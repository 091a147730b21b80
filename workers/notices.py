"""What people are told while their command waits for the database: at once, by the frontend where it knows that the
database is unavailable, and by the rescuer for what was under way when that began. Whoever asks for a balance that is
known does not wait: they are told that one, with its time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from ballast.builtin.declared import Waiting, Words
from ballast.jobs import TelegramUpdate
from ballast.messages import Message
from ballast.registered import Command
from ballast.replies import Reply
from dbcore.ledger.balance_cache import BalanceCache
from dbcore.money import format_amount
from dbcore.settings import Settings
from workers.command_names import called
from workers.jobs import (
    INSTALLED,
    JOB_TYPES,
    TOLD_TO_WAIT,
    AppCommand,
    DeliverReply,
    Envelope,
    ShowBalance,
    reference_of,
)
from workers.last_answers import LastAnswers
from workers.origins import Origin, messages_of

_OF_A_COMMAND: Words = ("Your command", "write to you here")


def waits_for_the_database(envelope: Envelope) -> bool:
    """Whether somebody waits for its answer, and it needs the database. Most of what is written in a group is no
    question to the bot, so nobody there is told of an update that an app takes.
    """
    if envelope.chat_id is None or envelope.kind not in TOLD_TO_WAIT:
        return False
    return envelope.chat_id > 0 or envelope.kind not in INSTALLED.updates


def queued_notice(envelope: Envelope, settings: Settings, *, paused: bool) -> Envelope | None:
    """The job that says that this one is saved; None where nobody waits for its answer.

    It goes beside the job's lane and by an id of its own: said twice, it is said once.
    paused -- by an operator: nothing is broken.
    """
    origin = envelope.origin
    if origin is None or not waits_for_the_database(envelope):
        return None
    why, until = (
        ("The bot is paused for maintenance.", "as soon as it is back")
        if paused
        else ("We have a technical problem.", "as soon as it is fixed")
    )
    notice_id = f"{asked_about(envelope)}-queued"
    messages = _saying(envelope, origin, settings, why, until)
    notice = DeliverReply(messages=messages, notice_of=envelope.job_id)
    return Envelope.of(notice, job_id=notice_id, lane=notice_id, origin=origin)


def asked_about(envelope: Envelope) -> str:
    """What is said to be saved only once: the job, or all presses of one person on one card."""
    waiting = _waiting(envelope.kind)
    token = None if waiting is None or waiting.once_for is None else envelope.fields.get(waiting.once_for)
    if not isinstance(token, str):
        return envelope.job_id
    card = hashlib.sha256(f"{envelope.kind} {token} {envelope.asker_id}".encode()).hexdigest()[:32]
    return f"card-{card}"


def late_notice(envelope: Envelope, settings: Settings) -> tuple[Message, ...]:
    """What is said while the answer takes long and nothing is known to be wrong; nothing where nobody waits for it."""
    if envelope.origin is None:
        return ()
    return _saying(
        envelope, envelope.origin, settings, "This is taking longer than usual.", "as soon as I can"
    )


def _saying(
    envelope: Envelope, origin: Origin, settings: Settings, why: str, until: str
) -> tuple[Message, ...]:
    """The notice, where the command was written; and from a group, first in private what the group is not to read."""

    def text(saved: str, promise: str) -> str:
        return f"{why} {saved} is saved, and I'll {promise} {until}. (Ref. {reference_of(envelope.job_id)})"

    saved, promise = _saved(envelope.kind, envelope.fields, settings)
    if not origin.is_group:
        return (origin.publicly(text(saved, promise)),)
    in_private: tuple[Message, ...] = ()
    waiting = _waiting(envelope.kind)
    if waiting is not None and waiting.details_in_private and origin.asker_id is not None:
        in_private = (Message(chat_id=origin.asker_id, text=text(saved, promise)),)
    if waiting is not None and waiting.in_groups is not None:
        saved, promise = waiting.in_groups
    if waiting is None or not waiting.is_public:
        promise = promise.replace(" here", " in our private chat")
    # The group's last: once that is noted on the job's record, its user counts as told.
    return (*in_private, origin.publicly(text(saved, promise)))


def answer_without_database(
    envelope: Envelope, balances: BalanceCache, answers: LastAnswers, settings: Settings, *, paused: bool
) -> tuple[Message, ...] | None:
    """The answer that is given now instead of waiting for the database: what an app's command or function says of
    itself, what it said last, or a known balance. None if the job is to wait.

    Raises redis.RedisError.
    """
    asked = INSTALLED.commands_of.get(envelope.kind) or INSTALLED.updates.get(envelope.kind)
    if asked is None or envelope.origin is None:
        return balance_from_memory(envelope, balances, settings, paused=paused)
    match asked.unavailable:
        case "queue":
            return None
        case "refuse":
            why = "The bot is paused for maintenance" if paused else "We have a technical problem"
            not_done = f"/{asked.name} was not done" if isinstance(asked, Command) else "this was not done"
            return tuple(envelope.origin.privately(f"{why}, so {not_done}. Please send it again later."))
        case Reply() as reply:
            return tuple(messages_of(reply, envelope.origin))
    return _answered_last(envelope, envelope.origin, answers, paused=paused)


def _answered_last(
    envelope: Envelope, origin: Origin, answers: LastAnswers, *, paused: bool
) -> tuple[Message, ...] | None:
    job = JOB_TYPES[envelope.kind].decode(envelope.fields)
    last = answers.find(job) if isinstance(job, AppCommand) else None
    if last is None:
        return None
    why = "the bot is paused for maintenance" if paused else "of a technical problem"
    said = Reply(
        f"{_when(last.at)} the answer was as follows. I can't check it right now because {why}.",
        public=all(public for _, public in last.replies),
    )
    replies = [said, *(Reply(text, html=True, public=public) for text, public in last.replies)]
    return tuple(message for reply in replies for message in messages_of(reply, origin))


def balance_from_memory(
    envelope: Envelope, balances: BalanceCache, settings: Settings, *, paused: bool
) -> tuple[Message, ...] | None:
    """The answer to a question for a balance, where one is known; None for whatever else.

    Raises redis.RedisError.
    """
    telegram_id = envelope.fields.get("telegram_id")
    origin = envelope.origin
    if envelope.kind != ShowBalance.kind or ShowBalance.kind in INSTALLED.taken_away:
        return None
    if origin is None or not isinstance(telegram_id, int):
        return None
    known = balances.last(telegram_id, settings.currency)
    if known is None:
        return None
    balance, seen_at = known
    money = format_amount(balance, settings.currency_exponent, settings.currency)
    why = "the bot is paused for maintenance" if paused else "of a technical problem"
    text = (
        f"{_when(datetime.fromtimestamp(seen_at, UTC))} your balance was <b>{escape(money, quote=False)}</b>. "
        f"I can't check it right now because {why}."
    )
    return tuple(origin.privately(text, opens="balance"))


def _when(moment: datetime) -> str:
    if moment.date() == datetime.now(UTC).date():
        return f"At {moment:%H:%M} UTC"
    return f"On {moment:%Y-%m-%d} at {moment:%H:%M} UTC"


def _saved(kind: str, fields: Mapping[str, Any], settings: Settings) -> Words:
    waiting = _waiting(kind)
    saved, promise = _OF_A_COMMAND if waiting is None else waiting.said(fields, settings)
    return saved.replace("{cancel}", called("cancel")), promise


def _waiting(kind: str) -> Waiting | None:
    handler = INSTALLED.handlers.get(kind)
    if handler is None:
        return None
    if handler.declared is not None:
        return handler.declared.waiting
    if kind in INSTALLED.commands_of:
        return Waiting(words=(f"Your /{INSTALLED.commands_of[kind].name}", "answer it here"))
    taker = INSTALLED.updates.get(kind)
    if kind in INSTALLED.jobs or (taker is not None and not taker.takes_messages):
        return Waiting(words=("Your request", "write to you here"))
    return Waiting(words=("Your message", "answer it here")) if handler.payload is TelegramUpdate else None
