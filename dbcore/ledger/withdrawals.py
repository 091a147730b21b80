"""Withdrawals: put before whoever asked by `create`, confirmed by `decide`, which holds the money, approved by rule or
by an operator's word, paid out by an adapter, and booked or returned.

    pending ─▶ held ─▶ approved ─▶ paying ─▶ paid        the hold is posted to `payouts`
                 └────────┴──────────┴─────▶ returned    the hold is voided

Each step is one SQL function and one transaction. What tells people of a step is part of its commit.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from dbcore import outbox
from dbcore.admin_actions import DONE, AdminAction, insert_statement
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.ledger.ledger import party, require_key
from dbcore.ledger.pending_transfers import EXPIRES_AFTER_SECONDS, TOKEN_BYTES
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import Outcome, OutcomeStatus, Party, RejectionReason
from dbcore.qualified_names import qualified
from dbcore.text import storable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dbcore.guard.engine import GuardedEngine

_CREATE = (
    "SELECT * FROM ballast.withdrawal_create"
    "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, make_interval(secs => %s))"
)
_PAYOUT = "SELECT adapter, destination, pays, pays_currency FROM ballast.withdrawals WHERE token = %s"
_DECIDE = "SELECT * FROM ballast.withdrawal_decide(%s, %s, %s, %s, make_interval(secs => %s), %s, %s, %s, %s)"
_WORD = "SELECT * FROM ballast.withdrawal_word(%s, %s, %s, %s, %s, make_interval(secs => %s))"
_OWN = """
SELECT w.id FROM ballast.withdrawals w JOIN ballast.users u ON u.id = w.user_id
 WHERE w.token = %s AND u.telegram_id = %s
"""
_BEGIN = "SELECT * FROM ballast.withdrawal_begin(%s, make_interval(secs => %s), %s)"
_ANSWER = "SELECT * FROM ballast.withdrawal_answer(%s, %s, %s, %s, make_interval(secs => %s))"
_LIST = """
SELECT w.id, w.token, w.amount, w.adapter, w.destination, w.pays, w.pays_currency, w.status, w.reason, w.word_by,
       w.attempts, w.reference, w.created_at, w.ended_at, u.telegram_id, u.username, u.first_name
  FROM ballast.withdrawals w JOIN ballast.users u ON u.id = w.user_id
 WHERE w.currency = %s AND (%s::bigint IS NULL OR w.id = %s) AND (%s::bigint IS NULL OR w.id < %s)
   AND (%s::text IS NULL OR w.token = %s) AND (%s::bigint IS NULL OR u.telegram_id = %s) AND w.hold_id IS NOT NULL
   AND (NOT %s OR w.status IN ('held', 'approved', 'paying'))
 ORDER BY w.id DESC LIMIT %s
"""
_DUE = """
UPDATE ballast.withdrawals SET due_at = clock_timestamp() + make_interval(secs => %s)
 WHERE id IN (SELECT w.id FROM ballast.withdrawals w
               WHERE w.status IN ('approved', 'paying') AND w.due_at <= clock_timestamp()
               ORDER BY w.due_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED)
RETURNING token
"""
_BALANCE = """
SELECT a.balance, a.version, a.held FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id
 WHERE u.telegram_id = %s AND a.currency = %s
"""
_SWITCH = "SELECT is_stopped, actor, reason, changed_at FROM ballast.payout_switch"
_TURN = """
UPDATE ballast.payout_switch SET is_stopped = %s, actor = %s, reason = %s, changed_at = clock_timestamp()
 WHERE is_stopped IS DISTINCT FROM %s
"""

_OPEN = """
SELECT s.is_stopped, count(*) FILTER (WHERE w.status = 'held'), count(*) FILTER (WHERE w.status = 'approved'),
       count(*) FILTER (WHERE w.status = 'paying')
  FROM ballast.payout_switch s LEFT JOIN ballast.withdrawals w ON w.status IN ('held', 'approved', 'paying')
   AND w.currency = %s GROUP BY s.is_stopped
