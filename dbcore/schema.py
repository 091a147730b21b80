"""The tables as SQLAlchemy Core knows them. Migrations make them; a test holds the two against each other.

Money moves through the SQL functions in `migrations/sql/`, and in an import through the statements in
`importing/booking_sql.py`. So these tables are for reading, reports, tests, and for tables of your own that refer to
them. Their schema is called `ballast` here; our engines translate it to BALLAST_SCHEMA (qualified_names.py).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, TIMESTAMP

from dbcore.qualified_names import SCHEMA

MAX_BALANCE = 10**18
"""No account holds more, so that a balance plus the largest amount still fits a BIGINT."""

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
    },
)


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _time(name: str, *, nullable: bool = False, default_now: bool = True) -> Column[object]:
    default = func.now() if default_now else None
    return Column(name, TIMESTAMP(timezone=True), nullable=nullable, server_default=default)


def _check(name: str, condition: str) -> CheckConstraint:
    return CheckConstraint(condition, name=name)


users = Table(
    "users",
    metadata,
    _id(),
    Column("telegram_id", BigInteger, nullable=False, unique=True),
    Column("username", Text),
    Column("first_name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="active"),
    _time("created_at"),
    _time("last_seen_at"),
    Column("language_code", Text),
    _time("broadcasts_stopped_at", nullable=True, default_now=False),
    Column("strikes", SmallInteger, nullable=False, server_default="0"),
    Column("language", Text),
    Column("time_zone", Text),
    _check("users_status_known", "status IN ('active', 'blocked', 'deactivated')"),
)
Index("users_username_idx", func.lower(users.c.username))

accounts = Table(
    "accounts",
    metadata,
    _id(),
    Column("user_id", BigInteger, ForeignKey("users.id")),
    Column("currency", Text, nullable=False),
    Column("balance", BigInteger),
    Column("version", BigInteger),
    Column("floor", BigInteger, nullable=False, server_default="0"),
    _time("created_at"),
    Column("held", BigInteger, nullable=False, server_default="0"),
    Column("sending_frozen", Boolean, nullable=False, server_default="false"),
    Column("receiving_frozen", Boolean, nullable=False, server_default="false"),
    UniqueConstraint("id", "currency"),
    UniqueConstraint("user_id", "currency"),
    _check(
        "accounts_house_keeps_no_balance",
        "(user_id IS NULL) = (balance IS NULL) AND (user_id IS NULL) = (version IS NULL)",
    ),
    _check("accounts_balance_within_bounds", f"balance >= floor AND balance <= {MAX_BALANCE}"),
    _check("accounts_version_counts_up", "version >= 0"),
    _check(
        "accounts_held_within_balance",
        "held >= 0 AND (user_id IS NOT NULL OR held = 0) AND balance - held >= floor",
    ),
)

system_accounts = Table(
    "system_accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("account_id", BigInteger, nullable=False, unique=True),
    ForeignKeyConstraint(
        ["account_id", "currency"], ["accounts.id", "accounts.currency"], name="system_accounts_account_fkey"
    ),
    _check(
        "system_accounts_name_known",
        "name IN ('house', 'stars', 'opening', 'adjustments', 'promo', 'provider_fees', 'payouts', 'subscriptions', "
        "'exchange') "
        "OR name ~ '^provider:[a-z][a-z0-9_]{0,19}$'",
    ),
)

transfers = Table(
    "transfers",
    metadata,
    _id(),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("fingerprint", Text, nullable=False),
    Column("from_account_id", BigInteger),
    Column("to_account_id", BigInteger),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("refused_balance", BigInteger),
    Column("memo", Text, nullable=False),
    Column("actor", Text, nullable=False),
    _time("created_at"),
    ForeignKeyConstraint(
        ["from_account_id", "currency"],
        ["accounts.id", "accounts.currency"],
        name="transfers_from_account_fkey",
    ),
    ForeignKeyConstraint(
        ["to_account_id", "currency"], ["accounts.id", "accounts.currency"], name="transfers_to_account_fkey"
    ),
    _check("transfers_amount_within_bounds", "amount > 0 AND amount <= 1000000000000000"),
    _check("transfers_status_known", "status IN ('applied', 'rejected')"),
    _check("transfers_refusal_has_reason", "(status = 'rejected') = (reason IS NOT NULL)"),
    _check(
        "transfers_applied_has_accounts",
        "status <> 'applied' OR coalesce(from_account_id <> to_account_id, false)",
    ),
)

reversals = Table(
    "reversals",
    metadata,
    _id(),
    Column("transfer_id", BigInteger, ForeignKey("transfers.id"), nullable=False, unique=True),
    Column("reverses_id", BigInteger, ForeignKey("transfers.id"), nullable=False),
    _time("created_at"),
    _check("reversals_reverses_an_earlier_one", "reverses_id < transfer_id"),
)
Index("reversals_reverses_id_idx", reversals.c.reverses_id)

entries = Table(
    "entries",
    metadata,
    _id(),
    Column("transfer_id", BigInteger, ForeignKey("transfers.id"), nullable=False),
    Column("account_id", BigInteger, ForeignKey("accounts.id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("balance_after", BigInteger),
    Column("account_version", BigInteger),
    UniqueConstraint("transfer_id", "account_id"),
    UniqueConstraint("account_id", "account_version"),
    _check("entries_amount_moves_something", "amount <> 0"),
    _check("entries_version_with_balance", "(balance_after IS NULL) = (account_version IS NULL)"),
    _check("entries_version_counts_up", "account_version >= 1"),
)

pending_transfers = Table(
    "pending_transfers",
    metadata,
    _id(),
    Column("token", Text, nullable=False, unique=True),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("fingerprint", Text, nullable=False),
    Column("sender_user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("recipient_user_id", BigInteger, ForeignKey("users.id")),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("memo", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("sender_balance", BigInteger, nullable=False),
    Column("decided_key", Text),
    Column("transfer_id", BigInteger, ForeignKey("transfers.id"), unique=True),
    _time("created_at"),
    _time("expires_at", default_now=False),
    _time("decided_at", nullable=True, default_now=False),
    _check("pending_transfers_amount_within_bounds", "amount > 0 AND amount <= 1000000000000000"),
    _check(
        "pending_transfers_status_known",
        "status IN ('refused', 'pending', 'confirmed', 'failed', 'cancelled', 'expired')",
    ),
    _check(
        "pending_transfers_refusal_has_reason", "(status IN ('refused', 'failed')) = (reason IS NOT NULL)"
    ),
    _check(
        "pending_transfers_transfer_iff_confirmed",
        "(status IN ('confirmed', 'failed')) = (transfer_id IS NOT NULL)",
    ),
    _check("pending_transfers_recipient_known", "status = 'refused' OR recipient_user_id IS NOT NULL"),
    _check(
        "pending_transfers_decision_has_key",
        "(status IN ('refused', 'pending')) = (decided_key IS NULL) "
        "AND (decided_key IS NULL) = (decided_at IS NULL)",
    ),
)

pending_adjustments = Table(
    "pending_adjustments",
    metadata,
    _id(),
    Column("token", Text, nullable=False, unique=True),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("fingerprint", Text, nullable=False),
    Column("admin_id", BigInteger, nullable=False),
    Column("target_user_id", BigInteger, ForeignKey("users.id")),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("memo", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("target_balance", BigInteger),
    Column("decided_key", Text),
    Column("transfer_id", BigInteger, ForeignKey("transfers.id"), unique=True),
    _time("created_at"),
    _time("expires_at", default_now=False),
    _time("decided_at", nullable=True, default_now=False),
    _check(
        "pending_adjustments_amount_within_bounds",
        "amount <> 0 AND amount >= -1000000000000000 AND amount <= 1000000000000000",
    ),
    _check(
        "pending_adjustments_status_known",
        "status IN ('refused', 'pending', 'confirmed', 'failed', 'cancelled', 'expired')",
    ),
    _check(
        "pending_adjustments_refusal_has_reason", "(status IN ('refused', 'failed')) = (reason IS NOT NULL)"
    ),
    _check(
        "pending_adjustments_transfer_of_confirmed",
        "CASE status WHEN 'confirmed' THEN transfer_id IS NOT NULL WHEN 'failed' THEN true "
        "ELSE transfer_id IS NULL END",
    ),
    _check(
        "pending_adjustments_target_known",
        "status = 'refused' OR target_user_id IS NOT NULL AND target_balance IS NOT NULL",
    ),
    _check(
        "pending_adjustments_decision_has_key",
        "(status IN ('refused', 'pending')) = (decided_key IS NULL) "
        "AND (decided_key IS NULL) = (decided_at IS NULL)",
    ),
)
Index(
    "pending_adjustments_day_idx",
    pending_adjustments.c.admin_id,
    pending_adjustments.c.currency,
    pending_adjustments.c.decided_at,
    postgresql_where=text("status = 'confirmed'"),
)

payment_events = Table(
    "payment_events",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    Column("charge_id", Text, nullable=False),
    Column("telegram_id", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("details", JSONB, nullable=False),
    Column("recorded_by", Text, nullable=False),
    _time("said_at", default_now=False),
    _time("created_at"),
    UniqueConstraint("charge_id", "kind"),
    _check("payment_events_kind_known", "kind IN ('paid', 'refunded')"),
)

star_payments = Table(
    "star_payments",
    metadata,
    _id(),
    Column("charge_id", Text, nullable=False, unique=True),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("stars", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("transfer_id", BigInteger, ForeignKey("transfers.id"), nullable=False, unique=True),
    _time("paid_at", default_now=False),
    Column("refund_transfer_id", BigInteger, ForeignKey("transfers.id"), unique=True),
    _time("refunded_at", nullable=True, default_now=False),
    _time("created_at"),
    _check("star_payments_moves_something", "stars > 0 AND amount > 0"),
    _check("star_payments_refund_has_time", "(refund_transfer_id IS NULL) = (refunded_at IS NULL)"),
)

star_subscriptions = Table(
    "star_subscriptions",
    metadata,
    _id(),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("plan", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("stars", BigInteger, nullable=False),
    _time("begun_at", nullable=True, default_now=False),
    _time("expires_at", nullable=True, default_now=False),
    Column("renewal", Text, nullable=False, server_default="on"),
    _time("renewal_at", default_now=False),
    Column("cancelled_by_bot", Boolean, nullable=False, server_default="false"),
    _time("ended_at", nullable=True, default_now=False),
    Column("wanted", Text),
    Column("wanted_key", Text),
    Column("wanted_by", Text),
    _time("due_at", nullable=True, default_now=False),
    Column("refusal", Text),
    Column("version", BigInteger, nullable=False, server_default="0"),
    _time("created_at"),
    UniqueConstraint("user_id", "payload", name="star_subscriptions_invoice_key"),
    _check("star_subscriptions_costs_something", "stars > 0"),
    _check("star_subscriptions_renewal_known", "renewal IN ('on', 'cancelled', 'failed')"),
    _check("star_subscriptions_wanted_known", "wanted IN ('cancelled', 'allowed')"),
    _check(
        "star_subscriptions_wanted_by_somebody",
        "(wanted IS NULL) = (wanted_key IS NULL) AND (wanted IS NULL) = (wanted_by IS NULL) "
        "AND (wanted IS NULL) = (due_at IS NULL)",
    ),
)
Index(
    "star_subscriptions_open_idx",
    star_subscriptions.c.expires_at,
    postgresql_where=text("ended_at IS NULL"),
)
Index("star_subscriptions_due_idx", star_subscriptions.c.due_at, postgresql_where=text("due_at IS NOT NULL"))

star_subscription_periods = Table(
    "star_subscription_periods",
    metadata,
    Column("star_payment_id", BigInteger, ForeignKey("star_payments.id"), primary_key=True),
    Column("subscription_id", BigInteger, ForeignKey("star_subscriptions.id"), nullable=False),
    _time("ends_at", default_now=False),
)
Index(
    "star_subscription_periods_subscription_idx",
    star_subscription_periods.c.subscription_id,
    star_subscription_periods.c.ends_at,
)

star_subscription_changes = Table(
    "star_subscription_changes",
    metadata,
    _id(),
    Column("subscription_id", BigInteger, ForeignKey("star_subscriptions.id"), nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("change", Text, nullable=False),
    Column("actor", Text, nullable=False),
    _time("expires_at", nullable=True, default_now=False),
    Column("created_at", TIMESTAMP(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    _check(
        "star_subscription_changes_change_known",
        "change IN ('begun', 'renewed', 'cancelled', 'resumed', 'failed', 'refunded', 'expired', "
        "'asked_cancelled', 'asked_allowed', 'allowed', 'refused')",
    ),
)
Index(
    "star_subscription_changes_subscription_idx",
    star_subscription_changes.c.subscription_id,
    star_subscription_changes.c.id,
)

star_reports = Table(
    "star_reports",
    metadata,
    _id(),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("telegram_id", BigInteger, nullable=False),
    Column("what", Text, nullable=False),
    Column("stars", BigInteger),
    _time("said_at", default_now=False),
    _time("created_at"),
    _check("star_reports_kind_known", "kind IN ('paid_media', 'gift', 'unique_gift')"),
)

provider_payments = Table(
    "provider_payments",
    metadata,
    _id(),
    Column("provider", Text, nullable=False),
    Column("payment_id", Text, nullable=False),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("paid", BigInteger, nullable=False),
    Column("paid_currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("refunded", BigInteger, nullable=False, server_default="0"),
    Column("fee", BigInteger),
    Column("transfer_id", BigInteger, ForeignKey("transfers.id"), nullable=False, unique=True),
    Column("fee_transfer_id", BigInteger, ForeignKey("transfers.id"), unique=True),
    Column("recorded_by", Text, nullable=False),
    _time("paid_at", default_now=False),
    _time("created_at"),
    UniqueConstraint("provider", "payment_id"),
    _check("provider_payments_moves_something", "paid > 0 AND amount > 0"),
    _check("provider_payments_refunded_within", "refunded BETWEEN 0 AND paid"),
    _check("provider_payments_fee_not_negative", "fee >= 0"),
)

provider_refunds = Table(
    "provider_refunds",
    metadata,
    _id(),
    Column("transfer_id", BigInteger, ForeignKey("transfers.id"), nullable=False, unique=True),
    Column("provider_payment_id", BigInteger, ForeignKey("provider_payments.id"), nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("recorded_by", Text, nullable=False),
    _time("created_at"),
    UniqueConstraint("provider_payment_id", "refunded", name="provider_refunds_step_key"),
)

provider_events = Table(
    "provider_events",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("mark", Text, nullable=False),
    Column("payment", JSONB, nullable=False),
    Column("recorded_by", Text, nullable=False),
    _time("contradicted_at", nullable=True, default_now=False),
    _time("created_at"),
    Column("problem", Text),
    _check("provider_events_problem_known", "problem IN ('contradicted', 'not_as_asked', 'refused')"),
)
Index(
    "provider_events_created_at_idx",
    provider_events.c.created_at,
    postgresql_where=text("problem IS NULL"),
)
Index(
    "provider_events_problem_idx",
    provider_events.c.created_at,
    postgresql_where=text("problem IS NOT NULL"),
)

provider_disputes = Table(
    "provider_disputes",
    metadata,
    _id(),
    Column("provider", Text, nullable=False),
    Column("dispute_id", Text, nullable=False),
    Column("payment_id", Text, nullable=False),
    Column("disputed", BigInteger, nullable=False),
    Column("paid_currency", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("recorded_by", Text, nullable=False),
    _time("created_at"),
    UniqueConstraint("provider", "dispute_id"),
    _check("provider_disputes_state_known", "state IN ('open', 'won', 'lost')"),
    _check("provider_disputes_is_about_something", "disputed > 0"),
)
Index("provider_disputes_payment_idx", provider_disputes.c.provider, provider_disputes.c.payment_id)

provider_dispute_steps = Table(
    "provider_dispute_steps",
    metadata,
    _id(),
    Column("transfer_id", BigInteger, ForeignKey("transfers.id"), nullable=False, unique=True),
    Column("provider_payment_id", BigInteger, ForeignKey("provider_payments.id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("recorded_by", Text, nullable=False),
    _time("created_at"),
    _check("provider_dispute_steps_moves_something", "amount <> 0"),
)
Index("provider_dispute_steps_payment_idx", provider_dispute_steps.c.provider_payment_id)

provider_reconciliations = Table(
    "provider_reconciliations",
    metadata,
    _id(),
    Column("provider", Text, nullable=False),
    _time("since", default_now=False),
    Column("newest_transfer_id", BigInteger, nullable=False),
    Column("payments", Integer, nullable=False, server_default="0"),
    Column("handed_in", Integer, nullable=False, server_default="0"),
    _time("started_at"),
    _time("finished_at", nullable=True, default_now=False),
)
Index(
    "provider_reconciliations_provider_idx",
    provider_reconciliations.c.provider,
    provider_reconciliations.c.id,
    postgresql_where=text("finished_at IS NOT NULL"),
)

provider_book = Table(
    "provider_book",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("payment_id", Text, primary_key=True),
    Column("seen_by", BigInteger, ForeignKey("provider_reconciliations.id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("telegram_id", BigInteger, nullable=False),
    Column("credited", BigInteger),
    _time("paid_at", default_now=False),
)
Index("provider_book_seen_by_idx", provider_book.c.seen_by)

provider_acceptances = Table(
    "provider_acceptances",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("difference", Text, primary_key=True),
    Column("payment_id", Text, primary_key=True),
    Column("actor", Text, nullable=False),
    _time("accepted_at"),
)

provider_sweeps = Table(
    "provider_sweeps",
    metadata,
    Column("provider", Text, primary_key=True),
    _time("swept_to", default_now=False),
)

star_reconciliations = Table(
    "star_reconciliations",
    metadata,
    _id(),
    Column("next_offset", BigInteger, nullable=False, server_default="0"),
    Column("newest_transfer_id", BigInteger, nullable=False),
    Column("stars", BigInteger),
    Column("nanostars", BigInteger),
    Column("handed_in", BigInteger, nullable=False, server_default="0"),
    _time("started_at"),
    _time("finished_at", nullable=True, default_now=False),
    _check(
        "star_reconciliations_end_has_balance",
        "(finished_at IS NULL) = (stars IS NULL) AND (stars IS NULL) = (nanostars IS NULL)",
    ),
)
Index(
    "star_reconciliations_one_open_idx",
    text("(finished_at IS NULL)"),
    unique=True,
    postgresql_where=text("finished_at IS NULL"),
    _table=star_reconciliations,
)

star_book = Table(
    "star_book",
    metadata,
    Column("id", Text, primary_key=True),
    Column("is_outgoing", Boolean, primary_key=True),
    Column("stars", BigInteger, nullable=False),
    Column("nanostars", BigInteger, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("telegram_id", BigInteger),
    Column("invoice_amount", BigInteger),
    Column("details", JSONB, nullable=False),
    _time("made_at", default_now=False),
    Column("found_by", BigInteger, ForeignKey("star_reconciliations.id"), nullable=False),
    Column("seen_by", BigInteger, ForeignKey("star_reconciliations.id"), nullable=False),
)

star_acceptances = Table(
    "star_acceptances",
    metadata,
    Column("difference", Text, primary_key=True),
    Column("charge_id", Text, primary_key=True),
    Column("actor", Text, nullable=False),
    _time("created_at"),
)

exchange_rates = Table(
    "exchange_rates",
    metadata,
    _id(),
    Column("given_currency", Text, nullable=False),
    Column("got_currency", Text, nullable=False),
    Column("rate", Numeric),
    Column("numerator", Numeric),
    Column("denominator", Numeric),
    Column("actor", Text, nullable=False),
    Column("created_at", TIMESTAMP(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    _check("exchange_rates_two_currencies", "given_currency <> got_currency"),
    _check("exchange_rates_above_zero", "rate > 0 AND numerator > 0 AND denominator > 0"),
    _check("exchange_rates_whole", "trunc(numerator) = numerator AND trunc(denominator) = denominator"),
    _check(
        "exchange_rates_rate_in_minor_units",
        "(rate IS NULL) = (numerator IS NULL) AND (rate IS NULL) = (denominator IS NULL)",
    ),
)
Index(
    "exchange_rates_pair_idx",
    exchange_rates.c.given_currency,
    exchange_rates.c.got_currency,
    exchange_rates.c.id,
)

exchange_accounts = Table(
    "exchange_accounts",
    metadata,
    Column("currency", Text, primary_key=True),
    Column("account_id", BigInteger, nullable=False, unique=True),
    Column("balance", BigInteger, nullable=False, server_default="0"),
    Column("floor", BigInteger, nullable=False, server_default="0"),
    ForeignKeyConstraint(
        ["account_id", "currency"],
        ["accounts.id", "accounts.currency"],
        name="exchange_accounts_account_fkey",
    ),
    _check("exchange_accounts_not_below_floor", "floor <= 0 AND balance >= floor"),
)

exchanges = Table(
    "exchanges",
    metadata,
    _id(),
    Column("token", Text, nullable=False, unique=True),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("fingerprint", Text, nullable=False),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("rate_id", BigInteger, ForeignKey("exchange_rates.id")),
    Column("given_amount", BigInteger, nullable=False),
    Column("given_currency", Text, nullable=False),
    Column("got_amount", BigInteger),
    Column("got_currency", Text, nullable=False),
    Column("available", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("decided_key", Text),
    Column("given_transfer_id", BigInteger, ForeignKey("transfers.id"), unique=True),
    Column("got_transfer_id", BigInteger, ForeignKey("transfers.id"), unique=True),
    Column("created_at", TIMESTAMP(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    _time("expires_at", default_now=False),
    _time("decided_at", nullable=True, default_now=False),
    _check(
        "exchanges_amounts_within_bounds",
        "given_amount > 0 AND given_amount <= 1000000000000000 AND got_amount > 0 AND got_amount <= 1000000000000000",
    ),
    _check(
        "exchanges_status_known",
        "status IN ('refused', 'pending', 'confirmed', 'failed', 'cancelled', 'expired')",
    ),
    _check("exchanges_refusal_has_reason", "(status IN ('refused', 'failed')) = (reason IS NOT NULL)"),
    _check("exchanges_has_rate", "status = 'refused' OR rate_id IS NOT NULL AND got_amount IS NOT NULL"),
    _check(
        "exchanges_transfers_iff_confirmed",
        "(status = 'confirmed') = (given_transfer_id IS NOT NULL) "
        "AND (status = 'confirmed') = (got_transfer_id IS NOT NULL)",
    ),
    _check(
        "exchanges_decision_has_key",
        "(status IN ('refused', 'pending')) = (decided_key IS NULL) "
        "AND (decided_key IS NULL) = (decided_at IS NULL)",
    ),
)

holds = Table(
    "holds",
    metadata,
    _id(),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("fingerprint", Text, nullable=False),
    Column("account_id", BigInteger),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("memo", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("available", BigInteger),
    _time("expires_at", nullable=True, default_now=False),
    Column("posted_amount", BigInteger),
    Column("transfer_id", BigInteger, ForeignKey("transfers.id"), unique=True),
    Column("ended_key", Text, unique=True),
    Column("ended_fingerprint", Text),
    _time("created_at"),
    _time("ended_at", nullable=True, default_now=False),
    ForeignKeyConstraint(
        ["account_id", "currency"], ["accounts.id", "accounts.currency"], name="holds_account_fkey"
    ),
    _check("holds_amount_within_bounds", "amount > 0 AND amount <= 1000000000000000"),
    _check("holds_status_known", "status IN ('refused', 'open', 'posted', 'voided', 'expired')"),
    _check("holds_refusal_has_reason", "(status = 'refused') = (reason IS NOT NULL)"),
    _check("holds_account_known", "status = 'refused' OR account_id IS NOT NULL AND available >= 0"),
    _check(
        "holds_post_has_transfer",
        "(status = 'posted') = (transfer_id IS NOT NULL) AND (transfer_id IS NULL) = (posted_amount IS NULL)",
    ),
    _check("holds_post_within_hold", "posted_amount > 0 AND posted_amount <= amount"),
    _check(
        "holds_end_has_key",
        "(status IN ('posted', 'voided')) = (ended_key IS NOT NULL) "
        "AND (ended_key IS NULL) = (ended_fingerprint IS NULL)",
    ),
    _check("holds_end_has_time", "(status IN ('refused', 'open')) = (ended_at IS NULL)"),
)
Index("holds_open_idx", holds.c.account_id, postgresql_where=text("status = 'open'"))
Index("holds_due_idx", holds.c.expires_at, postgresql_where=text("status = 'open'"))

star_refunds = Table(
    "star_refunds",
    metadata,
    _id(),
    Column("token", Text, nullable=False, unique=True),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("star_payment_id", BigInteger, ForeignKey("star_payments.id"), nullable=False),
    Column("presser_id", BigInteger),
    Column("by_payer", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("reason", Text),
    Column("hold_id", BigInteger, ForeignKey("holds.id"), unique=True),
    Column("decided_key", Text),
    _time("created_at"),
    _time("expires_at", default_now=False),
    _time("decided_at", nullable=True, default_now=False),
    _time("ended_at", nullable=True, default_now=False),
    _check(
        "star_refunds_status_known",
        "status IN ('pending', 'asked', 'done', 'refused', 'cancelled', 'expired')",
    ),
    _check("star_refunds_refusal_has_reason", "(status = 'refused') = (reason IS NOT NULL)"),
    _check(
        "star_refunds_decision_has_key",
        "(status = 'pending') = (decided_key IS NULL) AND (decided_key IS NULL) = (decided_at IS NULL)",
    ),
    _check("star_refunds_end_has_time", "(status IN ('pending', 'asked')) = (ended_at IS NULL)"),
)
Index(
    "star_refunds_asked_idx",
    star_refunds.c.star_payment_id,
    unique=True,
    postgresql_where=text("status = 'asked'"),
)

withdrawals = Table(
    "withdrawals",
    metadata,
    _id(),
    Column("token", Text, nullable=False, unique=True),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("adapter", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("pays", BigInteger, nullable=False),
    Column("pays_currency", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("reason", Text),
    Column("hold_id", BigInteger, ForeignKey("holds.id"), unique=True),
    Column("decided_key", Text),
    Column("word_key", Text, unique=True),
    Column("word_by", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("open_attempts", ARRAY(Integer), nullable=False, server_default="{}"),
    _time("attempt_at", nullable=True, default_now=False),
    _time("due_at", nullable=True, default_now=False),
    Column("reference", Text),
    _time("created_at"),
    _time("expires_at", default_now=False),
    _time("decided_at", nullable=True, default_now=False),
    _time("ended_at", nullable=True, default_now=False),
    _time("approved_at", nullable=True, default_now=False),
    _time("asked_at", nullable=True, default_now=False),
    _check(
        "withdrawals_amount_within_bounds",
        "amount > 0 AND amount <= 1000000000000000 AND pays > 0",
    ),
    _check(
        "withdrawals_status_known",
        "status IN ('pending', 'held', 'approved', 'paying', 'paid', 'returned', 'refused', 'cancelled', 'expired')",
    ),
    _check("withdrawals_refusal_has_reason", "(status IN ('refused', 'returned')) = (reason IS NOT NULL)"),
    _check(
        "withdrawals_hold_first",
        "(status IN ('held', 'approved', 'paying', 'paid', 'returned')) = (hold_id IS NOT NULL)",
    ),
    _check(
        "withdrawals_approved_by_somebody",
        "status NOT IN ('approved', 'paying', 'paid') OR word_by IS NOT NULL",
    ),
    _check("withdrawals_payout_has_reference", "(status = 'paid') = (reference IS NOT NULL)"),
    _check(
        "withdrawals_decision_has_key",
        "(status = 'pending') = (decided_key IS NULL) AND (decided_key IS NULL) = (decided_at IS NULL)",
    ),
    _check(
        "withdrawals_end_has_time",
        "(status IN ('pending', 'held', 'approved', 'paying')) = (ended_at IS NULL)",
    ),
)
Index(
    "withdrawals_open_idx",
    withdrawals.c.id,
    postgresql_where=text("status IN ('held', 'approved', 'paying')"),
)
Index("withdrawals_user_idx", withdrawals.c.user_id, withdrawals.c.decided_at)

payout_switch = Table(
    "payout_switch",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("is_stopped", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at", TIMESTAMP(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    _check("payout_switch_one_row", "id = 1"),
)

failed_operations = Table(
    "failed_operations",
    metadata,
    _id(),
    Column("job_id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("telegram_id", BigInteger),
    Column("error", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("status", Text, nullable=False, server_default="open"),
    _time("created_at"),
    _time("resolved_at", nullable=True, default_now=False),
    _check("failed_operations_status_known", "status IN ('open', 'retried', 'discarded')"),
    _check("failed_operations_resolved_has_time", "(status = 'open') = (resolved_at IS NULL)"),
)
Index("failed_operations_open_idx", failed_operations.c.id, postgresql_where=text("status = 'open'"))
Index("failed_operations_reference_idx", failed_operations.c.reference)

health_probes = Table(
    "health_probes",
    metadata,
    _id(),
    Column("trigger", Text, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("server_ms", Double, nullable=False),
    Column("server_version", Text, nullable=False),
    Column("missing_tables", ARRAY(Text), nullable=False),
    Column("connections", Integer, nullable=False),
    Column("max_connections", Integer, nullable=False),
    Column("database_bytes", BigInteger, nullable=False),
    _time("created_at"),
)
Index("health_probes_created_at_idx", health_probes.c.created_at)

breaker_events = Table(
    "breaker_events",
    metadata,
    _id(),
    Column("event_id", Text, nullable=False, unique=True),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("reason", Text),
    Column("open_seconds", Double, nullable=False),
    Column("by_whom", Text, nullable=False),
    _time("created_at", default_now=False),
)
Index("breaker_events_created_at_idx", breaker_events.c.created_at)

outages = Table(
    "outages",
    metadata,
    _id(),
    Column("outage_id", Text, nullable=False, unique=True),
    _time("began_at", default_now=False),
    _time("ended_at", default_now=False),
    Column("reason", Text),
    Column("paused_by", Text),
    Column("failed_probes", BigInteger, nullable=False),
    Column("jobs_waited", BigInteger, nullable=False),
    Column("longest_wait_seconds", Double, nullable=False),
    _time("failed_at", default_now=False, nullable=True),
    _time("drained_at", default_now=False, nullable=True),
    _check("outages_ends_after_its_beginning", "ended_at >= began_at"),
)
Index("outages_began_at_idx", outages.c.began_at)

broadcasts = Table(
    "broadcasts",
    metadata,
    _id(),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("segment", JSONB, nullable=False),
    Column("actor", Text, nullable=False),
    Column("paid", Boolean, nullable=False),
    Column("stars_max", Integer),
    Column("canary", Integer, nullable=False),
    _time("scheduled_for", nullable=True, default_now=False),
    Column("quiet_hours", JSONB),
    Column("audience", BigInteger),
    Column("sent", BigInteger, nullable=False, server_default="0"),
    Column("blocked", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    Column("unknown", BigInteger, nullable=False, server_default="0"),
    Column("halted_reason", Text),
    Column("admin_chat_id", BigInteger),
    Column("card_message_id", BigInteger),
    Column("run", Integer, nullable=False, server_default="0"),
    Column("settled_user_id", BigInteger, nullable=False, server_default="0"),
    Column("cursor_user_id", BigInteger, nullable=False, server_default="0"),
    Column("frontier_user_id", BigInteger, nullable=False, server_default="0"),
    _time("created_at"),
    _time("started_at", nullable=True, default_now=False),
    _time("finished_at", nullable=True, default_now=False),
    Column("by_program", Boolean, nullable=False, server_default="false"),
    Column("resent", BigInteger, nullable=False, server_default="0"),
    Column("resent_by", Text),
    Column("deliveries_kept", Boolean, nullable=False, server_default="true"),
    Column("canary_rule", JSONB),
    Column("canary_until", BigInteger),
    _check(
        "broadcasts_status_known",
        "status IN ('draft', 'scheduled', 'sending', 'paused', 'halted', 'cancelled', 'finished')",
    ),
    _check("broadcasts_scheduled_has_time", "status <> 'scheduled' OR scheduled_for IS NOT NULL"),
    _check("broadcasts_started_has_audience", "(audience IS NULL) = (started_at IS NULL)"),
    _check("broadcasts_ended_has_time", "(status IN ('cancelled', 'finished')) = (finished_at IS NOT NULL)"),
    _check("broadcasts_halt_has_reason", "status <> 'halted' OR halted_reason IS NOT NULL"),
    _check(
        "broadcasts_counts_add_up",
        "least(sent, blocked, failed, unknown) >= 0 "
        "AND sent + blocked + failed + unknown <= coalesce(audience, 0)",
    ),
)

broadcast_deliveries = Table(
    "broadcast_deliveries",
    metadata,
    Column("broadcast_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("telegram_id", BigInteger, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("lease", BigInteger),
    _time("leased_until", nullable=True, default_now=False),
    Column("message_id", BigInteger),
    Column("more_message_ids", ARRAY(BigInteger)),
    Column("error", Text),
    _time("updated_at"),
    _check(
        "broadcast_deliveries_status_known",
        "status IN ('pending', 'leased', 'sent', 'unknown', 'blocked', 'failed')",
    ),
    _check(
        "broadcast_deliveries_lease_has_end",
        "(status = 'leased') = (lease IS NOT NULL) AND (lease IS NULL) = (leased_until IS NULL)",
    ),
)

admin_actions = Table(
    "admin_actions",
    metadata,
    _id(),
    Column("action_id", Text, nullable=False, unique=True),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    _time("created_at", default_now=False),
    Column("reason", Text),
    Column("before", JSONB),
    Column("after", JSONB),
)
Index("admin_actions_created_at_idx", admin_actions.c.created_at)
Index("admin_actions_actor_idx", admin_actions.c.actor, admin_actions.c.id)
Index("admin_actions_target_idx", admin_actions.c.target, admin_actions.c.id)

operators = Table(
    "operators",
    metadata,
    Column("telegram_id", BigInteger, primary_key=True, autoincrement=False),
    Column("role", Text, nullable=False),
    Column("granted_by", Text, nullable=False),
    _time("granted_at"),
    _check("operators_role_is_known", "role IN ('viewer', 'support', 'treasurer', 'owner')"),
)

approvals = Table(
    "approvals",
    metadata,
    _id(),
    Column("act_key", Text, nullable=False, unique=True),
    Column("operator_id", BigInteger, nullable=False),
    Column("telegram_id", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("exceeds", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'waiting'")),
    Column("refusal", Text),
    Column("decided_key", Text),
    Column("decided_by", Text),
    _time("created_at"),
    _time("expires_at", default_now=False),
    _time("decided_at", nullable=True, default_now=False),
    _check(
        "approvals_amount_within_bounds",
        "amount <> 0 AND amount >= -1000000000000000 AND amount <= 1000000000000000",
    ),
    _check("approvals_exceeds_known", "exceeds IN ('over_limit', 'over_daily_limit')"),
    _check("approvals_status_known", "status IN ('waiting', 'approved', 'declined', 'refused')"),
    _check("approvals_refusal_has_reason", "(status = 'refused') = (refusal IS NOT NULL)"),
    _check(
        "approvals_decision_is_somebodys",
        "(status = 'waiting') = (decided_by IS NULL) AND (decided_by IS NULL) = (decided_at IS NULL) "
        "AND (decided_by IS NULL) = (decided_key IS NULL)",
    ),
    _check("approvals_decided_by_another", "decided_by <> 'telegram:' || operator_id"),
)

audit_runs = Table(
    "audit_runs",
    metadata,
    _id(),
    Column("table_name", Text, nullable=False),
    Column("newest_id", BigInteger, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    _time("created_at"),
    _check("audit_runs_count_fits_ids", "row_count >= 0 AND newest_id >= 0"),
)
Index("audit_runs_table_name_idx", audit_runs.c.table_name, audit_runs.c.id)

ledger_seals = Table(
    "ledger_seals",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("entries_from", BigInteger, nullable=False),
    Column("entries_to", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("transfers_from", BigInteger, nullable=False),
    Column("transfers_to", BigInteger, nullable=False),
    Column("transfers", BigInteger, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("sealed_at", TIMESTAMP(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    _check("ledger_seals_ranges", "entries_from <= entries_to AND transfers_from <= transfers_to"),
)

seal_checks = Table(
    "seal_checks",
    metadata,
    Column("seal_id", BigInteger, primary_key=True, autoincrement=False),
    _time("looked_at", default_now=False),
    _time("whole_at", nullable=True, default_now=False),
    _time("broken_at", nullable=True, default_now=False),
)

audit_proofs = Table(
    "audit_proofs",
    metadata,
    _id(),
    Column("seal_id", BigInteger, nullable=False),
    Column("is_full", Boolean, nullable=False),
    _time("created_at"),
)

ledger_days = Table(
    "ledger_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("debits", Numeric, nullable=False),
    Column("credits", Numeric, nullable=False),
    Column("entries", BigInteger, nullable=False),
)

bound_bot = Table(
    "bound_bot",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default="1"),
    Column("bot_id", BigInteger, nullable=False),
    _time("created_at"),
    _check("bound_bot_is_one", "id = 1"),
)

effects = Table(
    "effects",
    metadata,
    Column("key", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("result", JSON),
    Column("refused", JSON),
    _time("created_at"),
    _check("effects_result_or_refusal", "(result IS NULL) <> (refused IS NULL)"),
)
Index("effects_created_at_idx", effects.c.created_at)

outbox = Table(
    "outbox",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("telegram_id", BigInteger),
    Column("key", Text),
    _time("created_at"),
    _check("outbox_kind_is_plain", "kind ~ '^[a-z0-9_.]{1,64}$'"),
    _check("outbox_payload_is_object", "json_typeof(payload) = 'object'"),
    _check("outbox_payload_is_small", "length(payload::text) <= 262144"),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_by", Text, nullable=False),
    _time("created_at"),
    _time("revoked_at", nullable=True, default_now=False),
    _check("api_keys_name_is_plain", "name ~ '^[A-Za-z0-9._-]{1,40}$'"),
    _check("api_keys_hash_is_sha256", "hash ~ '^[0-9a-f]{64}$'"),
    _check("api_keys_has_scopes", "cardinality(scopes) > 0"),
)
Index("api_keys_name_idx", api_keys.c.name, unique=True, postgresql_where=text("revoked_at IS NULL"))

events = Table(
    "events",
    metadata,
    _id(),
    Column("lane", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _time("next_attempt_at"),
    _time("created_at"),
    _check("events_kind_is_plain", "kind ~ '^[a-z_.]{1,64}$'"),
    _check("events_attempts_count_up", "attempts >= 0"),
)
Index("events_lane_idx", events.c.lane, events.c.id)
Index("events_created_at_idx", events.c.created_at)

events_wanted = Table(
    "events_wanted",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default="1"),
    _time("created_at"),
    _check("events_wanted_is_one", "id = 1"),
)

TABLE_NAMES: tuple[str, ...] = (*sorted(table.name for table in metadata.tables.values()), "alembic_version")
"""Every table a migrated database has."""
