"""Transfers between users, and what happened on an account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from ballast.builtin import button_data
from ballast.builtin.app import BuiltInApp
from ballast.builtin.button_data import CardToken
from ballast.builtin.declared import Waiting
from ballast.builtin.jobs import MEMO_LENGTH_MAX, FurtherCurrency, UserJob
from ballast.builtin.words import DECISIONS, amount_shown, decision_words, shown
from ballast.texts import gettext_noop
from dbcore.money import MAX_AMOUNT
from dbcore.sentences import Sentence, sentence
from dbcore.settings import Settings


class CreateTransfer(UserJob):
    """/send: look the recipient up and ask the sender to confirm. Moves nothing yet.

    recipient -- `@name` or a numeric Telegram id.
    amount -- minor units.
    """

    kind = "transactions.create"
    recipient: str = Field(min_length=1, max_length=64)
    amount: int = Field(gt=0, le=MAX_AMOUNT)
    currency: FurtherCurrency = None
    memo: str = Field(default="", max_length=MEMO_LENGTH_MAX)


class DecideTransfer(UserJob):
    """A press on Confirm or Cancel. `token` is the pending transfer's opaque id."""

    kind = "transactions.confirm"
    token: CardToken
    confirm: bool


class CancelTransfers(UserJob):
    """/cancel: cancel every transfer of the sender that waits for Confirm."""

    kind = "transactions.cancel"


class ShowHistory(UserJob):
    """A page of the user's entries in one currency: the newest, or those up to an account version.

    owner_telegram_id -- whose history the pressed button belongs to.
    """

    kind = "transactions.history"
    upto_version: int | None = Field(default=None, ge=1)
    owner_telegram_id: int | None = None
    currency: FurtherCurrency = None


NEWER, OLDER = gettext_noop("◀ Newer"), gettext_noop("Older ▶")


def _transfer(fields: Mapping[str, Any], settings: Settings) -> Sentence:
    return sentence(
        "Your transfer of {amount} to {name} is saved, and I'll ask you {where} to confirm it {until}.",
        amount=amount_shown(fields, settings),
        name=shown(fields.get("recipient")),
    )


transfers = BuiltInApp("transactions", tasks=["workers.tasks.transfers"])

transfers.built_in_job(
    CreateTransfer,
    database="write",
    waiting=Waiting(
        words=_transfer,
        in_groups=sentence("Your transfer is saved, and I'll ask you {where} to confirm it {until}."),
        is_public=True,
    ),
)
transfers.built_in_job(
    DecideTransfer, database="write", waiting=Waiting(words=decision_words, is_public=True, once_for="token")
)
transfers.built_in_job(
    CancelTransfers,
    database="write",
    waiting=Waiting(words=sentence("Your {cancel} is saved, and I'll write to you {where} {until}.")),
)
transfers.built_in_job(
    ShowHistory,
    database="read",
    waiting=Waiting(
        words=sentence("Your request for your transactions is saved, and I'll send them {where} {until}.")
    ),
)

transfers.built_in_command(
    "send",
    CreateTransfer,
    help=gettext_noop("Send money: /{name} @name 5.50 [memo]"),
    names_somebody=True,
    leaves_dialogue=True,
)
transfers.built_in_command(
    "history", ShowHistory, help=gettext_noop("Show your transactions"), is_linked=True
)
transfers.built_in_command(
    "cancel",
    CancelTransfers,
    help=gettext_noop("Cancel the current question, or your pending transfers"),
    leaves_dialogue=True,
)
transfers.built_in_button(
    "transfer", button_data.TRANSFER, leads_to=[DecideTransfer], below=[CreateTransfer], labels=DECISIONS
)
transfers.built_in_button("history", button_data.HISTORY, leads_to=[ShowHistory], labels=[NEWER, OLDER])
