"""Which files an export has, and the query of each. docs/export.md lists the columns; a test compares."""

# ruff: noqa: S608  what is put into the queries are numbers and the currency

from __future__ import annotations

from dataclasses import dataclass

from dbcore.currencies import Currencies, Currency


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file. summed -- the column whose sums are in the manifest, by currency."""

    name: str
    query: str
    summed: str | None = None


def time(column: str, name: str) -> str:
    """A time in UTC, as ISO 8601."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS {name}"""


def money(column: str, name: str, currencies: Currencies, *, currency: str) -> str:
    """Minor units as an exact amount with its currency's decimals, as text: JSON has only floats.

    currency -- the column of its code. Of one that the bot no longer has it is minor units.
    """
    if len(currencies) == 1:
        return f"{_in_units(column, currencies.first.exponent)} AS {name}"
    cases = " ".join(f"WHEN '{each.code}' THEN {_in_units(column, each.exponent)}" for each in currencies)
    return f"CASE {currency} {cases} ELSE ({column})::text END AS {name}"


def _in_units(column: str, exponent: int) -> str:
    return f"({column}::numeric / {10**exponent})::numeric(30, {exponent})::text"


def profile_columns(first: Currency) -> str:
    """Of `users u` and, if there is one, their account `a`. `ballast import` reads them under these names."""
    balance = _in_units("coalesce(a.balance, 0)", first.exponent)
    return f"""u.telegram_id, {balance} AS balance, u.username, u.first_name,
        u.language_code, u.language AS chosen_language, u.time_zone AS chosen_time_zone,
        {time("u.created_at", "registered_at")},
        {time("nullif(u.last_seen_at, 'epoch')", "last_seen_at")}, u.status,
        u.broadcasts_stopped_at IS NOT NULL AS broadcasts_stopped,
        {time("u.broadcasts_stopped_at", "broadcasts_stopped_at")}"""


