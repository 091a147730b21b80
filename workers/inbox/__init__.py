"""The record of every job between Telegram's update and the user's answer."""

from workers.inbox.inbox import (
    Acceptance,
    Claim,
    DialogueStep,
    Inbox,
    Receipt,
    Ticket,
    dialogue_key,
)
from workers.inbox.publisher import Publisher

__all__ = [
    "Acceptance",
    "Claim",
    "DialogueStep",
    "Inbox",
    "Publisher",
    "Receipt",
    "Ticket",
    "dialogue_key",
]
