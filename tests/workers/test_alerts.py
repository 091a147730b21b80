"""Admins are told of an event once, by however many on watch, and not by a storm. On a real Redis, with its jobs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

import pytest
import redis

from ballast.alerts import active, notifier
from ballast.alerts.notifier import AN_HOUR_MAX, AdminNotifier
from ballast.broadcasts import halts
from ballast.broadcasts.schedule import WAKES_STUCK, Schedule
from ballast.builtin.balances import ShowBalance
from ballast.builtin.replies import DeliverReply
from ballast.inbox.limits import SIZE_MAX
from ballast.messages import Message
from ballast.payouts import record as payouts_record
from ballast.queueing import queue_pauses
from ballast.queueing.envelope import Envelope
from ballast.reconciling import provider_record
from ballast.reconciling.provider_record import Compared
from ballast.status import board, counters, failed_causes, probe_results
from ballast.texts import gettext, speaking
from ballast.texts.catalogues import use_folder
from dbcore.breaker import FleetView
from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.breaker.view import MOVE
from dbcore.failed_operations import Cause
from dbcore.ledger.withdrawals import OpenOnes, Stuck, WithdrawalState
from dbcore.redis_client import redis_time
from tests.harness.queueing import Queueing, fill_inbox, queueing_at
from tests.texts import pseudo
from workers import alert_rules as rules
from workers.alert_rules import AlarmWatch

ADMINS = frozenset({1001, 1002})
CLOSED = FleetView(BreakerState.CLOSED, None, 0.0, None, 0.0, ())


@pytest.fixture
def queueing(redis_url: str) -> Iterator[Queueing]:
    with queueing_at(redis_url) as ready:
        yield ready


def not_closed(reason: BreakerReason | None, state: BreakerState = BreakerState.OPEN) -> FleetView:
    return FleetView(state, reason, 0.0, None, 0.0, ())


class Guard:
    """One that is on watch. Its clock runs on by itself; `told` is what one admin was sent, oldest first."""

    def __init__(self, queueing: Queueing) -> None:
        self._queueing = queueing
        ringing = AdminNotifier(queueing.client, queueing.inbox, queueing.publisher, ADMINS)
        self._ticks = 0.0
        self._watch = AlarmWatch(queueing.client, ringing, clock=self._tick)

    def _tick(self) -> float:
        self._ticks += rules.LOOK_SECONDS
        return self._ticks

    def look(self, view: FleetView = CLOSED) -> None:
        self._watch.look(view)


def messages(queueing: Queueing, admin_id: int = 1001) -> list[str]:
    """What waits to be sent to an admin; the other has the same."""
    found: dict[int, list[str]] = {admin: [] for admin in ADMINS}
    for job_id in cast(list[bytes], queueing.client.zrange("ballast:inbox:all", 0, -1)):
        envelope = queueing.client.hget(f"ballast:inbox:job:{job_id.decode()}", "envelope")
        assert isinstance(envelope, bytes)
        for message in told_by(envelope):
            found[message.chat_id].append(message.text)
    assert sorted(found[1001]) == sorted(found[1002])
    return found[admin_id]


def told_each(queueing: Queueing) -> dict[int, list[str]]:
    """What waits to be sent to each admin, where they read several languages."""
    found: dict[int, list[str]] = {admin: [] for admin in ADMINS}
    for job_id in cast(list[bytes], queueing.client.zrange("ballast:inbox:all", 0, -1)):
        envelope = cast(bytes, queueing.client.hget(f"ballast:inbox:job:{job_id.decode()}", "envelope"))
        for message in told_by(envelope):
            found[message.chat_id].append(message.text)
    return found


@contextmanager
def texts_in(folder: Path) -> Iterator[None]:
    """As if an operator had set TEXTS_FOLDER."""
    use_folder(folder)
    try:
        yield
    finally:
        use_folder(None)


def paused_by(name: str) -> FleetView:
    return replace(not_closed(None, BreakerState.FORCED_OPEN), paused_by=name)


def told_by(envelope: bytes) -> tuple[Message, ...]:
    return DeliverReply.decode(Envelope.model_validate_json(envelope).fields).messages


def let_time_pass(client: redis.Redis, seconds: float) -> None:
    """What stands has stood for longer."""
    for name, event in client.hgetall("ballast:alarms").items():
        fields = json.loads(event)
        client.hset("ballast:alarms", name, json.dumps({**fields, "since": fields["since"] - seconds}))


STUCK = OpenOnes(
    is_stopped=False,
    counted={"held": 0, "approved": 1, "paying": 1},
    stuck=(
        Stuck(4, "token-4", WithdrawalState.PAYING, 500, "CREDIT", "crypto_pay", 2, 1_200.0),
        Stuck(5, "token-5", WithdrawalState.APPROVED, 500, "CREDIT", "crypto_pay", 0, 960.0),
    ),
)
NONE_STUCK = OpenOnes(is_stopped=False, counted={"held": 0, "approved": 0, "paying": 0}, stuck=())


DIFFERS = Compared(
    provider="stripe",
    at=1.0,
    looked_at=1.0,
    payments=3,
    handed_in=0,
    counted={"amounts_differ": 1},
    bookable=0,
    differences=(),
)


def test_a_stuck_withdrawal_is_told_once_with_what_to_do_and_so_is_its_end(queueing: Queueing) -> None:
    guard = Guard(queueing)
    payouts_record.keep(queueing.client, STUCK)
    for _ in range(3):
        guard.look()
    asked, untaken = sorted(messages(queueing))
    assert "Withdrawal 4 is stuck: <code>crypto_pay</code> has not said for 20 min" in asked
    assert "ballast-token-4" in asked
    assert "ballast withdrawals unpaid 4" in asked
    assert "payout_waits" in untaken
    assert "ballast withdrawals decline 5" in untaken
    payouts_record.keep(queueing.client, NONE_STUCK)
    guard.look()
    assert payouts_record.read(queueing.client) is None
    assert len(messages(queueing)) == 4


def test_an_outage_is_told_once_with_its_reason_and_its_end_with_how_long(queueing: Queueing) -> None:
    first, second = Guard(queueing), Guard(queueing)
    outage = not_closed(BreakerReason.OUTAGE)
    first.look(outage)
    assert messages(queueing) == []
    let_time_pass(queueing.client, 240)
    for guard in (first, second, first, second):
        guard.look(outage)
        guard.look(not_closed(BreakerReason.OUTAGE, BreakerState.HALF_OPEN))
    (opened,) = messages(queueing)
    assert opened.startswith("Alarm: The database does not answer (reason: outage).")
    for guard in (second, first):
        guard.look()
    _, closed = messages(queueing)
    assert closed.startswith("Alarm over: The database is back after 4 min (reason: outage).")
    first.look(outage)
    let_time_pass(queueing.client, 60)
    first.look(outage)
    assert len(messages(queueing)) == 3


def test_an_outage_that_is_over_in_a_moment_wakes_nobody(queueing: Queueing) -> None:
    guard = Guard(queueing)
    for _ in range(5):
        guard.look(not_closed(BreakerReason.OUTAGE))
        guard.look()
    assert messages(queueing) == []


def test_a_quota_is_told_at_once_with_what_to_do_and_once_more_when_it_is_over(queueing: Queueing) -> None:
    guards = (Guard(queueing), Guard(queueing))
    for guard in guards:
        guard.look(not_closed(BreakerReason.QUOTA))
    (told,) = messages(queueing)
    assert "python -m dbcore breaker auto" in told
    let_time_pass(queueing.client, 240)
    for guard in guards:
        guard.look(not_closed(BreakerReason.QUOTA))
    assert messages(queueing) == [told]
    for guard in guards:
        guard.look()
    _, over = messages(queueing)
    assert over.startswith("Alarm over: The database has quota again after 4 min.")


def test_an_outage_that_turns_out_to_be_the_quota_is_not_said_to_be_over(queueing: Queueing) -> None:
    guard = Guard(queueing)
    guard.look(not_closed(BreakerReason.OUTAGE))
    let_time_pass(queueing.client, 60)
    guard.look(not_closed(BreakerReason.OUTAGE))
    guard.look(not_closed(BreakerReason.QUOTA))
    outage, quota = messages(queueing)
    assert "does not answer" in outage
    assert "python -m dbcore breaker auto" in quota
    guard.look()
    assert sorted(text.partition(" after ")[0] for text in messages(queueing)[2:]) == [
        "Alarm over: The database has quota again",
        "Alarm over: The database is back",
    ]


def test_a_provider_that_does_not_say_why_is_no_quota(queueing: Queueing) -> None:
    guard = Guard(queueing)
    refused = not_closed(BreakerReason.AMBIGUOUS)
    guard.look(refused)
    assert messages(queueing) == []
    let_time_pass(queueing.client, 60)
    guard.look(refused)
    (told,) = messages(queueing)
    assert told.startswith(
        "Alarm: The database's provider refuses us, and does not say why (reason: ambiguous)."
    )


@pytest.mark.parametrize(
    "reason", sorted(set(BreakerReason) - {BreakerReason.QUOTA})
)  # which is an event of its own
def test_every_reason_has_its_words(reason: BreakerReason, queueing: Queueing) -> None:
    guard = Guard(queueing)
    guard.look(not_closed(reason))
    let_time_pass(queueing.client, 60)
    guard.look(not_closed(reason))
    assert any(f"(reason: {reason})" in text for text in messages(queueing))


def test_an_operators_word_is_told_as_one(queueing: Queueing) -> None:
    guard = Guard(queueing)
    shut = not_closed(None, BreakerState.FORCED_OPEN)
    guard.look(shut)
    let_time_pass(queueing.client, 60)
    guard.look(shut)
    assert "An operator has paused the bot" in messages(queueing)[0]


def test_a_queue_that_stays_paused_is_told_once_and_its_end(queueing: Queueing) -> None:
    guard = Guard(queueing)
    queue_pauses.pause(queueing.client, "users", "nadia")
    guard.look()
    assert messages(queueing) == []
    let_time_pass(queueing.client, 600)
    guard.look()
    guard.look()
    (told,) = messages(queueing)
    assert "The queue <code>users</code> has been paused for 10 min." in told
    assert "ballast queues resume users" in told
    queue_pauses.resume(queueing.client, "users")
    guard.look()
    assert any("The queue <code>users</code> was resumed after" in text for text in messages(queueing))


def test_dead_letters_that_follow_each_other_are_one_event(queueing: Queueing) -> None:
    guard, other = Guard(queueing), Guard(queueing)
    guard.look()
    for _ in range(3):
        queueing.client.hincrby(counters.KEY, "dead_letters", 2)
        guard.look()
        other.look()
    assert len(messages(queueing)) == 1
    assert "ballast jobs list" in messages(queueing)[0]
    queueing.client.hincrbyfloat("ballast:alarms:letters", "at", -rules.QUIET_SECONDS)
    guard.look()
    queueing.client.hincrby(counters.KEY, "dead_letters", 1)
    guard.look()
    assert len(messages(queueing)) == 2


def test_the_alarm_of_failed_jobs_counts_them_by_cause(queueing: Queueing) -> None:
    guard = Guard(queueing)
    guard.look()
    now = datetime.now(UTC)
    causes = [
        Cause("balances.show", "ValueError: <no> row #", 12, now, now),
        Cause("apps.gift", "KeyError", 1, now, now),
    ]
    failed_causes.note(queueing.client, lambda: causes)
    failed_causes.note(queueing.client, lambda: pytest.fail("they were counted just now"))
    queueing.client.hincrby(counters.KEY, "dead_letters", 13)
    guard.look()
    (message,) = messages(queueing)
    assert (
        "12 × <code>balances.show</code> ValueError: &lt;no&gt; row #\n1 × <code>apps.gift</code>" in message
    )


def test_damaged_data_is_told_at_once_and_once(queueing: Queueing) -> None:
    guard, other = Guard(queueing), Guard(queueing)
    guard.look()
    assert messages(queueing) == []
    for _ in range(3):
        queueing.client.hincrby(counters.KEY, counters.name_of("failures", "corruption"), 2)
        guard.look()
        other.look()
    (told,) = messages(queueing)
    assert "PostgreSQL reports damaged data" in told


def test_a_stuck_broadcast_is_told_once_and_that_it_goes_on(queueing: Queueing) -> None:
    schedule, guard = Schedule(queueing.client), Guard(queueing)
    for _ in range(WAKES_STUCK):
        schedule.after(7, -1)
        schedule.take_due(30)
    guard.look()
    guard.look()
    (stuck,) = messages(queueing)
    assert "Broadcast 7 is stuck" in stuck
    schedule.went_on(7, 30)
    guard.look()
    assert messages(queueing)[1].startswith("Alarm over: Broadcast 7 was stuck for")


def test_what_a_process_left_is_told_once_by_whoever_is_on_watch(queueing: Queueing) -> None:
    for _ in range(3):  # as its lanes see it one after the other
        notifier.enqueue(
            queueing.client, "broadcast-7-halted-1", lambda: "Broadcast 7 stopped itself: bad &lt;b&gt;"
        )
    for guard in (Guard(queueing), Guard(queueing)):
        guard.look()
    assert messages(queueing) == ["Alarm: Broadcast 7 stopped itself: bad &lt;b&gt;"]


def test_a_storm_ends_after_so_many_an_hour(queueing: Queueing) -> None:
    for number in range(3 * AN_HOUR_MAX):
        notifier.enqueue(queueing.client, f"event-{number}", partial("number {}".format, number))
    guard = Guard(queueing)
    for _ in range(3 * AN_HOUR_MAX // notifier.TAKEN_AT_ONCE + 1):
        guard.look()
    told = messages(queueing)
    # The test may run across the turn of an hour.
    assert AN_HOUR_MAX <= len(told) <= 2 * AN_HOUR_MAX
    assert any("the last of" in text for text in told)


def test_every_payment_is_reported_whatever_else_happens(queueing: Queueing) -> None:
    paid = [f"charge {number}." for number in range(2 * AN_HOUR_MAX)]
    for number, text in enumerate(paid):
        notifier.enqueue_payment(queueing.client, f"payment-{number}", partial(str, text))
    for number in range(2 * notifier.LEFT_MAX):
        notifier.enqueue(queueing.client, f"event-{number}", partial("number {}".format, number))
    guard = Guard(queueing)
    for _ in range(3 * notifier.LEFT_MAX // notifier.TAKEN_AT_ONCE):
        guard.look()
    told = messages(queueing)
    # Sorted: those of one millisecond have no order.
    assert sorted(text for text in told if "charge" in text) == sorted(f"Alarm: {text}" for text in paid)
    assert len(told) <= len(paid) + 2 * AN_HOUR_MAX


def test_each_admin_is_told_of_an_alarm_and_its_end_in_their_language(queueing: Queueing) -> None:
    queueing.inbox.languages.choose(1001, "de", None)
    guard = Guard(queueing)
    guard.look(not_closed(BreakerReason.OUTAGE))
    let_time_pass(queueing.client, 240)
    guard.look(not_closed(BreakerReason.OUTAGE))
    kept = json.loads(cast(bytes, queueing.client.hget("ballast:alarms", "breaker")))
    assert sorted(kept) == ["id", "over", "since", "told"], "the release before reads no more"
    assert kept["over"].startswith("The database is back after {lasted}"), "and may have to tell the end"
    Guard(queueing).look()
    german, english = told_each(queueing)[1001], told_each(queueing)[1002]
    assert german[0].startswith("Alarm: Die Datenbank antwortet nicht (Grund: outage).")
    assert german[1].startswith("Alarm beendet: Die Datenbank ist nach 4 min wieder da (Grund: outage).")
    assert english[0].startswith("Alarm: The database does not answer (reason: outage).")
    assert english[1].startswith("Alarm over: The database is back after 4 min (reason: outage).")
    assert not active.read(queueing.client)
    assert not queueing.client.exists("ballast:alarms:over")


def test_an_alarm_that_the_release_before_told_ends_in_its_words(queueing: Queueing) -> None:
    queueing.inbox.languages.choose(1001, "de", None)
    event = active.Event("1", redis_time(queueing.client) - 240, told=True, over="Well after {lasted}.")
    # This release told one before, whose end that release told.
    active.note_told(queueing.client, "breaker", replace(event, id="0"), {"de": "Vorher.", "en": "Before."})
    queueing.client.hset(active.KEY, "breaker", event.to_json())
    Guard(queueing).look()
    told = told_each(queueing)
    assert told == {
        1001: ["Alarm beendet: Well after 4 min."],
        1002: ["Alarm over: Well after 4 min."],
    }


def test_an_operators_texts_win_in_alarms_and_their_ends(queueing: Queueing, tmp_path: Path) -> None:
    (tmp_path / "de.po").write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
        'msgid "Alarm: {text}"\nmsgstr "Achtung! {text}"\n\n'
        'msgid "The database does not answer"\nmsgstr "Die Datenbank ist weg"\n\n'
        'msgid "The database is back after {lasted} (reason: {reason}). Pending commands are being processed."\n'
        'msgstr "Nach {lasted} geht es weiter ({reason})."\n'
    )
    queueing.inbox.languages.choose(1001, "de", None)
    with texts_in(tmp_path):
        guard = Guard(queueing)
        for view in (not_closed(BreakerReason.OUTAGE), not_closed(BreakerReason.OUTAGE), CLOSED):
            guard.look(view)
            let_time_pass(queueing.client, 60)
    alarm, over = told_each(queueing)[1001]
    assert alarm.startswith("Achtung! Die Datenbank ist weg (Grund: outage).")
    assert over == "Alarm beendet: Nach 2 min geht es weiter (outage)."


def test_each_alarm_and_its_end_is_translated(queueing: Queueing, tmp_path: Path) -> None:
    """All that an AlarmWatch sees, told to an admin who reads the pseudo-language."""
    pseudo.write(tmp_path)
    client, inbox, schedule = queueing.client, queueing.inbox, Schedule(queueing.client)
    guard = Guard(queueing)
    with texts_in(tmp_path):
        inbox.languages.choose(1001, pseudo.LANGUAGE, None)
        guard.look()
        for _ in range(WAKES_STUCK):
            schedule.after(7, -1)
            schedule.take_due(30)
        probe_results.keep(client, {"ok": True, "probed_at": 0.0, "outbox_oldest_seconds": 600.0})
        payouts_record.keep(client, STUCK)
        client.hset(provider_record.KEY, "stripe", json.dumps(asdict(DIFFERS)))
        client.hset("ballast:backup", "failed", json.dumps({"at": time.time(), "error": "1"}))
        client.hincrby(counters.KEY, "dead_letters", 1)
        client.hincrby(counters.KEY, counters.name_of("failures", "corruption"), 1)
        inbox.accept(Envelope.of(ShowBalance(telegram_id=7), job_id="a", lane="user:7"))
        client.zincrby("ballast:inbox:all", -60_000, "a")
        client.hincrby("ballast:inbox:job:a", "ready_at", -60_000)
        notifier.enqueue(client, "1", partial(halts.shown, halts.source_deleted("1")))
        guard.look()
        let_time_pass(client, 600)
        guard.look()
        for view in (paused_by("Nadia"), paused_by(MOVE), not_closed(BreakerReason.QUOTA)):
            guard.look(CLOSED)
            guard.look(view)
            let_time_pass(client, 60)
            guard.look(view)
        stood = set(active.read(client))
        schedule.went_on(7, 30)
        probe_results.keep(client, {"ok": True, "probed_at": 0.0})
        client.hdel("ballast:backup", "failed")
        payouts_record.keep(client, NONE_STUCK)
        client.delete(provider_record.KEY)
        inbox.finish("a")
        guard.look(CLOSED)
    told = told_each(queueing)[1001]
    assert stood >= {
        "withdrawal-4",
        "withdrawal-5",
        "quota",
        "broadcast-7",
        "outbox",
        "backup",
        "dead-letters",
        "corruption",
    }, stood
    assert len(told) == 23, "thirteen, and the ends of ten"
    for text in told:
        without_code = re.sub(r"<code>.*?</code>|/dbstatus|SQLSTATE [X0-9, ]+", "", text)
        assert set(pseudo.plain_words(without_code)) <= {
            "Nadia",
            *MOVE.split(),
            "outbox",
            "health",
            "quota",
        }, text


def test_what_a_process_left_is_told_in_each_admins_language(queueing: Queueing) -> None:
    queueing.inbox.languages.choose(1001, "de", None)
    notifier.enqueue(queueing.client, "event-1", lambda: gettext("No balance has changed."))
    queueing.client.lpush("ballast:alarms:left", json.dumps({"event_id": "old", "text": "as it was"}))
    Guard(queueing).look()
    assert told_each(queueing) == {
        1001: ["Alarm: Kein Guthaben hat sich geändert.", "Alarm: as it was"],
        1002: ["Alarm: No balance has changed.", "Alarm: as it was"],
    }


def test_each_admin_is_told_of_a_payment_in_their_language(queueing: Queueing) -> None:
    queueing.inbox.languages.choose(1001, "de", None)
    with speaking("ru"):  # the payer's
        notifier.enqueue_payment(queueing.client, "payment-1", lambda: gettext("No balance has changed."))
    Guard(queueing).look()
    told: dict[int, str] = {}
    for job_id in (f"alarm-payment-1-{admin_id}" for admin_id in ADMINS):
        envelope = cast(bytes, queueing.client.hget(f"ballast:inbox:job:{job_id}", "envelope"))
        told |= {each.chat_id: each.text for each in told_by(envelope)}
    assert told == {
        1001: "Alarm: Kein Guthaben hat sich geändert.",
        1002: "Alarm: No balance has changed.",
    }


def test_a_payment_waits_until_there_is_room_to_report_it(queueing: Queueing) -> None:
    fill_inbox(queueing.client, 2 * SIZE_MAX)
    notifier.enqueue_payment(queueing.client, "payment-1", lambda: "charge 1")
    guard = Guard(queueing)
    guard.look()
    queueing.client.delete("ballast:inbox:all")
    assert messages(queueing) == []
    guard.look()
    assert messages(queueing) == ["Alarm: charge 1"]


def test_commands_that_nobody_answers_are_an_alarm_until_somebody_does(queueing: Queueing) -> None:
    """Workers that beat and take nothing; not what waits for the database, or waited for it a moment ago."""
    guard, inbox, client = Guard(queueing), queueing.inbox, queueing.client
    inbox.accept(Envelope.of(ShowBalance(telegram_id=7), job_id="a", lane="user:7"))
    client.zincrby("ballast:inbox:all", -60_000, "a")
    client.hincrby("ballast:inbox:job:a", "ready_at", -60_000)
    guard.look(not_closed(BreakerReason.OUTAGE))
    assert messages_but(queueing, "a") == []
    guard.look(FleetView(BreakerState.CLOSED, None, time.time() - 20, None, 0.0, ()))
    assert messages_but(queueing, "a") == []
    guard.look()
    guard.look()
    assert messages_but(queueing, "a") == [], "it may be over in a moment"
    let_time_pass(client, rules.OVERDUE_FOR_SECONDS)
    guard.look()
    guard.look()
    (told,) = messages_but(queueing, "a")
    assert (
        "Commands are not being answered: the oldest has waited for 1 min in the queue <code>balances</code>"
        in told
    )
    inbox.finish("a")
    guard.look()
    assert "Commands are being answered again" in messages(queueing)[-1]


def messages_but(queueing: Queueing, job_id: str) -> list[str]:
    """What waits for an admin, beside that job."""
    taken = queueing.client.zscore("ballast:inbox:all", job_id)
    queueing.client.zrem("ballast:inbox:all", job_id)
    found = messages(queueing)
    queueing.client.zadd("ballast:inbox:all", {job_id: cast(float, taken)})
    return found


def test_the_alarm_of_a_failed_job_ends_once_none_is_open(queueing: Queueing) -> None:
    guard, client = Guard(queueing), queueing.client
    client.hincrby(counters.KEY, "dead_letters", 1)
    guard.look()
    assert client.hexists("ballast:alarms", "dead-letters")
    board.keep(
        client,
        {"at": time.time() + 60, "work": 1, "dead_letters": {"open": 0}, "broadcasts": [], "actions": []},
    )
    guard.look()
    assert not client.hexists("ballast:alarms", "dead-letters")


def test_a_pause_is_told_with_the_name_of_whoever_ordered_it(queueing: Queueing) -> None:
    guard = Guard(queueing)
    paused = replace(not_closed(None, BreakerState.FORCED_OPEN), paused_by="Nadia")
    guard.look(paused)
    let_time_pass(queueing.client, rules.BREAKER_SECONDS)
    guard.look(paused)
    (told,) = messages(queueing)
    assert "Nadia has paused the bot" in told


def test_a_job_that_stays_in_the_outbox_is_told_unless_the_next_probes_find_it_gone(
    queueing: Queueing,
) -> None:
    def probed(oldest_seconds: float | None) -> None:
        finding = {"ok": True, "probed_at": 0.0, "every_seconds": 60, "outbox_oldest_seconds": oldest_seconds}
        probe_results.keep(queueing.client, finding)

    guard = Guard(queueing)
    for first, later in ((None, None), (170.0, 170.0), (600.0, None)):  # the last: what an outage left
        probed(first)
        guard.look()
        let_time_pass(queueing.client, 60)
        probed(later)
        guard.look()
        let_time_pass(queueing.client, 600)
        guard.look()
    assert messages(queueing) == []
    for oldest in (190.0, 250.0, 310.0, 370.0):
        probed(oldest)
        guard.look()
        let_time_pass(queueing.client, 60)
    (told,) = messages(queueing)
    assert "has waited for 6 min in the table outbox" in told
    probed(None)
    guard.look()
    assert len(messages(queueing)) == 2


def test_a_backup_that_failed_its_proof_is_told_with_the_age_of_the_last_one_until_there_is_another(
    queueing: Queueing,
) -> None:
    guard = Guard(queueing)
    client = queueing.client
    client.hset(
        "ballast:backup",
        mapping={
            "failed": json.dumps({"at": time.time(), "error": "the audit fails: <a> & b"}),
            "proven": json.dumps(
                {
                    "name": "b",
                    "where": "here",
                    "taken_at": time.time() - 7200,
                    "bytes": 1,
                    "sealed": False,
                    "inbox": 0,
                }
            ),
        },
    )
    guard.look()
    guard.look()
    (told,) = messages(queueing)
    assert (
        "failed its proof: the audit fails: &lt;a&gt; &amp; b. The last proven backup was taken 2 h 0 min ago"
        in told
    )
    client.hdel("ballast:backup", "failed")
    guard.look()
    assert any("There is a proven backup again" in text for text in messages(queueing))


def test_a_backup_that_is_overdue_is_told(queueing: Queueing) -> None:
    guard = Guard(queueing)
    expected = json.dumps({"since": time.time() - 3 * 86_400, "alarm_seconds": 2 * 86_400})
    queueing.client.hset("ballast:backup", "expected", expected)
    guard.look()
    (told,) = messages(queueing)
    assert "A backup is overdue. There is no proven backup." in told
