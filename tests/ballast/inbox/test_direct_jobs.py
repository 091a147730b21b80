"""A process that waits is handed a job in the step that records it, without a message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from ballast.builtin.balances import ShowBalance
from ballast.builtin.replies import DeliverReply
from ballast.inbox import Acceptance, Answered, Claim, DirectJob, Inbox, Offer
from ballast.inbox.limits import BEARER_LEASE_MS, TAKE_OVER_MS
from ballast.jobs import Job
from ballast.messages import Message
from ballast.queueing import queue_pauses, worker_drains
from ballast.queueing.envelope import Envelope
from dbcore.breaker import override

NODE = "main@host"
ONE, OTHER = "host:1:aa", "host:2:bb"


class Process:
    """One that waits on its channel."""

    def __init__(self, client: redis.Redis, owner: str, node: str = NODE) -> None:
        self.owner, self.idle = owner, f"{owner} {node}"
        self.inbox = Inbox(client)
        self.inbox.beat(owner, {"node": node})
        self._pubsub = client.pubsub()  # type: ignore[no-untyped-call]  # redis-py has none
        self._pubsub.subscribe(self.inbox.direct_channel(owner))
        assert self._pubsub.get_message(timeout=5)["type"] == "subscribe"

    def offer(self) -> None:
        self.inbox.finish_many([Answered("nothing")], idle=self.idle)

    def hear(self) -> DirectJob | None:
        message = self._pubsub.get_message(timeout=0.1)
        return None if message is None else DirectJob.read(message["data"])

    def handed(self) -> DirectJob:
        job = self.hear()
        assert job is not None
        return job

    def take_over(self, job: DirectJob) -> Claim | None:
        return self.inbox.take_over(job.job_id, sequence=job.sequence, carried=job.carried)

    def die(self) -> None:
        self._pubsub.reset()


@contextmanager
def process(client: redis.Redis, owner: str, node: str = NODE) -> Iterator[Process]:
    made = Process(client, owner, node)
    try:
        yield made
    finally:
        made.die()


@pytest.fixture
def one(client: redis.Redis) -> Iterator[Process]:
    with process(client, ONE) as made:
        yield made


@pytest.fixture
def other(client: redis.Redis) -> Iterator[Process]:
    with process(client, OTHER) as made:
        yield made


def accept(inbox: Inbox, job_id: str = "a", job: Job | None = None) -> None:
    envelope = Envelope.of(job or ShowBalance(telegram_id=7), job_id=job_id, lane=job_id, chat_id=7)
    (receipt,) = inbox.accept_many([Offer(envelope)], publish=True)
    assert (receipt.status, receipt.dispatch) == (Acceptance.ACCEPTED, None)


def waits(client: redis.Redis, queue: str = "balances") -> int:
    """Messages."""
    return int(client.llen(queue))


def test_a_process_that_waits_is_handed_the_next_job_and_no_message_is_published(
    one: Process, client: redis.Redis
) -> None:
    one.offer()
    accept(one.inbox)
    assert waits(client) == 0
    job = one.handed()
    assert (job.job_id, job.queue, job.kind) == ("a", "balances", ShowBalance.kind)
    claim = one.take_over(job)
    assert claim is not None
    assert (claim.envelope.fields["telegram_id"], claim.deliveries) == (7, 1)
    assert claim.turn_until > 0, "its turn was taken along"
    one.inbox.finish("a")
    left = {key.decode() for key in client.scan_iter("ballast:inbox:*")}
    assert not {key for key in left if ":job:" in key or ":held:" in key or ":lane:" in key}
    assert (one.inbox.size(), client.zcard("ballast:inbox:due")) == (0, 0)


def test_each_offer_is_good_for_one_job(one: Process, client: redis.Redis) -> None:
    one.offer()
    one.offer()
    accept(one.inbox, "a")
    accept(one.inbox, "b")
    assert one.handed().job_id == "a"
    assert one.hear() is None
    assert waits(client) == 1


def test_the_process_that_worked_last_goes_first(one: Process, other: Process, client: redis.Redis) -> None:
    one.offer()
    client.zincrby("ballast:inbox:idle", -1, one.idle)
    other.offer()
    accept(one.inbox, "a")
    accept(one.inbox, "b")
    assert [each.hear() for each in (one, other)].count(None) == 0
    accept(one.inbox, "c")
    assert waits(client) == 1


def test_a_dead_process_is_handed_nothing(one: Process, other: Process, client: redis.Redis) -> None:
    one.offer()
    client.zincrby("ballast:inbox:idle", -1, one.idle)
    other.offer()
    other.die()
    accept(one.inbox, "a")
    job = one.handed()
    assert job.job_id == "a"
    assert waits(client) == 0
    one.offer()
    one.die()
    accept(one.inbox, "b")
    assert waits(client) == 1


def test_a_process_of_a_drained_worker_is_handed_nothing(one: Process, client: redis.Redis) -> None:
    with process(client, OTHER, "second@host") as other:
        client.hset(worker_drains.DRAINS, "second@host", "{}")
        one.offer()
        client.zincrby("ballast:inbox:idle", -1, one.idle)
        other.offer()
        accept(one.inbox)
        assert other.hear() is None
        assert one.hear() is not None


def test_a_process_that_withdrew_is_handed_nothing(one: Process, client: redis.Redis) -> None:
    one.offer()
    one.inbox.withdraw(one.idle)
    accept(one.inbox)
    assert one.hear() is None
    assert waits(client) == 1


@pytest.mark.parametrize(
    "why", ["a message waits", "its queue is shut", "paused", "breaker", "old worker", "of another queue"]
)
def test_a_job_that_is_not_to_be_taken_at_once_comes_as_a_message(
    one: Process, client: redis.Redis, why: str
) -> None:
    one.offer()
    job: Job = ShowBalance(telegram_id=7)
    if why == "a message waits":
        client.lpush("balances", "message")
    elif why == "its queue is shut":
        one.inbox.rescue(10, shut=["balances"])
    elif why == "paused":  # no worker may have heard of it yet
        queue_pauses.pause(client, "balances", by="test")
    elif why == "breaker":  # the same
        override.set_override(client, "open", "test")
    elif why == "old worker":  # whether it reads what a claim says is not known
        client.zadd("ballast:inbox:owners", {OTHER: 2e15})
    else:
        job = DeliverReply(messages=(Message(chat_id=7, text="hello"),))
    accept(one.inbox, job=job)
    assert one.hear() is None
    assert waits(client, "replies" if why == "of another queue" else "balances") == 1 + (
        why == "a message waits"
    )


def test_one_that_its_process_never_took_comes_as_a_message_and_the_late_one_is_dropped(
    one: Process, other: Process, client: redis.Redis
) -> None:
    one.offer()
    accept(one.inbox)
    client.zincrby("ballast:inbox:due", -BEARER_LEASE_MS, "a")
    (dispatch,) = other.inbox.rescue(10)[1]
    assert (dispatch.job_id, dispatch.queue) == ("a", "balances")
    claim = other.inbox.claim("a", OTHER)
    assert claim is not None
    assert claim.deliveries == 2, "nobody knows whether it was begun"
    late = one.handed()
    assert one.inbox.claim(late.job_id, ONE, queue=late.queue, sequence=late.sequence) is None
    other.inbox.finish("a")
    assert one.inbox.claim(late.job_id, ONE, queue=late.queue, sequence=late.sequence) is None


def test_one_that_its_process_never_took_does_not_wait_behind_the_messages_of_others(
    one: Process, client: redis.Redis
) -> None:
    """Sequences go on and on where jobs are handed over, and nobody notes which of them was claimed."""
    client.hset("ballast:inbox:sequence", "balances", "9000")
    one.offer()
    accept(one.inbox)
    client.lpush("balances", "message")
    client.zincrby("ballast:inbox:due", -BEARER_LEASE_MS, "a")
    assert [dispatch.job_id for dispatch in one.inbox.rescue(10)[1]] == ["a"]


def test_one_that_is_taken_late_is_claimed_by_a_write(one: Process, client: redis.Redis) -> None:
    one.offer()
    accept(one.inbox)
    job = one.handed()
    at_ms = job.carried.at_ms - TAKE_OVER_MS - 1
    carried = type(job.carried)(at_ms, job.carried.waited_ms, job.carried.has_turn, job.carried.record)
    assert one.inbox.take_over("a", sequence=job.sequence, carried=carried) is None
    claim = one.inbox.claim("a", ONE, queue=job.queue, sequence=job.sequence)
    assert claim is not None
    assert claim.deliveries == 1
    assert client.hget("ballast:inbox:job:a", "owner") == ONE.encode()


def test_one_that_is_given_back_is_due_at_once_and_was_not_begun(
    one: Process, other: Process, client: redis.Redis
) -> None:
    one.offer()
    accept(one.inbox)
    job = one.handed()
    assert one.inbox.give_back_direct(job, ONE)
    (dispatch,) = other.inbox.rescue(10)[1]
    assert dispatch.job_id == "a"
    claim = other.inbox.claim("a", OTHER)
    assert claim is not None
    assert claim.deliveries == 1
    assert not one.inbox.give_back_direct(job, ONE), "it is another's now"
    assert other.inbox.beat(OTHER, {}) == {"a"}


def test_the_offers_of_processes_that_died_long_ago_are_forgotten(one: Process, client: redis.Redis) -> None:
    client.zadd("ballast:inbox:idle", {"host:3:cc main@host": 0})
    one.offer()
    assert client.zrange("ballast:inbox:idle", 0, -1) == [one.idle.encode()]


@pytest.mark.parametrize(
    "published", [b"", b"{", b"[]", b"1", b'["a","q","k","1+",null]', b'["a","q","k",1,[1,2,0,"r"]]', b"\xff"]
)
def test_what_is_no_job_is_none(published: bytes) -> None:
    assert DirectJob.read(published) is None
