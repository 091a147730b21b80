"""People for operators: /user, the card with its buttons, and what people are told of an act on their account.

What the buttons lead to are jobs as an app's are: each is done once, and only by whom its card is for.
ballast/people/chat.py does them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from ballast.arguments import Amount
from ballast.builtin.app import BuiltInApp
from ballast.builtin.jobs import MEMO_LENGTH_MAX, ChatAct, FurtherCurrency, Seen, TelegramId, UserJob
from ballast.context import Database
from ballast.jobs import Job
from ballast.operators.permissions import Permission
from ballast.texts import gettext_noop

MESSAGE_LENGTH_MAX = 2_000
QUERY_LENGTH_MAX = 200


class TellUser(Job):
    """Tell somebody what became of their account, in their language. Committed with what it tells of.

    about -- what was done. amount -- of a credit or debit, signed minor units; of a reversal, what moved, unsigned.
    balance -- right after it. currency -- of both. number -- of the transfer that was reversed. text -- the operator's
    words.
    """

    kind = "replies.tell_user"
    telegram_id: int = TelegramId
    about: Literal[
        "adjusted", "given_back", "taken_back", "frozen", "frozen_both_ways", "unfrozen", "message"
    ]
    amount: int = 0
    balance: int = 0
    currency: FurtherCurrency = None
    number: int = 0
    text: str = Field(default="", max_length=MESSAGE_LENGTH_MAX)


class ShowPerson(UserJob):
    """/user: find somebody, and show their card. The fields of UserJob are the admin's."""

    kind = "users.show_person"
    query: str = Field(min_length=1, max_length=QUERY_LENGTH_MAX)


class _AboutPerson(ChatAct):
    """telegram_id -- the admin's. person -- the Telegram id of whom it is about."""

    telegram_id: int = TelegramId
    person: int = TelegramId


class ShowMovements(_AboutPerson):
    """before -- the version before which the page ends; None: the newest."""

    kind = "users.show_movements"
    before: int | None = None


class ShowFailures(_AboutPerson):
    kind = "users.show_failures"


class AskAmount(_AboutPerson):
    """Credit or debit them: how much?"""

    kind = "users.ask_amount"
    is_credit: bool


class AskWhy(_AboutPerson):
    kind = "users.ask_why"
    is_credit: bool
    amount: Amount


class OrderAdjustment(_AboutPerson):
    """Put it before the admin, as /credit and /debit do."""

    kind = "users.adjust"
    is_credit: bool
    amount: Amount
    reason: Annotated[str, Field(max_length=MEMO_LENGTH_MAX), Seen]


class AskFreeze(_AboutPerson):
    """is_frozen -- what the account is to be."""

    kind = "users.ask_freeze"
    is_frozen: bool


class ConfirmFreeze(_AboutPerson):
    kind = "users.confirm_freeze"
    is_frozen: bool
    reason: Annotated[str, Field(max_length=MEMO_LENGTH_MAX), Seen]


class Freeze(ConfirmFreeze):
    kind = "users.freeze"


class AskMessage(_AboutPerson):
    kind = "users.ask_message"


class ConfirmMessage(_AboutPerson):
    kind = "users.confirm_message"
    text: Annotated[str, Field(max_length=MESSAGE_LENGTH_MAX), Seen]


class SendMessage(ConfirmMessage):
    kind = "users.send_message"


class AskReversal(_AboutPerson):
    """transfer -- its number."""

    kind = "users.ask_reversal"
    transfer: int


class ConfirmReversal(AskReversal):
    kind = "users.confirm_reversal"
    reason: Annotated[str, Field(max_length=MEMO_LENGTH_MAX), Seen]


class Reverse(ConfirmReversal):
    """amount -- minor units, as the admin was shown it."""

    kind = "users.reverse"
    amount: int


people = BuiltInApp("users", tasks=["workers.tasks.people"])

people.built_in_job(
    TellUser,
    database="none",
    internal="it tells people what an operator did about their account",
)

_JOBS: tuple[tuple[type[Job], Database, str, Permission], ...] = (
    (ShowPerson, "read", "show", Permission.SEE_PEOPLE),
    (ShowMovements, "read", "movements", Permission.SEE_PEOPLE),
    (ShowFailures, "read", "failures", Permission.SEE_PEOPLE),
    (AskAmount, "read", "ask_amount", Permission.ADJUST),
    (AskWhy, "none", "ask_why", Permission.ADJUST),
    (OrderAdjustment, "none", "adjust", Permission.ADJUST),
    (AskFreeze, "none", "ask_freeze", Permission.FREEZE),
    (ConfirmFreeze, "read", "confirm_freeze", Permission.FREEZE),
    (Freeze, "write", "freeze", Permission.FREEZE),
    (AskMessage, "read", "ask_message", Permission.MESSAGE),
    (ConfirmMessage, "read", "confirm_message", Permission.MESSAGE),
    (SendMessage, "write", "send_message", Permission.MESSAGE),
    (AskReversal, "none", "ask_reversal", Permission.REVERSE),
    (ConfirmReversal, "read", "confirm_reversal", Permission.REVERSE),
    (Reverse, "write", "reverse", Permission.REVERSE),
)
NEEDS: Mapping[type[Job], Permission] = {job_type: needs for job_type, *_, needs in _JOBS}
"""What an operator must be permitted for each."""

for _job_type, _database, _function, _needs in _JOBS:
    people.chat_job(_job_type, database=_database, by=f"ballast.people.chat:{_function}", needs=_needs)

people.built_in_command(
    "user",
    ShowPerson,
    help=gettext_noop("Find a user: /{name} @name"),
    needs=Permission.SEE_PEOPLE,
    names_somebody=True,
    leaves_dialogue=True,
)
