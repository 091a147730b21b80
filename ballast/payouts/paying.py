"""One payout, from the worker that takes it to what became of it.

begin ─▶ pay: on record as an attempt ─▶ the provider pays ─▶ yes, or no: booked
  │                                            └─ no answer: asked how it stands once nothing is under way any more
  └────▶ ask: how does it stand? ─▶ paid, failed: booked
                                 └─ it knows no such payout ─▶ pay, by the same key
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from ballast.builtin.withdrawals import notices
from ballast.payouts.adapter import PayoutAdapter
from ballast.providers.provider import GARBAGE, ProviderError, Refused
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import withdrawals
from dbcore.ledger.withdrawals import Turn, WithdrawalState
from dbcore.outcomes import RejectionReason

log = structlog.get_logger(__name__)

SENT_WITHIN_SECONDS = withdrawals.SETTLED_AFTER_SECONDS / 2
"""After an attempt was put on record. A worker that was frozen for longer sends nothing: others have gone on since."""


@dataclass(frozen=True, slots=True)
class Result:
    """state -- of the withdrawal, once something was booked. refusal -- in the provider's words, if it said no.
    is_paid_twice -- the provider paid what was returned before.
    """

    state: WithdrawalState | None = None
    refusal: str = ""
    is_paid_twice: bool = False


OPEN = Result()
"""Nothing was booked: the sweep goes on."""


def key_of(token: str) -> str:
    """By which the provider pays it once. The token is random, so a ledger that was restored makes no key anew."""
    return f"ballast-{token}"


def begin(engine: GuardedEngine, token: str, absent_after: int | None = None) -> Turn:
    """As `withdrawals.begin`, and its user is told if it is returned."""
    return withdrawals.begin(
        engine, token=token, absent_after=absent_after, notice=lambda state: notices(token, state)
    )


async def pay_out(engine: GuardedEngine, token: str, turn: Turn, by: PayoutAdapter) -> Result:
    """Do what `begin` said. Raises DatabaseAway: the sweep goes on.

    A provider that does not answer is asked again by the sweep.
    """
    attempt = turn.attempt
    try:
        if turn.action == "ask":
            stands = await by.payout(key_of(token), turn.pays, turn.destination)
            match None if stands is None else stands.state:
                case "paid" | "failed" as said:
                    return await _book(engine, token, said, attempt, stands.text if stands else "")
                case "under_way":
                    return OPEN
            turn = await asyncio.to_thread(begin, engine, token, attempt)
            attempt = turn.attempt
        if turn.action != "pay":
            return OPEN
        if time.monotonic() - turn.begun >= SENT_WITHIN_SECONDS:
            log.warning("payout_too_late", number=turn.number, attempt=attempt)
            return OPEN
        reference = await by.pay(key_of(token), turn.pays, turn.destination)
    except Refused as error:
        log.warning("payout_refused", number=turn.number, attempt=attempt, error=str(error))
        if turn.action == "ask":  # of the question
            return OPEN
        return await _book(engine, token, "refused", attempt, str(error))
    except (ProviderError, *GARBAGE) as error:
        told = f"{type(error).__name__}: {error}"
        log.warning("payout_unanswered", number=turn.number, attempt=attempt, error=told)
        return OPEN
    log.info("paid_out", number=turn.number, attempt=attempt)
    return await _book(engine, token, "paid", attempt, reference)


async def _book(
    engine: GuardedEngine, token: str, said: withdrawals.Answer, attempt: int, text: str
) -> Result:
    """text -- the reference of what was paid; else why not, which only operators read."""
    state = await asyncio.to_thread(
        withdrawals.answer,
        engine,
        token=token,
        said=said,
        attempt=attempt,
        text=(text or said) if said == "paid" else RejectionReason.REFUSED_BY_PROVIDER,
        notice=lambda state: notices(token, state),
    )
    returned = state is WithdrawalState.RETURNED
    if said == "paid":
        return Result(state, is_paid_twice=returned)
    return Result(state, refusal=text or said)
