from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from psycopg2 import errors

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.payments import PaymentEvent, PaymentKind, Recorded, record
from tests.dbcore.conftest import MakeEngine, Sql

PAID = PaymentEvent(
    kind=PaymentKind.PAID,
    charge_id="charge-1",
    telegram_id=3001,
    amount=100,
    currency="XTR",
    payload="order \x00\ud800 7",
    details={"total_amount": 100, "order_info": {"name": "Bob\x00"}},
    said_at=1_700_000_000,
)


def test_a_charge_is_recorded_once_however_often_it_is_said(engine: GuardedEngine, sql: Sql) -> None:
    assert record(engine, PAID, job_id="one") is Recorded.NEW
    assert record(engine, PAID, job_id="one") is Recorded.NEW  # the job again: it has not answered yet
    assert record(engine, PAID, job_id="two") is Recorded.KNOWN
    assert sql("SELECT charge_id, telegram_id, amount, currency, payload FROM payment_events") == [
        ("charge-1", 3001, 100, "XTR", "order ? 7")
    ]


def test_a_refund_of_a_charge_is_a_row_of_its_own(engine: GuardedEngine, sql: Sql) -> None:
    record(engine, PAID, job_id="one")
    assert record(engine, replace(PAID, kind=PaymentKind.REFUNDED), job_id="two") is Recorded.NEW
    assert sql("SELECT kind FROM payment_events ORDER BY id") == [("paid",), ("refunded",)]


@pytest.mark.parametrize("other", [{"amount": 1}, {"telegram_id": 4}, {"currency": "EUR"}])
def test_the_same_charge_said_otherwise_changes_nothing(
    engine: GuardedEngine, sql: Sql, other: dict[str, object]
) -> None:
    record(engine, PAID, job_id="one")
    assert record(engine, replace(PAID, **other), job_id="two") is Recorded.CONTRADICTS  # type: ignore[arg-type]
    assert sql("SELECT telegram_id, amount, currency FROM payment_events") == [(3001, 100, "XTR")]


def test_one_of_eight_at_once_records_it(make_engine: MakeEngine, sql: Sql) -> None:
    engine = make_engine(settings={"db_pool_size": 8, "db_deadline_seconds": 30})
    with ThreadPoolExecutor(8) as threads:
        came = list(threads.map(lambda number: record(engine, PAID, job_id=f"job {number}"), range(8)))
    assert came.count(Recorded.NEW) == 1
    assert came.count(Recorded.KNOWN) == 7
    assert sql("SELECT count(*) FROM payment_events") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE payment_events SET amount = 1", "DELETE FROM payment_events", "TRUNCATE payment_events"],
)
def test_what_was_recorded_stays(engine: GuardedEngine, sql: Sql, statement: str) -> None:
    record(engine, PAID, job_id="one")
    with pytest.raises((errors.RestrictViolation, errors.InsufficientPrivilege)):
        sql(statement)
    always = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'payment_events'::regclass AND tgenabled = 'A'"
    assert len(sql(always)) == 2
