"""What people are told of what an operator did about their account, from wherever the operator did it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ballast.builtin.app import BuiltInApp
from ballast.builtin.jobs import TelegramId
from ballast.jobs import Job

MESSAGE_LENGTH_MAX = 2_000


class TellUser(Job):
    """Tell somebody what became of their account, in their language. Committed with what it tells of.

    about -- what was done. amount -- of a credit or debit, signed minor units; of a reversal, what moved, unsigned.
    balance -- right after it. number -- of the transfer that was reversed. text -- the operator's words.
    """

    kind = "replies.tell_user"
    telegram_id: int = TelegramId
    about: Literal[
        "adjusted", "given_back", "taken_back", "frozen", "frozen_both_ways", "unfrozen", "message"
    ]
    amount: int = 0
    balance: int = 0
    number: int = 0
    text: str = Field(default="", max_length=MESSAGE_LENGTH_MAX)


people = BuiltInApp("people", tasks=["workers.tasks.people"])

people.built_in_job(
    TellUser,
    database="none",
    internal="it tells people what an operator did about their account",
)
