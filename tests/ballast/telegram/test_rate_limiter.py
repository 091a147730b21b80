"""One budget of sends for the whole fleet. Redis's clock is not turned: what it is compared with is."""

from __future__ import annotations

import threading
import time

import pytest
import redis

from ballast.inbox import Claim, Inbox, Note
from ballast.queueing.envelope import Envelope
from ballast.telegram.rate_limiter import (
    FREE_MARGIN,
    FREE_PER_SECOND,
    GROUP_MESSAGES_A_MINUTE,
    HALT_SECONDS_MAX,
    SEVERAL_CHATS,
    SHARE_AFTER_FLOOD,
    SHARE_MIN,
    RateLimiter,
)
from devstack.ports import free_port

KEY = "ballast:pace"
PEOPLE = list(range(1, 2001))


@pytest.fixture
def rate_limiter(client: redis.Redis) -> RateLimiter:
    return RateLimiter(client)


def end_the_halt(client: redis.Redis) -> None:
    client.hset(KEY, "halted_until", 0)


def age_the_share(client: redis.Redis, seconds: float) -> None:
    at = client.hget(KEY, "share_at")
    assert at is not None
    client.hset(KEY, "share_at", float(at) - 1000 * seconds)


def test_replies_are_not_held_back_before_telegram_says_so(rate_limiter: RateLimiter) -> None:
    assert [rate_limiter.interactive(7) for _ in range(200)] == [0.0] * 200


