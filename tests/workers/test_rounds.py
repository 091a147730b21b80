"""What becomes of a round of jobs, by a worker process's own hands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from ballast import App, BatchContext, Job, JobContext
from ballast.apps.installed import INSTALLED
from ballast.builtin.balances import ShowBalance
from ballast.builtin.replies import DeliverReply
from ballast.builtin.transfers import ShowHistory
from ballast.jobs import Discard, task_name
from ballast.messages import Message
from ballast.queueing.envelope import Envelope, enqueued_lane, queue_of
from ballast.queueing.queues import QUEUES
from ballast.queueing.snooze import Snoozed
from dbcore.errors import Unavailable
from dbcore.failures import FailureKind
from devstack.ports import free_port
from tests.conftest import MakeSettings
from workers import draining, handlers, kombu_patches
from workers.context import WorkerContext
from workers.executor import execute
from workers.handlers import Handler
from workers.task_context import AsyncStep, TaskContext

ROUND = 8


@pytest.fixture
def worker(
    make_settings: MakeSettings, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerContext]:
    """This process is one, without a database or a bot: a job that is done has its answer kept on its record."""
    kombu_patches.install()
    settings = make_settings(
        database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/none", redis_url=redis_url
    )
    app = Celery("tests", broker=redis_url, set_as_current=False)
    app.conf.task_queues = {name: {"exchange": name, "routing_key": name} for name in QUEUES}
    with app.connection_for_write() as connection:
        for queue in app.amqp.queues.values():
            queue(connection).declare()
    made = WorkerContext(settings, app, forked=False)
    made.round_size.jobs = ROUND
    monkeypatch.setattr(handlers, "_handlers", {})
    yield made
    made.reply_sender.close(1)
    made.engine.dispose()
    made.redis.close()
    app.close()


class Done:
    """What the handler was called with: the jobs' ids of each call."""

    def __init__(self, worker: WorkerContext, wrong: str = "", raises: Exception | None = None) -> None:
        self.worker, self.wrong, self.raises = worker, wrong, raises
        self.calls: list[list[str]] = []
        handlers.register(Handler(ShowBalance, self.one, self.many))

    def one(self, task: TaskContext[ShowBalance]) -> list[Message] | AsyncStep:
        return self._do([task])[0]

    def many(self, tasks: Sequence[TaskContext[ShowBalance]]) -> list[list[Message]]:
        return self._do(tasks)

    def _do(self, tasks: Sequence[TaskContext[ShowBalance]]) -> list[list[Message]]:
        self.calls.append([task.job_id for task in tasks])
        if self.raises is not None and (not self.wrong or self.wrong in self.calls[-1]):
            raise self.raises
        return [task.answer(f"answer of {task.job_id}") for task in tasks]

    def run(self) -> None:
        """As Celery does with the first message."""
        assert self.worker.redis.rpop("balances") is not None
        execute(self.worker, ShowBalance, self.one, "j0", "balances", {"job_id": "j0", "place": "1"})
        eventually(lambda: not self.worker.in_flight)  # the answers under way are kept


class Report(Job, kind="author.report"):
    """An app's."""


class Give(Job, kind="author.give"):
    """An app's, done in batches."""

    telegram_id: int


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> type[Report]:
    """An app with these jobs is installed."""
    author = App("author")

    @author.job(Report, database="none")
    def make(ctx: JobContext, job: Report) -> None:
        pass

    @author.job(Give, database="none", batch=200)
    def give(ctx: BatchContext[Give], jobs: list[Give]) -> list[None]:
        return [None] * len(jobs)

    for handler in author.handlers:
        monkeypatch.setitem(INSTALLED.handlers, handler.kind, handler)
    return Report


