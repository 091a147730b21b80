"""A link by which anybody can subscribe to a plan: an invoice that Telegram renews every 30 days."""

from __future__ import annotations

import asyncio

from telegram.error import TelegramError

from ballast.subscriptions import invoices
from ballast.telegram.bot import make_bot
from ballast.telegram.calls import call
from dbcore.currencies import STARS
from dbcore.ledger.star_subscriptions import PERIOD_SECONDS
from dbcore.settings import Settings
from dbcore.subscription_plans import SubscriptionPlan

CALL_SECONDS_MAX = 10.0


class NoLink(Exception):
    """Telegram made none. The message says why."""


def make_link(plan: SubscriptionPlan, description: str, settings: Settings) -> str:
    """A new link, which can be used by any number of people for as long as the plan is on offer at its price.

    Raises NoLink. Not for a coroutine: call it in a thread there.
    """
    return asyncio.run(_made(plan, description, settings))


async def _made(plan: SubscriptionPlan, description: str, settings: Settings) -> str:
    bot = make_bot(settings, connections=1)
    offer = {
        "title": plan.title,
        "description": description,
        "payload": invoices.write(plan, settings),
        "currency": STARS,
        "prices": [{"label": plan.title, "amount": plan.stars}],
        "subscription_period": PERIOD_SECONDS,
    }
    try:
        async with asyncio.timeout(CALL_SECONDS_MAX):
            return str(await call(bot, "createInvoiceLink", offer))
    except (TelegramError, TimeoutError) as error:
        raise NoLink(f"Telegram made no link ({str(error) or 'too late'})") from error
    finally:
        await bot.request.shutdown()
