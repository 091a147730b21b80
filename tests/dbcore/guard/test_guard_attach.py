"""An app's own engine and a Guard on the same server: they share the breaker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg2.extensions
import pytest
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from dbcore import Guard, OutcomeUnknown, Tx, Unavailable, UsageError
from dbcore.breaker.local import BreakerState
from devstack.proxy import Cut, On, Rule, Side, frozen
from tests.dbcore.guard.attaching import answers, checked_out, pid_of, plain_engine
from tests.dbcore.guard.conftest import DEBIT, Account, Bank


@pytest.fixture
def engine(bank: Bank, database_url: str) -> Iterator[Engine]:
    """The app's, attached to the bank's guard."""
    engine = plain_engine(bank.proxy.url_of(database_url.rpartition("/")[2]))
    bank.guard.attach(engine, statement_seconds=0.5, connect_seconds=2)
    yield engine
    engine.dispose()


def test_an_attached_engine_works_as_before_and_goes_by_the_guard_s_breaker(
    bank: Bank, engine: Engine
) -> None:
    with Session(engine) as session, session.begin():
        session.get_one(Account, 1).balance -= 10
    assert bank.balance() == 90

    bank.guard.breaker.force_open()
    with pytest.raises(OperationalError) as refused:
        answers(engine)
    assert isinstance(refused.value, Unavailable)
    bank.guard.breaker.reset()

    bank.proxy.refuse()
    bank.proxy.sever()
    while bank.guard.breaker.snapshot().state is not BreakerState.OPEN:
        with pytest.raises(Unavailable):
            answers(engine)
    seen = bank.proxy.connections
    with pytest.raises(Unavailable):
        bank.guard.transact(lambda tx: tx.session.execute(DEBIT).close())
    assert bank.proxy.connections == seen, "what the engine found out holds for the guard"
    bank.proxy.accept()
    bank.guard.breaker.reset()
    assert answers(engine)
    assert checked_out(engine) == 0


def test_its_deadline_is_its_own_and_a_lost_commit_is_told(bank: Bank, engine: Engine) -> None:
    with engine.connect() as connection, frozen(pid_of(connection)), pytest.raises(Unavailable):
        connection.execute(text("SELECT 1"))
    bank.proxy.add(Rule(On(Side.SERVER, kind="C", statement="COMMIT"), Cut()))
    with pytest.raises(OutcomeUnknown), Session(engine) as session, session.begin():
        session.execute(DEBIT)
    assert bank.balance() == 90


def test_attaching_twice_changes_nothing_and_another_guard_is_refused(
    bank: Bank, engine: Engine, database_url: str
) -> None:
    pool = engine.pool
    bank.guard.attach(engine)
    assert engine.pool is pool
    with pytest.raises(UsageError, match="another breaker"):
        Guard.from_url(database_url).attach(engine)


def test_after_close_it_keeps_the_breaker_until_the_guard_has_a_new_one(bank: Bank, engine: Engine) -> None:
    assert answers(engine)
    old = bank.guard.breaker
    old.force_open()
    bank.guard.close()
    with pytest.raises(Unavailable):
        answers(engine)
    assert bank.guard.breaker is not old
    assert answers(engine)
    bank.guard.breaker.force_open()
    with pytest.raises(Unavailable):
        answers(engine)
    bank.guard.breaker.reset()
    assert answers(engine)


@pytest.mark.parametrize("by_option", [False, True])
def test_beside_an_engine_in_autocommit_a_transact_is_all_or_nothing(
    bank: Bank, database_url: str, by_option: bool
) -> None:
    """And the engine stays in AUTOCOMMIT, also after an error."""
    url = bank.proxy.url_of(database_url.rpartition("/")[2])
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}
    engine = plain_engine(url, **({} if by_option else options))
    alone = engine.execution_options(**options) if by_option else engine
    bank.guard.attach(alone)
    with alone.connect() as connection, connection.begin() as begun:
        connection.execute(DEBIT)
        begun.rollback()
    assert bank.balance() == 90, "that is what AUTOCOMMIT means"

    def fails(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bank.guard.transact(fails, key="k")
    assert (bank.balance(), bank.keys()) == (90, [])
    with alone.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, psycopg2.extensions.connection)
        assert connection.scalar(text("SELECT 1")) == 1
        assert (driver.autocommit, driver.info.transaction_status) == (True, TRANSACTION_STATUS_IDLE)
    engine.dispose()


def test_an_async_engine_is_sent_to_the_async_guard(bank: Bank) -> None:
    with pytest.raises(UsageError, match="AsyncGuard"):
        bank.guard.attach(create_async_engine("postgresql+psycopg://host/app"))  # type: ignore[arg-type]


def test_in_a_forked_child_it_goes_by_the_child_s_breaker(bank: Bank, engine: Engine) -> None:
    assert answers(engine)
    bank.guard.breaker.force_open()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            well = answers(engine)  # the parent's breaker is not its own
            bank.guard.breaker.force_open()
            try:
                engine.connect()
            except Unavailable:
                status = 0 if well else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    bank.guard.breaker.reset()
    assert answers(engine)
