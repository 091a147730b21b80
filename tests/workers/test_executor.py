"""What becomes of a job whose step failed, by a worker process's own hands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from ballast.builtin.balances import AdjustBalance, ShowBalance
from ballast.jobs import Job
from ballast.messages import Message
from ballast.queueing.envelope import Envelope
from ballast.queueing.snooze import Snoozed
from dbcore.errors import DatabaseAway, Unavailable
from dbcore.failures import FailureKind
from dbcore.ledger.balance_cache import BalanceSnapshot
from devstack.ports import free_port
from tests.conftest import MakeSettings
from workers.context import WorkerContext
from workers.executor import execute
from workers.task_context import TaskContext

PERSON = 7


@pytest.fixture
def worker(make_settings: MakeSettings, redis_url: str) -> Iterator[WorkerContext]:
    """This process is one, with nobody at its database's address. It neither beats nor follows the fleet."""
    settings = make_settings(
        database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/none", redis_url=redis_url
    )
    app = Celery("tests", broker=redis_url, set_as_current=False)
    made = WorkerContext(settings, app, forked=False)
    made.inbox.balances.note(BalanceSnapshot(PERSON, settings.currency, 150, 3), ago_seconds=60)
    yield made
    made.engine.dispose()
    made.redis.close()
    app.close()


def accept(worker: WorkerContext, job: Job, *, failure: str | None = None) -> None:
    envelope = Envelope.of(job, job_id="a", lane="user:7", chat_id=PERSON)
    worker.inbox.accept(envelope, failure=failure)


def carry(worker: WorkerContext, raised: Exception) -> None:
    """Carry the job out, which ends so."""

    def apply(_: TaskContext[ShowBalance]) -> list[Message]:
        raise raised

    execute(worker, ShowBalance, apply, "task", "balances", {"job_id": "a"})


def field(worker: WorkerContext, name: str) -> str | None:
    value = worker.redis.hget("ballast:inbox:job:a", name)
    return value.decode() if isinstance(value, bytes) else None


def waiting(worker: WorkerContext) -> list[str]:
    """Who is to be told that they wait for the database."""
    with worker.inbox.take_waiting(10) as found:
        return [each.envelope.job_id for each in found]


def test_a_job_that_is_put_off_tells_nobody_of_a_technical_problem(worker: WorkerContext) -> None:
    """An admin's broadcast command waits for its chat's turn; the database has nothing to do with it."""
    accept(worker, ShowBalance(telegram_id=PERSON))
    for _ in range(3):
        carry(worker, Snoozed(0))
    assert waiting(worker) == []
    assert field(worker, "deliveries") == "0"


def test_what_nobody_knows_to_have_arrived_is_counted_where_the_job_says_so(worker: WorkerContext) -> None:
    accept(worker, ShowBalance(telegram_id=PERSON))
    seen: list[int] = []

    def apply(task: TaskContext[ShowBalance]) -> list[Message]:
        seen.append(task.uncertain)
        raise Snoozed(0, uncertain=True)

    for _ in range(3):
        execute(worker, ShowBalance, apply, "task", "balances", {"job_id": "a"})
    assert seen == [0, 1, 2]


SATURATED = Unavailable(FailureKind.SATURATION, 0.0)


@pytest.mark.parametrize("away", [SATURATED, Unavailable(FailureKind.UNKNOWN_OUTCOME, 0.0)])
def test_one_failed_call_while_calls_are_let_through_is_tried_again_before_anybody_is_told(
    worker: WorkerContext, away: DatabaseAway
) -> None:
    accept(worker, ShowBalance(telegram_id=PERSON))
    carry(worker, away)
    assert field(worker, "reply") is None
    assert waiting(worker) == []
    carry(worker, away)
    assert "1.50" in (field(worker, "reply") or "")


def test_while_the_breaker_is_open_the_last_known_balance_is_the_answer_at_once(
    worker: WorkerContext,
) -> None:
    worker.engine.breaker.force_open()
    accept(worker, ShowBalance(telegram_id=PERSON))
    carry(worker, SATURATED)
    assert "1.50" in (field(worker, "reply") or "")


def test_what_is_reserved_of_the_last_known_balance_is_said_too(worker: WorkerContext) -> None:
    seen = BalanceSnapshot(PERSON, worker.settings.currency, 150, 3, 40)
    worker.inbox.balances.note(seen, ago_seconds=30)
    worker.engine.breaker.force_open()
    accept(worker, ShowBalance(telegram_id=PERSON))
    carry(worker, SATURATED)
    told = field(worker, "reply") or ""
    assert "1.50" in told
    assert "0.40" in told and "1.10" in told and "is available" in told


def test_a_job_that_changes_something_is_told_to_wait_from_its_second_failed_call(
    worker: WorkerContext,
) -> None:
    accept(worker, AdjustBalance(telegram_id=PERSON, amount=1))

    def apply(_: TaskContext[AdjustBalance]) -> list[Message]:
        raise SATURATED

    told: list[list[str]] = []
    for _ in range(2):
        execute(worker, AdjustBalance, apply, "task", "balances", {"job_id": "a"})
        told.append(waiting(worker))
    assert told == [[], ["a"]]


def test_a_failed_job_that_cannot_be_recorded_yet_is_not_answered_from_memory(worker: WorkerContext) -> None:
    """Its record would say both, and go round in the queue of answers."""
    accept(worker, ShowBalance(telegram_id=PERSON), failure="it was wrong from the start")
    for _ in range(3):
        carry(worker, AssertionError("the recording comes first"))
    assert field(worker, "unavailable") == "3"
    assert field(worker, "failure") == "it was wrong from the start"
    assert field(worker, "reply") is None
