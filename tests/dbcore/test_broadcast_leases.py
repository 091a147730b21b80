"""Each recipient is handed to one sender and gets one final state, and the counts say the same as the rows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from dbcore.broadcasts import broadcasts, leases
from dbcore.broadcasts.broadcasts import AudienceTooLarge, BroadcastRefused, BroadcastStatus
from dbcore.broadcasts.leases import DeliveryStatus, Lease, Mark, Result
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from tests.dbcore.conftest import Sql, eventually

Audience = Callable[..., int]


@pytest.fixture
def audience(engine: GuardedEngine, sql: Sql) -> Audience:
    """Makes so many people, and a broadcast to them that is being sent; its id."""

    def make(count: int) -> int:
        sql(
            "INSERT INTO users (telegram_id, first_name) SELECT 1000 + n, 'P' FROM generate_series(1, %s) n",
            count,
        )
        made = broadcasts.create(engine, key="b", payload={"text": "hi"}, segment={}, actor="test")
        broadcasts.begin(engine, made.id)
        return made.id

    return make


def leased(engine: GuardedEngine, broadcast_id: int, number: int, limit: int, seconds: float = 60) -> Lease:
    return leases.lease(engine, broadcast_id, number, run=None, limit=limit, seconds=seconds)


def told(engine: GuardedEngine, broadcast_id: int, lease: Lease, status: DeliveryStatus) -> int:
    """Record one status for the whole lease; how many were the lease's to tell."""
    results = [Result(recipient.user_id, status) for recipient in lease.recipients]
    return leases.record(engine, broadcast_id, lease, results).recorded


def ids(lease: Lease) -> list[int]:
    return [recipient.user_id for recipient in lease.recipients]


def states(sql: Sql) -> Counter[str]:
    return Counter(dict(sql("SELECT status, count(*) FROM broadcast_deliveries GROUP BY 1")))


def assert_counts_add_up(engine: GuardedEngine, sql: Sql, broadcast_id: int) -> None:
    broadcast = broadcasts.require(engine, broadcast_id)
    rows = states(sql)
    assert (broadcast.sent, broadcast.blocked, broadcast.failed, broadcast.unknown) == (
        rows["sent"],
        rows["blocked"],
        rows["failed"],
        rows["unknown"],
    )
    assert broadcast.audience == sum(rows.values())


def test_leases_go_through_the_audience_in_order_and_the_last_result_ends_it(
    engine: GuardedEngine, audience: Audience, sql: Sql
) -> None:
    broadcast_id = audience(25)
    seen: list[int] = []
    for number in range(3):
        lease = leased(engine, broadcast_id, number, 10)
        seen += ids(lease)
        told(engine, broadcast_id, lease, DeliveryStatus.SENT)
    assert seen == sorted(seen)
    assert len(set(seen)) == 25
    broadcast = broadcasts.require(engine, broadcast_id)
    assert (broadcast.status, broadcast.sent, broadcast.left) == (BroadcastStatus.FINISHED, 25, 0)
    assert broadcast.finished_at is not None
    assert ids(leased(engine, broadcast_id, 9, 10)) == []
    assert_counts_add_up(engine, sql, broadcast_id)


def test_many_leasers_at_once_never_hold_the_same_person(
    engine: GuardedEngine, audience: Audience, sql: Sql
) -> None:
    broadcast_id = audience(600)

    def sender(seed: int) -> list[int]:
        chance = random.Random(seed)
        got: list[int] = []
        for turn in range(1000):
            lease = leased(engine, broadcast_id, seed * 1000 + turn, chance.randint(1, 20))
            if not lease.recipients:
                return got
            kept = [each for each in lease.recipients if chance.random() < 0.8]
            got += [each.user_id for each in kept]
            results = [
                Result(each.user_id, DeliveryStatus.SENT if each in kept else DeliveryStatus.PENDING)
                for each in lease.recipients
            ]
            leases.record(engine, broadcast_id, lease, results)
        pytest.fail("there was no end to it")

    with ThreadPoolExecutor(4) as threads:
        got = [user_id for part in threads.map(sender, range(4)) for user_id in part]
    # Whoever found nothing left while others still held some went home: the rest is for who comes last.
    while (last := leased(engine, broadcast_id, 10**9, 50)).recipients:
        got += ids(last)
        told(engine, broadcast_id, last, DeliveryStatus.SENT)
    assert len(got) == len(set(got)) == 600
    assert broadcasts.require(engine, broadcast_id).status is BroadcastStatus.FINISHED
    assert_counts_add_up(engine, sql, broadcast_id)


