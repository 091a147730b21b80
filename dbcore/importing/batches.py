"""One batch is one transaction: its accounts are locked in the order of their ids, and then booked on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection

from dbcore.guard.engine import GuardedEngine
from dbcore.importing.booking_sql import ACCOUNT_IDS, EXISTING_IDS, LOCK_ACCOUNTS, PLANNER_SETTINGS
from dbcore.money import MAX_AMOUNT
from dbcore.qualified_names import qualified
from dbcore.schema import MAX_BALANCE

PEOPLE_MAX = 1_000
MOVEMENTS_MAX = 20_000
"""Of a batch. What one person has is never split, so a batch of one person may have more."""

BATCH_SECONDS_MAX = 60.0

Run = Callable[[str], Any]
"""Executes a statement with the batch's parameters."""


def actor_of(source: str) -> str:
    return f"import:{source}"


def run_batch(
    engine: GuardedEngine,
    source: str,
    parameters: dict[str, Any],
    *,
    name: str,
    dry_run: str | None,
    prepare: Callable[[Run], None],
    book: str,
) -> Sequence[Any]:
    """The rows of `book`, in a transaction with `prepare` before it; or only those of `dry_run`, if it is given.

    parameters -- of all statements; `telegram_ids` says whose accounts are locked. Raises as GuardedEngine.call.
    """
    everything = {
        **parameters,
        "currency": engine.currency,
        "source": source,
        "actor": actor_of(source),
        "amount_max": MAX_AMOUNT,
        "balance_max": MAX_BALANCE,
    }

    def batch(connection: Connection) -> Sequence[Any]:
        def run(statement: str) -> Any:
            return connection.exec_driver_sql(qualified(statement, engine.schema), everything)

        run(PLANNER_SETTINGS)
        everything["existing_ids"] = [row[0] for row in run(EXISTING_IDS)]
        if dry_run is None:
            prepare(run)
        everything["account_ids"] = [row[0] for row in run(ACCOUNT_IDS)]
        if dry_run is not None:
            return list(run(dry_run))
        run(LOCK_ACCOUNTS)
        return list(run(book))

    return engine.call(
        batch, name=name, replayable=True, writes=dry_run is None, deadline_seconds=BATCH_SECONDS_MAX
    )
