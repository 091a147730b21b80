"""The record of every job between Telegram's update and the user's answer."""

from workers.inbox.batcher import Batcher
from workers.inbox.inbox import (
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
from workers.inbox.publisher import Publisher

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
