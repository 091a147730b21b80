"""Dead letters are written here: what could not be done, with a reference its user can quote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis
import structlog

from ballast.alerts import notifier
from ballast.builtin.users import Quarantine
from ballast.messages import Message
from ballast.queueing.envelope import Envelope, reference_of
from ballast.status import failed_causes
from dbcore import failed_operations
from dbcore.errors import DatabaseAway
from dbcore.failed_operations import Filters
from dbcore.ledger.users import TELEGRAM_ID_LIMIT
from workers import payment_texts, texts

if TYPE_CHECKING:
    from workers.context import WorkerContext

log = structlog.get_logger(__name__)


def record_failure(worker: WorkerContext, envelope: Envelope, failure: str) -> list[Message]:
    """Write the dead letter; what its user is told."""
    reference = reference_of(envelope.job_id)
    is_new = failed_operations.record(
        worker.engine,
        job_id=envelope.job_id,
        kind=envelope.kind,
        reference=reference,
        telegram_id=_requester_id(envelope),
        error=failure,
        payload=envelope.model_dump(mode="json"),
    )
    if is_new:
        _count_causes(worker)  # first: the alarm looks at them once the number grew
        worker.counters.count("dead_letters")
    log.error("dead_letter", reference=reference, kind=envelope.kind)
    origin = envelope.origin
    if envelope.kind == Quarantine.kind and envelope.fields.get("payment"):
        payer_id = _payer_id(envelope)
        # By the reference: should this run again, it is said once.
        notifier.enqueue_payment(
            worker.redis,
            f"payment-unreadable-{reference}",
            lambda: payment_texts.unreadable_alarm(reference, payer_id),
        )
        return [] if origin is None else [origin.publicly(payment_texts.unreadable(reference))]
    return [] if origin is None else [origin.publicly(texts.failed(reference))]


def _count_causes(worker: WorkerContext) -> None:
    """For the alarm alone, so nothing depends on it."""
    try:
        failed_causes.note(
            worker.redis,
            lambda: failed_operations.causes(worker.engine, Filters(), limit=failed_causes.SHOWN_MAX).items,
        )
    except (DatabaseAway, redis.RedisError) as error:
        log.info("causes_not_counted", error=type(error).__name__)


def _payer_id(envelope: Envelope) -> int | None:
    value = envelope.fields.get("payer_id")
    return value if type(value) is int and 0 < value < TELEGRAM_ID_LIMIT else None


def _requester_id(envelope: Envelope) -> int | None:
    value, _ = envelope.requester
    return value if type(value) is int and 0 < value < TELEGRAM_ID_LIMIT else None
