"""One payout, from the worker that takes it to what became of it.

begin ─▶ pay: on record as an attempt ─▶ the provider pays ─▶ yes, or no: booked
  │                                            └─ no answer: asked how it stands once nothing is under way any more
  └────▶ ask: how does it stand? ─▶ paid, failed: booked
                                 └─ it knows no such payout ─▶ pay, by the same key
"""

from __future__ import annotations

import asyncio

import structlog

from ballast.builtin.withdrawals import notices
from ballast.payouts.adapter import PayoutAdapter
from ballast.providers.provider import ProviderError, Refused
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import withdrawals
from dbcore.ledger.withdrawals import Turn, WithdrawalState

log = structlog.get_logger(__name__)


def key_of(token: str) -> str:
    """By which the provider pays it once. The token is random, so a ledger that was restored makes no key anew."""
    return f"ballast-{token}"


async def pay_out(engine: GuardedEngine, token: str, turn: Turn, by: PayoutAdapter) -> bool:
    """Do what `begin` said. Whether the provider paid what is returned already. Raises DatabaseAway: the sweep goes on.

    A provider that does not answer is asked again by the sweep.
    """
    attempt = turn.attempt
    try:
        if turn.action == "ask":
            stands = await by.payout(key_of(token))
            match None if stands is None else stands.state:
                case "paid" | "failed" as said:
                    return await _book(engine, token, said, attempt, stands.text if stands else "")
                case "under_way":
                    return False
            turn = await asyncio.to_thread(withdrawals.begin, engine, token=token, absent_after=attempt)
            attempt = turn.attempt
        if turn.action != "pay":
            return False
        reference = await by.pay(key_of(token), turn.pays, turn.destination)
    except Refused as error:
        log.warning("payout_refused", number=turn.number, attempt=attempt, error=str(error))
        if turn.action == "ask":  # of the question
            return False
        return await _book(engine, token, "refused", attempt, str(error))
    except (ProviderError, ValueError, KeyError, TypeError) as error:
        log.warning("payout_unanswered", number=turn.number, attempt=attempt, error=str(error))
        return False
    log.info("paid_out", number=turn.number, attempt=attempt)
    return await _book(engine, token, "paid", attempt, reference)


async def _book(engine: GuardedEngine, token: str, said: withdrawals.Answer, attempt: int, text: str) -> bool:
    state = await asyncio.to_thread(
        withdrawals.answer,
        engine,
        token=token,
        said=said,
        attempt=attempt,
        text=text or said,
        notice=lambda state: notices(token, state),
    )
    return said == "paid" and state is WithdrawalState.RETURNED
