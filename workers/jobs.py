"""The names that jobs had here in release 0.1, for code that imports them from here."""

from ballast.builtin.balances import AdjustBalance, AskAdjustment, DecideAdjustment, ShowBalance
from ballast.builtin.broadcasts import (
    CancelBroadcast,
    PauseBroadcast,
    ResumeBroadcast,
    StartBroadcast,
)
from ballast.builtin.replies import DeliverReply
from ballast.builtin.transfers import CreateTransfer, DecideTransfer, ShowHistory
from ballast.builtin.users import GetOrCreateUser, SetUserStatus
from ballast.jobs import Job, JobInvalid, task_name
from ballast.queueing.envelope import Envelope, job_id_of_update, queue_of, reference_of

__all__ = [
    "AdjustBalance",
    "AskAdjustment",
    "CancelBroadcast",
    "CreateTransfer",
    "DecideAdjustment",
    "DecideTransfer",
    "DeliverReply",
    "Envelope",
    "GetOrCreateUser",
    "Job",
    "JobInvalid",
    "PauseBroadcast",
    "ResumeBroadcast",
    "SetUserStatus",
    "ShowBalance",
    "ShowHistory",
    "StartBroadcast",
    "job_id_of_update",
    "queue_of",
    "reference_of",
    "task_name",
]
