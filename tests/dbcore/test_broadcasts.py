"""What a broadcast is, whom it reaches, and what may be done with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import (
    AudienceTooLarge,
    Broadcast,
    BroadcastRefused,
    BroadcastStatus,
    DraftChanged,
)
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users
from tests.dbcore.conftest import Person, Sql

TEXT = {"text": "<b>Hello</b>"}


def draft(engine: GuardedEngine, key: str = "b1", **options: Any) -> Broadcast:
    return broadcasts.create(engine, key=key, payload=TEXT, **{"segment": {}, "actor": "test", **options})


def begun(engine: GuardedEngine, **options: Any) -> int:
    """A broadcast that is being sent; its id."""
    made = draft(engine, **options)
    broadcasts.begin(engine, made.id)
    return made.id


def taken_down(sql: Sql) -> set[int]:
    return {telegram_id for (telegram_id,) in sql("SELECT telegram_id FROM broadcast_deliveries")}


def test_a_broadcast_is_kept_as_it_was_given(engine: GuardedEngine) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    quiet = {"begin": "22:00", "end": "08:00", "zone": "Europe/Berlin"}
    made = draft(
        engine,
        segment={"active_days": 30, "telegram_ids": [1, 2]},
        paid=True,
        stars_max=50,
        canary=5,
        scheduled_for=tomorrow,
        quiet_hours=quiet,
    )
    assert made.status is BroadcastStatus.SCHEDULED
    assert (made.payload, made.segment, made.quiet_hours) == (
        TEXT,
        {"active_days": 30, "telegram_ids": [1, 2]},
        quiet,
    )
    assert (made.paid, made.stars_max, made.canary, made.scheduled_for) == (True, 50, 5, tomorrow)
    assert (made.audience, made.done, made.left) == (None, 0, 0)
    assert broadcasts.list_recent(engine, 10) == [broadcasts.require_progress(engine, made.id)]


def test_the_same_key_is_the_same_broadcast_and_another_one_is_refused(engine: GuardedEngine) -> None:
    made = draft(engine)
    assert draft(engine) == made
    with pytest.raises(BroadcastRefused, match="used before"):
        draft(engine, segment={"language": "de"})


def test_the_audience_are_those_who_can_be_reached_and_want_it(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    reached, blocked, gone, stopped, back = (person() for _ in range(5))
    users.set_status(engine, telegram_id=blocked.telegram_id, status=users.UserStatus.BLOCKED)
    users.set_status(engine, telegram_id=gone.telegram_id, status=users.UserStatus.DEACTIVATED)
    users.choose_broadcasts(engine, profile=stopped, wanted=False)
    users.choose_broadcasts(engine, profile=back, wanted=False)
    users.choose_broadcasts(engine, profile=back, wanted=True)
    assert broadcasts.audience_size(engine, {}) == 2
    started = broadcasts.begin(engine, draft(engine).id)
    assert (started.status, started.audience) == (BroadcastStatus.SENDING, 2)
    assert taken_down(sql) == {reached.telegram_id, back.telegram_id}


@pytest.mark.parametrize(
    "change",
    [
        {"segment": {"language": "de"}},
        {"paid": True},
        {"stars_max": 5},
        {"scheduled_for": None},
        {"quiet_hours": {"begin": "22:00", "end": "08:00", "zone": "UTC"}},
    ],
)
def test_what_was_agreed_to_is_begun_and_nothing_else(
    engine: GuardedEngine, person: Person, sql: Sql, change: dict[str, Any]
) -> None:
    person()
    agreed = draft(engine, draft=True, scheduled_for=datetime.now(UTC) + timedelta(days=1))
    broadcasts.change_draft(engine, agreed.id, **change)
    for begin in (broadcasts.begin, broadcasts.schedule):
        with pytest.raises(DraftChanged):
            begin(engine, agreed.id, expected=agreed)
    as_it_is = broadcasts.require(engine, agreed.id)
    assert as_it_is.status is BroadcastStatus.DRAFT
    assert not taken_down(sql)
    assert broadcasts.begin(engine, agreed.id, expected=as_it_is).run == 1
    assert (
        broadcasts.begin(engine, agreed.id, expected=agreed).run == 1
    )  # begun once, it is no draft any more


def test_every_part_of_a_segment_must_hold(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    rich, poor, long_gone, austrian, silent = (person(balance) for balance in (500, 99, 500, 500, 500))
    for profile, language in (
        (rich, "de"),
        (poor, "de"),
        (long_gone, "de"),
        (austrian, "de-AT"),
        (silent, "den"),
    ):
        sql("UPDATE users SET language_code = %s WHERE telegram_id = %s", language, profile.telegram_id)
    sql(
        "UPDATE users SET last_seen_at = now() - interval '31 days' WHERE telegram_id = %s",
        long_gone.telegram_id,
    )
    everyone = [each.telegram_id for each in (rich, poor, long_gone, austrian, silent)]
    for segment, size in (
        ({}, 5),
        ({"active_days": 30}, 4),
        ({"balance_min": 100}, 4),
        ({"language": "de"}, 4),
        ({"language": "DE-at"}, 1),
        ({"telegram_ids": everyone[:2]}, 2),
        ({"telegram_ids": []}, 0),
    ):
        assert broadcasts.audience_size(engine, segment) == size, segment
    whole = {"active_days": 30, "balance_min": 100, "language": "de", "telegram_ids": everyone}
    broadcasts.begin(engine, draft(engine, segment=whole).id)
    assert taken_down(sql) == {rich.telegram_id, austrian.telegram_id}


def test_begun_twice_at_once_the_audience_is_taken_down_once(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    for _ in range(3):
        person()
    made = draft(engine)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: broadcasts.begin(engine, made.id), range(4)))
    assert {(answer.status, answer.run, answer.audience) for answer in answers} == {
        (BroadcastStatus.SENDING, 1, 3)
    }
    assert sql("SELECT count(*) FROM broadcast_deliveries") == [(3,)]


def test_an_audience_above_what_was_allowed_leaves_nothing_behind(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    person()
    person()
    made = draft(engine)
    with pytest.raises(AudienceTooLarge) as refused:
        broadcasts.begin(engine, made.id, audience_max=1)
    assert refused.value.audience == 2
    assert broadcasts.require(engine, made.id) == made
    assert taken_down(sql) == set()
    assert broadcasts.begin(engine, made.id, audience_max=2).status is BroadcastStatus.SENDING


def test_a_broadcast_to_nobody_is_over_at_once(engine: GuardedEngine) -> None:
    broadcast = broadcasts.require(engine, begun(engine))
    assert (broadcast.status, broadcast.audience) == (BroadcastStatus.FINISHED, 0)
    assert broadcast.finished_at is not None


def test_the_snapshot_has_a_time_out_of_its_own(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    """A role's statement_timeout is made for transfers, not for a million people."""
    person()
    database = sql("SELECT current_database()")[0][0]
    sql(f"ALTER DATABASE {database} SET statement_timeout = '300ms'")
    sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$"
    )
    sql("CREATE TRIGGER dawdle BEFORE INSERT ON broadcast_deliveries FOR EACH ROW EXECUTE FUNCTION dawdle()")
    engine.dispose()
    assert broadcasts.begin(engine, draft(engine).id).status is BroadcastStatus.SENDING


