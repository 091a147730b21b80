"""Each check of the audit can fail: the database is corrupted as only a superuser can, and the check says so."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import psycopg2
import pytest

from ballast.cli.audit_text import report
from dbcore.admin_actions import AdminAction
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import (
    books,
    exchanges,
    holds,
    ledger,
    pending_adjustments,
    pending_transfers,
    provider_payments,
    seals,
    star_payments,
    star_refunds,
    star_subscriptions,
    withdrawals,
)
from dbcore.ledger.audit import CHECK_NAMES, audit
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.pending_adjustments import Limits
from dbcore.ledger.provider_payments import ProviderCharge, ProviderEvent
from dbcore.ledger.star_book import Transaction
from dbcore.ledger.star_payments import StarCharge
from dbcore.ledger.star_subscriptions import PlanInvoice, SubscriptionCharge
from dbcore.ledger.users import Profile, UserRef
from dbcore.people import acts, lists
from dbcore.people.acts import Act
from tests.dbcore.conftest import MakeEngine, Person, Sql
from tests.dbcore.test_star_book import read as read_book

UNLOCK = """
    ALTER TABLE transfers DISABLE TRIGGER ALL;
    ALTER TABLE entries DISABLE TRIGGER ALL;
    ALTER TABLE accounts DISABLE TRIGGER ALL;
    ALTER TABLE accounts DROP CONSTRAINT accounts_balance_within_bounds;
    ALTER TABLE accounts DROP CONSTRAINT accounts_house_keeps_no_balance;
    ALTER TABLE accounts DROP CONSTRAINT accounts_held_within_balance;
    ALTER TABLE holds DISABLE TRIGGER ALL;
    ALTER TABLE star_refunds DISABLE TRIGGER ALL;
    ALTER TABLE provider_payments DISABLE TRIGGER ALL;
    ALTER TABLE withdrawals DISABLE TRIGGER ALL;
    ALTER TABLE star_subscriptions DISABLE TRIGGER ALL;
    ALTER TABLE star_subscription_periods DISABLE TRIGGER ALL;
    ALTER TABLE exchanges DISABLE TRIGGER ALL;
    ALTER TABLE holds DROP CONSTRAINT holds_end_has_key;
    ALTER TABLE entries DROP CONSTRAINT entries_version_with_balance;
