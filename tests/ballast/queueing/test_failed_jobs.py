from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from ballast.builtin.balances import ShowBalance
from ballast.builtin.users import Quarantine
from ballast.inbox import Acceptance
from ballast.queueing import failed_jobs
from ballast.queueing.envelope import Envelope, reference_of
from ballast.queueing.failed_jobs import FailedJobRefused
from dbcore import failed_operations
from dbcore.admin_actions import AdminAction
from dbcore.failed_operations import FailedOperation
from dbcore.guard.engine import GuardedEngine
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing, queueing_at

JOB = Envelope.of(ShowBalance(telegram_id=7), job_id="1-2-3", lane="user:7", chat_id=7)
REFERENCE = reference_of(JOB.job_id)


@pytest.fixture
def engine(database_url: str, make_settings: MakeSettings) -> Iterator[GuardedEngine]:
    made = GuardedEngine(make_settings(database_url=database_url))
    yield made
    made.dispose()


@pytest.fixture
def queueing(redis_url: str) -> Iterator[Queueing]:
    with queueing_at(redis_url) as ready:
        yield ready


def an_order() -> AdminAction:
    return AdminAction(uuid.uuid4().hex, "test", "dead_letter.retry", REFERENCE, 1_700_000_000.0)


def bury(engine: GuardedEngine, error: str = "boom") -> FailedOperation:
    failed_operations.record(
        engine,
        job_id=JOB.job_id,
        kind=JOB.kind,
        reference=REFERENCE,
        telegram_id=7,
        error=error,
        payload=JOB.model_dump(mode="json"),
    )
    (letter,) = failed_jobs.open_ones(engine, 10)
    return letter


def test_a_retried_letter_is_queued_under_its_own_id_and_closed(
    engine: GuardedEngine, queueing: Queueing
) -> None:
    queueing.inbox.accept(JOB)
    queueing.inbox.finish(JOB.job_id)
    assert queueing.inbox.accept(JOB).status is Acceptance.DONE
    bury(engine)
    failed_jobs.retry(engine, queueing.inbox, queueing.publisher, REFERENCE.lower(), an_order())
    assert failed_jobs.open_ones(engine, 10) == []
    assert queueing.client.llen("balances") == 1
    claim = queueing.inbox.claim(JOB.job_id, "host:1:aa")
    assert claim is not None
    assert claim.envelope == JOB


def test_a_letter_that_fails_again_is_open_again_with_the_new_error(
    engine: GuardedEngine, queueing: Queueing
) -> None:
    bury(engine)
    failed_jobs.retry(engine, queueing.inbox, queueing.publisher, REFERENCE, an_order())
    assert bury(engine, "worse").error == "worse"


def test_a_letter_that_failed_again_meanwhile_is_not_closed_by_the_earlier_look(
    engine: GuardedEngine,
) -> None:
    seen = bury(engine)
    bury(engine, "worse")
    assert not failed_operations.resolve(engine, seen, "retried", an_order())
    assert len(failed_jobs.open_ones(engine, 10)) == 1


def test_a_discarded_letter_is_closed_and_not_retried(engine: GuardedEngine, queueing: Queueing) -> None:
    bury(engine)
    failed_jobs.discard(engine, REFERENCE, an_order())
    assert failed_jobs.open_ones(engine, 10) == []
    assert failed_jobs.described(engine, REFERENCE)["status"] == "discarded"
    with pytest.raises(FailedJobRefused, match="was discarded already"):
        failed_jobs.retry(engine, queueing.inbox, queueing.publisher, REFERENCE, an_order())
    assert queueing.inbox.size() == 0


def test_an_unreadable_update_is_not_queued_again_and_stays_open(
    engine: GuardedEngine, queueing: Queueing
) -> None:
    job = Envelope.of(Quarantine(raw="{}", error="no"), job_id="1-unreadable-2", lane="1")
    failed_operations.record(
        engine,
        job_id=job.job_id,
        kind=job.kind,
        reference=reference_of(job.job_id),
        telegram_id=None,
        error="unreadable update: no",
        payload=job.model_dump(mode="json"),
    )
    with pytest.raises(FailedJobRefused, match="could not be read"):
        failed_jobs.retry(engine, queueing.inbox, queueing.publisher, reference_of(job.job_id), an_order())
    assert len(failed_jobs.open_ones(engine, 10)) == 1
    assert queueing.inbox.size() == 0


def test_a_reference_nobody_has_is_said_to_be_one(engine: GuardedEngine) -> None:
    with pytest.raises(FailedJobRefused, match="there is no failed job 'NOPE'"):
        failed_jobs.discard(engine, "NOPE", an_order())
