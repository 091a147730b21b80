"""A plain bot on python-telegram-bot and SQLAlchemy, as its author had it. Its last lines bring it to Ballast."""

from __future__ import annotations

import os
import signal

from sqlalchemy import create_engine, make_url, text
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Message, Update
from telegram.ext import (
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    TypeHandler,
    filters,
)

from ballast import App, JobContext, Reply, Tx, attach_engine
from ballast.apps.telegram_handlers import Context

URL = make_url(os.environ.get("DATABASE_URL", "postgresql://localhost/bot")).set(
    drivername="postgresql+psycopg2"
)
engine = create_engine(URL)
Default = ContextTypes.DEFAULT_TYPE


async def start(update: Update, context: Default) -> None:
    assert update.effective_message is not None
    assert update.effective_user is not None
    await update.effective_message.reply_text(f"Hello, {update.effective_user.first_name}.")


async def shop(update: Update, context: Default) -> None:
    assert update.effective_message is not None
    button = InlineKeyboardButton("Lamp", callback_data="buy:lamp")
    words = " ".join(context.args or ["nothing"])
    await update.effective_message.reply_text(
        f"You want {words}.", reply_markup=InlineKeyboardMarkup([[button]])
    )


async def bought(update: Update, context: Default) -> None:
    assert update.callback_query is not None
    await update.callback_query.answer("Bought")
    await update.callback_query.edit_message_text(f"You bought {context.matches[0][1]}.")  # type: ignore[index]


async def photo(update: Update, context: Default) -> None:
    assert update.effective_message is not None
    await update.effective_message.reply_text("A fine photo.")


async def count(update: Update, context: Default) -> None:
    """Two transactions; the first time the server ends the session in between."""
    assert update.effective_message is not None
    with engine.begin() as connection:
        counted = "INSERT INTO old_counts VALUES (1) RETURNING (SELECT count(*) FROM old_counts)"
        before = connection.execute(text(counted)).scalar_one()
    with engine.begin() as connection:
        if before == 0:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    await update.effective_message.reply_text(f"Counted {before + 1}.")


async def bonus(update: Update, context: Context) -> None:
    """Moved to exactly once."""
    assert update.effective_message is not None
    assert update.effective_user is not None
    me = update.effective_user.id

    def work(tx: Tx) -> int | None:
        return tx.ledger.credit(me, 500, memo="Bonus").balance_after

    balance = context.ballast.transact(work).value
    assert balance is not None
    await update.effective_message.reply_text(f"You have {context.ballast.money(balance)}.")


async def remember(update: Update, context: Default) -> None:
    context.user_data["seen"] = True  # type: ignore[index]


async def remind(update: Update, context: Default) -> None:
    context.job_queue.run_once(helped, 60)  # type: ignore[union-attr, arg-type]


async def helped(update: Update, context: Default) -> None:
    assert update.effective_message is not None
    await update.effective_message.reply_text("Ask at the counter.")


async def everything(update: Update, context: Default) -> None:
    """Sees each update before the others, and answers none."""


attach_engine(engine)
app = App("old")
app.add_handler(TypeHandler(Update, everything), group=-1, database="none")
app.add_handler(CommandHandler("start", start), help="Say hello", replace=True)
app.add_handler(CommandHandler("shop", shop), help="What we have")
app.add_handler(CallbackQueryHandler(bought, pattern=r"^buy:(\w+)$"))


@app.update(filters.PHOTO & filters.CAPTION, aliases=["old.update.bill"])
def receipt(ctx: JobContext, update: Update) -> Reply:
    """The worker dies after the first one's commit."""
    me = ctx.user.telegram_id
    booked = ctx.transact(lambda tx: tx.ledger.credit(me, 100, memo="Receipt").balance_after)
    assert update.message is not None
    if update.message.caption == "first" and not booked.replayed:
        os.kill(os.getpid(), signal.SIGKILL)
    return Reply(f"Booked {update.message.caption}. You have {ctx.money(booked.value or 0)}.")


class Tripping(filters.MessageFilter):
    def filter(self, message: Message) -> bool:
        if message.text == "trip":
            raise ZeroDivisionError
        return False


@app.update(Tripping())
def never(ctx: JobContext, update: Update) -> None: ...


@app.update("message_reaction", database="none")
async def reacted(ctx: JobContext, update: Update) -> Reply:
    assert update.message_reaction is not None
    bot = await update.get_bot().get_me()
    emoji = [getattr(each, "emoji", "") for each in update.message_reaction.new_reaction]
    return Reply(f"{ctx.user.first_name} gave {bot.username} {emoji[0]}")


@app.update(filters.LOCATION, unavailable=Reply("We come later.", public=True))
def where(ctx: JobContext, update: Update) -> Reply:
    assert update.message is not None
    assert update.message.location is not None
    return Reply(f"{ctx.user.first_name} is at {update.message.location.latitude}.", public=True)


app.add_handler(MessageHandler(filters.PHOTO, photo), database="none")
app.add_handler(CommandHandler("count", count))
app.add_handler(CommandHandler("bonus", bonus))
app.add_handler(CommandHandler("remember", remember))
app.add_handler(CommandHandler("remind", remind))
app.add_handler(CommandHandler("help", helped), replace=True)
