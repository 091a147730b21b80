"""Many jobs claimed in one step are those, and in the order, that would be claimed one by one."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.builtin.balances import ShowBalance
from ballast.builtin.transfers import ShowHistory
from ballast.inbox import Claims, Inbox, Publisher
from ballast.inbox.limits import CLAIMS_MAX
from ballast.jobs import Job, task_name
from ballast.queueing.envelope import Envelope
from ballast.queueing.queues import QUEUES
from workers import kombu_patches
from workers.draining import ROUND_SECONDS, RoundSize, Turn
from workers.heartbeat import Heartbeat
from workers.in_flight import InFlight

OWNER, OTHER = "host:1:aa", "host:2:bb"
TASKS = (task_name(ShowBalance.kind),)


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    kombu_patches.install()
    made = Celery("tests", broker=redis_url, set_as_current=False)
    made.conf.task_queues = {name: {"exchange": name, "routing_key": name} for name in QUEUES}
    yield made
    made.close()


class Queue:
    """The inbox with its messages, as a worker sees them."""

    def __init__(self, inbox: Inbox, client: redis.Redis, app: Celery) -> None:
        self.inbox, self.client = inbox, client
        self.publisher = Publisher(client)
        with app.connection_for_write() as connection:
            for each in app.amqp.queues.values():  # as a worker does
                each(connection).declare()

    def accept(self, job_id: str, lane: str, job: Job | None = None) -> None:
        job = job or ShowBalance(telegram_id=7)
        receipt = self.inbox.accept(Envelope.of(job, job_id=job_id, lane=lane, chat_id=7))
        if receipt.dispatch is not None:
            assert self.publisher.publish(receipt.dispatch)

    def waiting(self, queue: str = "balances") -> list[str]:
        """The ids of the messages, the next one first."""
        raws = cast("list[bytes]", self.client.lrange(queue, 0, -1))
        return [json.loads(raw)["headers"]["id"] for raw in reversed(raws)]

    def take_message(self) -> tuple[str, str]:
        """As Celery does. Returns the job's id and the message's place."""
        raw = cast("bytes", self.client.rpop("balances"))
        headers = json.loads(raw)["headers"]
        return headers["id"], headers["place"]

    def claim(self, more: int, owner: str = OWNER, **options: Any) -> Claims:
        return self.inbox.claim_many(owner, queue="balances", more=more, tasks=TASKS, **options)

    def finish(self, *job_ids: str) -> None:
        for job_id in job_ids:
            following = self.inbox.finish(job_id).following
            if following is not None:
                self.publisher.publish(following)


@pytest.fixture
def queue(inbox: Inbox, client: redis.Redis, app: Celery) -> Queue:
    return Queue(inbox, client, app)


def ids(found: Claims) -> list[str]:
    return [claim.envelope.job_id for claim in found.claims]


def test_a_round_takes_the_job_it_was_handed_and_those_behind_it_in_their_order(queue: Queue) -> None:
    for number in range(6):
        queue.accept(f"j{number}", f"user:{number}")
    job_id, sequence = queue.take_message()
    queue.claim(0)  # the script is loaded
    before = queue.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    found = queue.claim(3, job_id=job_id, sequence=sequence)
    assert queue.client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
    assert (ids(found), found.left) == (["j0", "j1", "j2", "j3"], 2)
    assert queue.waiting() == ["j4", "j5"]
    assert queue.inbox.beat(OWNER, {}) == {"j0", "j1", "j2", "j3"}
    assert queue.client.hget("ballast:inbox:claimed", "balances") == b"4"
    assert ids(queue.claim(CLAIMS_MAX)) == ["j4", "j5"]
    assert queue.claim(CLAIMS_MAX) == Claims((), 0)


def test_what_a_hanging_process_took_behind_another_job_is_overdue(queue: Queue) -> None:
    """It beats, so nobody else may do them. It has begun the first, which may take its time."""
    for number in range(3):
        queue.accept(f"j{number}", f"user:{number}")
        queue.client.zincrby("ballast:inbox:all", -60_000, f"j{number}")
        queue.client.hincrby(f"ballast:inbox:job:j{number}", "ready_at", -60_000)
    queue.inbox.beat(OWNER, {})
    assert ids(queue.claim(CLAIMS_MAX)) == ["j0", "j1", "j2"]
    overdue = queue.inbox.overdue(None)
    assert overdue is not None
    assert (60 <= overdue.seconds < 120, overdue.queue) == (True, "balances")
    queue.finish("j1")
    assert queue.inbox.overdue(None) is not None
    queue.inbox.release("j2", OWNER, delay_seconds=0)
    queue.publisher.publish_many(queue.inbox.rescue(10)[1])
    assert queue.inbox.overdue(None) is None


def test_one_job_when_there_is_one(queue: Queue) -> None:
    queue.accept("j0", "user:0")
    job_id, sequence = queue.take_message()
    assert queue.claim(CLAIMS_MAX, job_id=job_id, sequence=sequence).left == 0


def test_of_each_lane_there_is_one_at_a_time_and_the_next_comes_once_it_is_finished(queue: Queue) -> None:
    for number in range(3):
        for lane in "ab":
            queue.accept(f"{lane}{number}", lane)
    for number in range(3):
        assert ids(queue.claim(CLAIMS_MAX)) == [f"a{number}", f"b{number}"]
        queue.finish(f"b{number}", f"a{number}")
        if number < 2:
            assert queue.waiting() == [f"b{number + 1}", f"a{number + 1}"]
            # in the order of the finishes; who claims them sorts nothing
            assert ids(queue.claim(1)) == [f"b{number + 1}"]
            assert ids(queue.claim(1)) == [f"a{number + 1}"]
            queue.inbox.release(f"a{number + 1}", OWNER, delay_seconds=0, count_delivery=False)
            queue.inbox.release(f"b{number + 1}", OWNER, delay_seconds=0, count_delivery=False)
            queue.publisher.publish_many(queue.inbox.rescue(10)[1])


def test_a_copy_on_the_way_is_dropped_and_holds_up_nobody(queue: Queue) -> None:
    for number in range(3):
        queue.accept(f"j{number}", f"user:{number}")
    assert queue.inbox.claim("j0", OTHER) is not None
    assert ids(queue.claim(CLAIMS_MAX)) == ["j1", "j2"]
    assert queue.waiting() == []


def test_what_may_have_ended_its_process_is_claimed_by_itself(queue: Queue) -> None:
    for number in range(3):
        queue.accept(f"j{number}", f"user:{number}")
    assert queue.inbox.claim("j1", OTHER) is not None
    queue.inbox.leave(OTHER)  # it died with the job
    assert ids(queue.claim(CLAIMS_MAX)) == ["j0"]
    assert queue.waiting() == ["j1", "j2"]
    job_id, sequence = queue.take_message()
    found = queue.claim(CLAIMS_MAX, job_id=job_id, sequence=sequence)
    assert (ids(found), found.claims[0].deliveries) == (["j1"], 2)
    assert queue.waiting() == ["j2"]


@pytest.mark.parametrize(
    "theirs",
    [
        b"no JSON",
        b"[]",
        b'{"headers": 7}',
        b'{"headers": {"task": ["workers.balances.show"], "id": "j9", "place": "1"}}',
        b'{"headers": {"task": "workers.balances.show", "id": "an operator\'s"}, "body": "W10="}',
        b'{"headers": {"task": "workers.balances.show", "id": "j9", "place": "1"}}',
        b'{"headers": {"task": "workers.balances.unknown", "id": "j1", "place": "1"}}',
        b'{"headers": {"task": "workers.balances.show", "id": "j1", "place": "1", "eta": "2040-01-01T00:00"}}',
    ],
)
def test_a_message_that_is_not_the_inbox_s_is_left_to_celery(queue: Queue, theirs: bytes) -> None:
    """Such as an operator's call, a message of the release before, and what nobody can read."""
    queue.accept("j0", "user:0")
    queue.client.lpush("balances", theirs)
    queue.accept("j1", "user:1")
    found = queue.claim(CLAIMS_MAX)
    assert (ids(found), found.left) == (["j0"], 2)
    assert queue.client.lindex("balances", -1) == theirs
    assert queue.claim(CLAIMS_MAX) == Claims((), 2)


