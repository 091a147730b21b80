from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg2
import pytest

from dbcore import admin_actions
from dbcore.admin_actions import Filters
from dbcore.errors import Unavailable
from dbcore.failures import FailureKind
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, pending_adjustments, users
from dbcore.ledger.pending_adjustments import Limits, Press
from dbcore.ledger.users import Profile, UserRef
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import (
    AdjustmentDecisionOutcome,
    Decision,
    OutcomeStatus,
    PendingAdjustmentOutcome,
    RejectionReason,
)
from tests.dbcore.conftest import MakeEngine, Person, Sql

pytestmark = pytest.mark.usefixtures("audited")

ADMIN, OTHER_ADMIN = 1001, 1002
NO_LIMITS = Limits()


def ask(
    engine: GuardedEngine,
    target: Profile | UserRef,
    amount: int = 30,
    key: str = "ask",
    *,
    admin: int = ADMIN,
    limits: Limits = NO_LIMITS,
) -> PendingAdjustmentOutcome:
    ref = UserRef(telegram_id=target.telegram_id) if isinstance(target, Profile) else target
    return pending_adjustments.create(
        engine, key=key, admin_id=admin, target=ref, amount=amount, memo="gift", limits=limits
    )


def press(
    engine: GuardedEngine,
    token: str,
    key: str = "press",
    *,
    presser: int = ADMIN,
    confirm: bool = True,
    limits: Limits = NO_LIMITS,
    waited_seconds: float = 0.0,
) -> AdjustmentDecisionOutcome:
    return pending_adjustments.decide(
        engine,
        key=key,
        token=token,
        presser_id=presser,
        confirm=confirm,
        limits=limits,
        waited_seconds=waited_seconds,
    )


def balance(engine: GuardedEngine, profile: Profile) -> int:
    return users.get_or_create(engine, profile=profile).balance


@pytest.mark.parametrize(("amount", "after"), [(30, 130), (-30, 70)])
def test_asking_moves_nothing_and_confirming_moves_once(
    engine: GuardedEngine, person: Person, sql: Sql, amount: int, after: int
) -> None:
    bob = person(100)
    asked = ask(engine, bob, amount)
    assert (asked.status, asked.balance, balance(engine, bob)) == (OutcomeStatus.APPLIED, 100, 100)
    confirmed = press(engine, asked.token)
    assert (confirmed.status, confirmed.decision) == (OutcomeStatus.APPLIED, Decision.CONFIRMED)
    assert (confirmed.balance_after, confirmed.balance_now, confirmed.version) == (after, after, 2)
    assert press(engine, asked.token, "another press").reason is RejectionReason.ALREADY_CONFIRMED
    assert balance(engine, bob) == after
    kind = "credit" if amount > 0 else "debit"
    assert sql("SELECT actor, memo FROM transfers WHERE kind = %s AND memo = 'gift'", kind) == [
        ("telegram:1001", "gift")
    ]


def test_the_same_job_again_is_answered_as_the_first_time_with_the_balance_of_now(
    engine: GuardedEngine, person: Person
) -> None:
    bob = person(100)
    asked = ask(engine, bob)
    assert ask(engine, bob) == replace(asked, status=OutcomeStatus.REPLAYED)
    first = press(engine, asked.token)
    ledger.adjust(
        engine, key="x", target=UserRef(telegram_id=bob.telegram_id), amount=500, memo="", actor="t"
    )
    again = press(engine, asked.token)
    assert again == replace(first, status=OutcomeStatus.REPLAYED, balance_now=630, version=3)
    assert again.balance_after == 130
    assert press(engine, asked.token, confirm=False).reason is RejectionReason.KEY_REUSED
    assert ask(engine, bob, 31).reason is RejectionReason.KEY_REUSED


def test_a_balance_that_changed_since_the_card_is_told_at_confirmation(
    engine: GuardedEngine, person: Person
) -> None:
    bob = person(100)
    asked = ask(engine, bob)
    ledger.adjust(
        engine, key="x", target=UserRef(telegram_id=bob.telegram_id), amount=-50, memo="", actor="t"
    )
    confirmed = press(engine, asked.token)
    assert (confirmed.card_balance, confirmed.balance_after) == (100, 80)


