"""The record of every job between Telegram's update and the user's answer."""

from ballast.inbox.batcher import Batcher
from ballast.inbox.inbox import Inbox
from ballast.inbox.overview import Overdue
from ballast.inbox.publisher import Publisher
from ballast.inbox.records import (
    Acceptance,
    Answered,
    CarriedClaim,
    Claim,
    Claims,
    DialogueStep,
    DirectJob,
    Dispatch,
    Finish,
    Note,
    Noted,
    Offer,
    Receipt,
    dialogue_key,
)

__all__ = [
    "Acceptance",
    "Answered",
    "Batcher",
    "CarriedClaim",
    "Claim",
    "Claims",
    "DialogueStep",
    "DirectJob",
    "Dispatch",
    "Finish",
    "Inbox",
    "Note",
    "Noted",
    "Offer",
    "Overdue",
    "Publisher",
    "Receipt",
    "dialogue_key",
]
