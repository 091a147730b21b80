"""Credits and debits that wait for the word of the admin who asked for them: put before them by `create`, confirmed or
cancelled by `decide`, both within limits.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dbcore.fingerprints import fingerprint
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.ledger import party, require_key
from dbcore.ledger.pending_transfers import (
    EXPIRES_AFTER_SECONDS,
    TOKEN_BYTES,
    restart_expiry_in,
    rows_of_those_with_room,
)
from dbcore.ledger.users import UserRef
from dbcore.outcomes import (
    AdjustmentDecisionOutcome,
    Decision,
    OutcomeStatus,
    PendingAdjustmentOutcome,
    RejectionReason,
)
from dbcore.roles import Role
from dbcore.settings import Settings
from dbcore.text import storable

_CREATE_SQL = """
SELECT created.*
  FROM unnest(%(keys)s::text[], %(marks)s::text[], %(tokens)s::text[], %(admin_ids)s::bigint[],
              %(target_ids)s::bigint[], %(usernames)s::text[], %(amounts)s::bigint[], %(currencies)s::text[],
              %(memos)s::text[], %(seconds)s::float[], %(once)s::bigint[], %(per_day)s::bigint[])
       WITH ORDINALITY AS ask (key, mark, token, admin_id, target_id, username, amount, currency, memo, seconds,
                               once, per_day, place)
 CROSS JOIN LATERAL ballast.pending_adjust_create(ask.key, ask.mark, ask.token, ask.admin_id, ask.target_id,
                                                  ask.username, ask.amount, ask.currency, ask.memo,
                                                  make_interval(secs => ask.seconds), ask.once, ask.per_day) AS created
 ORDER BY ask.place
"""
_DECIDE_SQL = (
    "SELECT * FROM ballast.pending_adjust_decide("
    "%(key)s, %(token)s, %(presser_id)s, %(confirm)s, make_interval(secs => %(waited)s), {once}, {per_day})"
)
# Everything that the decisions lock is locked first, in one order: two batches that have accounts or admins in common
# wait for each other and not in a circle. Each kind of lock comes where one decision alone takes it. They wait for less
# long than one alone does: it can then be told which of them has to wait.
_DECIDE_MANY_SQL = """
SELECT set_config('lock_timeout', '500ms', true);
SELECT pg_advisory_xact_lock(admins.lock)
  FROM (SELECT DISTINCT hashtextextended('ballast.pending_adjustments ' || presser_id, 0) AS lock
          FROM unnest(%(presser_ids)s::bigint[]) AS presser_id ORDER BY 1) AS admins;
SELECT FROM ballast.pending_adjustments p WHERE p.token = ANY(%(tokens)s::text[]) ORDER BY p.id FOR NO KEY UPDATE;
SELECT FROM ballast.accounts a
 WHERE (a.user_id, a.currency) IN (SELECT p.target_user_id, p.currency FROM ballast.pending_adjustments p
                                    WHERE p.token = ANY(%(tokens)s::text[]))
 ORDER BY a.id FOR NO KEY UPDATE;
SELECT decision.*
  FROM unnest(%(keys)s::text[], %(tokens)s::text[], %(presser_ids)s::bigint[], %(confirms)s::boolean[],
              %(waits)s::float[], %(once)s::{of}[], %(per_day)s::{of}[])
       WITH ORDINALITY AS press (key, token, presser_id, confirm, waited_seconds, once, per_day, place)
 CROSS JOIN LATERAL ballast.pending_adjust_decide(press.key, press.token, press.presser_id, press.confirm,
                                                  make_interval(secs => press.waited_seconds),
                                                  {once}, {per_day}) AS decision
 ORDER BY press.place
