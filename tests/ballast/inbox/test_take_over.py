"""A job whose queue is empty is claimed in the step that records it, for whoever takes its message."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import replace
from typing import Any, NamedTuple, cast

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu.connection import Connection
from kombu.entity import Queue

from ballast.builtin.balances import ShowBalance
from ballast.inbox import Acceptance, Answered, CarriedClaim, Claim, DirectJob, Inbox, Offer, Publisher
from ballast.inbox.limits import BEARER_LEASE_MS, TAKE_OVER_MS, TAKERS_FRESH_MS
from ballast.inbox.redis_clock import RedisClock
from ballast.jobs import task_name
from ballast.queueing.envelope import Envelope, reference_of
from ballast.queueing.lookup import find
from dbcore.redis_pace import RESPONSIVE, THRIFTY
from workers import kombu_patches

OWNER, OTHER = "host:1:aa", "host:2:bb"
TASKS = (task_name(ShowBalance.kind),)


def accept(inbox: Inbox, job_id: str = "a", lane: str | None = None, **options: Any) -> None:
    envelope = Envelope.of(ShowBalance(telegram_id=7), job_id=job_id, lane=lane or job_id, chat_id=7)
    (receipt,) = inbox.accept_many([Offer(envelope, **options)], publish=True)
    assert (receipt.status, receipt.dispatch) == (Acceptance.ACCEPTED, None)


def pop(client: redis.Redis) -> dict[str, Any]:
    """The next message."""
    return cast("dict[str, Any]", json.loads(cast("bytes", client.rpop("balances"))))


class Taken(NamedTuple):
    """What a message says: the job's id, its sequence, and the claim that it bears."""

    job_id: str
    sequence: str
    carried: CarriedClaim | None


def take_message(client: redis.Redis) -> Taken:
    """As Celery does."""
    message = pop(client)
    headers = message["headers"]
    assert json.loads(message["body"])[1]["place"] == headers["place"].removesuffix("+")
    carried = CarriedClaim.read(headers["claim"])
    assert (carried is not None) == headers["place"].endswith("+")
    return Taken(headers["id"], headers["place"], carried)


def take_over(inbox: Inbox, taken: Taken) -> Claim | None:
    return inbox.take_over(taken.job_id, sequence=taken.sequence, carried=taken.carried)


def shift_lease(client: redis.Redis, seconds: float, job_id: str = "a") -> None:
    client.zincrby("ballast:inbox:due", 1000 * seconds, job_id)
    age_messages(client, seconds)


def age_messages(client: redis.Redis, seconds: float) -> None:
    """Those in the queue: as if the claims that they bear had been made so much earlier (a negative number)."""
    for number, raw in enumerate(cast("list[bytes]", client.lrange("balances", 0, -1))):
        message = json.loads(raw)
        if message["headers"]["claim"] is not None:
            message["headers"]["claim"][0] += round(1000 * seconds)
            client.lset("balances", number, json.dumps(message))


def later(message: Taken, ms: int) -> Taken:
    """As if the message came so much later."""
    assert message.carried is not None
    return message._replace(carried=replace(message.carried, at_ms=message.carried.at_ms - ms))


def commands(client: redis.Redis) -> int:
    return int(client.info("stats")["total_commands_processed"])


def redis_ms(client: redis.Redis) -> float:
    seconds, micros = client.time()
    return 1000.0 * seconds + micros / 1000


def owner_of(client: redis.Redis, job_id: str = "a") -> bytes | None:
    return cast("bytes | None", client.hget(f"ballast:inbox:job:{job_id}", "owner"))


def listen(inbox: Inbox, owner: str) -> redis.client.PubSub:
    """To what the process is handed without a message."""
    made: redis.client.PubSub = inbox._redis.pubsub()  # type: ignore[no-untyped-call]  # redis-py has none
    made.subscribe(inbox.direct_channel(owner))
    assert made.get_message(timeout=5)["type"] == "subscribe"
    return made


def silence(client: redis.Redis, owner: str) -> None:
    """As if the process had not beaten for an hour."""
    client.zadd("ballast:inbox:owners", {owner: 0})


@pytest.fixture
def taker(inbox: Inbox) -> Inbox:
    """A worker process is there."""
    inbox.beat(OWNER, {})
    return inbox


