"""A bot as its author had it, and the app that it becomes: each /earn is worth 1.00, and is answered once."""

from __future__ import annotations

import os
import sys

import psycopg2
from pydantic import BaseModel
from telegram import Update
from telegram.ext import Application, CommandHandler, ContextTypes

from ballast import App, JobContext, Reply

PAID = "UPDATE public.people SET balance = balance + 1 WHERE id = %s RETURNING balance"


async def earn(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    assert update.effective_message is not None
    assert update.effective_user is not None
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    with connection, connection.cursor() as cursor:
        cursor.execute(PAID, (update.effective_user.id,))
        (balance,) = cursor.fetchone() or (None,)
    connection.close()
    await update.effective_message.reply_text(f"{sys.argv[1]}: {balance}")


class Nothing(BaseModel):
    pass


app = App("new")


@app.command("earn", help="Earn 1.00", arguments=Nothing)
def earned(ctx: JobContext, args: Nothing) -> Reply:
    me = ctx.user.telegram_id
    return Reply(f"Ballast: {ctx.transact(lambda tx: tx.ledger.credit(me, 100).balance_after).value}")


def main() -> None:
    """`Polling`, or `Webhook PORT PUBLIC_PORT`; each answer begins with the word."""
    api = os.environ["TELEGRAM_API_URL"]
    token = os.environ["TELEGRAM_BOT_TOKEN"]
    old = Application.builder().token(token).base_url(f"{api}/bot").build()
    old.add_handler(CommandHandler("earn", earn))
    if sys.argv[1] == "Webhook":
        port, public_port = map(int, sys.argv[2:4])
        old.run_webhook("127.0.0.1", port, webhook_url=f"http://127.0.0.1:{public_port}/")
    else:
        old.run_polling(poll_interval=0)


if __name__ == "__main__":
    main()