class Batches:
    """Of Give: what the handler was called with, the jobs' numbers of each call."""

    def __init__(self, worker: WorkerContext) -> None:
        self.worker = worker
        self.calls: list[list[int]] = []
        self.raises: Callable[[list[int]], Exception | None] = lambda numbers: None
        self.of_one: dict[int, Exception] = {}
        handlers.register(Handler(Give, self._one, self._many))

    def accept(self, count: int, *, lanes: int = 1_000) -> None:
        for number in range(count):
            lane = f"lane {number % lanes}"
            receipt = self.worker.inbox.accept(
                Envelope.of(Give(telegram_id=number + 1), job_id=f"j{number}", lane=lane)
            )
            if receipt.dispatch is not None:
                self.worker.publisher.publish(receipt.dispatch)

    def run(self, job_id: str = "j0") -> None:
        """As Celery does with the first message."""
        assert self.worker.redis.rpop("replies") is not None
        execute(self.worker, Give, self._one, job_id, "replies", {"job_id": job_id, "place": "1"})
        eventually(lambda: not self.worker.in_flight)

    def _one(self, task: TaskContext[Give]) -> list[Message]:
        (result,) = self._many([task])
        if isinstance(result, Exception):
            raise result
        return result

    def _many(self, tasks: Sequence[TaskContext[Give]]) -> list[list[Message] | Exception]:
        numbers = [task.job.telegram_id - 1 for task in tasks]
        self.calls.append(numbers)
        error = self.raises(numbers)
        if error is not None:
            raise error
        return [self.of_one.get(number, []) for number in numbers]


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def accept(worker: WorkerContext, count: int = ROUND, **options: Any) -> None:
    for number in range(count):
        envelope = Envelope.of(
            ShowBalance(telegram_id=number + 1),
            job_id=f"j{number}",
            lane=f"user:{number}",
            chat_id=number + 1,
            **options,
        )
        receipt = worker.inbox.accept(envelope)
        assert receipt.dispatch is not None
        worker.publisher.publish(receipt.dispatch)


def fields(worker: WorkerContext, name: str, count: int = ROUND) -> dict[str, str]:
    found = {f"j{number}": worker.redis.hget(f"ballast:inbox:job:j{number}", name) for number in range(count)}
    return {job_id: value.decode() for job_id, value in found.items() if isinstance(value, bytes)}


def test_a_round_is_done_by_one_call_and_each_job_has_its_own_answer(worker: WorkerContext) -> None:
    accept(worker)
    done = Done(worker)
    done.run()
    assert done.calls == [[f"j{number}" for number in range(ROUND)]]
    assert {job_id: f"answer of {job_id}" in reply for job_id, reply in fields(worker, "reply").items()} == {
        f"j{number}": True for number in range(ROUND)
    }


def test_of_jobs_that_fail_together_only_the_wrong_one_fails(
    worker: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "workers.executor.HELD_SECONDS_MAX", 60.0
    )  # the console takes its time for a traceback
    accept(worker)
    done = Done(worker, wrong="j3", raises=ValueError("it is wrong"))
    done.run()
    halves = ["j0 j1 j2 j3 j4 j5 j6 j7", "j0 j1 j2 j3", "j0 j1", "j2 j3", "j4 j5 j6 j7", "j2", "j3"]
    assert done.calls == [each.split() for each in halves]
    assert fields(worker, "failure") == {"j3": "ValueError: it is wrong"}
    assert len(fields(worker, "reply")) == ROUND - 1


def test_jobs_that_meet_an_outage_together_go_back_whole_and_uncounted(worker: WorkerContext) -> None:
    accept(worker)
    done = Done(worker, raises=Unavailable(FailureKind.OUTAGE, 0.0))
    done.run()
    assert len(done.calls) == 1
    assert {*fields(worker, "deliveries").values()} == {"0"}
    assert {*fields(worker, "unavailable").values()} == {"1"}
    assert (fields(worker, "owner"), worker.round_size.jobs) == ({}, 1)
    assert len(worker.inbox.rescue(100)[1]) == ROUND


def test_one_that_waits_for_too_long_holds_up_no_other(worker: WorkerContext) -> None:
    """Together they are too slow. Those that are done without it are done."""
    accept(worker)
    done = Done(worker, wrong="j3", raises=Unavailable(FailureKind.SLOW, 0.0))
    done.run()
    assert done.calls[-2:] == [["j2"], ["j3"]]
    assert {*fields(worker, "reply")} == {f"j{number}" for number in range(ROUND) if number != 3}
    assert fields(worker, "deliveries")["j3"] == "0"
    assert {*fields(worker, "unavailable")} == {"j3"}


