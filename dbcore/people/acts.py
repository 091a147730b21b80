"""What an operator does about somebody. Each act takes effect once by its id, in one transaction with its row in the
audit log, which says who did it, when, why, and how the account was before and after.

An act that the ledger refuses is in the audit log too, and the same id is refused again for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Connection

from dbcore import keys, outbox
from dbcore.admin_actions import DONE, AdminAction, insert_statement, kept_reason
from dbcore.fingerprints import fingerprint
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import holds, ledger
from dbcore.ledger.ledger import balances_now, party, require_key
from dbcore.ledger.users import UserRef
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import (
    AdjustOutcome,
    HoldEndOutcome,
    HoldState,
    OutcomeStatus,
    Party,
    RejectionReason,
    ReversalOutcome,
)
from dbcore.qualified_names import qualified
from dbcore.text import storable

Notices = Sequence[tuple[outbox.Job, int | None]]
Notice = Callable[[Any], Notices]
"""Of an outcome, by which something changed: the jobs that tell people of it, and among whose jobs each has its place.
They are part of the commit.
"""

REFUSED = "refused: "
"""How an outcome in the audit log begins that names why."""

Changed = dict[str, bool]
Direction = Literal["sending", "everything"]
"""What a frozen account refuses."""

_PERSON = (
    "SELECT u.id, u.telegram_id, u.username, u.first_name, a.sending_frozen, a.receiving_frozen FROM ballast.users u "
    "JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = %s WHERE u.telegram_id = %s FOR NO KEY UPDATE OF u, a"
)
_BY_NAME = (
    "SELECT u.telegram_id FROM ballast.users u WHERE lower(u.username) = lower(%s) "
    "ORDER BY u.last_seen_at DESC, u.id DESC LIMIT 1"
)
_FREEZE = "UPDATE ballast.accounts SET sending_frozen = %s, receiving_frozen = %s WHERE user_id = %s"
_KNOWN = "SELECT target, outcome, reason, after FROM ballast.admin_actions WHERE action_id = %s"
_REVERSE = (
    "SELECT done.*, payer.*, payee.* FROM ballast.ledger_reverse(%s, %s, %s, %s, %s, %s) AS done, "
    "ballast.ledger_account_now(done.r_from_id, done.r_currency) AS payer, "
    "ballast.ledger_account_now(done.r_to_id, done.r_currency) AS payee"
)
# Names of everybody are what Telegram says; the ledger, with its memos, stays as it is under the id.
_ERASE = """
UPDATE ballast.users
   SET username = NULL, first_name = '', language_code = NULL, language = NULL, time_zone = NULL,
       broadcasts_stopped_at = coalesce(broadcasts_stopped_at, now())
 WHERE id = %s
"""
_ERASE_FROM_JOBS = """
UPDATE ballast.failed_operations
   SET payload = jsonb_set(payload, '{fields}', (payload -> 'fields') - 'username' - 'first_name' - 'language_code')
 WHERE telegram_id = %s AND jsonb_typeof(payload -> 'fields') = 'object'
