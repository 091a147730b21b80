"""The ledger with several currencies: each has accounts of its own, and nothing moves from one to another."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg2
import pytest

from dbcore import Guard, known_currencies
from dbcore.collisions import Refused
from dbcore.errors import UsageError
from dbcore.guard.engine import GuardedEngine
from dbcore.guard.refusal import Refuse
from dbcore.ledger import history, holds, ledger, pending_adjustments, pending_transfers, users
from dbcore.ledger.audit import audit
from dbcore.ledger.balance_cache import BalanceCache, BalanceSnapshot
from dbcore.ledger.pending_adjustments import Limits
from dbcore.ledger.users import Balance, Profile, UserRef
from dbcore.outcomes import OutcomeStatus, RejectionReason
from dbcore.people import acts
from dbcore.people.acts import Act
from devstack.ports import free_port
from tests.conftest import MakeSettings
from tests.dbcore.conftest import MakeEngine, Person, Sql

pytestmark = pytest.mark.usefixtures("audited")

CURRENCIES = "EUR:2:Euro:€,TON:9"


@pytest.fixture
def engine(make_engine: MakeEngine) -> GuardedEngine:
    return make_engine(settings={"db_deadline_seconds": 30, "currencies": CURRENCIES})


def ref(profile: Profile) -> UserRef:
    return UserRef(telegram_id=profile.telegram_id)


def credit(engine: GuardedEngine, profile: Profile, amount: int, currency: str | None) -> None:
    outcome = ledger.adjust(
        engine,
        key=uuid.uuid4().hex,
        target=ref(profile),
        amount=amount,
        memo="",
        actor="test",
        currency=currency,
    )
    assert outcome.status is OutcomeStatus.APPLIED
    assert outcome.currency == (currency or "CREDIT")


def balances(engine: GuardedEngine, profile: Profile) -> dict[str, int]:
    account = users.get_or_create(engine, profile=profile)
    return {each.currency: each.balance for each in account.balances}


def test_a_bot_with_one_currency_has_one_account_a_user_and_asks_for_no_more(
    make_engine: MakeEngine, person: Person, sql: Sql
) -> None:
    alone = make_engine()
    ann = person(500)
    assert users.get_or_create(alone, profile=ann).balances == (Balance("CREDIT", 500, 0, 1),)
    assert sql("SELECT count(*) FROM accounts WHERE user_id IS NOT NULL") == [(1,)]


def test_accounts_are_made_when_first_needed_and_each_has_its_own_balance(
    engine: GuardedEngine, person: Person
) -> None:
    ann, bob = person(1_000), person()
    assert balances(engine, bob) == {"CREDIT": 0}
    credit(engine, ann, 700, "EUR")
    done = ledger.transfer(
        engine,
        key="t",
        sender_telegram_id=ann.telegram_id,
        recipient_telegram_id=bob.telegram_id,
        amount=200,
        memo="",
        currency="EUR",
    )
    assert (done.sender_balance, done.recipient_balance, done.currency) == (500, 200, "EUR")
    assert set(done.balances_now) == {
        BalanceSnapshot(ann.telegram_id, "EUR", 500, 2),
        BalanceSnapshot(bob.telegram_id, "EUR", 200, 1),
    }
    assert balances(engine, ann) == {"CREDIT": 1_000, "EUR": 500}
    assert balances(engine, bob) == {"CREDIT": 0, "EUR": 200}
    (both, other) = users.get_or_create_many(engine, profiles=[ann, bob])
    assert (both.others, other.others) == ((Balance("EUR", 500, 0, 2),), (Balance("EUR", 200, 0, 1),))


def test_money_of_one_currency_pays_nothing_in_another(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(1_000), person()
    refused = ledger.transfer(
        engine,
        key="t",
        sender_telegram_id=ann.telegram_id,
        recipient_telegram_id=bob.telegram_id,
        amount=1,
        memo="",
        currency="TON",
    )
    assert (refused.reason, refused.sender_balance) == (RejectionReason.INSUFFICIENT_FUNDS, 0)
    assert balances(engine, ann) == {"CREDIT": 1_000, "TON": 0}


def test_the_same_key_in_another_currency_is_another_request(engine: GuardedEngine, person: Person) -> None:
    ann = person()
    asked: dict[str, Any] = {"key": "k", "target": ref(ann), "amount": 100, "memo": "", "actor": "test"}
    assert ledger.adjust(engine, **asked).status is OutcomeStatus.APPLIED
    assert ledger.adjust(engine, **asked, currency="EUR").reason is RejectionReason.KEY_REUSED
    assert ledger.adjust(engine, **asked, currency="CREDIT").status is OutcomeStatus.REPLAYED


def test_a_currency_that_the_bot_does_not_have_is_the_programs_mistake(
    engine: GuardedEngine, person: Person
) -> None:
    ann = person()
    with pytest.raises(ValueError, match="CREDIT, EUR, TON"):
        ledger.adjust(engine, key="k", target=ref(ann), amount=1, memo="", actor="test", currency="GBP")


@pytest.mark.parametrize("side", ["from_account_id", "to_account_id"])
def test_the_database_itself_refuses_a_transfer_between_two_currencies(
    engine: GuardedEngine, person: Person, sql: Sql, side: str
) -> None:
    ann, bob = person(100), person(100)
    credit(engine, ann, 100, "EUR")
    credit(engine, bob, 100, "EUR")
    accounts: dict[str, int] = dict(
        sql("SELECT u.telegram_id || a.currency, a.id FROM accounts a JOIN users u ON u.id = a.user_id")
    )
    pair = {
        "from_account_id": accounts[f"{ann.telegram_id}EUR"],
        "to_account_id": accounts[f"{bob.telegram_id}EUR"],
    }
    other = ann if side == "from_account_id" else bob
    pair[side] = accounts[f"{other.telegram_id}CREDIT"]
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        sql(
            "INSERT INTO transfers (idempotency_key, fingerprint, from_account_id, to_account_id, amount, currency, "
            "kind, status, memo, actor) VALUES ('x', 'x', %s, %s, 1, 'EUR', 'transfer', 'applied', '', '')",
            pair["from_account_id"],
            pair["to_account_id"],
        )
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        sql(
            "SELECT * FROM ledger_post('x', 'x', %s, %s, 1, 'EUR', 'transfer', '', '', NULL)",
            pair["from_account_id"],
            pair["to_account_id"],
        )


def test_the_audit_finds_a_currency_that_does_not_sum_to_zero_though_all_together_do(
    engine: GuardedEngine, person: Person, sql: Sql, database_url: str
) -> None:
    ann = person(100)
    credit(engine, ann, 100, "EUR")
    assert all(finding.ok for finding in audit(database_url))
    sql("ALTER TABLE entries DISABLE TRIGGER entries_append_only")
    sums = "UPDATE entries SET amount = amount + %s WHERE id = (SELECT min(e.id) FROM entries e JOIN accounts a ON "
    sums += "a.id = e.account_id WHERE a.currency = %s AND a.user_id IS NULL)"
    sql(sums, 7, "EUR")
    sql(sums, -7, "CREDIT")
    wrong = [finding for finding in audit(database_url) if not finding.ok]
    assert any("EUR: sum 7" in str(finding) and "CREDIT: sum -7" in str(finding) for finding in wrong)
    sql(sums, -7, "EUR")
    sql(sums, 7, "CREDIT")
    sql("ALTER TABLE entries ENABLE ALWAYS TRIGGER entries_append_only")


def test_two_who_need_an_account_at_once_make_one(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    ann = person()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: credit(engine, ann, 10, "TON"), range(12)))
    assert balances(engine, ann)["TON"] == 120


def test_who_is_frozen_is_so_in_every_currency_also_in_one_that_comes_later(
    engine: GuardedEngine, person: Person
) -> None:
    ann, bob = person(100), person()
    credit(engine, ann, 100, "EUR")
    acts.freeze(engine, Act("f", "web:nadia", "test", 0.0), target=ref(ann), refuses="everything")
    for currency in ("CREDIT", "EUR", "TON"):
        credited = ledger.adjust(
            engine,
            key=f"c{currency}",
            target=ref(ann),
            amount=1,
            memo="",
            actor="test",
            currency=currency,
        )
        assert credited.reason is RejectionReason.RECIPIENT_FROZEN
    sent = ledger.transfer(
        engine,
        key="s",
        sender_telegram_id=ann.telegram_id,
        recipient_telegram_id=bob.telegram_id,
        amount=1,
        memo="",
        currency="EUR",
    )
    assert sent.reason is RejectionReason.ACCOUNT_FROZEN
    acts.unfreeze(engine, Act("u", "web:nadia", "test", 0.0), target=ref(ann))
    credit(engine, ann, 1, "TON")


def test_an_account_that_is_made_while_its_owner_is_frozen_is_frozen(
    engine: GuardedEngine, person: Person, database_url: str, sql: Sql
) -> None:
    ann = person(100)
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor, ThreadPoolExecutor(1) as threads:
        cursor.execute(
            "SELECT users_open_account(id, 'EUR') FROM users WHERE telegram_id = %s",
            (ann.telegram_id,),
        )
        act = Act("f", "web:nadia", "test", 0.0)
        freezing = threads.submit(acts.freeze, engine, act, target=ref(ann))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while sql(waits) == [(0,)]:
            assert not freezing.done(), "it did not wait for the account that is being made"
        connection.commit()
        assert freezing.result(60).changed
    connection.close()
    refused = holds.hold(engine, key="h", owner=ref(ann), amount=1, memo="", actor="t", currency="EUR")
    assert refused.reason is RejectionReason.ACCOUNT_FROZEN


def test_a_hold_is_ended_in_its_own_currency(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(1_000), person()
    credit(engine, ann, 500, "EUR")
    held = holds.hold(engine, key="h", owner=ref(ann), amount=300, memo="", actor="t", currency="EUR")
    assert held.hold_id is not None
    assert (held.available, held.currency) == (200, "EUR")
    posted = holds.post(engine, key="p", hold_id=held.hold_id, actor="t", amount=100, to=ref(bob))
    assert (posted.currency, posted.available, posted.amount) == ("EUR", 400, 100)
    assert balances(engine, bob) == {"CREDIT": 0, "EUR": 100}
    again = holds.post(engine, key="p", hold_id=held.hold_id, actor="t", amount=100, to=ref(bob))
    assert again.status is OutcomeStatus.REPLAYED
    assert holds.void(engine, key="x", hold_id=404, actor="t").reason is RejectionReason.UNKNOWN_HOLD


def test_a_question_is_asked_and_confirmed_in_its_currency(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(1_000), person()
    credit(engine, ann, 500, "EUR")
    asked = pending_transfers.create(
        engine, key="q", sender=ann, recipient=ref(bob), amount=200, memo="", currency="EUR"
    )
    assert (asked.currency, asked.balance) == ("EUR", 500)
    done = pending_transfers.decide(engine, key="d", token=asked.token, presser=ann, confirm=True)
    assert (done.currency, done.sender_balance, done.recipient_balance) == ("EUR", 300, 200)
    assert balances(engine, ann) == {"CREDIT": 1_000, "EUR": 300}


def test_history_is_of_one_currency(engine: GuardedEngine, person: Person) -> None:
    ann = person(1_000)
    credit(engine, ann, 5, "TON")
    page = history.page(engine, profile=ann, upto_version=None, limit=8, currency="TON")
    assert [(entry.amount, entry.balance_after) for entry in page.entries] == [(5, 5)]
    assert (page.currency, page.balance, page.newest_version) == ("TON", 5, 1)
    assert len(history.page(engine, profile=ann, upto_version=None, limit=8).entries) == 1
    assert history.page(engine, profile=ann, upto_version=None, limit=8, currency="EUR").entries == []


def test_limits_are_as_many_units_in_each_currency(
    make_engine: MakeEngine, make_settings: MakeSettings, person: Person
) -> None:
    options = {"currencies": CURRENCIES, "credit_limit": "5", "credit_limit_per_day": "8.50"}
    engine, limits = make_engine(settings=dict(options)), Limits.of(make_settings(**options), None)
    ann = person()

    def ask(amount: int, currency: str) -> tuple[RejectionReason | None, str]:
        asked = pending_adjustments.create(
            engine,
            key=uuid.uuid4().hex,
            admin_id=7,
            target=ref(ann),
            amount=amount,
            memo="",
            limits=limits,
            currency=currency,
        )
        return asked.reason, asked.token

    def confirm(token: str) -> RejectionReason | None:
        return pending_adjustments.decide(
            engine, key=uuid.uuid4().hex, token=token, presser_id=7, confirm=True, limits=limits
        ).reason

    assert ask(501, "CREDIT")[0] is ask(501, "EUR")[0] is RejectionReason.OVER_LIMIT
    assert ask(5_000_000_001, "TON")[0] is RejectionReason.OVER_LIMIT
    cards = [ask(5 * 10**9, "TON")[1], ask(5 * 10**9, "TON")[1], ask(500, "EUR")[1]]
    assert [confirm(card) for card in cards] == [None, RejectionReason.OVER_DAILY_LIMIT, None]
    presses = [
        pending_adjustments.Press(uuid.uuid4().hex, ask(3_500_000_000, "TON")[1], 7, True, limits=limits),
        pending_adjustments.Press(uuid.uuid4().hex, ask(350, "EUR")[1], 7, True, limits=limits),
    ]
    assert [each.reason for each in pending_adjustments.decide_many(engine, presses)] == [
        None,
        None,
    ]
    assert balances(engine, ann) == {"CREDIT": 0, "EUR": 850, "TON": 8_500_000_000}


def test_an_apps_transaction_moves_money_in_any_currency_of_the_bot(
    make_settings: MakeSettings, database_url: str, person: Person
) -> None:
    ann, bob = person(100), person()
    guard = Guard(make_settings(database_url=database_url, currencies=CURRENCIES, db_deadline_seconds=30))

    def work(tx: Any) -> list[int]:
        tx.ledger.credit(ann.telegram_id, 500, currency="EUR")
        tx.ledger.transfer(ann.telegram_id, bob.telegram_id, 100, currency="EUR")
        held = tx.ledger.hold(ann.telegram_id, 50, currency="EUR", expires_after=timedelta(hours=1))
        assert tx.ledger.available(ann.telegram_id, currency="EUR") == 350
        tx.ledger.post(held.hold_id, 20, to=bob.telegram_id)
        assert tx.ledger.balance(bob.telegram_id, currency="TON") == 0
        return [
            tx.ledger.balance(ann.telegram_id),
            tx.ledger.balance(ann.telegram_id, currency="EUR"),
            tx.ledger.balance(bob.telegram_id, currency="EUR"),
        ]

    try:
        assert guard.transact(work, key="w", name="shop.w").value == [100, 380, 120]
        with pytest.raises(UsageError, match="CREDIT, EUR, TON"):
            guard.transact(
                lambda tx: tx.ledger.credit(ann.telegram_id, 1, currency="GBP"), key="g", name="shop.g"
            )
        with pytest.raises(Refuse):
            guard.transact(
                lambda tx: tx.ledger.debit(ann.telegram_id, 1, currency="TON"), key="d", name="shop.d"
            )
    finally:
        guard.close()


def test_a_currency_in_which_somebody_has_something_is_not_taken_out(
    make_settings: MakeSettings, database_url: str, engine: GuardedEngine, person: Person
) -> None:
    ann = person(100)
    credit(engine, ann, 5, "TON")
    known_currencies.require(make_settings(database_url=database_url, currencies="TON:9"))
    for options in ({}, {"currencies": "EUR:2"}, {"currency": "POINTS", "currencies": "TON:9"}):
        with pytest.raises(Refused, match=r"have balances in (TON|CREDIT), which"):
            known_currencies.require(make_settings(database_url=database_url, **options))
    credit(engine, ann, -5, "TON")
    known_currencies.require(make_settings(database_url=database_url))


def test_a_database_that_does_not_answer_keeps_no_worker_from_starting(make_settings: MakeSettings) -> None:
    known_currencies.require(make_settings(database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/none"))


def test_the_last_known_balance_is_kept_by_currency(
    engine: GuardedEngine, redis_url: str, person: Person
) -> None:
    import redis

    client = redis.Redis.from_url(redis_url)
    cache, ann = BalanceCache(client), person()
    cache.note(
        BalanceSnapshot(ann.telegram_id, "CREDIT", 100, 1),
        BalanceSnapshot(ann.telegram_id, "EUR", 7, 5),
        ago_seconds=0,
    )
    last = [cache.last(ann.telegram_id, code) for code in ("CREDIT", "EUR", "TON")]
    assert [each and each[0] for each in last] == [100, 7, None]
    client.close()