"""
ANN = "(SELECT a.id FROM accounts a JOIN users u ON u.id = a.user_id WHERE u.username = 'ann')"

STRUCTURE = "the schema is what the migrations made"
PRIVATE = "tables and functions are closed to others"
SEALED = "what was sealed is as it was sealed"
EXCHANGED = "each exchange has its two transfers at its rate"
EMPTIED = "what the last audit saw is still there"

CORRUPTIONS = [
    ("entries sum to zero per currency", "UPDATE entries SET amount = amount + 1 WHERE id = 9"),
    (
        "each balance is the sum of its account's entries",
        f"UPDATE accounts SET balance = balance + 1 WHERE id = {ANN}",
    ),
    (
        "each balance is its last entry's balance_after",
        f"UPDATE entries SET balance_after = 5 WHERE account_id = {ANN} AND account_version = "
        f"(SELECT version FROM accounts WHERE id = {ANN})",
    ),
    (
        "each balance_after is the one before plus the amount",
        f"UPDATE entries SET balance_after = 5 WHERE account_id = {ANN} AND account_version = 1",
    ),
    (
        "versions are gapless and end with the account's",
        f"UPDATE entries SET account_version = 77 WHERE account_id = {ANN} AND account_version = 2",
    ),
    ("versions are gapless and end with the account's", f"UPDATE accounts SET version = 9 WHERE id = {ANN}"),
    ("no balance is below its floor, now or ever", f"UPDATE accounts SET balance = -1 WHERE id = {ANN}"),
    (
        "no balance is below its floor, now or ever",
        f"UPDATE entries SET balance_after = -1 WHERE account_id = {ANN} AND account_version = 1",
    ),
    ("the house keeps no balance", "UPDATE accounts SET balance = 7 WHERE user_id IS NULL"),
    (
        "each applied transfer has its two entries",
        "DELETE FROM entries WHERE transfer_id = (SELECT max(id) FROM transfers WHERE status = 'applied')",
    ),
    (
        "each applied transfer has its two entries",
        "UPDATE transfers SET amount = amount + 1 WHERE id = (SELECT max(id) FROM transfers WHERE status = 'applied')",
    ),
    (
        "no rejected transfer has entries",
        "UPDATE transfers SET status = 'rejected', reason = 'r' WHERE status = 'applied'",
    ),
    ("currencies match", f"UPDATE accounts SET currency = 'OTHER' WHERE id = {ANN}"),
    (
        "each confirmed request has its transfer",
        "UPDATE pending_transfers SET amount = amount + 1 WHERE status = 'confirmed'",
    ),
    (
        "each confirmed request has its transfer",
        "UPDATE pending_transfers SET status = 'cancelled', transfer_id = NULL WHERE status = 'confirmed'",
    ),
    (
        "each entry has its transfer",
        "DELETE FROM transfers WHERE id = (SELECT max(id) FROM transfers WHERE status = 'applied')",
    ),
    (
        "each entry has its transfer",
        "INSERT INTO entries (transfer_id, account_id, amount) "
        "SELECT 987654, id, 1 FROM accounts WHERE user_id IS NULL",
    ),
    (
        "each account has its user",
        "ALTER TABLE users DISABLE TRIGGER ALL; ALTER TABLE pending_transfers DISABLE TRIGGER ALL; "
        "DELETE FROM users WHERE username = 'ann'",
    ),
    (
        "each transfer's kind fits its accounts",
        "UPDATE transfers SET kind = 'transfer' WHERE kind = 'credit'",
    ),
    ("each transfer's kind fits its accounts", "UPDATE transfers SET kind = 'debit' WHERE kind = 'transfer'"),
    ("what is held is the sum of the open holds", f"UPDATE accounts SET held = held + 1 WHERE id = {ANN}"),
    ("no balance is below its floor, now or ever", f"UPDATE accounts SET held = 5000 WHERE id = {ANN}"),
    (
        "each hold ended once, as its transfer says",
        "UPDATE holds SET posted_amount = posted_amount - 1 WHERE status = 'posted'",
    ),
    (
        "each hold ended once, as its transfer says",
        "UPDATE holds SET status = 'voided', transfer_id = NULL, posted_amount = NULL WHERE status = 'posted'",
    ),
    (
        "each refund of Stars is as its payment and its hold say",
        "UPDATE star_payments SET refund_transfer_id = NULL, refunded_at = NULL",
    ),
    ("each account's floor is zero, or its debt", f"UPDATE accounts SET floor = -100 WHERE id = {ANN}"),
    ("each account without a user has its name", "DELETE FROM system_accounts"),
    (
        "each payment in Stars has its transfers",
        "UPDATE transfers SET kind = 'star_payment' WHERE kind = 'credit'",
    ),
    (
        "each payment in Stars has its transfers",
        "DELETE FROM star_subscription_periods",
    ),
    (
        "each subscription is as its payments and changes say",
        "UPDATE star_subscriptions SET expires_at = expires_at + interval '1 day'",
    ),
    (
        "each subscription is as its payments and changes say",
        "UPDATE star_subscriptions SET version = version + 1",
    ),
    (
        "each withdrawal has its hold",
        "UPDATE withdrawals SET status = 'returned', reason = 'x', ended_at = now() WHERE status = 'held'",
    ),
    (
        "each withdrawal has its hold",
        "UPDATE withdrawals SET hold_id = NULL, status = 'cancelled', ended_at = now() WHERE status = 'held'",
    ),
    (
        "the account payouts is what withdrawals paid out",
        "UPDATE withdrawals SET amount = amount + 1 WHERE status = 'paid'",
    ),
    (
        "the account payouts is what withdrawals paid out",
        "UPDATE transfers SET kind = 'payout' WHERE kind = 'debit'",
    ),
    (
        "each payment by a provider has its transfers",
        "UPDATE provider_payments SET refunded = refunded + 1",
    ),
    (
        "each payment by a provider has its transfers",
        "UPDATE provider_payments SET fee = NULL",
    ),
    (
        "each payment by a provider has its transfers",
        "UPDATE transfers SET kind = 'provider_payment' WHERE kind = 'credit'",
    ),
    ("Telegram's book of Stars is the ledger's", "UPDATE star_book SET stars = 4 WHERE NOT is_outgoing"),
    (
        "each reversal mirrors its transfer, up to its amount",
        "ALTER TABLE reversals DISABLE TRIGGER ALL; DELETE FROM reversals",
    ),
    (
        "each reversal mirrors its transfer, up to its amount",
        "INSERT INTO reversals (transfer_id, reverses_id) "
        "SELECT max(id), min(id) FROM transfers WHERE status = 'applied' AND kind = 'transfer'",
    ),
    (SEALED, "UPDATE entries SET amount = -7 WHERE id = 1"),
    (SEALED, "UPDATE transfers SET memo = 'another' WHERE id = 1"),
    (
        SEALED,
        "ALTER TABLE ledger_seals DISABLE TRIGGER ALL; UPDATE ledger_seals SET entries_from = 1 WHERE id = 1",
    ),
    ("daily totals are those of the sealed entries", "UPDATE ledger_days SET entries = entries + 1"),
    (STRUCTURE, "DROP TRIGGER entries_append_only ON entries"),
    (
        STRUCTURE,
        "ALTER TABLE admin_actions DISABLE TRIGGER admin_actions_append_only",
    ),
    (
        STRUCTURE,
        "ALTER TABLE transfers ENABLE TRIGGER transfers_append_only",
    ),
    (
        STRUCTURE,
        "ALTER TABLE transfers DROP CONSTRAINT transfers_idempotency_key_key",
    ),
    (STRUCTURE, "DROP INDEX pending_adjustments_day_idx"),
    (
        STRUCTURE,
        "CREATE OR REPLACE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN NEW; END $$",
    ),
    (PRIVATE, "GRANT SELECT ON users TO PUBLIC"),
    (
        PRIVATE,
        "GRANT EXECUTE ON FUNCTION ledger_adjust TO PUBLIC",
    ),
    (EMPTIED, "DELETE FROM transfers WHERE status = 'rejected'"),
    (EXCHANGED, "UPDATE exchanges SET got_amount = got_amount + 1 WHERE status = 'confirmed'"),
    (
        EXCHANGED,
        "UPDATE exchanges SET given_transfer_id = got_transfer_id, got_transfer_id = given_transfer_id",
    ),
    (
        EXCHANGED,
        "UPDATE exchanges SET status = 'cancelled', given_transfer_id = NULL, got_transfer_id = NULL",
    ),
    (
        "each account of exchanges has the sum of its entries",
        "UPDATE exchange_accounts SET balance = balance + 1",
    ),
    (
        "each account of exchanges has the sum of its entries",
        "DELETE FROM exchange_accounts WHERE currency = 'EUR'",
    ),
    (
        EMPTIED,
        "ALTER TABLE star_payments DISABLE TRIGGER ALL; "
        "ALTER TABLE provider_payments DISABLE TRIGGER ALL; "
        "ALTER TABLE provider_refunds DISABLE TRIGGER ALL; "
        "ALTER TABLE provider_dispute_steps DISABLE TRIGGER ALL; "
        "ALTER TABLE withdrawals DISABLE TRIGGER ALL; "
        "ALTER TABLE exchanges DISABLE TRIGGER ALL; "
        "ALTER TABLE reversals DISABLE TRIGGER ALL; "
        "TRUNCATE entries, transfers, pending_transfers, pending_adjustments, star_payments, holds, reversals, "
        "star_subscription_periods, star_refunds, provider_payments, provider_refunds, provider_dispute_steps, "
        "withdrawals, exchanges; "
        "UPDATE accounts SET balance = 0, version = 0 WHERE user_id IS NOT NULL",
    ),
    (
        "each confirmed adjustment has its transfer",
        "UPDATE pending_adjustments SET amount = -amount WHERE status = 'confirmed'",
    ),
    (
        "each confirmed adjustment has its transfer",
        "UPDATE pending_adjustments SET status = 'cancelled', transfer_id = NULL WHERE status = 'confirmed'",
    ),
    (
        "each confirmed adjustment has its transfer",
        "UPDATE pending_adjustments SET status = 'failed', reason = 'r' WHERE status = 'confirmed'",
    ),
    (
        "each confirmed adjustment has its transfer",
        f"UPDATE pending_adjustments SET target_user_id = (SELECT user_id FROM accounts WHERE id = {ANN})",
    ),
]


def exchange(engine: GuardedEngine, who: Profile) -> None:
    """Between the bot's two currencies."""
    first, second = engine.currencies
    books.reclassify(
        engine,
        key="fund",
        from_="house",
        to="exchange",
        amount=500,
        memo="",
        actor="t",
        currency=second.code,
    )
    rate = AdminAction("rate", "t", "exchange.rate", "", 0.0)
    exchanges.set_rate(engine, rate, given=first, got=second, rate=Decimal("0.9"))
    asked = exchanges.create(
        engine, key="x", profile=who, given_amount=55, given_currency=first.code, got_currency=second.code
    )
    assert exchanges.decide(engine, key="y", token=asked.token, presser=who, confirm=True).reason is None