def test_a_slow_round_gives_the_rest_of_its_jobs_back(
    worker: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.executor.HELD_SECONDS_MAX", -1.0)
    accept(worker)
    done = Done(worker)
    handlers.register(Handler(ShowBalance, done.one))
    done.run()
    assert done.calls == [["j0"]]
    assert worker.inbox.beat(worker.owner, {}) == set()
    assert len(worker.inbox.rescue(100)[1]) == ROUND - 1


def test_a_worker_goes_on_with_what_is_ready_and_not_for_ever(
    worker: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery hands out the next message then, of another queue if jobs wait there."""
    monkeypatch.setattr(draining, "JOBS_MAX", 5)
    worker.round_size.jobs = 1
    accept(worker, count=20)
    done = Done(worker)
    done.run()
    assert [len(call) for call in done.calls] == [1, 2, 4]
    assert worker.redis.llen("balances") == 13


def test_a_kind_that_is_not_done_together_is_done_one_by_one(worker: WorkerContext) -> None:
    handlers.register(Handler(ShowHistory, lambda task: task.answer("history")))
    accept(worker, count=2)
    done = Done(worker)
    handlers.register(Handler(ShowBalance, done.one))
    done.run()
    assert done.calls == [["j0"], ["j1"]]


def test_while_the_breaker_is_open_a_worker_takes_no_more_than_it_is_handed(worker: WorkerContext) -> None:
    accept(worker)
    worker.engine.breaker.force_open()
    done = Done(worker)
    done.run()
    assert done.calls == [["j0"]]
    assert worker.redis.llen("balances") == ROUND - 1


def test_no_job_waits_in_the_process_that_does_an_app_s_job(
    worker: WorkerContext, report: type[Report]
) -> None:
    held: list[set[str]] = []

    def make(task: TaskContext[Report]) -> list[Message]:
        held.append(worker.inbox.beat(worker.owner, {}))
        return []

    def say(task: TaskContext[DeliverReply]) -> list[Message]:
        held.append(worker.inbox.beat(worker.owner, {}))
        return [*task.job.messages]

    words = DeliverReply(messages=(Message(chat_id=1, text="Hello"),))
    handlers.register(Handler(report, make))
    handlers.register(Handler(DeliverReply, say))
    for number, job in enumerate([report(), words, words, report(), words]):
        receipt = worker.inbox.accept(Envelope.of(job, job_id=f"j{number}", lane=f"lane {number}"))
        assert receipt.dispatch is not None
        assert receipt.dispatch.queue == queue_of(report.kind) == "replies"
        worker.publisher.publish(receipt.dispatch)
    assert worker.redis.rpop("replies") is not None
    execute(worker, report, make, "j0", "replies", {"job_id": "j0", "place": "1"})
    eventually(lambda: not worker.in_flight)
    assert held[0] == {"j0"}  # nothing else
    assert len(held) == 3  # those behind it, up to the next one of the app
    assert worker.redis.llen("replies") == 2
    assert task_name(report.kind).encode() in (worker.redis.lindex("replies", -1) or b"")


class Pack(Job, kind="author.pack"):
    shelf: int


def test_what_an_operator_calls_waits_in_the_lane_that_its_app_names(
    worker: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = App("author")
    author.job(Pack, database="none", lane="shelf")(lambda ctx, job: None)
    monkeypatch.setitem(INSTALLED.handlers, Pack.kind, author.jobs[Pack])
    lane = enqueued_lane("first", Pack.kind, {"shelf": 7}, None)
    worker.inbox.accept(Envelope.of(Pack(shelf=7), job_id="first", lane=lane))
    done: list[str] = []

    def pack(task: TaskContext[Pack]) -> list[Message]:
        done.append(task.job_id)
        return []

    for job_id, shelf in (("behind", 7), ("beside", 8)):
        execute(worker, Pack, pack, job_id, "apps", {"shelf": shelf})
    assert done == ["beside"]
    assert worker.redis.lrange(f"ballast:inbox:lane:{lane}", 0, -1) == [b"first", b"behind"]


def test_a_batch_has_all_that_wait_up_to_its_size_and_no_job_of_another_kind(
    worker: WorkerContext, report: type[Report]
) -> None:
    batches = Batches(worker)
    batches.accept(230)
    worker.inbox.accept(Envelope.of(report(), job_id="other", lane="other"))
    batches.run()
    assert batches.calls == [[*range(200)]]
    batches.run("j200")
    assert batches.calls[1:] == [[*range(200, 230)]]
    assert worker.redis.zcard("ballast:inbox:all") == 1  # all are finished but the other one


def test_a_job_that_waits_alone_is_a_batch_of_one(worker: WorkerContext, report: type[Report]) -> None:
    batches = Batches(worker)
    batches.accept(1)
    batches.run()
    assert batches.calls == [[0]]


def test_of_each_lane_a_batch_has_one_job_and_the_next_one_follows(
    worker: WorkerContext, report: type[Report]
) -> None:
    batches = Batches(worker)
    batches.accept(6, lanes=3)
    batches.run()
    batches.run("j3")
    assert batches.calls == [[0, 1, 2], [3, 4, 5]]


def test_a_short_job_waits_behind_no_batch(worker: WorkerContext, report: type[Report]) -> None:
    batches = Batches(worker)
    batches.accept(3)
    words = DeliverReply(messages=(Message(chat_id=1, text="Hello"),))
    handlers.register(Handler(DeliverReply, lambda task: [*task.job.messages]))
    receipt = worker.inbox.accept(Envelope.of(words, job_id="words", lane="words"))
    assert receipt.dispatch is not None
    worker.publisher.publish(receipt.dispatch)
    held: list[set[str]] = []

    def look(numbers: list[int]) -> None:
        held.append(worker.inbox.beat(worker.owner, {}))

    batches.raises = look
    batches.run()
    assert held == [{"j0", "j1", "j2"}]


def test_the_wrong_job_of_a_batch_fails_alone(worker: WorkerContext, report: type[Report]) -> None:
    """It is found by halves. What one job returns as an error is that job's, and no other is done again for it."""
    batches = Batches(worker)
    batches.raises = lambda numbers: Discard("it is wrong") if 101 in numbers else None
    batches.of_one = {7: Discard("not this one"), 8: Snoozed(3600)}
    batches.accept(200)
    batches.run()
    assert len(batches.calls) <= 2 * 8 + 2
    done = [number for call in batches.calls if 101 not in call for number in call]
    assert sorted(done) == [number for number in range(200) if number != 101]
    assert fields(worker, "failure", 200) == {"j101": "Discard: it is wrong", "j7": "Discard: not this one"}
    assert worker.redis.zcard("ballast:inbox:all") == 3  # and the one that waits


def test_a_batch_that_meets_an_outage_goes_back_whole_and_uncounted(
    worker: WorkerContext, report: type[Report]
) -> None:
    """Also if it looks like one that is slow, and the database answers nothing else either."""
    for kind in (FailureKind.OUTAGE, FailureKind.SLOW):
        batches = Batches(worker)
        batches.raises = partial(_always, Unavailable(kind, 0.0))
        batches.accept(ROUND)
        batches.run()
        assert batches.calls == [[*range(ROUND)]]
        assert {*fields(worker, "deliveries").values()} == {"0"}
        assert {*fields(worker, "unavailable").values()} == {"1"}
        assert len(worker.inbox.rescue(100)[1]) == ROUND
        worker.redis.flushdb()


def _always(error: Exception, numbers: list[int]) -> Exception | None:
    return error


def _if_several(error: Exception, numbers: list[int]) -> Exception | None:
    return error if len(numbers) > 1 else None


def test_a_batch_that_takes_too_long_is_done_one_by_one_from_then_on(
    worker: WorkerContext, report: type[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it by the task's limit, or because it fails for longer than halves are tried."""
    monkeypatch.setattr("workers.executor.SPLIT_SECONDS_MAX", 0.0)
    for error in (SoftTimeLimitExceeded(), ValueError("it is wrong")):
        batches = Batches(worker)
        batches.raises = partial(_if_several, error)
        batches.accept(ROUND)
        batches.run()
        assert len(batches.calls) == 1
        assert {*fields(worker, "deliveries").values()} == {"1"}
        for dispatch in worker.inbox.rescue(100)[1]:
            worker.publisher.publish(dispatch)
        for number in range(ROUND):
            batches.run(f"j{number}")
        assert batches.calls[1:] == [[number] for number in range(ROUND)]
        assert worker.redis.zcard("ballast:inbox:all") == 0
        worker.redis.flushdb()
