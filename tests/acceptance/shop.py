"""An author's task, which a worker runs beside its own (`-I tests.acceptance.shop`)."""

from __future__ import annotations

from functools import cache

from celery import shared_task

from ballast.builtin.balances import AdjustBalance
from ballast.builtin.replies import DeliverReply
from ballast.messages import Message
from dbcore import Guard, Refuse, Tx

TASK = "workers.users.buy"


@cache
def _guard() -> Guard:
    return Guard.from_env()


def bought(tx: Tx, user: int, number: int) -> None:
    """A bonus and two messages follow."""
    tx.enqueue(AdjustBalance(telegram_id=user, amount=100, reason="bonus"), key=f"bonus-{number}")
    for words in ("Thank you", "It is on its way"):
        message = Message(chat_id=user, text=f"{words}, number {number}.")
        tx.enqueue(DeliverReply(messages=(message,)), user=user)


@shared_task(name=TASK)
def buy(user: int, number: int) -> None:
    def sold_out(tx: Tx) -> None:
        bought(tx, user, 0)
        raise Refuse("Sold out.")

    try:
        _guard().transact(sold_out)
    except Refuse:
        for _ in range(2):
            _guard().transact(lambda tx: bought(tx, user, number), key=f"buy-{number}")
