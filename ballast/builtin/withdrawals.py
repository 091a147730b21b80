"""Withdrawals: /withdraw asks, confirms and holds; a person or a rule approves; an adapter or a person pays.

What the commands and buttons lead to are jobs as an app's are; ballast/payouts/chat.py does them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ballast.arguments import Amount
from ballast.builtin.app import BuiltInApp
from ballast.builtin.jobs import ChatAct, Seen, TelegramId, UserJob
from ballast.context import Database
from ballast.jobs import Job
from ballast.operators.permissions import Permission
from ballast.texts import gettext_noop
from dbcore.ledger.withdrawals import TEXT_LENGTH_MAX, WithdrawalState

SWEEP_SECONDS = 60.0
"""How often it is looked for payouts that a dead worker left, or whose provider did not answer."""

Token = Annotated[str, Field(min_length=1, max_length=60)]
Text = Annotated[str, Field(max_length=TEXT_LENGTH_MAX), Seen]


class StartWithdrawal(UserJob):
    """/withdraw. text -- what stands behind it: an amount and a destination, an amount, or nothing."""

    kind = "transactions.start_withdrawal"
    text: str = Field(default="", max_length=TEXT_LENGTH_MAX + 64)


class AskDestination(Job):
    """The amount is known: where to?"""

    kind = "transactions.ask_destination"
    telegram_id: int = TelegramId
    amount: Amount


class AskWithdrawal(AskDestination):
    """Put it before whoever asked. Nothing is held yet. destination -- as they wrote it."""

    kind = "transactions.ask_withdrawal"
    destination: Text


class DecideWithdrawal(Job):
    """A press on Confirm or Cancel."""

    kind = "transactions.withdraw"
    telegram_id: int = TelegramId
    token: Token
    confirm: bool


class PayOut(Job):
    """Bring an approved withdrawal to its end. Any number of them are harmless."""

    kind = "transactions.pay_out"
    token: Token


class TellOfWithdrawal(Job):
    """Tell whom it concerns of a step, which is committed with this job. state -- after it."""

    kind = "transactions.tell_of_withdrawal"
    token: Token
    state: WithdrawalState


class ShowToOperator(Job):
    """Send an operator the card of a withdrawal that waits for them, or that came to an end that they are to know."""

    kind = "transactions.show_withdrawal"
    telegram_id: int = TelegramId
    token: Token


class TakeBack(Job):
    """A press on Take back, by whoever asked for the withdrawal."""

    kind = "transactions.take_back_withdrawal"
    telegram_id: int = TelegramId
    token: Token


class ShowWithdrawals(UserJob):
    """/withdrawals: one's own; for operators all that are open, and the switch."""

    kind = "transactions.show_withdrawals"


class _Word(ChatAct):
    """telegram_id -- the operator's. number -- of the withdrawal."""

    telegram_id: int = TelegramId
    number: int


class Approve(_Word):
    kind = "transactions.approve_withdrawal"


class AskDecline(_Word):
    kind = "transactions.ask_decline"


class Decline(_Word):
    kind = "transactions.decline_withdrawal"
    why: Text


class AskReference(_Word):
    kind = "transactions.ask_reference"


class MarkPaid(_Word):
    kind = "transactions.mark_paid"
    reference: Text


class TurnPayouts(ChatAct):
    """Stop all payouts, or go on with them."""

    kind = "transactions.turn_payouts"
    telegram_id: int = TelegramId
    stop: bool


def notices(token: str, state: WithdrawalState) -> Sequence[Job]:
    """What follows from a step: part of its commit."""
    match state:
        case WithdrawalState.APPROVED:
            return [PayOut(token=token)]
        case WithdrawalState.HELD | WithdrawalState.PAYING | WithdrawalState.PAID | WithdrawalState.RETURNED:
            return [TellOfWithdrawal(token=token, state=state)]
        case _:
            return []


withdrawals = BuiltInApp("transactions", tasks=["workers.tasks.withdrawals"])

_HOLDS_MONEY = "it holds money until the withdrawal is paid or returned"

withdrawals.built_in_job(PayOut, database="write", asked_by=None, internal=_HOLDS_MONEY)

_JOBS: tuple[tuple[type[Job], Database, str, Permission | None], ...] = (
    (StartWithdrawal, "none", "start", None),
    (AskDestination, "none", "ask_destination", None),
    (AskWithdrawal, "write", "ask", None),
    (DecideWithdrawal, "write", "decide", None),
    (TellOfWithdrawal, "read", "tell", None),
    (ShowToOperator, "read", "show_to_operator", None),
    (TakeBack, "write", "take_back", None),
    (ShowWithdrawals, "read", "show", None),
    (Approve, "write", "approve", Permission.SETTLE_HOLDS),
    (AskDecline, "none", "ask_decline", Permission.SETTLE_HOLDS),
    (Decline, "write", "decline", Permission.SETTLE_HOLDS),
    (AskReference, "none", "ask_reference", Permission.SETTLE_HOLDS),
    (MarkPaid, "write", "mark_paid", Permission.SETTLE_HOLDS),
    (TurnPayouts, "write", "turn", Permission.SETTLE_HOLDS),
)

for _job_type, _database, _function, _needs in _JOBS:
    withdrawals.chat_job(_job_type, database=_database, by=f"ballast.payouts.chat:{_function}", needs=_needs)

withdrawals.built_in_command(
    "withdraw",
    StartWithdrawal,
    help=gettext_noop("Withdraw money: /{name} 5.50"),
    leaves_dialogue=True,
)
withdrawals.built_in_command(
    "withdrawals",
    ShowWithdrawals,
    help=gettext_noop("Show withdrawals, and take one back"),
    alone="anything",
)
withdrawals.schedule(
    "payout-sweep",
    "workers.payouts.sweep",
    lambda *_: SWEEP_SECONDS,
    queue="health",
    expires_before=10,
    needed_by=[PayOut],
    internal=_HOLDS_MONEY,
)
