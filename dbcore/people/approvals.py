"""Credits and debits above their operator's limits: they wait for a second person, who approves or declines them.

Each is asked for under its idempotency key, and decided once. What is approved moves money under that key, in one
transaction with the decision, for whoever asked; the audit log has both names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from dbcore.admin_actions import DONE, AdminAction, State, insert_statement
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.ledger.ledger import require_key
from dbcore.ledger.pending_adjustments import Limits
from dbcore.ledger.users import UserRef
from dbcore.outcomes import AdjustOutcome, OutcomeStatus, RejectionReason
from dbcore.people.acts import Act, Notice, adjusting, nobody, tell
from dbcore.qualified_names import qualified
from dbcore.sentences import Refusal, Sentence, sentence
from dbcore.text import storable

EXPIRES_AFTER_HOURS = 24

WAITING_MAX = 20
"""Of one operator: each is put before every owner."""

_COLUMNS = (
    "id, act_key, operator_id, telegram_id, amount, currency, reason, exceeds, CASE WHEN status = 'waiting' "
    "AND expires_at <= clock_timestamp() THEN 'expired' ELSE status END, refusal, decided_key, decided_by, "
    "created_at, expires_at, decided_at"
)
# The lock of the chat's confirmations: two acts at once cannot pass a limit together.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('ballast.pending_adjustments ' || %s, 0))"
_BY_KEY = f"SELECT {_COLUMNS} FROM ballast.approvals WHERE act_key = %s"  # noqa: S608  ours, like all that follow
_BY_ID = f"SELECT {_COLUMNS} FROM ballast.approvals WHERE id = %s FOR NO KEY UPDATE"  # noqa: S608
# What was done before is repeated whatever it leaves for today, and somebody unknown is for the ledger to refuse.
_EXCEEDS = (
    "SELECT l.r_reason FROM ballast.pending_adjust_limits(%s, %s, %s, %s, %s) AS l "
    "WHERE NOT EXISTS (SELECT FROM ballast.transfers WHERE idempotency_key = %s) "
    "AND EXISTS (SELECT FROM ballast.users WHERE telegram_id = %s)"
)
_WAITING_OF = (
    "SELECT count(*) FROM ballast.approvals WHERE operator_id = %s AND status = 'waiting' "
    "AND expires_at > clock_timestamp()"
)
_ASK = (
    "INSERT INTO ballast.approvals (act_key, operator_id, telegram_id, amount, currency, reason, exceeds, expires_at) "  # noqa: S608
    "VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(hours => %s)) "
    f"ON CONFLICT (act_key) DO NOTHING RETURNING {_COLUMNS}"
)
_DECIDE = (
    "UPDATE ballast.approvals SET status = %s, refusal = %s, decided_key = %s, decided_by = %s, "  # noqa: S608
    f"decided_at = clock_timestamp() WHERE id = %s RETURNING {_COLUMNS}"
)
_LIST = (
    f"SELECT {_COLUMNS} FROM ballast.approvals WHERE (%s::bigint IS NULL OR id < %s) AND (NOT %s "  # noqa: S608
    "OR status = 'waiting' AND expires_at > clock_timestamp()) ORDER BY id DESC LIMIT %s"
)
_COUNT = "SELECT count(*) FROM ballast.approvals WHERE status = 'waiting' AND expires_at > clock_timestamp()"


class ApprovalStatus(StrEnum):
    """refused -- approved, and refused by the ledger."""

    WAITING = "waiting"
    APPROVED = "approved"
    DECLINED = "declined"
    REFUSED = "refused"
    EXPIRED = "expired"


class ApprovalRefused(Refusal):
    """It cannot be decided so."""


@dataclass(frozen=True, slots=True)
class Approval:
    """operator_id -- Telegram's, of whoever asked. telegram_id -- whom it is about. amount -- signed minor units.

    exceeds -- the limit: over_limit or over_daily_limit. refusal -- why the ledger refused what was approved.
    """

    id: int
    act_key: str
    operator_id: int
    telegram_id: int
    amount: int
    currency: str
    reason: str
    exceeds: RejectionReason
    status: ApprovalStatus
    refusal: RejectionReason | None
    decided_key: str | None
    decided_by: str | None
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None

    @property
    def actor(self) -> str:
        return f"telegram:{self.operator_id}"


_DECIDED_ALREADY = {
    ApprovalStatus.APPROVED: sentence("It was approved by {name} already."),
    ApprovalStatus.DECLINED: sentence("It was declined by {name} already."),
    ApprovalStatus.REFUSED: sentence("It was approved by {name} already, and refused by the ledger."),
}


def decided_already(found: Approval) -> Sentence:
    """Of one that does not wait any more."""
    return _DECIDED_ALREADY[found.status].having(name=found.decided_by)


@dataclass(frozen=True, slots=True)
class Answer:
    """replayed -- whether the same was asked, or decided, before."""

    approval: Approval
    replayed: bool = False
    balances_now: tuple[BalanceSnapshot, ...] = ()


@dataclass(frozen=True, slots=True)
class ApprovalsPage:
    """next_before -- what gets the next page; None after the last one."""

    items: list[Approval]
    next_before: int | None


def adjust(
    engine: GuardedEngine,
    act: Act,
    *,
    operator_id: int,
    target_id: int,
    amount: int,
    limits: Limits,
    currency: str | None = None,
    notice: Notice = nobody,
    asks: Notice = nobody,
) -> AdjustOutcome | Answer:
    """Credit or debit somebody as dbcore.people.acts does, or have it wait for approval if it is above the limits.

    operator_id -- the Telegram id of the act's actor; target_id -- of whom it is about. currency -- one of the bot's;
    None is the first. The same act again is answered with what became of it. asks -- of an approval that waits from now
    on: the jobs that tell who can decide it. Raises ApprovalRefused for one more than WAITING_MAX.
    """
    currency, target = engine.known_currency(currency), UserRef(telegram_id=target_id)
    move = adjusting(engine, act, target=target, amount=amount, currency=currency, notice=notice)
    limits = limits.in_currency(currency)
    asked = (operator_id, target_id, amount, currency, storable(act.reason))

    def work(connection: Connection) -> AdjustOutcome | Answer:
        _run(connection, engine, _LOCK, operator_id)
        known = _run(connection, engine, _BY_KEY, act.act_id).one_or_none()
        if known is None:
            exceeds = _run(
                connection,
                engine,
                _EXCEEDS,
                *(operator_id, amount, currency, limits.once, limits.per_day, act.act_id, target_id),
            ).scalar()
            if exceeds is None:
                return move(connection)
            if _run(connection, engine, _WAITING_OF, operator_id).scalar() >= WAITING_MAX:
                raise ApprovalRefused(
                    sentence("{count} of yours wait for approval already.", count=WAITING_MAX)
                )
            made = _run(
                connection, engine, _ASK, act.act_id, *asked, exceeds, EXPIRES_AFTER_HOURS
            ).one_or_none()
            if made is not None:
                found = _read(made)
                action = AdminAction(
                    f"approval.ask {act.act_id}", act.actor, "approval.ask", str(found.id), act.at, act.reason
                )
                _book(connection, engine, action, None, _state(found))
                tell(connection, engine, asks(found))
                return Answer(found)
            known = _run(connection, engine, _BY_KEY, act.act_id).one()
        found = _read(known)
        if _asked(found) != asked:
            return AdjustOutcome(
                status=OutcomeStatus.REJECTED,
                reason=RejectionReason.KEY_REUSED,
                amount=amount,
                currency=currency,
            )
        if found.status in {ApprovalStatus.APPROVED, ApprovalStatus.REFUSED}:
            return move(connection)
        return Answer(found, replayed=True)

    return engine.call(work, name="approvals.adjust", replayable=True)


def decide(
    engine: GuardedEngine,
    decision: Act,
    *,
    approval_id: int,
    approve: bool,
    notice_of: Callable[[str], Notice] = lambda _: nobody,
    answers: Notice = nobody,
) -> Answer | None:
    """Approve it, which moves the money in the same transaction, or decline it. None if there is no such approval.

    decision -- by whom, why, and under which key: the same decision again is answered as the first time. What the
    ledger refuses is decided too. notice_of -- of the reason of what is approved. answers -- of the approval as it is
    decided: the jobs that tell who asked for it. Raises ApprovalRefused.
    """
    require_key(decision.act_id)

    def work(connection: Connection) -> Answer | None:
        row = _run(connection, engine, _BY_ID, approval_id).one_or_none()
        if row is None:
            return None
        found = _read(row)
        if found.actor == decision.actor:
            raise ApprovalRefused(sentence("Whoever asked for it cannot decide it: another owner can."))
        if found.status is ApprovalStatus.EXPIRED:
            raise ApprovalRefused(sentence("It was not decided in time, and has expired."))
        if found.status is not ApprovalStatus.WAITING:
            was_approved = found.status is not ApprovalStatus.DECLINED
            before = (found.decided_key, found.decided_by, was_approved)
            if before == (decision.act_id, decision.actor, approve):
                return Answer(found, replayed=True)
            raise ApprovalRefused(decided_already(found))
        status = ApprovalStatus.DECLINED
        refusal: RejectionReason | None = None
        balances: tuple[BalanceSnapshot, ...] = ()
        if approve:
            act = Act(found.act_key, found.actor, found.reason, decision.at)
            target = UserRef(telegram_id=found.telegram_id)
            if engine.currencies.get(found.currency) is None:
                raise ApprovalRefused(
                    sentence("{currency} is no longer a currency of this bot.", currency=found.currency)
                )
            move = adjusting(
                engine,
                act,
                target=target,
                amount=found.amount,
                currency=found.currency,
                notice=notice_of(found.reason),
            )
            outcome = move(connection)
            status = ApprovalStatus.REFUSED if outcome.reason else ApprovalStatus.APPROVED
            refusal, balances = outcome.reason, outcome.balances_now
        decided = _read(
            _run(
                connection, engine, _DECIDE, status, refusal, decision.act_id, decision.actor, approval_id
            ).one()
        )
        word = "approval.approve" if approve else "approval.decline"
        action = AdminAction(
            f"{word} {approval_id}", decision.actor, word, str(approval_id), decision.at, decision.reason
        )
        _book(connection, engine, action, _state(found), _state(decided))
        tell(connection, engine, answers(decided))
        return Answer(decided, balances_now=balances)

    return engine.call(work, name="approvals.decide", replayable=True)


def find(engine: GuardedEngine, approval_id: int) -> Approval | None:
    """The one of this id."""
    rows = engine.fetch_rows(
        f"SELECT {_COLUMNS} FROM ballast.approvals WHERE id = %s",  # noqa: S608
        (approval_id,),
        name="approvals.find",
        writes=False,
    )
    return _read(rows[0]) if rows else None


def count_waiting(engine: GuardedEngine) -> int:
    """How many can be decided."""
    (count,) = engine.fetch_row(_COUNT, (), name="approvals.count_waiting", writes=False)
    return int(count)


def recent(
    engine: GuardedEngine, *, only_waiting: bool, before: int | None = None, limit: int = 50
) -> ApprovalsPage:
    """Newest first."""
    rows = engine.fetch_rows(
        _LIST, (before, before, only_waiting, limit), name="approvals.recent", writes=False
    )
    items = [_read(row) for row in rows]
    return ApprovalsPage(items, items[-1].id if len(items) == limit else None)


def _asked(found: Approval) -> tuple[Any, ...]:
    return found.operator_id, found.telegram_id, found.amount, found.currency, found.reason


def _state(found: Approval) -> State:
    state = {
        "status": found.status,
        "asked_by": found.actor,
        "user": found.telegram_id,
        "amount": found.amount,
    }
    return state if found.refusal is None else {**state, "refusal": found.refusal}


def _read(row: Any) -> Approval:
    values = dict(zip(Approval.__dataclass_fields__, row, strict=True))
    refusal = values["refusal"]
    return Approval(
        **{
            **values,
            "exceeds": RejectionReason(values["exceeds"]),
            "status": ApprovalStatus(values["status"]),
            "refusal": None if refusal is None else RejectionReason(refusal),
        }
    )


def _book(
    connection: Connection, engine: GuardedEngine, action: AdminAction, before: State | None, after: State
) -> None:
    statement, parameters = insert_statement(action, DONE, before=before, after=after)
    _run(connection, engine, statement, *parameters)


def _run(connection: Connection, engine: GuardedEngine, statement: str, *parameters: object) -> Any:
    return connection.exec_driver_sql(qualified(statement, engine.schema), parameters)
