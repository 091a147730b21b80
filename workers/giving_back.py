"""How a job goes back to the inbox when a step of it ended without a result, and when it is due again."""

from __future__ import annotations

import random
from collections.abc import Iterable

import redis
import structlog
from celery.exceptions import SoftTimeLimitExceeded

from ballast.apps.installed import INSTALLED
from ballast.chat.notices import answer_without_database
from ballast.inbox import Claim
from ballast.jobs import Discard, JobInvalid
from ballast.messages import to_json
from ballast.queueing.envelope import Envelope
from ballast.queueing.kinds import READING_KINDS
from ballast.queueing.snooze import Snoozed
from dbcore.breaker.rules import BreakerState
from dbcore.errors import DatabaseAway, OutcomeUnknown
from dbcore.failures import FailureKind
from workers.context import WorkerContext

log = structlog.get_logger(__name__)

DELIVERIES_MAX = 5
"""A job that was claimed this often and never finished kills its workers: it is parked."""

RECORD_AGAIN_SECONDS_MAX = 60

SLOW_AGAIN_SECONDS_MAX = 60

GIVEN_BACK_SECONDS_MAX = 5.0
"""While the fleet's breaker is open the rescuer holds it back anyway, until it closes and not until a time."""

UNWRITABLE_SECONDS = (2.0, 5.0)
"""A full or read-only database leaves the queues open, for it can be read: what it refused all the same, such as the
balance of somebody new, comes again after a while that is drawn from these.
"""


def give_back(worker: WorkerContext, claim: Claim, error: Exception, failure: str | None) -> None:
    """A step of the job ended with `error`: what becomes of it now.

    failure -- of the job, where recording that was the step. Raises redis.RedisError: the record stays as it is then,
    and the heartbeat gives the job back.
    """
    job_id = claim.envelope.job_id
    match error:
        case DatabaseAway() if is_slow_itself(worker, error):
            given_up = claim.failure is None and failure is None and claim.deliveries >= DELIVERIES_MAX
            log.warning("job_too_slow", deliveries=claim.deliveries, given_up=given_up)
            if given_up:
                failure = (
                    f"gave up after {DELIVERIES_MAX} tries that each took too long, while the database was well "
                    f"(DB_DEADLINE_SECONDS is {worker.settings.db_deadline_seconds:g})"
                )
            worker.inbox.release(
                job_id,
                worker.owner,
                delay_seconds=0 if given_up else min(2**claim.deliveries, SLOW_AGAIN_SECONDS_MAX),
                failure=failure,
            )
        case DatabaseAway():
            give_back_unavailable(worker, claim, error, failure)
        case Snoozed():
            worker.inbox.release(
                job_id,
                worker.owner,
                delay_seconds=_until_deadline(claim, error.seconds),
                uncertain=claim.uncertain + 1 if error.uncertain else None,
                begun=True,
                count_delivery=False,
                later=True,
            )
        case redis.RedisError():
            raise error
        case SoftTimeLimitExceeded():
            # The clock ran, not the job: a frozen host, say. What it did is found by its key.
            log.warning("time_limit", deliveries=claim.deliveries)
            worker.inbox.release(job_id, worker.owner, delay_seconds=0)
        case _ if (
            failure is None
            and claim.failure is None
            and (again_after := _next_try_seconds(claim, error)) is not None
        ):
            tries = claim.tries + 1
            log.warning("job_tried", tries=tries, exc_info=error)
            worker.inbox.release(
                job_id,
                worker.owner,
                delay_seconds=again_after,
                tries=tries,
                begun=True,
                count_delivery=False,
                later=True,
            )
        case _:
            log.error("job_failed", exc_info=error)
            # Given back with its failure, and due at once: recording that is a step of its own, which may wait too.
            # Should the recording be what fails, the first failure stays, and the next try waits longer each time.
            again = 0 if claim.failure is None else min(2**claim.deliveries, RECORD_AGAIN_SECONDS_MAX)
            worker.inbox.release(
                job_id,
                worker.owner,
                delay_seconds=again,
                failure=claim.failure or f"{type(error).__name__}: {error}"[:2000],
            )


