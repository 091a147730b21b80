"""A peer of `make bench BENCH=commands`: python-telegram-bot and SQLAlchemy in one process, one commit a command.

It has no queue, no idempotency key and no breaker: what dies with it is lost, or done twice. It is here to say what a
command costs at the least.

    DATABASE_URL=… TELEGRAM_API_URL=… python -m benchmarks.naive_bot
"""

from __future__ import annotations

import os

from sqlalchemy import BigInteger, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.constants import ParseMode
from telegram.ext import Application, CallbackQueryHandler, CommandHandler, ContextTypes

from dbcore.database_url import read_database_url
from devstack.stack import TOKEN


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "naive_accounts"
    telegram_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger, default=0)


class Entry(Base):
    __tablename__ = "naive_entries"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    telegram_id: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[int] = mapped_column(BigInteger)
    balance_after: Mapped[int] = mapped_column(BigInteger)


engine = create_engine(read_database_url(os.environ["DATABASE_URL"]), pool_pre_ping=True)


def account_of(session: Session, telegram_id: int) -> Account:
    account = session.get(Account, telegram_id, with_for_update=True)
    if account is None:
        account = Account(telegram_id=telegram_id, balance=0)
        session.add(account)
    return account


async def balance(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
    if update.effective_user is None or update.effective_chat is None:
        return
    with Session(engine) as session, session.begin():
        held = account_of(session, update.effective_user.id).balance
    await update.effective_chat.send_message(
        f"Your balance: <b>{held / 100:.2f} CREDIT</b>", parse_mode=ParseMode.HTML
    )


async def credit(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    if update.effective_chat is None or not context.args:
        return
    target, amount = context.args
    button = InlineKeyboardButton("Confirm", callback_data=f"{target} {amount}")
    await update.effective_chat.send_message(
        f"Credit {amount} to {target}?", reply_markup=InlineKeyboardMarkup([[button]])
    )


async def confirm(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    query = update.callback_query
    if query is None or query.data is None:
        return
    target, amount = map(int, query.data.split())
    with Session(engine) as session, session.begin():
        account = account_of(session, target)
        account.balance += 100 * amount
        session.add(Entry(telegram_id=target, amount=100 * amount, balance_after=account.balance))
        after = account.balance
    await query.answer()
    await query.edit_message_text(f"Credited {amount}.00 to {target}.")
    await context.bot.send_message(target, f"You were credited {amount}.00. Balance: {after / 100:.2f}")


def main() -> None:
    Base.metadata.create_all(engine)
    application = Application.builder().token(TOKEN).base_url(f"{os.environ['TELEGRAM_API_URL']}/bot").build()
    application.add_handler(CommandHandler(["start", "balance"], balance))
    application.add_handler(CommandHandler("credit", credit))
    application.add_handler(CallbackQueryHandler(confirm))
    application.run_polling()


if __name__ == "__main__":
    main()