def test_a_username_that_changes_hands_before_confirm_changes_nobody(
    engine: GuardedEngine, person: Person
) -> None:
    bob, mallory = person(0, "bob"), person(0)
    asked = ask(engine, UserRef.parse("@bob"))
    users.get_or_create(engine, profile=replace(bob, username=None))
    users.get_or_create(engine, profile=replace(mallory, username="bob"))
    confirmed = press(engine, asked.token)
    assert confirmed.target is not None
    assert (confirmed.target.telegram_id, confirmed.target.username) == (bob.telegram_id, None)
    assert (balance(engine, bob), balance(engine, replace(mallory, username="bob"))) == (30, 0)


def test_only_the_asking_admin_decides(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    token = ask(engine, person(100)).token
    outcome = press(engine, token, presser=OTHER_ADMIN)
    assert outcome.reason is RejectionReason.NOT_YOURS
    assert (outcome.target, outcome.amount, outcome.memo, outcome.balance_now) == (None, None, None, None)
    assert sql("SELECT status FROM pending_adjustments") == [("pending",)]


def test_a_cancelled_one_stays_cancelled_and_a_late_one_expires(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    bob = person(100)
    cancelled, late = ask(engine, bob, key="one").token, ask(engine, bob, key="two").token
    assert press(engine, cancelled, confirm=False).decision is Decision.CANCELLED
    assert press(engine, cancelled, confirm=False).status is OutcomeStatus.REPLAYED
    assert press(engine, cancelled, "later").reason is RejectionReason.ALREADY_CANCELLED
    sql("UPDATE pending_adjustments SET expires_at = clock_timestamp() WHERE status = 'pending'")
    assert press(engine, late, "in vain").reason is RejectionReason.EXPIRED
    assert press(engine, late, "again").reason is RejectionReason.EXPIRED
    assert balance(engine, bob) == 100


def test_a_press_in_time_counts_however_long_the_database_was_away(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    token = ask(engine, person(100)).token
    sql("UPDATE pending_adjustments SET expires_at = clock_timestamp() - interval '1 hour'")
    sql("UPDATE pending_adjustments SET created_at = expires_at - interval '10 minutes'")
    assert press(engine, token, waited_seconds=3_700).decision is Decision.CONFIRMED


def test_what_cannot_be_is_refused_and_stays_refused(engine: GuardedEngine, person: Person) -> None:
    bob = person(10)
    poor = ask(engine, bob, -11, "poor")
    assert (poor.reason, poor.token, poor.balance) == (RejectionReason.INSUFFICIENT_FUNDS, "", 10)
    ledger.adjust(
        engine, key="x", target=UserRef(telegram_id=bob.telegram_id), amount=500, memo="", actor="t"
    )
    again = ask(engine, bob, -11, "poor")
    assert again == replace(poor, balance_now=510, version=2)
    assert ask(engine, Profile(404, None, "?"), key="who").reason is RejectionReason.UNKNOWN_USER
    assert ask(engine, bob, 10**15 + 1, "huge").reason is RejectionReason.AMOUNT_TOO_LARGE
    assert press(engine, "no-such-token").reason is RejectionReason.UNKNOWN_TRANSFER


def test_money_spent_meanwhile_is_noticed_when_confirming(engine: GuardedEngine, person: Person) -> None:
    bob = person(100)
    one, other = ask(engine, bob, -80, "one").token, ask(engine, bob, -80, "other").token
    press(engine, one, "first")
    refused = press(engine, other, "second")
    assert (refused.reason, refused.balance_after) == (RejectionReason.INSUFFICIENT_FUNDS, 20)
    assert press(engine, other, "second") == refused
    assert balance(engine, bob) == 20


def test_one_adjustment_is_limited_when_asked_for_and_when_confirmed(
    engine: GuardedEngine, person: Person
) -> None:
    bob = person(1_000)
    assert ask(engine, bob, 100, "at it", limits=Limits(once=100)).reason is None
    assert ask(engine, bob, 101, "above", limits=Limits(once=100)).reason is RejectionReason.OVER_LIMIT
    assert ask(engine, bob, -101, "below", limits=Limits(once=100)).reason is RejectionReason.OVER_LIMIT
    token = ask(engine, bob, 500, "before the limit was set").token
    refused = press(engine, token, limits=Limits(once=100))
    assert refused.reason is RejectionReason.OVER_LIMIT
    assert press(engine, token, limits=Limits(once=100)) == refused
    assert press(engine, token, "without it").reason is RejectionReason.OVER_LIMIT
    assert balance(engine, bob) == 1_000


def test_a_day_is_limited_for_each_admin_credits_and_debits_alike(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    bob, limits = person(1_000), Limits(per_day=100)
    press(engine, ask(engine, bob, 60, "one", limits=limits).token, "1", limits=limits)
    press(engine, ask(engine, bob, -30, "two", limits=limits).token, "2", limits=limits)
    refused = ask(engine, bob, 11, "three", limits=limits)
    assert (refused.reason, refused.left_today) == (RejectionReason.OVER_DAILY_LIMIT, 10)
    assert ask(engine, bob, 10, "four", limits=limits).reason is None
    assert ask(engine, bob, 100, "five", admin=OTHER_ADMIN, limits=limits).reason is None
    sql(
        "UPDATE pending_adjustments SET decided_at = decided_at - interval '24 hours' WHERE status = 'confirmed'"
    )
    assert ask(engine, bob, 100, "six", limits=limits).reason is None


def test_confirms_at_once_never_pass_the_daily_limit_together(
    make_engine: MakeEngine, person: Person, sql: Sql
) -> None:
    engine = make_engine(settings={"db_pool_size": 8, "db_deadline_seconds": 30})
    people, limits = [person(0) for _ in range(8)], Limits(per_day=100)
    tokens = [ask(engine, each, 60, f"ask {n}", limits=limits).token for n, each in enumerate(people)]
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda token: press(engine, token, token, limits=limits), tokens))
    assert [outcome.decision for outcome in outcomes].count(Decision.CONFIRMED) == 1
    assert [o.reason for o in outcomes].count(RejectionReason.OVER_DAILY_LIMIT) == 7
    assert {o.left_today for o in outcomes if o.reason} == {40}
    assert sql("SELECT sum(amount) FROM transfers WHERE kind = 'credit' AND status = 'applied'") == [(60,)]


def test_eight_presses_at_once_decide_once(make_engine: MakeEngine, person: Person) -> None:
    engine = make_engine(settings={"db_pool_size": 8, "db_deadline_seconds": 30})
    bob = person(0)
    token = ask(engine, bob, 10).token
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda number: press(engine, token, f"press {number}"), range(8)))
    assert [outcome.status for outcome in outcomes].count(OutcomeStatus.APPLIED) == 1
    assert balance(engine, bob) == 10


