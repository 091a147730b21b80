"""Reads Telegram's book of Stars from its beginning, and hands in what the ledger lacks.

    getStarTransactions ──▶ star_book.keep, a page and the cursor in one transaction ──▶ … ──▶ getMyStarBalance
                                     └─ killed: the next one goes on at the cursor               │
    RecordPayment, as of an update ◀── outbox ◀── star_book.finish, in one transaction ◀─────────┘

A payment whose update was lost is booked, and its payer told, by the job that its update would have been: once, also
if the update comes after all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis
import structlog
from sqlalchemy import Connection

from ballast.apps.installed import INSTALLED
from ballast.builtin.payments import RecordPayment
from ballast.reconciling import record, transactions
from ballast.reconciling.record import Finished
from ballast.telegram.stars import PAGE, StarBook
from dbcore import outbox
from dbcore.fingerprints import fingerprint
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import star_book
from dbcore.ledger.star_book import Reading
from dbcore.sentences import Refusal, sentence
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

BALANCE_TRIES = 5
"""While people pay, the balance may be newer than the last page."""


class ReconciliationRefused(Refusal):
    """There is nothing to compare: an app books payments by itself."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """There was more to read than time. transactions -- that are read."""

    transactions: int


def require_ours() -> None:
    """Raises ReconciliationRefused if the ledger does not book payments."""
    if INSTALLED.handlers[RecordPayment.kind].replaced_by is not None:
        raise ReconciliationRefused(
            sentence(
                "an app replaces RecordPayment and books payments by itself, so the ledger has none to compare"
            )
        )


def run(
    settings: Settings,
    engine: GuardedEngine,
    client: redis.Redis,
    *,
    seconds_max: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Finished | UnderWay:
    """Go on with the reading that is under way, or begin one, and end it within the time if that is enough.

    Raises ReconciliationRefused, DatabaseAway, BookUnreadable, redis.RedisError: what was read is kept.
    """
    require_ours()
    until = None if seconds_max is None else clock() + seconds_max
    record.note_begun(client)
    reading, balance = asyncio.run(_read(settings, engine, lambda: until is not None and clock() >= until))
    if balance is None:
        return UnderWay(reading.offset)
    handed_in = engine.call(
        lambda connection: _finish(connection, engine.schema, reading, *balance),
        name="star_book.finish",
        replayable=True,
    )
    record.note_ended(client)
    finished = look_again(engine, client)
    if handed_in:
        outbox.announce()
    log.info("stars_reconciled", transactions=reading.offset, handed_in=handed_in, open=finished.counted)
    return finished


def look_again(engine: GuardedEngine, client: redis.Redis) -> Finished:
    """What is left of the differences of the last finished reading. Raises LookupError if there is none."""
    reading = star_book.last(engine)
    if reading is None:
        raise LookupError("no reading was finished yet")
    return record.keep(client, reading, star_book.differences(engine))


async def _read(
    settings: Settings, engine: GuardedEngine, is_time_up: Callable[[], bool]
) -> tuple[Reading, tuple[int, int] | None]:
    """The balance is None if the time was up. No transaction came between it and the last page."""
    book = StarBook(settings)
    try:
        reading, balance, tries = star_book.begin(engine), None, 0
        while not is_time_up():
            page = [transactions.read(each, settings) for each in await book.transactions(reading.offset)]
            if not page and balance is not None:
                return reading, balance
            if page:
                reading = star_book.keep(engine, reading, page) or star_book.begin(engine)
                balance = None
            if len(page) < PAGE:
                tries += 1
                balance = await book.balance()
                if tries == BALANCE_TRIES:
                    return reading, balance
        return reading, None
    finally:
        await book.close()


def _finish(connection: Connection, schema: str | None, reading: Reading, stars: int, nanostars: int) -> int:
    """How many payments and refunds were handed in, with the end of the reading: none if somebody else ended it."""
    if not star_book.finish(connection, schema, reading, stars, nanostars):
        return 0
    missing = star_book.bookable(connection, schema)
    for is_refund, raw in missing:
        job = transactions.job_of(raw, is_refund=is_refund)
        key = f"reconciled:{job.event}:{fingerprint(job.charge_id)[:32]}"
        outbox.add(connection, schema, job, key=key, telegram_id=job.telegram_id)
    star_book.note_handed_in(connection, schema, reading, len(missing))
    return len(missing)