"""
_FIRST = ""
"""Stands for all currencies that have no limit of their own."""

_SHOW_AGAIN_SQL = """
WITH shown AS (
    UPDATE ballast.pending_adjustments
       SET expires_at = clock_timestamp() + make_interval(secs => %s), target_balance = %s
     WHERE idempotency_key = %s AND status = 'pending'
 RETURNING 1
)
SELECT count(*) FROM shown
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that an admin may move, in minor units; None for no limit.

    once -- by one credit or debit. per_day -- by all that they confirmed within 24 hours, credits and debits alike.
    further -- those in further currencies, by code: as many units of each.
    """

    once: int | None = None
    per_day: int | None = None
    further: Mapping[str, Limits] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, role: Role | None) -> Limits:
        """role -- whose limits; of one that ROLE_LIMITS does not name they are CREDIT_LIMIT's."""
        first, *others = (settings.in_currency(each.code) for each in settings.known_currencies)
        return replace(cls._in(first, role), further={each.currency: cls._in(each, role) for each in others})

    @classmethod
    def _in(cls, settings: Settings, role: Role | None) -> Limits:
        own = None if role is None else settings.role_limits.get(role)
        once, per_day = own or (settings.credit_limit, settings.credit_limit_per_day)
        return cls(once=settings.minor_units(once), per_day=settings.minor_units(per_day))

    def in_currency(self, code: str) -> Limits:
        return self.further.get(code, self)

    def parameters(self) -> tuple[int | str | None, int | str | None]:
        """For the statements that decide: once and per day; of each currency where there are several."""
        if not self.further:
            return self.once, self.per_day
        every = {_FIRST: self, **self.further}
        return (
            json.dumps({code: each.once for code, each in every.items()}),
            json.dumps({code: each.per_day for code, each in every.items()}),
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """A credit or a debit that an admin asks for.

    amount -- signed minor units: a credit above zero, a debit below.
    currency -- one of the bot's; None is the first.
    """

    key: str
    admin_id: int
    target: UserRef
    amount: int
    memo: str
    limits: Limits
    expires_after_seconds: float = EXPIRES_AFTER_SECONDS
    currency: str | None = None


def create(
    engine: GuardedEngine,
    *,
    key: str,
    admin_id: int,
    target: UserRef,
    amount: int,
    memo: str,
    limits: Limits,
    expires_after_seconds: float = EXPIRES_AFTER_SECONDS,
    currency: str | None = None,
) -> PendingAdjustmentOutcome:
    """Check what can be checked and ask the admin to confirm. No money moves. The arguments are those of an `Ask`.

    The same key answers with the same token, or is refused for the same reason.
    """
    ask = Ask(key, admin_id, target, amount, memo, limits, expires_after_seconds, currency)
    (outcome,) = create_many(engine, [ask])
    return outcome


def create_many(engine: GuardedEngine, asks: Sequence[Ask]) -> list[PendingAdjustmentOutcome]:
    """`create` several in one round trip and one transaction, in their order, each under its own key and with its own
    outcome. An error of one is an error of all, and nothing of any is kept.
    """
    currencies = [engine.known_currency(ask.currency) for ask in asks]
    for ask in asks:
        require_key(ask.key)
        if ask.amount == 0:
            raise ValueError("an adjustment needs an amount other than 0")
    rows = rows_of_those_with_room(asks, currencies, partial(_created, engine), _TOO_LARGE)
    return [_asked(*each) for each in zip(asks, currencies, rows, strict=True)]


def _created(engine: GuardedEngine, asks: Sequence[Ask], currencies: Sequence[str]) -> list[tuple[Any, ...]]:
    targets = [ask.target.parameters() for ask in asks]
    limits = [ask.limits.in_currency(currency) for ask, currency in zip(asks, currencies, strict=True)]
    marks = [
        fingerprint(
            "pending adjustment",
            ask.admin_id,
            target_id,
            username.lower() if username else None,
            ask.amount,
            currency,
            ask.memo,
        )
        for ask, currency, (target_id, username) in zip(asks, currencies, targets, strict=True)
    ]
    return engine.fetch_rows(
        _CREATE_SQL,
        {
            "keys": [ask.key for ask in asks],
            "marks": marks,
            "tokens": [secrets.token_urlsafe(TOKEN_BYTES) for _ in asks],
            "admin_ids": [ask.admin_id for ask in asks],
            "target_ids": [target_id for target_id, _ in targets],
            "usernames": [username for _, username in targets],
            "amounts": [ask.amount for ask in asks],
            "currencies": [*currencies],
            "memos": [storable(ask.memo) for ask in asks],
            "seconds": [ask.expires_after_seconds for ask in asks],
            "once": [limit.once for limit in limits],
            "per_day": [limit.per_day for limit in limits],
        },
        name="pending_adjustments.create",
    )


_TOO_LARGE = (OutcomeStatus.REJECTED, RejectionReason.AMOUNT_TOO_LARGE, *[None] * 8)


def _asked(ask: Ask, currency: str, row: tuple[Any, ...]) -> PendingAdjustmentOutcome:
    return PendingAdjustmentOutcome(
        status=OutcomeStatus(row[0]),
        reason=None if row[1] is None else RejectionReason(row[1]),
        token=row[2] or "",
        target=party(row[3], row[4], row[5]),
        amount=ask.amount,
        currency=currency,
        balance=row[6],
        balance_now=row[7],
        version=row[8],
        left_today=row[9],
    )


def restart_expiry(engine: GuardedEngine, *, key: str) -> None:
    """As of a transfer: the card came to its admin only now."""
    restart_expiry_in(engine, "pending_adjustments", key, EXPIRES_AFTER_SECONDS)


def show_again(engine: GuardedEngine, *, key: str, balance: int) -> None:
    """The card is put before its admin anew, with the balance as it is: that and the time to answer count from now."""
    engine.fetch_row(
        _SHOW_AGAIN_SQL, (EXPIRES_AFTER_SECONDS, balance, key), name="pending_adjustments.show_again"
    )


def decide(
    engine: GuardedEngine,
    *,
    key: str,
    token: str,
    presser_id: int,
    confirm: bool,
    limits: Limits,
    waited_seconds: float = 0.0,
) -> AdjustmentDecisionOutcome:
    """Carry out the admin's press, in one transaction with the transfer and with the check of the limits.

    key -- the job's. The same job again is answered as the first time; another press after the decision is
    refused with what was decided; someone else's press changes nothing and is told nothing.
    waited_seconds -- for how long the press has waited to be carried out: one made in time counts.
    """
    require_key(key)
    once, per_day = limits.parameters()
    row = engine.fetch_row(
        _with_limits(
            _DECIDE_SQL,
            bool(limits.further),
            token="%(token)s",  # noqa: S106  a place
            once="%(once)s",
            per_day="%(per_day)s",
        ),
        {
            "key": key,
            "token": storable(token),
            "presser_id": presser_id,
            "confirm": confirm,
            "waited": waited_seconds,
            "once": once,
            "per_day": per_day,
        },
        name="pending_adjustments.decide",
    )
    return _decision(row)


@dataclass(frozen=True, slots=True)
class Press:
    """One decision of several; the fields are the arguments of `decide`."""

    key: str
    token: str
    presser_id: int
    confirm: bool
    waited_seconds: float = 0.0
    limits: Limits = Limits()


def decide_many(engine: GuardedEngine, presses: Sequence[Press]) -> list[AdjustmentDecisionOutcome]:
    """Carry out several presses in one round trip and one transaction, in their order, each under its own key and with
    its own outcome. An error of one is an error of all, and nothing of any is applied.
    """
    for press in presses:
        require_key(press.key)
    limits = [press.limits.parameters() for press in presses]
    are_several = any(press.limits.further for press in presses)
    rows = engine.fetch_rows(
        _with_limits(
            _DECIDE_MANY_SQL,
            are_several,
            token="press.token",  # noqa: S106  a column
            once="press.once",
            per_day="press.per_day",
        ),
        {
            "keys": [press.key for press in presses],
            "tokens": [storable(press.token) for press in presses],
            "presser_ids": [press.presser_id for press in presses],
            "confirms": [press.confirm for press in presses],
            "waits": [press.waited_seconds for press in presses],
            "once": [once for once, _ in limits],
            "per_day": [per_day for _, per_day in limits],
        },
        name="pending_adjustments.decide_many",
    )
    return [_decision(row) for row in rows]


def _with_limits(statement: str, are_several: bool, *, token: str, once: str, per_day: str) -> str:
    """are_several -- currencies. With one the limits are numbers, and nothing is looked up.

    token, once, per_day -- where the statement has each.
    """
    if not are_several:
        return statement.format(once=once, per_day=per_day, of="bigint")
    currency = f"(SELECT p.currency FROM ballast.pending_adjustments p WHERE p.token = {token})"  # noqa: S608
    own_once, own_per_day = (
        f"(CASE WHEN {given} ? {currency} THEN {given} ->> {currency} ELSE {given} ->> '{_FIRST}' END::bigint)"
        for given in (f"{once}::jsonb", f"{per_day}::jsonb")
    )
    return statement.format(once=own_once, per_day=own_per_day, of="text")


def _decision(row: tuple[Any, ...]) -> AdjustmentDecisionOutcome:
    return AdjustmentDecisionOutcome(
        status=OutcomeStatus(row[0]),
        reason=None if row[1] is None else RejectionReason(row[1]),
        decision=None if row[2] is None else Decision(row[2]),
        target=party(row[3], row[4], row[5]),
        amount=row[6],
        currency=row[7],
        memo=row[8],
        card_balance=row[9],
        balance_after=row[10],
        balance_now=row[11],
        version=row[12],
        left_today=row[13],
    )
