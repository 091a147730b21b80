"""Sends a broadcast from a plain program, without Celery and without Redis: lease, send, record, until all is done.

The lease in the table is all the record there is. So a program that dies leaves those it was sending to, a chunk at
most, as leased; once their lease is over they count as unknown, because any of them may have got it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import structlog

from dbcore.broadcasts import leases
from dbcore.broadcasts.broadcasts import BroadcastStatus
from dbcore.broadcasts.leases import DeliveryStatus, Lease, Recipient, Result
from dbcore.errors import DatabaseAway
from dbcore.guard.engine import GuardedEngine

log = structlog.get_logger(__name__)

Send = Callable[[int], DeliveryStatus | None]
"""Sends to one Telegram id. Returns what became of it; None is SENT. What it raises counts as UNKNOWN."""

CHUNK = 20
LEASE_SECONDS = 300.0
"""A chunk must be sent and recorded within. Longer than twenty sends that time out, one after the other."""

RECORD_SECONDS_MAX = 120.0
"""How long results wait for a database that is away, before they are given up and become unknown."""


def send_all(
    engine: GuardedEngine,
    broadcast_id: int,
    send: Send,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send to everybody who is left. Returns early where somebody pauses or cancels it, or others hold the rest.

    Raises DatabaseAway where the database does not answer; nobody is sent to then.
    """
    while True:
        lease = _leased(engine, broadcast_id, secrets.randbits(63), CHUNK)
        for number in lease.expired:
            dead = _leased(engine, broadcast_id, number, 0)
            lost = [
                Result(each.user_id, DeliveryStatus.UNKNOWN, error="its sender died")
                for each in dead.recipients
            ]
            leases.record(engine, broadcast_id, dead, lost)
        if lease.status is not BroadcastStatus.SENDING or not (lease.recipients or lease.expired):
            return
        results: list[Result] = []
        try:
            for recipient in lease.recipients:
                # Noted before it is sent: interrupted in the middle, it may have been delivered.
                results.append(Result(recipient.user_id, DeliveryStatus.UNKNOWN, error="interrupted"))
                results[-1] = _sent(send, recipient)
        finally:
            begun = {result.user_id for result in results}
            rest = [
                Result(each.user_id, DeliveryStatus.PENDING)
                for each in lease.recipients
                if each.user_id not in begun
            ]
            _record(engine, broadcast_id, lease, [*results, *rest], clock, sleep)


def _leased(engine: GuardedEngine, broadcast_id: int, number: int, limit: int) -> Lease:
    return leases.lease(engine, broadcast_id, number, run=None, limit=limit, seconds=LEASE_SECONDS)


def _sent(send: Send, recipient: Recipient) -> Result:
    if not recipient.wanted:
        return Result(
            recipient.user_id, DeliveryStatus.BLOCKED, error="stopped since the audience was taken down"
        )
    try:
        status = send(recipient.telegram_id) or DeliveryStatus.SENT
    except Exception as error:  # the caller's own code: whatever it raises, the message may be out
        log.exception("broadcast_send_failed", broadcast_recipient=recipient.user_id)
        return Result(recipient.user_id, DeliveryStatus.UNKNOWN, error=type(error).__name__)
    mark = leases.Mark.BLOCKED if status is DeliveryStatus.BLOCKED else None
    return Result(recipient.user_id, status, mark=mark)


def _record(
    engine: GuardedEngine,
    broadcast_id: int,
    lease: Lease,
    results: list[Result],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    until = clock() + RECORD_SECONDS_MAX
    while True:
        try:
            leases.record(engine, broadcast_id, lease, results)
        except DatabaseAway as away:
            if clock() + away.retry_after_seconds > until:
                log.error("broadcast_results_lost", broadcast_id=broadcast_id, recipients=len(results))
                raise
            sleep(max(0.1, away.retry_after_seconds))
        else:
            return
