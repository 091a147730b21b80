"""The queue's contract: what can be asked of the workers, as small frozen JSON values.

A job's `kind` never changes once released, for jobs of the last release may still wait in Redis. It names the
task (`workers.<kind>`) and, by its first word, the queue.
"""

from ballast.builtin.balances import AdjustBalance, AskAdjustment, DecideAdjustment, ShowBalance
from ballast.builtin.broadcasts import (
    TELEGRAM_IDS_MAX,
    TEXT_LENGTH_MAX,
    BroadcastJob,
    CancelBroadcast,
    CardButton,
    CardQuestion,
    ChangeDraft,
    ChooseBroadcasts,
    DraftBroadcast,
    EraseChunk,
    Formatting,
    LinkButton,
    ListBroadcasts,
    PauseBroadcast,
    PressBroadcast,
    QuietHours,
    ReportBroadcast,
    ResendUnknown,
    ResumeBroadcast,
    Segment,
    SendChunk,
    ShowCard,
    StartBroadcast,
    WakeBroadcast,
)
from ballast.builtin.jobs import MEMO_LENGTH_MAX, UserJob
from ballast.builtin.languages import ChooseLanguage, ChooseTimeZone
from ballast.builtin.payments import RecordPayment
from ballast.builtin.replies import DeliverReply, PressAppButton
from ballast.builtin.status import (
    ACTION_ID,
    BROADCAST_ID,
    REFERENCE,
    OperatorAction,
    ShowDatabaseStatus,
)
from ballast.builtin.transfers import CancelTransfers, CreateTransfer, DecideTransfer, ShowHistory
from ballast.builtin.users import GetOrCreateUser, Quarantine, SetUserStatus
from ballast.jobs import Job, JobInvalid, task_name
from ballast.queues import DATABASE_QUEUES, QUEUES
from workers.jobs.apps import APPS_WITH_HANDLERS, AppCommand, PeriodicRun
from workers.jobs.installed import INSTALLED
from workers.jobs.jobs import (
    APPS_LANE,
    Envelope,
    enqueued_lane,
    job_id_of_update,
    lane_by_field,
    main_lane,
    queue_of,
    reference_of,
)
from workers.jobs.kinds import DATABASE_KINDS, JOB_TYPES, READING_KINDS, TOLD_TO_WAIT, WRITING_KINDS

__all__ = [
    "ACTION_ID",
    "APPS_LANE",
    "APPS_WITH_HANDLERS",
    "BROADCAST_ID",
    "DATABASE_KINDS",
    "DATABASE_QUEUES",
    "INSTALLED",
    "JOB_TYPES",
    "MEMO_LENGTH_MAX",
    "QUEUES",
    "READING_KINDS",
    "REFERENCE",
    "TELEGRAM_IDS_MAX",
    "TEXT_LENGTH_MAX",
    "TOLD_TO_WAIT",
    "WRITING_KINDS",
    "AdjustBalance",
    "AppCommand",
    "AskAdjustment",
    "BroadcastJob",
    "CancelBroadcast",
    "CancelTransfers",
    "CardButton",
    "CardQuestion",
    "ChangeDraft",
    "ChooseBroadcasts",
    "ChooseLanguage",
    "ChooseTimeZone",
    "CreateTransfer",
    "DecideAdjustment",
    "DecideTransfer",
    "DeliverReply",
    "DraftBroadcast",
    "Envelope",
    "EraseChunk",
    "Formatting",
    "GetOrCreateUser",
    "Job",
    "JobInvalid",
    "LinkButton",
    "ListBroadcasts",
    "OperatorAction",
    "PauseBroadcast",
    "PeriodicRun",
    "PressAppButton",
    "PressBroadcast",
    "Quarantine",
    "QuietHours",
    "RecordPayment",
    "ReportBroadcast",
    "ResendUnknown",
    "ResumeBroadcast",
    "Segment",
    "SendChunk",
    "SetUserStatus",
    "ShowBalance",
    "ShowCard",
    "ShowDatabaseStatus",
    "ShowHistory",
    "StartBroadcast",
    "UserJob",
    "WakeBroadcast",
    "enqueued_lane",
    "job_id_of_update",
    "lane_by_field",
    "main_lane",
    "queue_of",
    "reference_of",
    "task_name",
]
