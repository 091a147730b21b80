"""What people are told while their command waits for the database: at once, by the frontend where it knows that the
database is unavailable, and by the rescuer for what was under way when that began. Whoever asks for a balance that is
known does not wait: they are told that one, with its time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from ballast.apps.command_names import called, joined
from ballast.apps.installed import INSTALLED
from ballast.apps.registered import Command
from ballast.builtin.balances import ShowBalance
from ballast.builtin.declared import Waiting
from ballast.builtin.replies import DeliverReply
from ballast.chat.last_answers import LastAnswers
from ballast.chat.origins import Origin, messages_of
from ballast.jobs import TelegramUpdate
from ballast.messages import Message
from ballast.queueing.envelope import Envelope, reference_of
from ballast.queueing.kinds import JOB_TYPES, TOLD_TO_WAIT, AppCommand
from ballast.replies import Reply
from ballast.texts import gettext, said, speaking
from ballast.texts.formats import amount, day, zone
from ballast.texts.phrases import reserved_of
from dbcore.ledger.balance_cache import BalanceCache
from dbcore.sentences import Sentence, sentence
from dbcore.settings import Settings

_OF_A_COMMAND = sentence("Your command is saved, and I'll write to you {where} {until}.")


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
    notice_id = f"{asked_about(envelope)}-queued"
    with speaking(envelope.language):
        if paused:
            why, until = gettext("The bot is paused for maintenance."), gettext("as soon as it is back")
        else:
            why, until = gettext("We have a technical problem."), gettext("as soon as it is fixed")
        messages = _saying(envelope, origin, settings, why, until)
    notice = DeliverReply(messages=messages, notice_of=envelope.job_id)
    return Envelope.of(notice, job_id=notice_id, lane=notice_id, origin=origin, language=envelope.language)


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
    with speaking(envelope.language):
        why, until = gettext("This is taking longer than usual."), gettext("as soon as I can")
        return _saying(envelope, envelope.origin, settings, why, until)


def _saying(
    envelope: Envelope, origin: Origin, settings: Settings, why: str, until: str
) -> tuple[Message, ...]:
    """The notice, where the command was written; and from a group, first in private what the group is not to read."""

    def text(saved: Sentence, *, is_elsewhere: bool = False) -> str:
        where = gettext("in our private chat") if is_elsewhere else gettext("here")
        arguments = {**saved.arguments, "where": where, "until": until, "cancel": called("cancel")}
        reference = gettext("(Ref. {reference})", reference=reference_of(envelope.job_id))
        return joined(why, said(Sentence(saved.template, arguments)), reference)

    waiting = _waiting(envelope.kind)
    saved = _OF_A_COMMAND if waiting is None else waiting.said(envelope.fields, settings)
    if not origin.is_group:
        return (origin.publicly(text(saved)),)
    in_private: tuple[Message, ...] = ()
    if waiting is not None and waiting.details_in_private and origin.asker_id is not None:
        in_private = (Message(chat_id=origin.asker_id, text=text(saved)),)
    if waiting is not None and waiting.in_groups is not None:
        saved = waiting.in_groups
    is_public = waiting is not None and waiting.is_public
    # The group's last: once that is noted on the job's record, its user counts as told.
    return (*in_private, origin.publicly(text(saved, is_elsewhere=not is_public)))


def answer_without_database(
    envelope: Envelope, balances: BalanceCache, answers: LastAnswers, settings: Settings, *, paused: bool
) -> tuple[Message, ...] | None:
    """The answer that is given now instead of waiting for the database: what an app's command or function says of
    itself, what it said last, or a known balance. None if the job is to wait.

    Raises redis.RedisError.
    """
    with speaking(envelope.language):
        return _answer_without_database(envelope, balances, answers, settings, paused=paused)


def _answer_without_database(
    envelope: Envelope, balances: BalanceCache, answers: LastAnswers, settings: Settings, *, paused: bool
) -> tuple[Message, ...] | None:
    asked = INSTALLED.commands_of.get(envelope.kind) or INSTALLED.updates.get(envelope.kind)
    if asked is None or envelope.origin is None:
        return balance_from_memory(envelope, balances, settings, paused=paused)
    match asked.unavailable:
        case "queue":
            return None
        case "refuse":
            command = f"/{asked.name}" if isinstance(asked, Command) else None
            return tuple(envelope.origin.privately(_not_done(command, paused=paused)))
        case Reply() as reply:
            return tuple(messages_of(reply, envelope.origin))
    return _answered_last(envelope, envelope.origin, answers, settings, paused=paused)


def _not_done(command: str | None, *, paused: bool) -> str:
    if command is None and paused:
        return gettext("The bot is paused for maintenance, so this was not done. Please send it again later.")
    if command is None:
        return gettext("We have a technical problem, so this was not done. Please send it again later.")
    if paused:
        return gettext(
            "The bot is paused for maintenance, so {command} was not done. Please send it again later.",
            command=command,
        )
    return gettext(
        "We have a technical problem, so {command} was not done. Please send it again later.", command=command
    )


def _cannot_check(*, paused: bool) -> str:
    if paused:
        return gettext("I can't check it right now because the bot is paused for maintenance.")
    return gettext("I can't check it right now because of a technical problem.")


def _answered_last(
    envelope: Envelope, origin: Origin, answers: LastAnswers, settings: Settings, *, paused: bool
) -> tuple[Message, ...] | None:
    job = JOB_TYPES[envelope.kind].decode(envelope.fields)
    last = answers.find(job) if isinstance(job, AppCommand) else None
    if last is None:
        return None
    moment = _clock(last.at, settings)
    if moment.is_today:
        answered = gettext("At {time} the answer was as follows.", time=moment.time)
    else:
        answered = gettext(
            "On {date} at {time} the answer was as follows.", date=moment.date, time=moment.time
        )
    first = Reply(
        joined(answered, _cannot_check(paused=paused)), public=all(public for _, public in last.replies)
    )
    replies = [first, *(Reply(text, html=True, public=public) for text, public in last.replies)]
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
    first = balances.last(telegram_id, settings.currency)
    if first is None:
        return None
    further = (settings.in_currency(each.code) for each in settings.currencies)
    others = ((each, balances.last(telegram_id, each.currency)) for each in further)
    were = [
        _balance_was(*first, balances.held(telegram_id, settings.currency), settings),
        *(
            _balance_was(*known, balances.held(telegram_id, each.currency), each)
            for each, known in others
            if known and known[0]
        ),
    ]
    told = joined("\n".join(were), _cannot_check(paused=paused))
    return tuple(origin.privately(told, opens="balance"))


def _balance_was(balance: int, seen_at: int, held: int, settings: Settings) -> str:
    was = _was(balance, seen_at, settings)
    reserved = min(held, max(0, balance))
    return joined(was, reserved_of(balance, reserved, settings)) if reserved else was


def _was(balance: int, seen_at: int, settings: Settings) -> str:
    money = amount(balance, settings.currency_exponent, escape(settings.currency, quote=False))
    moment = _clock(datetime.fromtimestamp(seen_at, UTC), settings)
    if moment.is_today:
        return gettext("At {time} your balance was {amount}.", time=moment.time, amount=f"<b>{money}</b>")
    return gettext(
        "On {date} at {time} your balance was {amount}.",
        date=moment.date,
        time=moment.time,
        amount=f"<b>{money}</b>",
    )


@dataclass(frozen=True, slots=True)
class _Moment:
    """As people are told it, on the clocks of their time zone."""

    is_today: bool
    date: str
    time: str


def _clock(moment: datetime, settings: Settings) -> _Moment:
    clocks = zone(settings.timezone)
    local = moment.astimezone(clocks)
    return _Moment(
        is_today=local.date() == datetime.now(clocks).date(),
        date=day(local),
        time=f"{local:%H:%M} {clocks.key}",
    )


def _waiting(kind: str) -> Waiting | None:
    handler = INSTALLED.handlers.get(kind)
    if handler is None:
        return None
    if handler.declared is not None:
        return handler.declared.waiting
    if kind in INSTALLED.commands_of:
        command = f"/{INSTALLED.commands_of[kind].name}"
        return Waiting(
            sentence("Your {command} is saved, and I'll answer it {where} {until}.", command=command)
        )
    taker = INSTALLED.updates.get(kind)
    if kind in INSTALLED.jobs or (taker is not None and not taker.takes_messages):
        return Waiting(sentence("Your request is saved, and I'll write to you {where} {until}."))
    if handler.payload is TelegramUpdate:
        return Waiting(sentence("Your message is saved, and I'll answer it {where} {until}."))
    return None
