"""Tasks of payouts: one is brought to its end, and what a dead worker left is handed in again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog
from psycopg2.errors import UndefinedColumn, UndefinedTable

from ballast.alerts import notifier
from ballast.builtin.withdrawals import PayOut
from ballast.messages import Message
from ballast.payouts import chat_texts, installed, paying, record
from dbcore import outbox
from dbcore.errors import DatabaseAway
from dbcore.ledger import withdrawals
from dbcore.ledger.withdrawals import WithdrawalState
from workers.celery import Task, upkeep
from workers.task_context import AsyncStep, TaskContext
from workers.tasks.job_task import job_task

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

SWEEP = "workers.payouts.sweep"


@job_task(PayOut)
def pay(task: TaskContext[PayOut]) -> list[Message] | AsyncStep:
    token, settings = task.job.token, task.settings
    found = withdrawals.find(task.engine, token=token)
    by = None if found is None else installed.adapter(settings, found.payout.adapter)
    if found is None or by is None:
        log.error("payout_waits", error="its adapter is not set up", adapter=found and found.payout.adapter)
        return []
    if (by.currency, by.name) != (found.payout.currency, found.payout.adapter):
        log.error("payout_waits", number=found.number, error=f"it is in {found.payout.currency}")
        return []
    turn = paying.begin(task.engine, token)
    if turn.action not in {"pay", "ask"}:
        outbox.announce()
        return []

    async def step(_: Bot | None) -> list[Message]:
        try:
            result = await paying.pay_out(task.engine, token, turn, by)
        except DatabaseAway as error:
            # The attempt is on record: the sweep asks the provider how it stands.
            log.warning("payout_not_booked", number=turn.number, error=str(error))
            return []
        finally:
            await by.close()
        outbox.announce()
        tell = partial(notifier.enqueue_payment, task.worker.redis)
        if result.is_paid_twice:
            tell(f"payout-twice-{token}", lambda: chat_texts.paid_and_returned(turn.number))
        elif result.refusal and result.state is WithdrawalState.RETURNED:
            tell(f"payout-refused-{token}", lambda: chat_texts.refused_by(turn.number, by, result.refusal))
        return []

    return step


@upkeep(SWEEP)
def sweep(task: Task) -> None:
    try:
        engine = task.context.engine
        if withdrawals.due(engine, notice=lambda token: PayOut(token=token)):
            outbox.announce()
        record.keep(task.context.redis, withdrawals.open_ones(engine))
    except DatabaseAway as error:
        log.warning("payout_sweep_waits", error=str(error))
    except (UndefinedColumn, UndefinedTable):
        log.error("payout_sweep_waits", lacks="the table withdrawals", repair="python -m dbcore migrate")