def give_back_unavailable(
    worker: WorkerContext, claim: Claim, away: DatabaseAway, failure: str | None
) -> None:
    """The job met an unavailable database. As `give_back`."""
    log.warning("database_away", kind=away.kind, retry_after_seconds=round(away.retry_after_seconds, 3))
    # While calls are let through, one that failed says little: the job is tried again before anybody is told.
    tell = claim.unavailable > 0 or not lets_calls_through(worker)
    has_failed = failure is not None or claim.failure is not None
    begun = claim.envelope.kind not in READING_KINDS and (claim.begun or isinstance(away, OutcomeUnknown))
    worker.inbox.release(
        claim.envelope.job_id,
        worker.owner,
        delay_seconds=_again_after(away),
        failure=failure,
        unavailable=claim.unavailable + 1,
        count_delivery=False,
        tell=tell,
        begun=begun,
        reply=_from_memory(worker, claim.envelope) if tell and not has_failed and not begun else None,
    )


def hand_back(worker: WorkerContext, claims: Iterable[Claim], *, count_delivery: bool = False) -> None:
    """Give back what was claimed and not begun, for any process to do at once.

    count_delivery -- it was begun, and is to be done by itself.
    """
    for claim in claims:
        job_id = claim.envelope.job_id
        try:
            worker.inbox.release(
                job_id, worker.owner, delay_seconds=0, count_delivery=count_delivery, begun=count_delivery
            )
        except redis.RedisError as error:
            log.warning("not_handed_back", job_id=job_id, error=type(error).__name__)  # the heartbeat does it
        finally:
            worker.in_flight.drop(job_id)


def _from_memory(worker: WorkerContext, envelope: Envelope) -> str | None:
    """The answer that needs no database, where there is one: the job is then done but for sending it."""
    paused = worker.engine.breaker.snapshot().state is BreakerState.FORCED_OPEN
    answer = answer_without_database(
        envelope, worker.inbox.balances, worker.inbox.answers, worker.settings, paused=paused
    )
    return None if answer is None else to_json(answer)


def lets_calls_through(worker: WorkerContext) -> bool:
    return worker.engine.snapshot().state in {BreakerState.CLOSED, BreakerState.DISABLED}


def is_slow_itself(worker: WorkerContext, away: DatabaseAway) -> bool:
    """Whether it is the job that took too long: the breaker lets calls through, and the database answers another
    statement at once. A server that froze just now does not.
    """
    return (
        away.kind is FailureKind.SLOW
        and lets_calls_through(worker)
        and worker.engine.probe(writes=False) is None
    )


def _next_try_seconds(claim: Claim, error: Exception) -> float | None:
    """After how long an app's job that raised is tried again; None if it has no attempts left, or no time."""
    handler = INSTALLED.handlers.get(claim.envelope.kind)
    if handler is None or isinstance(error, Discard | JobInvalid) or claim.tries + 1 >= handler.attempts:
        return None
    seconds, left = handler.wait_seconds(claim.tries + 1), _seconds_left(claim)
    return seconds if left is None or seconds < left else None


def is_too_late(claim: Claim) -> bool:
    left = _seconds_left(claim)
    return left is not None and left <= 0


def _seconds_left(claim: Claim) -> float | None:
    """Until the deadline of an app's job, as of when it was claimed; None if it has none."""
    handler = INSTALLED.handlers.get(claim.envelope.kind)
    if handler is None or handler.deadline is None:
        return None
    return handler.deadline - claim.waited_ms / 1000


def _until_deadline(claim: Claim, seconds: float) -> float:
    """What is to wait for longer than it has time comes back when that is over, for its user to be told."""
    left = _seconds_left(claim)
    return seconds if left is None else min(seconds, max(0.0, left))


def _again_after(away: DatabaseAway) -> float:
    if away.kind is FailureKind.STORAGE:
        return random.uniform(*UNWRITABLE_SECONDS)  # noqa: S311  no secret
    return min(away.retry_after_seconds, GIVEN_BACK_SECONDS_MAX)