@pytest.fixture
def engine(make_engine: MakeEngine) -> GuardedEngine:
    return make_engine(settings={"db_deadline_seconds": 30, "currencies": "EUR:2"})


@pytest.fixture
def busy(engine: GuardedEngine, person: Person, database_url: str) -> None:
    """A ledger in which everything happened that can, all but the first transfer since the last audit."""
    person(1_000, "zoe")
    assert seals.seal(engine)[0] is not None
    assert all(finding.ok for finding in audit(database_url))
    ann, bob = person(1_000, "ann"), person(1_000, "bob")
    for number, amount in enumerate((100, 200, 5_000)):
        ledger.transfer(
            engine,
            key=f"t{number}",
            sender_telegram_id=ann.telegram_id,
            recipient_telegram_id=bob.telegram_id,
            amount=amount,
            memo="",
        )
    for number, confirm in enumerate((True, False)):
        asked = pending_transfers.create(
            engine, key=f"p{number}", sender=bob, recipient=UserRef.parse("@ann"), amount=50, memo=""
        )
        pending_transfers.decide(engine, key=f"d{number}", token=asked.token, presser=bob, confirm=confirm)
    for number, amount in enumerate((70, -20, -30)):
        put = pending_adjustments.create(
            engine,
            key=f"a{number}",
            admin_id=1001,
            target=UserRef.parse("@bob"),
            amount=amount,
            memo="",
            limits=Limits(),
        )
        pending_adjustments.decide(
            engine, key=f"b{number}", token=put.token, presser_id=1001, confirm=True, limits=Limits()
        )
    for number, kind in enumerate(PaymentKind):
        charge = StarCharge(
            kind, f"charge-{number}", bob, stars=5, amount=500, payload="", said_at=1_700_000_000
        )
        star_payments.book(engine, charge)
    paid = StarCharge(
        PaymentKind.PAID, "charge-9", bob, stars=5, amount=500, payload="", said_at=1_700_000_000
    )
    star_payments.book(engine, paid)
    star_subscriptions.book(
        engine,
        SubscriptionCharge(
            PaymentKind.PAID,
            "sub",
            bob,
            5,
            500,
            PlanInvoice("p", 5, "s1"),
            True,
            1_700_000_000,
            1_702_592_000,
        ),
        follows=lambda _: (),
    )
    card = star_refunds.create(engine, key="r", payment="charge-9", presser_id=None, actor="t")
    star_refunds.decide(engine, key="d", token=card.token, presser_id=None, is_admin=True, confirm=True)
    star_payments.book(engine, replace(paid, kind=PaymentKind.REFUNDED))
    read_book(
        engine,
        Transaction("charge-0", False, 5, 0, "payment", bob.telegram_id, 500, {}, 1_700_000_000),
        Transaction("charge-1", False, 5, 0, "payment", bob.telegram_id, 500, {}, 1_700_000_000),
        Transaction("charge-9", False, 5, 0, "payment", bob.telegram_id, 500, {}, 1_700_000_000),
        Transaction("sub", False, 5, 0, "payment", bob.telegram_id, 500, {}, 1_700_000_000),
        Transaction("charge-9", True, 5, 0, "refund", bob.telegram_id, 500, {}, 1_700_000_000),
        Transaction("charge-1", True, 5, 0, "refund", bob.telegram_id, 500, {}, 1_700_000_000),
    )
    provider_payments.book(
        engine,
        ProviderEvent("stripe", "evt", "m", {}),
        ProviderCharge("pi", bob.telegram_id, 500, "USD", 500, refunded=200, fee=30, paid_at=1_700_000_000),
        job_id="j",
    )
    for key, end in (("h1", holds.post), ("h2", holds.void), ("h3", None)):
        hold = holds.hold(
            engine, key=key, owner=UserRef.parse("@bob"), amount=10, memo="", actor="t", expires_after=None
        )
        if end is not None and hold.hold_id is not None:
            end(engine, key=f"end-{key}", hold_id=hold.hold_id, actor="t")
    (first,) = (each.id for each in lists.transfers(engine).items if each.idempotency_key == "t0")
    acts.reverse(engine, Act("back", "operator", "", 0.0), transfer_id=first, amount=60)
    rule = withdrawals.Limits(once=None, per_day=None, auto=20, auto_per_day=None)
    for number, amount in enumerate((20, 30)):
        put_out = withdrawals.create(
            engine,
            key=f"w{number}",
            telegram_id=bob.telegram_id,
            amount=amount,
            payout=withdrawals.Payout("crypto_pay", "1", amount, "USDT"),
            limits=rule,
        )
        withdrawals.decide(
            engine,
            key=f"v{number}",
            token=put_out.token,
            telegram_id=bob.telegram_id,
            confirm=True,
            limits=rule,
            notice=lambda _: (),
        )
        if withdrawals.begin(engine, token=put_out.token).action == "pay":
            withdrawals.answer(
                engine, token=put_out.token, said="paid", attempt=1, text="r", notice=lambda _: ()
            )
    exchange(engine, bob)


