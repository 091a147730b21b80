"""What became of jobs that could not be done: looked at, done again, or given up by an operator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ballast.builtin.users import Quarantine
from ballast.inbox import Acceptance, Inbox, Publisher
from ballast.queueing.envelope import Envelope
from dbcore import failed_operations
from dbcore.admin_actions import AdminAction
from dbcore.failed_operations import FailedOperation, Filters
from dbcore.guard.engine import GuardedEngine
from dbcore.sentences import Refusal, sentence

PAGE = 100


_DEALT_WITH = {
    "retried": sentence("{reference} was retried already"),
    "discarded": sentence("{reference} was discarded already"),
}


class FailedJobRefused(Refusal):
    """What was asked cannot be done with this failed job now. It says why, and what there is instead, in one sentence
    that begins small and has no full stop.
    """


def open_ones(engine: GuardedEngine, limit: int) -> list[FailedOperation]:
    """The oldest that nobody dealt with yet."""
    return failed_operations.list_open(engine, limit)


def each_matching(engine: GuardedEngine, filters: Filters) -> Iterator[FailedOperation]:
    """All that are open and match, the oldest first; a page of them is in memory. What fails anew comes once."""
    last = 0
    while found := failed_operations.open_matching(engine, filters, after=last, limit=PAGE):
        last = found[-1].id
        yield from found


def described(engine: GuardedEngine, reference: str) -> dict[str, Any]:
    """All that is known of one, open or not, as JSON values."""
    letter = _found(engine, reference)
    return {**asdict(letter), "created_at": letter.created_at.isoformat()}


def retry(
    engine: GuardedEngine, inbox: Inbox, publisher: Publisher, reference: str, order: AdminAction
) -> None:
    """Queue the job again, under its own id and so its own idempotency key.

    On record first, closed after: should this end in between, the job is done and the letter still open, and a
    second retry changes nothing. The other way round the job would be lost. Should it fail again before the letter
    is closed, the letter stays open.
    """
    letter = _open(engine, reference)
    if letter.kind == Quarantine.kind:
        raise FailedJobRefused(
            sentence(
                "{reference} is an update that could not be read, so there is no job to queue; ask its sender to "
                "write again, and discard it",
                reference=reference,
            )
        )
    receipt = inbox.revive(Envelope.model_validate(letter.payload))
    if receipt.status is not Acceptance.ACCEPTED:
        raise FailedJobRefused(
            sentence(
                "{reference} could not be queued ({status}), and stays open; try again later",
                reference=reference,
                status=str(receipt.status),
            )
        )
    failed_operations.resolve(engine, letter, "retried", order)
    if receipt.dispatch is not None:
        publisher.publish(receipt.dispatch)


def discard(engine: GuardedEngine, reference: str, order: AdminAction) -> None:
    """Close it without doing it."""
    if not failed_operations.resolve(engine, _open(engine, reference), "discarded", order):
        raise FailedJobRefused(
            sentence("{reference} failed again just now; look at it once more", reference=reference)
        )


def _open(engine: GuardedEngine, reference: str) -> FailedOperation:
    letter = _found(engine, reference)
    if letter.status != "open":
        raise FailedJobRefused(_DEALT_WITH[letter.status].having(reference=reference))
    return letter


def _found(engine: GuardedEngine, reference: str) -> FailedOperation:
    letter = failed_operations.find(engine, reference.strip().upper())
    if letter is None:
        raise FailedJobRefused(
            sentence(
                "there is no failed job {reference}; `ballast jobs list` shows those there are",
                reference=repr(reference),
            )
        )
    return letter
