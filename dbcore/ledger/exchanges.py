"""Exchange between currencies at an operator's rate: put before whoever asks by `create`, confirmed or cancelled by
`decide`, which books two transfers in one transaction, against the account `exchange` of each currency.

What is got is rounded down to a minor unit; the rest stays with the account `exchange`, which gives no more than it has
above its floor. A question holds its rate for EXPIRES_AFTER_SECONDS, unless the rate is changed: then it is refused.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dbcore.admin_actions import DONE, AdminAction, insert_statement
from dbcore.currencies import Currency
from dbcore.fingerprints import fingerprint
from dbcore.ledger.ledger import balances_now, require_key
from dbcore.ledger.pending_transfers import TOKEN_BYTES, restart_expiry_in
from dbcore.ledger.users import Profile
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import (
    Decision,
    ExchangeDecisionOutcome,
    ExchangeOutcome,
    OutcomeStatus,
    RejectionReason,
)
from dbcore.qualified_names import qualified
from dbcore.text import storable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dbcore.guard.engine import GuardedEngine

EXPIRES_AFTER_SECONDS = 120.0
RATE_DIGITS_MAX = 18
"""Of a rate, before and behind the point each."""

_CREATE = (
    "SELECT asked.*, account.* FROM ballast.exchange_create("
    "%s, %s, %s, %s, %s, %s, %s, %s, %s, make_interval(secs => %s)) AS asked, "
    # Of what is answered, so that it is asked after it.
    "ballast.ledger_account_now(CASE WHEN asked.r_status IS NOT NULL THEN %s::bigint END, %s) AS account"
)
_DECIDE = (
    "SELECT done.*, given.*, got.* FROM ballast.exchange_decide("
    "%s, %s, %s, %s, %s, %s, make_interval(secs => %s)) AS done, "
    "ballast.ledger_account_now(done.r_user_id, done.r_given_currency) AS given, "
    "ballast.ledger_account_now(done.r_user_id, done.r_got_currency) AS got"
)
_SET_RATE = """
INSERT INTO ballast.exchange_rates (given_currency, got_currency, rate, numerator, denominator, actor)
VALUES (%s, %s, %s, %s, %s, %s)
"""
_RATES = """
SELECT DISTINCT ON (given_currency, got_currency) given_currency, got_currency, rate, actor, created_at
  FROM ballast.exchange_rates ORDER BY given_currency, got_currency, id DESC
