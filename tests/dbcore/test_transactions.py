"""What SQLAlchemy's own transactions do under `engine.call`: what they say, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Connection, ForeignKey, select
from sqlalchemy.exc import IntegrityError, OperationalError, ResourceClosedError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from dbcore.errors import DatabaseAway, OutcomeUnknown, Unavailable
from dbcore.failures import FailureKind
from dbcore.guard.engine import GuardedEngine
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import Answer, Cut, FaultProxy, On, Rule, ServerError, Side
from tests.dbcore.conftest import MakeEngine, Sql


class Base(DeclarativeBase):
    pass


class Code(Base):
    __tablename__ = "codes"
    id: Mapped[int] = mapped_column(primary_key=True)
    uses: Mapped[int] = mapped_column(default=0)
    usages: Mapped[list[Usage]] = relationship()


class Usage(Base):
    __tablename__ = "usages"
    id: Mapped[int] = mapped_column(primary_key=True)
    code_id: Mapped[int] = mapped_column(ForeignKey("codes.id"))


ITS_ANSWER = On(Side.SERVER, kind="C", statement="COMMIT", nth=2)  # the first is BEGIN's: READ COMMITTED
USE = "UPDATE codes SET uses = uses + 1"
REFUSED = "INSERT INTO usages (code_id) VALUES (17)"  # there is no such code


@dataclass(frozen=True)
class Shop:
    """A code that was never used, and an engine with one connection, behind a proxy."""

    engine: GuardedEngine
    proxy: FaultProxy
    sql: Sql

    def counted(self) -> tuple[int, int]:
        """Usages, and uses of the code: always the same number, where transactions are real."""
        ((usages, uses),) = self.sql("SELECT (SELECT count(*) FROM usages), sum(uses)::int FROM codes")
        return usages, uses


@pytest.fixture
def shop(
    make_engine: MakeEngine, postgres_server: EmbeddedPostgres, sql: Sql, database_url: str
) -> Iterator[Shop]:
    with FaultProxy("127.0.0.1", postgres_server.port, login=postgres_server.login) as proxy:
        engine = make_engine(
            proxy.url_of(database_url.rsplit("/", 1)[1]),
            settings={"db_pool_size": 1, "db_max_overflow": 0, "db_deadline_seconds": 60},
            sleep=lambda _seconds: None,
        )
        sql("SET ROLE ballast")  # whose tables they are to be
        sql("CREATE TABLE codes (id serial PRIMARY KEY, uses int NOT NULL)")
        sql("CREATE TABLE usages (id serial PRIMARY KEY, code_id int NOT NULL REFERENCES codes)")
        sql("INSERT INTO codes (id, uses) VALUES (1, 0)")
        engine.call(lambda connection: connection.exec_driver_sql("SELECT 1"), name="connects")
        proxy.forget()
        yield Shop(engine, proxy, sql)


def plainly(connection: Connection) -> None:
    connection.exec_driver_sql(USE)
    connection.exec_driver_sql(REFUSED)


def in_a_block(connection: Connection) -> None:
    with connection.begin():
        plainly(connection)


def in_a_session(connection: Connection) -> None:
    with Session(connection) as session, session.begin():
        session.get_one(Code, 1).uses += 1
        session.add(Usage(code_id=17))


@pytest.mark.parametrize("operation", [plainly, in_a_block, in_a_session])
def test_what_raises_leaves_nothing_of_itself(operation: Callable[[Connection], None], shop: Shop) -> None:
    with pytest.raises(IntegrityError):
        shop.engine.call(operation, name="shop.use")
    assert shop.counted() == (0, 0)


def test_a_rollback_rolls_back(shop: Shop) -> None:
    def by_session(connection: Connection) -> None:
        session = Session(connection)
        session.get_one(Code, 1).uses += 1
        session.flush()
        session.rollback()

    def by_connection(connection: Connection) -> None:
        connection.exec_driver_sql(USE)
        connection.rollback()

    def to_a_savepoint(connection: Connection) -> None:
        with connection.begin_nested() as savepoint:
            connection.exec_driver_sql(USE)
            savepoint.rollback()

    for operation in (by_session, by_connection, to_a_savepoint):
        shop.engine.call(operation, name="shop.undo")
        assert shop.counted() == (0, 0)


def test_what_returns_is_committed_once(shop: Shop) -> None:
    def with_a_session(connection: Connection) -> None:
        with Session(connection) as session, session.begin():
            session.get_one(Code, 1).uses += 1
            session.add(Usage(code_id=1))

    def as_it_goes(connection: Connection) -> None:
        connection.exec_driver_sql(USE)
        connection.exec_driver_sql("INSERT INTO usages (code_id) VALUES (1)")

    shop.engine.call(with_a_session, name="shop.use")
    assert shop.counted() == (1, 1)
    shop.engine.call(as_it_goes, name="shop.use")
    assert shop.counted() == (2, 2)


def test_others_see_nothing_of_it_before_its_end(shop: Shop) -> None:
    seen: list[tuple[int, int]] = []

    def operation(connection: Connection) -> None:
        connection.exec_driver_sql(USE)
        seen.append(shop.counted())

    shop.engine.call(operation, name="shop.use")
    assert (seen, shop.counted()) == ([(0, 0)], (0, 1))


def test_a_connection_lost_between_two_statements_counts_once_without_a_key(shop: Shop) -> None:
    def operation(connection: Connection) -> None:
        connection.exec_driver_sql(USE)
        connection.exec_driver_sql("INSERT INTO usages (code_id) VALUES (1)")

    shop.proxy.add(Rule(On(statement="INSERT INTO usages"), Cut()))
    shop.engine.call(operation, name="shop.use")
    assert shop.counted() == (1, 1)
    assert shop.engine.snapshot().failures_by_kind == {"outage": 1}


def test_a_commit_without_an_answer_is_not_repeated_without_a_key(shop: Shop) -> None:
    shop.proxy.add(Rule(ITS_ANSWER, Cut(), times=None))
    with pytest.raises(OutcomeUnknown):
        shop.engine.call(lambda connection: connection.exec_driver_sql(USE), name="shop.use")
    shop.proxy.clear()
    assert shop.counted() == (0, 1)


def test_a_commit_without_an_answer_is_repeated_where_that_does_no_harm(shop: Shop) -> None:
    def operation(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE codes SET uses = 7")

    shop.proxy.add(Rule(ITS_ANSWER, Cut()))
    shop.engine.call(operation, name="shop.set", replayable=True)
    assert shop.counted() == (0, 7)


def test_a_commit_without_an_answer_stays_open_whatever_the_retry_meets(shop: Shop) -> None:
    """The driver's error would say that nothing was applied."""
    shop.proxy.add(Rule(ITS_ANSWER, Cut()))
    shop.proxy.add(Rule(On(statement=USE, nth=2), Answer(ServerError("raised by a function", "P0001"))))
    with pytest.raises(OutcomeUnknown):
        shop.engine.call(lambda connection: connection.exec_driver_sql(USE), name="shop.use", replayable=True)
    assert shop.counted() == (0, 1)