def test_bulk_of_two_processes_together_stays_below_the_ceiling(client: redis.Redis) -> None:
    granted: list[int] = []
    people = iter(range(1, 100_000))
    started = time.monotonic()

    def send(rate_limiter: RateLimiter) -> None:
        while time.monotonic() < started + 3:
            grant = rate_limiter.bulk([next(people) for _ in range(10)], paid=False)
            granted.extend(grant.granted)
            time.sleep(grant.retry_after_seconds)

    senders = [threading.Thread(target=send, args=(RateLimiter(client),)) for _ in range(2)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    rate = 30 * FREE_MARGIN
    # What gathered before, a quarter of a second's worth, may go at once.
    assert 10 < len(granted) <= rate * (time.monotonic() - started) + rate / 4


def test_replies_take_their_part_of_the_budget_before_bulk(rate_limiter: RateLimiter) -> None:
    for person in range(10_000, 10_060):
        assert rate_limiter.interactive(person) == 0.0
    grant = rate_limiter.bulk(PEOPLE[:10], paid=False)
    assert grant.granted == ()
    assert grant.retry_after_seconds > 0.5  # their debt is paid by bulk alone


def test_an_album_takes_as_much_of_the_budget_as_it_has_pieces(
    rate_limiter: RateLimiter, client: redis.Redis
) -> None:
    assert rate_limiter.bulk(PEOPLE[:10], paid=False, pieces=10).granted == (1,)
    full = 30 * FREE_MARGIN
    # What one album took beyond the quarter of a second that had gathered is waited for.
    wait_seconds = rate_limiter.bulk(PEOPLE[1:10], paid=False, pieces=10).retry_after_seconds
    assert (10 - full / 4) / full < wait_seconds < 10 / full
    group = -100
    assert [rate_limiter.interactive(group, pieces=9) for _ in range(2)] == [0.0, 0.0]
    assert rate_limiter.interactive(group, pieces=9) > 50
    assert rate_limiter.interactive(group, pieces=2) == 0.0


def test_bulk_sends_nobody_two_messages_within_a_second(
    rate_limiter: RateLimiter, client: redis.Redis
) -> None:
    assert rate_limiter.bulk([1, 2], paid=False).granted == (1, 2)
    again = rate_limiter.bulk([1, 2, 3], paid=True)
    assert again.granted == (3,)
    assert 0 < again.retry_after_seconds <= 1
    assert rate_limiter.interactive(4) == 0.0
    assert rate_limiter.bulk([4], paid=True).granted == ()
    client.delete(f"{KEY}:chat:4")
    assert rate_limiter.bulk([4], paid=True).granted == (4,)


def test_paid_bulk_has_a_budget_of_its_own_and_a_larger_one(rate_limiter: RateLimiter) -> None:
    assert len(rate_limiter.bulk(PEOPLE, paid=False).granted) < 10
    assert len(rate_limiter.bulk(PEOPLE, paid=True).granted) > 200


def test_a_group_gets_twenty_a_minute(rate_limiter: RateLimiter, client: redis.Redis) -> None:
    group = -100
    assert [rate_limiter.interactive(group) for _ in range(GROUP_MESSAGES_A_MINUTE)] == [0.0] * 20
    assert 50 < rate_limiter.interactive(group) <= 60
    assert rate_limiter.bulk([group], paid=True).granted == ()
    assert rate_limiter.interactive(group - 1) == 0.0
    oldest = client.lindex(f"{KEY}:group:{group}", 0)
    assert oldest is not None
    client.lset(f"{KEY}:group:{group}", 0, str(int(oldest) - 60_000))
    assert rate_limiter.interactive(group) == 0.0


def test_a_chat_is_clear_unless_something_could_keep_a_reply_from_it_and_asking_writes_nothing(
    rate_limiter: RateLimiter, client: redis.Redis
) -> None:
    before = client.info("persistence")["rdb_changes_since_last_save"]
    assert rate_limiter.are_clear([7, 8, -100]) == [True, True, False]
    assert client.info("persistence")["rdb_changes_since_last_save"] == before
    rate_limiter.refuse_chat(8, 60)
    assert rate_limiter.are_clear([7, 8]) == [True, False]
    client.delete(f"{KEY}:waits:8")
    assert rate_limiter.are_clear([8]) == [False], "for a while it gets one message a second"
    flood(rate_limiter, 60)
    assert rate_limiter.are_clear([7]) == [False]
    end_the_halt(client)
    assert rate_limiter.are_clear([7]) == [False], "the share has to grow back"


def flood(rate_limiter: RateLimiter, seconds: float, *, first_chat: int = 10_001) -> float:
    """Telegram refuses several chats at once; for how long the fleet pauses."""
    return [rate_limiter.refuse_chat(first_chat + each, seconds) for each in range(SEVERAL_CHATS)][-1]


def test_a_429_of_one_chat_makes_that_chat_wait_and_nobody_else(client: redis.Redis) -> None:
    assert RateLimiter(client).refuse_chat(8, 36_000) == 0.0
    other = RateLimiter(client)
    assert other.interactive(9) == 0.0
    assert 35_990 < other.interactive(8) <= 36_000
    grant = other.bulk([8, 9, 10], paid=True)
    assert grant.granted == (10,)  # 9 was answered just now
    assert set(grant.refused) == {8}
    assert 35_990 < grant.refused[8] <= 36_000
    assert grant.retry_after_seconds <= 1  # for 9, and not for 8
    assert other.rate(paid=True) == pytest.approx(999, rel=0.01)
    client.delete(f"{KEY}:waits:8")
    assert other.interactive(8) == 0.0


def test_a_shorter_429_does_not_end_a_longer_one(rate_limiter: RateLimiter) -> None:
    rate_limiter.refuse_chat(8, 30)
    rate_limiter.refuse_chat(8, 1)
    assert rate_limiter.interactive(8) > 20


def test_one_chat_that_is_refused_over_and_over_does_not_pause_the_fleet(rate_limiter: RateLimiter) -> None:
    assert [rate_limiter.refuse_chat(8, 600) for _ in range(20)] == [0.0] * 20
    assert rate_limiter.interactive(9) == 0.0


def test_several_chats_refused_within_a_moment_pause_the_fleet_until_the_first_may_be_sent_to(
    client: redis.Redis,
) -> None:
    assert 4 < flood(RateLimiter(client), 5) <= 5
    other = RateLimiter(client)
    assert 4 < other.interactive(1) <= 5
    assert other.bulk([1], paid=False).granted == ()
    assert 4 < other.bulk([1], paid=True).retry_after_seconds <= 5
    end_the_halt(client)
    assert other.bulk([1], paid=True).granted == (1,)
    assert other.interactive(10_001) > 4  # its own wait is not over


def test_refusals_of_several_chats_that_are_not_of_one_moment_pause_nobody(
    rate_limiter: RateLimiter, client: redis.Redis
) -> None:
    for chat_id in range(1, 20):
        assert rate_limiter.refuse_chat(chat_id, 600) == 0.0
        client.zadd(f"{KEY}:refused", {str(chat_id): 1})  # long ago
    assert rate_limiter.interactive(100) == 0.0


def test_however_long_the_429s_are_the_fleet_pauses_for_half_a_minute_at_most(
    rate_limiter: RateLimiter, client: redis.Redis
) -> None:
    assert flood(rate_limiter, 36_000) <= HALT_SECONDS_MAX
    assert (
        rate_limiter.refuse_chat(99, 36_000) <= HALT_SECONDS_MAX
    )  # heard during the pause, it does not prolong it
    end_the_halt(client)
    assert rate_limiter.interactive(1) == 0.0
    assert flood(rate_limiter, 36_000, first_chat=20_001) > 20


def test_a_method_that_was_refused_waits_and_no_other(client: redis.Redis) -> None:
    RateLimiter(client).refuse_method("setMyCommands", 490)
    other = RateLimiter(client)
    assert 480 < other.method_wait("setMyCommands") <= 490
    assert other.method_wait("setWebhook") == 0.0
    assert other.interactive(8) == 0.0
    assert other.bulk([1], paid=True).granted == (1,)


def test_one_flood_heard_by_many_costs_the_share_once_and_the_share_grows_back(
    rate_limiter: RateLimiter, client: redis.Redis
) -> None:
    full = rate_limiter.rate(paid=True)
    for _ in range(50):
        flood(rate_limiter, 3)
    assert rate_limiter.rate(paid=True) == pytest.approx(full * SHARE_AFTER_FLOOD)
    end_the_halt(client)
    flood(rate_limiter, 3)
    assert rate_limiter.rate(paid=True) == pytest.approx(full * SHARE_AFTER_FLOOD**2, rel=0.01)
    for _ in range(20):
        end_the_halt(client)
        flood(rate_limiter, 3)
    assert rate_limiter.rate(paid=True) == pytest.approx(full * SHARE_MIN, rel=0.01)
    end_the_halt(client)
    age_the_share(client, 3600)
    rate_limiter.bulk([1], paid=True)
    assert rate_limiter.rate(paid=True) == pytest.approx(full)


def test_at_the_smallest_share_bulk_still_goes_on(rate_limiter: RateLimiter, client: redis.Redis) -> None:
    for _ in range(20):
        end_the_halt(client)
        flood(rate_limiter, 3)
    end_the_halt(client)
    assert rate_limiter.bulk(PEOPLE[:10], paid=False).granted == (1, 2)


def test_after_a_flood_replies_keep_the_pace_too(rate_limiter: RateLimiter, client: redis.Redis) -> None:
    flood(rate_limiter, 3)
    end_the_halt(client)
    assert rate_limiter.interactive(PEOPLE[0]) == 0.0
    assert 0 < next(wait for person in PEOPLE[1:] if (wait := rate_limiter.interactive(person)) > 0) < 1


def test_a_chat_that_was_answered_too_fast_gets_one_a_second(
    rate_limiter: RateLimiter, client: redis.Redis
) -> None:
    rate_limiter.refuse_chat(7, 900)
    assert client.ttl(f"{KEY}:flooded:7") > 900
    client.delete(f"{KEY}:waits:7")
    assert rate_limiter.interactive(7) == 0.0
    assert 0 < rate_limiter.interactive(7) <= 1
    assert [rate_limiter.interactive(8) for _ in range(5)] == [0.0] * 5


def test_without_redis_nobody_is_granted_anything() -> None:
    address = f"redis://127.0.0.1:{free_port()}/0"
    with redis.Redis.from_url(address, retry=None) as nowhere, pytest.raises(redis.RedisError):
        RateLimiter(nowhere).bulk([1], paid=False)


def test_replies_asked_for_together_wait_as_they_would_one_by_one(client: redis.Redis) -> None:
    rate_limiter = RateLimiter(client)
    group, flooded = -1, 9
    replies = [(7, 1), (flooded, 1), (7, 1), *[(group, 1)] * (GROUP_MESSAGES_A_MINUTE + 1), (flooded, 1)]
    rate_limiter.refuse_chat(flooded, 36)
    waits = rate_limiter.interactive_many(replies)
    granted = [number for number, wait in enumerate(waits) if not wait]
    assert granted == [0, *range(2, 3 + GROUP_MESSAGES_A_MINUTE)]
    assert 35 < waits[1] <= 36
    assert 50 < waits[-2] <= 60
    tokens = float(client.hget("ballast:pace", "free") or "nan")
    assert tokens == pytest.approx(
        max(4, FREE_MARGIN * FREE_PER_SECOND / 4) - len(granted), abs=0.01
    )  # each took one


@pytest.fixture
def inbox(client: redis.Redis) -> Inbox:
    return Inbox(client)


def _claimed(inbox: Inbox, job_id: str, chat_id: int | None) -> Claim:
    inbox.accept(Envelope(job_id=job_id, lane=job_id, kind="balances.show", fields={}, chat_id=chat_id))
    claim = inbox.claim(job_id, "worker")
    assert claim is not None
    return claim


def test_a_claim_takes_the_turn_of_the_answer_and_counts_it(inbox: Inbox, rate_limiter: RateLimiter) -> None:
    assert rate_limiter.bulk([7], paid=False).granted == (7,)
    assert _claimed(inbox, "a", 8).turn_until > time.monotonic()
    assert rate_limiter.bulk([8], paid=False).granted == (), (
        "a reply goes there, and one message a second is enough"
    )


def test_a_claim_takes_no_turn_of_a_chat_that_the_pacer_is_to_be_asked_for(
    inbox: Inbox, rate_limiter: RateLimiter
) -> None:
    rate_limiter.refuse_chat(7, 1.0)
    for job_id, chat_id in (("a", 7), ("b", -100), ("c", None)):
        assert _claimed(inbox, job_id, chat_id).turn_until == 0.0
    for chat_id in (8, 9, 10):
        rate_limiter.refuse_chat(chat_id, 1.0)
    assert _claimed(inbox, "d", 11).turn_until == 0.0, "the whole fleet pauses"


def test_what_notes_a_message_takes_the_turn_of_the_next(inbox: Inbox, rate_limiter: RateLimiter) -> None:
    for job_id in ("a", "b"):
        _claimed(inbox, job_id, 7)
    rate_limiter.refuse_chat(9, 1.0)
    notes = [Note(job_id, "sent", 1, chat) for job_id, chat in (("a", 8), ("b", 9), ("a", -100), ("b", None))]
    noted = inbox.note_many([*notes, Note("gone", "sent", 1, 8)])
    assert [each.has_turn for each in noted] == [True, False, False, False, False]
    assert [each.is_on_record for each in noted] == [True, True, True, True, False]
    assert rate_limiter.bulk([8], paid=False).granted == ()
