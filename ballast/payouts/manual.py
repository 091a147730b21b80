"""Payouts by a person, who says that one was paid and gives its reference. No worker ever asks this adapter to pay."""

from __future__ import annotations

from decimal import Decimal

from ballast.payouts.adapter import PayoutState
from ballast.providers.provider import Refused
from dbcore.ledger.withdrawals import TEXT_LENGTH_MAX
from dbcore.sentences import Refusal, sentence
from dbcore.text import is_blank, one_line

NAME = "manual"


class Manual:
    """Pays in the bot's own currency."""

    name = NAME
    title = "Manual"
    rate = Decimal(1)
    asks_destination = True

    def __init__(self, currency: str, exponent: int) -> None:
        self.currency, self.exponent = currency, exponent

    def read_destination(self, text: str, telegram_id: int) -> str:
        if is_blank(text):
            raise Refusal(sentence("I see nothing in that. Please write something."))
        if len(text) > TEXT_LENGTH_MAX:
            raise Refusal(
                sentence("A destination can have up to {count} characters.", count=str(TEXT_LENGTH_MAX))
            )
        return one_line(text, TEXT_LENGTH_MAX)

    async def pay(self, key: str, amount: int, destination: str) -> str:
        raise Refused("a person pays it")

    async def payout(self, key: str, amount: int, destination: str) -> PayoutState | None:
        return PayoutState("under_way")

    async def balance(self) -> int:
        return 0

    async def close(self) -> None:
        pass