CONFLICT = Answer(ServerError("could not serialize access due to concurrent update", "40001"))


def test_a_conflict_is_resolved_by_running_the_whole_again(shop: Shop) -> None:
    def operation(connection: Connection) -> None:
        connection.exec_driver_sql(USE)
        connection.exec_driver_sql("INSERT INTO usages (code_id) VALUES (1)")

    shop.proxy.add(Rule(On(statement="INSERT INTO usages"), CONFLICT))
    shop.engine.call(operation, name="shop.use")
    assert shop.counted() == (1, 1)


@pytest.mark.parametrize("committing", ["commit()", "COMMIT"])
def test_what_it_committed_by_itself_is_not_done_twice(committing: str, shop: Shop) -> None:
    def operation(connection: Connection) -> None:
        connection.exec_driver_sql(USE)
        if committing == "COMMIT":
            connection.exec_driver_sql("COMMIT")
        else:
            connection.commit()
        connection.exec_driver_sql("INSERT INTO usages (code_id) VALUES (1)")

    shop.proxy.add(Rule(On(statement="INSERT INTO usages"), CONFLICT))
    with pytest.raises(OutcomeUnknown) as unknown:
        shop.engine.call(operation, name="shop.use")
    assert unknown.value.kind is FailureKind.CONFLICT
    assert shop.counted() == (0, 1)