"""


@dataclass(frozen=True, slots=True)
class Act:
    """An order. act_id -- by which it takes effect once: an idempotency key; of a movement it is the ledger's key too.

    actor -- who ordered it, such as `web:nadia`. reason -- why. at -- when, seconds since 1970.
    """

    act_id: str
    actor: str
    reason: str
    at: float

    def logged_as(self, action: str, target: str) -> AdminAction:
        """For the audit log. Of each sort of act its own: a key of one may be used for another, and both are in it.

        Raises ValueError for what cannot be an idempotency key.
        """
        require_key(self.act_id)
        return AdminAction(f"{action} {self.act_id}", self.actor, action, target, self.at, self.reason)


@dataclass(frozen=True, slots=True)
class StatusOutcome:
    """What became of an account that was to be frozen or unfrozen, or of a person to be erased.

    status -- applied; replayed, if the same act came before; rejected for somebody unknown.
    changed -- whether anything is different from before; nothing is for an account that was frozen already.
    """

    status: OutcomeStatus
    person: Party | None
    changed: bool
    reason: RejectionReason | None = None


def nobody(_: Any) -> Notices:
    """Nobody is told."""
    return ()


def adjust(
    engine: GuardedEngine,
    act: Act,
    *,
    target: UserRef,
    amount: int,
    currency: str | None = None,
    notice: Notice = nobody,
) -> AdjustOutcome:
    """Credit (amount above zero) or debit somebody, at once. The reason is the transfer's memo. currency -- one of the
    bot's; None is the first.
    """
    work = adjusting(engine, act, target=target, amount=amount, currency=currency, notice=notice)
    return engine.call(work, name="people.adjust", replayable=True)


def adjusting(
    engine: GuardedEngine,
    act: Act,
    *,
    target: UserRef,
    amount: int,
    currency: str | None = None,
    notice: Notice = nobody,
) -> Callable[[Connection], AdjustOutcome]:
    """What `adjust` does in its transaction, for one that does more."""
    currency = engine.known_currency(currency)
    action = act.logged_as("user.credit" if amount > 0 else "user.debit", str(target))
    asked = ledger.adjustment(
        engine,
        key=act.act_id,
        target=target,
        amount=amount,
        memo=act.reason,
        actor=act.actor,
        earlier_key=keys.of_caller(act.act_id).earlier,
        currency=currency,
    )

    def work(connection: Connection) -> AdjustOutcome:
        if isinstance(asked, AdjustOutcome):
            return asked
        outcome = ledger.adjusted(currency, amount, _row(connection, engine, ledger.ADJUST_SQL, asked))
        if outcome.reason is RejectionReason.KEY_REUSED:
            # Or the same request was committed by somebody else, after this one looked for it. Now it is found.
            outcome = ledger.adjusted(currency, amount, _row(connection, engine, ledger.ADJUST_SQL, asked))
        after = outcome.balance_after
        refused = outcome.reason is not None
        before = None if after is None else after if refused else after - amount
        if outcome.status is OutcomeStatus.REPLAYED or outcome.reason is RejectionReason.KEY_REUSED:
            return outcome
        booked = action if outcome.target is None else replace(action, target=str(outcome.target.telegram_id))
        _book(
            connection,
            engine,
            booked,
            outcome.reason,
            *(_money(engine, each, currency) for each in (before, after)),
        )
        if not refused:
            tell(connection, engine, notice(outcome))
        return outcome

    return work


def reverse(
    engine: GuardedEngine, act: Act, *, transfer_id: int, amount: int, notice: Notice = nobody
) -> ReversalOutcome:
    """Move a transfer's amount, or a part of it, back: at most what was not reversed yet, and what its recipient has.

    amount -- minor units.
    """
    require_key(act.act_id)
    if not 0 < amount <= MAX_AMOUNT:
        raise ValueError(f"a reversal moves 1 to {MAX_AMOUNT} minor units, got {amount}")
    action = act.logged_as("transfer.reverse", str(transfer_id))
    memo = storable(act.reason)
    mark = fingerprint("reverse", transfer_id, amount, memo)
    parameters = (
        act.act_id,
        mark,
        transfer_id,
        amount,
        memo,
        storable(act.actor),
    )

    def work(connection: Connection) -> ReversalOutcome:
        row = _row(connection, engine, _REVERSE, parameters)
        outcome = _reversed(engine, transfer_id, amount, row)
        if outcome.status is OutcomeStatus.REPLAYED or outcome.reason is RejectionReason.KEY_REUSED:
            return outcome
        done = outcome.reason is None
        left = None if outcome.left is None else outcome.left + (amount if done else 0)
        _book(
            connection,
            engine,
            action,
            outcome.reason,
            {"left_to_reverse": left},
            {"left_to_reverse": outcome.left},
        )
        if done:
            tell(connection, engine, notice(outcome))
        return outcome

    return engine.call(work, name="people.reverse", replayable=True)


def _reversed(engine: GuardedEngine, transfer_id: int, amount: int, row: tuple[Any, ...]) -> ReversalOutcome:
    made, status, reason, _, left, currency, *rest = row
    payer, payee = rest[0:4], rest[4:8]
    return ReversalOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        transfer_id=made,
        reverses_id=transfer_id,
        payer=party(payer[0], payer[1], payer[2]),
        payee=party(payee[0], payee[1], payee[2]),
        amount=amount,
        currency=currency or engine.currency,
        left=left,
        payer_balance=payer[3],
        payee_balance=payee[3],
        balances_now=balances_now(
            currency or engine.currency, (payer[0], rest[8], rest[9]), (payee[0], rest[10], rest[11])
        ),
    )


def end_hold(
    engine: GuardedEngine,
    act: Act,
    *,
    hold_id: int,
    post: bool,
    amount: int | None = None,
    to: UserRef | None = None,
) -> HoldEndOutcome:
    """Take what is held, or a part of it (post), or give it back. Nobody is told: an app held it, and knows what for.

    amount -- minor units; None: all of it. to -- who receives it; None: the house.
    """
    if amount is not None:
        holds.require_amount(amount)
    action = act.logged_as("hold.post" if post else "hold.void", str(hold_id))
    asked = holds.end_parameters(act.act_id, hold_id, post=post, amount=amount, to=to, actor=act.actor)

    def work(connection: Connection) -> HoldEndOutcome:
        booked = _run(connection, engine, _KNOWN, (action.action_id,)).one_or_none()
        if booked is not None and (booked[0], booked[2]) != (action.target, kept_reason(act.reason)):
            return _not_ended(engine, RejectionReason.KEY_REUSED)
        if booked is not None and booked[1] != DONE:
            return _not_ended(engine, RejectionReason(booked[1].removeprefix(REFUSED)))
        outcome = holds.ended(engine, _row(connection, engine, holds.END_SQL, asked))
        if outcome.status is OutcomeStatus.REPLAYED or outcome.reason is RejectionReason.KEY_REUSED:
            return outcome
        done = outcome.reason is None
        after = {"state": outcome.state, "posted_amount": outcome.amount} if outcome.state else None
        _book(connection, engine, action, outcome.reason, {"state": HoldState.OPEN} if done else after, after)
        return outcome

    return engine.call(work, name="people.end_hold", replayable=True)


def _not_ended(engine: GuardedEngine, reason: RejectionReason) -> HoldEndOutcome:
    return HoldEndOutcome(
        status=OutcomeStatus.REJECTED,
        reason=reason,
        state=None,
        transfer_id=None,
        amount=None,
        currency=engine.currency,
        available=None,
    )


def freeze(
    engine: GuardedEngine,
    act: Act,
    *,
    target: UserRef,
    refuses: Direction = "sending",
    notice: Notice = nobody,
) -> StatusOutcome:
    """From when this returns, the ledger refuses what the account would send, or receive too."""
    return _set_frozen(engine, act, "user.freeze", target, (True, refuses == "everything"), notice)


def unfreeze(engine: GuardedEngine, act: Act, *, target: UserRef, notice: Notice = nobody) -> StatusOutcome:
    """The account sends and receives again."""
    return _set_frozen(engine, act, "user.unfreeze", target, (False, False), notice)


def _set_frozen(
    engine: GuardedEngine,
    act: Act,
    name: str,
    target: UserRef,
    directions: tuple[bool, bool],
    notice: Notice,
) -> StatusOutcome:
    after = _frozen(*directions)

    def change(connection: Connection, found: tuple[Any, ...]) -> Changed:
        before = _frozen(found[4], found[5])
        if before != after:
            _run(connection, engine, _FREEZE, (*directions, found[0]))
        return before

    return _once(engine, act, name, target, change, after, notice)


def message(engine: GuardedEngine, act: Act, *, target: UserRef, notice: Notice) -> StatusOutcome:
    """Have somebody told what the operator wrote, which is the act's reason. notice -- the job that tells them."""

    return _once(engine, act, "user.message", target, lambda _, __: {"told": False}, {"told": True}, notice)