"""
# One by hand waits for a person, who was told. A frozen account, and stopped payouts, are an operator's word.
_STUCK = """
SELECT * FROM (
SELECT w.id, w.token, w.status, w.amount, w.currency, w.adapter, w.attempts,
       extract(epoch FROM clock_timestamp() - CASE w.status
           WHEN 'paying' THEN coalesce(w.asked_at, w.attempt_at)
           ELSE greatest(coalesce(w.approved_at, w.decided_at), s.changed_at) END)::float8 AS seconds
  FROM ballast.withdrawals w JOIN ballast.accounts a ON a.user_id = w.user_id AND a.currency = w.currency,
       ballast.payout_switch s
 WHERE w.currency = %s AND (w.status = 'paying' AND w.adapter <> 'manual'
    OR w.status = 'approved' AND NOT s.is_stopped AND NOT a.sending_frozen)
) waiting WHERE seconds >= %s ORDER BY seconds DESC LIMIT %s
"""

STUCK_AFTER_SECONDS = 900.0
"""After the first request to a provider, or the approval: somebody is to look."""

STUCK_MAX = 20

SETTLED_AFTER_SECONDS = 60.0
"""After a request to a provider, until nothing of it is under way any more: longer than its client waits."""

ASK_AGAIN_SECONDS = 300.0
"""After an answer that settles nothing."""

PAYS_MAX = 2**63 - 1

DUE_MAX = 100
TEXT_LENGTH_MAX = 200
LISTED_MAX = 100


class WithdrawalState(StrEnum):
    PENDING = "pending"
    HELD = "held"
    """Confirmed: the money is held, and somebody is to approve it."""
    APPROVED = "approved"
    PAYING = "paying"
    """The provider was asked or is about to be, or a person is to pay it."""
    PAID = "paid"
    RETURNED = "returned"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Limits:
    """Minor units; None: no limit. per_day -- of one user, for the last 24 hours.

    auto, auto_per_day -- what is approved without a person, each and in all for a user in 24 hours; auto None: nothing.
    """

    once: int | None
    per_day: int | None
    auto: int | None
    auto_per_day: int | None


@dataclass(frozen=True, slots=True)
class Payout:
    """What is paid out, where to, and by which adapter. pays -- minor units of the adapter's currency."""

    adapter: str
    destination: str
    pays: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalOutcome(Outcome):
    """token -- names it for `decide`; empty if it was refused. payout -- what `create` put before whoever asked.
    number -- for people, once it was confirmed. available -- what is left to spend. left -- of the limit of a day;
    None if there is none.
    """

    token: str = ""
    payout: Payout | None = None
    number: int | None = None
    state: WithdrawalState | None = None
    available: int | None = None
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """As operators see it. amount -- minor units that are held.

    approved_by -- whose word was the last: `rule`, or an operator; None: nobody's yet.
    """

    number: int
    token: str
    amount: int
    payout: Payout
    state: WithdrawalState
    reason: str | None
    approved_by: str | None
    attempts: int
    reference: str | None
    created_at: datetime
    ended_at: datetime | None
    owner: Party


@dataclass(frozen=True, slots=True)
class Turn:
    """What a worker is to do about a payout now: nothing if it waits, or was returned because its user owes money.

    attempt -- the number of the request, or of the last one. begun -- right before it was put on record, on the
    monotonic clock.
    """

    action: Literal["pay", "ask", "wait", "returned"]
    number: int
    attempt: int
    destination: str
    adapter: str
    pays: int
    currency: str
    telegram_id: int
    begun: float


@dataclass(frozen=True, slots=True)
class Stuck:
    """A withdrawal that does not get on: the provider did not say for `seconds` how it stands, or, approved, no worker
    began to pay it. amount -- minor units.
    """

    number: int
    token: str
    state: WithdrawalState
    amount: int
    currency: str
    adapter: str
    attempts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class OpenOnes:
    """counted -- open withdrawals by their state. stuck -- the longest first, at most STUCK_MAX."""

    is_stopped: bool
    counted: dict[str, int]
    stuck: tuple[Stuck, ...]


@dataclass(frozen=True, slots=True)
class Switch:
    """Whether payouts are stopped, who said so last, why and when."""

    is_stopped: bool
    actor: str
    reason: str
    changed_at: datetime


