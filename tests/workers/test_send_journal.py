"""What a sender leaves in Redis, for whoever comes after it; and when a broadcast's time has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis

from ballast.broadcasts.cost import messages_for, stars_for
from ballast.broadcasts.schedule import Schedule, quiet_until
from ballast.telegram.rate_limiter import BulkGrant, RateLimiter
from dbcore.broadcasts.broadcasts import BroadcastStatus
from dbcore.broadcasts.leases import DeliveryStatus, Lease, Mark, Recipient, Result
from workers.broadcasts.send_journal import SendJournal, lease_number
from workers.broadcasts.sender import settled

SENT = Result(1, DeliveryStatus.SENT, (5, 6), mark=Mark.REACHED)
BLOCKED = Result(2, DeliveryStatus.BLOCKED, error="Forbidden: bot was blocked by the user", mark=Mark.BLOCKED)


def begun(record: SendJournal, holder: str) -> tuple[int, dict[int, Result]]:
    return record.begin("job", holder)


def grant(client: redis.Redis, number: int, holder: str, *user_ids: int) -> BulkGrant:
    """Of a sender that asks for these, each in the chat of the same number."""
    asked = {user_id: user_id for user_id in user_ids}
    log = SendJournal(client).intents(number, holder, asked)
    return RateLimiter(client).bulk(list(asked), paid=True, log=log)


def test_a_known_result_an_open_intent_and_nothing_at_all_are_told_apart(client: redis.Redis) -> None:
    record = SendJournal(client)
    number, before = begun(record, "first")
    assert before == {}
    assert grant(client, number, "first", 1, 2, 3).granted == (1, 2, 3)
    assert record.note(number, "first", {1: SENT, 2: BLOCKED})
    assert begun(record, "second")[0] == number
    before = record.take_over(number, "third") or {}
    assert (before[1], before[2]) == (SENT, BLOCKED)
    assert before[3].status is DeliveryStatus.UNKNOWN
    assert 4 not in before


def test_whoever_was_taken_for_dead_begins_with_nobody_any_more(client: redis.Redis) -> None:
    record = SendJournal(client)
    number, _ = begun(record, "first")
    assert record.holds(number, "first")
    begun(record, "second")
    assert not record.holds(number, "first")
    assert grant(client, number, "first", 1) == BulkGrant((), 0.0, superseded=True)
    assert grant(client, number, "second", 1).granted == (1,), "a superseded sender takes nobody's turn"
    assert not record.note(number, "first", {1: SENT})
    record.forget(number, "first")
    (open_intent,) = (record.take_over(number, "third") or {}).values()
    assert open_intent.status is DeliveryStatus.UNKNOWN


def test_who_was_certainly_not_sent_to_leaves_no_trace(client: redis.Redis) -> None:
    record = SendJournal(client)
    number, _ = begun(record, "first")
    grant(client, number, "first", 1)
    record.note(number, "first", {1: Result(1, DeliveryStatus.PENDING)})
    assert begun(record, "second") == (number, {})


def test_whom_the_limiter_does_not_grant_leaves_no_intent(client: redis.Redis) -> None:
    record = SendJournal(client)
    number, _ = begun(record, "first")
    RateLimiter(client).refuse_chat(2, 30)
    found = grant(client, number, "first", 1, 2)
    assert found.granted == (1,)
    assert set(found.refused) == {2}
    assert set(record.take_over(number, "second") or {}) == {1}


def test_a_record_that_is_forgotten_or_lost_is_none_however_often_one_asks(client: redis.Redis) -> None:
    record = SendJournal(client)
    number, _ = begun(record, "first")
    record.forget(number, "first")
    assert record.take_over(number, "second") is None
    assert record.take_over(number, "third") is None


def test_once_redis_lost_its_data_the_same_job_asks_for_another_lease(client: redis.Redis) -> None:
    record = SendJournal(client)
    number, _ = begun(record, "first")
    client.flushdb()
    after, before = begun(record, "second")
    assert after != number
    assert before == {}
    assert record.take_over(number, "third") is None


def leased(*, again: bool) -> Lease:
    recipients = (Recipient(1, 11), Recipient(2, 12))
    return Lease(7, BroadcastStatus.SENDING, 1, datetime.now(UTC), again, recipients, ())


def test_without_a_record_everybody_that_a_dead_sender_held_is_unknown() -> None:
    known = settled(leased(again=True), None)
    assert {result.status for result in known.values()} == {DeliveryStatus.UNKNOWN}
    assert settled(leased(again=True), {}) == {}
    assert settled(leased(again=True), {1: SENT, 9: SENT}) == {1: SENT}
    assert settled(leased(again=False), {1: SENT}) == {}


def test_a_job_s_lease_has_the_same_number_each_time_and_fits_the_column() -> None:
    numbers = {lease_number(f"broadcast-1-1-0-{number}", "epoch") for number in range(1000)}
    assert len(numbers) == 1000
    assert all(0 <= number < 2**63 for number in numbers)
    assert lease_number("a", "epoch") == lease_number("a", "epoch")


def test_what_is_due_is_handed_out_once_and_comes_again_later(client: redis.Redis) -> None:
    schedule = Schedule(client)
    now = schedule.now().timestamp()
    schedule.at(1, now - 5)
    schedule.at(2, now + 60)
    schedule.after(3, 60)
    ((broadcast_id, due),) = schedule.take_due(30)
    assert broadcast_id == 1
    assert abs(due - (now - 5)) < 0.01
    assert schedule.take_due(30) == []
    schedule.after(1, -1)
    assert [broadcast_id for broadcast_id, _ in schedule.take_due(30)] == [1]
    schedule.remove(1)
    schedule.after(2, -1)
    assert [broadcast_id for broadcast_id, _ in schedule.take_due(30)] == [2]


BERLIN = {"begin": "22:00", "end": "08:00", "zone": "Europe/Berlin"}
LATE = {**BERLIN, "end": "02:30"}


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        (BERLIN, "2026-01-10T20:59:59+00:00", None),
        (BERLIN, "2026-01-10T21:00:00+00:00", "2026-01-11T07:00:00+00:00"),
        (BERLIN, "2026-01-11T06:59:59+00:00", "2026-01-11T07:00:00+00:00"),
        (BERLIN, "2026-01-11T07:00:00+00:00", None),
        (BERLIN, "2026-07-10T20:30:00+00:00", "2026-07-11T06:00:00+00:00"),  # summer time
        (BERLIN, "2026-03-28T23:00:00+00:00", "2026-03-29T06:00:00+00:00"),  # the night it begins
        (LATE, "2026-10-25T00:10:00+00:00", "2026-10-25T00:30:00+00:00"),  # 02:10, for the first time
        (LATE, "2026-10-25T01:10:00+00:00", "2026-10-25T01:30:00+00:00"),  # and again
        (
            {"begin": "12:00", "end": "14:00", "zone": "UTC"},
            "2026-01-10T13:00:00+00:00",
            "2026-01-10T14:00:00+00:00",
        ),
        ({"begin": "12:00", "end": "14:00", "zone": "UTC"}, "2026-01-10T14:00:00+00:00", None),
        (None, "2026-01-10T13:00:00+00:00", None),
    ],
)
def test_quiet_hours_are_by_the_clocks_of_their_zone(
    hours: dict[str, str] | None, now: str, until: str | None
) -> None:
    found = quiet_until(hours, datetime.fromisoformat(now))
    assert (found and found.astimezone(UTC)) == (until and datetime.fromisoformat(until))
    if found is not None:
        moment = found.astimezone(UTC)
        assert quiet_until(hours, moment) is None
        assert quiet_until(hours, moment - timedelta(seconds=1)) == found


def test_a_cap_in_stars_allows_exactly_the_messages_that_it_pays_for_were_none_of_them_free() -> None:
    counts = (0, 1, 10, 30, 31, 1000, 1_000_000)
    assert [stars_for(messages) for messages in counts] == [0, 1, 1, 3, 4, 100, 100_000]
    for stars in (0, 3, 9, 10, 97, 12_345):
        assert stars_for(messages_for(stars)) <= stars
        assert stars_for(messages_for(stars) + 1) > stars
