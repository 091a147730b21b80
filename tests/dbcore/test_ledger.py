from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from dbcore import keys
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users
from dbcore.ledger.users import Profile, UserRef
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import AdjustOutcome, Outcome, OutcomeStatus, RejectionReason, TransferOutcome
from dbcore.schema import MAX_BALANCE
from tests.dbcore.conftest import MakeEngine, Person, Sql

pytestmark = pytest.mark.usefixtures("audited")

UNKNOWN = 404_404


def ref(profile: Profile) -> UserRef:
    return UserRef(telegram_id=profile.telegram_id)


def send(
    engine: GuardedEngine, sender: Profile, recipient: Profile, amount: int, key: str | None = None
) -> TransferOutcome:
    return ledger.transfer(
        engine,
        key=key or uuid.uuid4().hex,
        sender_telegram_id=sender.telegram_id,
        recipient_telegram_id=recipient.telegram_id,
        amount=amount,
        memo="lunch",
    )


def balance(engine: GuardedEngine, profile: Profile) -> int:
    return users.get_or_create(engine, profile=profile).balance


def test_a_transfer_moves_money_once(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(1_000), person()
    first = send(engine, ann, bob, 300, "k")
    assert (first.status, first.sender_balance, first.recipient_balance) == (OutcomeStatus.APPLIED, 700, 300)
    send(engine, bob, ann, 100)
    again = send(engine, ann, bob, 300, "k")
    assert again.status is OutcomeStatus.REPLAYED
    assert (again.sender_balance, again.recipient_balance) == (700, 300)
    assert again.transfer_id == first.transfer_id
    assert (balance(engine, ann), balance(engine, bob)) == (800, 200)


def test_the_last_unit_can_be_sent_and_not_one_more(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(10), person()
    assert send(engine, ann, bob, 11).reason is RejectionReason.INSUFFICIENT_FUNDS
    assert send(engine, ann, bob, 10).status is OutcomeStatus.APPLIED
    assert send(engine, ann, bob, 1).reason is RejectionReason.INSUFFICIENT_FUNDS


def test_a_refusal_is_refused_again_though_the_money_came(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(10), person()
    first = send(engine, ann, bob, 50, "k")
    assert (first.reason, first.sender_balance) == (RejectionReason.INSUFFICIENT_FUNDS, 10)
    ledger.adjust(engine, key="gift", target=ref(ann), amount=100, memo="", actor="test")
    again = send(engine, ann, bob, 50, "k")
    assert again == first


def credit(
    engine: GuardedEngine, target: UserRef, key: keys.Key, actor: str, amount: int = 100
) -> AdjustOutcome:
    return ledger.adjust(
        engine, key=key.key, earlier_key=key.earlier, target=target, amount=amount, memo="", actor=actor
    )


DIRECT, QUEUED = keys.of_caller("k"), keys.of_job(keys.job_id_of("k"))
OF_THE_RELEASE_BEFORE = keys.Key(keys.job_id_of("k"))


@pytest.mark.parametrize(
    ("first", "second"),
    [(DIRECT, QUEUED), (QUEUED, DIRECT), (OF_THE_RELEASE_BEFORE, QUEUED), (OF_THE_RELEASE_BEFORE, DIRECT)],
)
def test_one_key_is_one_credit_however_it_comes(
    first: keys.Key, second: keys.Key, engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    """Also where who ordered it is called otherwise, and the target is named by username."""
    ann = person(username="Ann_k")
    applied = credit(engine, ref(ann), first, "bot")
    again = credit(engine, UserRef(username="ann_K"), second, "operator:telegram:1001")
    assert (applied.status, again.status) == (OutcomeStatus.APPLIED, OutcomeStatus.REPLAYED)
    assert again.transfer_id == applied.transfer_id
    assert users.get_or_create(engine, profile=ann).balance == 100
    other = credit(engine, ref(ann), second, "bot", amount=101)
    assert other.reason is RejectionReason.KEY_REUSED
    assert credit(engine, ref(person()), second, "bot").reason is RejectionReason.KEY_REUSED
    assert sql("SELECT actor FROM transfers WHERE id = %s", applied.transfer_id) == [("bot",)]


def test_a_refusal_is_the_same_by_either_way(engine: GuardedEngine) -> None:
    nobody = UserRef(telegram_id=4711)
    for key, actor in ((DIRECT, "bot"), (QUEUED, "operator")):
        assert credit(engine, nobody, key, actor).reason is RejectionReason.UNKNOWN_USER


def test_the_same_key_by_both_ways_at_once_is_one_credit_and_nobody_hears_otherwise(
    engine: GuardedEngine, person: Person
) -> None:
    """As after a freeze: the direct call's statement and the job that was left to the workers are done together."""
    ann = person()
    for number in range(10):
        ways = ((keys.of_caller(f"r{number}"), "bot"), (keys.of_job(f"operator-r{number}"), "operator"))
        with ThreadPoolExecutor(2) as threads:
            done = [threads.submit(credit, engine, ref(ann), key, actor) for key, actor in ways]
            statuses = sorted(each.result(timeout=120).status for each in done)
        assert statuses == [OutcomeStatus.APPLIED, OutcomeStatus.REPLAYED]
    assert users.get_or_create(engine, profile=ann).balance == 1_000


def test_a_key_used_for_something_else_is_refused(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(100), person()
    send(engine, ann, bob, 10, "k")
    other = send(engine, ann, bob, 11, "k")
    assert (other.status, other.reason) == (OutcomeStatus.REJECTED, RejectionReason.KEY_REUSED)
    adjusted = ledger.adjust(engine, key="k", target=ref(ann), amount=10, memo="lunch", actor="test")
    assert adjusted.reason is RejectionReason.KEY_REUSED
    assert balance(engine, ann) == 90


def test_nobody_sends_to_themselves_or_to_strangers(engine: GuardedEngine, person: Person) -> None:
    ann = person(100)
    stranger = Profile(UNKNOWN, None, "Stranger")
    assert send(engine, ann, ann, 1).reason is RejectionReason.SAME_ACCOUNT
    assert send(engine, ann, stranger, 1).reason is RejectionReason.UNKNOWN_USER
    assert send(engine, stranger, ann, 1).reason is RejectionReason.UNKNOWN_USER
    assert balance(engine, ann) == 100


def test_a_refusal_for_an_unknown_user_stands_after_they_came(engine: GuardedEngine, person: Person) -> None:
    ann, late = person(100), Profile(UNKNOWN, None, "Late")
    assert send(engine, ann, late, 1, "k").reason is RejectionReason.UNKNOWN_USER
    users.get_or_create(engine, profile=late)
    assert send(engine, ann, late, 1, "k").reason is RejectionReason.UNKNOWN_USER


def test_an_adjustment_credits_and_debits_against_the_house(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann = person()
    up = ledger.adjust(engine, key="up", target=ref(ann), amount=500, memo="bonus", actor="admin:1")
    down = ledger.adjust(engine, key="down", target=ref(ann), amount=-200, memo="fee", actor="admin:1")
    assert (up.balance_after, down.balance_after) == (500, 300)
    assert up.target is not None
    assert up.target.telegram_id == ann.telegram_id
    too_much = ledger.adjust(engine, key="no", target=ref(ann), amount=-301, memo="", actor="admin:1")
    assert (too_much.reason, too_much.balance_after) == (RejectionReason.INSUFFICIENT_FUNDS, 300)
    assert sql("SELECT balance, version FROM accounts WHERE user_id IS NULL") == [(None, None)]
    assert sql("SELECT memo, actor FROM transfers WHERE idempotency_key = 'up'") == [("bonus", "admin:1")]


def test_an_adjustment_s_replay_names_who_had_the_username_then(
    engine: GuardedEngine, person: Person
) -> None:
    ann, bob = person(username="coin"), person()
    first = ledger.adjust(engine, key="k", target=UserRef.parse("@COIN"), amount=5, memo="", actor="t")
    users.get_or_create(engine, profile=Profile(ann.telegram_id, None, ann.first_name))
    users.get_or_create(engine, profile=Profile(bob.telegram_id, "coin", bob.first_name))
    again = ledger.adjust(engine, key="k", target=UserRef.parse("@coin"), amount=5, memo="", actor="t")
    assert again.status is OutcomeStatus.REPLAYED
    assert first.target is not None
    assert again.target is not None
    assert again.target.telegram_id == first.target.telegram_id == ann.telegram_id


def test_a_released_username_pays_its_new_holder(engine: GuardedEngine, person: Person) -> None:
    old, new = person(username="coin"), person(username="Coin")
    outcome = ledger.adjust(engine, key="k", target=UserRef.parse("@coin"), amount=5, memo="", actor="t")
    assert outcome.target is not None
    assert (outcome.reason, outcome.target.telegram_id) == (None, new.telegram_id)
    users.get_or_create(engine, profile=old)
    back = ledger.adjust(engine, key="l", target=UserRef.parse("@COIN"), amount=5, memo="", actor="t")
    assert back.target is not None
    assert back.target.telegram_id == old.telegram_id


def test_a_username_that_two_still_carry_pays_whom_we_saw_last(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    """As a database may be left where a process of the release before ran on."""
    seen, gone = person(), person(username="coin")
    sql("UPDATE users SET last_seen_at = now() - interval '1 day' WHERE telegram_id = %s", gone.telegram_id)
    sql("UPDATE users SET username = 'Coin' WHERE telegram_id = %s", seen.telegram_id)
    outcome = ledger.adjust(engine, key="k", target=UserRef.parse("@coin"), amount=5, memo="", actor="t")
    assert outcome.target is not None
    assert outcome.target.telegram_id == seen.telegram_id


def test_amounts_and_balances_past_the_bounds_are_refusals(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(MAX_AMOUNT), person()
    assert send(engine, ann, bob, MAX_AMOUNT + 1).reason is RejectionReason.AMOUNT_TOO_LARGE
    huge = ledger.adjust(engine, key="h", target=ref(ann), amount=2**80, memo="", actor="t")
    assert huge.reason is RejectionReason.AMOUNT_TOO_LARGE
    for number in range(MAX_BALANCE // MAX_AMOUNT):
        ledger.adjust(engine, key=f"c{number}", target=ref(bob), amount=MAX_AMOUNT, memo="", actor="t")
    full = ledger.adjust(engine, key="one-more", target=ref(bob), amount=1, memo="", actor="t")
    assert (full.reason, full.balance_after) == (RejectionReason.BALANCE_OVERFLOW, MAX_BALANCE)
    assert send(engine, ann, bob, 1).reason is RejectionReason.BALANCE_OVERFLOW


@pytest.mark.parametrize("amount", [0, -5])
def test_a_transfer_of_nothing_is_the_program_s_mistake(
    engine: GuardedEngine, person: Person, amount: int
) -> None:
    ann = person()
    with pytest.raises(ValueError, match="above 0"):
        send(engine, ann, ann, amount)


@pytest.mark.parametrize("key", ["", "x" * 201, "a\x00b", "pending:7"])
def test_a_key_that_cannot_be_one_is_the_program_s_mistake(
    engine: GuardedEngine, person: Person, key: str
) -> None:
    with pytest.raises(ValueError, match="key"):
        ledger.adjust(engine, key=key, target=ref(person()), amount=1, memo="", actor="t")


def test_hostile_text_is_stored_without_a_crash(engine: GuardedEngine, person: Person) -> None:
    ann = person(5)
    memo = "100% \x00 '; DROP TABLE entries; -- \ud83d \U0001f600 %s"
    outcome = ledger.adjust(engine, key="k", target=ref(ann), amount=1, memo=memo, actor="t\x00")
    assert outcome.status is OutcomeStatus.APPLIED
    again = ledger.adjust(engine, key="k", target=ref(ann), amount=1, memo=memo, actor="t\x00")
    assert again.status is OutcomeStatus.REPLAYED


@pytest.fixture
def wide(make_engine: MakeEngine) -> GuardedEngine:
    return make_engine(settings={"db_pool_size": 8, "db_max_overflow": 4, "db_deadline_seconds": 60})


def test_fifty_transfers_crosswise_at_once_do_not_deadlock(
    wide: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(1_000), person(1_000)
    pairs = [(ann, bob), (bob, ann)] * 25
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda pair: send(wide, pair[0], pair[1], 7), pairs))
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.APPLIED}
    assert (balance(wide, ann), balance(wide, bob)) == (1_000, 1_000)
    assert sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
    assert wide.snapshot().retries_total == 0


def test_eight_threads_spend_an_account_down_to_zero_and_no_further(
    wide: GuardedEngine, person: Person
) -> None:
    ann, others = person(100), [person() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda other: [send(wide, ann, other, 3) for _ in range(6)], others))
    applied = sum(outcome.status is OutcomeStatus.APPLIED for some in outcomes for outcome in some)
    assert applied == 33
    assert balance(wide, ann) == 1


def test_one_key_from_eight_threads_is_applied_once(wide: GuardedEngine, person: Person) -> None:
    ann, bob = person(100), person()
    for number in range(5):
        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(lambda _: send(wide, ann, bob, 10, f"k{number}"), range(8)))  # noqa: B023
        statuses = [outcome.status for outcome in outcomes]
        assert statuses.count(OutcomeStatus.APPLIED) == 1
        assert statuses.count(OutcomeStatus.REPLAYED) == 7
        assert len({(outcome.transfer_id, outcome.sender_balance) for outcome in outcomes}) == 1
    assert balance(wide, bob) == 50


def test_adjustments_at_once_share_the_house_without_waiting_for_each_other(
    wide: GuardedEngine, person: Person
) -> None:
    people = [person() for _ in range(8)]

    def credit(profile: Profile) -> int:
        chance = random.Random(profile.telegram_id)
        for number in range(6):
            ledger.adjust(
                wide,
                key=f"{profile.telegram_id}-{number}",
                target=ref(profile),
                amount=chance.randint(1, 9),
                memo="",
                actor="t",
            )
        return balance(wide, profile)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(credit, people))


def test_whatever_became_of_a_request_the_balances_of_now_come_with_it(
    engine: GuardedEngine, person: Person
) -> None:
    ann, bob = person(100), person()

    def now(outcome: Outcome) -> dict[int, tuple[int, int]]:
        return {seen.telegram_id: (seen.balance, seen.version) for seen in outcome.balances_now}

    def send(amount: int, key: str) -> TransferOutcome:
        return ledger.transfer(
            engine,
            key=key,
            sender_telegram_id=ann.telegram_id,
            recipient_telegram_id=bob.telegram_id,
            amount=amount,
            memo="",
        )

    def credit(amount: int, key: str) -> AdjustOutcome:
        return ledger.adjust(
            engine, key=key, target=UserRef(telegram_id=ann.telegram_id), amount=amount, memo="", actor="t"
        )

    assert now(send(30, "one")) == {ann.telegram_id: (70, 2), bob.telegram_id: (30, 1)}
    assert now(credit(5, "two")) == {ann.telegram_id: (75, 3)}
    replayed, refused = send(30, "one"), send(1_000, "three")
    assert (replayed.status, replayed.sender_balance) == (OutcomeStatus.REPLAYED, 70)
    assert (refused.status, now(credit(5, "two"))) == (OutcomeStatus.REJECTED, {ann.telegram_id: (75, 3)})
    for outcome in (replayed, refused):
        assert now(outcome) == {ann.telegram_id: (75, 3), bob.telegram_id: (30, 1)}
