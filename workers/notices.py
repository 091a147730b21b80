"""What people are told while their command waits for the database: at once, by the frontend where it knows that the
database is away, and by the rescuer for what was under way when it went.
"""

from __future__ import annotations

from workers.jobs import (
    AdjustBalance,
    AskAdjustment,
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
        RecordPayment,
        ShowHistory,
        DraftBroadcast,
        ChangeDraft,
        PressBroadcast,
        ListBroadcasts,
    )
)
"""Kinds whose people are told "queued" while the database is away: those that need it and answer somebody."""


def queued_notice(envelope: Envelope) -> Envelope | None:
    """The job that says that this one is queued; None where nobody waits for its answer.

    It goes beside the job's lane and by an id of its own: said twice, it is said once.
    """
    if envelope.chat_id is None or envelope.kind not in TOLD_TO_WAIT:
        return None
    text = (
        f"The database is away. This is queued, reference {reference_of(envelope.job_id)}: it will be done once the "
        "database is back, and you will read here what came of it."
    )
    notice_id = f"{envelope.job_id}-queued"
    notice = DeliverReply(messages=(Message(chat_id=envelope.chat_id, text=text),), notice_of=envelope.job_id)
    return Envelope.of(notice, job_id=notice_id, lane=notice_id, chat_id=envelope.chat_id)
