"""Reads what a provider lists of the payments that this bot asked for, and hands in what the ledger lacks, as the sweep
does: by the job that its webhook would have been.

    payments_since ──▶ a page: what is news is handed in ──▶ provider_book.keep ──▶ … ──▶ finish ──▶ differences
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import redis
import structlog

from ballast.providers import orders, sweeping
from ballast.providers.orders import Order
from ballast.providers.provider import Payment, Provider
from ballast.reconciling import provider_record
from ballast.reconciling.provider_record import Compared
from dbcore import outbox
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import provider_book
from dbcore.ledger.provider_book import Listed
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

DAYS = 30
"""How far back a reading goes. A refund of an older payment is listed all the same."""


def run(
    settings: Settings,
    engine: GuardedEngine,
    client: redis.Redis,
    provider: Provider,
    *,
    days: int = DAYS,
    seconds_max: float | None = None,
    clock: Callable[[], float] = time.time,
) -> Compared:
    """Read all of its list, and compare it. The provider is closed after it.

    Raises DatabaseAway, ProviderError, TimeoutError, what reading garbage raises, and redis.RedisError: what was handed
    in stays so.
    """
    since = clock() - days * 86_400
    reading = provider_book.begin(engine, provider.name, since)
    handed_in = asyncio.run(_read(settings, engine, provider, reading, since, seconds_max))
    provider_book.finish(engine, reading)
    if handed_in:
        outbox.announce()
    compared = look_again(engine, client, provider.name)
    log.info("provider_reconciled", provider=provider.name, handed_in=handed_in, open=compared.counted)
    return compared


def look_again(engine: GuardedEngine, client: redis.Redis, provider: str) -> Compared:
    """What is left of the differences, and what was told since and could not be booked."""
    reading = provider_book.last(engine, provider)
    return provider_record.keep(client, provider, reading, provider_book.differences(engine, provider))


async def _read(
    settings: Settings,
    engine: GuardedEngine,
    provider: Provider,
    reading: int,
    since: float,
    seconds_max: float | None,
) -> int:
    handed_in = 0
    try:
        async with asyncio.timeout(seconds_max):
            async for page in sweeping.pages(provider, since, settings):
                handed_in += await asyncio.to_thread(_keep, settings, engine, provider.name, reading, page)
    finally:
        await provider.close()
    return handed_in


def _keep(
    settings: Settings, engine: GuardedEngine, name: str, reading: int, page: list[tuple[Payment, Order]]
) -> int:
    handed_in = sweeping.hand_in(name, [payment for payment, _ in page], engine)
    listed = {payment.id: _listed(payment, order, settings) for payment, order in page}
    provider_book.keep(engine, reading, name, list(listed.values()), handed_in)
    return handed_in


def _listed(payment: Payment, order: Order, settings: Settings) -> Listed:
    return Listed(
        payment_id=payment.id,
        amount=payment.amount,
        currency=payment.currency,
        refunded=payment.refunded,
        telegram_id=order.telegram_id,
        credited=order.amount if orders.is_kept(order, payment, settings) else None,
        paid_at=payment.paid_at,
    )