def test_the_keys_of_confirmed_adjustments_are_nobody_s_own(engine: GuardedEngine) -> None:
    with pytest.raises(ValueError, match="pending_adjustment"):
        ledger.require_key("pending_adjustment:1")


def test_asked_together_each_has_the_outcome_it_would_have_alone(
    engine: GuardedEngine, person: Person
) -> None:
    limits = Limits(once=50)
    outcomes = []
    for way in ("alone", "together"):
        anna, ben = person(100), person(0)
        nobody = UserRef(username=f"nobody_{way}")
        asks = [
            pending_adjustments.Ask(f"{way}-{number}", ADMIN, target, amount, "memo", limits)
            for number, target, amount in (
                (0, UserRef(telegram_id=anna.telegram_id), 30),
                (1, UserRef(telegram_id=ben.telegram_id), -10),  # more than there is
                (0, UserRef(telegram_id=anna.telegram_id), 30),  # the same job again
                (2, UserRef(telegram_id=anna.telegram_id), 51),  # past the limit
                (3, nobody, 5),
                (4, UserRef(telegram_id=ben.telegram_id), MAX_AMOUNT + 1),
                (0, UserRef(telegram_id=ben.telegram_id), 30),  # another under the same key
                (5, UserRef(telegram_id=ben.telegram_id), 7),
            )
        ]
        if way == "together":
            found = pending_adjustments.create_many(engine, asks)
        else:
            found = [made for one in asks for made in pending_adjustments.create_many(engine, [one])]
        assert found[0].token == found[2].token
        assert found[0].target is not None
        assert found[0].target.telegram_id == anna.telegram_id
        outcomes.append([replace(one, target=None, token="", version=None) for one in found])
    assert outcomes[0] == outcomes[1]
    assert [(one.status, one.reason) for one in outcomes[1]] == [
        (OutcomeStatus.APPLIED, None),
        (OutcomeStatus.REJECTED, RejectionReason.INSUFFICIENT_FUNDS),
        (OutcomeStatus.REPLAYED, None),
        (OutcomeStatus.REJECTED, RejectionReason.OVER_LIMIT),
        (OutcomeStatus.REJECTED, RejectionReason.UNKNOWN_USER),
        (OutcomeStatus.REJECTED, RejectionReason.AMOUNT_TOO_LARGE),
        (OutcomeStatus.REJECTED, RejectionReason.KEY_REUSED),
        (OutcomeStatus.APPLIED, None),
    ]


