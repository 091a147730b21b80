from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg2
import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, pending_transfers, users
from dbcore.ledger.pending_transfers import Press
from dbcore.ledger.users import Profile, UserRef
from dbcore.money import MAX_AMOUNT
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


def test_asked_together_each_has_the_outcome_it_would_have_alone(
    engine: GuardedEngine, person: Person
) -> None:
    outcomes = []
    for way in ("alone", "together"):
        ann, bob, eve = person(100), person(), person(5)
        asks = [
            pending_transfers.Ask(f"{way}-{number}", sender, recipient, amount, "lunch")
            for number, sender, recipient, amount in (
                (0, ann, UserRef(telegram_id=bob.telegram_id), 30),
                (1, eve, UserRef(telegram_id=bob.telegram_id), 6),  # more than there is
                (0, ann, UserRef(telegram_id=bob.telegram_id), 30),  # the same job again
                (2, bob, UserRef(telegram_id=bob.telegram_id), 1),
                (3, ann, UserRef(username=f"nobody_{way}"), 5),
                (4, ann, UserRef(telegram_id=eve.telegram_id), MAX_AMOUNT + 1),
                (0, ann, UserRef(telegram_id=eve.telegram_id), 30),  # another under the same key
                (5, eve, UserRef(telegram_id=ann.telegram_id), 5),
            )
        ]
        if way == "together":
            found = pending_transfers.create_many(engine, asks)
        else:
            found = [made for one in asks for made in pending_transfers.create_many(engine, [one])]
        assert found[0].token == found[2].token
        assert [one.sender.telegram_id for one in found] == [one.sender.telegram_id for one in asks]
        outcomes.append([alike(one) for one in found])
    assert outcomes[0] == outcomes[1]
    assert [(status, reason) for status, reason, *_ in outcomes[1]] == [
        (OutcomeStatus.APPLIED, None),
        (OutcomeStatus.REJECTED, RejectionReason.INSUFFICIENT_FUNDS),
        (OutcomeStatus.REPLAYED, None),
        (OutcomeStatus.REJECTED, RejectionReason.SAME_ACCOUNT),
        (OutcomeStatus.REJECTED, RejectionReason.UNKNOWN_USER),
        (OutcomeStatus.REJECTED, RejectionReason.AMOUNT_TOO_LARGE),
        (OutcomeStatus.REJECTED, RejectionReason.KEY_REUSED),
        (OutcomeStatus.APPLIED, None),
    ]


def alike(outcome: PendingOutcome | DecisionOutcome) -> tuple[object, ...]:
    """What is the same for other people under other keys."""
    balances = sorted(each.balance for each in outcome.balances_now)
    if isinstance(outcome, PendingOutcome):
        return outcome.status, outcome.reason, outcome.amount, outcome.balance, balances
    moved = (outcome.decision, outcome.amount, outcome.sender_balance, outcome.recipient_balance)
    return outcome.status, outcome.reason, *moved, balances


def test_decided_together_each_has_the_outcome_it_would_have_alone(
    engine: GuardedEngine, person: Person
) -> None:
    outcomes = []
    for way in ("alone", "together"):
        ann, bob, eve = person(100), person(), person(5)
        asked = [
            ask(engine, sender, recipient, amount, f"{way}-{number}").token
            for number, (sender, recipient, amount) in enumerate(
                [(ann, bob, 60), (ann, eve, 60), (eve, bob, 5), (ann, bob, 10)]
            )
        ]
        presses = [
            Press(f"{way}-press-0", asked[0], ann, confirm=True),
            Press(f"{way}-press-1", asked[1], ann, confirm=True),  # spent by the one before
            Press(f"{way}-press-0", asked[0], ann, confirm=True),  # the same job again
            Press(f"{way}-press-2", asked[2], bob, confirm=True),  # somebody else's
            Press(f"{way}-press-3", asked[3], ann, confirm=False),
            Press(f"{way}-press-4", "no token", ann, confirm=True),
            Press(f"{way}-press-5", asked[0], ann, confirm=True),  # decided by another press
            Press(f"{way}-press-6", asked[2], eve, confirm=True),
        ]
        if way == "together":
            found = pending_transfers.decide_many(engine, presses)
        else:
            found = [press(engine, one.token, one.presser, one.key, confirm=one.confirm) for one in presses]
        outcomes.append([alike(one)[:-1] for one in found])
        assert [balance(engine, each) for each in (ann, bob, eve)] == [40, 65, 0]
    assert outcomes[0] == outcomes[1]
    assert [(status, reason) for status, reason, *_ in outcomes[1]] == [
        (OutcomeStatus.APPLIED, None),
        (OutcomeStatus.REJECTED, RejectionReason.INSUFFICIENT_FUNDS),
        (OutcomeStatus.REPLAYED, None),
        (OutcomeStatus.REJECTED, RejectionReason.NOT_YOURS),
        (OutcomeStatus.APPLIED, None),
        (OutcomeStatus.REJECTED, RejectionReason.UNKNOWN_TRANSFER),
        (OutcomeStatus.REJECTED, RejectionReason.ALREADY_CONFIRMED),
        (OutcomeStatus.APPLIED, None),
    ]


