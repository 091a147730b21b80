"""One budget of sends for the whole fleet. Redis's clock is not turned: what it is compared with is."""

from __future__ import annotations

import threading
import time

import pytest
import redis

from devstack.ports import free_port
from workers.telegram.pacer import FREE_MARGIN, GROUP_MESSAGES_A_MINUTE, SHARE_AFTER_FLOOD, SHARE_MIN, Pacer

KEY = "ballast:pace"
PEOPLE = list(range(1, 2001))


@pytest.fixture
def pacer(client: redis.Redis) -> Pacer:
    return Pacer(client)


def end_the_halt(client: redis.Redis) -> None:
    client.hset(KEY, "halted_until", 0)


def age_the_share(client: redis.Redis, seconds: float) -> None:
    at = client.hget(KEY, "share_at")
    assert at is not None
    client.hset(KEY, "share_at", float(at) - 1000 * seconds)


def test_replies_are_not_held_back_before_telegram_says_so(pacer: Pacer) -> None:
    assert [pacer.interactive(7) for _ in range(200)] == [0.0] * 200


def test_bulk_of_two_processes_together_stays_below_the_ceiling(client: redis.Redis) -> None:
    granted: list[int] = []
    people = iter(range(1, 100_000))
    started = time.monotonic()

    def send(pacer: Pacer) -> None:
        while time.monotonic() < started + 3:
            grant = pacer.bulk([next(people) for _ in range(10)], paid=False)
            granted.extend(grant.granted)
            time.sleep(grant.retry_after_seconds)

    senders = [threading.Thread(target=send, args=(Pacer(client),)) for _ in range(2)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    rate = 30 * FREE_MARGIN
    # What gathered before, a quarter of a second's worth, may go at once.
    assert 10 < len(granted) <= rate * (time.monotonic() - started) + rate / 4


def test_replies_take_their_part_of_the_budget_before_bulk(pacer: Pacer) -> None:
    for person in range(10_000, 10_060):
        assert pacer.interactive(person) == 0.0
    grant = pacer.bulk(PEOPLE[:10], paid=False)
    assert grant.granted == ()
    assert grant.retry_after_seconds > 0.5  # their debt is paid by bulk alone


def test_an_album_takes_as_much_of_the_budget_as_it_has_pieces(pacer: Pacer, client: redis.Redis) -> None:
    assert pacer.bulk(PEOPLE[:10], paid=False, pieces=10).granted == (1,)
    full = 30 * FREE_MARGIN
    # What one album took beyond the quarter of a second that had gathered is waited for.
    wait_seconds = pacer.bulk(PEOPLE[1:10], paid=False, pieces=10).retry_after_seconds
    assert (10 - full / 4) / full < wait_seconds < 10 / full
    group = -100
    assert [pacer.interactive(group, pieces=9) for _ in range(2)] == [0.0, 0.0]
    assert pacer.interactive(group, pieces=9) > 50
    assert pacer.interactive(group, pieces=2) == 0.0


def test_bulk_sends_nobody_two_messages_within_a_second(pacer: Pacer, client: redis.Redis) -> None:
    assert pacer.bulk([1, 2], paid=False).granted == (1, 2)
    again = pacer.bulk([1, 2, 3], paid=True)
    assert again.granted == (3,)
    assert 0 < again.retry_after_seconds <= 1
    assert pacer.interactive(4) == 0.0
    assert pacer.bulk([4], paid=True).granted == ()
    client.delete(f"{KEY}:chat:4")
    assert pacer.bulk([4], paid=True).granted == (4,)


def test_paid_bulk_has_a_budget_of_its_own_and_a_larger_one(pacer: Pacer) -> None:
    assert len(pacer.bulk(PEOPLE, paid=False).granted) < 10
    assert len(pacer.bulk(PEOPLE, paid=True).granted) > 200


def test_a_group_gets_twenty_a_minute(pacer: Pacer, client: redis.Redis) -> None:
    group = -100
    assert [pacer.interactive(group) for _ in range(GROUP_MESSAGES_A_MINUTE)] == [0.0] * 20
    assert 50 < pacer.interactive(group) <= 60
    assert pacer.bulk([group], paid=True).granted == ()
    assert pacer.interactive(group - 1) == 0.0
    oldest = client.lindex(f"{KEY}:group:{group}", 0)
    assert oldest is not None
    client.lset(f"{KEY}:group:{group}", 0, str(int(oldest) - 60_000))
    assert pacer.interactive(group) == 0.0


def test_a_429_makes_every_process_wait_until_its_end(client: redis.Redis) -> None:
    Pacer(client).halt(5)
    other = Pacer(client)
    assert 4 < other.interactive(1) <= 5
    assert other.bulk([1], paid=False).granted == ()
    assert 4 < other.bulk([1], paid=True).retry_after_seconds <= 5
    end_the_halt(client)
    assert other.bulk([1], paid=True).granted == (1,)


def test_a_shorter_429_does_not_end_a_longer_one(pacer: Pacer) -> None:
    pacer.halt(30)
    pacer.halt(1)
    assert pacer.interactive(1) > 20


def test_one_429_heard_by_many_costs_the_share_once_and_the_share_grows_back(
    pacer: Pacer, client: redis.Redis
) -> None:
    full = pacer.rate(paid=True)
    for _ in range(50):
        pacer.halt(3)
    assert pacer.rate(paid=True) == pytest.approx(full * SHARE_AFTER_FLOOD)
    end_the_halt(client)
    pacer.halt(3)
    assert pacer.rate(paid=True) == pytest.approx(full * SHARE_AFTER_FLOOD**2, rel=0.01)
    for _ in range(20):
        end_the_halt(client)
        pacer.halt(3)
    assert pacer.rate(paid=True) == pytest.approx(full * SHARE_MIN, rel=0.01)
    end_the_halt(client)
    age_the_share(client, 3600)
    pacer.bulk([1], paid=True)
    assert pacer.rate(paid=True) == pytest.approx(full)


def test_at_the_smallest_share_bulk_still_goes_on(pacer: Pacer, client: redis.Redis) -> None:
    for _ in range(20):
        end_the_halt(client)
        pacer.halt(3)
    end_the_halt(client)
    assert pacer.bulk(PEOPLE[:10], paid=False).granted == (1, 2)


def test_after_a_429_replies_keep_the_pace_too(pacer: Pacer, client: redis.Redis) -> None:
    pacer.halt(3)
    end_the_halt(client)
    waits = [pacer.interactive(person) for person in PEOPLE[:60]]
    assert waits[0] == 0.0
    assert 0 < waits[-1] < 1


def test_a_chat_that_was_answered_too_fast_gets_one_a_second(pacer: Pacer, client: redis.Redis) -> None:
    pacer.halt(3, chat_id=7)
    end_the_halt(client)
    age_the_share(client, 3600)
    assert pacer.interactive(7) == 0.0
    assert 0 < pacer.interactive(7) <= 1
    assert [pacer.interactive(8) for _ in range(5)] == [0.0] * 5


def test_without_redis_nobody_is_granted_anything() -> None:
    with redis.Redis(port=free_port()) as nowhere, pytest.raises(redis.RedisError):
        Pacer(nowhere).bulk([1], paid=False)