def test_asked_again_with_its_number_a_lease_is_the_same_people(
    engine: GuardedEngine, audience: Audience
) -> None:
    broadcast_id = audience(10)
    first = leased(engine, broadcast_id, 7, 4)
    again = leased(engine, broadcast_id, 7, 4)
    assert (first.again, again.again) == (False, True)
    assert again.recipients == first.recipients


def test_results_told_twice_count_once_and_those_of_a_lease_that_was_taken_over_not_at_all(
    engine: GuardedEngine, audience: Audience, sql: Sql
) -> None:
    broadcast_id = audience(6)
    first = leased(engine, broadcast_id, 7, 3)
    taken_over = leased(engine, broadcast_id, 7, 3)
    assert told(engine, broadcast_id, first, DeliveryStatus.PENDING) == 0
    assert told(engine, broadcast_id, taken_over, DeliveryStatus.SENT) == 3
    assert told(engine, broadcast_id, taken_over, DeliveryStatus.FAILED) == 0
    assert states(sql) == Counter(sent=3, pending=3)
    assert_counts_add_up(engine, sql, broadcast_id)


def test_whoever_is_given_back_is_leased_again(engine: GuardedEngine, audience: Audience) -> None:
    broadcast_id = audience(10)
    first = leased(engine, broadcast_id, 1, 4)
    second = leased(engine, broadcast_id, 2, 4)
    told(engine, broadcast_id, second, DeliveryStatus.SENT)
    told(engine, broadcast_id, first, DeliveryStatus.PENDING)
    assert ids(leased(engine, broadcast_id, 3, 4)) == ids(first)
    assert len(ids(leased(engine, broadcast_id, 4, 4))) == 2


def test_a_paused_broadcast_leases_nothing_new_and_its_leases_are_still_settled(
    engine: GuardedEngine, audience: Audience
) -> None:
    broadcast_id = audience(4)
    held = leased(engine, broadcast_id, 1, 2)
    broadcasts.pause(engine, broadcast_id)
    assert ids(leased(engine, broadcast_id, 2, 2)) == []
    again = leased(engine, broadcast_id, 1, 2)
    assert (again.status, ids(again)) == (BroadcastStatus.PAUSED, ids(held))
    assert told(engine, broadcast_id, again, DeliveryStatus.SENT) == 2
    assert broadcasts.require(engine, broadcast_id).sent == 2


def test_a_run_that_is_over_leases_nothing(engine: GuardedEngine, audience: Audience) -> None:
    broadcast_id = audience(4)
    broadcasts.resume(engine, broadcast_id)
    assert not leases.lease(engine, broadcast_id, 1, run=1, limit=2).recipients
    assert leases.lease(engine, broadcast_id, 2, run=2, limit=2).recipients


def test_leases_of_senders_that_are_gone_for_good_are_named_once_nothing_else_is_left(
    engine: GuardedEngine, audience: Audience
) -> None:
    broadcast_id = audience(5)
    leased(engine, broadcast_id, 11, 2, seconds=0)
    alive = leased(engine, broadcast_id, 12, 2)
    rest = leased(engine, broadcast_id, 13, 2)
    assert rest.expired == ()
    told(engine, broadcast_id, rest, DeliveryStatus.SENT)
    assert leased(engine, broadcast_id, 14, 2).expired == (11,)
    told(engine, broadcast_id, leased(engine, broadcast_id, 11, 2), DeliveryStatus.UNKNOWN)
    assert leased(engine, broadcast_id, 15, 2).expired == ()
    told(engine, broadcast_id, alive, DeliveryStatus.SENT)
    assert broadcasts.require(engine, broadcast_id).status is BroadcastStatus.FINISHED


