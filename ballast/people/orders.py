"""The acts of dbcore/people, each with the job that tells the person concerned in its commit.

Ask for the relay afterwards (ballast/queueing/outbox_relay.py), so that they are told at once.
"""

from __future__ import annotations

from collections.abc import Callable

from ballast.builtin.approvals import TellOfApproval
from ballast.builtin.people import TellUser
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.pending_adjustments import Limits
from dbcore.ledger.users import UserRef
from dbcore.outcomes import AdjustOutcome, ReversalOutcome
from dbcore.people import acts, approvals
from dbcore.people.acts import Act, Direction, Notices, StatusOutcome
from dbcore.people.approvals import Answer, Approval


def adjust(
    engine: GuardedEngine, act: Act, *, target: UserRef, amount: int, currency: str | None = None
) -> AdjustOutcome:
    """amount -- signed minor units. currency -- None for the first. Raises as dbcore.people.acts does, like all that
    follow.
    """
    notice = _adjusted(engine, act.reason)
    return acts.adjust(engine, act, target=target, amount=amount, currency=currency, notice=notice)


def adjust_within(
    engine: GuardedEngine,
    act: Act,
    *,
    operator_id: int,
    target_id: int,
    amount: int,
    limits: Limits,
    currency: str | None = None,
) -> AdjustOutcome | Answer:
    """The same by somebody with limits; above them it waits for approval. The fields are of dbcore.people.approvals."""
    return approvals.adjust(
        engine,
        act,
        operator_id=operator_id,
        target_id=target_id,
        amount=amount,
        limits=limits,
        currency=currency,
        notice=_adjusted(engine, act.reason),
        asks=lambda waiting: [(TellOfApproval(approval=waiting.id), None)],
    )


def decide(engine: GuardedEngine, decision: Act, *, approval_id: int, approve: bool) -> Answer | None:
    def notice_of(reason: str) -> Callable[[AdjustOutcome], Notices]:
        return _adjusted(engine, reason)

    def answers(decided: Approval) -> Notices:
        return [(TellOfApproval(approval=decided.id, is_decided=True, why=decision.reason), None)]

    return approvals.decide(
        engine, decision, approval_id=approval_id, approve=approve, notice_of=notice_of, answers=answers
    )


def reverse(engine: GuardedEngine, act: Act, *, transfer_id: int, amount: int) -> ReversalOutcome:
    """amount -- minor units."""

    def notice(outcome: ReversalOutcome) -> Notices:
        both = (
            ("taken_back", outcome.payer, outcome.payer_balance),
            ("given_back", outcome.payee, outcome.payee_balance),
        )
        return [
            told
            for about, party, balance in both
            if party is not None and balance is not None
            for told in _told(
                party.telegram_id,
                about=about,
                amount=amount,
                balance=balance,
                currency=_if_further(engine, outcome.currency),
                number=transfer_id,
            )
        ]

    return acts.reverse(engine, act, transfer_id=transfer_id, amount=amount, notice=notice)


def freeze(engine: GuardedEngine, act: Act, *, target: UserRef, refuses: Direction) -> StatusOutcome:
    about = "frozen_both_ways" if refuses == "everything" else "frozen"
    return acts.freeze(engine, act, target=target, refuses=refuses, notice=lambda done: _of(done, about))


def unfreeze(engine: GuardedEngine, act: Act, *, target: UserRef) -> StatusOutcome:
    return acts.unfreeze(engine, act, target=target, notice=lambda done: _of(done, "unfrozen"))


def message(engine: GuardedEngine, act: Act, *, target: UserRef) -> StatusOutcome:
    """The act's reason is what they read."""
    return acts.message(engine, act, target=target, notice=lambda done: _of(done, "message", text=act.reason))


def erase(engine: GuardedEngine, act: Act, *, target: UserRef) -> StatusOutcome:
    """Nobody is told: they asked for it."""
    return acts.erase(engine, act, target=target)


def _if_further(engine: GuardedEngine, currency: str) -> str | None:
    return None if currency == engine.currency else currency


def _adjusted(engine: GuardedEngine, reason: str) -> Callable[[AdjustOutcome], Notices]:
    def notice(outcome: AdjustOutcome) -> Notices:
        if outcome.target is None or outcome.balance_after is None:
            return ()
        return _told(
            outcome.target.telegram_id,
            about="adjusted",
            amount=outcome.amount,
            balance=outcome.balance_after,
            currency=_if_further(engine, outcome.currency),
            text=reason,
        )

    return notice


def _of(outcome: StatusOutcome, about: str, **fields: object) -> Notices:
    return () if outcome.person is None else _told(outcome.person.telegram_id, about=about, **fields)


def _told(telegram_id: int, **fields: object) -> Notices:
    return [(TellUser.decode({"telegram_id": telegram_id, **fields}), telegram_id)]
