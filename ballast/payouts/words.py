"""An operator's word about a withdrawal, by the chat and the shell: with who is told of it in its commit."""

from __future__ import annotations

from ballast.builtin.withdrawals import notices
from dbcore.admin_actions import AdminAction
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import withdrawals
from dbcore.ledger.withdrawals import Switch, WithdrawalOutcome, Word
from dbcore.people.acts import Act


def say(engine: GuardedEngine, act: Act, *, number: int, word: Word) -> WithdrawalOutcome:
    """Once for the act's id. act.reason -- the reference of what was paid; else why, which its user reads."""
    found = withdrawals.find(engine, number)
    token = "" if found is None else found.token
    return withdrawals.say(
        engine,
        AdminAction(act.act_id, act.actor, f"withdrawal.{word}", str(number), act.at, act.reason),
        number=number,
        word=word,
        notice=lambda state: notices(token, state),
    )


def turn(engine: GuardedEngine, act: Act, *, is_stopped: bool) -> Switch:
    """Stop all payouts, or go on with them; how the switch stands then."""
    action = "payouts.stop" if is_stopped else "payouts.resume"
    withdrawals.turn(
        engine,
        act.logged_as(action, ""),
        is_stopped=is_stopped,
    )
    return withdrawals.switch(engine)