def export_files(currencies: Currencies) -> tuple[ExportFile, ...]:
    """Their codes are made of capitals and digits. Users' balances are in the first."""

    def amount(column: str, name: str = "amount", *, currency: str | None = None) -> str:
        return money(column, name, currencies, currency=currency or f"{column.partition('.')[0]}.currency")

    return (
        ExportFile(
            "users",
            f"SELECT {profile_columns(currencies.first)} FROM ballast.users u LEFT JOIN ballast.accounts a "
            f"ON a.user_id = u.id AND a.currency = '{currencies.first.code}' ORDER BY u.id",
            "balance",
        ),
        ExportFile(
            "accounts",
            f"SELECT a.id AS account_id, u.telegram_id, s.name AS system_account, a.currency, "
            f"{amount('a.balance', 'balance')}, {amount('a.held', 'held')}, a.version, "
            "a.sending_frozen, a.receiving_frozen, "
            f"{time('a.created_at', 'created_at')} FROM ballast.accounts a LEFT JOIN ballast.users u "
            "ON u.id = a.user_id LEFT JOIN ballast.system_accounts s ON s.account_id = a.id ORDER BY a.id",
            "balance",
        ),
        ExportFile(
            "transfers",
            "SELECT t.id, t.idempotency_key, f.telegram_id AS from_telegram_id, g.telegram_id AS to_telegram_id, "
            f"{amount('t.amount')}, t.currency, t.kind, t.status, t.reason, t.memo, t.actor, "
            f"{time('t.created_at', 'created_at')} FROM ballast.transfers t "
            "LEFT JOIN ballast.accounts fa ON fa.id = t.from_account_id LEFT JOIN ballast.users f ON f.id = fa.user_id "
            "LEFT JOIN ballast.accounts ga ON ga.id = t.to_account_id LEFT JOIN ballast.users g ON g.id = ga.user_id "
            "ORDER BY t.id",
            "amount",
        ),
        ExportFile(
            "reversals",
            f"SELECT id, transfer_id, reverses_id, {time('created_at', 'created_at')} FROM ballast.reversals "
            "ORDER BY id",
        ),
        ExportFile(
            "entries",
            f"SELECT e.id, e.transfer_id, u.telegram_id, {amount('e.amount', currency='a.currency')}, a.currency, "
            f"{amount('e.balance_after', 'balance_after', currency='a.currency')}, e.account_version, t.kind, t.memo, "
            f"{time('t.created_at', 'made_at')} FROM ballast.entries e JOIN ballast.accounts a ON a.id = e.account_id "
            "JOIN ballast.users u ON u.id = a.user_id JOIN ballast.transfers t ON t.id = e.transfer_id ORDER BY e.id",
            "amount",
        ),
        ExportFile(
            "pending_transfers",
            "SELECT p.id, s.telegram_id AS sender_telegram_id, r.telegram_id AS recipient_telegram_id, "
            f"{amount('p.amount')}, p.currency, p.memo, p.status, p.reason, p.transfer_id, "
            f"{time('p.created_at', 'created_at')}, {time('p.expires_at', 'expires_at')}, "
            f"{time('p.decided_at', 'decided_at')} FROM ballast.pending_transfers p "
            "JOIN ballast.users s ON s.id = p.sender_user_id LEFT JOIN ballast.users r ON r.id = p.recipient_user_id "
            "ORDER BY p.id",
        ),
        ExportFile(
            "pending_adjustments",
            f"SELECT p.id, p.admin_id, u.telegram_id, {amount('p.amount')}, p.currency, p.memo, p.status, p.reason, "
            f"p.transfer_id, {time('p.created_at', 'created_at')}, {time('p.expires_at', 'expires_at')}, "
            f"{time('p.decided_at', 'decided_at')} FROM ballast.pending_adjustments p "
            "LEFT JOIN ballast.users u ON u.id = p.target_user_id ORDER BY p.id",
        ),
        ExportFile(
            "payments",
            "SELECT id, kind, charge_id, telegram_id, amount AS minor_units, currency, payload, "
            f"{time('said_at', 'said_at')}, {time('created_at', 'created_at')}, details "
            "FROM ballast.payment_events ORDER BY id",
        ),
        ExportFile(
            "star_payments",
            f"SELECT p.id, p.charge_id, u.telegram_id, p.stars, {amount('p.amount')}, p.currency, p.payload, "
            f"p.transfer_id, {time('p.paid_at', 'paid_at')}, p.refund_transfer_id, "
            f"{time('p.refunded_at', 'refunded_at')}, {time('p.created_at', 'created_at')} "
            "FROM ballast.star_payments p JOIN ballast.users u ON u.id = p.user_id ORDER BY p.id",
            "amount",
        ),
        ExportFile(
            "star_subscriptions",
            "SELECT s.id, u.telegram_id, s.plan, s.stars, s.payload, s.renewal, s.cancelled_by_bot, s.wanted, "
            f"{time('s.begun_at', 'begun_at')}, {time('s.expires_at', 'expires_at')}, "
            f"{time('s.ended_at', 'ended_at')}, {time('s.created_at', 'created_at')} "
            "FROM ballast.star_subscriptions s JOIN ballast.users u ON u.id = s.user_id ORDER BY s.id",
        ),
        ExportFile(
            "star_subscription_periods",
            f"SELECT d.star_payment_id, d.subscription_id, {time('d.ends_at', 'ends_at')} "
            "FROM ballast.star_subscription_periods d ORDER BY d.star_payment_id",
        ),
        ExportFile(
            "star_subscription_changes",
            "SELECT c.id, c.subscription_id, c.change, c.actor, "
            f"{time('c.expires_at', 'expires_at')}, {time('c.created_at', 'created_at')} "
            "FROM ballast.star_subscription_changes c ORDER BY c.id",
        ),
        ExportFile(
            "star_reports",
            f"SELECT id, kind, telegram_id, what, stars, {time('said_at', 'said_at')}, "
            f"{time('created_at', 'created_at')} FROM ballast.star_reports ORDER BY id",
        ),
        ExportFile(
            "provider_payments",
            "SELECT p.id, p.provider, p.payment_id, u.telegram_id, p.paid AS paid_minor_units, p.paid_currency, "
            f"{amount('p.amount')}, p.currency, p.refunded AS refunded_minor_units, p.fee AS fee_minor_units, "
            "p.transfer_id, p.fee_transfer_id, "
            f"{time('p.paid_at', 'paid_at')}, {time('p.created_at', 'created_at')} "
            "FROM ballast.provider_payments p JOIN ballast.users u ON u.id = p.user_id ORDER BY p.id",
            "amount",
        ),
        ExportFile(
            "holds",
            f"SELECT h.id, h.idempotency_key, u.telegram_id, {amount('h.amount')}, h.currency, h.memo, h.actor, "
            f"h.status, h.reason, {amount('h.posted_amount', 'posted_amount')}, h.transfer_id, "
            f"{time('h.created_at', 'created_at')}, {time('h.expires_at', 'expires_at')}, "
            f"{time('h.ended_at', 'ended_at')} FROM ballast.holds h "
            "LEFT JOIN ballast.accounts a ON a.id = h.account_id LEFT JOIN ballast.users u ON u.id = a.user_id "
            "ORDER BY h.id",
            "amount",
        ),
        ExportFile(
            "withdrawals",
            f"SELECT w.id, u.telegram_id, {amount('w.amount')}, w.currency, w.adapter, w.destination, "
            "w.pays AS pays_minor_units, w.pays_currency, w.status, w.reason, w.hold_id, w.word_by AS approved_by, "
            f"w.attempts, w.reference, {time('w.created_at', 'created_at')}, {time('w.decided_at', 'decided_at')}, "
            f"{time('w.ended_at', 'ended_at')} "
            "FROM ballast.withdrawals w JOIN ballast.users u ON u.id = w.user_id ORDER BY w.id",
            "amount",
        ),
        ExportFile(
            "exchange_rates",
            f"SELECT id, given_currency, got_currency, rate::text AS rate, actor, {time('created_at', 'created_at')} "
            "FROM ballast.exchange_rates ORDER BY id",
        ),
        ExportFile(
            "exchanges",
            "SELECT x.id, u.telegram_id, "
            f"{amount('x.given_amount', 'given_amount', currency='x.given_currency')}, x.given_currency, "
            f"{amount('x.got_amount', 'got_amount', currency='x.got_currency')}, x.got_currency, x.rate_id, x.status, "
            f"x.reason, x.given_transfer_id, x.got_transfer_id, {time('x.created_at', 'created_at')}, "
            f"{time('x.decided_at', 'decided_at')} "
            "FROM ballast.exchanges x JOIN ballast.users u ON u.id = x.user_id ORDER BY x.id",
        ),
        ExportFile(
            "broadcasts",
            "SELECT id, status, payload, segment, actor, paid, audience, sent, blocked, failed, unknown, "
            "halted_reason, "
            f"{time('scheduled_for', 'scheduled_for')}, {time('created_at', 'created_at')}, "
            f"{time('started_at', 'started_at')}, {time('finished_at', 'finished_at')} "
            "FROM ballast.broadcasts ORDER BY id",
        ),
        ExportFile(
            "broadcast_deliveries",
            f"SELECT broadcast_id, telegram_id, status, message_id, error, {time('updated_at', 'updated_at')} "
            "FROM ballast.broadcast_deliveries ORDER BY broadcast_id, user_id",
        ),
        ExportFile(
            "failed_jobs",
            "SELECT id, reference, job_id, kind, telegram_id, error, status, "
            f"{time('created_at', 'created_at')}, {time('resolved_at', 'resolved_at')}, payload "
            "FROM ballast.failed_operations ORDER BY id",
        ),
        ExportFile(
            "queued_jobs",
            f"SELECT id, kind, telegram_id, key, {time('created_at', 'created_at')}, payload "
            "FROM ballast.outbox ORDER BY id",
        ),
        ExportFile(
            "admin_actions",
            f"SELECT id, actor, action, target, outcome, reason, before, after, {time('created_at', 'created_at')} "
            "FROM ballast.admin_actions ORDER BY id",
        ),
    )
