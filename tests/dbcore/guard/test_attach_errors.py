from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from dbcore.breaker.local import BreakerLimits
from dbcore.errors import DatabaseAway, OutcomeUnknown, Unavailable
from dbcore.failures import FailureKind
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import Cut, FaultProxy, On, Rule, Side, frozen
from tests.dbcore.conftest import Sql, eventually
from tests.dbcore.guard.attaching import App, answers, attached, checked_out, pid_of

TABLES = """
CREATE TABLE acct (id serial PRIMARY KEY, bal int);
INSERT INTO acct VALUES (1, 100);
CREATE TABLE t (id int PRIMARY KEY, acct int REFERENCES acct (id) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE forbidden ();
"""
DEBIT = text("UPDATE acct SET bal = bal - 10 WHERE id = 1")


@pytest.fixture
def app(database_url: str, sql: Sql) -> Iterator[App]:
    """As an app that keeps money in a table of its own; with the breaker's usual limits."""
    with attached(database_url, limits=BreakerLimits()) as app:
        with app.engine.begin() as connection:
            connection.exec_driver_sql(TABLES)
        sql("ALTER TABLE forbidden OWNER TO postgres")
        yield app


def balance(sql: Sql) -> int:
    return int(sql("SELECT bal FROM acct WHERE id = 1")[0][0])


def end(sql: Sql, pid: int) -> None:
    """The server ends this session, and it is over."""
    sql("SELECT pg_terminate_backend(%s)", pid)
    until_gone(sql, pid)


def until_gone(sql: Sql, pid: int) -> None:
    eventually(lambda: not sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid))


def test_what_the_app_catches_is_what_rises_and_it_is_ours_too(app: App, sql: Sql, database_url: str) -> None:
    def duplicate(app: App) -> None:
        with app.engine.begin() as connection:
            connection.execute(text("INSERT INTO acct VALUES (1, 0)"))

    def ended(app: App) -> None:
        with app.engine.connect() as connection:
            end(sql, pid_of(connection))
            connection.execute(text("SELECT :secret"), {"secret": 1})

    def late(app: App) -> None:
        with app.engine.connect() as connection, frozen(pid_of(connection)):
            connection.execute(text("SELECT 1"))

    def refused(app: App) -> None:
        app.breaker.force_open()
        try:
            app.engine.connect()
        finally:
            app.breaker.reset()

    def pool_full(_: App) -> None:
        with attached(database_url, pool_size=1, pool_timeout=0.05) as small, small.engine.connect():
            small.engine.connect()

    cases: list[tuple[Callable[[App], None], type[Exception], FailureKind | None, bool]] = [
        (duplicate, IntegrityError, None, False),
        (ended, OperationalError, FailureKind.OUTAGE, True),
        (late, OperationalError, FailureKind.SLOW, True),
        (refused, OperationalError, FailureKind.OUTAGE, False),
        (pool_full, PoolTimeoutError, FailureKind.SATURATION, False),
    ]
    for broken, caught, kind, invalidated in cases:
        with pytest.raises(caught) as raised:
            broken(app)
        error: Any = raised.value
        assert isinstance(error, Unavailable) is (kind is not None), broken
        assert getattr(error, "kind", None) is kind, broken
        if isinstance(error, DBAPIError):
            assert isinstance(error.orig, psycopg2.Error)
            assert error.connection_invalidated is invalidated, broken
        again = pickle.loads(pickle.dumps(error))  # noqa: S301  # as Celery sends it on
        assert (type(again), str(again), getattr(again, "kind", None)) == (type(error), str(error), kind)
        assert app.engine.url.password is None or app.engine.url.password not in str(error)
    assert checked_out(app.engine) == 0


def test_an_error_of_the_statement_s_own_is_the_app_s_and_a_time_out_of_the_app_s_keeps_the_connection(
    app: App,
) -> None:
    with app.engine.connect() as connection:
        pid = pid_of(connection)
        connection.execute(text("SET LOCAL statement_timeout = 50"))
        with pytest.raises(OperationalError) as raised:
            connection.execute(text("SELECT pg_sleep(60)"))
        assert isinstance(raised.value, Unavailable)
        assert raised.value.kind is FailureKind.SLOW
        assert not raised.value.connection_invalidated
        connection.rollback()
        assert pid_of(connection) == pid
        with pytest.raises(ProgrammingError) as forbidden:
            connection.execute(text("SELECT * FROM forbidden"))
        assert not isinstance(forbidden.value, DatabaseAway)


def test_the_app_s_own_error_listeners_see_the_loss_and_have_the_last_word(app: App, sql: Sql) -> None:
    class Own(Exception):
        pass

    seen = []

    def on_error(context: Any) -> Exception | None:
        seen.append(context.is_disconnect)
        return Own() if len(seen) > 1 else None

    event.listen(app.engine, "handle_error", on_error, retval=True)
    for raised in (Unavailable, Own):
        with app.engine.connect() as connection:
            end(sql, pid_of(connection))
            with pytest.raises(raised):
                connection.execute(text("SELECT 1"))
    assert seen == [True, True]