def erase(engine: GuardedEngine, act: Act, *, target: UserRef) -> StatusOutcome:
    """Erase what the bot knows of somebody beside the ledger: username, name, language and time zone, also from failed
    jobs. Their balance and movements are kept under their Telegram id. Once they write again, they are known again.

    The audit log does not say what was erased.
    """

    def change(connection: Connection, found: tuple[Any, ...]) -> Changed:
        _run(connection, engine, _ERASE, (found[0],))
        _run(connection, engine, _ERASE_FROM_JOBS, (found[1],))
        return {"named": found[2] is not None or found[3] != ""}

    return _once(engine, act, "user.erase", target, change, {"named": False})


def _once(
    engine: GuardedEngine,
    act: Act,
    name: str,
    target: UserRef,
    change: Callable[[Connection, tuple[Any, ...]], Changed],
    after: Changed,
    notice: Notice = nobody,
) -> StatusOutcome:
    """Do it unless the same act was done before. change -- does it, and says how it was before. after -- how it is
    then. The same id with another target, reason or `after` is refused; of a reason the audit log keeps the beginning.
    """
    action = act.logged_as(name, str(target))

    def work(connection: Connection) -> StatusOutcome:
        found = _person(connection, engine, target)
        known = None if found is None else Party(found[1], found[2], found[3])
        booked = _run(connection, engine, _KNOWN, (action.action_id,)).one_or_none()
        if booked is not None and booked[0] not in {str(target), str(found[1]) if found else ""}:
            return StatusOutcome(OutcomeStatus.REJECTED, known, False, RejectionReason.KEY_REUSED)
        if booked is not None and booked[1] == DONE:
            if (booked[2] or "", booked[3]) != (kept_reason(act.reason) or "", after):
                return StatusOutcome(OutcomeStatus.REJECTED, known, False, RejectionReason.KEY_REUSED)
            return StatusOutcome(OutcomeStatus.REPLAYED, known, False)
        if booked is not None or found is None:
            _book(connection, engine, action, RejectionReason.UNKNOWN_USER, None, None)
            return StatusOutcome(OutcomeStatus.REJECTED, None, False, RejectionReason.UNKNOWN_USER)
        before = change(connection, found)
        _book(connection, engine, replace(action, target=str(found[1])), None, before, after)
        outcome = StatusOutcome(OutcomeStatus.APPLIED, known, before != after)
        if outcome.changed:
            tell(connection, engine, notice(outcome))
        return outcome

    return engine.call(work, name=f"people.{name}", replayable=True)