def test_a_kind_that_this_process_has_no_task_for_is_left_to_others(queue: Queue) -> None:
    queue.accept("j0", "user:0")
    queue.accept("j1", "user:1", ShowHistory(telegram_id=7))
    assert queue.waiting("transactions") == ["j1"]
    assert queue.inbox.claim_many(OWNER, queue="transactions", more=5, tasks=TASKS) == Claims((), 1)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lanes=st.lists(st.integers(0, 5), min_size=1, max_size=24),
    steps=st.lists(
        st.tuples(
            st.sampled_from([OWNER, OTHER]), st.integers(0, 12), st.sampled_from(["do", "die", "back"])
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_in_rounds_of_any_size_each_job_is_done_once_and_in_its_lanes_order(
    inbox: Inbox, client: redis.Redis, app: Celery, lanes: list[int], steps: list[tuple[str, int, str]]
) -> None:
    """Whoever takes them, whoever dies with a round, and whatever of it is handed back."""
    client.flushdb()
    queue = Queue(inbox, client, app)
    for number, lane in enumerate(lanes):
        queue.accept(f"j{number:02}", f"user:{lane}")
    done: list[str] = []

    def take(owner: str, more: int) -> list[str]:
        message = queue.waiting()[:1] and queue.take_message()
        found = (
            queue.claim(more, owner, job_id=message[0], sequence=message[1]) if message else queue.claim(0)
        )
        held = ids(found)
        of_lanes = [lanes[int(job_id[1:])] for job_id in held]
        assert len({*of_lanes}) == len(of_lanes)
        return held

    def do(job_id: str) -> None:
        done.append(job_id)
        queue.finish(job_id)

    for owner, more, then in steps:
        held = take(owner, more)
        if then == "die":
            for job_id in held[: len(held) // 2]:
                do(job_id)
            inbox.leave(owner)
        elif then == "back":
            for job_id in held:
                inbox.release(job_id, owner, delay_seconds=0, count_delivery=False)
        else:
            for job_id in held:
                do(job_id)
        queue.publisher.publish_many(inbox.rescue(100)[1])
    for _ in range(2 * len(lanes)):
        for job_id in take(OWNER, CLAIMS_MAX):
            do(job_id)
    assert sorted(done) == [f"j{number:02}" for number in range(len(lanes))]
    by_lane = defaultdict(list)
    for job_id in done:
        by_lane[lanes[int(job_id[1:])]].append(job_id)
    assert all(order == sorted(order) for order in by_lane.values())
    assert (inbox.size(), client.exists(f"ballast:inbox:held:{OWNER}", "balances")) == (0, 0)


def test_rounds_grow_while_they_are_quick_and_shrink_while_they_are_slow() -> None:
    size = RoundSize()
    grown = []
    for _ in range(8):
        grown.append(size.jobs)
        size.note(size.jobs, ROUND_SECONDS / 10)
    assert grown == [1, 2, 4, 8, 16, 32, CLAIMS_MAX, CLAIMS_MAX]
    size.note(1, ROUND_SECONDS / 10)
    assert size.jobs == CLAIMS_MAX
    size.note(size.jobs, 2 * ROUND_SECONDS)
    assert size.jobs == CLAIMS_MAX // 2
    size.reset()
    assert size.jobs == 1


def test_a_turn_ends_by_its_jobs_and_by_its_time() -> None:
    now = [0.0]
    turn = Turn(clock=lambda: now[0])
    turn.note(99)
    assert not turn.is_over()
    turn.note(1)
    assert turn.is_over()
    late = Turn(clock=lambda: now[0])
    now[0] = 0.5
    assert late.is_over()


def test_the_heart_gives_nothing_back_that_a_claim_is_about_to_bring(inbox: Inbox, queue: Queue) -> None:
    """Redis holds it for us, and its answer is still on the way."""
    in_flight = InFlight()
    heartbeat = Heartbeat(inbox, OWNER, in_flight, dict, dict)
    queue.accept("j0", "user:0")
    with in_flight.claiming():
        assert ids(queue.claim(1)) == ["j0"]
        for _ in range(2):
            heartbeat._beat()
        in_flight.take("j0", ShowBalance.kind)
    heartbeat._beat()
    assert inbox.beat(OWNER, {}) == {"j0"}
    in_flight.drop("j0")
    heartbeat._beat()  # now nobody knows of it
    assert inbox.beat(OWNER, {}) == set()


def test_a_claim_whose_answer_was_lost_is_given_back(inbox: Inbox, queue: Queue) -> None:
    in_flight = InFlight()
    heartbeat = Heartbeat(inbox, OWNER, in_flight, dict, dict)
    queue.accept("j0", "user:0")
    lost, others_begun = threading.Event(), threading.Event()

    def claim_and_lose() -> None:
        with in_flight.claiming():
            queue.claim(1)
            lost.wait(30)

    thread = threading.Thread(target=claim_and_lose)
    thread.start()
    while not inbox.beat(OWNER, {}):
        others_begun.wait(0.01)
    heartbeat._beat()
    assert inbox.beat(OWNER, {}) == {"j0"}
    with in_flight.claiming():  # another thread's, begun since: it is not what brings this job
        lost.set()
        thread.join(30)
        heartbeat._beat()
    assert inbox.beat(OWNER, {}) == set()
