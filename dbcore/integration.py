"""For bots that are not built on Celery: the same engine and ledger, and never an exception for a database failure.

    outcome = bot_safe_adjust_balance(12345, 500, key=f"bonus-{update_id}", memo="Welcome", actor="bonus")
    if outcome.status is OutcomeStatus.APPLIED: ...

Module-level functions, because the bots they are for have no place to keep an object. The engine behind them is
made by the first call from DATABASE_URL, not at import, and anew in a forked child. With REDIS_URL set it is one of the
fleet: breaker, retries and connection budget are those of all processes, and the balances it sees are those that the
fleet's bot tells while the database is unavailable; without, it goes by its own calls. All of them are safe from any
thread; they block, so an asyncio bot calls them by `asyncio.to_thread`.

What each can answer, beside what the ledger says (dbcore/outcomes.py):

    UNAVAILABLE  nothing was applied; `failure` says why, `retry_after_seconds` when to ask again
                 `failure` is CONFIGURATION, without a time, if Ballast's tables are not found: the log says why, once
    UNKNOWN      it may have been applied: call again with the same key, and the answer tells

What is not the database's fault does raise: ValueError for arguments that make no sense, SettingsError where
DATABASE_URL is missing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2
import structlog
from sqlalchemy.exc import SQLAlchemyError

from dbcore import bound_bot, keys
from dbcore.broadcasts import broadcasts, sync_sender
from dbcore.broadcasts.broadcasts import Broadcast, BroadcastRefused, BroadcastStatus
from dbcore.broadcasts.sync_sender import Send
from dbcore.errors import DatabaseAway, OutcomeUnknown
from dbcore.failures import FailureKind
from dbcore.guard.engine import GuardedEngine
from dbcore.guard.guard import Guard
from dbcore.ledger import ledger, users
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.outcomes import AdjustOutcome, Outcome, OutcomeStatus, RejectionReason, TransferOutcome
from dbcore.settings import Settings, load_settings

log = structlog.get_logger(__name__)

_RETRY_AFTER_SECONDS = 30.0  # after an error that no retry mends by itself


class _Doorway:
    """What the functions share: a guard, and where the fleet keeps known balances."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tables_are_missing = False
        """It was said why."""
        self.guard = Guard(settings, application_name="ballast integration")

    @property
    def engine(self) -> GuardedEngine:
        return self.guard.engine

    def note(self, *balances: BalanceSnapshot, since: float) -> None:
        """Tell the fleet, if there is one."""
        if self.guard.fleet is not None:
            self.guard.fleet.note(*balances, since=since)


_lock = threading.Lock()
_made: _Doorway | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserOutcome(Outcome):
    """`account` is there with APPLIED (made now) and REPLAYED (known before)."""

    account: users.UserAccount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastOutcome(Outcome):
    """APPLIED: it went out now, REPLAYED: it was over before. `broadcast` says how many got it; None where nothing is
    known of it. Where `broadcast.left` is above 0 others hold them, or died: call again after some minutes.
    """

    broadcast: Broadcast | None = None


def bot_safe_get_or_create_user(telegram_id: int, username: str | None, first_name: str) -> UserOutcome:
    """The user with their account and balance."""
    _require_telegram_id(telegram_id)
    door, began = _door(), time.monotonic()
    profile = users.Profile(telegram_id, username, first_name)
    try:
        account = users.get_or_create(door.engine, profile=profile)
    except _DATABASE_ERRORS as error:
        status, failure, retry_after_seconds = _judge(error, "get_or_create_user")
        return UserOutcome(status=status, failure=failure, retry_after_seconds=retry_after_seconds)
    door.note(
        BalanceSnapshot(telegram_id, account.currency, account.balance, account.version, account.held),
        since=began,
    )
    return UserOutcome(
        status=OutcomeStatus.APPLIED if account.created else OutcomeStatus.REPLAYED, account=account
    )


def bot_safe_adjust_balance(
    telegram_id: int,
    amount: int,
    *,
    key: str,
    memo: str = "",
    actor: str = "bot",
    currency: str | None = None,
) -> AdjustOutcome:
    """Credit (amount above zero) or debit (below), in minor units. The same key is applied once, forever.

    currency -- the code of one of the bot's; None is the first. Raises ValueError for any other.

    So it is if `workers.balances.adjust` is called with it as `idempotency_key`, before or after: what is
    UNAVAILABLE or UNKNOWN can be left to the workers.
    """
    _require_telegram_id(telegram_id)
    door, began = _door(), time.monotonic()
    try:
        outcome = ledger.adjust(
            door.engine,
            key=key,
            earlier_key=keys.of_caller(key).earlier,
            target=users.UserRef(telegram_id=telegram_id),
            amount=amount,
            memo=memo,
            actor=actor,
            currency=currency,
        )
    except _DATABASE_ERRORS as error:
        status, failure, retry_after_seconds = _judge(error, "adjust_balance")
        return AdjustOutcome(
            status=status,
            failure=failure,
            retry_after_seconds=retry_after_seconds,
            amount=amount,
            currency=door.engine.known_currency(currency),
        )
    door.note(*outcome.balances_now, since=began)
    return outcome