Word = Literal["approve", "decline", "paid", "unpaid"]
Answer = Literal["paid", "refused", "failed"]

Notice = Callable[[WithdrawalState], Sequence[outbox.Job]]
"""The jobs of a step that was made: they are part of its commit, once."""


def create(
    engine: GuardedEngine, *, key: str, telegram_id: int, amount: int, payout: Payout, limits: Limits
) -> WithdrawalOutcome:
    """Put it before whoever asked. Nothing is held yet."""
    require_key(key)
    if not (0 < amount <= MAX_AMOUNT and 0 < payout.pays <= PAYS_MAX):
        return WithdrawalOutcome(status=OutcomeStatus.REJECTED, reason=RejectionReason.AMOUNT_TOO_LARGE)
    parameters = (
        key,
        secrets.token_urlsafe(TOKEN_BYTES),
        telegram_id,
        amount,
        engine.currency,
        payout.adapter,
        storable(payout.destination)[:TEXT_LENGTH_MAX],
        payout.pays,
        payout.currency,
        limits.once,
        limits.per_day,
        EXPIRES_AFTER_SECONDS,
    )

    def work(connection: Connection) -> WithdrawalOutcome:
        status, reason, token, available, left = _row(connection, engine, _CREATE, parameters)
        return WithdrawalOutcome(
            status=OutcomeStatus(status),
            reason=None if reason is None else RejectionReason(reason),
            token=token or "",
            available=available,
            left=left,
            # A replay is of what was asked first, however settings have changed since.
            payout=Payout(*_row(connection, engine, _PAYOUT, (token,))) if token else None,
        )

    return engine.call(work, name="withdrawals.create", replayable=True)


def decide(
    engine: GuardedEngine,
    *,
    key: str,
    token: str,
    telegram_id: int,
    confirm: bool,
    limits: Limits,
    notice: Notice,
    waited_seconds: float = 0.0,
) -> WithdrawalOutcome:
    """Confirm it, which holds the money, or cancel it. waited_seconds -- since the press."""
    require_key(key)

    def work(connection: Connection) -> WithdrawalOutcome:
        status, reason, state, number, available, left = _row(
            connection,
            engine,
            _DECIDE,
            (
                key,
                storable(token),
                telegram_id,
                confirm,
                waited_seconds,
                limits.once,
                limits.per_day,
                limits.auto,
                limits.auto_per_day,
            ),
        )
        outcome = WithdrawalOutcome(
            status=OutcomeStatus(status),
            reason=None if reason is None else RejectionReason(reason),
            token=token,
            number=number,
            state=None if state is None else WithdrawalState(state),
            available=available,
            left=left,
        )
        _tell(connection, engine, token, outcome, notice)
        return outcome

    return engine.call(work, name="withdrawals.decide", replayable=True)


def say(
    engine: GuardedEngine,
    action: AdminAction,
    *,
    number: int,
    word: Word,
    notice: Notice,
) -> WithdrawalOutcome:
    """An operator's word, once for the action's id, in one transaction with its row in the audit log.

    paid, unpaid -- what they saw at the provider of one that is being paid. action.reason -- the reference of what was
    paid; else why, which its user reads.
    """
    require_key(action.action_id)

    def work(connection: Connection) -> WithdrawalOutcome:
        row = _row(
            connection,
            engine,
            _WORD,
            (
                action.action_id,
                number,
                word,
                storable(action.actor),
                storable(action.reason)[:TEXT_LENGTH_MAX],
                SETTLED_AFTER_SECONDS,
            ),
        )
        outcome = _of_word(number, row)
        became = DONE if outcome.reason is None else f"refused: {outcome.reason}"
        statement, parameters = insert_statement(action, became)
        connection.exec_driver_sql(qualified(statement, engine.schema), parameters)
        _tell(connection, engine, str(number), outcome, notice)
        return outcome

    return engine.call(work, name="withdrawals.say", replayable=True)