def test_a_bad_payload_halts_it_and_what_is_left_goes_on_when_it_is_resumed(
    engine: GuardedEngine, audience: Audience, sql: Sql
) -> None:
    broadcast_id = audience(5)
    lease = leased(engine, broadcast_id, 1, 2)
    results = [
        Result(lease.recipients[0].user_id, DeliveryStatus.FAILED, error="can't parse entities"),
        Result(lease.recipients[1].user_id, DeliveryStatus.PENDING),
    ]
    recorded = leases.record(engine, broadcast_id, lease, results, halt="can't parse entities")
    assert recorded.status is BroadcastStatus.HALTED
    assert broadcasts.require(engine, broadcast_id).halted_reason == "can't parse entities"
    assert not leased(engine, broadcast_id, 2, 5).recipients
    assert sql("SELECT DISTINCT status FROM users") == [("active",)]
    broadcasts.resume(engine, broadcast_id)
    assert broadcasts.require(engine, broadcast_id).halted_reason is None
    assert len(leased(engine, broadcast_id, 3, 5).recipients) == 4


def test_what_a_delivery_says_of_a_user_is_marked_and_not_found_takes_two_strikes(
    engine: GuardedEngine, audience: Audience, sql: Sql
) -> None:
    broadcast_id = audience(5)
    sql("UPDATE users SET strikes = 1 WHERE telegram_id IN (1004, 1005)")
    lease = leased(engine, broadcast_id, 1, 5)
    marks = (Mark.BLOCKED, Mark.DEACTIVATED, Mark.STRIKE, Mark.STRIKE, Mark.REACHED)
    results = [
        Result(
            each.user_id, DeliveryStatus.SENT if mark is Mark.REACHED else DeliveryStatus.FAILED, mark=mark
        )
        for each, mark in zip(lease.recipients, marks, strict=True)
    ]
    leases.record(engine, broadcast_id, lease, results)
    assert sql("SELECT status, strikes FROM users ORDER BY id") == [
        ("blocked", 0),
        ("deactivated", 0),
        ("active", 1),
        ("blocked", 2),
        ("active", 0),
    ]
    for telegram_id in (1003, 1004):
        users.get_or_create(engine, profile=users.Profile(telegram_id, None, "P"))
    assert sql("SELECT DISTINCT status, strikes FROM users WHERE telegram_id IN (1003, 1004)") == [
        ("active", 0)
    ]


def test_who_comes_back_begins_without_strikes(engine: GuardedEngine, audience: Audience, sql: Sql) -> None:
    audience(2)
    sql("UPDATE users SET strikes = 2, status = 'blocked' WHERE telegram_id = 1001")
    sql("UPDATE users SET strikes = 1 WHERE telegram_id = 1002")
    for telegram_id in (1001, 1002):
        users.set_status(engine, telegram_id=telegram_id, status=users.UserStatus.ACTIVE)
    assert sql("SELECT DISTINCT status, strikes FROM users") == [("active", 0)]


def test_who_stops_broadcasts_while_one_is_under_way_is_told_apart(
    engine: GuardedEngine, audience: Audience
) -> None:
    broadcast_id = audience(3)
    users.choose_broadcasts(engine, profile=users.Profile(1002, None, "P"), wanted=False)
    users.set_status(engine, telegram_id=1003, status=users.UserStatus.BLOCKED)
    assert [each.wanted for each in leased(engine, broadcast_id, 1, 3).recipients] == [True, False, False]


def test_an_album_s_messages_are_all_remembered(engine: GuardedEngine, audience: Audience, sql: Sql) -> None:
    broadcast_id = audience(2)
    lease = leased(engine, broadcast_id, 1, 2)
    album, single = (each.user_id for each in lease.recipients)
    results = [
        Result(album, DeliveryStatus.SENT, (5, 6, 7)),
        Result(single, DeliveryStatus.SENT, (8,)),
    ]
    leases.record(engine, broadcast_id, lease, results)
    found = sql("SELECT message_id, more_message_ids FROM broadcast_deliveries ORDER BY user_id")
    assert found == [(5, [6, 7]), (8, None)]


