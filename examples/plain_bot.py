"""A small bot without Celery and without Redis, on Ballast's ledger: /start, /balance, /tip @… by reply.

    DATABASE_URL=… TELEGRAM_BOT_TOKEN=… python -m examples.plain_bot

What it shows: no call into the database raises for a database failure, each outcome says what became of it, and the
update's id is the idempotency key, so that an update which comes again tips once. What it does not have is Ballast's
inbox: it tells Telegram "got it" when an update is done, and what it cannot do now it says now.
"""

from __future__ import annotations

import asyncio

from telegram import Bot, Message, Update

from ballast.telegram.bot import make_bot
from dbcore.integration import bot_safe_create_transaction, bot_safe_get_or_create_user
from dbcore.money import format_amount
from dbcore.outcomes import OutcomeStatus
from dbcore.settings import Settings, load_settings

TIP = 100
ATTEMPTS_MAX = 5


async def main() -> None:
    settings = load_settings()
    bot = make_bot(settings, connections=8)
    offset: int | None = None
    while True:
        for update in await bot.get_updates(offset=offset, timeout=25, allowed_updates=["message"]):
            if update.message is not None and update.message.from_user is not None:
                await answer(bot, settings, update, update.message)
            offset = update.update_id + 1


async def answer(bot: Bot, settings: Settings, update: Update, message: Message) -> None:
    """One command, done and answered before the next is taken."""
    sender = message.from_user
    assert sender is not None  # noqa: S101  asked for by the caller
    if message.text in {"/start", "/balance"}:
        text = await balance(settings, sender.id, sender.username, sender.first_name)
    elif message.text == "/tip" and message.reply_to_message and message.reply_to_message.from_user:
        text = await tip(sender.id, message.reply_to_message.from_user.id, key=f"plain-{update.update_id}")
    else:
        text = "/balance shows your balance. Reply /tip to a message to thank its author."
    await bot.send_message(message.chat_id, text)


async def balance(settings: Settings, telegram_id: int, username: str | None, first_name: str) -> str:
    outcome = await asyncio.to_thread(bot_safe_get_or_create_user, telegram_id, username, first_name)
    if outcome.account is None:
        return "I cannot look right now. Please ask again in a moment."
    money = format_amount(outcome.account.balance, settings.currency_exponent, settings.currency)
    return f"Your balance is {money}."


async def tip(sender_id: int, recipient_id: int, *, key: str) -> str:
    """The same key again resolves an unknown outcome: it answers what became of the first try."""
    for _ in range(ATTEMPTS_MAX):
        outcome = await asyncio.to_thread(bot_safe_create_transaction, sender_id, recipient_id, TIP, key=key)
        match outcome.status:
            case OutcomeStatus.APPLIED | OutcomeStatus.REPLAYED:
                return "Tipped."
            case OutcomeStatus.REJECTED:
                return f"Nothing was moved: {outcome.reason}."
            case OutcomeStatus.UNAVAILABLE:
                return "Nothing was moved: the database is unavailable. Please try again in a moment."
            case OutcomeStatus.UNKNOWN:
                await asyncio.sleep(outcome.retry_after_seconds or 1.0)
    return "I do not know yet whether that worked. Please look at your /balance before you try again."


if __name__ == "__main__":
    asyncio.run(main())