def test_a_job_is_taken_over_with_its_message_and_redis_is_not_asked(
    taker: Inbox, client: redis.Redis
) -> None:
    accept(taker)
    message = take_message(client)
    assert message.sequence == "1+"
    before, began = commands(client), time.monotonic()
    claim = take_over(taker, message)
    assert commands(client) == before + 1, "this question itself"
    assert claim is not None
    assert (claim.envelope.job_id, claim.deliveries, claim.begun) == ("a", 1, False)
    assert claim.claimed_at_ms <= redis_ms(client)
    assert began < claim.turn_until < time.monotonic() + 0.25, "its turn was taken along"
    taker.finish("a")
    assert taker.beat(OWNER, {}) == set()
    left = {key.decode() for key in client.scan_iter("ballast:inbox:*")}
    assert not {key for key in left if ":job:" in key or ":held:" in key or ":lane:" in key}
    assert (taker.size(), client.zcard("ballast:inbox:due")) == (0, 0)


def test_who_took_a_job_over_holds_it_from_the_next_beat_on_and_loses_it_with_its_last(
    taker: Inbox, client: redis.Redis
) -> None:
    accept(taker)
    assert take_over(taker, take_message(client)) is not None
    assert taker.beat(OWNER, {}) == {"a"}
    Inbox(client).beat(OTHER, {})
    shift_lease(client, -60)
    assert taker.rescue(10) == (1, []), "a long job of a living process"
    silence(client, OWNER)
    assert [dispatch.job_id for dispatch in taker.rescue(10)[1]] == ["a"]
    claim = taker.claim("a", OTHER)
    assert claim is not None
    assert (claim.deliveries, claim.begun) == (2, True)


def test_a_job_whose_message_is_lost_is_published_again_once_its_lease_is_over(
    taker: Inbox, client: redis.Redis
) -> None:
    accept(taker)
    message = take_message(client)
    assert taker.rescue(10)[1] == []
    shift_lease(client, -BEARER_LEASE_MS / 1000)
    (dispatch,) = taker.rescue(10)[1]
    assert take_over(taker, later(message, BEARER_LEASE_MS)) is None, "it comes too late"
    assert taker.claim("a", OTHER, queue="balances", sequence=dispatch.sequence) is not None
    assert taker.claim("a", OWNER, queue="balances", sequence=message.sequence) is None


def test_a_message_that_comes_late_is_claimed_by_a_write(taker: Inbox, client: redis.Redis) -> None:
    """Else the process might have too little time to say that it holds the job."""
    accept(taker)
    message = take_message(client)
    assert take_over(taker, later(message, TAKE_OVER_MS + 1)) is None
    claim = taker.claim(message.job_id, OWNER, queue="balances", sequence=message.sequence)
    assert claim is not None
    assert (claim.deliveries, claim.begun) == (1, False), "nobody has begun it before"
    assert owner_of(client) == OWNER.encode()


