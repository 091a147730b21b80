"""Credits and debits above a limit, in the chat: who may not do one asks owners, who decide it by buttons.

What the buttons lead to are jobs as an app's are: each is done once, and only by whom its message is for.
ballast/people/approving.py does them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ballast.builtin.app import BuiltInApp
from ballast.builtin.jobs import MEMO_LENGTH_MAX, ChatAct, FurtherCurrency, Seen, TelegramId
from ballast.context import Database
from ballast.jobs import Job
from ballast.operators.permissions import Permission
from dbcore.money import MAX_AMOUNT


class _OfApproval(Job):
    """approval -- its number."""

    approval: int = Field(gt=0, lt=2**63)


class TellOfApproval(_OfApproval):
    """Have owners asked; or tell who asked for it what was decided, and why. Committed with what it tells of."""

    kind = "balances.tell_of_approval"
    is_decided: bool = False
    why: str = Field(default="", max_length=MEMO_LENGTH_MAX)


class AskOwner(_OfApproval):
    """Put it before one who may decide it. telegram_id -- theirs, as in all that follow."""

    kind = "balances.ask_owner"
    telegram_id: int = TelegramId


class AskApproval(ChatAct):
    """A press by whose limit a credit or debit exceeds. telegram_id -- theirs. person -- of whom it is about.

    amount -- signed minor units.
    """

    kind = "balances.ask_approval"
    telegram_id: int = TelegramId
    person: int = TelegramId
    amount: int = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)
    currency: FurtherCurrency = None
    reason: str = Field(default="", max_length=MEMO_LENGTH_MAX)


class ApproveAdjustment(ChatAct, AskOwner):
    kind = "balances.approve"


class AskDeclineAdjustment(ChatAct, AskOwner):
    kind = "balances.ask_decline"


class DeclineAdjustment(ChatAct, AskOwner):
    kind = "balances.decline"
    why: Annotated[str, Field(max_length=MEMO_LENGTH_MAX), Seen]


approvals = BuiltInApp("balances", tasks=[])

_JOBS: tuple[tuple[type[Job], Database, str, Permission | None], ...] = (
    (AskApproval, "write", "ask_for", Permission.ADJUST),
    (TellOfApproval, "read", "tell", None),
    (AskOwner, "read", "ask", None),
    (ApproveAdjustment, "write", "approve", Permission.APPROVE),
    (AskDeclineAdjustment, "none", "ask_decline", Permission.APPROVE),
    (DeclineAdjustment, "write", "decline", Permission.APPROVE),
)

for _job_type, _database, _function, _needs in _JOBS:
    approvals.chat_job(
        _job_type, database=_database, by=f"ballast.people.approving:{_function}", needs=_needs
    )
