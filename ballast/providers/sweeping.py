"""The second leg: asks each provider what was paid and refunded lately, and hands in what the ledger lacks.

    payments_since ──▶ a page: which of them are news?  ──▶ RecordProviderPayment, as of a webhook, by the outbox
                                                        └─ killed: the next sweep begins where the last whole one ended

A webhook that comes after all finds its payment booked.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict

import structlog
from sqlalchemy import Connection

from ballast.apps.installed import INSTALLED
from ballast.builtin.providers import RecordProviderPayment
from ballast.providers import door, installed, orders
from ballast.providers.orders import Order
from ballast.providers.provider import (
    GARBAGE,
    Dispute,
    Event,
    Payment,
    Provider,
    ProviderError,
    TellsOfDisputes,
)
from dbcore import outbox
from dbcore.fingerprints import fingerprint
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import provider_payments
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

TASK = "workers.payments.sweep"
SECONDS_MAX = 30.0
"""For all providers. What was handed in by then stays so."""

OVERLAP_SECONDS = 86_400.0
"""Before the end of the last sweep: what is told late is dated earlier."""

DISPUTE_SECONDS = 120 * 86_400.0
"""A dispute is decided within so long, and is listed by when it began."""

PAGE = 200


def sweep(
    settings: Settings,
    engine: GuardedEngine,
    *,
    seconds_max: float = SECONDS_MAX,
    clock: Callable[[], float] = time.time,
) -> int:
    """How many payments were handed in. Raises DatabaseAway. A provider that does not answer is asked again later."""
    if is_replaced():
        return 0
    handed_in = 0
    for provider in installed.providers(settings).values():
        began = clock()
        last = provider_payments.swept_to(engine, provider.name)
        since = (began if last is None else last) - OVERLAP_SECONDS
        try:
            handed_in += asyncio.run(_swept(provider, since, settings, engine, seconds_max))
        except (ProviderError, TimeoutError, *GARBAGE) as error:
            log.warning(
                "provider_sweep_broken_off", provider=provider.name, error=f"{type(error).__name__}: {error}"
            )
            continue
        provider_payments.note_swept(engine, provider.name, began)
    if handed_in:
        log.warning("provider_payments_found", handed_in=handed_in)
        outbox.announce()
    return handed_in


def is_replaced() -> bool:
    """Whether an app books payments by itself, and knows which it has."""
    return INSTALLED.handlers[RecordProviderPayment.kind].replaced_by is not None


def payment_of(job: RecordProviderPayment) -> Payment:
    return Payment(
        id=job.payment_id,
        amount=job.paid,
        currency=job.paid_currency,
        order=job.order,
        paid_at=job.paid_at,
        refunded=job.refunded,
        fee=job.fee,
    )


async def _swept(
    provider: Provider, since: float, settings: Settings, engine: GuardedEngine, seconds_max: float
) -> int:
    handed_in = 0
    try:
        async with asyncio.timeout(seconds_max):
            if isinstance(provider, TellsOfDisputes):
                found = [each async for each in provider.disputes_since(since - DISPUTE_SECONDS)]
                handed_in += await asyncio.to_thread(_hand_in_disputes, provider.name, found, engine)
            async for page in pages(provider, since, settings):
                listed = [payment for payment, _ in page]
                handed_in += await asyncio.to_thread(hand_in, provider.name, listed, engine)
        return handed_in
    finally:
        await provider.close()


async def pages(
    provider: Provider, since: float, settings: Settings
) -> AsyncIterator[list[tuple[Payment, Order]]]:
    """Its payments that this bot asked for: others may have the same account with the provider."""
    page: list[tuple[Payment, Order]] = []
    async for payment in provider.payments_since(since):
        order = orders.read(payment.order, settings)
        if order is not None:
            page.append((payment, order))
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def hand_in(name: str, page: list[Payment], engine: GuardedEngine) -> int:
    """Those that are news, in one transaction with the look at which are."""
    jobs = [door.job_of(name, _as_event(payment)) for payment in page]
    listed = [
        {"place": place, **job.model_dump(include={"event_id", "payment_id", "refunded", "fee"})}
        for place, job in enumerate(jobs)
    ]

    def work(connection: Connection) -> int:
        found = provider_payments.news(connection, engine.schema, name, listed)
        for place in found:
            job = jobs[place]
            outbox.add(connection, engine.schema, job, key=f"swept:{job.mark}", telegram_id=None)
        return len(found)

    return engine.call(work, name="provider_payments.hand_in", replayable=True)


def _hand_in_disputes(name: str, found: list[Dispute], engine: GuardedEngine) -> int:
    """As `hand_in`; they are few."""
    jobs = [door.job_of(name, _as_event(dispute)) for dispute in found]
    listed = [
        {"place": place, "dispute_id": each.id, "state": each.state} for place, each in enumerate(found)
    ]

    def work(connection: Connection) -> int:
        news = provider_payments.news_of_disputes(connection, engine.schema, name, listed)
        for place in news:
            job = jobs[place]
            outbox.add(connection, engine.schema, job, key=f"swept:{job.mark}", telegram_id=None)
        return len(news)

    return engine.call(work, name="provider_payments.hand_in_disputes", replayable=True) if found else 0


def _as_event(subject: Payment | Dispute) -> Event:
    said = json.dumps(asdict(subject), sort_keys=True)
    return Event(f"swept:{fingerprint(subject.id, said)}", said, subject)
