"""What people paid by a provider beside Telegram, and got back: one SQL function brings the ledger to where a payment
stands, so that what a provider tells may come again, late and in any order.

What was refunded is taken back even if it was spent: what is missing is a debt, as of Stars. So is what the payer's
bank disputes, until that is won.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from dbcore.fingerprints import fingerprint
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import Outcome, OutcomeStatus, RejectionReason
from dbcore.qualified_names import qualified
from dbcore.text import storable, storable_json

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dbcore.guard.engine import GuardedEngine

_BOOK_SQL = (
    "SELECT * FROM ballast.ledger_provider"
    "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s::bigint))"
)
_NEWS_SQL = """
SELECT n.place FROM json_to_recordset(%s) AS n (place int, event_id text, payment_id text, refunded bigint, fee bigint)
 WHERE NOT EXISTS (SELECT FROM ballast.provider_events e WHERE e.provider = %s AND e.event_id = n.event_id)
   AND NOT EXISTS (SELECT FROM ballast.provider_payments p WHERE p.provider = %s AND p.payment_id = n.payment_id
                   AND p.refunded >= n.refunded AND (n.fee IS NULL OR p.fee IS NOT NULL))
 ORDER BY n.place
"""
_DISPUTE_SQL = "SELECT * FROM ballast.provider_dispute(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_DISPUTES_SQL = "SELECT * FROM ballast.ledger_provider_disputes(%s, %s, %s)"
_NEWS_OF_DISPUTES_SQL = """
SELECT n.place FROM json_to_recordset(%s) AS n (place int, dispute_id text, state text)
 WHERE NOT EXISTS (SELECT FROM ballast.provider_disputes d WHERE d.provider = %s AND d.dispute_id = n.dispute_id
                   AND (d.state = n.state OR d.state <> 'open'))
 ORDER BY n.place
"""
# What could not be booked stays.
_PRUNE_SQL = """
WITH old AS (
    SELECT provider, event_id FROM ballast.provider_events
     WHERE problem IS NULL AND created_at < now() - make_interval(days => %s)
     ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM ballast.provider_events e USING old
     WHERE e.provider = old.provider AND e.event_id = old.event_id AND e.problem IS NULL RETURNING 1
) SELECT count(*) FROM gone
"""
PRUNED_AT_ONCE = 500
_PROBLEM_SQL = (
    "UPDATE ballast.provider_events SET problem = coalesce(problem, %s) WHERE provider = %s AND event_id = %s"
)
_SWEPT_TO_SQL = "SELECT extract(epoch FROM swept_to)::float8 FROM ballast.provider_sweeps WHERE provider = %s"
_NOTE_SWEPT_SQL = (
    "INSERT INTO ballast.provider_sweeps AS s (provider, swept_to) VALUES (%s, to_timestamp(%s)) "
    "ON CONFLICT (provider) DO UPDATE SET swept_to = greatest(s.swept_to, EXCLUDED.swept_to)"
)


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """What a provider told. mark -- the same for the same words. payment -- how it stands, as JSON values."""

    provider: str
    id: str
    mark: str
    payment: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ProviderCharge:
    """How a payment stands, and whom it is credited to.

    paid, refunded, fee -- minor units of the provider's currency; refunded is all so far, fee None while unknown. More
        than was paid is no fee, and not booked.
    amount -- minor units that it is credited as. paid_at -- seconds since 1970.
    """

    payment_id: str
    telegram_id: int
    paid: int
    paid_currency: str
    amount: int
    refunded: int
    fee: int | None
    paid_at: int


DisputeState = Literal["open", "won", "lost"]


@dataclass(frozen=True, slots=True)
class ProviderDispute:
    """How a dispute about a payment stands. disputed -- minor units of the provider's currency."""

    dispute_id: str
    payment_id: str
    disputed: int
    paid_currency: str
    state: DisputeState


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeOutcome(Outcome):
    """KEY_REUSED: the event, or the dispute, is known with other words, and nothing was booked.

    event_is_new -- this job recorded it, now or when it ran before. telegram_id, number -- of its payment and the
    receipt's; None if it is not known here, or not yet. taken -- what this job took, now or when it ran before; below
    zero: gave back. balance -- now; below zero for a debt.
    """

    event_is_new: bool = False
    telegram_id: int | None = None
    number: int | None = None
    taken: int = 0
    balance: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOutcome(Outcome):
    """What was booked. KEY_REUSED: the event, or the payment, is known with other words, and nothing was booked.

    event_is_new -- this job recorded it, now or when it ran before.
    contradicts -- the event said something else before.
    number -- the receipt's; None if the payment was never credited.
    credited, taken -- what this job credited and took back, in minor units, now or when it ran before.
    disputed -- what it took because its payer's bank had done so before it was known here.
    balance -- now; below zero for a debt.
    """

    event_is_new: bool
    contradicts: bool
    number: int | None
    transfer_id: int | None
    credited: int
    taken: int
    balance: int | None
    disputed: int = 0


