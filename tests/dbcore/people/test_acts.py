"""What operators do to accounts: once, in the audit log, and past no rule of the ledger."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.guard.guard import Guard
from dbcore.guard.ledger import Adjustment
from dbcore.guard.refusal import Refuse
from dbcore.ledger import holds, ledger, pending_adjustments, pending_transfers, star_payments, users
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.pending_adjustments import Limits
from dbcore.ledger.star_payments import StarCharge
from dbcore.ledger.users import Profile, UserRef
from dbcore.outcomes import OutcomeStatus, Party, RejectionReason, TransferOutcome
from dbcore.people import acts, card, movements
from dbcore.people.acts import Act
from tests.conftest import MakeSettings
from tests.dbcore.conftest import Person, Sql

pytestmark = pytest.mark.usefixtures("audited")

WHEN = 1_790_000_000.0


@pytest.fixture
def guard(make_settings: MakeSettings, database_url: str) -> Iterator[Guard]:
    made = Guard(make_settings(database_url=database_url))
    yield made
    made.close()


def act(key: str | None = None, reason: str = "as agreed") -> Act:
    return Act(key or uuid.uuid4().hex, "shell:nadia", reason, WHEN)


def ref(profile: Profile) -> UserRef:
    return UserRef(telegram_id=profile.telegram_id)


def send(engine: GuardedEngine, sender: Profile, recipient: Profile, amount: int) -> TransferOutcome:
    return ledger.transfer(
        engine,
        key=uuid.uuid4().hex,
        sender_telegram_id=sender.telegram_id,
        recipient_telegram_id=recipient.telegram_id,
        amount=amount,
        memo="lunch",
    )


def balance(engine: GuardedEngine, profile: Profile) -> int:
    found = card.find(engine, ref(profile))
    assert found is not None
    return found.balance


def booked(sql: Sql) -> list[tuple[Any, ...]]:
    return sql("SELECT actor, action, target, outcome, reason, before, after FROM admin_actions ORDER BY id")


def test_a_credit_is_done_once_and_the_audit_log_says_by_whom_why_and_from_what_to_what(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    bob = person(100, "bob")
    first = acts.adjust(engine, act("k"), target=UserRef(username="BOB"), amount=50)
    again = acts.adjust(engine, act("k"), target=UserRef(username="BOB"), amount=50)
    assert (first.status, again.status) == (OutcomeStatus.APPLIED, OutcomeStatus.REPLAYED)
    assert balance(engine, bob) == 150
    refused = acts.adjust(engine, act("l"), target=ref(bob), amount=-151)
    assert refused.reason is RejectionReason.INSUFFICIENT_FUNDS
    target = str(bob.telegram_id)
    assert booked(sql) == [
        ("shell:nadia", "user.credit", target, "done", "as agreed", {"balance": 100}, {"balance": 150}),
        (
            "shell:nadia",
            "user.debit",
            target,
            "refused: insufficient_funds",
            "as agreed",
            {"balance": 150},
            {"balance": 150},
        ),
    ]


def test_a_key_of_another_request_is_refused_and_changes_nothing(
    engine: GuardedEngine, person: Person
) -> None:
    bob = person(100)
    acts.adjust(engine, act("k"), target=ref(bob), amount=50)
    assert acts.adjust(engine, act("k"), target=ref(bob), amount=51).reason is RejectionReason.KEY_REUSED
    assert acts.freeze(engine, act("f"), target=ref(bob)).changed
    assert acts.freeze(engine, act("f"), target=ref(bob)).status is OutcomeStatus.REPLAYED
    for differs in (
        acts.freeze(engine, act("f"), target=ref(bob), refuses="everything"),
        acts.freeze(engine, act("f", "of another case"), target=ref(bob)),
    ):
        assert differs.reason is RejectionReason.KEY_REUSED
    assert acts.message(engine, act("m", "one"), target=ref(bob), notice=acts.nobody).reason is None
    other_text = acts.message(engine, act("m", "two"), target=ref(bob), notice=acts.nobody)
    assert other_text.reason is RejectionReason.KEY_REUSED
    other = person(0)
    assert acts.freeze(engine, act("f"), target=ref(other)).reason is RejectionReason.KEY_REUSED
    assert send(engine, other, bob, 1).reason is RejectionReason.INSUFFICIENT_FUNDS
    assert balance(engine, bob) == 150


def test_a_transfer_is_reversed_in_parts_up_to_what_it_moved_and_never_beyond(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(1_000), person()
    made = send(engine, ann, bob, 300)
    assert made.transfer_id is not None
    first = acts.reverse(engine, act("r1"), transfer_id=made.transfer_id, amount=100)
    assert (first.status, first.left, first.payer_balance, first.payee_balance) == (
        OutcomeStatus.APPLIED,
        200,
        200,
        800,
    )
    again = acts.reverse(engine, act("r1"), transfer_id=made.transfer_id, amount=100)
    assert (again.status, again.transfer_id) == (OutcomeStatus.REPLAYED, first.transfer_id)
    over = acts.reverse(engine, act("r2"), transfer_id=made.transfer_id, amount=201)
    assert (over.reason, over.left) == (RejectionReason.OVER_WHAT_IS_LEFT, 200)
    assert acts.reverse(engine, act("r3"), transfer_id=made.transfer_id, amount=200).left == 0
    assert (
        acts.reverse(engine, act("r4"), transfer_id=made.transfer_id, amount=1).reason
        is RejectionReason.ALREADY_REVERSED
    )
    assert (balance(engine, ann), balance(engine, bob)) == (1_000, 0)
    assert sql("SELECT transfer_id, reverses_id FROM reversals ORDER BY id")[0] == (
        first.transfer_id,
        made.transfer_id,
    )
    page = movements.movements(engine, ann.telegram_id)
    assert [(each.amount, each.reverses, each.reversed_amount) for each in page.movements[:3]] == [
        (200, made.transfer_id, 0),
        (100, made.transfer_id, 0),
        (-300, None, 300),
    ]


def test_two_reversals_at_once_never_move_more_than_the_transfer_did(
    engine: GuardedEngine, person: Person
) -> None:
    ann, bob = person(1_000), person(1_000)
    made = send(engine, ann, bob, 300)
    assert made.transfer_id is not None
    number = made.transfer_id
    with ThreadPoolExecutor(4) as threads:
        outcomes = [
            *threads.map(lambda _: acts.reverse(engine, act(), transfer_id=number, amount=200), range(4))
        ]
    assert sorted(each.status for each in outcomes) == ["applied", "rejected", "rejected", "rejected"]
    assert (balance(engine, ann), balance(engine, bob)) == (900, 1_100)


def test_what_was_spent_since_cannot_be_reversed_and_a_credit_goes_back_to_the_house(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(), person()
    credit = acts.adjust(engine, act(), target=ref(ann), amount=300)
    assert credit.transfer_id is not None
    send(engine, ann, bob, 200)
    refused = acts.reverse(engine, act(), transfer_id=credit.transfer_id, amount=300)
    assert (refused.reason, refused.payer_balance) == (RejectionReason.INSUFFICIENT_FUNDS, 100)
    done = acts.reverse(engine, act(), transfer_id=credit.transfer_id, amount=100)
    assert done.payer == Party(ann.telegram_id, ann.username, ann.first_name)
    assert (done.payee, done.left) == (None, 200)
    assert done.transfer_id is not None
    assert (
        acts.reverse(engine, act(), transfer_id=done.transfer_id, amount=1).reason
        is RejectionReason.NOT_REVERSIBLE
    )
    assert (
        acts.reverse(engine, act(), transfer_id=999_999, amount=1).reason is RejectionReason.UNKNOWN_TRANSFER
    )
    assert booked(sql)[-1][3] == "refused: unknown_transfer"


def test_a_frozen_account_receives_and_does_not_send_by_any_way_there_is(
    engine: GuardedEngine, person: Person, guard: Guard
) -> None:
    ann, bob = person(1_000, "ann"), person(1_000, "bob")
    asked = [
        pending_transfers.create(engine, key=f"p{number}", sender=ann, recipient=ref(bob), amount=10, memo="")
        for number in range(2)
    ]
    assert acts.freeze(engine, act(), target=ref(ann)).changed

    frozen = RejectionReason.ACCOUNT_FROZEN
    assert send(engine, ann, bob, 10).reason is frozen
    assert acts.adjust(engine, act(), target=ref(ann), amount=-10).reason is frozen
    early = pending_transfers.create(engine, key="p9", sender=ann, recipient=ref(bob), amount=10, memo="")
    assert early.reason is frozen
    decided = pending_transfers.decide(engine, key="d0", token=asked[0].token, presser=ann, confirm=True)
    assert decided.reason is frozen
    again = pending_transfers.decide(engine, key="d1", token=asked[1].token, presser=ann, confirm=True)
    assert again.reason is frozen
    put = pending_adjustments.create(
        engine, key="a1", admin_id=1, target=ref(ann), amount=-1, memo="", limits=Limits()
    )
    assert put.reason is frozen
    with pytest.raises(Refuse, match="frozen"):
        guard.transact(lambda tx: tx.ledger.transfer(ann.telegram_id, bob.telegram_id, 10), key="by-an-app")
    debits = guard.transact(
        lambda tx: [
            each.reason
            for each in tx.ledger.debit_many(
                [Adjustment(ann.telegram_id, 5), Adjustment(bob.telegram_id, 5)], partial=True
            )
        ],
        key="by-a-batch",
    )
    assert debits.value == [frozen, None]
    assert balance(engine, ann) == 1_000

    assert send(engine, bob, ann, 10).reason is None
    charge = StarCharge(PaymentKind.PAID, "charge", ann, stars=5, amount=500, payload="", said_at=int(WHEN))
    assert star_payments.book(engine, charge).reason is None
    assert acts.adjust(engine, act(), target=ref(ann), amount=10).reason is None
    assert acts.unfreeze(engine, act(), target=ref(ann)).changed
    assert send(engine, ann, bob, 10).reason is None


def test_a_frozen_account_holds_nothing_more_and_what_it_held_before_is_posted(
    engine: GuardedEngine, person: Person, guard: Guard
) -> None:
    ann, bob = person(1_000), person()
    before = holds.hold(engine, key="h1", owner=ref(ann), amount=300, memo="", actor="shop")
    assert before.hold_id is not None
    assert acts.freeze(engine, act(), target=ref(ann)).changed
    refused = holds.hold(engine, key="h2", owner=ref(ann), amount=10, memo="", actor="shop")
    assert (refused.reason, refused.available) == (RejectionReason.ACCOUNT_FROZEN, 700)
    with pytest.raises(Refuse, match="frozen"):
        guard.transact(lambda tx: tx.ledger.hold(ann.telegram_id, 10), key="hold-by-an-app")
    posted = holds.post(engine, key="p1", hold_id=before.hold_id, actor="shop", to=ref(bob))
    assert (posted.reason, posted.amount, posted.available) == (None, 300, 700)
    assert acts.unfreeze(engine, act(), target=ref(ann)).changed
    again = holds.hold(engine, key="h2", owner=ref(ann), amount=10, memo="", actor="shop")
    assert again.reason is RejectionReason.ACCOUNT_FROZEN
    assert holds.hold(engine, key="h3", owner=ref(ann), amount=700, memo="", actor="shop").reason is None


def test_an_account_that_is_frozen_in_both_directions_receives_only_what_telegram_has_moved(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(1_000), person(1_000)
    made = send(engine, ann, bob, 10)
    acts.freeze(engine, act("f"), target=ref(ann), refuses="everything")
    assert not acts.freeze(engine, act("f"), target=ref(ann), refuses="everything").changed
    frozen = RejectionReason.RECIPIENT_FROZEN
    assert send(engine, bob, ann, 10).reason is frozen
    assert acts.adjust(engine, act(), target=ref(ann), amount=10).reason is frozen
    asked = pending_transfers.create(engine, key="p", sender=bob, recipient=ref(ann), amount=10, memo="")
    assert asked.reason is frozen
    charge = StarCharge(PaymentKind.PAID, "charge", ann, stars=5, amount=500, payload="", said_at=int(WHEN))
    assert star_payments.book(engine, charge).reason is None
    assert made.transfer_id is not None
    assert acts.reverse(engine, act(), transfer_id=made.transfer_id, amount=10).reason is None
    assert booked(sql)[0][5:] == (
        {"sending_frozen": False, "receiving_frozen": False},
        {"sending_frozen": True, "receiving_frozen": True},
    )


def test_nothing_is_sent_after_a_freeze_has_returned(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(1_000_000), person()
    with ThreadPoolExecutor(4) as threads:
        sending = [threads.submit(send, engine, ann, bob, 1) for _ in range(60)]
        acts.freeze(engine, act(), target=ref(ann))
        sent = balance(engine, bob)
        for each in sending:
            each.result()
    assert balance(engine, bob) == sent


def test_somebodys_data_is_erased_and_the_ledger_is_kept_under_their_id(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(100, "ann"), person(0, "bob")
    send(engine, ann, bob, 30)
    sql(
        "INSERT INTO failed_operations (job_id, kind, reference, telegram_id, error, payload) VALUES "
        "('j', 'balances.show', 'AAAAAAAA', %s, 'e', "
        '\'{"kind": "balances.show", "fields": {"telegram_id": 1, "username": "ann", "first_name": "Person"}}\')',
        ann.telegram_id,
    )
    done = acts.erase(engine, act("e"), target=UserRef(username="ann"))
    assert done.changed
    assert card.find(engine, UserRef(username="ann")) is None
    found = card.find(engine, ref(ann))
    assert found is not None
    assert (found.username, found.first_name, found.balance, found.version) == (None, "", 70, 2)
    ((document,),) = sql("SELECT row_to_json(a)::text FROM admin_actions a")
    assert "ann" not in document.replace("username", "")
    assert sql("SELECT payload -> 'fields' FROM failed_operations") == [({"telegram_id": 1},)]
    again = users.get_or_create(engine, profile=ann)
    assert (again.username, again.balance) == ("ann", 70)