"""
_ACCOUNTS = "SELECT currency, balance, floor FROM ballast.exchange_accounts ORDER BY currency"
_OPEN_ACCOUNT = "SELECT ballast.exchange_account(%s)"
_ACCOUNT = "SELECT balance, floor FROM ballast.exchange_accounts WHERE currency = %s FOR NO KEY UPDATE"
_SET_FLOOR = "UPDATE ballast.exchange_accounts SET floor = %s WHERE currency = %s"


@dataclass(frozen=True, slots=True)
class Rate:
    """Units got for one unit given; None: the pair is no longer exchanged. actor -- who set it."""

    given: str
    got: str
    rate: Decimal | None
    actor: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class ExchangeAccount:
    """What the bot has for exchanges in a currency, and the least it may have, in minor units."""

    currency: str
    balance: int
    floor: int


def create(
    engine: GuardedEngine,
    *,
    key: str,
    profile: Profile,
    given_amount: int,
    given_currency: str,
    got_currency: str,
    expires_after_seconds: float = EXPIRES_AFTER_SECONDS,
) -> ExchangeOutcome:
    """Check what can be checked, and ask. No money moves.

    given_amount -- minor units. The same key answers with the same token, or is refused for the same reason.
    Raises ValueError for amounts and currencies that no exchange has.
    """
    require_key(key)
    given_currency, got_currency = engine.known_currency(given_currency), engine.known_currency(got_currency)
    if given_currency == got_currency:
        raise ValueError(f"an exchange needs two currencies, got {given_currency} twice")
    if not 0 < given_amount <= MAX_AMOUNT:
        raise ValueError(f"an exchange gives 1 to {MAX_AMOUNT} minor units, got {given_amount}")
    row = engine.fetch_row(
        _CREATE,
        (
            key,
            fingerprint("exchange", profile.telegram_id, given_amount, given_currency, got_currency),
            secrets.token_urlsafe(TOKEN_BYTES),
            *profile.parameters(),
            given_amount,
            given_currency,
            got_currency,
            expires_after_seconds,
            profile.telegram_id,
            given_currency,
        ),
        name="exchanges.create",
    )
    status, reason, token, rate, got_amount, available, *now = row
    return ExchangeOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        token=token or "",
        given_amount=given_amount,
        given_currency=given_currency,
        got_amount=got_amount,
        got_currency=got_currency,
        rate=rate,
        available=available,
        balances_now=balances_now(given_currency, (profile.telegram_id, *now)),
    )


def restart_expiry(engine: GuardedEngine, *, key: str) -> None:
    """As of a transfer: the question came only now."""
    restart_expiry_in(engine, "exchanges", key, EXPIRES_AFTER_SECONDS)


def decide(
    engine: GuardedEngine,
    *,
    key: str,
    token: str,
    presser: Profile,
    confirm: bool,
    waited_seconds: float = 0.0,
) -> ExchangeDecisionOutcome:
    """Carry out the press of whoever asked. The arguments, and what repetitions are answered, are as of a transfer."""
    require_key(key)
    row = engine.fetch_row(
        _DECIDE,
        (key, storable(token), *presser.parameters(), confirm, waited_seconds),
        name="exchanges.decide",
    )
    status, reason, decision, user_id, given, given_currency, given_balance, *rest = row
    got, got_currency, got_balance, *now = rest
    seen = (
        *(balances_now(given_currency, (user_id, *now[0:2])) if given_currency else ()),
        *(balances_now(got_currency, (user_id, *now[2:4])) if got_currency else ()),
    )
    return ExchangeDecisionOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        decision=None if decision is None else Decision(decision),
        given_amount=given,
        given_currency=given_currency,
        given_balance=given_balance,
        got_amount=got,
        got_currency=got_currency,
        got_balance=got_balance,
        balances_now=seen,
    )


def set_rate(
    engine: GuardedEngine, action: AdminAction, *, given: Currency, got: Currency, rate: Decimal | None
) -> bool:
    """From now on one unit of `given` is exchanged for `rate` units of `got`, and not at all with None. Once for the
    action's id; whether it was done now. Questions that wait at another rate are refused.

    Raises ValueError for a rate that is none.
    """
    if given.code == got.code:
        raise ValueError("expected two currencies")
    ratio = None if rate is None else _ratio(rate, given, got)

    def work(connection: Connection) -> bool:
        before = _in_force(connection, engine, given, got)
        words = [{"rate": None if each is None else str(each)} for each in (before, rate)]
        statement, booked = insert_statement(action, DONE, before=words[0], after=words[1])
        if connection.exec_driver_sql(qualified(statement, engine.schema), booked).one_or_none() is None:
            return False
        fraction = (None, None) if ratio is None else ratio.as_integer_ratio()
        parameters = (given.code, got.code, rate, *fraction, storable(action.actor))
        connection.exec_driver_sql(qualified(_SET_RATE, engine.schema), parameters)
        return True

    return engine.call(work, name="exchanges.set_rate", replayable=True)


def set_floor(engine: GuardedEngine, action: AdminAction, *, currency: str, floor: int) -> bool:
    """How far below zero the account `exchange` of a currency may fall: minor units, zero or below. Once for the
    action's id; False if the account is below that now, and nothing was changed.
    """
    currency = engine.known_currency(currency)
    if not -MAX_AMOUNT <= floor <= 0:
        raise ValueError("expected a floor of zero or below")

    def work(connection: Connection) -> bool:
        def run(statement: str, *parameters: object) -> Any:
            return connection.exec_driver_sql(qualified(statement, engine.schema), parameters)

        run(_OPEN_ACCOUNT, currency)
        balance, before = run(_ACCOUNT, currency).one()
        if balance < floor:
            return False
        statement, booked = insert_statement(action, DONE, before={"floor": before}, after={"floor": floor})
        if run(statement, *booked).one_or_none() is not None:
            run(_SET_FLOOR, floor, currency)
        return True

    return engine.call(work, name="exchanges.set_floor", replayable=True)


def rates(engine: GuardedEngine) -> list[Rate]:
    """Those in force, and of pairs that are no longer exchanged when that was said."""
    rows = engine.fetch_rows(_RATES, name="exchanges.rates", writes=False)
    return [Rate(*row) for row in rows]


def accounts(engine: GuardedEngine) -> list[ExchangeAccount]:
    """Of currencies that were exchanged, or of which a floor was set."""
    rows = engine.fetch_rows(_ACCOUNTS, name="exchanges.accounts", writes=False)
    return [ExchangeAccount(*row) for row in rows]


def _ratio(rate: Decimal, given: Currency, got: Currency) -> Fraction:
    """Minor units got for one minor unit given, exactly."""
    digits = rate.as_tuple() if rate.is_finite() else None
    if (
        digits is None
        or rate <= 0
        or not isinstance(digits.exponent, int)
        or digits.exponent < -RATE_DIGITS_MAX
        or rate.adjusted() >= RATE_DIGITS_MAX
    ):
        raise ValueError(f"expected a rate above zero with at most {RATE_DIGITS_MAX} decimals, such as 1.10")
    return Fraction(rate) * Fraction(10) ** (got.exponent - given.exponent)


def _in_force(
    connection: Connection, engine: GuardedEngine, given: Currency, got: Currency
) -> Decimal | None:
    row = connection.exec_driver_sql(
        qualified("SELECT r_rate FROM ballast.exchange_rate(%s, %s)", engine.schema), (given.code, got.code)
    ).one()
    found: Decimal | None = row[0]
    return found