def _person(connection: Connection, engine: GuardedEngine, target: UserRef) -> tuple[Any, ...] | None:
    """Their account is locked from here on, so that what is read is what is changed."""
    telegram_id, username = target.parameters()
    if username is not None:
        named = _run(connection, engine, _BY_NAME, (username,)).one_or_none()
        if named is None:
            return None
        telegram_id = named[0]
    row = _run(connection, engine, _PERSON, (engine.currency, telegram_id)).one_or_none()
    return None if row is None else tuple(row)


def _book(
    connection: Connection,
    engine: GuardedEngine,
    action: AdminAction,
    refused: RejectionReason | None,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    outcome = DONE if refused is None else f"{REFUSED}{refused.value}"
    statement, parameters = insert_statement(action, outcome, before=before, after=after)
    _run(connection, engine, statement, parameters)


def tell(connection: Connection, engine: GuardedEngine, notices: Notices) -> None:
    """Put them into the outbox, in this transaction."""
    for job, telegram_id in notices:
        outbox.add(connection, engine.schema, job, key=None, telegram_id=telegram_id)


def _money(engine: GuardedEngine, balance: int | None, currency: str) -> dict[str, Any] | None:
    """The currency where there are several: the limits of a day count what is in the audit log by it."""
    if balance is None:
        return None
    return {"balance": balance, "currency": currency} if len(engine.currencies) > 1 else {"balance": balance}


def _frozen(sending: bool, receiving: bool) -> Changed:
    return {"sending_frozen": sending, "receiving_frozen": receiving}


def _row(
    connection: Connection, engine: GuardedEngine, statement: str, parameters: tuple[Any, ...]
) -> tuple[Any, ...]:
    return tuple(_run(connection, engine, statement, parameters).one())


def _run(connection: Connection, engine: GuardedEngine, statement: str, parameters: tuple[Any, ...]) -> Any:
    return connection.exec_driver_sql(qualified(statement, engine.schema), parameters)
