"""Holds: money that is set aside is spent by nothing but its hold, and each hold ends once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

import pytest
from psycopg2 import errors

from dbcore.errors import DatabaseAway
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import holds, ledger, pending_adjustments, pending_transfers, star_payments, users
from dbcore.ledger.audit import audit
from dbcore.ledger.history import page
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.pending_adjustments import Limits
from dbcore.ledger.star_payments import StarCharge
from dbcore.ledger.users import Profile, UserRef
from dbcore.outcomes import (
    HoldEndOutcome,
    HoldOutcome,
    HoldState,
    OutcomeStatus,
    RejectionReason,
    TransferOutcome,
)
from devstack.postgres import EmbeddedPostgres
from tests.dbcore.conftest import MakeEngine, Person, Sql, eventually

T = TypeVar("T")

pytestmark = pytest.mark.usefixtures("audited")

_keys = itertools.count(1)


def held(
    engine: GuardedEngine,
    owner: Profile,
    amount: int,
    key: str | None = None,
    expires_after: timedelta | None = None,
) -> HoldOutcome:
    return holds.hold(
        engine,
        key=key or f"hold-{next(_keys)}",
        owner=UserRef(telegram_id=owner.telegram_id),
        amount=amount,
        memo="order",
        actor="test",
        expires_after=expires_after,
    )


def post(
    engine: GuardedEngine, hold_id: int | None, amount: int | None = None, *, key: str = "", to: int = 0
) -> HoldEndOutcome:
    assert hold_id is not None
    return holds.post(
        engine,
        key=key or f"end-{next(_keys)}",
        hold_id=hold_id,
        amount=amount,
        to=UserRef(telegram_id=to) if to else None,
        actor="test",
    )


def void(engine: GuardedEngine, hold_id: int | None, key: str = "") -> HoldEndOutcome:
    assert hold_id is not None
    return holds.void(engine, key=key or f"end-{next(_keys)}", hold_id=hold_id, actor="test")


def figures(engine: GuardedEngine, owner: Profile) -> tuple[int, int]:
    """Posted and available."""
    account = users.get_or_create(engine, profile=owner)
    return account.balance, account.available


def overdue(sql: Sql, hold_id: int | None) -> None:
    sql("UPDATE holds SET expires_at = now() - interval '1 second' WHERE id = %s", hold_id)


def test_what_is_held_stays_on_the_account_and_nothing_else_can_take_it(
    engine: GuardedEngine, person: Person
) -> None:
    ann, bob = person(100), person()
    taken = held(engine, ann, 70)
    assert (taken.status, taken.state, taken.available) == (OutcomeStatus.APPLIED, HoldState.OPEN, 30)
    assert figures(engine, ann) == (100, 30)
    assert (page(engine, profile=ann, upto_version=None, limit=5).held) == 70

    def sent(amount: int) -> TransferOutcome:
        return ledger.transfer(
            engine,
            key=f"send-{next(_keys)}",
            sender_telegram_id=ann.telegram_id,
            recipient_telegram_id=bob.telegram_id,
            amount=amount,
            memo="",
        )

    refused = sent(31)
    assert (refused.reason, refused.sender_balance) == (RejectionReason.INSUFFICIENT_FUNDS, 30)
    debit = ledger.adjust(
        engine,
        key="debit",
        target=UserRef(telegram_id=ann.telegram_id),
        amount=-31,
        memo="",
        actor="t",
    )
    assert (debit.reason, debit.balance_after) == (RejectionReason.INSUFFICIENT_FUNDS, 30)
    assert held(engine, ann, 31).reason is RejectionReason.INSUFFICIENT_FUNDS
    asked = pending_transfers.create(
        engine, key="ask", sender=ann, recipient=UserRef(telegram_id=bob.telegram_id), amount=31, memo=""
    )
    assert (asked.reason, asked.balance) == (RejectionReason.INSUFFICIENT_FUNDS, 30)
    card = pending_adjustments.create(
        engine,
        key="card",
        admin_id=1,
        target=UserRef(telegram_id=ann.telegram_id),
        amount=-31,
        memo="",
        limits=Limits(once=None, per_day=None),
    )
    assert (card.reason, card.balance, card.balance_now) == (RejectionReason.INSUFFICIENT_FUNDS, 30, 100)
    assert sent(30).reason is None
    assert figures(engine, ann) == (70, 0)


def test_a_hold_is_posted_in_full_or_in_part_to_the_house_or_to_a_user(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(100), person()
    whole, part, gift = (held(engine, ann, amount).hold_id for amount in (20, 30, 40))
    done = post(engine, whole)
    assert (done.status, done.state, done.amount, done.available) == ("applied", HoldState.POSTED, 20, 10)
    assert post(engine, part, 10).available == 30  # the rest is given back
    assert post(engine, gift, to=bob.telegram_id).reason is None
    assert (figures(engine, ann), figures(engine, bob)) == ((30, 30), (40, 40))
    assert sql(
        "SELECT kind, amount, memo FROM transfers WHERE idempotency_key LIKE 'hold:%' ORDER BY id"
    ) == [
        ("debit", 20, "order"),
        ("debit", 10, "order"),
        ("transfer", 40, "order"),
    ]


def test_a_hold_ends_once_and_the_same_key_answers_the_same(engine: GuardedEngine, person: Person) -> None:
    ann = person(100)
    first = held(engine, ann, 60, key="once")
    again = held(engine, ann, 60, key="once")
    assert (again.status, again.hold_id, again.available) == (OutcomeStatus.REPLAYED, first.hold_id, 40)
    assert held(engine, ann, 61, key="once").reason is RejectionReason.KEY_REUSED
    assert figures(engine, ann) == (100, 40)

    done = post(engine, first.hold_id, 50, key="end")
    replayed = post(engine, first.hold_id, 50, key="end")
    assert (replayed.status, replayed.transfer_id, replayed.amount) == ("replayed", done.transfer_id, 50)
    assert post(engine, first.hold_id, 51, key="end").reason is RejectionReason.KEY_REUSED
    assert void(engine, first.hold_id).reason is RejectionReason.ALREADY_POSTED
    assert post(engine, first.hold_id).reason is RejectionReason.ALREADY_POSTED
    assert figures(engine, ann) == (50, 50)

    second = held(engine, ann, 50).hold_id
    assert post(engine, second, key="end").reason is RejectionReason.KEY_REUSED  # of another hold
    assert void(engine, second, key="void").status is OutcomeStatus.APPLIED
    assert void(engine, second, key="void").status is OutcomeStatus.REPLAYED
    assert post(engine, second).reason is RejectionReason.ALREADY_VOIDED
    assert held(engine, ann, 60, key="once").state is HoldState.POSTED  # a replay tells what became of it
    assert figures(engine, ann) == (50, 50)


def test_what_a_hold_refuses_leaves_it_open(engine: GuardedEngine, person: Person) -> None:
    ann = person(10)
    hold_id = held(engine, ann, 10).hold_id
    assert post(engine, hold_id, 11).reason is RejectionReason.MORE_THAN_HELD
    assert post(engine, hold_id, to=ann.telegram_id).reason is RejectionReason.SAME_ACCOUNT
    assert post(engine, hold_id, to=424_242).reason is RejectionReason.UNKNOWN_USER
    assert post(engine, 9_999_999).reason is RejectionReason.UNKNOWN_HOLD
    assert figures(engine, ann) == (10, 0)
    assert post(engine, hold_id).reason is None


def test_a_refused_hold_is_refused_again_and_cannot_be_ended(engine: GuardedEngine, person: Person) -> None:
    ann = person(10)
    for _ in range(2):
        refused = held(engine, ann, 11, key="much")
        assert (refused.reason, refused.available) == (RejectionReason.INSUFFICIENT_FUNDS, 10)
        assert refused.hold_id is None
    nobody = Profile(1, None, "")
    assert held(engine, nobody, 1, key="nobody").reason is RejectionReason.UNKNOWN_USER
    assert held(engine, ann, 2**62).reason is RejectionReason.AMOUNT_TOO_LARGE
    for wrong in (0, -1, True):
        with pytest.raises(ValueError, match="above zero"):
            held(engine, ann, wrong)
    with pytest.raises(ValueError, match="ten years"):
        held(engine, ann, 1, expires_after=timedelta(0))


def test_the_ledgers_own_keys_of_holds_are_nobody_elses(engine: GuardedEngine, person: Person) -> None:
    ann = person(10)
    with pytest.raises(ValueError, match="belong to the ledger"):
        held(engine, ann, 1, key="hold:1")
    with pytest.raises(ValueError, match="belong to the ledger"):
        ledger.adjust(
            engine,
            key="hold:1",
            target=UserRef(telegram_id=ann.telegram_id),
            amount=-50,
            memo="",
            actor="",
        )


def test_a_hold_that_is_over_ends_by_the_sweep(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    ann, bob = person(100), person(100)
    over = [held(engine, each, 40, expires_after=timedelta(hours=1)).hold_id for each in (ann, bob, bob)]
    kept = held(engine, ann, 5, expires_after=timedelta(hours=1)).hold_id
    assert holds.sweep(engine) == 0
    for hold_id in over:
        overdue(sql, hold_id)
    assert holds.sweep(engine) == 3
    assert (figures(engine, ann), figures(engine, bob)) == ((100, 95), (100, 100))
    assert post(engine, over[0]).reason is RejectionReason.EXPIRED
    assert post(engine, kept).reason is None


def test_nobody_waits_for_the_sweep(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    """What is over is spent by whoever needs it, and a late post is refused, before any sweep."""
    ann = person(100)
    hold_id = held(engine, ann, 100, expires_after=timedelta(hours=1)).hold_id
    overdue(sql, hold_id)
    late = post(engine, hold_id)
    assert (late.reason, late.state, late.available) == (RejectionReason.EXPIRED, HoldState.EXPIRED, 100)
    overdue(sql, held(engine, ann, 100, expires_after=timedelta(hours=1)).hold_id)
    assert held(engine, ann, 60).reason is None
    overdue(sql, held(engine, ann, 40, expires_after=timedelta(hours=1)).hold_id)
    assert _debited(engine, ann, 40) is None
    assert figures(engine, ann) == (60, 0)


def _debited(engine: GuardedEngine, owner: Profile, amount: int) -> RejectionReason | None:
    return ledger.adjust(
        engine,
        key=f"debit-{next(_keys)}",
        target=UserRef(telegram_id=owner.telegram_id),
        amount=-amount,
        memo="",
        actor="t",
    ).reason


def test_a_sweep_leaves_an_account_that_somebody_works_on_and_goes_on_with_the_others(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(10), person(10)
    for each in (ann, bob):
        overdue(sql, held(engine, each, 10, expires_after=timedelta(hours=1)).hold_id)
    sql("BEGIN")
    lock = "SELECT FROM accounts a JOIN users u ON u.id = a.user_id WHERE u.telegram_id = %s FOR NO KEY UPDATE OF a"
    sql(lock, ann.telegram_id)
    assert holds.sweep(engine) == 1
    sql("ROLLBACK")
    assert holds.sweep(engine) == 1


def test_a_refund_of_what_is_held_leaves_a_debt_and_the_hold_keeps_its_promise(
    engine: GuardedEngine, person: Person
) -> None:
    ann = person()
    paid = StarCharge(PaymentKind.PAID, "c", ann, stars=1, amount=100, payload="", said_at=1)
    star_payments.book(engine, paid)
    kept, given_back = held(engine, ann, 60).hold_id, held(engine, ann, 40).hold_id
    refunded = StarCharge(PaymentKind.REFUNDED, "c", ann, stars=1, amount=100, payload="", said_at=1)
    assert star_payments.book(engine, refunded).reason is None
    assert figures(engine, ann) == (0, -100)
    assert _debited(engine, ann, 1) is RejectionReason.INSUFFICIENT_FUNDS
    assert post(engine, kept).reason is None
    assert figures(engine, ann) == (-60, -100)
    assert void(engine, given_back).reason is None
    assert figures(engine, ann) == (-60, -60)


def test_a_hold_and_its_end_are_there_once_after_the_server_was_killed_between_them(
    victim: EmbeddedPostgres, make_engine: MakeEngine
) -> None:
    engine = make_engine(victim.url, settings={"db_deadline_seconds": 30})
    ann = Profile(1_000_000_000 + next(_keys), None, "Ann")
    key, end = f"killed-{ann.telegram_id}", f"killed-end-{ann.telegram_id}"
    users.get_or_create(engine, profile=ann)
    target = UserRef(telegram_id=ann.telegram_id)
    ledger.adjust(engine, key=f"{key}-100", target=target, amount=100, memo="", actor="t")
    hold_id = held(engine, ann, 60, key=key).hold_id
    restart(victim)
    assert answered(lambda: held(engine, ann, 60, key=key)).status is OutcomeStatus.REPLAYED
    assert post(engine, hold_id, 50, key=end).status is OutcomeStatus.APPLIED
    restart(victim)
    again = answered(lambda: post(engine, hold_id, 50, key=end))
    assert (again.status, again.amount, figures(engine, ann)) == (OutcomeStatus.REPLAYED, 50, (50, 50))
    assert [finding for finding in audit(victim.url) if not finding.ok] == []


def restart(server: EmbeddedPostgres) -> None:
    server.kill()
    server.start()


def answered(ask: Callable[[], T]) -> T:
    """Once the breaker has closed again."""
    answers: list[T] = []

    def is_there() -> bool:
        with suppress(DatabaseAway):
            answers.append(ask())
        return bool(answers)

    eventually(is_there)
    return answers[0]


def test_of_many_who_hold_and_spend_at_once_only_what_is_there_is_taken(
    make_engine: MakeEngine, person: Person
) -> None:
    engine = make_engine(settings={"db_pool_size": 4, "db_max_overflow": 4, "db_deadline_seconds": 30})
    ann, bob = person(100), person()

    def take(number: int) -> bool:
        if number % 2:
            return held(engine, ann, 10, key=f"h{number}").reason is None
        return _debited(engine, ann, 10) is None

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take, range(30))) == 10
    open_holds = [held(engine, ann, 10, key=f"h{number}").hold_id for number in range(1, 30, 2)]
    ids = [hold_id for hold_id in open_holds if hold_id is not None]
    end: list[Callable[[int], object]] = [
        lambda hold_id: post(engine, hold_id, to=bob.telegram_id),
        lambda hold_id: void(engine, hold_id),
    ]
    with ThreadPoolExecutor(8) as threads:
        ended = list(threads.map(lambda job: end[job[1]](job[0]), itertools.product(ids, (0, 1, 0, 1))))
    assert sum(outcome.status == "applied" for outcome in ended) == len(ids)
    posted, available = figures(engine, ann)
    assert posted == available and posted + figures(engine, bob)[0] == 10 * len(ids)


def test_no_hold_is_deleted_and_none_is_ended_twice_by_sql(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    hold_id = held(engine, person(10), 10).hold_id
    void(engine, hold_id)
    for statement in (
        "DELETE FROM holds",
        "TRUNCATE holds CASCADE",
        "UPDATE holds SET status = 'open', ended_key = NULL, ended_fingerprint = NULL, ended_at = NULL",
    ):
        with pytest.raises(errors.RestrictViolation):
            sql(statement)
    with pytest.raises(errors.CheckViolation):
        sql("UPDATE accounts SET held = 11 WHERE user_id IS NOT NULL")