def resend_unknown(engine: GuardedEngine, broadcast_id: int) -> object:
    return broadcasts.resend_unknown(engine, broadcast_id, "word")


@pytest.mark.parametrize(
    ("order", "allowed"),
    [
        (broadcasts.pause, {"scheduled", "sending", "paused"}),
        (broadcasts.resume, {"paused", "halted", "sending"}),
        (broadcasts.cancel, {"draft", "scheduled", "sending", "paused", "halted", "cancelled"}),
        (resend_unknown, {"sending", "paused", "halted", "finished"}),
    ],
)
def test_each_order_is_obeyed_where_it_makes_sense_and_refused_elsewhere(
    engine: GuardedEngine, person: Person, order: Any, allowed: set[str]
) -> None:
    person()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    obeyed = set()
    for number, status in enumerate(BroadcastStatus):
        made = draft(engine, key=f"k{number}", scheduled_for=tomorrow if status == "scheduled" else None)
        if status not in {"draft", "scheduled"}:
            broadcasts.begin(engine, made.id)
        match status:
            case "paused":
                broadcasts.pause(engine, made.id)
            case "halted":
                broadcasts.halt(engine, made.id, "a bad payload")
            case "cancelled":
                broadcasts.cancel(engine, made.id)
            case "finished":
                finish(engine, made.id)
        assert broadcasts.require(engine, made.id).status is status
        try:
            order(engine, made.id)
            obeyed.add(status.value)
        except BroadcastRefused as refused:
            assert str(status) in str(refused)  # noqa: PT017  most of them are not refused
    assert obeyed == allowed