class Problem(StrEnum):
    """Why what a provider told is not booked, and somebody is to look into it."""

    CONTRADICTED = "contradicted"
    NOT_AS_ASKED = "not_as_asked"
    REFUSED = "refused"


def book(
    engine: GuardedEngine,
    event: ProviderEvent,
    charge: ProviderCharge | None,
    *,
    job_id: str,
    problem: Problem | None = None,
) -> ProviderOutcome:
    """Record the event and bring the ledger to where its payment stands. charge -- None if it is only recorded.
    problem -- why it is; None for a payment that is another program's.

    Raises ValueError for an amount that no account can be credited with.
    """
    if charge is not None and not (0 < charge.amount <= MAX_AMOUNT and 0 <= charge.refunded <= charge.paid):
        raise ValueError(
            f"a payment of {charge.paid}, {charge.refunded} refunded, is no {charge.amount} minor units"
        )
    parameters = (
        event.provider,
        storable(event.id),
        event.mark,
        json.dumps(storable_json(event.payment)),
        job_id,
        *_parameters(event.provider, charge, engine.currency),
    )

    def work(connection: Connection) -> ProviderOutcome:
        row = connection.exec_driver_sql(qualified(_BOOK_SQL, engine.schema), parameters).one()
        outcome = _outcome(tuple(row), charge, engine.currency)
        if outcome.reason is None and charge is not None:
            disputed = _settle(connection, engine, event.provider, charge.payment_id, job_id)
            outcome = replace(
                outcome,
                reason=disputed.reason,
                disputed=disputed.taken,
                balance=disputed.balance,
                balances_now=disputed.balances_now,
            )
        found = problem
        if outcome.reason is not None:
            is_known = outcome.reason is RejectionReason.KEY_REUSED
            found = Problem.CONTRADICTED if is_known else Problem.REFUSED
        if found is not None:
            noted = (found, event.provider, storable(event.id))
            connection.exec_driver_sql(qualified(_PROBLEM_SQL, engine.schema), noted)
        return outcome

    return engine.call(work, name="provider_payments.book", replayable=True)


def dispute(
    engine: GuardedEngine, event: ProviderEvent, told: ProviderDispute, *, job_id: str
) -> DisputeOutcome:
    """Record what was told of a dispute, and bring the ledger to where it stands: an open one is taken from the payer,
    also of what was spent, and given back once it is won. If its payment is not known here, that is done with it.
    """
    parameters = (
        event.provider,
        storable(event.id),
        event.mark,
        json.dumps(storable_json(event.payment)),
        job_id,
        storable(told.dispute_id),
        storable(told.payment_id),
        told.disputed,
        storable(told.paid_currency),
        told.state,
    )

    def work(connection: Connection) -> DisputeOutcome:
        row = connection.exec_driver_sql(qualified(_DISPUTE_SQL, engine.schema), parameters).one()
        reason, is_new = row
        if reason is None:
            outcome = _settle(connection, engine, event.provider, told.payment_id, job_id)
            outcome = replace(outcome, event_is_new=is_new)
        else:
            outcome = DisputeOutcome(
                status=OutcomeStatus.REJECTED, reason=RejectionReason(reason), event_is_new=is_new
            )
        if outcome.reason is not None:
            is_known = outcome.reason is RejectionReason.KEY_REUSED
            found = Problem.CONTRADICTED if is_known else Problem.REFUSED
            noted = (found, event.provider, storable(event.id))
            connection.exec_driver_sql(qualified(_PROBLEM_SQL, engine.schema), noted)
        return outcome

    return engine.call(work, name="provider_payments.dispute", replayable=True)


