"""The record of every job between Telegram's update and the user's answer."""

from ballast.inbox.batcher import Batcher
from ballast.inbox.inbox import (
    Acceptance,
    Answered,
    Claim,
    Claims,
    DialogueStep,
    Finish,
    Inbox,
    Note,
    Noted,
    Offer,
    Overdue,
    Receipt,
    Ticket,
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
    "Finish",
    "Inbox",
    "Note",
    "Noted",
    "Offer",
    "Overdue",
    "Publisher",
    "Receipt",
    "Ticket",
    "dialogue_key",
]
