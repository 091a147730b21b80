"""Exchange between the bot's currencies: /exchange asks first.

What the command and its buttons lead to are jobs as an app's are; ballast/exchanging/chat.py does them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ballast.builtin.app import BuiltInApp
from ballast.builtin.jobs import TelegramId, UserJob
from ballast.jobs import Job
from ballast.texts import gettext_noop

TEXT_LENGTH_MAX = 128

Token = Annotated[str, Field(min_length=1, max_length=60)]


class AskExchange(UserJob):
    """/exchange: put it before whoever asks, at the rate in force. text -- an amount, and the currency that is got."""

    kind = "transactions.ask_exchange"
    text: str = Field(default="", max_length=TEXT_LENGTH_MAX)


class DecideExchange(Job):
    """A press on Confirm or Cancel."""

    kind = "transactions.exchange"
    telegram_id: int = TelegramId
    token: Token
    confirm: bool


exchange = BuiltInApp("transactions", tasks=[])

exchange.chat_job(AskExchange, database="write", by="ballast.exchanging.chat:ask")
exchange.chat_job(DecideExchange, database="write", by="ballast.exchanging.chat:decide")

exchange.built_in_command(
    "exchange",
    AskExchange,
    help=gettext_noop("Exchange money: /{name} 5 EUR USD"),
    leaves_dialogue=True,
)