def test_an_error_of_one_asked_for_keeps_none(engine: GuardedEngine, sql: Sql, person: Person) -> None:
    bob = UserRef(telegram_id=person().telegram_id)
    asks = [pending_adjustments.Ask(f"ask-{number}", ADMIN, bob, 10, "", NO_LIMITS) for number in range(3)]
    with pytest.raises(psycopg2.Error):
        pending_adjustments.create_many(engine, [*asks, replace(asks[0], key="ask-9", admin_id=2**70)])
    assert sql("SELECT count(*) FROM pending_adjustments") == [(0,)]
    found = pending_adjustments.create_many(engine, asks)
    assert [one.status for one in found] == [OutcomeStatus.APPLIED] * 3
    assert len({one.token for one in found}) == 3


def decide_many(
    engine: GuardedEngine, presses: list[Press], limits: Limits = NO_LIMITS
) -> list[AdjustmentDecisionOutcome]:
    return pending_adjustments.decide_many(engine, [replace(press, limits=limits) for press in presses])


def test_decided_together_each_has_the_limits_of_its_own_admin(engine: GuardedEngine, person: Person) -> None:
    bob = person()
    found = []
    for number, limits in ((1, Limits(once=50)), (2, Limits(once=500)), (3, NO_LIMITS)):
        card = pending_adjustments.create(
            engine,
            key=f"ask-{number}",
            admin_id=number,
            target=UserRef(telegram_id=bob.telegram_id),
            amount=100,
            memo="",
            limits=NO_LIMITS,
        )
        found.append(Press(f"press-{number}", card.token, number, confirm=True, limits=limits))
    decided = pending_adjustments.decide_many(engine, found)
    assert [each.reason for each in decided] == [RejectionReason.OVER_LIMIT, None, None]


def test_decided_together_each_has_the_outcome_it_would_have_alone(
    engine: GuardedEngine, person: Person
) -> None:
    limits = Limits(per_day=100)
    outcomes: list[list[AdjustmentDecisionOutcome]] = []
    for way in ("alone", "together"):
        anna, ben = person(100), person(0)
        mine = ADMIN + 10 * len(outcomes)
        tokens = [
            ask(engine, target, amount, f"{way}-{number}", admin=mine).token
            for number, (target, amount) in enumerate(
                [(anna, 30), (ben, 40), (anna, -20), (ben, 50), (ben, 5)]
            )
        ]
        presses = [
            Press(f"{way}-press-0", tokens[0], mine, confirm=True),
            Press(f"{way}-press-1", tokens[1], mine, confirm=True),
            Press(f"{way}-press-0", tokens[0], mine, confirm=True),  # the same job again
            Press(f"{way}-press-2", tokens[2], mine + 1, confirm=True),  # somebody else's
            Press(f"{way}-press-3", tokens[3], mine, confirm=True),  # past the day's limit
            Press(f"{way}-press-4", tokens[4], mine, confirm=False),
            Press(f"{way}-press-5", "no token", mine, confirm=True),
            Press(f"{way}-press-6", tokens[1], mine, confirm=True),  # decided by another press
        ]
        if way == "together":
            found = decide_many(engine, presses, limits)
        else:
            found = [
                press(engine, one.token, one.key, presser=one.presser_id, confirm=one.confirm, limits=limits)
                for one in presses
            ]
        outcomes.append([replace(one, target=None) for one in found])
        assert (balance(engine, anna), balance(engine, ben)) == (130, 40)
    assert outcomes[0] == outcomes[1]
    assert [one.status for one in outcomes[1]] == [
        OutcomeStatus.APPLIED,
        OutcomeStatus.APPLIED,
        OutcomeStatus.REPLAYED,
        OutcomeStatus.REJECTED,
        OutcomeStatus.REJECTED,
        OutcomeStatus.APPLIED,
        OutcomeStatus.REJECTED,
        OutcomeStatus.REJECTED,
    ]


