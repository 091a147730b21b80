"""The short form of `make histories`."""

from __future__ import annotations

from collections.abc import Callable

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.audit import audit
from dbcore.settings import Settings
from tests.histories.histories import Histories
from tests.histories.withdrawals import WithdrawalHistories


def test_any_history_of_holds_refunds_and_spending_is_as_a_simple_model_says(
    make_settings: Callable[..., Settings], database_url: str
) -> None:
    engine = GuardedEngine(make_settings(database_url=database_url, db_deadline_seconds=60))
    histories = Histories(engine)
    try:
        histories.run(seed=1, count=250)
    finally:
        engine.dispose()
    assert [finding for finding in audit(database_url) if not finding.ok] == []
    # Whatever is never seen is never tested.
    assert {
        "credit: applied",
        "debit: insufficient_funds",
        "send: replayed",
        "hold: applied",
        "hold: insufficient_funds",
        "hold: replayed",
        "post: applied",
        "post: replayed",
        "post: more_than_held",
        "post: already_posted",
        "post: already_voided",
        "post: expired",
        "void: applied",
        "void: already_posted",
        "void: expired",
        "refund: applied",
    } <= histories.seen.keys()


def test_any_history_of_deposits_disputes_and_withdrawals_is_as_a_simple_model_says(
    make_settings: Callable[..., Settings], database_url: str
) -> None:
    engine = GuardedEngine(make_settings(database_url=database_url, db_deadline_seconds=60))
    histories = WithdrawalHistories(engine)
    try:
        histories.run(seed=1, count=500)
    finally:
        engine.dispose()
    assert [finding for finding in audit(database_url) if not finding.ok] == []
    assert {
        "deposit: done",
        "refund: done",
        "dispute: done",
        "win: done",
        "spend: insufficient_funds",
        "ask: account_frozen",
        "ask: over_limit",
        "confirm: done",
        "confirm: insufficient_funds",
        "confirm: account_frozen",
        "approve: done",
        "approve: insufficient_funds",
        "decline: done",
        "decline: payout_under_way",
        "begin: pay",
        "begin: ask",
        "begin: wait",
        "begin: returned",
        "look: pay",
        "look: wait",
        "answer paid: paid",
        "answer refused: paying",
        "answer refused: returned",
        "answer paid: returned",
        "say paid: done",
        "say unpaid: done",
        "say paid: withdrawal_ended",
    } <= histories.seen.keys()
