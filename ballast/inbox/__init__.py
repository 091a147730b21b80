"""The record of every job between Telegram's update and the user's answer."""

from ballast.inbox.batcher import Batcher
from ballast.inbox.inbox import (
    Acceptance,
    Answered,
    Claim,
    Claims,
    DialogueStep,
    Dispatch,
    Finish,
    Inbox,
    Note,
    Noted,
    Offer,
    Overdue,
    Receipt,
    dialogue_key,
)
from ballast.inbox.publisher import Publisher

__all__ = [
    "Acceptance",
    "Answered",
    "Batcher",
    "Claim",
    "Claims",
    "DialogueStep",
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