@pytest.mark.usefixtures("busy")
def test_a_ledger_that_was_used_as_meant_passes(database_url: str) -> None:
    findings = audit(database_url)
    assert all(finding.ok for finding in findings)
    assert all(finding.counted for finding in findings)
    assert report(findings).endswith(f"{len(CHECK_NAMES)} of {len(CHECK_NAMES)} checks passed")


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(("check", "corruption"), CORRUPTIONS)
def test_a_corruption_is_found_and_named(database_url: str, sql: Sql, check: str, corruption: str) -> None:
    assert all(finding.ok for finding in audit(database_url, full=False))
    if check not in {STRUCTURE, PRIVATE}:
        sql(UNLOCK)
    sql(corruption)
    findings = {finding.name: finding for finding in audit(database_url)}
    assert not findings[check].ok
    assert findings[check].offenders
    assert f"FAIL  {check}" in report(list(findings.values()))
    # Nor does it pass because a former audit did; but that reads no sealed row again.
    if check != SEALED or "seals" in corruption:
        findings = {finding.name: finding for finding in audit(database_url, full=False)}
        assert not findings[check].ok


def test_each_check_is_shown_to_fail() -> None:
    assert {check for check, _ in CORRUPTIONS} == set(CHECK_NAMES)


@pytest.mark.usefixtures("busy")
def test_many_offenders_are_counted_and_the_first_shown(database_url: str, sql: Sql) -> None:
    sql(UNLOCK)
    sql(
        "UPDATE entries SET balance_after = balance_after + 3 * account_version WHERE balance_after IS NOT NULL"
    )
    text = report(audit(database_url))
    assert "more" in text


