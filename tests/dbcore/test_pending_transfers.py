from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, pending_transfers, users
from dbcore.ledger.users import Profile, UserRef
from dbcore.outcomes import Decision, DecisionOutcome, OutcomeStatus, PendingOutcome, RejectionReason
from tests.dbcore.conftest import MakeEngine, Person, Sql

pytestmark = pytest.mark.usefixtures("audited")


def ask(
    engine: GuardedEngine, sender: Profile, recipient: Profile, amount: int = 30, key: str = "ask"
) -> PendingOutcome:
    return pending_transfers.create(
        engine,
        key=key,
        sender=sender,
        recipient=UserRef(telegram_id=recipient.telegram_id),
        amount=amount,
        memo="lunch",
    )


def press(
    engine: GuardedEngine, token: str, presser: Profile, key: str = "press", *, confirm: bool = True
) -> DecisionOutcome:
    return pending_transfers.decide(engine, key=key, token=token, presser=presser, confirm=confirm)


def balance(engine: GuardedEngine, profile: Profile) -> int:
    return users.get_or_create(engine, profile=profile).balance


def test_asking_moves_nothing_and_confirming_moves_once(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(100), person()
    asked = ask(engine, ann, bob)
    assert (asked.status, asked.balance) == (OutcomeStatus.APPLIED, 100)
    assert balance(engine, bob) == 0
    confirmed = press(engine, asked.token, ann)
    assert (confirmed.status, confirmed.decision) == (OutcomeStatus.APPLIED, Decision.CONFIRMED)
    assert (confirmed.sender_balance, confirmed.recipient_balance, confirmed.memo) == (70, 30, "lunch")
    again = press(engine, asked.token, ann, "another press")
    assert (again.status, again.reason) == (OutcomeStatus.REJECTED, RejectionReason.ALREADY_CONFIRMED)
    assert (balance(engine, ann), balance(engine, bob)) == (70, 30)


def test_the_same_job_again_is_answered_as_the_first_time(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(100), person()
    asked = ask(engine, ann, bob)
    assert ask(engine, ann, bob) == replace(asked, status=OutcomeStatus.REPLAYED)
    first = press(engine, asked.token, ann)
    ledger.adjust(
        engine, key="x", target=UserRef(telegram_id=ann.telegram_id), amount=500, memo="", actor="t"
    )
    assert press(engine, asked.token, ann) == replace(first, status=OutcomeStatus.REPLAYED)
    assert ask(engine, ann, bob).token == asked.token


def test_the_same_key_for_another_request_is_refused(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(100), person()
    asked = ask(engine, ann, bob)
    assert ask(engine, ann, bob, 31).reason is RejectionReason.KEY_REUSED
    press(engine, asked.token, ann)
    assert press(engine, asked.token, ann, confirm=False).reason is RejectionReason.KEY_REUSED


def test_a_cancelled_transfer_stays_cancelled(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(100), person()
    token = ask(engine, ann, bob).token
    first = press(engine, token, ann, confirm=False)
    assert (first.status, first.decision) == (OutcomeStatus.APPLIED, Decision.CANCELLED)
    replay = press(engine, token, ann, confirm=False)
    assert (replay.status, replay.decision) == (OutcomeStatus.REPLAYED, Decision.CANCELLED)
    assert press(engine, token, ann, "late").reason is RejectionReason.ALREADY_CANCELLED
    assert balance(engine, ann) == 100


def test_someone_else_s_press_changes_and_tells_nothing(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(100), person()
    token = ask(engine, ann, bob).token
    for presser in (bob, Profile(404, None, "Stranger")):
        outcome = press(engine, token, presser, f"by {presser.telegram_id}")
        assert outcome.reason is RejectionReason.NOT_YOURS
        assert (outcome.sender, outcome.recipient, outcome.amount, outcome.memo) == (None, None, None, None)
    assert sql("SELECT status FROM pending_transfers") == [("pending",)]
    assert sql("SELECT count(*) FROM users WHERE telegram_id = 404") == [(0,)]


def test_a_press_after_the_time_is_refused_for_good(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    ann, bob = person(100), person()
    token = ask(engine, ann, bob).token
    sql("UPDATE pending_transfers SET expires_at = clock_timestamp()")
    first = press(engine, token, ann)
    assert first.reason is RejectionReason.EXPIRED
    assert press(engine, token, ann) == first
    assert press(engine, token, ann, "cancel", confirm=False).reason is RejectionReason.EXPIRED
    assert balance(engine, ann) == 100


def test_a_press_in_time_counts_however_long_the_database_was_away(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(100), person()
    token = ask(engine, ann, bob).token
    sql("UPDATE pending_transfers SET expires_at = clock_timestamp() - interval '1 hour'")
    sql("UPDATE pending_transfers SET created_at = expires_at - interval '10 minutes'")

    def pressed(waited_seconds: float) -> DecisionOutcome:
        return pending_transfers.decide(
            engine, key="press", token=token, presser=ann, confirm=True, waited_seconds=waited_seconds
        )

    first = pressed(3_700)
    assert (first.status, first.decision) == (OutcomeStatus.APPLIED, Decision.CONFIRMED)
    assert pressed(7_300) == replace(first, status=OutcomeStatus.REPLAYED)
    assert balance(engine, bob) == 30


@pytest.mark.parametrize("waited_seconds", [-7_200.0, 0.0, 3_590.0])
def test_a_press_too_late_stays_too_late(
    engine: GuardedEngine, person: Person, sql: Sql, waited_seconds: float
) -> None:
    ann, bob = person(100), person()
    token = ask(engine, ann, bob).token
    sql("UPDATE pending_transfers SET expires_at = clock_timestamp() - interval '1 hour'")
    outcome = pending_transfers.decide(
        engine, key="press", token=token, presser=ann, confirm=True, waited_seconds=waited_seconds
    )
    assert outcome.reason is RejectionReason.EXPIRED
    assert balance(engine, ann) == 100


def test_the_release_before_presses_by_the_function_it_knows(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(100), person()
    token, late = ask(engine, ann, bob).token, ask(engine, ann, bob, 20, "late").token
    sql("UPDATE pending_transfers SET expires_at = clock_timestamp() WHERE token = %s", late)
    decide = "SELECT r_status, r_reason, r_sender_balance FROM pending_decide(%s, %s, %s, NULL, 'Ann', true)"
    assert sql(decide, "press", token, ann.telegram_id) == [("applied", None, 70)]
    assert sql(decide, "press late", late, ann.telegram_id) == [("rejected", "expired", None)]


def test_money_spent_meanwhile_is_noticed_when_confirming(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(100), person()
    one, other = ask(engine, ann, bob, 80, "one"), ask(engine, ann, bob, 80, "other")
    press(engine, one.token, ann, "first")
    refused = press(engine, other.token, ann, "second")
    assert (refused.status, refused.reason) == (OutcomeStatus.REJECTED, RejectionReason.INSUFFICIENT_FUNDS)
    assert (refused.decision, refused.sender_balance) == (None, 20)
    assert press(engine, other.token, ann, "second") == refused
    assert press(engine, other.token, ann, "third").reason is RejectionReason.INSUFFICIENT_FUNDS
    assert balance(engine, ann) == 20


def test_a_request_that_cannot_be_is_refused_and_stays_refused(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(10), person()
    poor = ask(engine, ann, bob, 11, "poor")
    assert (poor.reason, poor.token, poor.balance) == (RejectionReason.INSUFFICIENT_FUNDS, "", 10)
    ledger.adjust(
        engine, key="x", target=UserRef(telegram_id=ann.telegram_id), amount=500, memo="", actor="t"
    )
    assert ask(engine, ann, bob, 11, "poor") == poor
    assert ask(engine, ann, ann, 1, "self").reason is RejectionReason.SAME_ACCOUNT
    assert ask(engine, ann, Profile(404, None, "?"), 1, "who").reason is RejectionReason.UNKNOWN_USER
    assert ask(engine, ann, bob, 10**15 + 1, "huge").reason is RejectionReason.AMOUNT_TOO_LARGE
    assert press(engine, "no-such-token", ann).reason is RejectionReason.UNKNOWN_TRANSFER


def test_a_new_sender_is_registered_by_asking(engine: GuardedEngine, person: Person) -> None:
    outcome = ask(engine, Profile(9_001, None, "New"), person())
    assert (outcome.reason, outcome.balance) == (RejectionReason.INSUFFICIENT_FUNDS, 0)


def test_eight_presses_at_once_decide_once(make_engine: MakeEngine, person: Person) -> None:
    engine = make_engine(settings={"db_pool_size": 8, "db_deadline_seconds": 30})
    ann, bob = person(100), person()
    for number in range(3):
        token = ask(engine, ann, bob, 10, f"ask {number}").token
        with ThreadPoolExecutor(8) as threads:
            outcomes = list(
                threads.map(
                    lambda index: press(engine, token, ann, f"{token} {index}", confirm=index % 2 == 0),  # noqa: B023
                    range(8),
                )
            )
        assert [outcome.status for outcome in outcomes].count(OutcomeStatus.APPLIED) == 1
    assert balance(engine, ann) + balance(engine, bob) == 100


def test_all_that_waits_is_cancelled_once_and_nothing_else(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(100), person(100)
    mine = [ask(engine, ann, bob, key=f"mine {number}").token for number in range(2)]
    confirmed = ask(engine, ann, bob, key="confirmed").token
    press(engine, confirmed, ann, "confirms")
    expired = ask(engine, ann, bob, key="expired").token
    sql("UPDATE pending_transfers SET expires_at = clock_timestamp() WHERE token = %s", expired)
    others = ask(engine, bob, ann, key="others").token

    def cancel_all(key: str) -> int:
        return pending_transfers.cancel_all(engine, key=key, sender_id=ann.telegram_id)

    assert [cancel_all("first"), cancel_all("first"), cancel_all("second")] == [2, 2, 0]
    assert [press(engine, token, ann, f"late {token}").reason for token in mine] == [
        RejectionReason.ALREADY_CANCELLED
    ] * 2
    assert press(engine, expired, ann, "late").reason is RejectionReason.EXPIRED
    assert press(engine, others, bob, "bob confirms").decision is Decision.CONFIRMED


def test_a_question_and_its_answers_tell_the_balances_of_now(engine: GuardedEngine, person: Person) -> None:
    ann, bob, new = person(100), person(), Profile(5_000_005, None, "New")

    def now(outcome: PendingOutcome | DecisionOutcome) -> list[int]:
        return [seen.balance for seen in outcome.balances_now]

    assert now(ask(engine, new, bob, key="new")) == [0]
    asked = ask(engine, ann, bob)
    assert now(asked) == [100]
    assert now(press(engine, asked.token, bob, "not theirs")) == []
    assert now(press(engine, asked.token, ann)) == [70, 30]
    ledger.adjust(engine, key="x", target=UserRef(telegram_id=ann.telegram_id), amount=5, memo="", actor="t")
    assert now(press(engine, asked.token, ann)) == [75, 30]
    assert now(press(engine, asked.token, ann, "again")) == [75, 30]
    assert now(ask(engine, ann, bob)) == [75]
