"""A process that waits for Celery and for jobs without a message; also with its connection lost, or silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from ballast.builtin.balances import ShowBalance
from ballast.inbox import Answered, Inbox, Offer
from ballast.queueing.envelope import Envelope
from devstack.stack import ROOT
from workers.direct_jobs import AGAIN_SECONDS, REFUSED_SECONDS, DirectJobs

OWNER, NODE = "host:1:aa", "main@host"
CHECK_SECONDS = 5.0
SECONDS_MAX = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Pipe:
    """What Celery hands a task over by."""

    def __init__(self) -> None:
        self.end, self._writing = os.pipe()

    def fill(self) -> None:
        os.write(self._writing, b"task")

    def empty(self) -> None:
        os.read(self.end, 100)

    def close(self) -> None:
        os.close(self.end)
        os.close(self._writing)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(client: redis.Redis, inbox: Inbox, clock: Clock) -> Iterator[DirectJobs]:
    inbox.beat(OWNER, {})
    made = DirectJobs(client, inbox, OWNER, NODE, check_seconds=CHECK_SECONDS, clock=clock)
    assert made.take() is None
    until_subscribed(client)
    yield made
    made.close()


def subscribers(client: redis.Redis) -> int:
    ((_, count),) = client.pubsub_numsub(Inbox.direct_channel(OWNER))
    return int(count)


def until_subscribed(client: redis.Redis) -> None:
    until = time.monotonic() + SECONDS_MAX
    while not subscribers(client):
        assert time.monotonic() < until
        time.sleep(0.01)


def accept(inbox: Inbox, job_id: str = "a") -> None:
    envelope = Envelope.of(ShowBalance(telegram_id=7), job_id=job_id, lane=job_id, chat_id=7)
    inbox.accept_many([Offer(envelope)], publish=True)


def offer(inbox: Inbox) -> None:
    inbox.finish_many([Answered("nothing")], idle=f"{OWNER} {NODE}")


def messages(client: redis.Redis) -> int:
    return int(client.llen("balances"))


def test_it_waits_for_both(jobs: DirectJobs, inbox: Inbox, pipe: Pipe) -> None:
    offer(inbox)
    accept(inbox)
    job = jobs.wait(pipe.end, None)
    assert job is not None
    assert job.job_id == "a"
    pipe.fill()
    assert jobs.wait(pipe.end, None) is None


def test_what_came_while_it_was_busy_goes_before_the_next_task_of_celery_s(
    jobs: DirectJobs, inbox: Inbox, pipe: Pipe
) -> None:
    offer(inbox)
    accept(inbox)
    pipe.fill()
    assert jobs.wait(pipe.end, None) is not None
    assert jobs.wait(pipe.end, None) is None


def test_it_waits_for_no_longer_than_it_is_told(client: redis.Redis, inbox: Inbox, pipe: Pipe) -> None:
    jobs = DirectJobs(client, inbox, OWNER, NODE, check_seconds=CHECK_SECONDS)
    assert jobs.wait(pipe.end, 0.1) is None
    jobs.close()


def test_it_is_offered_while_it_waits_and_not_while_it_works(jobs: DirectJobs, pipe: Pipe) -> None:
    with jobs.offer() as idle:
        assert idle is None
    waiting = threading.Thread(target=jobs.wait, args=(pipe.end, None))
    waiting.start()
    until = time.monotonic() + SECONDS_MAX
    while True:
        with jobs.offer() as idle:
            if idle is not None:
                break
        assert time.monotonic() < until
    assert idle == f"{OWNER} {NODE}"
    pipe.fill()
    waiting.join()
    with jobs.offer() as idle:
        assert idle is None


def test_who_withdraws_gives_back_what_it_was_handed_and_is_handed_no_more(
    jobs: DirectJobs, inbox: Inbox, client: redis.Redis
) -> None:
    jobs._is_waiting = True
    with jobs.offer() as idle:
        inbox.finish_many([Answered("nothing")], idle=idle)
    accept(inbox, "a")
    assert messages(client) == 0
    jobs.withdraw()
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["a"]
    accept(inbox, "b")
    assert messages(client) == 1
    before = int(client.info("stats")["total_commands_processed"])
    jobs.withdraw()
    assert int(client.info("stats")["total_commands_processed"]) == before + 1, "this question itself"


def test_a_lost_connection_is_made_again_and_meanwhile_jobs_come_by_celery(
    jobs: DirectJobs, inbox: Inbox, client: redis.Redis, clock: Clock
) -> None:
    offer(inbox)
    client.client_kill_filter(_type="pubsub", skipme=True)
    accept(inbox, "a")
    assert messages(client) == 1
    assert jobs.take() is None
    assert jobs.take() is None
    assert subscribers(client) == 0, "not again at once"
    clock.now += AGAIN_SECONDS
    assert jobs.take() is None
    until_subscribed(client)
    client.delete("balances")
    offer(inbox)
    accept(inbox, "b")
    job = jobs.take()
    assert job is not None
    assert job.job_id == "b"


def test_a_silent_connection_is_asked_for_a_sign_of_life_and_is_lost_without_one(
    jobs: DirectJobs, client: redis.Redis, clock: Clock
) -> None:
    connection = jobs._pubsub.connection
    jobs.take()
    for _ in range(3):
        clock.now += CHECK_SECONDS
        jobs.take()  # asks
        assert connection.can_read(timeout=SECONDS_MAX)
        jobs.take()  # hears
        assert jobs._pubsub.connection is connection
    client.client_pause(2_000)
    clock.now += CHECK_SECONDS
    jobs.take()
    clock.now += CHECK_SECONDS
    jobs.take()
    assert jobs._pubsub.connection is None
    client.client_unpause()


def test_where_redis_refuses_the_channel_jobs_come_by_celery(
    redis_url: str, client: redis.Redis, inbox: Inbox, clock: Clock, pipe: Pipe
) -> None:
    client.acl_setuser(
        "limited", enabled=True, passwords=["+secret"], commands=["+@all"], keys=["*"], reset_channels=True
    )
    address = urlsplit(redis_url)
    limited = address._replace(netloc=f"limited:secret@{address.hostname}:{address.port}").geturl()
    inbox.beat(OWNER, {})
    try:
        with redis.Redis.from_url(limited) as theirs:
            jobs = DirectJobs(theirs, inbox, OWNER, NODE, check_seconds=CHECK_SECONDS, clock=clock)
            assert jobs.wait(pipe.end, 0) is None
            assert jobs._pubsub.connection.can_read(timeout=SECONDS_MAX)
            assert jobs.take() is None
            clock.now += AGAIN_SECONDS
            assert jobs.take() is None
            assert not jobs._pubsub.subscribed
            clock.now += REFUSED_SECONDS
            assert jobs.take() is None
            assert jobs._pubsub.subscribed, "its rights may be others by now"
            offer(inbox)
            accept(Inbox(theirs))
            jobs.close()
    finally:
        client.acl_deluser("limited")
    assert messages(client) == 1


def test_what_is_no_job_is_passed_over(
    jobs: DirectJobs, inbox: Inbox, client: redis.Redis, pipe: Pipe
) -> None:
    client.publish(Inbox.direct_channel(OWNER), b"nonsense")
    offer(inbox)
    accept(inbox)
    job = jobs.wait(pipe.end, None)
    assert job is not None
    assert job.job_id == "a"


IN_THE_POOL = """
import sys, time
from types import SimpleNamespace
from celery import current_app
from celery.concurrency.asynpool import SCHED_STRATEGY_FAIR
from celery.concurrency.prefork import TaskPool
from kombu.asynchronous import Hub, set_event_loop
from ballast.inbox import CarriedClaim, DirectJob
from workers import kombu_patches, pool

