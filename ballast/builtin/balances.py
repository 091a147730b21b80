"""Balances: what somebody has, and how an admin or an operator changes that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from ballast.builtin import button_data
from ballast.builtin.app import BuiltInApp
from ballast.builtin.button_data import CardToken
from ballast.builtin.declared import Waiting
from ballast.builtin.jobs import MEMO_LENGTH_MAX, FurtherCurrency, TelegramId, UserJob
from ballast.builtin.words import DECISIONS, amount_shown, decision_words, shown
from ballast.jobs import Job
from ballast.operators.permissions import Permission
from ballast.texts import gettext_noop
from dbcore.ledger.users import TELEGRAM_ID_LIMIT
from dbcore.money import MAX_AMOUNT
from dbcore.sentences import Sentence, sentence
from dbcore.settings import Settings


class ShowBalance(UserJob):
    kind = "balances.show"


class _Adjustment(Job):
    """A credit (`amount` > 0) or debit (`amount` < 0) of a user known by id or by username.

    amount -- signed minor units of the currency: 550 is 5.50 CREDIT.
    """

    telegram_id: int | None = Field(default=None, gt=0, lt=TELEGRAM_ID_LIMIT)
    username: str | None = Field(default=None, max_length=64)
    amount: int = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)
    currency: FurtherCurrency = None
    reason: str = Field(default="", max_length=MEMO_LENGTH_MAX)

    @model_validator(mode="after")
    def _whom_and_what(self) -> Self:
        if (self.telegram_id is None) == (self.username is None):
            raise ValueError("expected either telegram_id or username")
        if self.amount == 0:
            raise ValueError("amount: expected minor units other than 0")
        return self


class AdjustBalance(_Adjustment):
    """Do it at once: an operator's order, without limits.

    actor -- who decided it, such as `operator`; for the books.
    """

    kind = "balances.adjust"
    actor: str = Field(default="operator", max_length=64)


class AskAdjustment(_Adjustment):
    """/credit or /debit: put it before the admin who asked for it. Moves nothing yet."""

    kind = "balances.ask_adjustment"
    admin_id: int = TelegramId


class DecideAdjustment(UserJob):
    """An admin's press on Confirm or Cancel. `token` is the pending adjustment's opaque id."""

    kind = "balances.decide_adjustment"
    token: CardToken
    confirm: bool


def _wanted(fields: Mapping[str, Any], settings: Settings) -> tuple[bool, dict[str, object]]:
    """Whether it is a credit, and its amount and user."""
    username = fields.get("username")
    whom = f"@{shown(username)}" if username else shown(fields.get("telegram_id"))
    amount = int(fields.get("amount") or 0)
    return amount > 0, {"amount": amount_shown(fields, settings), "name": whom}


def _done_later(fields: Mapping[str, Any], settings: Settings) -> Sentence:
    is_credit, wanted = _wanted(fields, settings)
    if is_credit:
        return sentence(
            "Your credit of {amount} to {name} is saved, and I'll write to you {where} {until}.", **wanted
        )
    return sentence(
        "Your debit of {amount} from {name} is saved, and I'll write to you {where} {until}.", **wanted
    )


def _asked_later(fields: Mapping[str, Any], settings: Settings) -> Sentence:
    is_credit, wanted = _wanted(fields, settings)
    if is_credit:
        return sentence(
            "Your credit of {amount} to {name} is saved, and I'll ask you {where} to confirm it {until}.",
            **wanted,
        )
    return sentence(
        "Your debit of {amount} from {name} is saved, and I'll ask you {where} to confirm it {until}.",
        **wanted,
    )


_ANSWERED_LATER = sentence("Your command is saved, and I'll answer you {where} {until}.")

balances = BuiltInApp("balances", tasks=["workers.tasks.balances"])

balances.built_in_job(
    ShowBalance,
    database="read",
    waiting=Waiting(
        words=sentence("Your question about your balance is saved, and I'll answer it {where} {until}.")
    ),
)
balances.built_in_job(
    AdjustBalance,
    database="write",
    asked_by=None,  # what it names is the person whose balance changes
    waiting=Waiting(
        words=_done_later,
        in_groups=_ANSWERED_LATER,
        details_in_private=True,
    ),
)
balances.built_in_job(
    AskAdjustment,
    database="write",
    asked_by="admin_id",
    waiting=Waiting(
        words=_asked_later,
        in_groups=_ANSWERED_LATER,
        details_in_private=True,
    ),
)
balances.built_in_job(
    DecideAdjustment, database="write", waiting=Waiting(words=decision_words, once_for="token")
)

balances.built_in_command(
    "balance", ShowBalance, help=gettext_noop("Show your balance"), alone="anything", is_linked=True
)
balances.built_in_command(
    "credit",
    AskAdjustment,
    help=gettext_noop("Credit a user: /{name} @name 5.50 [reason]"),
    needs=Permission.ADJUST,
    names_somebody=True,
)
balances.built_in_command(
    "debit",
    AskAdjustment,
    help=gettext_noop("Debit a user: /{name} @name 5.50 [reason]"),
    needs=Permission.ADJUST,
    names_somebody=True,
)
balances.built_in_button(
    "adjustment", button_data.ADJUSTMENT, leads_to=[DecideAdjustment], below=[AskAdjustment], labels=DECISIONS
)