def take_back(
    engine: GuardedEngine, *, key: str, token: str, telegram_id: int, notice: Notice
) -> WithdrawalOutcome:
    """Whoever asked for it does not want it any more: the money is theirs again, unless somebody was asked to pay."""
    require_key(key)

    def work(connection: Connection) -> WithdrawalOutcome:
        asked = (storable(token), telegram_id)
        found = connection.exec_driver_sql(qualified(_OWN, engine.schema), asked).one_or_none()
        if found is None:
            return WithdrawalOutcome(status=OutcomeStatus.REJECTED, reason=RejectionReason.UNKNOWN_WITHDRAWAL)
        (number,) = found
        taken = (key, number, "decline", f"telegram:{telegram_id}", RejectionReason.TAKEN_BACK)
        row = _row(connection, engine, _WORD, (*taken, SETTLED_AFTER_SECONDS))
        outcome = _of_word(number, row)
        _tell(connection, engine, token, outcome, notice)
        return outcome

    return engine.call(work, name="withdrawals.take_back", replayable=True)


def _of_word(number: int, row: tuple[Any, ...]) -> WithdrawalOutcome:
    status, reason, state = row
    return WithdrawalOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        number=number if state is not None else None,
        state=None if state is None else WithdrawalState(state),
    )


def begin(
    engine: GuardedEngine, *, token: str, absent_after: int | None = None, notice: Notice = lambda _: ()
) -> Turn:
    """What is to be done about a payout now. PAY is on record as an attempt before this returns.

    absent_after -- of the turn by which the provider was asked, and knows nothing of it.
    """
    begun = time.monotonic()

    def work(connection: Connection) -> Turn:
        asked = (storable(token), SETTLED_AFTER_SECONDS, absent_after)
        row = _row(connection, engine, _BEGIN, asked)
        action, number, attempt, destination, adapter, pays, currency, telegram_id = row
        turn = Turn(action, number, attempt, destination, adapter, pays, currency, telegram_id, begun)
        if action == "returned":
            outcome = WithdrawalOutcome(status=OutcomeStatus.APPLIED, state=WithdrawalState.RETURNED)
            _tell(connection, engine, token, outcome, notice)
        return turn

    return engine.call(work, name="withdrawals.begin", replayable=True)


def answer(
    engine: GuardedEngine,
    *,
    token: str,
    said: Answer,
    attempt: int,
    text: str,
    notice: Notice,
) -> WithdrawalState:
    """Book what the provider answered; how it stands then. text -- the reference of what was paid, or why not.

    PAID of one that was returned before is what no rule here can undo: tell the admins.
    """

    def work(connection: Connection) -> WithdrawalState:
        asked = (storable(token), said, attempt, storable(text)[:TEXT_LENGTH_MAX], ASK_AGAIN_SECONDS)
        status, state = _row(connection, engine, _ANSWER, asked)
        outcome = WithdrawalOutcome(status=OutcomeStatus(status), state=WithdrawalState(state))
        _tell(connection, engine, token, outcome, notice)
        return WithdrawalState(state)

    return engine.call(work, name="withdrawals.answer", replayable=True)


def due(engine: GuardedEngine, *, notice: Callable[[str], outbox.Job]) -> int:
    """The sweep: hands in what a worker left behind, once for each time that it is due. Returns how many.

    notice -- the job of a payout, by its token.
    """

    def work(connection: Connection) -> int:
        found = connection.exec_driver_sql(
            qualified(_DUE, engine.schema), (SETTLED_AFTER_SECONDS, DUE_MAX)
        ).all()
        for (token,) in found:
            job = notice(token)
            outbox.add(connection, engine.schema, job, key=secrets.token_hex(16), telegram_id=None)
        return len(found)

    return engine.call(work, name="withdrawals.due", replayable=True)


def open_ones(engine: GuardedEngine) -> OpenOnes:
    """What is open, and what of it does not get on."""

    def look(connection: Connection) -> OpenOnes:
        is_stopped, held, approved, paying = _row(connection, engine, _OPEN, (engine.currency,))
        found: list[tuple[Any, ...]] = []
        if approved or paying:
            asked = (engine.currency, STUCK_AFTER_SECONDS, STUCK_MAX)
            rows = connection.exec_driver_sql(qualified(_STUCK, engine.schema), asked)
            found = [tuple(row) for row in rows]
        return OpenOnes(
            is_stopped,
            {"held": held, "approved": approved, "paying": paying},
            tuple(
                Stuck(number, token, WithdrawalState(state), *rest) for number, token, state, *rest in found
            ),
        )

    return engine.call(look, name="withdrawals.open", writes=False, replayable=True)