class Endless:
    "As if a job came whenever the process waits."
    def wait(self, pipe, seconds):
        return DirectJob("job", "balances", "balances.show", "1+", CarriedClaim(0, 0, False, ""))

def execute_direct(context, job):
    time.sleep(0.002)
    return True

jobs, told = Endless(), []
pool.execute_direct = execute_direct
current_app.contexts = SimpleNamespace(mine=lambda forked: SimpleNamespace(direct_jobs=jobs))
kombu_patches.install()
pool.AsynPool.on_done_directly = told.extend
hub = Hub()
set_event_loop(hub)
made = TaskPool.Pool(processes=1, sched_strategy=SCHED_STRATEGY_FAIR, synack=False, threads=False)
made.register_with_event_loop(hub)
turns, until, results = hub.create_loop(), time.monotonic() + 60, []
while not made._all_inqueues:
    next(turns)
for number in range(20):
    made.apply_async(pow, (number, 2), callback=results.append)
while (len(results) < 20 or not told) and time.monotonic() < until:
    next(turns)
print(results == [n * n for n in range(20)], {(job.job_id, job.task) for job in told})
made.terminate()
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, which nothing connects to a server."""
    env = {**os.environ, "REDIS_URL": "redis://127.0.0.1:1/0"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env=env,
    )


def test_celery_s_tasks_get_their_turn_however_many_jobs_come_without_a_message() -> None:
    done = run(IN_THE_POOL)
    assert done.stdout.strip() == "True {('job', 'workers.balances.show')}", done.stderr


WHILE_BUSY = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace
from celery import current_app
from celery.concurrency.asynpool import SCHED_STRATEGY_FAIR
from celery.concurrency.prefork import TaskPool
from kombu.asynchronous import Hub, set_event_loop
from ballast.inbox import CarriedClaim, DirectJob
from multiprocessing.connection import wait
from workers import kombu_patches, pool

class Once:
    "The process that does Celery's first task is handed a job that takes long after it."
    def wait(self, pipe, seconds):
        if wait([pipe], seconds if not tasks else 0):
            return None
        return DirectJob("job", "balances", "balances.show", "1+", CarriedClaim(0, 0, False, "")) if tasks else None

tasks = []

def task():
    tasks.append(1)
    return os.getpid()

def execute_direct(context, job):
    busy.touch()
    while not done.exists():
        time.sleep(0.01)
    tasks.clear()
    return True

folder = Path(sys.argv[1])
busy, done = folder / "busy", folder / "done"
pool.execute_direct = execute_direct
current_app.contexts = SimpleNamespace(mine=lambda forked: SimpleNamespace(direct_jobs=Once()))
kombu_patches.install()
hub = Hub()
set_event_loop(hub)
made = TaskPool.Pool(processes=3, sched_strategy=SCHED_STRATEGY_FAIR, synack=False, threads=False)
made.register_with_event_loop(hub)
turns, until, results = hub.create_loop(), time.monotonic() + 60, []
hub.call_repeatedly(0.05, lambda: None)
while len(made._all_inqueues) < 3:
    next(turns)
made.apply_async(task, callback=results.append)
while not busy.exists() and time.monotonic() < until:
    next(turns)
made.apply_async(os.getpid, callback=results.append)
while len(results) < 2 and time.monotonic() < until:
    next(turns)
print(len(set(results)), sum(map(made._worker_active, made._pool)))
done.touch()
made.terminate()
"""


def test_celery_s_task_goes_to_another_child_than_one_that_does_a_job_without_a_message(
    tmp_path: Path,
) -> None:
    done = run(WHILE_BUSY, str(tmp_path))
    assert done.stdout.strip() == "2 1", done.stderr


TOO_LONG = """
import time
from billiard.exceptions import SoftTimeLimitExceeded
from celery import current_app
from workers import pool

current_app.conf.update(task_soft_time_limit=0.2, task_time_limit=0.4)
with pool._time_limits():
    pass
time.sleep(0.5)
print("in time", flush=True)
with pool._time_limits():
    while True:
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            print("soft", flush=True)
"""


def test_a_job_without_a_message_has_the_time_limits_of_one_with_a_message() -> None:
    done = run(TOO_LONG)
    assert done.stdout.split("\n") == ["in time", "soft", ""], done.stderr
    assert done.returncode == -signal.SIGALRM