def finish(engine: GuardedEngine, broadcast_id: int) -> None:
    from dbcore.broadcasts import leases
    from dbcore.broadcasts.leases import DeliveryStatus, Result

    lease = leases.lease(engine, broadcast_id, 1, run=None, limit=100)
    results = [Result(each.user_id, DeliveryStatus.SENT) for each in lease.recipients]
    leases.record(engine, broadcast_id, lease, results)


def test_a_scheduled_one_that_was_paused_is_scheduled_again(engine: GuardedEngine) -> None:
    made = draft(engine, scheduled_for=datetime.now(UTC) + timedelta(days=1))
    broadcasts.pause(engine, made.id)
    assert broadcasts.begin(engine, made.id).status is BroadcastStatus.PAUSED
    assert broadcasts.resume(engine, made.id).status is BroadcastStatus.SCHEDULED


def test_a_draft_can_be_changed_until_it_begins(engine: GuardedEngine) -> None:
    made = draft(engine, admin_chat_id=7)
    changed = broadcasts.change_draft(engine, made.id, segment={"language": "de"}, paid=True, stars_max=3)
    assert (changed.segment, changed.paid, changed.stars_max) == ({"language": "de"}, True, 3)
    with pytest.raises(BroadcastRefused, match="cannot be scheduled"):
        broadcasts.schedule(engine, made.id)
    broadcasts.change_draft(engine, made.id, scheduled_for=datetime.now(UTC) + timedelta(days=1))
    assert broadcasts.schedule(engine, made.id).status is BroadcastStatus.SCHEDULED
    with pytest.raises(BroadcastRefused, match="cannot be changed"):
        broadcasts.change_draft(engine, made.id, segment={})
    broadcasts.place_card(engine, made.id, chat_id=7, message_id=8)
    assert broadcasts.require(engine, made.id).card_message_id == 8


def test_how_far_it_is_is_read_without_whom_it_is_for(engine: GuardedEngine) -> None:
    """Each chunk reads it, and a list of ids may have a hundred thousand."""
    made = draft(engine, segment={"telegram_ids": list(range(1, 1000))})
    found = broadcasts.require_progress(engine, made.id)
    assert not hasattr(found, "segment")
    assert {name: getattr(made, name) for name in (field.name for field in fields(found))} == asdict(found)


def test_a_key_that_a_program_used_is_not_the_workers(engine: GuardedEngine) -> None:
    draft(engine, by_program=True)
    with pytest.raises(BroadcastRefused, match="used before"):
        draft(engine)


def test_what_there_is_not_is_refused_by_its_number(engine: GuardedEngine) -> None:
    for order in (broadcasts.require, broadcasts.begin, broadcasts.pause, resend_unknown):
        with pytest.raises(BroadcastRefused, match="no broadcast 77"):
            order(engine, 77)
    assert broadcasts.progress(engine, 77) is None


def test_the_language_comes_with_the_user_and_a_release_that_knows_none_leaves_it(
    engine: GuardedEngine, sql: Sql
) -> None:
    users.get_or_create(engine, profile=users.Profile(5, "bob", "Bob", "de"))
    users.get_or_create(engine, profile=users.Profile(5, "bob", "Bob"))
    sql("SELECT users_touch(5, 'bob', 'Bobby', 'CREDIT')")  # as the release before calls it
    assert sql("SELECT language_code, first_name FROM users") == [("de", "Bobby")]
    users.get_or_create(engine, profile=users.Profile(5, "bob", "Bobby", "pt-br"))
    assert sql("SELECT language_code FROM users") == [("pt-br",)]


def test_what_a_hostile_name_or_text_holds_is_stored(engine: GuardedEngine) -> None:
    made = broadcasts.create(
        engine, key="x", payload={"text": "a\x00b\ud800"}, segment={}, actor="te\x00st", canary=1
    )
    assert (made.payload, made.actor) == ({"text": "ab?"}, "test")


def test_money_is_not_touched_by_any_of_it(engine: GuardedEngine, person: Person, audited: None) -> None:
    someone = person(100)
    begun(engine)
    outcome = ledger.adjust(
        engine,
        key="after",
        target=users.UserRef(telegram_id=someone.telegram_id),
        amount=1,
        memo="",
        actor="t",
    )
    assert outcome.balance_after == 101
