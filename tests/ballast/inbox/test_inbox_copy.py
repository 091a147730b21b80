"""The inbox's copy: every job on record is in it and comes back once, in its order; what was done stays done."""

from __future__ import annotations

import threading

import redis

from ballast.builtin.balances import ShowBalance
from ballast.inbox import Acceptance, Inbox
from ballast.inbox.copying import InboxCopier, is_running
from ballast.queueing import relay_hold
from ballast.queueing.envelope import Envelope

OWNER = "host:1:aa"


def envelope(job_id: str, lane: str = "user:7") -> Envelope:
    return Envelope.of(ShowBalance(telegram_id=7), job_id=job_id, lane=lane, chat_id=7)


def put_back(client: redis.Redis, lines: list[str]) -> int:
    return InboxCopier(client).put_back(lines, lines)


def copy(client: redis.Redis) -> list[str]:
    return list(InboxCopier(client).copy())


def do_all(client: redis.Redis, inbox: Inbox) -> list[str]:
    """What a worker does: whatever the rescuer publishes, until nothing is left. The jobs in the order of doing."""
    done: list[str] = []
    while inbox.size():
        _, dispatches = inbox.rescue(100)
        claims = [claim for dispatch in dispatches if (claim := inbox.claim(dispatch.job_id, OWNER))]
        while claims:
            claim = claims.pop()
            done.append(claim.envelope.job_id)
            following = inbox.finish(claim.envelope.job_id).following
            if following is not None and (after := inbox.claim(following.job_id, OWNER)):
                claims.append(after)
    return done


def test_jobs_come_back_in_their_lanes_order_whoever_held_them(client: redis.Redis, inbox: Inbox) -> None:
    for job_id in ("a", "b", "c"):
        inbox.accept(envelope(job_id))
    for job_id in ("x", "y"):
        inbox.accept(envelope(job_id, "user:8"))
    assert inbox.claim("a", OWNER) is not None
    lines = copy(client)
    client.flushdb()
    assert put_back(client, lines) == 5
    done = do_all(client, inbox)
    assert [job for job in done if job in "abc"] == ["a", "b", "c"]
    assert [job for job in done if job in "xy"] == ["x", "y"]
    assert inbox.size() == 0


def test_a_job_brings_back_what_was_done_of_it(client: redis.Redis, inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    inbox.claim("a", OWNER)
    inbox.release("a", OWNER, delay_seconds=0, reply="[]", begun=True)
    inbox.note_sent("a", 1)
    lines = copy(client)
    client.flushdb()
    put_back(client, lines)
    (dispatch,) = inbox.rescue(10)[1]
    assert (dispatch.queue, dispatch.kind) == ("replies", "replies.deliver")
    claim = inbox.claim("a", OWNER)
    assert claim is not None
    assert (claim.reply, claim.sent, claim.begun, claim.deliveries) == ("[]", 1, True, 2)


def test_what_was_done_is_known_to_be_done(client: redis.Redis, inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    inbox.claim("a", OWNER)
    inbox.finish("a")
    lines = copy(client)
    client.flushdb()
    assert put_back(client, lines) == 0
    assert inbox.accept(envelope("a")).status is Acceptance.DONE


def test_beside_a_redis_that_lived_on_jobs_done_since_are_done_again_and_those_on_record_stay(
    client: redis.Redis, inbox: Inbox
) -> None:
    """The database is that of the backup, so what was done since is gone from it."""
    for job_id in ("a", "b"):
        inbox.accept(envelope(job_id))
    lines = copy(client)
    inbox.claim("a", OWNER)
    inbox.finish("a")
    inbox.accept(envelope("c"))
    assert put_back(client, lines) == 1
    assert do_all(client, inbox) == ["a", "b", "c"]
    assert put_back(client, lines) == 2  # as if the database were restored once more
    assert do_all(client, inbox) == ["a", "b"]


def test_putting_back_twice_is_as_once(client: redis.Redis, inbox: Inbox) -> None:
    for job_id in ("a", "b"):
        inbox.accept(envelope(job_id))
    lines = copy(client)
    client.flushdb()
    assert put_back(client, lines) == 2
    assert put_back(client, lines) == 0
    assert do_all(client, inbox) == ["a", "b"]


def test_a_job_that_comes_later_keeps_its_time(client: redis.Redis, inbox: Inbox) -> None:
    inbox.accept(envelope("later"), delay_seconds=3600)
    inbox.accept(envelope("now"))
    lines = copy(client)
    client.flushdb()
    assert put_back(client, lines) == 2
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["now"]
    client.zadd("ballast:inbox:due", {"later": 0})
    inbox.claim("now", OWNER)
    inbox.finish("now")
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["later"]


def test_a_copy_made_while_jobs_come_and_go_lacks_none_that_was_there_at_its_beginning(
    client: redis.Redis, inbox: Inbox, redis_url: str
) -> None:
    before = [f"job{number}" for number in range(600)]
    for number, job_id in enumerate(before):
        inbox.accept(envelope(job_id, f"user:{number % 150}"))
    over = threading.Event()

    def work() -> None:
        with redis.Redis.from_url(redis_url) as own:
            its, number = Inbox(own), 0
            while not over.is_set():
                number += 1
                its.accept(envelope(f"more{number}", f"user:{number % 150}"))
                for lane in (number % 150, (number * 7) % 150):
                    head = own.lindex(f"ballast:inbox:lane:user:{lane}", 0)
                    if isinstance(head, bytes) and its.claim(head.decode(), OWNER):
                        its.finish(head.decode())

    worker = threading.Thread(target=work)
    worker.start()
    try:
        lines = copy(client)
        again = copy(client)
    finally:
        over.set()
        worker.join()
    for each in (lines, again):
        client.flushdb()
        put_back(client, each)
        for job_id in before:
            is_done = any(client.sismember(key, job_id) for key in client.keys("ballast:inbox:done:*"))
            assert is_done != bool(client.exists(f"ballast:inbox:job:{job_id}")), job_id
        do_all(client, inbox)


def test_dialogues_and_buttons_come_back_and_last_balances_do_not(client: redis.Redis) -> None:
    client.set("ballast:dialogue:7:7", '{"asks": "whom"}', ex=600)
    client.set("ballast:button:abc", "{}", ex=600)
    client.hset("ballast:balances:CREDIT", "7", "500 9 1")
    lines = copy(client)
    client.delete("ballast:dialogue:7:7", "ballast:button:abc")
    put_back(client, lines)
    assert client.get("ballast:dialogue:7:7") == b'{"asks": "whom"}'
    assert 0 < client.ttl("ballast:button:abc") <= 600
    assert not client.exists("ballast:balances:CREDIT")  # of a version that the older database does not have


def test_no_relay_runs_between_the_copy_and_the_dump(client: redis.Redis) -> None:
    with relay_hold.running(client) as may_run:
        assert may_run
        looked = []

        def one_ends(_seconds: float) -> None:
            looked.append(client.zcard("ballast:relay:running"))
            client.delete("ballast:relay:running")

        with relay_hold.held(client, sleep=one_ends) as release:
            assert looked == [1]
            with relay_hold.running(client) as may_run:
                assert not may_run
            release()
            with relay_hold.running(client) as may_run:
                assert may_run
    with relay_hold.held(client, sleep=one_ends):
        pass
    with relay_hold.running(client) as may_run:
        assert may_run


def test_a_process_that_beats_is_running(client: redis.Redis, inbox: Inbox) -> None:
    assert not is_running(client, 2.0)
    inbox.beat(OWNER, None)
    assert is_running(client, 2.0)
    inbox.leave(OWNER)
    assert not is_running(client, 2.0)
