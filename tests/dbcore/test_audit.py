"""Each check of the audit can fail: the database is corrupted as only a superuser can, and the check says so."""

from __future__ import annotations

import pytest

from dbcore import ledger, pending_adjustments, pending_transfers
from dbcore.audit import CHECKS, audit, report
from dbcore.engine import GuardedEngine
from dbcore.pending_adjustments import Limits
from dbcore.users import UserRef
from tests.dbcore.conftest import Person, Sql

UNLOCK = """
    ALTER TABLE transfers DISABLE TRIGGER ALL;
    ALTER TABLE entries DISABLE TRIGGER ALL;
    ALTER TABLE accounts DISABLE TRIGGER ALL;
    ALTER TABLE accounts DROP CONSTRAINT accounts_balance_within_bounds;
    ALTER TABLE accounts DROP CONSTRAINT accounts_house_keeps_no_balance;
    ALTER TABLE entries DROP CONSTRAINT entries_version_with_balance;
"""
ANN = "(SELECT a.id FROM accounts a JOIN users u ON u.id = a.user_id WHERE u.username = 'ann')"

CORRUPTIONS = [
    ("entries sum to zero per currency", "UPDATE entries SET amount = amount + 1 WHERE id = 1"),
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


@pytest.fixture
def busy(engine: GuardedEngine, person: Person) -> None:
    """A ledger in which everything happened that can."""
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


@pytest.mark.usefixtures("busy")
def test_a_ledger_that_was_used_as_meant_passes(database_url: str) -> None:
    findings = audit(database_url)
    assert all(finding.ok for finding in findings)
    assert all(finding.counted for finding in findings)
    assert report(findings).endswith(f"{len(CHECKS)} of {len(CHECKS)} checks passed")


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(("check", "corruption"), CORRUPTIONS)
def test_a_corruption_is_found_and_named(database_url: str, sql: Sql, check: str, corruption: str) -> None:
    sql(UNLOCK)
    sql(corruption)
    findings = {finding.name: finding for finding in audit(database_url)}
    assert not findings[check].ok
    assert findings[check].offenders
    assert f"FAIL  {check}" in report(list(findings.values()))


def test_each_check_is_shown_to_fail() -> None:
    assert {check for check, _ in CORRUPTIONS} == {check.name for check in CHECKS}


@pytest.mark.usefixtures("busy")
def test_many_offenders_are_counted_and_the_first_shown(database_url: str, sql: Sql) -> None:
    sql(UNLOCK)
    sql(
        "UPDATE entries SET balance_after = balance_after + 3 * account_version WHERE balance_after IS NOT NULL"
    )
    text = report(audit(database_url))
    assert "more" in text
