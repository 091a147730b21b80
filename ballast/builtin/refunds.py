"""Refunds of payments in Telegram Stars that this bot asks Telegram for."""

from __future__ import annotations

from pydantic import Field

from ballast.builtin import button_data
from ballast.builtin.app import BuiltInApp
from ballast.builtin.button_data import CardToken
from ballast.builtin.declared import Waiting
from ballast.builtin.jobs import UserJob
from ballast.builtin.words import DECISIONS, decision_words
from ballast.jobs import Job
from ballast.texts import gettext_noop
from dbcore.sentences import sentence

PAYMENT_NAME_LENGTH_MAX = 256


class AskRefund(UserJob):
    """/refund: find the payment and put its refund before whoever asked. Nothing is held yet.

    payment -- a charge ID or a receipt's number; None: the payer's last one. by_payer -- of a payment of theirs, within
    STARS_REFUND_HOURS; else an admin asks.
    """

    kind = "transactions.ask_refund"
    payment: str | None = Field(default=None, min_length=1, max_length=PAYMENT_NAME_LENGTH_MAX)
    by_payer: bool


class DecideRefund(UserJob):
    """A press on Confirm or Cancel. Confirmed, the money is held, Telegram is asked, and its answer is booked."""

    kind = "transactions.refund"
    token: CardToken
    confirm: bool


class FinishRefund(Job):
    """A refund that was confirmed at the command line: the same from there on."""

    kind = "transactions.finish_refund"
    token: CardToken


refunds = BuiltInApp("transactions", tasks=["workers.tasks.refunds"])

_HOLDS_MONEY = "it holds money until Telegram has said what becomes of it"

refunds.built_in_job(
    AskRefund,
    database="write",
    waiting=Waiting(
        words=sentence("Your refund request is saved, and I'll ask you {where} to confirm it {until}.")
    ),
)
refunds.built_in_job(
    DecideRefund,
    database="write",
    waiting=Waiting(words=decision_words, once_for="token"),
    internal=_HOLDS_MONEY,
)
refunds.built_in_job(FinishRefund, database="write", asked_by=None, internal=_HOLDS_MONEY)
refunds.built_in_command(
    "refund", AskRefund, help=gettext_noop("Refund a payment: /{name} [receipt number]"), leaves_dialogue=True
)
refunds.built_in_button(
    "refund", button_data.REFUND, leads_to=[DecideRefund], below=[AskRefund], labels=DECISIONS
)
