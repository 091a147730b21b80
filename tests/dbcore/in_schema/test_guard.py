"""The guard beside an existing bot's tables: its own are found in their schema."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import text

from dbcore import Guard, Refuse, Tx, outbox
from dbcore.ledger.users import Profile, get_or_create
from tests.dbcore.conftest import Sql
from tests.harness.bots_database import SCHEMA

PAID_OUT = text("UPDATE public.users SET balance = balance - 2 WHERE telegram_id = 7")


@dataclass(frozen=True)
class Thanks:
    kind: str = "replies.deliver"

    def model_dump_json(self) -> str:
        return '{"text": "thanks"}'


@pytest.mark.usefixtures("audited")
def test_own_rows_and_money_move_together_once(database_url: str, sql: Sql) -> None:
    def pays_out(tx: Tx) -> int:
        tx.session.execute(PAID_OUT)
        return tx.ledger.credit(7, 200, memo="moved over").balance_after or 0

    def refuses(tx: Tx) -> None:
        tx.session.execute(PAID_OUT)
        raise Refuse("Not today.")

    guard = Guard.from_url(database_url, currency="EUR", schema=SCHEMA)
    try:
        get_or_create(guard.engine, profile=Profile(7, None, "Grace"))
        for replayed in (False, True):
            done = guard.transact(pays_out, key="out-1", name="pay.out")
            assert (done.value, done.replayed) == (200, replayed)
        for _ in range(2):
            with pytest.raises(Refuse, match="Not today"):
                guard.transact(refuses, key="out-2", name="pay.out")
    finally:
        guard.close()
    assert sql("SELECT balance FROM public.users WHERE telegram_id = 7") == [(10.5,)]
    assert sql("SELECT key, refused IS NULL FROM effects ORDER BY key") == [("out-1", True), ("out-2", False)]


def test_a_job_of_a_commit_is_found_in_the_schema(database_url: str, sql: Sql) -> None:
    guard = Guard.from_url(database_url, schema=SCHEMA)
    try:
        guard.transact(lambda tx: tx.enqueue(Thanks(), user=7))
        assert sql("SELECT kind, telegram_id FROM outbox") == [("replies.deliver", 7)]
        (row,) = outbox.first(guard.engine, 10)
        assert outbox.waiting(guard.engine).rows == 1
        assert outbox.remove(guard.engine, [row.id]) == 1
        assert outbox.waiting(guard.engine) == outbox.Waiting(0, None)
    finally:
        guard.close()
