"""An app that changes what Ballast's own commands are called, and which there are."""

from __future__ import annotations

from telegram import Update
from telegram.ext import CommandHandler, ContextTypes

from ballast import App


async def history(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    assert update.effective_message is not None
    await update.effective_message.reply_text("Once upon a time.")


app = App("names")
app.rename("send", "pay")
app.rename("credit", "topup", help="Top up an account: /topup @name 5.50")
app.switch_off("history", "debit")
app.add_handler(CommandHandler("history", history))
