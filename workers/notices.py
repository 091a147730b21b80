"""What people are told while their command waits for the database: at once, by the frontend where it knows that the
database is unavailable, and by the rescuer for what was under way when that began. Whoever asks for a balance that is
known does not wait: they are told that one, with its time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from dbcore.known_balances import KnownBalances
from dbcore.money import format_amount
from dbcore.settings import Settings
from workers.jobs import (
    AdjustBalance,
    AskAdjustment,
    CancelTransfers,
    ChangeDraft,
    ChooseBroadcasts,
    CreateTransfer,
    DecideAdjustment,
    DecideTransfer,
    DeliverReply,
    DraftBroadcast,
    Envelope,
    GetOrCreateUser,
    ListBroadcasts,
    PressBroadcast,
    RecordPayment,
    ShowBalance,
    ShowHistory,
    reference_of,
)
from workers.messages import Message

TOLD_TO_WAIT = frozenset(
    job_type.kind
    for job_type in (
        GetOrCreateUser,
        ChooseBroadcasts,
        ShowBalance,
        AdjustBalance,
        AskAdjustment,
        DecideAdjustment,
        CreateTransfer,
        DecideTransfer,
        CancelTransfers,
        RecordPayment,
        ShowHistory,
        DraftBroadcast,
        ChangeDraft,
        PressBroadcast,
        ListBroadcasts,
    )
)
"""Kinds whose people are told that their command is saved: those that need the database and answer somebody."""


_ANSWERED_IN_GROUPS = frozenset(
    job_type.kind for job_type in (CreateTransfer, DecideTransfer, CancelTransfers)
)
"""Kinds whose answer a whole group may read. A group's other commands are answered in the private chat."""


def waits_for_the_database(envelope: Envelope) -> bool:
    """Whether somebody waits for its answer, and it needs the database."""
    return envelope.chat_id is not None and envelope.kind in TOLD_TO_WAIT


def queued_notice(envelope: Envelope, settings: Settings, *, paused: bool) -> Envelope | None:
    """The job that says that this one is saved; None where nobody waits for its answer.

    It goes beside the job's lane and by an id of its own: said twice, it is said once.
    paused -- by an operator: nothing is broken.
    """
    origin = envelope.origin
    if origin is None or not waits_for_the_database(envelope):
        return None
    saved, promise = _saved(envelope.kind, envelope.fields, settings)
    if origin.is_group and envelope.kind not in _ANSWERED_IN_GROUPS:
        promise = promise.replace(" here", " in our private chat")
    why, until = (
        ("The bot is paused for maintenance.", "as soon as it is back")
        if paused
        else ("We have a technical problem.", "as soon as it is fixed")
    )
    text = f"{why} {saved} is saved, and I'll {promise} {until}. (Ref. {reference_of(envelope.job_id)})"
    notice_id = f"{envelope.job_id}-queued"
    notice = DeliverReply(messages=(origin.publicly(text),), notice_of=envelope.job_id)
    return Envelope.of(notice, job_id=notice_id, lane=notice_id, origin=origin)


def late_notice(envelope: Envelope, settings: Settings) -> Message | None:
    """What is said while the answer takes long and nothing is known to be wrong; None where nobody waits for it."""
    if envelope.origin is None:
        return None
    saved, promise = _saved(envelope.kind, envelope.fields, settings)
    return envelope.origin.publicly(
        f"This is taking longer than usual. {saved} is saved, and I'll {promise} as soon as I can. "
        f"(Ref. {reference_of(envelope.job_id)})"
    )


def balance_from_memory(
    envelope: Envelope, balances: KnownBalances, settings: Settings, *, paused: bool
) -> tuple[Message, ...] | None:
    """The answer to a question for a balance, where one is known; None for whatever else.

    Raises redis.RedisError.
    """
    telegram_id = envelope.fields.get("telegram_id")
    origin = envelope.origin
    if envelope.kind != ShowBalance.kind or origin is None or not isinstance(telegram_id, int):
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


def _saved(kind: str, fields: Mapping[str, Any], settings: Settings) -> tuple[str, str]:
    """What is saved, and what will be done about it."""
    words = _WORDS.get(kind)
    return ("Your command", "write to you here") if words is None else words(fields, settings)


def _transfer(fields: Mapping[str, Any], settings: Settings) -> tuple[str, str]:
    what = f"Your transfer of {_money(fields, settings)} to {_shown(fields.get('recipient'))}"
    return what, "ask you here to confirm it"


def _adjustment(fields: Mapping[str, Any], settings: Settings) -> tuple[str, str]:
    did, preposition = ("credit", "to") if int(fields.get("amount") or 0) > 0 else ("debit", "from")
    username = fields.get("username")
    whom = f"@{_shown(username)}" if username else _shown(fields.get("telegram_id"))
    return f"Your {did} of {_money(fields, settings)} {preposition} {whom}", "write to you here"


def _asked_adjustment(fields: Mapping[str, Any], settings: Settings) -> tuple[str, str]:
    what, _ = _adjustment(fields, settings)
    return what, "ask you here to confirm it"


def _decision(fields: Mapping[str, Any], _: Settings) -> tuple[str, str]:
    return ("Your confirmation" if fields.get("confirm") else "Your cancellation"), "tell you the result here"


def _money(fields: Mapping[str, Any], settings: Settings) -> str:
    return format_amount(
        abs(int(fields.get("amount") or 0)), settings.currency_exponent, escape(settings.currency)
    )


def _shown(value: object) -> str:
    return escape(str(value), quote=False)


_WORDS: Mapping[str, Callable[[Mapping[str, Any], Settings], tuple[str, str]]] = {
    GetOrCreateUser.kind: lambda *_: ("Your /start", "answer it here"),
    ChooseBroadcasts.kind: lambda *_: ("Your choice about announcements", "confirm it here"),
    ShowBalance.kind: lambda *_: ("Your question about your balance", "answer it here"),
    ShowHistory.kind: lambda *_: ("Your request for your transactions", "send them here"),
    AdjustBalance.kind: _adjustment,
    AskAdjustment.kind: _asked_adjustment,
    DecideAdjustment.kind: _decision,
    RecordPayment.kind: lambda *_: ("Your payment", "send you a receipt"),
    CreateTransfer.kind: _transfer,
    CancelTransfers.kind: lambda *_: ("Your /cancel", "write to you here"),
    DecideTransfer.kind: _decision,
    **{
        job_type.kind: lambda *_: ("Your broadcast command", "write to you here")
        for job_type in (DraftBroadcast, ChangeDraft, PressBroadcast, ListBroadcasts)
    },
}