def test_the_unknown_are_sent_again_only_by_an_operators_word(
    engine: GuardedEngine, audience: Audience, sql: Sql
) -> None:
    broadcast_id = audience(6)
    told(engine, broadcast_id, leased(engine, broadcast_id, 1, 2), DeliveryStatus.UNKNOWN)
    told(engine, broadcast_id, leased(engine, broadcast_id, 2, 4), DeliveryStatus.SENT)
    assert broadcasts.require(engine, broadcast_id).status is BroadcastStatus.FINISHED
    begun, resent = broadcasts.resend_unknown(engine, broadcast_id, "word")
    assert (begun.status, resent) == (BroadcastStatus.SENDING, 2)
    lease = leased(engine, broadcast_id, 3, 10)
    assert len(lease.recipients) == 2
    told(engine, broadcast_id, lease, DeliveryStatus.SENT)
    broadcast = broadcasts.require(engine, broadcast_id)
    assert (broadcast.status, broadcast.sent, broadcast.unknown) == (BroadcastStatus.FINISHED, 6, 0)
    assert_counts_add_up(engine, sql, broadcast_id)


def test_one_word_sends_the_unknown_again_once_however_often_it_comes(
    engine: GuardedEngine, audience: Audience, sql: Sql
) -> None:
    broadcast_id = audience(3)
    told(engine, broadcast_id, leased(engine, broadcast_id, 1, 3), DeliveryStatus.UNKNOWN)
    begun, resent = broadcasts.resend_unknown(engine, broadcast_id, "first")
    assert resent == 3
    told(engine, broadcast_id, leased(engine, broadcast_id, 2, 3), DeliveryStatus.UNKNOWN)
    again, resent = broadcasts.resend_unknown(engine, broadcast_id, "first")
    assert (again.status, again.run, resent) == (BroadcastStatus.FINISHED, begun.run, 0)
    with pytest.raises(AudienceTooLarge, match="an audience of 9 is more"):
        broadcasts.resend_unknown(engine, broadcast_id, "second", audience_max=8)
    assert broadcasts.resend_unknown(engine, broadcast_id, "second", audience_max=9)[1] == 3


def test_there_is_nothing_to_lease_of_what_is_not_there(engine: GuardedEngine) -> None:
    with pytest.raises(BroadcastRefused, match="no broadcast 3"):
        leased(engine, 3, 1, 1)


def test_results_stay_on_their_rows_page_and_grow_no_index(
    engine: GuardedEngine, audience: Audience, sql: Sql
) -> None:
    """What makes the last chunk of a million as quick as the first."""
    broadcast_id = audience(2000)
    for number in range(10):
        told(engine, broadcast_id, leased(engine, broadcast_id, number, 200), DeliveryStatus.SENT)
    engine.dispose()  # a session's statistics are there for others once it ended

    def updates() -> tuple[int, int] | None:
        (row,) = sql(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'broadcast_deliveries'"
        )
        return row if row[0] >= 4000 else None

    total, in_place = eventually(updates)
    assert in_place / total > 0.8


def test_a_chunk_reads_its_own_rows_whatever_the_planner_believes(
    engine: GuardedEngine, audience: Audience, sql: Sql
) -> None:
    """Statistics from before a large snapshot say that the new broadcast has one row."""
    first = audience(200)
    told(engine, first, leased(engine, first, 1, 200), DeliveryStatus.SENT)
    sql("ANALYZE users, broadcast_deliveries")
    sql("INSERT INTO users (telegram_id, first_name) SELECT 5000 + n, 'P' FROM generate_series(1, 20000) n")
    second = broadcasts.create(engine, key="c", payload={"text": "hi"}, segment={}, actor="test").id
    broadcasts.begin(engine, second)
    for number in range(2, 12):
        told(engine, second, leased(engine, second, number, 50), DeliveryStatus.SENT)
    engine.dispose()  # a session's statistics are there for others once it ended

    def read() -> int | None:
        (row,) = sql(
            "SELECT n_tup_upd, (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid), "
            "seq_tup_read FROM pg_stat_user_tables t WHERE relname = 'broadcast_deliveries'"
        )
        return int(row[1] + row[2]) if row[0] >= 400 + 1000 else None

    # 500 people, each looked up a few times; reading all of the broadcast once would be 20,000.
    assert eventually(read) < 15_000
