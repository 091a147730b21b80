"""A guard on a database of the test's own, behind a proxy that can break the connection, and a little bank in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import ForeignKey, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from dbcore import Guard
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import Cut, FaultProxy, On, Rule, Side
from tests.dbcore.conftest import Sql


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "bank_accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]
    notes: Mapped[list[Note]] = relationship()


class Note(Base):
    __tablename__ = "bank_notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("bank_accounts.id"))


DEBIT = text("UPDATE bank_accounts SET balance = balance - 10 WHERE id = 1")
NOTE = text("INSERT INTO bank_notes (id, account_id) VALUES (:id, 1)")

COMMITTED_UNHEARD = Rule(On(Side.SERVER, kind="C", statement="INSERT INTO effects"), Cut())
"""The answer to a COMMIT with a key is lost: both are one message."""


@dataclass
class Bank:
    """Account 1 has 100. Two connections at most."""

    guard: Guard
    proxy: FaultProxy
    sql: Sql

    def balance(self) -> int:
        return int(self.sql("SELECT balance FROM bank_accounts WHERE id = 1")[0][0])

    def notes(self) -> int:
        return int(self.sql("SELECT count(*) FROM bank_notes")[0][0])

    def keys(self) -> list[str]:
        return [key for (key,) in self.sql("SELECT key FROM effects ORDER BY key")]

    def terminate(self, pid: int) -> None:
        """As pg_terminate_backend does, and the session has ended."""
        self.sql("SELECT pg_terminate_backend(%s, 10000)", pid)

    def pool_is_idle(self) -> bool:
        return self.guard.engine.snapshot().pool_in_use == 0


def pid_of(session: Session) -> int:
    return int(session.scalar(text("SELECT pg_backend_pid()")) or 0)


def in_threads(count: int, call: Callable[[], Any]) -> list[Any]:
    """What each of so many calls at once returned, or raised."""

    def outcome(_: int) -> Any:
        try:
            return call()
        except Exception as error:  # noqa: BLE001  the test judges it
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(outcome, range(count)))


@pytest.fixture
def bank(postgres_server: EmbeddedPostgres, sql: Sql, database_url: str) -> Iterator[Bank]:
    sql("SET ROLE ballast")  # whose tables they are to be
    sql("CREATE TABLE bank_accounts (id serial PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0))")
    sql(
        "CREATE TABLE bank_notes (id int PRIMARY KEY, account_id int NOT NULL "
        "REFERENCES bank_accounts DEFERRABLE INITIALLY IMMEDIATE)"
    )
    sql("INSERT INTO bank_accounts (balance) VALUES (100)")
    sql("RESET ROLE")
    with FaultProxy("127.0.0.1", postgres_server.port, login=postgres_server.login) as proxy:
        guard = Guard.from_url(
            proxy.url_of(database_url.rsplit("/", 1)[1]), pool_size=2, max_overflow=0, deadline_seconds=30
        )
        with guard.session() as session:
            session.execute(text("SELECT 1"))
        proxy.forget()
        yield Bank(guard, proxy, sql)
        guard.close()
