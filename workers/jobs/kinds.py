"""Every kind of job there is, and what each needs of the database."""

from __future__ import annotations

from workers.jobs.broadcasts import (
    CancelBroadcast,
    ChangeDraft,
    DraftBroadcast,
    EraseChunk,
    ListBroadcasts,
    PauseBroadcast,
    PressBroadcast,
    ReportBroadcast,
    ResendUnknown,
    ResumeBroadcast,
    SendChunk,
    ShowCard,
    StartBroadcast,
    WakeBroadcast,
)
from workers.jobs.jobs import (
    DATABASE_QUEUES,
    AdjustBalance,
    AskAdjustment,
    CancelTransfers,
    ChooseBroadcasts,
    CreateTransfer,
    DecideAdjustment,
    DecideTransfer,
    DeliverReply,
    GetOrCreateUser,
    Job,
    OperatorAction,
    Quarantine,
    RecordPayment,
    SetUserStatus,
    ShowBalance,
    ShowDatabaseStatus,
    ShowHistory,
    queue_of,
)

JOB_TYPES: dict[str, type[Job]] = {
    job_type.kind: job_type
    for job_type in (
        GetOrCreateUser,
        SetUserStatus,
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
        DeliverReply,
        ShowDatabaseStatus,
        OperatorAction,
        StartBroadcast,
        SendChunk,
        WakeBroadcast,
        PauseBroadcast,
        ResumeBroadcast,
        CancelBroadcast,
        ResendUnknown,
        DraftBroadcast,
        ChangeDraft,
        PressBroadcast,
        ShowCard,
        ListBroadcasts,
        ReportBroadcast,
        EraseChunk,
        Quarantine,
    )
}

READING_KINDS = frozenset(
    job_type.kind for job_type in (ShowBalance, ShowHistory, ListBroadcasts, ReportBroadcast)
)
"""What a database that is full or read-only can still do."""

WRITING_KINDS = tuple(
    kind for kind in JOB_TYPES if queue_of(kind) in DATABASE_QUEUES and kind not in READING_KINDS
)