@pytest.mark.usefixtures("busy")
def test_a_superuser_in_replica_mode_cannot_change_what_was_written(sql: Sql) -> None:
    sql("SET session_replication_role = replica")
    for table in ("transfers", "entries", "admin_actions"):
        with pytest.raises(psycopg2.errors.RestrictViolation, match="append-only"):
            sql(f"TRUNCATE {table} CASCADE")
    with pytest.raises(psycopg2.errors.RestrictViolation, match="append-only"):
        sql("UPDATE entries SET amount = 1")


@pytest.mark.usefixtures("busy")
def test_an_audit_that_finds_fault_is_not_what_the_next_one_compares_with(
    database_url: str, sql: Sql
) -> None:
    audit(database_url)
    sql(UNLOCK)
    sql("DELETE FROM transfers WHERE status = 'rejected'")
    for _ in range(2):
        findings = {finding.name: finding for finding in audit(database_url)}
        assert not findings[EMPTIED].ok


@pytest.mark.usefixtures("busy")
def test_a_schema_of_another_revision_is_said_to_be_and_not_judged(database_url: str, sql: Sql) -> None:
    sql("UPDATE alembic_version SET version_num = '0001'")
    findings = audit(database_url)
    assert "skip  the schema is what the migrations made (the schema is at revision 0001" in report(findings)
    assert all(finding.ok for finding in findings)


@pytest.mark.usefixtures("busy")
def test_a_read_only_server_is_audited_all_the_same(database_url: str, sql: Sql) -> None:
    sql(f"ALTER DATABASE {database_url.rsplit('/', 1)[1]} SET default_transaction_read_only = on")
    assert all(finding.ok for finding in audit(database_url))