def test_a_commit_without_an_answer_is_unknown_and_what_came_before_it_is_not_applied(
    app: App, sql: Sql, postgres_server: EmbeddedPostgres, database_url: str
) -> None:
    database = database_url.rpartition("/")[2]
    with FaultProxy("127.0.0.1", postgres_server.port, login=postgres_server.login) as proxy:
        proxy.add(Rule(On(Side.SERVER, kind="C", statement="COMMIT"), Cut()))
        with attached(proxy.url_of(database)) as cut, Session(cut.engine) as session:
            session.execute(DEBIT)
            with pytest.raises(OutcomeUnknown) as unknown:
                session.commit()
            assert isinstance(unknown.value, OperationalError)
            session.rollback()
            assert session.execute(DEBIT)
    eventually(lambda: balance(sql) == 90)

    commits: list[Callable[[Connection], object]] = [
        lambda c: c.commit(),
        lambda c: c.execute(text("COMMIT")),
    ]
    for commit in commits:
        with app.engine.connect() as connection, frozen(pid_of(connection)):
            with pytest.raises(OutcomeUnknown) as late:
                commit(connection)
            assert isinstance(late.value, OperationalError)

    alone = app.engine.execution_options(isolation_level="AUTOCOMMIT")
    with alone.connect() as connection, frozen(pid_of(connection)), pytest.raises(OutcomeUnknown):
        connection.execute(DEBIT)
    eventually(lambda: balance(sql) == 80)  # the backend goes on when it thaws

    with pytest.raises(OperationalError) as lost, app.engine.begin() as connection:  # noqa: PT012
        connection.execute(DEBIT)
        end(sql, pid_of(connection))
        connection.execute(DEBIT)
    assert isinstance(lost.value, Unavailable)
    assert balance(sql) == 80

    with pytest.raises(OperationalError) as midway, app.engine.begin() as connection:  # noqa: PT012
        connection.execute(DEBIT)
        rows = connection.execution_options(yield_per=10).execute(text("SELECT generate_series(1, 99)"))
        next(rows)
        driver: Any = connection.connection.dbapi_connection
        end(sql, driver.info.backend_pid)
        rows.fetchall()
    assert isinstance(midway.value, Unavailable)
    assert balance(sql) == 80

    with pytest.raises(IntegrityError), app.engine.begin() as connection:
        connection.execute(text("INSERT INTO t VALUES (1, 999)"))


def test_a_session_is_usable_after_rollback_which_neither_raises_nor_waits(app: App, sql: Sql) -> None:
    with Session(app.engine) as session:
        for lose_it in (True, False):
            end(sql, pid_of(session.connection()))
            if lose_it:
                with pytest.raises(OperationalError):
                    session.execute(text("SELECT 1"))
            session.rollback()
            assert session.scalar(text("SELECT 7")) == 7
        with frozen(pid_of(session.connection())):
            session.rollback()
        assert session.scalar(text("SELECT 7")) == 7
        session.rollback()
        app.breaker.force_open()
        with pytest.raises(Unavailable):
            session.execute(text("SELECT 1"))
        app.breaker.reset()
        assert session.scalar(text("SELECT 7")) == 7
    assert checked_out(app.engine) == 0


def test_who_holds_a_connection_hears_of_its_loss_and_gets_no_other_one(database_url: str, sql: Sql) -> None:
    with (
        attached(database_url, ping_after_idle_seconds=0.0) as app,
        app.engine.connect() as connection,
    ):
        connection.execute(text("SELECT pg_advisory_lock(7)"))
        connection.commit()
        end(sql, pid_of(connection))
        with pytest.raises(OperationalError):
            connection.execute(text("SELECT 1"))


def test_a_connection_that_was_lost_while_it_lay_idle_is_replaced_and_is_no_failure(
    app: App, sql: Sql
) -> None:
    with app.engine.connect() as one, app.engine.connect() as two:
        pids = [pid_of(one), pid_of(two)]
    for pid in pids:
        end(sql, pid)
    time.sleep(0.02)  # what lay idle for less is not looked at
    with app.engine.connect() as one, app.engine.connect() as two:
        assert not {pid_of(one), pid_of(two)} & set(pids)
    assert app.breaker.snapshot().failures == 0


def test_errors_of_the_callers_never_open_the_breaker(app: App, sql: Sql) -> None:
    with app.engine.connect() as holder:
        holder.execute(text("SELECT FROM acct FOR UPDATE"))
        mistakes = [
            "INSERT INTO acct VALUES (1, 0)",
            "SELECT no_such_column",
            "SELECT FROM acct FOR UPDATE NOWAIT",
            "SELECT * FROM forbidden",
            "SET TRANSACTION READ ONLY; DELETE FROM t",
            "SET LOCAL statement_timeout = 1; SELECT pg_sleep(60)",
            "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$",
        ]
        for mistake in 8 * mistakes:
            with app.engine.connect() as connection, pytest.raises(DBAPIError):
                connection.exec_driver_sql(mistake)
        with pytest.raises(ValueError, match="own"), app.engine.begin():
            raise ValueError("the app's own")
    snapshot = app.breaker.snapshot()
    assert (snapshot.state, snapshot.failures, snapshot.slow_calls) == ("closed", 0, 0)
    assert answers(app.engine)


def test_losses_among_many_threads_leak_nothing(database_url: str, postgres_server: EmbeddedPostgres) -> None:
    def use(number: int) -> None:
        with suppress(DatabaseAway), Session(crowded.engine) as session:
            pid = pid_of(session.connection())
            if number % 5 == 0:
                with psycopg2.connect(postgres_server.admin_url_of("postgres")) as admin:
                    admin.cursor().execute("SELECT pg_terminate_backend(%s)", (pid,))
                admin.close()
            session.execute(text("SELECT 1"))

    with attached(database_url, pool_size=4) as crowded:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(use, range(80)))
        assert checked_out(crowded.engine) == 0
        assert answers(crowded.engine)
        assert len(crowded.opened) <= 2 * 4 + 80 // 5