def _settle(
    connection: Connection, engine: GuardedEngine, provider: str, payment_id: str, job_id: str
) -> DisputeOutcome:
    row = connection.exec_driver_sql(
        qualified(_DISPUTES_SQL, engine.schema), (provider, storable(payment_id), job_id)
    ).one()
    reason, number, telegram_id, _, taken, balance, version = row
    seen = () if version is None else (BalanceSnapshot(telegram_id, engine.currency, balance, version),)
    return DisputeOutcome(
        status=OutcomeStatus.APPLIED if reason is None else OutcomeStatus.REJECTED,
        reason=None if reason is None else RejectionReason(reason),
        telegram_id=telegram_id,
        number=number,
        taken=taken or 0,
        balance=balance,
        balances_now=seen,
    )


def _outcome(row: tuple[Any, ...], charge: ProviderCharge | None, currency: str) -> ProviderOutcome:
    status, reason, is_new, contradicts, number, transfer_id, credited, taken, balance, version = row
    seen = (
        ()
        if charge is None or version is None
        else (BalanceSnapshot(charge.telegram_id, currency, balance, version),)
    )
    return ProviderOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        event_is_new=is_new,
        contradicts=contradicts,
        number=number,
        transfer_id=transfer_id,
        credited=charge.amount if credited and charge is not None else 0,
        taken=taken,
        balance=balance,
        balances_now=seen,
    )


def _parameters(provider: str, charge: ProviderCharge | None, currency: str) -> tuple[Any, ...]:
    if charge is None:
        return ("", "", None, 0, "", 0, currency, 0, None, 0)
    payment_id, paid_currency = storable(charge.payment_id), storable(charge.paid_currency)
    mark = fingerprint(
        "provider payment",
        provider,
        payment_id,
        charge.telegram_id,
        charge.paid,
        paid_currency,
        charge.amount,
        currency,
    )
    return (
        payment_id,
        mark,
        charge.telegram_id,
        charge.paid,
        paid_currency,
        charge.amount,
        currency,
        charge.refunded,
        None if charge.fee is None or charge.fee > charge.paid else charge.fee,
        charge.paid_at,
    )


def prune(engine: GuardedEngine, days: int) -> int:
    """Forget the oldest events that are older than that; how many it were. What they led to is kept by payment, so one
    that comes again after that books nothing more.
    """
    (count,) = engine.fetch_row(_PRUNE_SQL, (days, PRUNED_AT_ONCE), name="provider_payments.prune")
    return int(count)


def news(
    connection: Connection, schema: str | None, provider: str, listed: Sequence[dict[str, Any]]
) -> list[int]:
    """The places of those that the ledger does not have as they stand, of at most a page of a provider's list.

    listed -- place, event_id, payment_id, refunded and fee of each.
    """
    parameters = (json.dumps(storable_json(list(listed))), provider, provider)
    return [row[0] for row in connection.exec_driver_sql(qualified(_NEWS_SQL, schema), parameters)]


def news_of_disputes(
    connection: Connection, schema: str | None, provider: str, listed: Sequence[dict[str, Any]]
) -> list[int]:
    """As `news`. listed -- place, dispute_id and state of each."""
    parameters = (json.dumps(storable_json(list(listed))), provider)
    found = connection.exec_driver_sql(qualified(_NEWS_OF_DISPUTES_SQL, schema), parameters)
    return [row[0] for row in found]


def swept_to(engine: GuardedEngine, provider: str) -> float | None:
    """Up to when all payments were looked for, seconds since 1970; None if they never were."""
    rows = engine.fetch_rows(_SWEPT_TO_SQL, (provider,), name="provider_payments.swept_to", writes=False)
    return rows[0][0] if rows else None


def note_swept(engine: GuardedEngine, provider: str, until: float) -> None:
    """until -- seconds since 1970. An earlier one changes nothing."""
    engine.call(
        lambda connection: connection.exec_driver_sql(
            qualified(_NOTE_SWEPT_SQL, engine.schema), (provider, until)
        ),
        name="provider_payments.note_swept",
        replayable=True,
    )
