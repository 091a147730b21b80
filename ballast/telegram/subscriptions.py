"""Subscriptions by Stars, as far as Telegram is asked for them: a link to subscribe by, and the renewal of one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from telegram.error import BadRequest, Forbidden, TelegramError

from ballast.queueing.snooze import Snoozed
from ballast.telegram.bot import make_bot
from ballast.telegram.calls import call
from ballast.telegram.errors import classify
from dbcore.currencies import STARS
from dbcore.ledger.star_subscriptions import PERIOD_SECONDS

if TYPE_CHECKING:
    from telegram import Bot

    from dbcore.settings import Settings
    from dbcore.subscription_plans import SubscriptionPlan

log = structlog.get_logger(__name__)

CALL_SECONDS_MAX = 10.0
ASK_AGAIN_SECONDS_MIN = 2.0


class NoLink(Exception):
    """Telegram made none. The message says why."""


async def make_link(plan: SubscriptionPlan, description: str, payload: str, settings: Settings) -> str:
    """A new link, which can be used by any number of people. Raises NoLink."""
    bot = make_bot(settings, connections=1)
    offer = {
        "title": plan.title,
        "description": description,
        "payload": payload,
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


async def turn_renewal(bot: Bot, telegram_id: int, charges: Sequence[str], *, cancelled: bool) -> str | None:
    """Cancel the renewal, or allow it again. None if it is so, now or before; else why Telegram refuses. Raises Snoozed
    if nobody can know: asking again is safe.

    charges -- of the subscription's payments, the newest first. Telegram does not say which of them names it: should it
    not know the newest one, the first one is tried.
    """
    refusal = "no payment of it is known"
    for charge_id in dict.fromkeys([*charges[:1], *charges[-1:]]):
        try:
            await call(
                bot,
                "editUserStarSubscription",
                {
                    "user_id": telegram_id,
                    "telegram_payment_charge_id": charge_id,
                    "is_canceled": cancelled,
                },
            )
        except (BadRequest, Forbidden) as error:
            refusal = str(error)
            if "NOT_MODIFIED" in refusal.upper():
                return None
            if "CHARGE" not in refusal.upper():
                return refusal
        except TelegramError as error:
            verdict = classify(error)
            log.warning("renewal_unanswered", error=type(error).__name__)
            raise Snoozed(max(ASK_AGAIN_SECONDS_MIN, verdict.retry_after_seconds)) from error
        else:
            return None
    return refusal
