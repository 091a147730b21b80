"""How a broadcast's recipients are handed out to senders, and what became of them comes back.

A sender leases some recipients, sends, and records all their results at once. The lease's number is the sender's own,
drawn before it asks: asked again with the same number, the answer is the same people, so neither a lost answer nor a
sender that starts anew leases anybody twice. Who was sending when a sender died is not the table's to know: what a
lease still holds has to be settled by somebody who does (workers/broadcasts/send_journal.py), or counts as unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dbcore.broadcasts.broadcasts import BroadcastRefused, BroadcastStatus
from dbcore.guard.engine import GuardedEngine
from dbcore.sentences import sentence
from dbcore.text import storable

LEASE_SECONDS = 120.0
"""Far above what a chunk takes. A sender that died is found sooner, by its job; this is for one whose job is gone."""

ERROR_LENGTH_MAX = 300


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    LEASED = "leased"
    SENT = "sent"
    UNKNOWN = "unknown"
    """It may have been delivered. Never sent again but by an operator's word."""
    BLOCKED = "blocked"
    """Telegram or the user themself says that nothing reaches them."""
    FAILED = "failed"


class Mark(StrEnum):
    """What a delivery says about the user."""

    REACHED = "reached"
    BLOCKED = "blocked"
    DEACTIVATED = "deactivated"
    STRIKE = "strike"
    """Telegram knows no such chat, which can be false: the second time in a row counts."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """wanted -- False for who stopped broadcasts, or blocked the bot, after the audience was taken down."""

    user_id: int
    telegram_id: int
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Lease:
    """What a sender was handed.

    status, run -- the broadcast's.
    until -- names this very lease to `record`: who takes it over gets another.
    again -- the recipients were leased under this number before, by a sender that never recorded them.
    expired -- where nothing is pending any more: numbers of leases whose time is over.
    """

    number: int
    status: BroadcastStatus
    run: int
    until: datetime
    again: bool
    recipients: tuple[Recipient, ...]
    expired: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one recipient; PENDING gives them back.

    message_ids -- what Telegram made of it: several for an album.
    """

    user_id: int
    status: DeliveryStatus
    message_ids: tuple[int, ...] = ()
    error: str | None = None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """How the broadcast stands after some results.

    recorded -- how many were the lease's to tell.
    has_card -- an admin watches it.
    """

    status: BroadcastStatus
    recorded: int
    has_card: bool


def lease(
    engine: GuardedEngine,
    broadcast_id: int,
    number: int,
    *,
    run: int | None,
    limit: int,
    seconds: float = LEASE_SECONDS,
) -> Lease:
    """Up to `limit` recipients. None where the broadcast is not sending or `run` is over (None: whichever it is).

    number -- 63 bits, drawn by the sender.
    Raises BroadcastRefused where there is no such broadcast.
    """
    status, current_run, until, again, user_ids, telegram_ids, wanted, expired = engine.fetch_row(
        "SELECT * FROM ballast.broadcast_lease(%s, %s, %s, %s, %s)",
        (broadcast_id, run, number, limit, seconds),
        name="broadcasts.lease",
    )
    if status is None:
        raise BroadcastRefused(sentence("there is no broadcast {id}", id=str(broadcast_id)))
    people = zip(user_ids or (), telegram_ids or (), wanted or (), strict=True)
    return Lease(
        number=number,
        status=BroadcastStatus(status),
        run=current_run,
        until=until,
        again=again,
        recipients=tuple(Recipient(*each) for each in people),
        expired=tuple(expired or ()),
    )


def record(
    engine: GuardedEngine,
    broadcast_id: int,
    lease: Lease,
    results: Sequence[Result],
    *,
    halt: str | None = None,
) -> Recorded:
    """Tell what became of a lease's recipients. Twice is as once.

    halt -- the broadcast stops for this reason, until an operator says otherwise.
    """
    status, recorded, has_card = engine.fetch_row(
        "SELECT * FROM ballast.broadcast_record(%s, %s, %s, %s::bigint[], %s::text[], %s::bigint[], %s::text[], "
        "%s::text[], %s::text[], %s)",
        (
            broadcast_id,
            lease.number,
            lease.until,
            [result.user_id for result in results],
            [result.status.value for result in results],
            [result.message_ids[0] if result.message_ids else None for result in results],
            [_array(result.message_ids[1:]) for result in results],
            [result.error and storable(result.error)[:ERROR_LENGTH_MAX] for result in results],
            [result.mark and result.mark.value for result in results],
            halt and storable(halt)[:ERROR_LENGTH_MAX],
        ),
        name="broadcasts.record",
    )
    return Recorded(BroadcastStatus(status), recorded, has_card)


def _array(numbers: Sequence[int]) -> str | None:
    """As PostgreSQL writes an array: an array of arrays of unequal length it does not take."""
    return f"{{{','.join(map(str, numbers))}}}" if numbers else None
