"""Proves that the ledger is right, on any live database, without stopping it.

Most checks are a query for offenders; the last ones compare the database with what the migrations made and with what
the last successful audit saw. All of them see one moment, by one repeatable-read transaction.

What it cannot see: a rewrite that is consistent in itself by somebody who may change the schema and these tables alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from dbcore import migrate, privileges, structure
from dbcore.guard import pool
from dbcore.qualified_names import qualified

OFFENDERS_SHOWN = 5
_STATEMENT_TIMEOUT = "10min"

KEPT_TABLES = (
    "transfers",
    "entries",
    "pending_transfers",
    "pending_adjustments",
    "payment_events",
    "star_payments",
    "holds",
    "star_refunds",
    "admin_actions",
)
"""Tables that only grow: rows that an audit saw are there at every later one."""


@dataclass(frozen=True, slots=True)
class Check:
    """`counted` counts what is looked at; `offenders` gives one text a row for what is wrong."""

    name: str
    counted: str
    offenders: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    counted: int
    wrong: int
    offenders: tuple[str, ...]  # the first few
    skipped: str = ""  # why it could not be judged

    @property
    def ok(self) -> bool:
        return self.wrong == 0


_USER_ACCOUNTS = "SELECT count(*) FROM ballast.accounts WHERE user_id IS NOT NULL"

CHECKS: tuple[Check, ...] = (
    Check(
        "entries sum to zero per currency",
        "SELECT count(*) FROM ballast.entries",
        "SELECT format('%s: sum %s', a.currency, sum(e.amount)) FROM ballast.entries e JOIN ballast.accounts a "
        "ON a.id = "
        "e.account_id "
        "GROUP BY a.currency HAVING sum(e.amount) <> 0",
    ),
    Check(
        "each balance is the sum of its account's entries",
        _USER_ACCOUNTS,
        "SELECT format('account %s: balance %s, entries %s', a.id, a.balance, coalesce(s.total, 0)) FROM "
        "ballast.accounts a "
        "LEFT JOIN (SELECT account_id, sum(amount) AS total FROM ballast.entries GROUP BY account_id) s ON "
        "s.account_id = a.id "
        "WHERE a.user_id IS NOT NULL AND a.balance <> coalesce(s.total, 0) ORDER BY a.id",
    ),
    Check(
        "each balance is its last entry's balance_after",
        _USER_ACCOUNTS,
        "SELECT format('account %s: balance %s, last entry %s', a.id, a.balance, l.balance_after) FROM "
        "ballast.accounts a "
        "JOIN (SELECT DISTINCT ON (account_id) account_id, balance_after FROM ballast.entries "
        "      ORDER BY account_id, account_version DESC NULLS LAST) l ON l.account_id = a.id "
        "WHERE a.user_id IS NOT NULL AND l.balance_after IS DISTINCT FROM a.balance ORDER BY a.id",
    ),
    Check(
        "each balance_after is the one before plus the amount",
        "SELECT count(*) FROM ballast.entries WHERE account_version IS NOT NULL",
        "SELECT format('account %s version %s: %s after %s and %s', account_id, account_version, "
        "balance_after, before, "
        "amount) FROM (SELECT *, coalesce(lag(balance_after) OVER (PARTITION BY account_id ORDER BY "
        "account_version), 0) "
        "AS before FROM ballast.entries WHERE account_version IS NOT NULL) e WHERE balance_after <> before + amount "
        "ORDER BY account_id, account_version",
    ),
    Check(
        "versions are gapless and end with the account's",
        _USER_ACCOUNTS,
        "SELECT format('account %s: version %s, %s entries of versions %s to %s', a.id, a.version, "
        "coalesce(v.entries, 0), "
        "v.lowest, v.highest) FROM ballast.accounts a "
        "LEFT JOIN (SELECT account_id, count(DISTINCT account_version) AS versions, count(*) AS entries, "
        "           min(account_version) AS lowest, max(account_version) AS highest FROM ballast.entries GROUP BY "
        "account_id) v "
        "ON v.account_id = a.id WHERE a.user_id IS NOT NULL AND NOT (a.version = coalesce(v.entries, 0) "
        "AND (v.entries IS NULL OR v.versions = v.entries AND v.lowest = 1 AND v.highest = v.entries)) "
        "ORDER BY a.id",
    ),
    Check(
        "no balance is below its floor, now or ever",
        _USER_ACCOUNTS,
        "SELECT format('account %s: balance %s, held %s, floor %s', id, balance, held, floor) FROM ballast.accounts "
        "WHERE user_id IS NOT NULL AND balance - held < floor "
        "UNION ALL SELECT format('account %s version %s: balance_after %s, floor %s', a.id, "
        "e.account_version, "
        "e.balance_after, a.floor) FROM ballast.entries e JOIN ballast.accounts a ON a.id = e.account_id WHERE "
        "e.balance_after < 0 AND (e.amount < 0 OR e.account_version = 1) "  # or it pays a debt
        "AND (SELECT t.kind <> 'star_refund' AND t.idempotency_key !~ '^hold:\\d+$' FROM ballast.transfers t "
        "WHERE t.id = e.transfer_id)",
    ),
    Check(
        "the house keeps no balance",
        "SELECT count(*) FROM ballast.accounts WHERE user_id IS NULL",
        "SELECT format('account %s: house %s, but balance %s, version %s', a.id, a.user_id IS NULL, "
        "a.balance, a.version) "
        "FROM ballast.accounts a WHERE (a.user_id IS NULL) <> (a.balance IS NULL) OR (a.user_id IS NULL) <> "
        "(a.version IS NULL) "
        "UNION ALL SELECT format('entry %s: house %s, but balance_after %s', e.id, a.user_id IS NULL, "
        "e.balance_after) "
        "FROM ballast.entries e JOIN ballast.accounts a ON a.id = e.account_id WHERE (a.user_id IS NULL) <> "
        "(e.balance_after IS NULL) "
        "OR (a.user_id IS NULL) <> (e.account_version IS NULL)",
    ),
    Check(
        "each applied transfer has its two entries",
        "SELECT count(*) FROM ballast.transfers WHERE status = 'applied'",
        "SELECT format('transfer %s: %s entries, sum %s, amount %s', t.id, coalesce(e.entries, 0), "
        "e.total, t.amount) "
        "FROM ballast.transfers t LEFT JOIN (SELECT transfer_id, count(*) AS entries, sum(amount) AS total FROM "
        "ballast.entries "
        "GROUP BY transfer_id) e ON e.transfer_id = t.id "
        "LEFT JOIN ballast.entries f ON f.transfer_id = t.id AND f.account_id = t.from_account_id "
        "LEFT JOIN ballast.entries g ON g.transfer_id = t.id AND g.account_id = t.to_account_id "
        "WHERE t.status = 'applied' AND NOT coalesce(e.entries = 2 AND e.total = 0 "
        "AND f.amount = -t.amount AND g.amount = t.amount, false) ORDER BY t.id",
    ),
    Check(
        "no rejected transfer has entries",
        "SELECT count(*) FROM ballast.transfers WHERE status = 'rejected'",
        "SELECT format('transfer %s: %s entries', t.id, count(*)) FROM ballast.transfers t JOIN ballast.entries e ON "
        "e.transfer_id = t.id "
        "WHERE t.status <> 'applied' GROUP BY t.id ORDER BY t.id",
    ),
    Check(
        "currencies match",
        "SELECT count(*) FROM ballast.transfers",
        "SELECT format('transfer %s: %s on account %s of %s', t.id, t.currency, a.id, a.currency) FROM "
        "ballast.transfers t "
        "JOIN ballast.accounts a ON a.id IN (t.from_account_id, t.to_account_id) WHERE a.currency <> t.currency "
        "ORDER BY t.id",
    ),
    Check(
        "each confirmed request has its transfer",
        "SELECT count(*) FROM ballast.pending_transfers WHERE status IN ('confirmed', 'failed')",
        "SELECT format('pending transfer %s: %s, transfer %s', p.id, p.status, p.transfer_id) FROM "
        "ballast.pending_transfers p "
        "LEFT JOIN ballast.transfers t ON t.id = p.transfer_id "
        "LEFT JOIN ballast.accounts f ON f.id = t.from_account_id "
        "LEFT JOIN ballast.accounts g ON g.id = t.to_account_id "
        "WHERE (p.status IN ('confirmed', 'failed')) <> (p.transfer_id IS NOT NULL) "
        "OR p.status IN ('confirmed', 'failed') AND NOT coalesce(t.amount = p.amount AND t.currency = "
        "p.currency "
        "AND t.idempotency_key = 'pending:' || p.id AND f.user_id = p.sender_user_id AND g.user_id = "
        "p.recipient_user_id "
        "AND t.status = CASE p.status WHEN 'confirmed' THEN 'applied' ELSE 'rejected' END, false) "
        "UNION ALL SELECT format('transfer %s: no pending transfer %s', t.id, t.idempotency_key) FROM "
        "ballast.transfers t "
        "WHERE t.idempotency_key LIKE 'pending:%' AND NOT EXISTS (SELECT FROM ballast.pending_transfers p "
        "WHERE p.transfer_id = t.id)",
    ),
    Check(
        "each entry has its transfer",
        "SELECT count(*) FROM ballast.entries",
        "SELECT format('entry %s: no transfer %s', e.id, e.transfer_id) FROM ballast.entries e "
        "LEFT JOIN ballast.transfers t ON t.id = e.transfer_id WHERE t.id IS NULL ORDER BY e.id",
    ),
    Check(
        "each account has its user",
        _USER_ACCOUNTS,
        "SELECT format('account %s: no user %s', a.id, a.user_id) FROM ballast.accounts a "
        "LEFT JOIN ballast.users u ON u.id = a.user_id WHERE a.user_id IS NOT NULL AND u.id IS NULL ORDER BY a.id",
    ),
    Check(
        "each transfer's kind fits its accounts",
        "SELECT count(*) FROM ballast.transfers WHERE status = 'applied'",
        "SELECT format('transfer %s: %s from %s to %s', t.id, t.kind, "
        "CASE WHEN f.user_id IS NULL THEN 'a system account' ELSE 'a user' END, "
        "CASE WHEN g.user_id IS NULL THEN 'a system account' ELSE 'a user' END) FROM ballast.transfers t "
        "LEFT JOIN ballast.accounts f ON f.id = t.from_account_id "
        "LEFT JOIN ballast.accounts g ON g.id = t.to_account_id "
        "WHERE t.status = 'applied' AND ((t.kind IN ('credit', 'star_payment')) <> (f.user_id IS NULL) "
        "OR (t.kind IN ('debit', 'star_refund')) <> (g.user_id IS NULL)) ORDER BY t.id",
    ),
    Check(
        "each account's floor is zero, or its debt",
        "SELECT count(*) FROM ballast.accounts",
        "SELECT format('account %s: floor %s, balance %s, held %s', id, floor, balance, held) FROM ballast.accounts "
        "WHERE floor <> least(0, coalesce(balance - held, 0)) ORDER BY id",
    ),
    Check(
        "each account without a user has its name",
        "SELECT count(*) FROM ballast.system_accounts",
        "SELECT format('account %s: %s of %s, user %s', coalesce(a.id, s.account_id), coalesce(s.name, 'no name'), "
        "a.currency, a.user_id) FROM ballast.system_accounts s "
        "FULL JOIN (SELECT * FROM ballast.accounts WHERE user_id IS NULL) a ON a.id = s.account_id "
        "WHERE a.id IS NULL OR s.account_id IS NULL",
    ),
    Check(
        "each payment in Stars has its transfers",
        "SELECT count(*) FROM ballast.star_payments",
        "SELECT format('star payment %s: transfer %s, refund %s', p.id, p.transfer_id, p.refund_transfer_id) "
        "FROM ballast.star_payments p "
        "JOIN ballast.accounts a ON a.user_id = p.user_id AND a.currency = p.currency "
        "LEFT JOIN ballast.system_accounts s ON s.name = 'stars' AND s.currency = p.currency "
        "LEFT JOIN ballast.transfers t ON t.id = p.transfer_id "
        "LEFT JOIN ballast.transfers r ON r.id = p.refund_transfer_id "
        "WHERE NOT coalesce(t.status = 'applied' AND t.kind = 'star_payment' AND t.amount = p.amount "
        "AND t.from_account_id = s.account_id AND t.to_account_id = a.id "
        "AND t.idempotency_key = 'star_payment:' || p.charge_id, false) "
        "OR p.refund_transfer_id IS NOT NULL AND NOT coalesce(r.status = 'applied' AND r.kind = 'star_refund' "
        "AND r.amount = p.amount AND r.from_account_id = a.id AND r.to_account_id = s.account_id "
        "AND r.idempotency_key = 'star_refund:' || p.charge_id, false) "
        "UNION ALL SELECT format('transfer %s: no payment in Stars %s', t.id, t.idempotency_key) "
        "FROM ballast.transfers t WHERE t.status = 'applied' AND (t.kind IN ('star_payment', 'star_refund') OR EXISTS "
        "(SELECT FROM ballast.system_accounts s WHERE s.name = 'stars' "
        "AND s.account_id IN (t.from_account_id, t.to_account_id))) AND NOT EXISTS "
        "(SELECT FROM ballast.star_payments p WHERE t.id IN (p.transfer_id, p.refund_transfer_id))",
    ),
    Check(
        "each refund of Stars is as its payment and its hold say",
        "SELECT count(*) FROM ballast.star_refunds",
        "SELECT format('star refund %s: %s, payment refunded %s, hold %s', r.id, r.status, p.refunded_at, h.status) "
        "FROM ballast.star_refunds r JOIN ballast.star_payments p ON p.id = r.star_payment_id "
        "LEFT JOIN ballast.holds h ON h.id = r.hold_id "
        "WHERE r.status = 'done' AND p.refunded_at IS NULL OR r.hold_id IS NOT NULL AND NOT coalesce("
        "h.idempotency_key = 'hold:refund:' || r.id AND h.amount <= p.amount AND CASE r.status WHEN 'asked' "
        "THEN h.status = 'open' ELSE r.status IN ('done', 'refused') AND h.status = 'voided' END, false) ORDER BY r.id",
    ),
    Check(
        "what is held is the sum of the open holds",
        "SELECT count(*) FROM ballast.accounts",
        "SELECT format('account %s: held %s, open holds %s', a.id, a.held, coalesce(h.total, 0)) "
        "FROM ballast.accounts a LEFT JOIN (SELECT account_id, sum(amount) AS total FROM ballast.holds "
        "WHERE status = 'open' GROUP BY account_id) h ON h.account_id = a.id "
        "WHERE a.held <> coalesce(h.total, 0) ORDER BY a.id",
    ),
    Check(
        "each hold ended once, as its transfer says",
        "SELECT count(*) FROM ballast.holds",
        "SELECT format('hold %s: %s, %s of %s, transfer %s', h.id, h.status, h.posted_amount, h.amount, h.transfer_id) "
        "FROM ballast.holds h LEFT JOIN ballast.transfers t ON t.id = h.transfer_id "
        "WHERE (h.status = 'posted') <> (h.transfer_id IS NOT NULL) "
        "OR h.status = 'expired' AND NOT coalesce(h.expires_at <= h.ended_at, false) "
        "OR h.status = 'posted' AND NOT coalesce(t.status = 'applied' AND t.amount = h.posted_amount "
        "AND t.currency = h.currency AND t.from_account_id = h.account_id AND h.posted_amount <= h.amount "
        "AND t.idempotency_key = 'hold:' || h.id, false) "
        "UNION ALL SELECT format('transfer %s: no hold %s', t.id, t.idempotency_key) FROM ballast.transfers t "
        "WHERE t.idempotency_key ~ '^hold:\\d+$' AND NOT EXISTS "
        "(SELECT FROM ballast.holds h WHERE h.transfer_id = t.id)",
    ),
    Check(
        "each confirmed adjustment has its transfer",
        "SELECT count(*) FROM ballast.pending_adjustments WHERE transfer_id IS NOT NULL",
        "SELECT format('pending adjustment %s: %s, transfer %s', p.id, p.status, p.transfer_id) FROM "
        "ballast.pending_adjustments p "
        "LEFT JOIN ballast.transfers t ON t.id = p.transfer_id "
        "LEFT JOIN ballast.accounts f ON f.id = t.from_account_id "
        "LEFT JOIN ballast.accounts g ON g.id = t.to_account_id "
        "WHERE (p.status = 'confirmed' OR p.transfer_id IS NOT NULL) AND NOT coalesce(t.amount = abs(p.amount) "
        "AND t.currency = p.currency AND t.idempotency_key = 'pending_adjustment:' || p.id "
        "AND t.actor = 'telegram:' || p.admin_id AND t.status = CASE p.status WHEN 'confirmed' THEN 'applied' "
        "WHEN 'failed' THEN 'rejected' END "
        "AND CASE WHEN p.amount > 0 THEN t.kind = 'credit' AND f.user_id IS NULL AND g.user_id = p.target_user_id "
        "ELSE t.kind = 'debit' AND g.user_id IS NULL AND f.user_id = p.target_user_id END, false) "
        "UNION ALL SELECT format('transfer %s: no pending adjustment %s', t.id, t.idempotency_key) FROM "
        "ballast.transfers t WHERE t.idempotency_key LIKE 'pending\\_adjustment:%' AND NOT EXISTS "
        "(SELECT FROM ballast.pending_adjustments p WHERE p.transfer_id = t.id)",
    ),
)

_LAST_SEEN_SQL = (
    "SELECT DISTINCT ON (table_name) table_name, newest_id, row_count FROM ballast.audit_runs "
    "WHERE table_name = ANY(:tables) ORDER BY table_name, id DESC"
)
_REMEMBER_SQL = (
    "INSERT INTO ballast.audit_runs (table_name, newest_id, row_count) VALUES (:table, :newest, :count)"
)

_STRUCTURE = "the schema is what the migrations made"
_PRIVATE = "tables and functions are closed to others"
_KEPT = "what the last audit saw is still there"

CHECK_NAMES: tuple[str, ...] = (*(check.name for check in CHECKS), _STRUCTURE, _PRIVATE, _KEPT)


def audit(url: str, schema: str | None = None, own_checks: Sequence[Check] = ()) -> list[Finding]:
    """Run every check, and remember what was seen if all of Ballast's passed.

    schema -- BALLAST_SCHEMA. own_checks -- of apps, on the same moment; one that cannot be run has not passed.
    Raises SQLAlchemy's errors where the database is unavailable or was never migrated.
    """
    engine = pool.single(url, application_name="ballast audit", schema=schema)
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with snapshot.begin() as connection:
        connection.execute(
            text("SELECT set_config('statement_timeout', :limit, true)"), {"limit": _STATEMENT_TIMEOUT}
        )
        findings = [_run(connection, check, schema) for check in CHECKS]
        theirs = [_run_own(connection, check, schema) for check in own_checks]
        revision, newest = migrate.current_revision(connection, schema), migrate.newest_revision()
        if revision != newest:
            why = f"the schema is at revision {revision}, this release expects {newest}: migrate first"
            skipped = [Finding(name, 0, 0, (), why) for name in (_STRUCTURE, _PRIVATE, _KEPT)]
            return [*findings, *skipped, *theirs]
        findings.append(_finding(_STRUCTURE, _parts(), structure.differences(connection, schema)))
        findings.append(_finding(_PRIVATE, _parts(), privileges.open_to_others(connection, schema)))
        seen = {table: _seen(connection, schema, table) for table in KEPT_TABLES}
        findings.append(_finding(_KEPT, sum(count for _, count in seen.values()), _gone(connection, schema)))
    if all(finding.ok for finding in findings):
        _remember(engine, schema, seen)
    return [*findings, *theirs]


def _run(connection: Connection, check: Check, schema: str | None) -> Finding:
    # no_parameters: the queries' percent signs are SQL's.
    plain = connection.execution_options(no_parameters=True)
    counted = plain.exec_driver_sql(qualified(check.counted, schema)).scalar_one()
    wrong = [str(row[0]) for row in plain.exec_driver_sql(qualified(check.offenders, schema))]
    return _finding(check.name, counted, wrong)


def _run_own(connection: Connection, check: Check, schema: str | None) -> Finding:
    try:
        with connection.begin_nested():
            return _run(connection, check, schema)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return _finding(check.name, 0, [" ".join(str(error.orig).split())])


def _finding(name: str, counted: int, wrong: Sequence[str]) -> Finding:
    return Finding(name, counted, len(wrong), tuple(wrong[:OFFENDERS_SHOWN]))


def _parts() -> int:
    wanted = structure.expected()
    return len(wanted.functions) + len(wanted.triggers) + len(wanted.constraints) + len(wanted.indexes)


def _seen(connection: Connection, schema: str | None, table: str) -> tuple[int, int]:
    """The newest id and how many rows there are."""
    statement = f"SELECT coalesce(max(id), 0), count(*) FROM ballast.{table}"  # noqa: S608  one of KEPT_TABLES
    row = connection.exec_driver_sql(qualified(statement, schema)).one()
    return row[0], row[1]


def _gone(connection: Connection, schema: str | None) -> list[str]:
    """What the last audit saw and is not there now. A transfer with an older id may have been committed since, so
    more is no fault.
    """
    gone = []
    for table, newest_id, row_count in connection.execute(
        text(qualified(_LAST_SEEN_SQL, schema)),
        {"tables": list(KEPT_TABLES)},
    ).all():
        statement = f"SELECT count(*) FROM ballast.{table} WHERE id <= :newest"  # noqa: S608  one of KEPT_TABLES
        now = connection.execute(text(qualified(statement, schema)), {"newest": newest_id}).scalar_one()
        if now < row_count:
            gone.append(f"{table}: {row_count:,} rows up to id {newest_id} at the last audit, {now:,} now")
    return gone


def _remember(engine: Engine, schema: str | None, seen: dict[str, tuple[int, int]]) -> None:
    """On a server or by a role that cannot write, the audit proves what it proves and leaves no trace."""
    rows = [{"table": table, "newest": newest, "count": count} for table, (newest, count) in seen.items()]
    try:
        with engine.begin() as connection:
            connection.execute(text(qualified(_REMEMBER_SQL, schema)), rows)
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) not in {"25006", "42501"}:  # read-only; no right to
            raise


def report(findings: list[Finding]) -> str:
    """One line a check, with the first offenders under it."""
    lines = []
    for finding in findings:
        if finding.skipped:
            lines.append(f"skip  {finding.name} ({finding.skipped})")
            continue
        verdict = "ok  " if finding.ok else "FAIL"
        wrong = "" if finding.ok else f", {finding.wrong} wrong"
        lines.append(f"{verdict}  {finding.name} ({finding.counted:,} checked{wrong})")
        lines += [f"      {offender}" for offender in finding.offenders]
        if finding.wrong > len(finding.offenders):
            lines.append(f"      and {finding.wrong - len(finding.offenders):,} more")
    judged = [finding for finding in findings if not finding.skipped]
    passed = sum(finding.ok for finding in judged)
    lines.append(f"{passed} of {len(judged)} checks passed")
    return "\n".join(lines)