def bot_safe_create_transaction(
    sender_telegram_id: int,
    recipient_telegram_id: int,
    amount: int,
    *,
    key: str,
    memo: str = "",
    currency: str | None = None,
) -> TransferOutcome:
    """Move minor units from one user to another, at once. The same key is applied once, forever.

    currency -- the code of one of the bot's; None is the first. Raises ValueError for any other.
    """
    _require_telegram_id(sender_telegram_id)
    _require_telegram_id(recipient_telegram_id)
    door, began = _door(), time.monotonic()
    try:
        outcome = ledger.transfer(
            door.engine,
            key=key,
            sender_telegram_id=sender_telegram_id,
            recipient_telegram_id=recipient_telegram_id,
            amount=amount,
            memo=memo,
            currency=currency,
        )
    except _DATABASE_ERRORS as error:
        status, failure, retry_after_seconds = _judge(error, "create_transaction")
        return TransferOutcome(
            status=status,
            failure=failure,
            retry_after_seconds=retry_after_seconds,
            amount=amount,
            currency=door.engine.known_currency(currency),
            memo=memo,
        )
    door.note(*outcome.balances_now, since=began)
    return outcome


def bot_safe_broadcast(
    send: Send,
    *,
    key: str,
    payload: Mapping[str, Any],
    segment: Mapping[str, Any] | None = None,
    actor: str = "bot",
) -> BroadcastOutcome:
    """Send to everybody in the segment, at most once each, and return when all is done: minutes, for thousands.

    send -- gets a Telegram id, sends at the pace that Telegram allows, and says what became of it.
    payload -- what is sent, for the record: `{"text": html}`.
    The same key again goes on with whom it did not come to: after the database was away (UNAVAILABLE, UNKNOWN), or
    this program died. Whom it was sending to just then are `unknown`, and not sent to again.
    """
    engine = _door().engine
    broadcast: Broadcast | None = None
    try:
        broadcast = broadcasts.create(
            engine,
            key=key,
            earlier_key=keys.of_caller(key).earlier,
            payload=payload,
            segment=segment or {},
            actor=actor,
            by_program=True,
        )
        if broadcast.status.is_over:
            return BroadcastOutcome(status=OutcomeStatus.REPLAYED, broadcast=broadcast)
        if broadcasts.begin(engine, broadcast.id).status is BroadcastStatus.SENDING:
            sync_sender.send_all(engine, broadcast.id, send)
        return BroadcastOutcome(
            status=OutcomeStatus.APPLIED, broadcast=broadcasts.require(engine, broadcast.id)
        )
    except BroadcastRefused:
        return BroadcastOutcome(status=OutcomeStatus.REJECTED, reason=RejectionReason.KEY_REUSED)
    except _DATABASE_ERRORS as error:
        status, failure, retry_after_seconds = _judge(error, "broadcast")
        return BroadcastOutcome(
            status=status, failure=failure, retry_after_seconds=retry_after_seconds, broadcast=broadcast
        )


def close() -> None:
    """Close the connections. The next call opens new ones."""
    global _made
    with _lock:
        made, _made = _made, None
    if made is not None:
        made.guard.close()


_NO_SUCH_OBJECT = frozenset({"42883", "42P01", "3F000"})
"""SQLSTATE of an undefined function, table and schema."""

_DATABASE_ERRORS = (DatabaseAway, SQLAlchemyError, psycopg2.Error)


def _judge(
    error: DatabaseAway | SQLAlchemyError | psycopg2.Error, name: str
) -> tuple[OutcomeStatus, FailureKind, float | None]:
    if isinstance(error, DatabaseAway):
        status = OutcomeStatus.UNKNOWN if isinstance(error, OutcomeUnknown) else OutcomeStatus.UNAVAILABLE
        return status, error.kind, error.retry_after_seconds
    if getattr(getattr(error, "orig", error), "pgcode", None) in _NO_SUCH_OBJECT and _tables_are_missing():
        return OutcomeStatus.UNAVAILABLE, FailureKind.CONFIGURATION, None
    # Not a failure the table knows: a schema that was not migrated, a bug. Loud in the log, and still an answer.
    log.error("unexpected_database_error", operation=name, exc_info=error)
    answered = getattr(getattr(error, "orig", error), "pgcode", None) is not None
    # The server's no rolled the statement back; without one we cannot say.
    status = OutcomeStatus.UNAVAILABLE if answered else OutcomeStatus.UNKNOWN
    return status, FailureKind.DATA if answered else FailureKind.UNKNOWN_OUTCOME, _RETRY_AFTER_SECONDS


def _tables_are_missing() -> bool:
    door = _door()
    if not door.tables_are_missing and (why := bound_bot.where_else(door.settings)) is not None:
        log.error("ballast_not_configured", why=why)
        door.tables_are_missing = True
    return door.tables_are_missing


def _require_telegram_id(telegram_id: int) -> None:
    if isinstance(telegram_id, bool) or not isinstance(telegram_id, int) or not 0 < telegram_id < 2**63:
        raise ValueError(f"a Telegram user id is a positive integer, got {telegram_id!r}")


def _door() -> _Doorway:
    global _made
    if _made is None:
        with _lock:
            if _made is None:
                _made = _Doorway(load_settings())
    return _made


def _lock_anew() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_lock_anew)