def test_an_error_of_one_applies_none_and_the_same_keys_apply_each_once(
    engine: GuardedEngine, person: Person
) -> None:
    people = [person(0) for _ in range(3)]
    tokens = [ask(engine, each, 10, f"ask-{number}").token for number, each in enumerate(people)]
    presses = [Press(f"press-{number}", token, ADMIN, confirm=True) for number, token in enumerate(tokens)]
    with pytest.raises(psycopg2.Error):
        decide_many(engine, [*presses, Press("press-9", "x", 2**70, confirm=True)])
    assert [balance(engine, each) for each in people] == [0, 0, 0]
    assert [one.status for one in decide_many(engine, presses)] == [OutcomeStatus.APPLIED] * 3
    assert [one.status for one in decide_many(engine, presses)] == [OutcomeStatus.REPLAYED] * 3
    assert [balance(engine, each) for each in people] == [10, 10, 10]


def test_batches_with_people_and_admins_in_common_wait_for_each_other_and_never_in_a_circle(
    make_engine: MakeEngine, person: Person
) -> None:
    rounds, size = 4, 30
    people = [person(0) for _ in range(size)]
    engines = [make_engine() for _ in range(2)]
    begin = threading.Barrier(len(engines))

    def batch_of(number: int, turn: int) -> list[Press]:
        """Of all people, in an order of its own."""
        engine, order = engines[number], people[:: 1 if number else -1]
        return [
            Press(
                key, ask(engine, each, 1, key, admin=ADMIN + each.telegram_id % 3).token, admin, confirm=True
            )
            for each in order
            for admin in [ADMIN + each.telegram_id % 3]
            for key in [f"{number}-{turn}-{each.telegram_id}"]
        ]

    batches = [[batch_of(number, turn) for turn in range(rounds)] for number in range(len(engines))]

    def decide_all(number: int) -> set[OutcomeStatus]:
        found = set()
        for batch in batches[number]:
            begin.wait(30)
            found |= {one.status for one in decide_many(engines[number], batch)}
        return found

    with ThreadPoolExecutor(len(engines)) as pool:
        assert [*pool.map(decide_all, range(len(engines)))] == [{OutcomeStatus.APPLIED}] * len(engines)
    assert [balance(engines[0], each) for each in people] == [rounds * len(engines)] * size
    assert [engine.snapshot().retries_total for engine in engines] == [0] * len(engines)


def test_one_row_that_somebody_holds_ends_the_wait_of_a_batch_soon(
    engine: GuardedEngine, person: Person, database_url: str
) -> None:
    """Then each is tried by itself, and the others need not wait."""
    anna, ben = person(0), person(0)
    tokens = [ask(engine, each, 1, f"ask-{number}").token for number, each in enumerate([anna, ben])]
    presses = [Press(f"press-{number}", token, ADMIN, confirm=True) for number, token in enumerate(tokens)]
    holder = psycopg2.connect(database_url)
    try:
        with holder.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM accounts a JOIN users u ON u.id = a.user_id WHERE telegram_id = %s FOR UPDATE OF a",
                (anna.telegram_id,),
            )
        with pytest.raises(Unavailable) as caught:
            decide_many(engine, presses)
        assert caught.value.kind is FailureKind.SLOW
        assert press(engine, tokens[1], "press-1").status is OutcomeStatus.APPLIED
    finally:
        holder.close()
    assert [one.status for one in decide_many(engine, presses)] == [
        OutcomeStatus.APPLIED,
        OutcomeStatus.REPLAYED,
    ]


def test_what_is_confirmed_is_in_the_audit_log_once_with_the_balance_before_and_after(
    engine: GuardedEngine, person: Person
) -> None:
    bob = person(100)
    before = {each.action_id for each in admin_actions.search(engine, Filters()).items}
    token = ask(engine, bob, -30).token
    assert press(engine, token).decision is Decision.CONFIRMED
    assert press(engine, token).status is OutcomeStatus.REPLAYED
    press(engine, ask(engine, bob, 5, "other").token, "no", confirm=False)
    spent = ask(engine, bob, -70, "too much").token
    press(engine, ask(engine, bob, -70, "the rest").token, "the rest")
    press(engine, spent, "again")
    found = [each for each in admin_actions.search(engine, Filters()).items if each.action_id not in before]
    assert [(each.actor, each.action, each.target, each.outcome, each.reason) for each in found] == [
        (f"telegram:{ADMIN}", "user.debit", str(bob.telegram_id), outcome, "gift")
        for outcome in ("refused: insufficient_funds", "done", "done")
    ]
    assert [(each.before, each.after) for each in found] == [
        (None, None),
        ({"balance": 70}, {"balance": 0}),
        ({"balance": 100}, {"balance": 70}),
    ]
