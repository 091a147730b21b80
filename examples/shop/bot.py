"""A shop as an app of Ballast: BALLAST_APPS=shop.bot

/redeem CODE credits a voucher, /buy ITEM takes one piece of it from the stock and the price from the balance, /items
shows what there is. A periodic sweep credits payments that a provider reported.

Each of them changes the shop's own rows and the ledger in one transaction, exactly once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pydantic import BaseModel, Field
from sqlalchemy import func, select

from ballast import App, Job, JobContext, Refuse, Reply, Tx

from .models import Item, Piece, Redeemed, TopUp, Voucher

app = App("shop", migrations=Path(__file__).with_name("migrations"), schema="shop")


class Code(BaseModel):
    code: str = Field(max_length=40, description="a code of at most 40 characters, such as HELLO5")


class Wanted(BaseModel):
    item: str = Field(max_length=60, description="the name of an item. /items lists them")


@app.command("redeem", help="Redeem a voucher: /redeem CODE", arguments=Code)
def redeem(ctx: JobContext, args: Code) -> Reply:
    done = ctx.transact(partial(_redeem, ctx.user.telegram_id, args.code.upper()))
    return Reply(f"Redeemed: {ctx.money(done.value[0])}. You have {ctx.money(done.value[1])}.")


def _redeem(telegram_id: int, code: str, tx: Tx) -> list[int]:
    voucher = tx.session.get(Voucher, code, with_for_update=True)
    if voucher is None:
        raise Refuse("I do not know that code.")
    if tx.session.get(Redeemed, (code, telegram_id)) is not None:
        raise Refuse("You used that code before.")
    if voucher.left == 0:
        raise Refuse("That code is used up.")
    voucher.left -= 1
    tx.session.add(Redeemed(code=code, telegram_id=telegram_id, minor=voucher.minor))
    moved = tx.ledger.credit(telegram_id, voucher.minor, memo=f"Voucher {code}")
    return [voucher.minor, moved.balance_after or 0]


@app.command(
    "items", help="Show what is for sale", database="read", unavailable=Reply("The shop opens again soon.")
)
def items(ctx: JobContext) -> Reply:
    with ctx.session() as session:
        left = func.count(Piece.id).filter(Piece.buyer.is_(None))
        rows = session.execute(
            select(Item.name, Item.price, left)
            .outerjoin(Piece, Piece.item == Item.name)
            .group_by(Item.name)
            .order_by(Item.name)
        ).all()
    lines = [f"{name}: {ctx.money(price)}, {count} left" for name, price, count in rows]
    return Reply("\n".join(lines) or "Nothing is for sale.")


@app.command("buy", help="Buy an item: /buy ITEM", arguments=Wanted, unavailable="refuse")
def buy(ctx: JobContext, args: Wanted) -> list[Reply]:
    secret, balance = ctx.transact(partial(_buy, ctx.user.telegram_id, args.item)).value
    return [Reply(f"Yours: {secret}"), Reply(f"You have {ctx.money(balance)}.")]


def _buy(telegram_id: int, name: str, tx: Tx) -> tuple[str, int]:
    item = tx.session.get(Item, name)
    if item is None:
        raise Refuse("There is no such item. /items lists them.")
    free = select(Piece).where(Piece.item == name, Piece.buyer.is_(None)).limit(1)
    piece = tx.session.scalars(free.with_for_update(skip_locked=True)).first()
    if piece is None:
        raise Refuse("Sold out.")
    piece.buyer, piece.paid = telegram_id, item.price
    moved = tx.ledger.debit(telegram_id, item.price, memo=name)
    return piece.secret, moved.balance_after or 0


class Credit(Job, kind="shop.credit"):
    """A payment is to be credited."""

    telegram_id: int
    top_up: int


@app.every(5, database="read")
def sweep(ctx: JobContext) -> None:
    """Each open payment becomes a job. A job that a sweep before asked for is the same one: it is done once."""
    with ctx.session() as session:
        opened = session.scalars(select(TopUp).where(TopUp.credited_at.is_(None)).limit(100)).all()
    for top_up in opened:
        ctx.enqueue(Credit(telegram_id=top_up.telegram_id, top_up=top_up.id), key=f"top-up-{top_up.id}")


@app.job(Credit)
def credit(ctx: JobContext, job: Credit) -> Reply:
    minor, balance = ctx.transact(partial(_credit, job.top_up)).value
    return Reply(f"Topped up: {ctx.money(minor)}. You have {ctx.money(balance)}.", to=job.telegram_id)


def _credit(top_up_id: int, tx: Tx) -> tuple[int, int]:
    top_up = tx.session.get_one(TopUp, top_up_id, with_for_update=True)
    top_up.credited_at = datetime.now(UTC)
    moved = tx.ledger.credit(top_up.telegram_id, top_up.minor, memo=f"Top-up {top_up.id}")
    return top_up.minor, moved.balance_after or 0


app.audit(
    "each redeemed voucher was credited",
    counted="SELECT count(*) FROM shop.redeemed",
    offenders="""
        SELECT format('user %s: redeemed %s, credited %s', r.telegram_id, r.minor, coalesce(c.minor, 0))
          FROM (SELECT telegram_id, sum(minor) AS minor FROM shop.redeemed GROUP BY 1) r
          LEFT JOIN (SELECT u.telegram_id, sum(e.amount) AS minor
                       FROM ballast.entries e JOIN ballast.transfers t ON t.id = e.transfer_id
                       JOIN ballast.accounts a ON a.id = e.account_id JOIN ballast.users u ON u.id = a.user_id
                      WHERE t.memo LIKE 'Voucher %' GROUP BY 1) c USING (telegram_id)
         WHERE r.minor IS DISTINCT FROM c.minor
    """,
)
