"""A bot of somebody's own, without Ballast: `python bot.py URL TOKEN`."""

from __future__ import annotations

import sys
from typing import Any

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, LabeledPrice, Update
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    PreCheckoutQueryHandler,
    filters,
)

Context = ContextTypes.DEFAULT_TYPE


async def start(update: Update, context: Context) -> None:
    assert update.effective_message is not None
    row = [InlineKeyboardButton("Yes, please", callback_data="yes")]
    await update.effective_message.reply_text("A lamp?", reply_markup=InlineKeyboardMarkup([row]))


async def buy(update: Update, context: Context) -> None:
    assert update.effective_message is not None
    for thing in ("lamp", "rug"):
        price = LabeledPrice(thing, 100)
        await update.effective_message.reply_invoice(f"A {thing}", "Fine and green.", thing, "XTR", [price])


async def pressed(update: Update, context: Context) -> None:
    query = update.callback_query
    assert query is not None
    await query.answer("Noted")
    await query.edit_message_text("You have a lamp.")


async def sent(update: Update, context: Context) -> None:
    """Say what came."""
    message = update.effective_message
    assert message is not None
    if message.location is not None:
        said = f"You are at {message.location.latitude}, {message.location.longitude}."
    elif message.contact is not None:
        said = f"Your number is {message.contact.phone_number}."
    elif message.successful_payment is not None:
        said = f"You paid {message.successful_payment.total_amount} for {message.successful_payment.invoice_payload}."
    elif message.photo:
        said = f"A picture: {message.caption}"
    elif message.video is not None:
        said = f"A film: {message.video.file_name}"
    elif message.document is not None:
        file = await message.document.get_file()
        said = f"A file: {bytes(await file.download_as_bytearray()).decode()}"
    else:
        said = f"{'Changed' if update.edited_message else 'Said'}: {message.text}"
    await message.reply_text(said)


async def asked(update: Update, context: Context) -> None:
    query = update.pre_checkout_query
    assert query is not None
    if query.invoice_payload == "lamp":
        await query.answer(ok=True)
    else:
        await query.answer(ok=False, error_message="We have lamps only.")


def main(url: str, token: str) -> None:
    builder = Application.builder().token(token).base_url(f"{url}/bot").base_file_url(f"{url}/file/bot")
    application: Application[Any, Any, Any, Any, Any, Any] = builder.build()
    application.add_handler(CommandHandler("start", start))
    application.add_handler(CommandHandler("buy", buy))
    application.add_handler(CallbackQueryHandler(pressed))
    application.add_handler(PreCheckoutQueryHandler(asked))
    application.add_handler(MessageHandler(~filters.StatusUpdate.FORUM_TOPIC_CREATED, sent))
    application.run_polling()


if __name__ == "__main__":
    main(*sys.argv[1:])
