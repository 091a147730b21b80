"""A shop as an aiogram bot: /buy takes effect once for each message, /bag answers also while the database does not.

DATABASE_URL=… python -m aiogram_bot create-tables
DATABASE_URL=… TELEGRAM_BOT_TOKEN=… python -m aiogram_bot
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from aiogram import Bot, Dispatcher, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from dbcore import AsyncGuard, OutcomeUnknown, Refuse, Unavailable

from .shop import PRICES, Shop

ATTEMPTS_MAX = 5
WAIT_SECONDS_MAX = 2.0

router = Router()


@router.message(Command("buy"))
async def on_buy(message: Message, command: CommandObject, shop: Shop) -> None:
    if message.from_user is None:
        return
    item = (command.args or "").strip().lower()
    if item not in PRICES:
        await on_anything(message)
        return
    # The same for this message whenever it comes: Telegram hands it out again if the bot dies in the middle.
    key = f"buy-{message.chat.id}-{message.message_id}"
    await message.answer(await bought(shop, message.from_user.id, item, key))


async def bought(shop: Shop, telegram_id: int, item: str, key: str) -> str:
    """Buys, and says what became of it."""
    for _ in range(ATTEMPTS_MAX):
        try:
            done = await shop.buy(telegram_id, item, key=key)
        except Refuse as refuse:
            return str(refuse)
        except Unavailable:
            return "Nothing was bought: we have a technical problem. Please try again in a minute."
        except OutcomeUnknown as unknown:
            # The same key tells what became of it.
            await asyncio.sleep(min(unknown.retry_after_seconds, WAIT_SECONDS_MAX))
        else:
            return f"You bought the {item}. You have {done.value} coins left."
    return f"We do not know yet whether you bought the {item}. Look into your /bag before you buy it again."


@router.message(Command("bag"))
async def on_bag(message: Message, shop: Shop) -> None:
    if message.from_user is None:
        return
    try:
        known = await shop.belongings(message.from_user.id)
    except Unavailable:
        await message.answer("We cannot look into your bag right now. Please try again in a minute.")
        return
    coins, things = known.value
    text = f"You have {coins} coins and {', '.join(things) or 'an empty bag'}."
    if known.as_of is not None:
        text = f"At {known.as_of:%H:%M} UTC: {text} We cannot look right now."
    await message.answer(text)


@router.message()
async def on_anything(message: Message) -> None:
    goods = ", ".join(f"{item} ({price})" for item, price in PRICES.items())
    await message.answer(f"/buy one of: {goods}. /bag shows what you have.")


async def create_tables() -> None:
    async with AsyncGuard.from_env() as guard:
        await Shop(guard).create_tables()


async def serve() -> None:
    server = TelegramAPIServer.from_base(os.environ.get("TELEGRAM_API_URL", "https://api.telegram.org"))
    bot = Bot(os.environ["TELEGRAM_BOT_TOKEN"], session=AiohttpSession(api=server))
    async with AsyncGuard.from_env() as guard:
        dispatcher = Dispatcher(shop=Shop(guard))
        dispatcher.include_router(router)
        # One after another: Telegram is told "got it" when an update is done, and hands it out again if the bot dies.
        await dispatcher.start_polling(bot, handle_as_tasks=False)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(create_tables() if sys.argv[1:] == ["create-tables"] else serve())