def test_a_read_is_repeated_without_a_word(shop: Shop) -> None:
    shop.proxy.add(Rule(On(statement="SELECT uses"), Cut(1.0)))
    (uses,) = shop.engine.call(
        lambda connection: connection.exec_driver_sql("SELECT uses FROM codes").one(),
        name="shop.look",
        writes=False,
    )
    assert uses == 0


def test_errors_inside_are_sqlalchemy_s_own(shop: Shop) -> None:
    """Whoever catches OperationalError, as SQLAlchemy's documents say, catches it; the caller hears what it means."""
    caught: list[type[Exception]] = []

    def operation(connection: Connection) -> None:
        try:
            connection.exec_driver_sql(USE)
        except Exception as error:
            caught.append(type(error))
            raise

    shop.proxy.add(Rule(On(statement=USE), Cut(), times=None))
    with pytest.raises(Unavailable) as away:
        shop.engine.call(operation, name="shop.use")
    assert set(caught) == {OperationalError}
    assert away.value.kind is FailureKind.OUTAGE
    assert type(away.value.__cause__).__module__.startswith("psycopg2")


def test_a_loss_that_the_operation_swallows_is_told_all_the_same(shop: Shop) -> None:
    def operation(connection: Connection) -> str:
        connection.exec_driver_sql(USE)
        try:
            connection.exec_driver_sql("INSERT INTO usages (code_id) VALUES (1)")
        except OperationalError:
            return "done, as far as I know"
        return "done"

    shop.proxy.add(Rule(On(statement="INSERT INTO usages"), Cut(), times=None))
    with pytest.raises(DatabaseAway):
        shop.engine.call(operation, name="shop.use")
    shop.proxy.clear()
    assert shop.counted() == (0, 0)
    assert shop.engine.call(operation, name="shop.use") == "done"


@pytest.mark.parametrize(
    ("does", "leaves"),
    [
        ("SET statement_timeout = '1ms'", "SELECT current_setting('statement_timeout') <> '0'"),
        (
            "SELECT set_config('search_path', 'pg_catalog', false)",
            "SELECT current_setting('search_path') = 'pg_catalog'",
        ),
        ("CREATE TEMPORARY TABLE left_over (n int)", "SELECT to_regclass('left_over') IS NOT NULL"),
        ("SELECT pg_advisory_lock(4711)", "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory'"),
        ("PREPARE left_over AS SELECT 1", "SELECT count(*) > 0 FROM pg_prepared_statements"),
        ("LISTEN left_over", "SELECT count(*) > 0 FROM pg_listening_channels()"),
    ],
)
def test_what_a_call_did_to_its_session_ends_with_it(does: str, leaves: str, shop: Shop) -> None:
    shop.engine.call(lambda connection: connection.exec_driver_sql(does), name="shop.sets")
    assert shop.engine.fetch_row(leaves, name="the next") == (False,)
    assert shop.proxy.connections == 0  # none but the one there was


def test_an_isolation_that_a_call_asked_for_ends_with_it(shop: Shop) -> None:
    def serializable(connection: Connection) -> str:
        connection.execution_options(isolation_level="SERIALIZABLE")
        return str(connection.exec_driver_sql("SHOW transaction_isolation").scalar_one())

    assert shop.engine.call(serializable, name="shop.strict") == "serializable"
    shown = shop.engine.call(
        lambda connection: connection.exec_driver_sql("SHOW transaction_isolation").scalar_one(), name="next"
    )
    assert shown == "read committed"
    assert shop.engine.fetch_row("SELECT pg_current_xact_id_if_assigned() IS NULL", name="one") == (True,)


def test_an_open_transaction_is_never_left_to_the_next_call(shop: Shop) -> None:
    def raises(connection: Connection) -> None:
        connection.exec_driver_sql(USE)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        shop.engine.call(raises, name="shop.raises")
    assert shop.counted() == (0, 0)
    assert shop.sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'") == [
        (0,)
    ]


def test_what_is_loaded_after_the_call_is_refused_in_words_that_say_why(shop: Shop) -> None:
    code = shop.engine.call(
        lambda connection: Session(connection).scalars(select(Code)).one(), name="shop.code", writes=False
    )
    assert code.uses == 0
    with pytest.raises(ResourceClosedError, match="the guarded call of this connection is over"):
        _ = code.usages
