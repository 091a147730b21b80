"""One known way to lose or double a job each, forced and not left to chance, on real worker processes.

No Telegram: jobs are offered to the inbox as the frontend does, with nobody to answer. docs/chaos.md sets the same
cases against stock Celery.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from ballast.builtin.users import GetOrCreateUser
from ballast.inbox import Dispatch, Offer
from ballast.jobs import Job
from ballast.queueing.envelope import Envelope
from devstack.redis import EmbeddedRedis
from devstack.stack import Stack
from tests.chaos.frozen_brpop import freeze_in_brpop
from tests.chaos.poison_jobs import GATE_KEY, Poison, SilentCredit, begun_key
from tests.harness.queueing import Queueing, queueing_at
from tests.harness.relay import lossy_relay
from workers.giving_back import DELIVERIES_MAX

ALICE = 5001
CREDIT = SilentCredit(telegram_id=ALICE, amount=100)
GATED = CREDIT.model_copy(update={"gated": True})


class Yard:
    """Workers and a queue, without the rest of the cluster."""

    def __init__(self, stack: Stack, queueing: Queueing) -> None:
        self.stack = stack
        self.queueing = queueing
        self.redis = queueing.client

    def start(self, name: str = "main", *, ready: int = 2) -> None:
        """A `main` worker that knows the jobs of ill will; returns once so many processes beat."""
        program = self.stack.program("main", node=name)
        argv = ["tests.chaos.app" if part == "workers" else part for part in program.argv]
        self.stack.run(name, replace(program, argv=argv))
        self.until(lambda: len(self.queueing.inbox.processes()) >= ready, f"{ready} processes beat")

    def freeze(self, name: str) -> None:
        def tree() -> list[psutil.Process]:
            head = psutil.Process(self.stack.pid(name))
            return [head, *head.children()]

        freeze_in_brpop(self.redis, tree, lambda caught: self.until(caught, "it is frozen in BRPOP"))

    def kill(self, name: str) -> None:
        """kill -9 of a worker and its children, frozen or not."""
        for child in psutil.Process(self.stack.pid(name)).children():
            child.kill()
        self.stack.kill(name)

    def offer(self, job_id: str, job: Job, *, lane: str | None = None, publish: bool = True) -> None:
        """publish -- in the same step, as the frontend does. With a worker there, that claims the job too."""
        offer = Offer(Envelope.of(job, job_id=job_id, lane=lane or job_id))
        self.queueing.inbox.accept_many([offer], publish=publish)

    def register(self) -> None:
        self.offer("register", GetOrCreateUser(telegram_id=ALICE, first_name="Alice"))
        self.until_done()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        self.stack.wait_until(condition, what)

    def until_begun(self, job_id: str, times: int = 1) -> None:
        self.until(lambda: int(self.redis.get(begun_key(job_id)) or 0) >= times, f"{job_id} begun")

    def open_gate(self) -> None:
        self.redis.set(GATE_KEY, 1)

    def until_done(self) -> None:
        self.until(lambda: self.queueing.inbox.size() == 0, "no job is on record")

    def credits(self) -> dict[str, int]:
        """How often each memo was applied."""
        rows = self.stack.query("SELECT memo, count(*) FROM transfers WHERE status = 'applied' GROUP BY memo")
        return {memo: int(count) for memo, count in rows}


@pytest.fixture
def yard(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Yard]:
    yield from _yard(tmp_path, database_url, redis_url)


@pytest.fixture
def yard_with_own_redis(tmp_path: Path, database_url: str, own_redis: EmbeddedRedis) -> Iterator[Yard]:
    yield from _yard(tmp_path, database_url, own_redis.url)


def _yard(folder: Path, database_url: str, redis_url: str) -> Iterator[Yard]:
    stack = Stack(
        folder,
        database_url=database_url,
        redis_url=redis_url,
        telegram_url="http://127.0.0.1:9",  # nobody is answered here
        CHAOS_VISIBILITY_SECONDS="2",
    )
    with queueing_at(redis_url) as queueing:
        yield Yard(stack, queueing)
        stack.stop_all()


def test_a_job_that_a_frozen_worker_swallowed_before_it_was_killed_is_done_once(yard: Yard) -> None:
    """Celery itself knows nothing of it any more: BRPOP took it, and nothing wrote down that it was delivered."""
    yard.start()
    yard.register()
    yard.freeze("main")
    yard.offer("swallowed", CREDIT)
    yard.until(lambda: yard.redis.llen("balances") == 0, "Redis handed the message out")
    assert yard.redis.hlen("unacked") == 0
    yard.kill("main")
    yard.start("second")
    yard.until_done()
    assert yard.credits() == {"swallowed": 1}


def test_a_worker_that_wakes_with_a_job_that_it_took_over_has_not_done_it_twice(yard: Yard) -> None:
    """It was frozen right after it took the job over with the message, and another one did the job meanwhile."""
    yard.start()
    yard.register()
    yard.offer("gated", GATED)
    yard.until_begun("gated")
    frozen = [psutil.Process(yard.stack.pid("main"))]
    frozen += frozen[0].children()
    for process in frozen:
        process.suspend()
    yard.start("second", ready=2)
    yard.until_begun("gated", times=2)
    yard.open_gate()
    yard.until_done()
    for process in frozen:
        process.resume()
    yard.until(lambda: "job_done" in yard.stack.log("main").partition("register")[2], "it has done it too")
    assert yard.credits() == {"gated": 1}


def test_redis_killed_while_a_job_that_was_taken_over_is_done_does_not_do_it_twice(
    yard_with_own_redis: Yard, own_redis: EmbeddedRedis
) -> None:
    yard = yard_with_own_redis
    yard.start()
    yard.register()
    yard.offer("gated", GATED)
    yard.until_begun("gated")
    own_redis.kill()
    own_redis.start()
    yard.open_gate()
    yard.until_done()
    assert yard.credits() == {"gated": 1}


def test_a_broker_connection_reset_while_a_job_runs_does_not_do_it_twice(yard: Yard) -> None:
    yard.start()
    yard.register()
    yard.offer("gated", GATED)
    yard.until_begun("gated")
    mine = yard.redis.client_id()
    for entry in yard.redis.client_list():
        if entry["id"] != str(mine):
            yard.redis.client_kill_filter(_id=entry["id"])
    yard.open_gate()
    yard.until_done()
    yard.offer("after", CREDIT)
    yard.until_done()
    assert yard.credits() == {"gated": 1, "after": 1}


def test_a_publish_that_raised_but_landed_is_done_once(yard: Yard, redis_server: EmbeddedRedis) -> None:
    yard.start()
    yard.register()
    yard.kill("main")
    envelope = Envelope.of(CREDIT, job_id="landed", lane="landed")
    dispatch = yard.queueing.inbox.accept(envelope).dispatch
    assert dispatch is not None
    assert yard.queueing.publisher.publish(dispatch)  # Redis knows the script from here on
    assert yard.redis.lpop("balances") is not None
    with lossy_relay(redis_server.port) as (port, armed):
        behind = (
            urlsplit(yard.queueing.redis_url)
            ._replace(netloc=f"{redis_server.login}@127.0.0.1:{port}")
            .geturl()
        )
        with queueing_at(behind) as robbed:
            armed.set()
            assert not robbed.publisher.publish(dispatch)
    assert yard.redis.llen("balances") == 1
    assert yard.queueing.publisher.publish(dispatch)
    yard.start("second")
    yard.until_done()
    assert yard.credits() == {"landed": 1}


def test_redis_killed_right_after_the_intake_forgets_nothing(
    yard_with_own_redis: Yard, own_redis: EmbeddedRedis
) -> None:
    yard = yard_with_own_redis
    yard.start()
    yard.register()
    yard.offer("recorded", CREDIT, publish=False)
    own_redis.kill()
    own_redis.start()
    yard.offer("published", CREDIT)
    own_redis.kill()
    own_redis.start()
    yard.until_done()
    assert yard.credits() == {"recorded": 1, "published": 1}


def test_a_job_whose_message_comes_again_while_it_is_done_is_begun_once(yard: Yard) -> None:
    """The claim finds it held and drops the copy. Celery keeps none that could come by itself."""
    yard.start()
    yard.register()
    yard.offer("long", GATED)
    yard.until_begun("long")
    assert yard.redis.hlen("unacked") == 0
    yard.queueing.publisher.publish(Dispatch("long", "balances", GATED.kind, "1"))
    yard.until(lambda: "copy_dropped" in yard.stack.log("main"), "the second copy came and was dropped")
    yard.open_gate()
    yard.until_done()
    assert int(yard.redis.get(begun_key("long")) or 0) == 1
    assert yard.credits() == {"long": 1}


def test_a_job_that_kills_its_worker_each_time_is_parked_and_the_others_go_on(yard: Yard) -> None:
    yard.start()
    yard.register()
    yard.offer("poison", Poison())
    for number in range(20):
        yard.offer(f"good-{number}", CREDIT)
    yard.until(lambda: yard.queueing.inbox.size() <= 1, "the good ones are done")
    yard.until_done()
    assert yard.credits() == {f"good-{number}": 1 for number in range(20)}
    ((job_id, error),) = yard.stack.query("SELECT job_id, error FROM failed_operations")
    assert job_id == "poison"
    assert error == f"parked after {DELIVERIES_MAX} deliveries that never finished"


def test_kill_9_of_the_rescuer_at_work_leaves_its_work_to_the_next(yard: Yard) -> None:
    yard.start()
    yard.register()
    # `main` came first and keeps the lease; `second` stands by.
    yard.start("second", ready=4)
    jobs = [f"job-{number}" for number in range(150)]
    for job_id in jobs:
        yard.offer(job_id, CREDIT, publish=False)
    yard.until(lambda: len(yard.credits()) > 0, "the rescuer has begun")
    yard.kill("main")
    assert yard.queueing.inbox.size() > 0
    yard.until_done()
    assert yard.credits() == dict.fromkeys(jobs, 1)


def test_two_rescuers_at_once_do_no_harm(yard: Yard) -> None:
    """The lease is torn away all the time, so that both are at work."""
    yard.start()
    yard.register()
    yard.start("second", ready=4)
    done = threading.Event()

    def tear_leases() -> None:
        with queueing_at(yard.queueing.redis_url) as queueing:
            while not done.wait(0.01):
                queueing.client.delete("ballast:rescuer")

    def both_were_at_work() -> bool:
        return all('"event": "rescued"' in yard.stack.log(name) for name in ("main", "second"))

    torn = threading.Thread(target=tear_leases)
    torn.start()
    jobs: list[str] = []

    def more_work_done_by_both() -> bool:
        batch = [f"job-{len(jobs) + number}" for number in range(50)]
        jobs.extend(batch)
        for job_id in batch:
            yard.offer(job_id, CREDIT, publish=False)
        yard.until_done()
        return len(jobs) >= 150 and both_were_at_work()

    try:
        # Who comes upon a batch is chance: there are batches until each has had one.
        yard.until(more_work_done_by_both, "both rescuers have brought back jobs")
    finally:
        done.set()
        torn.join()
    assert yard.credits() == dict.fromkeys(jobs, 1)