def find(engine: GuardedEngine, number: int | None = None, *, token: str | None = None) -> Withdrawal | None:
    """One that was confirmed, by either."""
    found = _listed(engine, number=number, token=token, before=None, only_open=False, limit=1)
    return found[0] if found else None


def listed(
    engine: GuardedEngine,
    *,
    only_open: bool,
    telegram_id: int | None = None,
    before: int | None = None,
    limit: int = LISTED_MAX,
) -> list[Withdrawal]:
    """Those that were confirmed, the newest first. telegram_id -- of one user. before -- the number of the last one
    that was seen.
    """
    return _listed(
        engine,
        number=None,
        token=None,
        telegram_id=telegram_id,
        before=before,
        only_open=only_open,
        limit=limit,
    )


def balance_of(engine: GuardedEngine, telegram_id: int) -> BalanceSnapshot | None:
    """With what is reserved of it; None of somebody unknown."""
    rows = engine.fetch_rows(
        _BALANCE, (telegram_id, engine.currency), name="withdrawals.balance", writes=False
    )
    return BalanceSnapshot(telegram_id, engine.currency, *rows[0]) if rows else None


def switch(engine: GuardedEngine) -> Switch:
    """How it stands."""
    return Switch(*engine.fetch_row(_SWITCH, (), name="withdrawals.switch", writes=False))


def turn(engine: GuardedEngine, action: AdminAction, *, is_stopped: bool) -> bool:
    """Stop all payouts, or go on with them, once for the action's id; whether that was a change. Stopped, no payout
    begins after this returns; one whose request is made already is brought to its end.
    """

    def work(connection: Connection) -> bool:
        parameters = (
            is_stopped,
            storable(action.actor),
            storable(action.reason)[:TEXT_LENGTH_MAX],
            is_stopped,
        )
        statement, booked = insert_statement(action, DONE)
        if connection.exec_driver_sql(qualified(statement, engine.schema), booked).one_or_none() is None:
            return False
        return connection.exec_driver_sql(qualified(_TURN, engine.schema), parameters).rowcount == 1

    return engine.call(work, name="withdrawals.turn", replayable=True)


def _listed(
    engine: GuardedEngine,
    *,
    number: int | None,
    token: str | None,
    telegram_id: int | None = None,
    before: int | None,
    only_open: bool,
    limit: int,
) -> list[Withdrawal]:
    rows = engine.fetch_rows(
        _LIST,
        (
            engine.currency,
            number,
            number,
            before,
            before,
            token,
            token,
            telegram_id,
            telegram_id,
            only_open,
            min(limit, LISTED_MAX),
        ),
        name="withdrawals.list",
        writes=False,
    )
    return [_withdrawal(row) for row in rows]


def _withdrawal(row: tuple[Any, ...]) -> Withdrawal:
    number, token, amount, adapter, destination, pays, currency, state, reason, word_by, *rest = row
    attempts, reference, created_at, ended_at, *owner_columns = rest
    owner = party(*owner_columns)
    assert owner is not None  # noqa: S101  joined
    return Withdrawal(
        number,
        token,
        amount,
        Payout(adapter, destination, pays, currency),
        WithdrawalState(state),
        reason,
        word_by,
        attempts,
        reference,
        created_at,
        ended_at,
        owner,
    )


def _row(
    connection: Connection, engine: GuardedEngine, statement: str, parameters: tuple[Any, ...]
) -> tuple[Any, ...]:
    return tuple(connection.exec_driver_sql(qualified(statement, engine.schema), parameters).one())


def _tell(
    connection: Connection, engine: GuardedEngine, what: str, outcome: WithdrawalOutcome, notice: Notice
) -> None:
    if outcome.status is not OutcomeStatus.APPLIED or outcome.state is None:
        return
    for place, job in enumerate(notice(outcome.state)):
        key = f"withdrawal:{what}:{outcome.state}:{place}"
        outbox.add(connection, engine.schema, job, key=key, telegram_id=None)
