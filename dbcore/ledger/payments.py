"""What Telegram said of payments, kept as it came: once for each charge that was paid, and for each that was refunded.

Nothing is credited for it. Who owns a charge, and what it bought, is decided by whoever reads the rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dbcore.text import storable, storable_json

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine

# A statement does not see what it inserts itself: `known` is the row of another job, or of this one's first time.
_RECORD_SQL = (
    "WITH added AS (INSERT INTO ballast.payment_events "
    "(kind, charge_id, telegram_id, amount, currency, payload, details, recorded_by, said_at) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s)) ON CONFLICT (charge_id, kind) DO NOTHING RETURNING 1) "
    "SELECT EXISTS (SELECT FROM added), known.recorded_by = %s, "
    "(known.telegram_id, known.amount, known.currency) = (%s, %s, %s) "
    "FROM (VALUES (1)) one LEFT JOIN ballast.payment_events known ON known.charge_id = %s AND known.kind = %s"
)


class PaymentKind(StrEnum):
    PAID = "paid"
    REFUNDED = "refunded"


class Recorded(StrEnum):
    """What became of a payment that was to be recorded."""

    NEW = "new"  # by this job, now or at its first try
    KNOWN = "known"  # another job had recorded the same
    CONTRADICTS = (
        "contradicts"  # another job had recorded it with another payer, amount or currency; that stays
    )


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """details -- Telegram's object, whole. said_at -- the message's date, seconds since 1970."""

    kind: PaymentKind
    charge_id: str
    telegram_id: int
    amount: int
    currency: str
    payload: str
    details: dict[str, Any]
    said_at: int


def record(engine: GuardedEngine, event: PaymentEvent, *, job_id: str) -> Recorded:
    """Write it down, once for its charge and kind."""
    kind, charge_id, currency = event.kind.value, storable(event.charge_id), storable(event.currency)
    said = (event.telegram_id, event.amount, currency)
    added, ours, same = engine.fetch_row(
        _RECORD_SQL,
        (
            *(
                kind,
                charge_id,
                *said,
                storable(event.payload),
                json.dumps(storable_json(event.details)),
                job_id,
                event.said_at,
            ),
            *(job_id, *said, charge_id, kind),
        ),
        name="payments.record",
    )
    if added or ours:
        return Recorded.NEW
    # Neither: it was committed by another job while this statement waited for it, and is not seen by it.
    return Recorded.CONTRADICTS if same is False else Recorded.KNOWN
