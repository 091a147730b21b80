"""Proves that the ledger is right, on any live database, without stopping it.

Most checks are a query for offenders; the last ones compare the database with what the migrations made and with what
the last successful audit saw. All of them see one moment, by one repeatable-read transaction.

An incremental audit starts where a former one ended: at the end of a seal (seals.py). What comes after it is read, each
balance is held against its last entry, and the chain of seals is followed; the sealed rows themselves are read by a
full audit, and by the workers, a seal at a time.

What it cannot see: a rewrite that is consistent in itself by somebody who may change the schema and these tables alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from dbcore import migrate, privileges, structure
from dbcore.guard import pool
from dbcore.ledger import star_book
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
    "reversals",
    "star_refunds",
    "star_subscription_changes",
    "provider_payments",
    "provider_refunds",
    "provider_disputes",
    "provider_dispute_steps",
    "withdrawals",
    "exchange_rates",
    "exchanges",
    "admin_actions",
)
"""Tables that only grow: rows that an audit saw are there at every later one."""


_PROVED_SEAL = "ballast.proved_seal"
_NEWEST_SEAL_SQL = "SELECT coalesce(max(id), 0) FROM ballast.ledger_seals"
NEW_ENTRIES, NEW_TRANSFERS, PROVED = "ballast.new_entries", "ballast.new_transfers", "ballast.proved_transfer"
"""What a check's SQL says for the entries and transfers that no audit has proved yet, and for the last id of a transfer
that one has. A full audit takes all of them for new.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """`counted` counts what is looked at; `offenders` gives one text a row for what is wrong.

    incremental -- in place of `offenders` if what a former audit proved is not read again. A check that has neither
        this nor one of the names above reads everything each time.
    """

    name: str
    counted: str
    offenders: str
    incremental: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    counted: int
    wrong: int
    offenders: tuple[str, ...]  # the first few
    skipped: str = ""  # why it could not be judged
    note: str = ""  # what else to know of it

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
        "SELECT format('%s: sum %s', currency, sum(amount)) FROM (SELECT d.currency, d.credits - d.debits AS amount "
        "FROM ballast.ledger_days d UNION ALL SELECT a.currency, e.amount FROM ballast.entries e "
        "JOIN ballast.accounts a ON a.id = e.account_id "
        "WHERE e.id > (SELECT coalesce(max(s.entries_to), 0) FROM ballast.ledger_seals s)) x "
        "GROUP BY currency HAVING sum(amount) <> 0",
    ),
    Check(
        "each balance is the sum of its account's entries",
        _USER_ACCOUNTS,
        "SELECT format('account %s: balance %s, entries %s', a.id, a.balance, coalesce(s.total, 0)) FROM "
        "ballast.accounts a "
        "LEFT JOIN (SELECT account_id, sum(amount) AS total FROM ballast.entries GROUP BY account_id) s ON "
        "s.account_id = a.id "
        "WHERE a.user_id IS NOT NULL AND a.balance <> coalesce(s.total, 0) ORDER BY a.id",
        # The sum up to the first new entry is the balance_after of the one before, which was proved.
        "SELECT format('account %s: balance %s, entries %s', a.id, a.balance, "
        "coalesce(b.balance_after, 0) + coalesce(s.total, 0)) FROM ballast.accounts a "
        "LEFT JOIN (SELECT account_id, sum(amount) AS total, min(account_version) AS first FROM ballast.new_entries n "
        "GROUP BY account_id) s ON s.account_id = a.id "
        "LEFT JOIN LATERAL (SELECT e.balance_after FROM ballast.entries e WHERE e.account_id = a.id "
        "AND e.account_version = coalesce(s.first, a.version + 1) - 1 OFFSET 0) b ON true "
        "WHERE a.user_id IS NOT NULL AND a.balance <> coalesce(b.balance_after, 0) + coalesce(s.total, 0) "
        "ORDER BY a.id",
    ),
    Check(
        "each balance is its last entry's balance_after",
        _USER_ACCOUNTS,
        "SELECT format('account %s: balance %s, last entry %s', a.id, a.balance, l.balance_after) FROM "
        "ballast.accounts a "
        "JOIN (SELECT DISTINCT ON (account_id) account_id, balance_after FROM ballast.entries "
        "      ORDER BY account_id, account_version DESC NULLS LAST) l ON l.account_id = a.id "
        "WHERE a.user_id IS NOT NULL AND l.balance_after IS DISTINCT FROM a.balance ORDER BY a.id",
        "SELECT format('account %s: balance %s, last entry %s', a.id, a.balance, l.balance_after) FROM "
        "ballast.accounts a "
        "JOIN LATERAL (SELECT e.balance_after FROM ballast.entries e WHERE e.account_id = a.id "
        "AND e.account_version IS NOT NULL ORDER BY e.account_version DESC LIMIT 1) l ON true "
        "WHERE a.user_id IS NOT NULL AND l.balance_after IS DISTINCT FROM a.balance ORDER BY a.id",
    ),
    Check(
        "each balance_after is the one before plus the amount",
        "SELECT count(*) FROM ballast.new_entries e WHERE account_version IS NOT NULL",
        "SELECT format('account %s version %s: %s after %s and %s', account_id, account_version, "
        "balance_after, before, "
        "amount) FROM (SELECT n.*, coalesce(lag(n.balance_after) OVER (PARTITION BY n.account_id ORDER BY "
        "n.account_version), (SELECT p.balance_after FROM ballast.entries p WHERE p.account_id = n.account_id "
        "AND p.account_version = n.account_version - 1), 0) "
        "AS before FROM ballast.new_entries n WHERE n.account_version IS NOT NULL) e "
        "WHERE balance_after <> before + amount "
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
        "SELECT format('account %s: version %s, %s new entries of versions %s to %s, the last of all %s', a.id, "
        "a.version, coalesce(v.entries, 0), v.lowest, v.highest, l.account_version) FROM ballast.accounts a "
        "LEFT JOIN LATERAL (SELECT e.account_version FROM ballast.entries e WHERE e.account_id = a.id "
        "AND e.account_version IS NOT NULL ORDER BY e.account_version DESC LIMIT 1) l ON true "
        "LEFT JOIN (SELECT account_id, count(*) AS entries, min(account_version) AS lowest, "
        "max(account_version) AS highest FROM ballast.new_entries n GROUP BY account_id) v ON v.account_id = a.id "
        "WHERE a.user_id IS NOT NULL AND (a.version <> coalesce(l.account_version, 0) "
        "OR v.entries <> v.highest - v.lowest + 1 OR v.lowest > 1 AND NOT EXISTS (SELECT FROM ballast.entries p "
        "WHERE p.account_id = a.id AND p.account_version = v.lowest - 1)) ORDER BY a.id",
    ),
    Check(
        "no balance is below its floor, now or ever",
        _USER_ACCOUNTS,
        "SELECT format('account %s: balance %s, held %s, floor %s', id, balance, held, floor) FROM ballast.accounts "
        "WHERE user_id IS NOT NULL AND balance - held < floor "
        "UNION ALL SELECT format('account %s version %s: balance_after %s, floor %s', a.id, "
        "e.account_version, "
        "e.balance_after, a.floor) FROM ballast.new_entries e JOIN ballast.accounts a ON a.id = e.account_id WHERE "
        "e.balance_after < 0 AND (e.amount < 0 OR e.account_version = 1) "  # or it pays a debt
        "AND (SELECT t.kind NOT IN ('star_refund', 'provider_refund') "
        "AND t.idempotency_key !~ '^hold:\\d+$' FROM ballast.transfers t "
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
        "FROM ballast.new_entries e JOIN ballast.accounts a ON a.id = e.account_id WHERE (a.user_id IS NULL) <> "
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
        "SELECT format('transfer %s: %s entries, sum %s, amount %s', t.id, e.entries, e.total, t.amount) "
        "FROM (SELECT n.id FROM ballast.new_transfers n UNION SELECT n.transfer_id FROM ballast.new_entries n) new "
        "JOIN ballast.transfers t ON t.id = new.id "
        "CROSS JOIN LATERAL (SELECT count(*) AS entries, sum(e.amount) AS total, "
        "sum(e.amount) FILTER (WHERE e.account_id = t.from_account_id) AS taken, "
        "sum(e.amount) FILTER (WHERE e.account_id = t.to_account_id) AS given "
        "FROM ballast.entries e WHERE e.transfer_id = t.id) e "
        "WHERE t.status = 'applied' AND NOT coalesce(e.entries = 2 AND e.total = 0 "
        "AND e.taken = -t.amount AND e.given = t.amount, false) ORDER BY t.id",
    ),
    Check(
        "no rejected transfer has entries",
        "SELECT count(*) FROM ballast.transfers WHERE status = 'rejected'",
        "SELECT format('transfer %s: %s entries', t.id, count(*)) FROM ballast.transfers t "
        "JOIN ballast.new_entries e ON "
        "e.transfer_id = t.id "
        "WHERE t.status <> 'applied' GROUP BY t.id ORDER BY t.id",
    ),
    Check(
        "currencies match",
        "SELECT count(*) FROM ballast.new_transfers t",
        "SELECT format('transfer %s: %s on account %s of %s', t.id, t.currency, a.id, a.currency) FROM "
        "ballast.new_transfers t "
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
        "OR p.transfer_id > ballast.proved_transfer AND p.status IN ('confirmed', 'failed') "
        "AND NOT coalesce(t.amount = p.amount AND t.currency = "
        "p.currency "
        "AND t.idempotency_key = 'pending:' || p.id AND f.user_id = p.sender_user_id AND g.user_id = "
        "p.recipient_user_id "
        "AND t.status = CASE p.status WHEN 'confirmed' THEN 'applied' ELSE 'rejected' END, false) "
        "UNION ALL SELECT format('transfer %s: no pending transfer %s', t.id, t.idempotency_key) FROM "
        "ballast.new_transfers t "
        "WHERE t.idempotency_key LIKE 'pending:%' AND NOT EXISTS (SELECT FROM ballast.pending_transfers p "
        "WHERE p.transfer_id = t.id)",
    ),
    Check(
        "each entry has its transfer",
        "SELECT count(*) FROM ballast.new_entries e",
        "SELECT format('entry %s: no transfer %s', e.id, e.transfer_id) FROM ballast.new_entries e "
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
        "SELECT count(*) FROM ballast.new_transfers t WHERE status = 'applied'",
        "SELECT format('transfer %s: %s from %s to %s', t.id, t.kind, "
        "CASE WHEN f.user_id IS NULL THEN 'a system account' ELSE 'a user' END, "
        "CASE WHEN g.user_id IS NULL THEN 'a system account' ELSE 'a user' END) FROM ballast.new_transfers t "
        "LEFT JOIN ballast.accounts f ON f.id = t.from_account_id "
        "LEFT JOIN ballast.accounts g ON g.id = t.to_account_id "
        # Of subscriptions both accounts are the system's: the check of payments in Stars says which.
        "WHERE t.status = 'applied' AND t.kind <> 'reversal' "
        "AND NOT (t.kind IN ('star_payment', 'star_refund') AND EXISTS (SELECT FROM ballast.star_payments p "
        "JOIN ballast.star_subscription_periods d ON d.star_payment_id = p.id "
        "WHERE t.id IN (p.transfer_id, p.refund_transfer_id))) AND ((t.kind IN ('credit', 'star_payment', "
        "'provider_payment', 'provider_fee', 'exchange_got', 'reclassification')) <> (f.user_id IS NULL) "
        "OR (t.kind IN ('debit', 'star_refund', 'provider_refund', 'provider_fee', "
        "'payout', 'exchange_given', 'reclassification')) <> (g.user_id IS NULL)) ORDER BY t.id",
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
        "LEFT JOIN ballast.star_subscription_periods d ON d.star_payment_id = p.id "
        "LEFT JOIN ballast.system_accounts v ON v.name = 'subscriptions' AND v.currency = p.currency "
        "LEFT JOIN ballast.transfers t ON t.id = p.transfer_id "
        "LEFT JOIN ballast.transfers r ON r.id = p.refund_transfer_id "
        "WHERE greatest(p.transfer_id, p.refund_transfer_id) > ballast.proved_transfer "
        "AND (NOT coalesce(t.status = 'applied' AND t.kind = 'star_payment' AND t.amount = p.amount "
        "AND t.from_account_id = s.account_id "
        "AND t.to_account_id = CASE WHEN d.star_payment_id IS NULL THEN a.id ELSE v.account_id END "
        "AND t.idempotency_key = 'star_payment:' || p.charge_id, false) "
        "OR p.refund_transfer_id IS NOT NULL AND NOT coalesce(r.status = 'applied' AND r.kind = 'star_refund' "
        "AND r.amount = p.amount AND r.to_account_id = s.account_id "
        "AND r.from_account_id = CASE WHEN d.star_payment_id IS NULL THEN a.id ELSE v.account_id END "
        "AND r.idempotency_key = 'star_refund:' || p.charge_id, false)) "
        "UNION ALL SELECT format('transfer %s: no payment in Stars %s', t.id, t.idempotency_key) "
        "FROM ballast.new_transfers t WHERE t.status = 'applied' "
        "AND (t.kind IN ('star_payment', 'star_refund') OR EXISTS "
        "(SELECT FROM ballast.system_accounts s WHERE s.name = 'stars' "
        "AND s.account_id IN (t.from_account_id, t.to_account_id))) AND NOT EXISTS "
        "(SELECT FROM ballast.star_payments p WHERE t.id IN (p.transfer_id, p.refund_transfer_id))",
    ),
    Check(
        "each subscription is as its payments and changes say",
        "SELECT count(*) FROM ballast.star_subscriptions",
        "SELECT format('subscription %s: begun %s, until %s, version %s', s.id, s.begun_at, s.expires_at, s.version) "
        "FROM ballast.star_subscriptions s LEFT JOIN (SELECT d.subscription_id, min(p.paid_at) AS begun_at, "
        "max(d.ends_at) AS highest, max(d.ends_at) FILTER (WHERE p.refunded_at IS NULL) AS expires_at, "
        "bool_and(p.user_id = o.user_id AND p.payload = o.payload) AS fit FROM ballast.star_subscription_periods d "
        "JOIN ballast.star_payments p ON p.id = d.star_payment_id "
        "JOIN ballast.star_subscriptions o ON o.id = d.subscription_id GROUP BY d.subscription_id) d "
        "ON d.subscription_id = s.id LEFT JOIN (SELECT subscription_id, max(id) AS newest "
        "FROM ballast.star_subscription_changes GROUP BY subscription_id) c ON c.subscription_id = s.id "
        "WHERE s.begun_at IS DISTINCT FROM d.begun_at OR s.version IS DISTINCT FROM c.newest OR d.fit IS FALSE "
        "OR CASE WHEN d.expires_at IS NOT NULL THEN s.expires_at IS DISTINCT FROM d.expires_at "
        "ELSE coalesce(s.expires_at > d.highest, s.expires_at IS NOT NULL) END ORDER BY s.id",
    ),
    Check(
        "each payment by a provider has its transfers",
        "SELECT count(*) FROM ballast.provider_payments",
        "SELECT format('provider payment %s: transfer %s, refunded %s of %s, fee %s', p.id, p.transfer_id, p.refunded, "
        "p.paid, p.fee_transfer_id) FROM ballast.provider_payments p "
        "JOIN ballast.accounts a ON a.user_id = p.user_id AND a.currency = p.currency "
        "LEFT JOIN ballast.system_accounts s ON s.name = 'provider:' || p.provider AND s.currency = p.currency "
        "LEFT JOIN ballast.system_accounts o ON o.name = 'provider_fees' AND o.currency = p.currency "
        "LEFT JOIN ballast.transfers t ON t.id = p.transfer_id "
        "LEFT JOIN ballast.transfers f ON f.id = p.fee_transfer_id "
        "LEFT JOIN (SELECT r.provider_payment_id, sum(r.amount) AS amount, max(r.refunded) AS refunded, "
        "bool_and(coalesce(x.status = 'applied' AND x.kind = 'provider_refund' AND x.amount = r.amount, false)) AS fit "
        "FROM ballast.provider_refunds r LEFT JOIN ballast.transfers x ON x.id = r.transfer_id "
        "GROUP BY r.provider_payment_id) r ON r.provider_payment_id = p.id "
        "WHERE NOT coalesce(t.status = 'applied' AND t.kind = 'provider_payment' AND t.amount = p.amount "
        "AND t.from_account_id = s.account_id AND t.to_account_id = a.id "
        "AND t.idempotency_key = 'provider_payment:' || p.provider || ':' || p.payment_id, false) "
        "OR coalesce(r.amount, 0) <> CASE WHEN p.refunded = p.paid THEN p.amount "
        "ELSE div(p.amount::numeric * p.refunded, p.paid) END OR NOT coalesce(r.fit, true) "
        "OR (p.fee_transfer_id IS NOT NULL) <> (coalesce(round(p.amount::numeric * p.fee / p.paid), 0) > 0) "
        "OR p.fee_transfer_id IS NOT NULL AND NOT coalesce(f.status = 'applied' AND f.kind = 'provider_fee' "
        "AND f.from_account_id = o.account_id AND f.to_account_id = s.account_id "
        "AND f.amount = round(p.amount::numeric * p.fee / p.paid), false) "
        "UNION ALL SELECT format('provider payment %s: disputes take %s, %s taken', p.id, "
        "e.disputed, coalesce(s.amount, 0)) FROM ballast.provider_payments p "
        # As provider_disputed has it, which is of no use where the functions look into another schema.
        "CROSS JOIN LATERAL (SELECT least("
        "(SELECT coalesce(sum(div(p.amount::numeric * least(d.disputed, p.paid), p.paid)), 0) "
        "FROM ballast.provider_disputes d "
        "WHERE d.provider = p.provider AND d.payment_id = p.payment_id AND d.state <> 'won'), "
        "p.amount - (SELECT coalesce(sum(r.amount), 0) FROM ballast.provider_refunds r "
        "WHERE r.provider_payment_id = p.id)) "
        "AS disputed) e "
        "LEFT JOIN (SELECT s.provider_payment_id, sum(s.amount) AS amount, "
        "bool_and(coalesce(x.status = 'applied' AND x.amount = abs(s.amount) AND CASE WHEN s.amount > 0 "
        "THEN x.from_account_id = a.id AND x.to_account_id = o.account_id AND x.kind = 'provider_refund' "
        "ELSE x.from_account_id = o.account_id AND x.to_account_id = a.id AND x.kind = 'provider_payment' END, false)) "
        "AS fit FROM ballast.provider_dispute_steps s JOIN ballast.provider_payments p ON p.id = s.provider_payment_id "
        "JOIN ballast.accounts a ON a.user_id = p.user_id AND a.currency = p.currency "
        "LEFT JOIN ballast.system_accounts o ON o.name = 'provider:' || p.provider AND o.currency = p.currency "
        "LEFT JOIN ballast.transfers x ON x.id = s.transfer_id GROUP BY s.provider_payment_id) s "
        "ON s.provider_payment_id = p.id "
        "WHERE coalesce(s.amount, 0) <> e.disputed OR NOT coalesce(s.fit, true) "
        "UNION ALL SELECT format('transfer %s: no payment by a provider %s', t.id, t.idempotency_key) "
        "FROM ballast.new_transfers t WHERE t.status = 'applied' "
        "AND t.kind IN ('provider_payment', 'provider_refund', 'provider_fee') AND NOT EXISTS "
        "(SELECT FROM ballast.provider_payments p WHERE t.id IN (p.transfer_id, p.fee_transfer_id)) AND NOT EXISTS "
        "(SELECT FROM ballast.provider_refunds r WHERE r.transfer_id = t.id) AND NOT EXISTS "
        "(SELECT FROM ballast.provider_dispute_steps s WHERE s.transfer_id = t.id)",
    ),
    Check(
        "Telegram's book of Stars is the ledger's",
        "SELECT count(*) FROM ballast.star_book",
        star_book.OPEN_DIFFERENCES,
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
        "each reversal mirrors its transfer, up to its amount",
        "SELECT count(*) FROM ballast.transfers WHERE status = 'applied' AND kind = 'reversal'",
        "SELECT format('transfer %s: reverses %s', t.id, coalesce(r.reverses_id::text, 'nothing')) "
        "FROM ballast.transfers t LEFT JOIN ballast.reversals r ON r.transfer_id = t.id "
        "LEFT JOIN ballast.transfers o ON o.id = r.reverses_id "
        "WHERE t.status = 'applied' AND t.kind = 'reversal' AND NOT coalesce(o.status = 'applied' "
        "AND o.kind NOT IN ('star_payment', 'star_refund', 'provider_payment', 'provider_refund', 'provider_fee', "
        "'payout', 'reclassification', 'reversal') "
        "AND o.from_account_id = t.to_account_id "
        "AND o.to_account_id = t.from_account_id, false) "
        "UNION ALL SELECT format('transfer %s: %s is no reversal of it', r.reverses_id, r.transfer_id) "
        "FROM ballast.reversals r LEFT JOIN ballast.transfers t ON t.id = r.transfer_id "
        "WHERE NOT coalesce(t.status = 'applied' AND t.kind = 'reversal', false) "
        "UNION ALL SELECT format('transfer %s: %s of %s reversed', o.id, sum(t.amount), o.amount) "
        "FROM ballast.reversals r JOIN ballast.transfers t ON t.id = r.transfer_id "
        "JOIN ballast.transfers o ON o.id = r.reverses_id GROUP BY o.id, o.amount HAVING sum(t.amount) > o.amount",
    ),
    Check(
        "each confirmed adjustment has its transfer",
        "SELECT count(*) FROM ballast.pending_adjustments WHERE transfer_id IS NOT NULL",
        "SELECT format('pending adjustment %s: %s, transfer %s', p.id, p.status, p.transfer_id) FROM "
        "ballast.pending_adjustments p "
        "LEFT JOIN ballast.transfers t ON t.id = p.transfer_id "
        "LEFT JOIN ballast.accounts f ON f.id = t.from_account_id "
        "LEFT JOIN ballast.accounts g ON g.id = t.to_account_id "
        "WHERE (p.status = 'confirmed' OR p.transfer_id IS NOT NULL) "
        "AND coalesce(p.transfer_id > ballast.proved_transfer, true) AND NOT coalesce(t.amount = abs(p.amount) "
        "AND t.currency = p.currency AND t.idempotency_key = 'pending_adjustment:' || p.id "
        "AND t.actor = 'telegram:' || p.admin_id AND t.status = CASE p.status WHEN 'confirmed' THEN 'applied' "
        "WHEN 'failed' THEN 'rejected' END "
        "AND CASE WHEN p.amount > 0 THEN t.kind = 'credit' AND f.user_id IS NULL AND g.user_id = p.target_user_id "
        "ELSE t.kind = 'debit' AND g.user_id IS NULL AND f.user_id = p.target_user_id END, false) "
        "UNION ALL SELECT format('transfer %s: no pending adjustment %s', t.id, t.idempotency_key) FROM "
        "ballast.new_transfers t WHERE t.idempotency_key LIKE 'pending\\_adjustment:%' AND NOT EXISTS "
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

_WITHDRAWN = Check(
    "each withdrawal has its hold",
    "SELECT count(*) FROM ballast.withdrawals WHERE hold_id IS NOT NULL",
    "SELECT format('withdrawal %s: %s, hold %s %s, transfer %s', w.id, w.status, w.hold_id, h.status, h.transfer_id) "
    "FROM ballast.withdrawals w LEFT JOIN ballast.holds h ON h.id = w.hold_id "
    "LEFT JOIN ballast.accounts a ON a.id = h.account_id "
    "WHERE w.hold_id IS NOT NULL AND NOT coalesce(a.user_id = w.user_id AND h.amount = w.amount "
    "AND h.currency = w.currency AND h.expires_at IS NULL AND h.status = CASE w.status WHEN 'paid' THEN 'posted' "
    "WHEN 'returned' THEN 'voided' ELSE 'open' END, false) "
    "UNION ALL SELECT format('hold %s: no withdrawal %s', h.id, h.idempotency_key) FROM ballast.holds h "
    "WHERE h.status <> 'refused' AND h.idempotency_key ~ '^hold:withdrawal:\\d+$' AND NOT EXISTS "
    "(SELECT FROM ballast.withdrawals w WHERE w.hold_id = h.id)",
)
_PAID_OUT = Check(
    "the account payouts is what withdrawals paid out",
    "SELECT count(*) FROM ballast.withdrawals WHERE status = 'paid'",
    "SELECT format('withdrawal %s: transfer %s, %s of %s', w.id, t.id, t.kind, t.amount) FROM ballast.withdrawals w "
    "LEFT JOIN ballast.holds h ON h.id = w.hold_id LEFT JOIN ballast.transfers t ON t.id = h.transfer_id "
    "LEFT JOIN ballast.system_accounts s ON s.name = 'payouts' AND s.currency = w.currency "
    "WHERE w.status = 'paid' AND NOT coalesce(t.status = 'applied' AND t.kind = 'payout' AND t.amount = w.amount "
    "AND t.to_account_id = s.account_id, false) "
    "UNION ALL SELECT format('transfer %s: no withdrawal', t.id) FROM ballast.transfers t "
    "WHERE t.status = 'applied' AND t.kind = 'payout' AND NOT EXISTS (SELECT FROM ballast.holds h "
    "JOIN ballast.withdrawals w ON w.hold_id = h.id WHERE h.transfer_id = t.id AND w.status = 'paid')",
    "SELECT format('%s in payouts by payouts, %s paid out', p.amount, w.amount) FROM "
    "(SELECT coalesce(sum(t.amount), 0) AS amount FROM ballast.transfers t WHERE t.status = 'applied' "
    "AND t.kind = 'payout') p, (SELECT coalesce(sum(amount), 0) AS amount FROM ballast.withdrawals "
    "WHERE status = 'paid') w WHERE p.amount <> w.amount",
)

_EXCHANGED = Check(
    "each exchange has its two transfers at its rate",
    "SELECT count(*) FROM ballast.exchanges WHERE given_transfer_id > ballast.proved_transfer",
    "SELECT format('exchange %s: %s %s for %s %s, transfers %s and %s', x.id, x.got_amount, x.got_currency, "
    "x.given_amount, x.given_currency, x.given_transfer_id, x.got_transfer_id) FROM ballast.exchanges x "
    "JOIN ballast.exchange_rates r ON r.id = x.rate_id "
    "LEFT JOIN ballast.transfers g ON g.id = x.given_transfer_id "
    "LEFT JOIN ballast.transfers t ON t.id = x.got_transfer_id "
    "LEFT JOIN ballast.accounts p ON p.user_id = x.user_id AND p.currency = x.given_currency "
    "LEFT JOIN ballast.accounts o ON o.user_id = x.user_id AND o.currency = x.got_currency "
    "LEFT JOIN ballast.exchange_accounts i ON i.currency = x.given_currency "
    "LEFT JOIN ballast.exchange_accounts s ON s.currency = x.got_currency "
    "WHERE x.given_transfer_id > ballast.proved_transfer AND NOT coalesce("
    "(r.given_currency, r.got_currency) = (x.given_currency, x.got_currency) "
    "AND x.got_amount = div(x.given_amount * r.numerator, r.denominator) "
    "AND (g.status, g.kind, g.amount, g.from_account_id, g.to_account_id, g.idempotency_key) "
    "= ('applied', 'exchange_given', x.given_amount, p.id, i.account_id, 'exchange:' || x.id || ':given') "
    "AND (t.status, t.kind, t.amount, t.from_account_id, t.to_account_id, t.idempotency_key) "
    "= ('applied', 'exchange_got', x.got_amount, s.account_id, o.id, 'exchange:' || x.id || ':got'), false) "
    "UNION ALL SELECT format('transfer %s: no exchange', t.id) FROM ballast.new_transfers t "
    "WHERE t.status = 'applied' AND t.kind IN ('exchange_given', 'exchange_got') AND NOT EXISTS "
    "(SELECT FROM ballast.exchanges x WHERE t.id IN (x.given_transfer_id, x.got_transfer_id))",
)
_EXCHANGE_ACCOUNTS = Check(
    "each account of exchanges has the sum of its entries",
    "SELECT count(*) FROM ballast.exchange_accounts",
    "SELECT format('%s: %s, entries %s', a.currency, x.balance, coalesce(e.balance, 0)) FROM ballast.system_accounts a "
    "LEFT JOIN ballast.exchange_accounts x ON (x.currency, x.account_id) = (a.currency, a.account_id) "
    "LEFT JOIN (SELECT e.account_id, sum(e.amount) AS balance FROM ballast.entries e GROUP BY e.account_id) e "
    "ON e.account_id = a.account_id "
    "WHERE a.name = 'exchange' AND x.balance IS DISTINCT FROM coalesce(e.balance, 0)",
    "SELECT format('%s: %s, entries %s', a.currency, x.balance, d.balance + n.balance) FROM ballast.system_accounts a "
    "LEFT JOIN ballast.exchange_accounts x ON (x.currency, x.account_id) = (a.currency, a.account_id) "
    "CROSS JOIN LATERAL (SELECT coalesce(sum(d.credits - d.debits), 0) AS balance FROM ballast.ledger_days d "
    "WHERE d.currency = a.currency AND d.account = 'exchange') d "
    "CROSS JOIN LATERAL (SELECT coalesce(sum(e.amount), 0) AS balance FROM ballast.entries e "
    "WHERE e.id > (SELECT coalesce(max(s.entries_to), 0) FROM ballast.ledger_seals s) "
    "AND e.account_id = a.account_id) n "
    "WHERE a.name = 'exchange' AND x.balance IS DISTINCT FROM d.balance + n.balance",
)

_SEALED = Check(
    "what was sealed is as it was sealed",
    "SELECT count(*) FROM ballast.ledger_seals",
    "SELECT format('entries %s to %s and transfers %s to %s, sealed %s: whole at %s, not at %s', s.entries_from + 1, "
    "s.entries_to, s.transfers_from + 1, s.transfers_to, date_trunc('second', s.sealed_at AT TIME ZONE 'UTC'), "
    "date_trunc('second', greatest(s.sealed_at, c.whole_at, "
    "(SELECT max(p.created_at) FROM ballast.audit_proofs p WHERE p.is_full AND p.seal_id >= s.id), "
    "(SELECT min(p.created_at) FROM ballast.audit_proofs p WHERE p.seal_id >= s.id)) AT TIME ZONE 'UTC'), "
    "date_trunc('second', coalesce(c.broken_at, now()) AT TIME ZONE 'UTC')) "
    "FROM (SELECT *, lag(id, 1, 0::bigint) OVER w AS before_id, lag(hash, 1, '') OVER w AS before_hash, "
    "lag(entries_to, 1, 0::bigint) OVER w AS before_entries, "
    "lag(transfers_to, 1, 0::bigint) OVER w AS before_transfers "
    "FROM ballast.ledger_seals WINDOW w AS (ORDER BY id)) s "
    "LEFT JOIN ballast.seal_checks c ON c.seal_id = s.id "
    "LEFT JOIN (SELECT n.id, f.* FROM ballast.ledger_seals n CROSS JOIN LATERAL ballast.ledger_hash(n.previous_hash, "
    "n.entries_from, n.entries_to, n.transfers_from, n.transfers_to) f WHERE n.id > ballast.proved_seal) h "
    "ON h.id = s.id "
    "WHERE (s.id, s.previous_hash, s.entries_from, s.transfers_from) "
    "IS DISTINCT FROM (s.before_id + 1, s.before_hash, s.before_entries, s.before_transfers) "
    "OR s.id > ballast.proved_seal AND (h.r_hash, h.r_entries, h.r_transfers) "
    "IS DISTINCT FROM (s.hash, s.entries, s.transfers) "
    "OR s.id <= ballast.proved_seal AND c.broken_at IS NOT NULL ORDER BY s.id",
)
_TOTALS = Check(
    "daily totals are those of the sealed entries",
    "SELECT count(*) FROM ballast.ledger_days",
    "SELECT format('%s %s: totals %s %s, entries %s %s', currency, account, d.debits, d.credits, e.debits, e.credits) "
    "FROM (SELECT currency, account, sum(debits) AS debits, sum(credits) AS credits, sum(entries) AS entries "
    "FROM ballast.ledger_days GROUP BY currency, account) d FULL JOIN "
    "(SELECT a.currency, coalesce(s.name, 'users') AS account, sum(greatest(-e.amount, 0)) AS debits, "
    "sum(greatest(e.amount, 0)) AS credits, count(*) AS entries FROM ballast.entries e "
    "JOIN ballast.accounts a ON a.id = e.account_id LEFT JOIN ballast.system_accounts s ON s.account_id = a.id "
    "WHERE e.id <= (SELECT max(l.entries_to) FROM ballast.ledger_seals l) GROUP BY 1, 2) e USING (currency, account) "
    "WHERE (d.debits, d.credits, d.entries) IS DISTINCT FROM (e.debits, e.credits, e.entries)",
    "SELECT format('%s entries in the totals, %s sealed', d.entries, s.entries) FROM "
    "(SELECT coalesce(sum(entries), 0) AS entries FROM ballast.ledger_days) d, "
    "(SELECT coalesce(sum(entries), 0) AS entries FROM ballast.ledger_seals) s WHERE d.entries <> s.entries",
)
_LAST_PROOF_SQL = (
    "SELECT p.seal_id, s.entries_to, s.transfers_to, "
    "to_char(p.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), (SELECT to_char(max(f.created_at) AT TIME ZONE "
    "'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM ballast.audit_proofs f WHERE f.is_full), "
    "(SELECT sum(b.entries)::bigint FROM ballast.ledger_seals b WHERE b.id <= s.id), "
    "(SELECT sum(b.transfers)::bigint FROM ballast.ledger_seals b WHERE b.id <= s.id) "
    "FROM ballast.audit_proofs p JOIN ballast.ledger_seals s ON s.id = p.seal_id ORDER BY p.id DESC LIMIT 1"
)
_PROVE_SQL = "INSERT INTO ballast.audit_proofs (seal_id, is_full) VALUES (:seal, :is_full)"

_STRUCTURE = "the schema is what the migrations made"
_PRIVATE = "tables and functions are closed to others"
_KEPT = "what the last audit saw is still there"

CHECKS += (_WITHDRAWN, _PAID_OUT, _EXCHANGED, _EXCHANGE_ACCOUNTS, _SEALED, _TOTALS)

CHECK_NAMES: tuple[str, ...] = (*(check.name for check in CHECKS), _STRUCTURE, _PRIVATE, _KEPT)


@dataclass(frozen=True, slots=True)
class Proof:
    """How far a former audit proved the ledger: up to the end of a seal. Nothing, if that is to be read again.

    entries, transfers -- how many rows that were. at, full_at -- when it was proved last, and when all of it was read.
    """

    seal_id: int = 0
    entries_to: int = 0
    transfers_to: int = 0
    at: str | None = None
    full_at: str | None = None
    entries: int = 0
    transfers: int = 0

    def applied(self, sql: str) -> str:
        """A check's SQL, for what is not proved."""
        for name, table, proved in (
            (NEW_ENTRIES, "entries", self.entries_to),
            (NEW_TRANSFERS, "transfers", self.transfers_to),
        ):
            new = f"(SELECT * FROM ballast.{table} WHERE id > {proved})" if proved else f"ballast.{table}"  # noqa: S608
            sql = sql.replace(name, new)
        return sql.replace(PROVED, str(self.transfers_to)).replace(_PROVED_SEAL, str(self.seal_id))


def audit(
    url: str, schema: str | None = None, own_checks: Sequence[Check] = (), *, full: bool = True
) -> list[Finding]:
    """Run every check, and remember what was seen if all of Ballast's passed.

    schema -- BALLAST_SCHEMA. own_checks -- of apps, on the same moment; one that cannot be run has not passed.
    full -- False: do not read again what is sealed and was proved by a former audit. Where nothing was, all is read.
    Raises SQLAlchemy's errors where the database is unavailable or was never migrated.
    """
    engine = pool.single(url, application_name="ballast audit", schema=schema)
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with snapshot.begin() as connection:
        connection.execute(
            text("SELECT set_config('statement_timeout', :limit, true)"), {"limit": _STATEMENT_TIMEOUT}
        )
        proof = Proof() if full else _last_proof(connection, schema)
        findings = [_run(connection, check, schema, proof) for check in CHECKS]
        theirs = [_run_own(connection, check, schema) for check in own_checks]
        sealed = connection.exec_driver_sql(qualified(_NEWEST_SEAL_SQL, schema)).scalar_one()
        revision, newest = migrate.current_revision(connection, schema), migrate.newest_revision()
        if revision != newest:
            why = f"the schema is at revision {revision}, this release expects {newest}: migrate first"
            skipped = [Finding(name, 0, 0, (), why) for name in (_STRUCTURE, _PRIVATE, _KEPT)]
            return [*findings, *skipped, *theirs]
        findings.append(_finding(_STRUCTURE, _parts(), structure.differences(connection, schema)))
        findings.append(_finding(_PRIVATE, _parts(), privileges.open_to_others(connection, schema)))
        seen = {table: _seen(connection, schema, table, proof) for table in KEPT_TABLES}
        gone = _gone(connection, schema, proof)
        findings.append(_finding(_KEPT, sum(count for _, count in seen.values()), gone))
    if all(finding.ok for finding in findings):
        _remember(engine, schema, seen)
        if sealed > proof.seal_id:
            _write(engine, schema, _PROVE_SQL, [{"seal": sealed, "is_full": not proof.seal_id}])
    return [*findings, *theirs]


def _last_proof(connection: Connection, schema: str | None) -> Proof:
    row = connection.exec_driver_sql(qualified(_LAST_PROOF_SQL, schema)).first()
    return Proof() if row is None else Proof(*row)


def _run(connection: Connection, check: Check, schema: str | None, proof: Proof) -> Finding:
    # no_parameters: the queries' percent signs are SQL's.
    plain = connection.execution_options(no_parameters=True)
    offenders = check.incremental if proof.seal_id and check.incremental else check.offenders
    counted = plain.exec_driver_sql(qualified(proof.applied(check.counted), schema)).scalar_one()
    wrong = [str(row[0]) for row in plain.exec_driver_sql(qualified(proof.applied(offenders), schema))]
    finding = _finding(check.name, counted, wrong)
    return replace(finding, note=_what_was_not_read(proof)) if check is _SEALED and proof.seal_id else finding


def _what_was_not_read(proof: Proof) -> str:
    return (
        f"{proof.entries:,} entries up to id {proof.entries_to:,} were proved at {proof.at} UTC and not read again; "
        f"the last full audit was at {proof.full_at}. --full reads them now"
    )


def _run_own(connection: Connection, check: Check, schema: str | None) -> Finding:
    try:
        with connection.begin_nested():
            return _run(connection, check, schema, Proof())
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return _finding(check.name, 0, [" ".join(str(error.orig).split())])


def _finding(name: str, counted: int, wrong: Sequence[str]) -> Finding:
    return Finding(name, counted, len(wrong), tuple(wrong[:OFFENDERS_SHOWN]))


def _parts() -> int:
    wanted = structure.expected()
    return len(wanted.functions) + len(wanted.triggers) + len(wanted.constraints) + len(wanted.indexes)


def _seen(connection: Connection, schema: str | None, table: str, proof: Proof) -> tuple[int, int]:
    """The newest id and how many rows there are; of proved ones how many there were."""
    after, before = _proved_rows(table, proof)
    statement = f"SELECT coalesce(max(id), {after}), count(*) FROM ballast.{table} WHERE id > {after}"  # noqa: S608
    row = connection.exec_driver_sql(qualified(statement, schema)).one()
    return row[0], row[1] + before


def _proved_rows(table: str, proof: Proof) -> tuple[int, int]:
    """Up to which id, and how many."""
    proved = {
        "entries": (proof.entries_to, proof.entries),
        "transfers": (proof.transfers_to, proof.transfers),
    }
    return proved.get(table, (0, 0))


def _gone(connection: Connection, schema: str | None, proof: Proof) -> list[str]:
    """What the last audit saw and is not there now. A transfer with an older id may have been committed since, so
    more is no fault.
    """
    gone = []
    for table, newest_id, row_count in connection.execute(
        text(qualified(_LAST_SEEN_SQL, schema)),
        {"tables": list(KEPT_TABLES)},
    ).all():
        after, before = _proved_rows(table, proof)
        statement = f"SELECT count(*) FROM ballast.{table} WHERE id > :after AND id <= :newest"  # noqa: S608
        found = connection.execute(
            text(qualified(statement, schema)), {"after": after, "newest": newest_id}
        ).scalar_one()
        now = found + before
        if now < row_count:
            gone.append(f"{table}: {row_count:,} rows up to id {newest_id} at the last audit, {now:,} now")
    return gone


def _remember(engine: Engine, schema: str | None, seen: dict[str, tuple[int, int]]) -> None:
    rows = [{"table": table, "newest": newest, "count": count} for table, (newest, count) in seen.items()]
    _write(engine, schema, _REMEMBER_SQL, rows)


def _write(engine: Engine, schema: str | None, statement: str, rows: list[dict[str, Any]]) -> None:
    """On a server or by a role that cannot write, the audit proves what it proves and leaves no trace."""
    try:
        with engine.begin() as connection:
            connection.execute(text(qualified(statement, schema)), rows)
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) not in {"25006", "42501"}:  # read-only; no right to
            raise