def test_a_process_that_does_not_know_redis_s_time_claims_by_a_write(
    taker: Inbox, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not beaten yet, or for too long; or the clock of one of them was set."""
    accept(taker)
    message = take_message(client)
    assert take_over(Inbox(client), message) is None
    now = RedisClock.asked_at_ms()
    for later_ms in (1000 * RESPONSIVE.owner_dead + 1, -60_000.0):
        monkeypatch.setattr(RedisClock, "asked_at_ms", staticmethod(lambda ms=later_ms: now + ms))
        assert take_over(taker, message) is None
    monkeypatch.undo()
    assert take_over(taker, message) is not None


def test_redis_s_time_is_not_thought_to_be_earlier_than_it_is(taker: Inbox, client: redis.Redis) -> None:
    """Else a job might be taken over whose lease is all but over."""
    for _ in range(20):
        assert taker.beat(OWNER, {}) == set()
        before = redis_ms(client)
        known = taker._clock.now_ms()
        assert known is not None
        assert known + 1 >= before, "both are in whole milliseconds"


def test_a_job_whose_message_nobody_took_in_time_was_not_begun(taker: Inbox, client: redis.Redis) -> None:
    """All workers are busy, or stopped. Else it would be done by itself, like one that may have ended its process."""
    for job_id in ("a", "b"):
        accept(taker, job_id)
    shift_lease(client, -BEARER_LEASE_MS / 1000)
    assert taker.rescue(10) == (1, [])
    assert owner_of(client) is None
    job_id, sequence, _ = take_message(client)
    found = taker.claim_many(OWNER, queue="balances", job_id=job_id, sequence=sequence, more=5, tasks=TASKS)
    assert [(claim.envelope.job_id, claim.begun) for claim in found.claims] == [("a", False), ("b", False)]


def test_a_message_without_the_claim_gets_nothing_of_it(taker: Inbox, client: redis.Redis) -> None:
    """A copy, or one that a worker put back: another process may be at work on the job."""
    accept(taker)
    message = take_message(client)
    assert take_over(taker, message._replace(sequence=message.sequence.removesuffix("+"))) is None
    assert take_over(taker, message._replace(carried=None)) is None
    for other in (message.sequence.removesuffix("+"), "2+", "", "+", "1++", "x+"):
        assert taker.claim(message.job_id, OTHER, queue="balances", sequence=other) is None
    assert take_over(taker, message) is not None


@pytest.mark.parametrize("header", [None, "", 1, {}, [], [1, 2, 1], ["1", 2, 1, "{}"], [1, 2, 1, {}], [[[]]]])
def test_a_header_that_is_no_claim_is_none(header: object) -> None:
    assert CarriedClaim.read(header) is None


def test_a_claim_whose_record_cannot_be_read_ends_as_a_failed_job(taker: Inbox, client: redis.Redis) -> None:
    accept(taker)
    message = take_message(client)
    assert message.carried is not None
    claim = take_over(taker, message._replace(carried=replace(message.carried, record="no record")))
    assert claim is not None
    assert "unreadable record" in str(claim.failure)


@pytest.mark.parametrize("gives_back", [False, True])
def test_a_message_that_a_worker_puts_back_bears_no_claim_any_more(
    taker: Inbox, client: redis.Redis, redis_url: str, gives_back: bool
) -> None:
    """Where it stops, or loses its connection or the process that had the message."""
    kombu_patches.install()
    accept(taker)
    taken: list[Any] = []
    with Connection(redis_url) as connection:  # type: ignore[no-untyped-call]
        queue = Queue("balances")  # type: ignore[no-untyped-call]
        with connection.Consumer(queue, accept=["json"], on_message=taken.append, prefetch_count=1):
            connection.drain_events(timeout=10)
            assert taken[0].headers["place"] == "1+"
            if gives_back:
                taken[0].requeue()
    assert take_message(client) == ("a", "1", None)


def test_a_claim_in_a_round_takes_what_its_message_bears(taker: Inbox, client: redis.Redis) -> None:
    for job_id in ("a", "b"):
        accept(taker, job_id)
    found = taker.claim_many(OTHER, queue="balances", more=5, tasks=TASKS)
    assert [(claim.envelope.job_id, claim.deliveries) for claim in found.claims] == [("a", 1), ("b", 1)]
    assert client.hget("ballast:inbox:claimed", "balances") == b"2"


def test_a_job_that_was_taken_over_can_be_given_back_and_can_ask_before_the_next_beat(
    taker: Inbox, client: redis.Redis
) -> None:
    accept(taker)
    assert take_over(taker, take_message(client)) is not None
    assert not Inbox(client).ask("a", OTHER, "key", "{}")
    assert taker.ask("a", OWNER, "key", "{}")
    assert not Inbox(client).release("a", OTHER, delay_seconds=0)
    assert taker.release("a", OWNER, delay_seconds=0, reply="[]", count_delivery=False)
    assert not taker.release("a", OWNER, delay_seconds=0)
    assert taker.beat(OWNER, {}) == set()
    (dispatch,) = taker.rescue(10)[1]
    assert (dispatch.queue, client.hget("ballast:inbox:job:a", "deliveries")) == ("replies", b"0")


def test_a_job_that_was_taken_over_and_forgotten_is_found_by_the_beat(
    taker: Inbox, client: redis.Redis
) -> None:
    """Such as one that Redis was away to give back."""
    accept(taker)
    assert take_over(taker, take_message(client)) is not None
    assert taker.beat(OWNER, {}) == {"a"}
    assert taker.release("a", OWNER, delay_seconds=0)


def test_who_wakes_after_its_job_was_given_away_does_not_get_it_back(
    taker: Inbox, client: redis.Redis
) -> None:
    accept(taker)
    assert take_over(taker, take_message(client)) is not None
    other = Inbox(client)
    other.beat(OTHER, {})
    shift_lease(client, -BEARER_LEASE_MS / 1000)  # it was frozen
    (dispatch,) = other.rescue(10)[1]
    assert other.claim("a", OTHER, queue="balances", sequence=dispatch.sequence) is not None
    assert taker.beat(OWNER, {}) == set()
    assert not taker.release("a", OWNER, delay_seconds=0)
    assert owner_of(client) == OTHER.encode()
    assert other.beat(OTHER, {}) == {"a"}


def test_after_redis_stood_still_no_job_is_taken_away_at_once(taker: Inbox, client: redis.Redis) -> None:
    accept(taker)
    assert take_over(taker, take_message(client)) is not None
    silence(client, OWNER)
    shift_lease(client, -3_600)
    assert taker.rescue(10)[1] == []
    assert taker.beat(OWNER, {}) == {"a"}
    assert taker.rescue(10)[1] == []


@pytest.mark.parametrize(
    "why", ["old worker", "no worker", "dead worker", "thrifty", "queue", "shut", "failed", "behind"]
)
def test_a_job_is_claimed_ahead_only_if_a_worker_can_take_it_at_once(
    inbox: Inbox, client: redis.Redis, why: str
) -> None:
    if why == "thrifty":
        Inbox(client, owner_dead_seconds=THRIFTY.owner_dead).beat(OWNER, {})
    elif why != "no worker":
        inbox.beat(OWNER, {})
    if why == "old worker":  # it knows nothing of such claims, and would drop the message
        client.zadd("ballast:inbox:owners", {OTHER: 1_000 * time.time()})
    elif why == "dead worker":
        client.zincrby("ballast:inbox:takers", -TAKERS_FRESH_MS - 1, OWNER)
    elif why == "queue":
        client.lpush("balances", "message")
    elif why == "shut":
        inbox.rescue(10, shut=["balances"])
    elif why == "behind":
        accept(inbox, "before", "a")
        client.delete("balances")
    accept(inbox, failure="wrong" if why == "failed" else None)
    assert owner_of(client) is None
    if why != "behind":
        assert b'"place": "1"' in (client.lindex("balances", 0) or b"")


def test_a_worker_that_leaves_leaves_those_that_can_take_over(taker: Inbox, client: redis.Redis) -> None:
    taker.beat(OTHER, {})
    taker.leave(OTHER)
    silence(client, OWNER)
    taker.beat("host:3:cc", {})
    taker.rescue(10)
    assert client.zrange("ballast:inbox:takers", 0, -1) == [b"host:3:cc"]


def test_a_job_whose_message_nobody_takes_is_queued_and_overdue(taker: Inbox, client: redis.Redis) -> None:
    accept(taker)
    client.zincrby("ballast:inbox:all", -60_000, "a")
    client.hincrby("ballast:inbox:job:a", "ready_at", -60_000)
    assert taker.overdue(None) is not None
    found = find(client, reference_of("a"), None)
    assert found is not None
    assert (found.state, str(found.waits_for)) == ("queued", "a worker of queue balances")
    assert take_over(taker, take_message(client)) is not None
    taker.beat(OWNER, {})
    assert taker.overdue(None) is None
    assert (found := find(client, reference_of("a"), None)) is not None
    assert found.state == "running"


def test_whose_message_waits_while_its_queue_shuts_is_told_and_the_job_stays_where_it_is(
    taker: Inbox, client: redis.Redis
) -> None:
    accept(taker)
    shift_lease(client, -1)
    assert taker.rescue(10, shut=["balances"])[1] == []
    assert client.lrange("ballast:inbox:untold", 0, -1) == [b"a"]
    assert owner_of(client) == b"bearer:1"
    shift_lease(client, -2)
    assert taker.rescue(10, shut=["balances"])[1] == []
    assert (taker.held_back(), owner_of(client)) == (1, None)
    assert taker.rescue(10)[1] == [], "its message is still there"
    message = take_message(client)
    assert take_over(taker, message) is None
    assert taker.claim("a", OWNER, queue="balances", sequence=message.sequence) is not None


STEPS = (
    "accept",
    "offer",
    "hear",
    "take",
    "beat",
    "finish",
    "release",
    "give back",
    "lose",
    "put back",
    "die",
    "time",
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 2), st.integers(0, 2)), max_size=40),
)
def test_whatever_is_lost_each_job_is_held_by_one_process_and_done_once_and_in_order(
    client: redis.Redis, steps: list[tuple[str, int, int]]
) -> None:
    """Three processes, of which each holds what it was given, by a message or without one, until it does it, gives it
    back or dies.
    """
    client.flushdb()
    publisher = Publisher(client)
    owners = ["host:0:aa", "host:1:bb", "host:2:cc"]
    inboxes = [Inbox(client) for _ in owners]
    held: list[list[str]] = [[] for _ in owners]
    lanes: dict[str, int] = {}
    done: list[str] = []
    for inbox, owner in zip(inboxes, owners, strict=True):
        inbox.beat(owner, {})
    unread: list[list[DirectJob]] = [[] for _ in owners]
    listening = [listen(inbox, owner) for inbox, owner in zip(inboxes, owners, strict=True)]

    def offer(who: int) -> None:
        inboxes[who].finish_many([Answered("nothing")], idle=f"{owners[who]} main@host")

    def heard(who: int) -> DirectJob | None:
        if unread[who]:
            return unread[who].pop(0)
        message = listening[who].get_message(ignore_subscribe_messages=True)
        return None if message is None else DirectJob.read(message["data"])

    def hear(who: int) -> None:
        if (job := heard(who)) is not None:
            do(who, Taken(job.job_id, job.sequence, job.carried))

    def take(who: int) -> None:
        if client.llen("balances"):
            do(who, take_message(client))

    def do(who: int, message: Taken) -> None:
        claim = take_over(inboxes[who], message)
        found = (claim,) if claim is not None else claimed(who, message)
        for claim in found:
            assert not any(claim.envelope.job_id in jobs for jobs in held)
            held[who].append(claim.envelope.job_id)

    def claimed(who: int, message: Taken) -> tuple[Claim, ...]:
        job_id, sequence, _ = message
        return (
            inboxes[who]
            .claim_many(owners[who], job_id=job_id, queue="balances", sequence=sequence, more=1, tasks=TASKS)
            .claims
        )

    def finish(who: int, sequence: int = 0) -> None:
        if held[who]:
            job_id = held[who].pop(sequence % len(held[who]))
            done.append(job_id)
            following = inboxes[who].finish(job_id).following
            if following is not None:
                publisher.publish(following)

    def pass_time() -> None:
        """Until every lease is over, while the living beat."""
        for inbox, owner, jobs in zip(inboxes, owners, held, strict=True):
            assert inbox.beat(owner, {}) == {*jobs}
        for job_id in cast("list[bytes]", client.zrange("ballast:inbox:due", 0, -1)):
            client.zadd("ballast:inbox:due", {job_id: 0})
        age_messages(client, -BEARER_LEASE_MS / 1000)
        for who in range(3):
            came = []
            while (job := heard(who)) is not None:
                at_ms = job.carried.at_ms - BEARER_LEASE_MS
                came.append(replace(job, carried=replace(job.carried, at_ms=at_ms)))
            unread[who] = came
        publisher.publish_many(inboxes[0].rescue(100)[1])

    for step, who, number in steps:
        if step == "accept":
            job_id = f"j{len(lanes):02}"
            lanes[job_id] = number
            accept(inboxes[who], job_id, f"user:{number}")
        elif step == "offer":
            offer(who)
        elif step == "hear":
            hear(who)
        elif step == "give back" and (job := heard(who)) is not None:
            inboxes[who].give_back_direct(job, owners[who])
        elif step == "take":
            take(who)
        elif step == "beat":
            assert inboxes[who].beat(owners[who], {}) >= set()
        elif step == "finish":
            finish(who, number)
        elif step == "release" and held[who]:
            assert inboxes[who].release(held[who].pop(), owners[who], delay_seconds=0, count_delivery=False)
        elif step == "lose":
            client.rpop("balances")
        elif step == "put back" and client.llen("balances"):
            client.rpush("balances", json.dumps(kombu_patches._without_claim(pop(client))))
        elif step == "die":
            inboxes[who].leave(owners[who])
            inboxes[who] = Inbox(client)
            held[who] = []
            unread[who] = []
            listening[who].reset()
            listening[who] = listen(inboxes[who], owners[who])
            inboxes[who].beat(owners[who], {})
        elif step == "time":
            pass_time()
    for _ in range(3 * len(lanes) + 1):
        for who in range(3):
            hear(who)
            take(who)
            while held[who]:
                finish(who)
        pass_time()
    assert sorted(done) == sorted(lanes)
    by_lane = defaultdict(list)
    for job_id in done:
        by_lane[lanes[job_id]].append(job_id)
    assert all(order == sorted(order) for order in by_lane.values())
    assert (inboxes[0].size(), client.llen("balances")) == (0, 0)
    for each in listening:
        each.reset()