def test_a_stranger_who_presses_among_others_is_not_registered(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(100), person()
    tokens = [ask(engine, ann, bob, 10, f"ask-{number}").token for number in range(2)]
    stranger = Profile(404, None, "Stranger")
    found = pending_transfers.decide_many(
        engine,
        [
            Press("theirs", tokens[0], stranger, confirm=True),
            Press("own", tokens[1], replace(ann, first_name="Anna"), confirm=True),
        ],
    )
    assert [one.reason for one in found] == [RejectionReason.NOT_YOURS, None]
    assert sql("SELECT count(*) FROM users WHERE telegram_id = 404") == [(0,)]
    assert sql("SELECT first_name FROM users WHERE telegram_id = %s", ann.telegram_id) == [("Anna",)]


def test_an_error_of_one_applies_none_and_the_same_keys_apply_each_once(
    engine: GuardedEngine, person: Person
) -> None:
    ann, bob = person(100), person()
    presses = [
        Press(f"press-{number}", ask(engine, ann, bob, 10, f"ask-{number}").token, ann, confirm=True)
        for number in range(3)
    ]
    with pytest.raises(psycopg2.Error):
        pending_transfers.decide_many(
            engine, [*presses, Press("press-9", "x", replace(ann, telegram_id=2**70), confirm=True)]
        )
    assert (balance(engine, ann), balance(engine, bob)) == (100, 0)
    for status in (OutcomeStatus.APPLIED, OutcomeStatus.REPLAYED):
        assert {one.status for one in pending_transfers.decide_many(engine, presses)} == {status}
    assert (balance(engine, ann), balance(engine, bob)) == (70, 30)


def test_batches_with_people_in_common_wait_for_each_other_and_never_in_a_circle(
    make_engine: MakeEngine, person: Person
) -> None:
    """Everybody sends to everybody's neighbour, in orders of their own, under new names."""
    rounds, size = 4, 20
    people = [person(100) for _ in range(size)]
    engines = [make_engine() for _ in range(2)]
    begin = threading.Barrier(len(engines))

    def decide_all(number: int) -> set[OutcomeStatus]:
        engine, found = engines[number], set()
        for turn in range(rounds):
            pairs = [*zip(people, people[1:] + people[:1], strict=True)][:: 1 if number else -1]
            if number:
                pairs = [(recipient, sender) for sender, recipient in pairs]
            asks = [
                pending_transfers.Ask(
                    f"{number}-{turn}-{sender.telegram_id}",
                    replace(sender, first_name=f"{sender.first_name}{number}{turn}"),
                    UserRef(telegram_id=recipient.telegram_id),
                    1,
                    "",
                )
                for sender, recipient in pairs
            ]
            begin.wait(30)
            made = pending_transfers.create_many(engine, asks)
            presses = [
                Press(f"{one.key}-press", each.token, replace(one.sender, first_name="other"), confirm=True)
                for one, each in zip(asks, made, strict=True)
            ]
            begin.wait(30)
            found |= {one.status for one in pending_transfers.decide_many(engine, presses)}
        return found

    with ThreadPoolExecutor(len(engines)) as pool:
        assert [*pool.map(decide_all, range(len(engines)))] == [{OutcomeStatus.APPLIED}] * len(engines)
    assert [balance(engines[0], each) for each in people] == [100] * size
    assert [engine.snapshot().retries_total for engine in engines] == [0] * len(engines)
